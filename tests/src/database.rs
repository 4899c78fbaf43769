//! Where the rows of a server under test are: in its data directory, or, where `CLAVIGER_TEST_ENGINE` says `postgresql`, in a
//! database of the test's own.

#![expect(clippy::unwrap_used, reason = "a test whose store does not start cannot go on")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use claviger_api::Secret;
use claviger_postgres::{PostgresStore, Settings, Tls};
use claviger_store::Store;
use rustix::process::{Pid, Signal, kill_process};

use crate::postgres::{HOST, Postgres, SUPERUSER, random_text};

/// The variable that says which engine the servers of a test run on.
pub const ENGINE: &str = "CLAVIGER_TEST_ENGINE";
/// Many servers at once, each with some sessions, work on one PostgreSQL.
const SESSIONS_MOST: &str = "400";

/// A database that is a store, and the PostgreSQL that it is in.
#[derive(Clone)]
pub struct Database {
    postgres: Arc<Postgres>,
    name: String,
    password: String,
    copies: Arc<AtomicU32>,
}

impl Database {
    /// An empty one where the tests run on PostgreSQL.
    pub async fn chosen() -> Option<Self> {
        match std::env::var(ENGINE).as_deref() {
            Err(_) | Ok("rocksdb") => None,
            Ok("postgresql") => Some(Self::start().await),
            Ok(other) => panic!("{ENGINE} is `rocksdb` or `postgresql`, and not `{other}`"),
        }
    }

    /// An empty one, in a PostgreSQL of its own that keeps what it acknowledges.
    pub async fn start() -> Self {
        // What the store says is sealed, and long.
        let settings = [("fsync", "on"), ("log_statement", "none"), ("max_connections", SESSIONS_MOST)];
        let postgres = Arc::new(Postgres::start_with(&settings).await);
        let database =
            Self { postgres, name: "vault".to_owned(), password: random_text(), copies: Arc::new(AtomicU32::new(1)) };
        database.postgres.create_role(USER, &database.password).await;
        database.create("template1").await;
        database
    }

    /// Another one in the same PostgreSQL, with what is in this one, on which nobody works.
    pub async fn copy(&self) -> Self {
        let number = self.copies.fetch_add(1, Ordering::Relaxed) + 1;
        let copy = Self {
            postgres: self.postgres.clone(),
            name: format!("vault_{number}"),
            password: self.password.clone(),
            copies: self.copies.clone(),
        };
        copy.create(&self.name).await;
        copy
    }

    /// Takes the place of another one with what is in this one; nobody works on either.
    pub async fn put_in_place_of(&self, other: &Self) {
        other.drop_database().await;
        other.create(&self.name).await;
    }

    /// Empties it.
    pub async fn empty(&self) {
        self.drop_database().await;
        self.create("template1").await;
    }

    /// Has the PostgreSQL that it is in crash: one of its processes is killed, so that it ends all of them, and begins anew from
    /// its log.
    pub async fn crash(&self) {
        let one = "SELECT pid FROM pg_stat_activity WHERE application_name = 'claviger' LIMIT 1";
        let pid: i32 = self.admin().await.query_one(one, &[]).await.unwrap().get(0);
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    /// The PostgreSQL that it is in.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a server's configuration names it, at a port of a line to it or at its own. The files that it names are written
    /// into this folder, for the files' owner alone.
    pub fn config(&self, folder: &Path, port: Option<u16>) -> String {
        let [password, ca] = Self::files(folder);
        private(&password, &self.password);
        private(&ca, self.postgres.ca_certificate());
        let tls = if port.is_some() { "tls = 'disable'" } else { "tls = 'verify-full'" };
        format!(
            "[store]\nengine = 'postgresql'\nhost = '{HOST}'\nport = {}\ndatabase = '{}'\nuser = '{USER}'\n\
             password_file = '{}'\nca_certificate = '{}'\n{tls}\n",
            port.unwrap_or_else(|| self.postgres.port()),
            self.name,
            password.display(),
            ca.display(),
        )
    }

    /// The files that the configuration names.
    pub fn files(folder: &Path) -> [PathBuf; 2] {
        [folder.join("database-password"), folder.join("database-ca.pem")]
    }

    /// The store, as whoever has the password sees it.
    pub async fn store(&self) -> Arc<dyn Store> {
        let settings = Settings {
            host: HOST.to_owned(),
            port: self.postgres.port(),
            database: self.name.clone(),
            user: USER.to_owned(),
            password: Secret::new(self.password.clone()).unwrap(),
            tls: Tls::Disable,
        };
        Arc::new(PostgresStore::open(settings).await.unwrap())
    }

    /// A session of the superuser in it.
    pub async fn admin(&self) -> tokio_postgres::Client {
        let secret = self.postgres.superuser_secret();
        self.postgres.client(SUPERUSER, secret.expose(), &self.name).await.unwrap()
    }

    /// All that lies in it, row by row.
    pub async fn rows(&self) -> Vec<(String, Vec<u8>)> {
        let rows = self.admin().await.query("SELECT key || value FROM claviger_rows", &[]).await.unwrap();
        (0..).zip(&rows).map(|(number, row)| (format!("row {number}"), row.get(0))).collect::<Vec<(String, _)>>()
    }

    async fn create(&self, template: &str) {
        self.postgres.run_sql(&format!("CREATE DATABASE {} OWNER {USER} TEMPLATE {template}", self.name)).await;
    }

    async fn drop_database(&self) {
        self.postgres.run_sql(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

/// The role that owns the databases, and nothing else.
const USER: &str = "vault";

fn private(path: &Path, text: &str) {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.unwrap().write_all(text.as_bytes()).unwrap();
}
