//! `kill -9` under load: clients check out, reveal, log in, check in and rotate without a pause, while the server is killed
//! again and again. What they were told is kept beside the vault, and in the end the vault, its logs and the real
//! PostgreSQL whose accounts it keeps are held against it.
//!
//! The draws come from one seed, which is printed; how the clients' requests and the kills fall together does not.
//! The engine is the one that `CLAVIGER_TEST_ENGINE` names. `make torture` runs it with 1,000 cycles on each.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

#[path = "torture/clients.rs"]
mod clients;
#[path = "torture/house.rs"]
mod house;
#[path = "torture/judge.rs"]
mod judge;
#[path = "torture/rest.rs"]
mod rest;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::clients::{Ledger, Worker};
use crate::house::{House, WORKERS};
use crate::rest::Rest;

/// The variable with the number of kills of the long test.
const CYCLES: &str = "CLAVIGER_TORTURE_CYCLES";
/// The variable with the seed of all draws.
const SEED: &str = "CLAVIGER_TORTURE_SEED";
/// So long the server serves after its first answer, in milliseconds.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 0..300;
/// Longer than a server needs for its first answer.
const SOON: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost_to_kill_nine_under_load() {
    torture(25, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the same with 1,000 kills takes half an hour: make torture"]
async fn nothing_that_was_acknowledged_is_lost_to_a_thousand_kills_under_load() {
    torture(number(CYCLES).map_or(1_000, |cycles| usize::try_from(cycles).unwrap()), 16).await;
}

async fn torture(cycles: usize, systems: usize) {
    let seed = number(SEED).unwrap_or_else(drawn_seed);
    println!("{cycles} kills, {SEED}={seed}");
    let mut house = House::start(systems).await;
    let mut random = StdRng::seed_from_u64(seed);
    let (ledger, over) = (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicBool::new(false)));
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| Worker::new(&house, number, random.random(), &ledger, &over))
        .map(|worker| tokio::spawn(worker.work()))
        .collect();

    for _ in 0..cycles {
        let before = ledger.lock().unwrap().acknowledged;
        until("an answer", SOON, async || (ledger.lock().unwrap().acknowledged > before).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(LIFE_MILLISECONDS))).await;
        house.kill_and_start_again().await;
    }
    over.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }

    let rest = Rest::of(&house).await;
    rest.come(&house, &ledger).await;
    judge::accounts(&house, &ledger).await;
    rest.come(&house, &ledger).await;
    let ledger = std::mem::take(&mut *ledger.lock().unwrap());
    println!("{}", ledger.told());
    judge::judge(&house, &ledger, &rest.administrator, cycles).await;
}

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, and not `{text}`")))
}

fn drawn_seed() -> u64 {
    u64::from_str_radix(&random_text()[1..16], 16).unwrap()
}
