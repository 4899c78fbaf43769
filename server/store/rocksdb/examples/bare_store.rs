//! What RocksDB alone can do: callers that each have three rows of 800 bytes stored and flushed. `make bench` holds the
//! vault beside it.
//!
//! `bare_store DIRECTORY CALLERS WARM_UP_SECONDS SECONDS merged|single` writes `begin` when the warm-up is over, then
//! `end OPERATIONS P50_MICROSECONDS P99_MICROSECONDS`, and ends with its standard input. `merged`: one thread merges the
//! jobs that wait into one batch; `single`: each caller writes a batch of its own.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocksdb::{DB, Options, WriteBatch, WriteOptions};
use tokio::sync::{mpsc, oneshot};

const ROWS: usize = 3;
const ROW_BYTES: usize = 800;
/// The most jobs in one batch, as in the journal.
const GROUP_MOST: usize = 256;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Job = (usize, oneshot::Sender<()>);

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [directory, callers, warm_up, seconds, way] = words.as_slice() else { return Err("five arguments".into()) };
    let (callers, seconds) = (callers.parse()?, Duration::from_secs_f64(seconds.parse()?));
    let begin = Instant::now() + Duration::from_secs_f64(warm_up.parse()?);
    let db = Arc::new(DB::open(&options(), directory)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let announced = runtime.spawn(async move {
        tokio::time::sleep_until(begin.into()).await;
        println!("begin");
    });
    let mut latencies = match way.as_str() {
        "merged" => runtime.block_on(merged(&db, callers, begin, seconds))?,
        _ => single(&db, callers, begin, seconds)?,
    };
    runtime.block_on(announced)?;
    latencies.sort_unstable();
    let at = |share: f64| latencies.get(share_of(latencies.len(), share)).copied().unwrap_or(0);
    println!("end {} {} {}", latencies.len(), at(0.5), at(0.99));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// One thread writes for all; each caller has one job at a time.
async fn merged(db: &Arc<DB>, callers: usize, begin: Instant, seconds: Duration) -> Result<Vec<u32>, Failed> {
    let (queue, mut jobs) = mpsc::channel::<Job>(GROUP_MOST);
    let written = db.clone();
    let writer = std::thread::spawn(move || -> Result<(), Failed> {
        let mut group = Vec::new();
        while jobs.blocking_recv_many(&mut group, GROUP_MOST) > 0 {
            write(&written, group.iter().map(|(caller, _)| *caller))?;
            for (_, done) in group.drain(..) {
                // A caller that is gone asks for nothing more.
                let _ = done.send(());
            }
        }
        Ok(())
    });
    let callers = (0..callers).map(|caller| {
        let queue = queue.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let (done, answer) = oneshot::channel();
                let start = Instant::now();
                if start >= begin + seconds || queue.send((caller, done)).await.is_err() || answer.await.is_err() {
                    return latencies;
                }
                note(&mut latencies, start, begin, seconds);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    drop(queue);
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await?);
    }
    writer.join().map_err(|_| "the writer panicked")??;
    Ok(latencies)
}

/// Each caller is a thread that writes for itself.
fn single(db: &Arc<DB>, callers: usize, begin: Instant, seconds: Duration) -> Result<Vec<u32>, Failed> {
    let callers = (0..callers).map(|caller| {
        let db = db.clone();
        std::thread::spawn(move || -> Result<Vec<u32>, Failed> {
            let mut latencies = Vec::new();
            loop {
                let start = Instant::now();
                if start >= begin + seconds {
                    return Ok(latencies);
                }
                write(&db, std::iter::once(caller))?;
                note(&mut latencies, start, begin, seconds);
            }
        })
    });
    let mut latencies = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        latencies.extend(caller.join().map_err(|_| "a caller panicked")??);
    }
    Ok(latencies)
}

fn write(db: &DB, callers: impl Iterator<Item = usize>) -> Result<(), Failed> {
    let mut batch = WriteBatch::default();
    for caller in callers {
        for row in 0..ROWS {
            batch.put(format!("caller {caller} row {row}"), [7; ROW_BYTES]);
        }
    }
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    Ok(db.write_opt(batch, &synced)?)
}

/// Counts what ended within the measured time.
fn note(latencies: &mut Vec<u32>, start: Instant, begin: Instant, seconds: Duration) {
    let end = Instant::now();
    if end >= begin && end < begin + seconds {
        latencies.push(u32::try_from((end - start).as_micros()).unwrap_or(u32::MAX));
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(rocksdb::DBCompressionType::None);
    options
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list of measurements"
)]
fn share_of(count: usize, share: f64) -> usize {
    (count as f64 * share) as usize
}
