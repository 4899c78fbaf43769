//! The conformance laws, each on a database of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use claviger_postgres::{PostgresStore, Settings};
use claviger_store::Store;
use claviger_store::conformance::{Broken, Factory, run_all};
use claviger_tests::postgres::Postgres;

use super::{add_database, server, settings};

struct Databases {
    postgres: Postgres,
    made: AtomicUsize,
}

impl Databases {
    async fn open(&self, number: usize) -> Arc<dyn Store> {
        let named = Settings { database: name(number), ..settings(&self.postgres) };
        Arc::new(PostgresStore::open(named).await.unwrap())
    }
}

#[async_trait]
impl Factory for Databases {
    async fn fresh(&self) -> Arc<dyn Store> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        add_database(&self.postgres, &name(number)).await;
        self.open(number).await
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.open(self.made.load(Ordering::Relaxed) - 1).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_every_law() {
    let databases = Databases { postgres: server().await, made: AtomicUsize::new(0) };
    assert_eq!(run_all(&databases).await, Vec::<Broken>::new());
}

fn name(number: usize) -> String {
    format!("law_{number}")
}
