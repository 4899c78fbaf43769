//! Child processes, and what they cost by `/proc`.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// A process that ends with this program.
pub struct Process(pub Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self(child))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks a process to stop.
pub fn terminate(pid: u32) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process has this number")?;
    Ok(kill_process(pid, Signal::TERM)?)
}

/// Processor time that a process has used, in seconds, by the kernel's clock of 1/100 s.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name of the program, in parentheses, may hold anything.
    let (_, after) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks = |field: usize| after.split_ascii_whitespace().nth(field).and_then(|text| text.parse::<u32>().ok());
    let (user, system) = ticks(11).zip(ticks(12)).context("/proc/PID/stat has no times")?;
    Ok(f64::from(user + system) / 100.0)
}

/// The memory of a process that is in RAM, in MiB.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/PID/status has no VmRSS")?;
    Ok(kib.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1024.0)
}
