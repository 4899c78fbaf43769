//! Load: connections that each send one request after the other, for a while.

use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use crate::http::{Connection, Target};
use crate::process::{cpu_seconds, resident_mib};

/// How long each measurement lasts.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Not counted.
    pub warm_up: Duration,
    /// Counted.
    pub measured: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    pub what: &'static str,
    pub connections: usize,
    pub operations_per_second: f64,
    pub p50_milliseconds: f64,
    pub p99_milliseconds: f64,
    /// Of the serving process.
    pub cpu_seconds_per_1000_operations: f64,
    /// Of the serving process, at the end.
    pub resident_mib: f64,
}

impl Measured {
    /// From the sorted latencies of all operations, in microseconds, and what the process used meanwhile.
    pub fn new(what: &'static str, connections: usize, times: Times, counted: &Counted, used: Used) -> Self {
        let operations = f64::from(u32::try_from(counted.operations).unwrap_or(u32::MAX));
        Self {
            what,
            connections,
            operations_per_second: operations / times.measured.as_secs_f64(),
            p50_milliseconds: f64::from(counted.p50_microseconds) / 1000.0,
            p99_milliseconds: f64::from(counted.p99_microseconds) / 1000.0,
            cpu_seconds_per_1000_operations: used.cpu_seconds / operations * 1000.0,
            resident_mib: used.resident_mib,
        }
    }
}

/// What ended within the measured time.
pub struct Counted {
    pub operations: usize,
    pub p50_microseconds: u32,
    pub p99_microseconds: u32,
}

impl Counted {
    fn of(mut latencies: Vec<u32>) -> Self {
        latencies.sort_unstable();
        let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or(0);
        Self { operations: latencies.len(), p50_microseconds: at(50), p99_microseconds: at(99) }
    }
}

/// What a process used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    pub cpu_seconds: f64,
    pub resident_mib: f64,
}

/// What one connection does, over and over.
pub trait Work: Send + 'static {
    /// One operation.
    fn once(&mut self, connection: &mut Connection) -> impl Future<Output = Result<()>> + Send;
}

/// Lets each of these work on a connection of its own, all at once.
pub async fn drive<W: Work>(
    what: &'static str,
    target: &Target,
    pid: u32,
    times: Times,
    workers: Vec<W>,
) -> Result<Measured> {
    let connections = workers.len();
    let mut ready = Vec::with_capacity(connections);
    for worker in workers {
        ready.push((target.connect().await?, worker));
    }
    let begin = Instant::now() + times.warm_up;
    let end = begin + times.measured;
    let running: Vec<_> =
        ready.into_iter().map(|(connection, worker)| tokio::spawn(run(connection, worker, begin, end))).collect();
    sleep_until(begin).await;
    let before = cpu_seconds(pid)?;
    sleep_until(end).await;
    let used = Used { cpu_seconds: cpu_seconds(pid)? - before, resident_mib: resident_mib(pid)? };
    let latencies = try_join_all(running).await?.into_iter().collect::<Result<Vec<_>>>()?.concat();
    Ok(Measured::new(what, connections, times, &Counted::of(latencies), used))
}

/// The latencies, in microseconds, of what ended within the measured time.
async fn run<W: Work>(mut connection: Connection, mut worker: W, begin: Instant, end: Instant) -> Result<Vec<u32>> {
    let mut latencies = Vec::with_capacity(1 << 16);
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(latencies);
        }
        worker.once(&mut connection).await?;
        let now = Instant::now();
        if now >= begin && now < end {
            latencies.push(u32::try_from((now - start).as_micros()).unwrap_or(u32::MAX));
        }
    }
}
