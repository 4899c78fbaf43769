//! Crashes between every two durable steps of check-out and of rotation.
//!
//! Every durable step is a commit with an event. So each way through the house is walked once, the kinds of its events
//! are read from the log, and then it is walked again for each of them, with a server that aborts just before the
//! commit that holds such an event, and with one that aborts just after it. The server is started again, whoever asked
//! asks again with the same key, and then everything must be as if nothing had happened. The list cannot go stale.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

#[path = "crash/emergency.rs"]
mod emergency;
#[path = "crash/walk.rs"]
mod walk;
#[path = "crash/ways.rs"]
mod ways;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use claviger_api::wire::TlsMode;
use claviger_tests::inventory::{add_customer, add_postgres, add_system};
use claviger_tests::postgres::Postgres;
use claviger_tests::vault::Vault;
use futures::{FutureExt as _, StreamExt as _, stream};

use crate::walk::Walk;
use crate::ways::{WAYS, Way};

/// Servers at once. Most of the time they wait for the end of a lease.
const AT_ONCE: usize = 16;

#[tokio::test]
async fn whatever_crashes_nothing_is_lost_and_nothing_happens_twice() {
    let postgres = Postgres::start_with(&[("max_connections", "300")]).await;
    let seed = seed(&postgres).await;

    let mut cases = Vec::new();
    for way in WAYS {
        for kind in steps_of(way, &seed, &postgres).await {
            cases.push((way, format!("before:{kind}")));
            cases.push((way, format!("after:{kind}")));
        }
    }
    // Those that wait longest begin first.
    cases.sort_by_key(|(_, crash)| !(crash == "after:rotation.sent" || crash == "before:rotation.outcome"));
    assert!(cases.len() >= 50, "only {} cases", cases.len());

    let run = |(number, (way, crash)): (usize, (&'static Way, String))| {
        let (seed, postgres) = (&seed, &postgres);
        async move {
            let judged = AssertUnwindSafe(survives(way, number, &crash, seed, postgres)).catch_unwind().await;
            judged.err().map(|why| format!("{}, {crash}: {}", way.name, message(why.as_ref())))
        }
    };
    let numbered: Vec<_> = cases.into_iter().enumerate().collect();
    let failed: Vec<String> =
        stream::iter(numbered).map(run).buffer_unordered(AT_ONCE).filter_map(|failed| async { failed }).collect().await;
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

/// A stopped vault with a customer and its systems, from which every case starts.
async fn seed(postgres: &Postgres) -> Vault {
    let mut vault = Vault::start().await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", postgres).await;
    add_system(&administrator, "acme", "db02", postgres.spec(TlsMode::VerifyFull)).await;
    vault.stop().await;
    vault
}

/// The kinds of the events on this way when nothing goes wrong.
async fn steps_of(way: &Way, seed: &Vault, postgres: &Postgres) -> BTreeSet<String> {
    let mut walk = Walk::begin(way, &format!("{}-whole", way.name), None, seed, postgres).await;
    way.go(&mut walk).await;
    let kinds = walk.kinds().await;
    way.judge(&mut walk, postgres).await;
    let distinct: BTreeSet<String> = kinds.iter().cloned().collect();
    assert_eq!(distinct.len(), kinds.len(), "a kind that comes twice on one way is crashed at once only: {kinds:?}");
    assert!(distinct.is_superset(&way.least.iter().map(|kind| (*kind).to_owned()).collect()), "{kinds:?}");
    distinct
}

async fn survives(way: &Way, number: usize, crash: &str, seed: &Vault, postgres: &Postgres) {
    let name = format!("{}-{number}", way.name);
    let mut walk = Walk::begin(way, &name, Some(crash.to_owned()), seed, postgres).await;
    way.go(&mut walk).await;
    walk.crash_has_happened().await;
    way.settled(&mut walk).await;
    way.judge(&mut walk, postgres).await;
}

fn message(why: &(dyn std::any::Any + Send)) -> String {
    let text = why.downcast_ref::<String>().map(String::as_str).or_else(|| why.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
