//! The server goes away, or the line to it does, before, during and after COMMIT.

use std::time::{Duration, Instant};

use claviger_postgres::PostgresStore;
use claviger_store::{CommitError, Store as _};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::poll::until;
use claviger_tests::postgres::Postgres;

use super::{SOON, admin, at_port, key, next, open, put, refused, revision, server, short};

#[tokio::test]
async fn a_server_that_stops_is_refused_and_comes_back_without_a_restart() {
    let mut postgres = server().await;
    let store = open(&postgres).await.unwrap();
    store.commit(next("a", 1)).await.unwrap();
    assert_eq!(revision(&store, "a").await, Some(1));

    postgres.stop().await;
    for _ in 0..3 {
        refused(store.commit(next("a", 2)).await);
        store.get(&key("a")).await.unwrap_err();
    }
    postgres.start_again().await;
    until("commits are taken again", SOON, async || store.commit(next("a", 2)).await.ok()).await;
    let read = until("reads are answered again", SOON, async || store.get(&key("a")).await.ok()).await;
    assert_eq!(read.unwrap().revision, 2);
}

/// While nothing answers, most commits are refused at once, and no connection is tried for them.
#[tokio::test]
async fn a_server_that_is_away_is_not_hammered() {
    let mut postgres = server().await;
    let store = open(&postgres).await.unwrap();
    postgres.stop().await;
    let listener = tokio::net::TcpListener::bind(postgres.address()).await.unwrap();
    let counting = tokio::spawn(async move {
        let mut dialled = 0;
        while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::from_secs(2), listener.accept()).await {
            drop(stream);
            dialled += 1;
        }
        dialled
    });
    let start = Instant::now();
    let mut commits = 0;
    while start.elapsed() < Duration::from_secs(1) {
        refused(store.commit(put("a", 1)).await);
        commits += 1;
        tokio::task::yield_now().await;
    }
    let dialled = counting.await.unwrap();
    assert!((2..=5).contains(&dialled), "pauses of 100, 200, 400 and 800 ms, and {dialled} connections");
    assert!(commits > 20);
}

#[tokio::test]
async fn a_lost_answer_to_commit_is_unknown_and_was_applied() {
    let (postgres, line) = behind_a_line().await;
    let store = PostgresStore::open(at_port(line.address().port())).await.unwrap();
    line.set(Fault::LoseReply(Statement::Containing("COMMIT".to_owned())));
    unknown(&store.commit(next("a", 1)).await);
    assert!(line.fired());
    assert_eq!(revision(&store, "a").await, Some(1));
    store.commit(next("a", 2)).await.unwrap();
    assert_eq!(stored(&postgres).await, 1);
}

#[tokio::test]
async fn an_answer_to_commit_that_never_comes_is_unknown() {
    let (_postgres, line) = behind_a_line().await;
    let store = PostgresStore::open_with(at_port(line.address().port()), short()).await.unwrap();
    line.set(Fault::HoldReply(Statement::Containing("COMMIT".to_owned())));
    unknown(&store.commit(next("a", 1)).await);
    assert!(line.fired());
    assert_eq!(revision(&store, "a").await, Some(1));
    store.commit(next("a", 2)).await.unwrap();
}

#[tokio::test]
async fn a_lost_commit_is_unknown_and_was_not_applied() {
    let (postgres, line) = behind_a_line().await;
    let store = PostgresStore::open(at_port(line.address().port())).await.unwrap();
    line.set(Fault::LoseStatement(Statement::Containing("COMMIT".to_owned())));
    unknown(&store.commit(next("a", 1)).await);
    assert!(line.fired());
    assert_eq!(revision(&store, "a").await, None);
    store.commit(next("a", 1)).await.unwrap();
    assert_eq!(stored(&postgres).await, 1);
}

#[tokio::test]
async fn what_is_lost_before_commit_is_refused_and_was_not_applied() {
    let (postgres, line) = behind_a_line().await;
    let store = PostgresStore::open_with(at_port(line.address().port()), short()).await.unwrap();
    let begin = || Statement::Containing("BEGIN".to_owned());
    for fault in [Fault::LoseStatement(begin()), Fault::LoseReply(begin()), Fault::HoldReply(begin())] {
        line.set(fault.clone());
        refused(store.commit(next("a", 1)).await);
        assert!(line.fired(), "{fault:?}");
        assert_eq!(stored(&postgres).await, 0, "{fault:?}");
    }
    store.commit(next("a", 1)).await.unwrap();
}

/// The journal's thread has a runtime of its own, without a network.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_network_of_its_own_is_served() {
    let mut postgres = server().await;
    let store = open(&postgres).await.unwrap();
    postgres.stop().await;
    postgres.start_again().await;
    let journal = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async move {
            until("the store is taken again", SOON, async || store.commit(next("a", 1)).await.ok()).await;
            revision(&store, "a").await
        })
    });
    let read = tokio::task::spawn_blocking(|| journal.join().unwrap()).await.unwrap();
    assert_eq!(read, Some(1));
}

/// A session that lay idle has died: a read is asked again on another.
#[tokio::test]
async fn a_read_survives_the_end_of_an_idle_session() {
    let (postgres, line) = behind_a_line().await;
    let store = PostgresStore::open(at_port(line.address().port())).await.unwrap();
    store.commit(next("a", 1)).await.unwrap();
    assert_eq!(revision(&store, "a").await, Some(1));
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE query LIKE 'SELECT revision%'";
    let ended = admin(&postgres).await.query(end, &[]).await.unwrap();
    assert_eq!(ended.len(), 1, "the reader, and not the writer");
    assert_eq!(revision(&store, "a").await, Some(1));
}

#[tokio::test]
async fn a_server_that_never_speaks_is_given_up() {
    let (_postgres, line) = behind_a_line().await;
    line.set(Fault::Hang);
    let error = PostgresStore::open_with(at_port(line.address().port()), short()).await.err().unwrap();
    assert!(error.to_string().contains("no answer within 5 s"), "{error}");
}

async fn behind_a_line() -> (Postgres, Faulty) {
    let postgres = server().await;
    let line = Faulty::before(postgres.address()).await;
    (postgres, line)
}

fn unknown(outcome: &Result<(), CommitError>) {
    assert!(matches!(outcome, Err(CommitError::OutcomeUnknown(_))), "{outcome:?}");
}

/// How many rows the database holds, by its own word.
async fn stored(postgres: &Postgres) -> i64 {
    admin(postgres).await.query_one("SELECT count(*) FROM claviger_rows", &[]).await.unwrap().get(0)
}
