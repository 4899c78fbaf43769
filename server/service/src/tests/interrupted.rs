//! A store that lets something else happen right after it has read: the moment between a look and a decision.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use claviger_crypto::Seeded;
use claviger_store::{Batch, CommitError, MemoryStore, Range, ReadError, Row, Store, StoreKey, Table, View};
use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::world::World;
use crate::{Ground, Vault};

/// What stands for a view, where a table has its tag.
const VIEW: u8 = u8::MAX;
/// What stands for a commit, beside a table's tag.
const COMMIT: u8 = 0x80;

pub struct Interrupted {
    inner: MemoryStore,
    after: Mutex<Option<(u8, BoxFuture<'static, ()>)>>,
}

impl Interrupted {
    /// Lets this happen after the next read of this table.
    pub fn after(&self, table: Table, meanwhile: impl Future<Output = ()> + Send + 'static) {
        *self.after.lock() = Some((table.tag(), Box::pin(meanwhile)));
    }

    /// Lets this happen before the next commit that begins with a row of this table.
    pub fn before_commit(&self, table: Table, meanwhile: impl Future<Output = ()> + Send + 'static) {
        *self.after.lock() = Some((table.tag() | COMMIT, Box::pin(meanwhile)));
    }

    /// Lets this happen after the next view was taken.
    pub fn after_view(&self, meanwhile: impl Future<Output = ()> + Send + 'static) {
        *self.after.lock() = Some((VIEW, Box::pin(meanwhile)));
    }

    /// Whether it has happened.
    pub fn has_interrupted(&self) -> bool {
        self.after.lock().is_none()
    }

    async fn interrupt(&self, table: u8) {
        let meanwhile = {
            let mut after = self.after.lock();
            let hit = after.as_ref().is_some_and(|(wanted, _)| *wanted == table);
            if hit { after.take() } else { None }
        };
        if let Some((_, meanwhile)) = meanwhile {
            meanwhile.await;
        }
    }
}

#[async_trait]
impl Store for Interrupted {
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        let row = self.inner.get(key).await;
        self.interrupt(key.as_bytes()[0]).await;
        row
    }

    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        let rows = self.inner.scan(range).await;
        self.interrupt(range.start.as_bytes()[0]).await;
        rows
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        if let Some((key, _)) = batch.put.first() {
            self.interrupt(key.as_bytes()[0] | COMMIT).await;
        }
        self.inner.commit(batch).await
    }

    async fn view(&self) -> Result<Box<dyn View>, ReadError> {
        let view = Store::view(&self.inner).await;
        self.interrupt(VIEW).await;
        view
    }
}

impl World {
    /// The world, on a store that can be interrupted.
    pub async fn interrupted() -> (Self, Arc<Interrupted>) {
        let mut world = Self::new().await;
        let store = Arc::new(Interrupted { inner: world.store.clone(), after: Mutex::new(None) });
        let ground = Ground { store: store.clone(), random: Arc::new(Seeded::new(77)), ..world.vault.ground().clone() };
        world.vault = Vault::new(ground).into();
        world.unseal().await;
        (world, store)
    }
}
