//! The engine on a real PostgreSQL: the laws, and what is particular to a store behind a network.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "engines/faults.rs"]
mod faults;
#[path = "engines/holding.rs"]
mod holding;
#[path = "engines/laws.rs"]
mod laws;
#[path = "engines/transactions.rs"]
mod transactions;
#[path = "engines/vault.rs"]
mod vault;

use std::time::Duration;

use claviger_postgres::{Deadlines, OpenError, PostgresStore, Settings, Tls};
use claviger_store::{Batch, CommitError, Expected, Row, Store, StoreKey};
use claviger_tests::poll::until;
use claviger_tests::postgres::{HOST, Postgres, SUPERUSER};

/// Longer than any pause or wait in between, on a loaded machine.
const SOON: Duration = Duration::from_secs(30);

/// The role that the store logs in as: it owns nothing but its database.
const USER: &str = "vault";
const PASSWORD: &str = "a password of the test's own";
const DATABASE: &str = "vault";

/// A server that keeps what it acknowledges, and a database of a role's own.
async fn server() -> Postgres {
    let postgres = Postgres::start_with(&[("fsync", "on")]).await;
    postgres.create_role(USER, PASSWORD).await;
    add_database(&postgres, DATABASE).await;
    postgres
}

async fn add_database(postgres: &Postgres, name: &str) {
    postgres.run_sql(&format!("CREATE DATABASE {name} OWNER {USER}")).await;
}

/// The store as an operator would set it up.
fn settings(postgres: &Postgres) -> Settings {
    let tls = Tls::VerifyFull { ca_certificate: Some(postgres.ca_certificate().to_owned()) };
    Settings { tls, ..at_port(postgres.port()) }
}

/// The store on a bare connection, e.g. a line that fails.
fn at_port(port: u16) -> Settings {
    let password = claviger_api::Secret::new(PASSWORD.to_owned()).unwrap();
    let (host, database, user) = (HOST.to_owned(), DATABASE.to_owned(), USER.to_owned());
    Settings { host, port, database, user, password, tls: Tls::Disable }
}

async fn open(postgres: &Postgres) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(settings(postgres)).await
}

/// For tests that let a deadline pass.
fn short() -> Deadlines {
    let second = Duration::from_secs(1);
    Deadlines { connect: 5 * second, statement: 2 * second, commit: second }
}

/// A session of the superuser in the store's database.
async fn admin(postgres: &Postgres) -> tokio_postgres::Client {
    postgres.client(SUPERUSER, postgres.superuser_secret().expose(), DATABASE).await.unwrap()
}

fn key(name: &str) -> StoreKey {
    StoreKey::from_stored(name.as_bytes())
}

fn put(name: &str, revision: u64) -> Batch {
    Batch { put: vec![(key(name), Row { revision, value: b"sealed".as_slice().into() })], ..Batch::default() }
}

/// Puts the next revision, if the row is of the one before; from 1 on, the row is new.
fn next(name: &str, revision: u64) -> Batch {
    let before = if revision == 1 { Expected::Absent } else { Expected::Revision(revision - 1) };
    Batch { expect: vec![(key(name), before)], ..put(name, revision) }
}

async fn revision(store: &dyn Store, name: &str) -> Option<u64> {
    store.get(&key(name)).await.unwrap().map(|row| row.revision)
}

fn refused(outcome: Result<(), CommitError>) -> String {
    match outcome.unwrap_err() {
        CommitError::Refused(why) => why,
        other @ (CommitError::Conflict(_) | CommitError::OutcomeUnknown(_)) => panic!("not refused: {other}"),
    }
}

/// Waits until a commit of the store's waits for somebody else's lock.
async fn waits_for_a_lock(postgres: &Postgres) {
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'claviger' AND wait_event_type = 'Lock'";
    let watcher = admin(postgres).await;
    until("the commit waits", SOON, async || watcher.query_opt(waiting, &[]).await.unwrap()).await;
}
