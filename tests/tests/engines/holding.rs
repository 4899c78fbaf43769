//! One node at a time, on a server that deserves trust.

use claviger_postgres::{OpenError, PostgresStore, Settings, Tls};
use claviger_store::Store as _;
use claviger_tests::postgres::{OTHER_HOST, Postgres, unrelated_ca};

use super::{
    DATABASE, PASSWORD, USER, add_database, admin, at_port, next, open, put, refused, revision, server, settings,
    waits_for_a_lock,
};

#[tokio::test]
async fn a_second_node_is_refused_until_the_first_has_closed() {
    let postgres = server().await;
    let first = open(&postgres).await.unwrap();
    let error = open(&postgres).await.err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.to_string().contains("another server holds it"), "{error}");
    first.commit(put("a", 1)).await.unwrap();

    drop(first);
    let second = open(&postgres).await.unwrap();
    assert_eq!(revision(&second, "a").await, Some(1));
}

/// The lock is the session's: whoever ends it makes room for another node, and the first must notice.
#[tokio::test]
async fn a_node_that_was_replaced_commits_nothing_more() {
    let postgres = server().await;
    let first = open(&postgres).await.unwrap();
    first.commit(put("a", 1)).await.unwrap();
    end_sessions(&postgres).await;
    let second = open(&postgres).await.unwrap();

    let why = refused(first.commit(put("a", 2)).await);
    assert!(why.contains("another server holds it"), "{why}");
    second.commit(next("a", 2)).await.unwrap();
    drop(second);

    // Free again, but what the first remembers may be of another time.
    let why = loop {
        let why = refused(first.commit(put("a", 9)).await);
        if !why.contains("in use") {
            break why;
        }
    };
    assert!(why.contains("start this one anew"), "{why}");
    let third = open(&postgres).await.unwrap();
    assert_eq!(revision(&third, "a").await, Some(2));
    third.commit(next("a", 3)).await.unwrap();
}

/// Where nobody else came meanwhile, it goes on by itself.
#[tokio::test]
async fn a_node_whose_session_was_ended_takes_the_store_again() {
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

/// A lock that a pooler or a database only pretends to give does not let two nodes commit.
#[tokio::test]
async fn without_the_lock_the_tenure_still_tells_who_holds_the_store() {
    let postgres = server().await;
    let first = open(&postgres).await.unwrap();
    first.commit(put("a", 1)).await.unwrap();
    let taken = "UPDATE claviger_node SET holder = 'another', epoch = epoch + 1";
    admin(&postgres).await.batch_execute(taken).await.unwrap();
    for _ in 0..2 {
        let why = refused(first.commit(next("a", 2)).await);
        assert!(why.contains("another server has taken the store"), "{why}");
    }
    assert_eq!(revision(&first, "a").await, Some(1));
}

/// A commit that finds the store about to be taken waits, and is then refused.
#[tokio::test]
async fn a_tenure_is_not_taken_in_the_midst_of_a_commit() {
    let postgres = server().await;
    let store = open(&postgres).await.unwrap();
    let mut taker = admin(&postgres).await;
    let taking = taker.transaction().await.unwrap();
    taking.batch_execute("UPDATE claviger_node SET holder = 'another', epoch = epoch + 1").await.unwrap();
    let (outcome, ()) = tokio::join!(store.commit(put("a", 1)), async {
        waits_for_a_lock(&postgres).await;
        taking.commit().await.unwrap();
    });
    assert!(refused(outcome).contains("another server has taken the store"));
    assert_eq!(revision(&store, "a").await, None);
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
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON claviger_rows, claviger_node TO reader_writer; \
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
