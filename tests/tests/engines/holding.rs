//! Several nodes on one store, on a server that deserves trust.

use std::time::Instant;

use claviger_postgres::limits::{LEASE, TURN_MOST};
use claviger_postgres::{OpenError, PostgresStore, Settings, Tls};
use claviger_store::{CommitError, Member, Store as _};
use claviger_tests::poll::until;
use claviger_tests::postgres::{OTHER_HOST, Postgres, unrelated_ca};

use super::{
    DATABASE, PASSWORD, SOON, USER, add_database, admin, at_port, key, next, open, put, refused, revision, server,
    settings,
};

/// A node that has joined.
async fn member(postgres: &Postgres) -> std::sync::Arc<dyn Member> {
    open(postgres).await.unwrap().join().await.unwrap().unwrap()
}

/// As if nobody had been heard of for longer than a lease.
async fn silence(postgres: &Postgres) {
    let ago = format!("UPDATE claviger_members SET heard_at = heard_at - interval '{} seconds'", LEASE.as_secs() + 1);
    admin(postgres).await.batch_execute(&ago).await.unwrap();
}

#[tokio::test]
async fn two_nodes_work_on_one_store_and_see_each_other() {
    let postgres = server().await;
    let (first, second) = (member(&postgres).await, member(&postgres).await);
    first.commit(next("a", 1)).await.unwrap();
    assert_eq!(second.get(&key("a")).await.unwrap().unwrap().revision, 1);
    second.commit(next("a", 2)).await.unwrap();
    assert_eq!(first.commit(next("a", 2)).await, Err(CommitError::Conflict(key("a"))));
    first.commit(next("a", 3)).await.unwrap();

    // Each hears of the other's keys and not of its own, once and in order.
    second.commit(next("b", 1)).await.unwrap();
    let heard = first.hear().await.unwrap();
    assert_eq!((heard.member, heard.news), (true, Some(vec![key("a"), key("b")])));
    assert_eq!(first.hear().await.unwrap().news, Some(Vec::new()));
    assert_eq!(second.hear().await.unwrap().news, Some(vec![key("a"), key("a")]));
}

#[tokio::test]
async fn who_has_the_turn_knows_all_and_keeps_the_others_waiting() {
    let postgres = server().await;
    let (first, second) = (member(&postgres).await, member(&postgres).await);
    second.commit(next("a", 1)).await.unwrap();
    let mut turn = first.turn().await.unwrap();
    assert_eq!(turn.news(), [key("a")]);

    let waiting = tokio::spawn(async move {
        let done = second.commit(next("a", 2)).await;
        (second, done)
    });
    super::waits_for_a_lock(&postgres).await;
    assert!(!waiting.is_finished());
    turn.commit(next("a", 2), vec![key("told")]).await.unwrap();
    let (second, done) = waiting.await.unwrap();
    assert_eq!(done, Err(CommitError::Conflict(key("a"))));
    // What it is told is what the first one chose to say.
    assert_eq!(second.hear().await.unwrap().news, Some(vec![key("told")]));

    first.turn().await.unwrap().pass().await;
    drop(first.turn().await.unwrap());
    until("a turn that was dropped is free", SOON, async || second.commit(next("b", 1)).await.ok()).await;
}

/// Many at once: each adds one to the same row, and none is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_want_the_same_row_at_once_lose_nothing() {
    const EACH: u64 = 15;
    let postgres = server().await;
    let nodes = [member(&postgres).await, member(&postgres).await, member(&postgres).await];
    let adding = nodes.map(|node| {
        tokio::spawn(async move {
            for _ in 0..EACH {
                let turn = node.turn().await.unwrap();
                let now = node.get(&key("sum")).await.unwrap().map_or(0, |row| row.revision);
                turn.commit(next("sum", now + 1), Vec::new()).await.unwrap();
            }
        })
    });
    for node in adding {
        node.await.unwrap();
    }
    let store = open(&postgres).await.unwrap();
    assert_eq!(revision(&store, "sum").await, Some(3 * EACH));
}

/// Whoever stops in the midst of a turn keeps the others waiting for a moment, and is too late then.
#[tokio::test]
async fn a_turn_that_is_held_too_long_is_lost() {
    let postgres = server().await;
    let (first, second) = (member(&postgres).await, member(&postgres).await);
    let turn = first.turn().await.unwrap();
    let begun = Instant::now();
    second.commit(next("a", 1)).await.unwrap();
    let waited = begun.elapsed();
    assert!(waited > TURN_MOST / 2 && waited < TURN_MOST * 3, "{waited:?}");
    assert!(turn.commit(next("b", 1), Vec::new()).await.is_err());
    assert_eq!(second.get(&key("b")).await.unwrap(), None);
    until("it has another", SOON, async || first.commit(next("b", 1)).await.ok()).await;
}

#[tokio::test]
async fn anvil_late_writer_a_node_that_was_silent_for_too_long_commits_nothing_more() {
    let postgres = server().await;
    let (first, second) = (member(&postgres).await, member(&postgres).await);
    first.commit(next("a", 1)).await.unwrap();
    silence(&postgres).await;
    let third = member(&postgres).await;
    for node in [&first, &second] {
        let why = refused(node.commit(next("a", 2)).await);
        assert!(why.contains("was not heard of for too long"), "{why}");
        assert!(node.turn().await.is_err());
        // It does not come back to life by saying that it lives.
        assert!(!node.hear().await.unwrap().member);
        assert!(!node.hear().await.unwrap().member);
    }
    third.commit(next("a", 2)).await.unwrap();
    assert!(third.hear().await.unwrap().member);
    // What was committed before it joined it does not hear of: it remembers nothing of it.
    assert_eq!(third.hear().await.unwrap().news, Some(Vec::new()));
}

#[tokio::test]
async fn a_piece_of_work_is_one_nodes_until_it_gives_it_back_or_is_gone() {
    let postgres = server().await;
    let (first, second) = (member(&postgres).await, member(&postgres).await);
    assert!(first.claim("rotate").await.unwrap());
    assert!(first.claim("rotate").await.unwrap(), "it has it");
    assert!(!second.claim("rotate").await.unwrap());
    assert!(second.claim("look").await.unwrap());
    second.release("rotate").await.unwrap();
    assert!(!second.claim("rotate").await.unwrap(), "nobody gives back what is another's");
    first.release("rotate").await.unwrap();
    assert!(second.claim("rotate").await.unwrap());

    second.leave().await.unwrap();
    assert!(first.claim("rotate").await.unwrap() && first.claim("look").await.unwrap());
    silence(&postgres).await;
    let third = member(&postgres).await;
    assert!(third.claim("rotate").await.unwrap());
    refused(first.commit(next("a", 1)).await);
    assert!(!member(&postgres).await.claim("rotate").await.unwrap());
}

/// What is told is not kept for ever: whoever was away for longer knows that it does not know.
#[tokio::test]
async fn a_gap_in_what_is_told_is_noticed() {
    let postgres = server().await;
    let (first, second) = (member(&postgres).await, member(&postgres).await);
    for n in 1..4 {
        first.commit(next("a", n)).await.unwrap();
    }
    admin(&postgres).await.batch_execute("DELETE FROM claviger_news WHERE epoch = 2").await.unwrap();
    assert_eq!(second.hear().await.unwrap().news, None);
    assert!(second.turn().await.is_err());
    admin(&postgres).await.batch_execute("DELETE FROM claviger_news").await.unwrap();
    assert_eq!(member(&postgres).await.hear().await.unwrap().news, Some(Vec::new()));
    let third = member(&postgres).await;
    first.commit(next("a", 4)).await.unwrap();
    admin(&postgres).await.batch_execute("DELETE FROM claviger_news").await.unwrap();
    assert_eq!(third.hear().await.unwrap().news, None, "also where nothing is told at all");
}

/// A server of a version that works alone, and ours, do not work on one store.
#[tokio::test]
async fn a_server_of_an_earlier_version_is_alone_or_not_at_all() {
    let postgres = server().await;
    let earlier = admin(&postgres).await;
    let alone = "SELECT pg_try_advisory_lock(7164208268442035570)";
    assert!(earlier.query_one(alone, &[]).await.unwrap().get::<_, bool>(0));
    let error = open(&postgres).await.err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)) && error.to_string().contains("earlier version"), "{error}");
    earlier.query_one("SELECT pg_advisory_unlock_all()::text", &[]).await.unwrap();

    let ours = member(&postgres).await;
    assert!(!earlier.query_one(alone, &[]).await.unwrap().get::<_, bool>(0), "it is told that somebody is here");
    earlier.batch_execute("UPDATE claviger_node SET holder = 'earlier', epoch = epoch + 1").await.unwrap();
    let why = refused(ours.commit(next("a", 1)).await);
    assert!(why.contains("earlier version has taken the store"), "{why}");
}

/// It goes on by itself.
#[tokio::test]
async fn a_node_whose_session_was_ended_makes_another() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    store.commit(put("a", 1)).await.unwrap();
    for n in 2..5 {
        end_sessions(&postgres).await;
        let mut outcome = store.commit(next("a", n)).await;
        // The end of the session may be met by this very commit.
        if outcome.is_err() {
            refused(outcome);
            outcome = store.commit(next("a", n)).await;
        }
        outcome.unwrap();
        assert_eq!(revision(&store, "a").await, Some(n));
    }
}

#[tokio::test]
async fn a_server_that_may_lose_what_it_acknowledged_is_refused() {
    let postgres = Postgres::start().await;
    postgres.create_role(USER, PASSWORD).await;
    add_database(&postgres, DATABASE).await;
    let error = open(&postgres).await.err().unwrap();
    assert!(matches!(error, OpenError::NotDurable(_)) && error.to_string().contains("set fsync = on"), "{error}");
}

#[tokio::test]
async fn only_the_named_server_and_the_right_password_open() {
    let postgres = server().await;
    let ca = |pem: &str| Tls::VerifyFull { ca_certificate: Some(pem.to_owned()) };
    let right = postgres.ca_certificate();
    let closed = [
        Settings { tls: ca(&unrelated_ca()), ..settings(&postgres) },
        Settings { host: OTHER_HOST.to_owned(), tls: ca(right), ..settings(&postgres) },
        Settings { database: "nowhere".to_owned(), ..settings(&postgres) },
        Settings { password: postgres.superuser_secret(), ..settings(&postgres) },
        Settings { port: 1, ..settings(&postgres) },
    ];
    for wrong in closed {
        let place = wrong.to_string();
        let error = PostgresStore::open(wrong).await.err().unwrap();
        assert!(matches!(&error, OpenError::Closed { place: said, .. } if *said == place), "{place}: {error}");
        assert!(!error.to_string().contains(postgres.superuser_secret().expose()), "{error}");
    }
    assert!(PostgresStore::open(Settings { tls: ca(right), ..settings(&postgres) }).await.is_ok());
    drop(PostgresStore::open(at_port(postgres.port())).await.unwrap());
}

/// TLS that the server does not offer is not done without.
#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let postgres = Postgres::start_with(&[("fsync", "on"), ("ssl", "off")]).await;
    let error = open(&postgres).await.err().unwrap();
    assert!(error.to_string().contains("does not support TLS"), "{error}");
}

/// Where the tables are there already, the role needs no right to create any.
#[tokio::test]
async fn tables_that_an_administrator_made_are_used() {
    let postgres = server().await;
    drop(open(&postgres).await.unwrap());
    postgres.create_role("reader_writer", PASSWORD).await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON claviger_rows, claviger_node, claviger_members, \
                 claviger_claims, claviger_news TO reader_writer; \
                 REVOKE CREATE ON SCHEMA public FROM PUBLIC";
    admin(&postgres).await.batch_execute(grant).await.unwrap();
    let store = PostgresStore::open(Settings { user: "reader_writer".to_owned(), ..settings(&postgres) }).await;
    let store = store.unwrap();
    store.commit(next("a", 1)).await.unwrap();
    assert_eq!(revision(&store, "a").await, Some(1));
}

/// Ends every session of the store, as a restart of a pooler or an administrator may.
async fn end_sessions(postgres: &Postgres) {
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'claviger'";
    let ended = admin(postgres).await.query(end, &[]).await.unwrap();
    assert!(!ended.is_empty() && ended.iter().all(|row| row.get(0)));
}
