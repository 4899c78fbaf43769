//! What is printed, and `summary.json`.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::bare::Way;
use crate::flushes::Flushes;
use crate::load::{Measured, Times};

/// It is sent the requests that reveal is sent, and answers as many bytes (docs/adr/0059).
pub const HANDLER: &str = "bare handler";
pub const SMALL: &str = "bare handler, 468 bytes";
pub const REVEAL: &str = "reveal";
/// The most connections, where reveal has a target.
pub const MOST: usize = 64;
/// Of the bare handler, at [`MOST`] connections.
const REVEAL_LEAST: f64 = 0.15;

/// All of one run.
#[derive(Serialize)]
pub struct Summary {
    machine: Machine,
    measured_seconds: f64,
    rows: Vec<Row>,
    /// Absent where strace is not installed or may not trace.
    flushes_per_operation: Option<Flushes>,
    targets: Targets,
}

#[derive(Serialize)]
struct Machine {
    processor: String,
    processors: usize,
    kernel: String,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    measured: Measured,
    of_bare_handler: Option<f64>,
    of_bare_store: Option<f64>,
}

#[derive(Serialize)]
struct Targets {
    reveal_of_bare_handler_least: f64,
    reveal_of_bare_handler: Option<f64>,
    reveal_of_small_answers: Option<f64>,
    check_out_flushes_most: u32,
}

impl Summary {
    pub fn new(rows: &[Measured], times: Times, flushes: Option<Flushes>) -> Self {
        let rate = |what, connections| {
            let of = |row: &&Measured| row.what == what && row.connections == connections;
            rows.iter().find(of).map(|row| row.operations_per_second)
        };
        let reveal_of = |handler| rate(REVEAL, MOST).zip(rate(handler, MOST)).map(|(reveal, bare)| reveal / bare);
        let with_ratios = |row: &Measured| Row {
            of_bare_handler: rate(HANDLER, row.connections).map(|bare| row.operations_per_second / bare),
            of_bare_store: rate(Way::Merged.what(), row.connections).map(|bare| row.operations_per_second / bare),
            measured: row.clone(),
        };
        Self {
            machine: Machine::this(),
            measured_seconds: times.measured.as_secs_f64(),
            rows: rows.iter().map(with_ratios).collect(),
            flushes_per_operation: flushes,
            targets: Targets {
                reveal_of_bare_handler_least: REVEAL_LEAST,
                reveal_of_bare_handler: reveal_of(HANDLER),
                reveal_of_small_answers: reveal_of(SMALL),
                check_out_flushes_most: 1,
            },
        }
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    pub fn print(&self) {
        let Machine { processor, processors, kernel } = &self.machine;
        println!("\n{processor}, {processors} processors, Linux {kernel}; load and server share them.\n");
        println!(
            "{:<32} {:>5} {:>10} {:>9} {:>9} {:>10} {:>8} {:>8} {:>8}",
            "", "conn.", "ops/s", "p50 ms", "p99 ms", "CPU s/1000", "RSS MiB", "handler", "store"
        );
        for Row { measured, of_bare_handler, of_bare_store } in &self.rows {
            let ratio = |ratio: &Option<f64>| ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            println!(
                "{:<32} {:>5} {:>10.0} {:>9.2} {:>9.2} {:>10.3} {:>8.0} {:>8} {:>8}",
                measured.what,
                measured.connections,
                measured.operations_per_second,
                measured.p50_milliseconds,
                measured.p99_milliseconds,
                measured.cpu_seconds_per_1000_operations,
                measured.resident_mib,
                ratio(of_bare_handler),
                ratio(of_bare_store),
            );
        }
        println!("\nhandler, store: operations a second as a share of the bare handler's and of the merging store's.");
        match &self.flushes_per_operation {
            Some(Flushes { check_out, reveal, check_in, login }) => println!(
                "Flushes an operation, alone: check-out {check_out:.2} (target 1), reveal {reveal:.2}, \
                 check-in {check_in:.2}, login {login:.2}."
            ),
            None => println!("Flushes: not measured; strace is not installed, or may not trace."),
        }
        let Targets { reveal_of_bare_handler, reveal_of_small_answers, .. } = self.targets;
        if let Some((reveal, small)) = reveal_of_bare_handler.zip(reveal_of_small_answers) {
            let met = if reveal >= REVEAL_LEAST { "met" } else { "MISSED" };
            println!(
                "Reveal at {MOST} connections: {reveal:.3} of the bare handler (target {REVEAL_LEAST}: {met}), and {small:.3} of \
                 one that answers a bare request with 468 bytes."
            );
        }
    }
}

impl Machine {
    fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default(); // a report is worth more than its heading
        let processor = read("/proc/cpuinfo");
        let processor =
            processor.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split_once(": "));
        Self {
            processor: processor.map_or("unknown processor", |(_, name)| name).to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}
