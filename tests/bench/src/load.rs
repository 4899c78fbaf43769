//! Load: connections that each send one request after the other, for a while.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::try_join_all;
use serde::Serialize;
use tokio::runtime;
use tokio::time::Instant;

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

/// Lets each of these work on a connection of its own, all at once. The connections are dealt out to a thread a processor,
/// each with a loop of its own, as load programs do: what moves tasks between threads would take from the server.
pub fn drive<W: Work>(
    what: &'static str,
    target: &Target,
    pid: u32,
    times: Times,
    workers: Vec<W>,
) -> Result<Measured> {
    let connections = workers.len();
    let threads = thread::available_parallelism()?.get().min(connections);
    let mut shares: Vec<Vec<W>> = (0..threads).map(|_| Vec::new()).collect();
    for (worker, thread) in workers.into_iter().zip((0..threads).cycle()) {
        shares.get_mut(thread).unwrap_or(&mut Vec::new()).push(worker);
    }
    let ready = Arc::new(Barrier::new(threads + 1));
    let running: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let (target, ready) = (target.clone(), Arc::clone(&ready));
            thread::spawn(move || one_thread(&target, share, times, &ready))
        })
        .collect();
    ready.wait();
    thread::sleep(times.warm_up);
    let before = cpu_seconds(pid)?;
    thread::sleep(times.measured);
    let used = Used { cpu_seconds: cpu_seconds(pid)? - before, resident_mib: resident_mib(pid)? };
    let mut latencies = Vec::new();
    for thread in running {
        latencies.extend(thread.join().map_err(|_| anyhow!("a thread of the load panicked"))??);
    }
    Ok(Measured::new(what, connections, times, &Counted::of(latencies), used))
}

/// A share of the connections: connects them all, waits until everybody is ready, and lets them work.
fn one_thread<W: Work>(target: &Target, share: Vec<W>, times: Times, ready: &Barrier) -> Result<Vec<u32>> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let connected = runtime.block_on(try_join_all(share.iter().map(|_| target.connect())));
    ready.wait();
    let begin = Instant::now() + times.warm_up;
    let end = begin + times.measured;
    runtime.block_on(async {
        let running = connected?.into_iter().zip(share).map(|(connection, worker)| run(connection, worker, begin, end));
        let tasks: Vec<_> = running.map(tokio::spawn).collect();
        Ok(try_join_all(tasks).await?.into_iter().collect::<Result<Vec<_>>>()?.concat())
    })
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
