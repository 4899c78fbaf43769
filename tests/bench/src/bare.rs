//! The two bare programs that the vault is held beside: `server/examples/bare_handler.rs` and
//! `server/store/rocksdb/examples/bare_store.rs`.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::http::Target;
use crate::load::{Counted, Measured, Times, Used};
use crate::process::{Process, cpu_seconds, resident_mib};
use crate::vault::Vault;

/// A running bare handler, with the vault's own certificate. What it is asked as a reveal it answers with as many bytes.
pub struct Handler {
    process: Process,
    pub target: Target,
}

impl Handler {
    pub fn start(program: &Path, vault: &Vault, bytes: usize) -> Result<Self> {
        let directory = vault.hints.ca_certificate.parent().context("a directory")?;
        let mut command = Command::new(program);
        command.arg(directory.join("certificate.pem")).arg(directory.join("key.pem")).arg(bytes.to_string());
        let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut port = String::new();
        BufReader::new(process.0.stdout.take().context("its output")?).read_line(&mut port)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim().parse()?));
        Ok(Self { process, target: Target::new(address, &vault.hints.ca_certificate)? })
    }

    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }
}

/// How the bare store writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Merged,
    Single,
}

impl Way {
    pub const fn what(self) -> &'static str {
        match self {
            Self::Merged => "bare store, one merging writer",
            Self::Single => "bare store, a batch each",
        }
    }
}

/// Runs the bare store in a new directory below this one.
pub fn store(program: &Path, stage: &Path, way: Way, callers: usize, times: Times) -> Result<Measured> {
    let directory = tempfile::tempdir_in(stage)?;
    let seconds = |duration: std::time::Duration| duration.as_secs_f64().to_string();
    let mut command = Command::new(program);
    command.arg(directory.path()).args([&callers.to_string(), &seconds(times.warm_up), &seconds(times.measured)]);
    command.arg(if way == Way::Merged { "merged" } else { "single" });
    let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let pid = process.0.id();
    let mut lines = BufReader::new(process.0.stdout.take().context("its output")?).lines();
    let mut line = || lines.next().context("the bare store says no more")?.map_err(anyhow::Error::from);
    line()?;
    let before = cpu_seconds(pid)?;
    let end = line()?;
    let used = Used { cpu_seconds: cpu_seconds(pid)? - before, resident_mib: resident_mib(pid)? };
    let mut words = end.split(' ').skip(1).map(str::parse::<u32>);
    let mut number = || words.next().context("a number")?.map_err(anyhow::Error::from);
    let counted =
        Counted { operations: usize::try_from(number()?)?, p50_microseconds: number()?, p99_microseconds: number()? };
    Ok(Measured::new(way.what(), callers, times, &counted, used))
}
