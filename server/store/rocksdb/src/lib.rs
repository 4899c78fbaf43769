//! The embedded engine: RocksDB with synced writes.
//!
//! - **Blocking.** Reads are done where they are called: they are in-process and take microseconds. A commit blocks its
//!   thread for one flush of the disk; its caller is the journal, on a thread of its own.
//! - **Fail closed.** After a write failed, nobody knows whether it is in the log of RocksDB (WAL), and RocksDB's own
//!   state is in doubt. So the store refuses every further commit until it has opened its files again, which replays
//!   that log. The next commit tries it by itself: once the disk takes writes again, no restart is needed. Until then
//!   reads show what was there before the failed write, and only a commit's expectations can tell whether it happened.
//! - **Room.** Below [`Settings::reserve_bytes`] of free disk a commit is refused before it touches a file, so that a
//!   full disk is a clear refusal and not an unknown outcome.
//! - **On disk** a value is `revision be8 ‖ sealed bytes`; nothing is compressed, because nothing sealed can be.

mod directory;
mod options;
mod recent;
mod view;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use claviger_store::{Batch, CommitError, Range, ReadError, Row, Store, StoreKey, View};
use parking_lot::{Mutex, RwLock};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, DBIterator, Direction, IteratorMode, ReadOptions};

pub use directory::OpenError;

use crate::options::options;
use crate::recent::Recent;
use crate::view::Views;
use crate::write::Health;

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Free bytes on the disk below which commits are refused. By default 256 MiB: two memtables (64 MiB each) that
    /// are still to be written, and as much again for the compaction they cause.
    pub reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reserve_bytes: 256 << 20 }
    }
}

/// A store in a directory of its own. One process opens it at a time.
pub struct RocksStore {
    directory: PathBuf,
    settings: Settings,
    /// `None` after it could not be opened again.
    db: RwLock<Option<Arc<DB>>>,
    /// Held by the commit under way: expectations are checked and the batch written under one lock.
    commits: Mutex<Health>,
    recent: Recent,
    views: Views,
}

impl RocksStore {
    /// Opens the store in this directory, or makes it (mode 0700). A directory that others may enter is refused.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(directory, Settings::default())
    }

    /// [`RocksStore::open`], otherwise than by default.
    pub fn open_with(directory: impl AsRef<Path>, settings: Settings) -> Result<Self, OpenError> {
        let directory = directory.as_ref().to_owned();
        directory::prepare(&directory)?;
        let db = open_db(&directory)?;
        Ok(Self {
            directory,
            settings,
            db: RwLock::new(Some(Arc::new(db))),
            commits: Mutex::new(Health::Sound),
            recent: Recent::new(),
            views: Views::default(),
        })
    }

    /// Why commits are refused since a write failed; `None` while all is well.
    pub fn failure(&self) -> Option<String> {
        match &*self.commits.lock() {
            Health::Sound => None,
            Health::Failed(why) => Some(why.clone()),
        }
    }

    /// A copy of the store as of now, in a new directory (mode 0700) on the same disk: it shares files by hard links.
    pub fn checkpoint(&self, to: impl AsRef<Path>) -> Result<(), OpenError> {
        let to = to.as_ref();
        let db = self.db.read();
        let Some(db) = db.as_ref() else { return Err(OpenError::Engine(CLOSED.to_owned())) };
        let made = Checkpoint::new(&**db).and_then(|checkpoint| checkpoint.create_checkpoint(to));
        made.map_err(|error| OpenError::Engine(error.into_string()))?;
        directory::make_private(to)
    }
}

#[async_trait]
impl Store for RocksStore {
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        if let Some(row) = self.recent.find(key) {
            return Ok(Some(Row::clone(&row)));
        }
        let db = self.db.read();
        let db = db.as_ref().ok_or_else(|| ReadError(CLOSED.to_owned()))?;
        let moment = self.recent.moment();
        let found = db.get_pinned(key.as_bytes()).map_err(unreadable)?;
        let row = found.map(|stored| row(key, &stored)).transpose()?;
        if let Some(row) = &row {
            self.recent.keep(key, row, moment);
        }
        Ok(row)
    }

    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let db = self.db.read();
        let db = db.as_ref().ok_or_else(|| ReadError(CLOSED.to_owned()))?;
        // An iterator is a snapshot: it sees whole batches.
        rows(db.iterator_opt(mode(range), bounds(range)), range.limit)
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.write(&batch)
    }

    async fn view(&self) -> Result<Box<dyn View>, ReadError> {
        let db = self.db.read();
        let db = db.as_ref().ok_or_else(|| ReadError(CLOSED.to_owned()))?;
        Ok(self.views.of(db))
    }
}

fn bounds(range: &Range) -> ReadOptions {
    let mut bounds = ReadOptions::default();
    bounds.set_iterate_lower_bound(range.start.as_bytes());
    bounds.set_iterate_upper_bound(range.end.as_bytes());
    bounds
}

fn mode(range: &Range) -> IteratorMode<'_> {
    if range.reverse { IteratorMode::From(range.end.as_bytes(), Direction::Reverse) } else { IteratorMode::Start }
}

fn rows(found: DBIterator<'_>, limit: usize) -> Result<Vec<(StoreKey, Row)>, ReadError> {
    let rows = found.take(limit).map(|found| {
        let (key, stored) = found.map_err(unreadable)?;
        let key = StoreKey::from_stored(key);
        let row = row(&key, &stored)?;
        Ok((key, row))
    });
    rows.collect()
}

fn open_db(directory: &Path) -> Result<DB, OpenError> {
    DB::open(&options(), directory).map_err(|error| OpenError::of_engine(directory, error))
}

/// Reads `revision be8 ‖ value`.
fn row(key: &StoreKey, stored: &[u8]) -> Result<Row, ReadError> {
    let (revision, value) =
        stored.split_first_chunk().ok_or_else(|| ReadError(format!("the row {key} is too short to be one")))?;
    Ok(Row { revision: u64::from_be_bytes(*revision), value: Bytes::copy_from_slice(value) })
}

#[expect(clippy::needless_pass_by_value, reason = "taken as map_err hands it over")]
fn unreadable(error: rocksdb::Error) -> ReadError {
    ReadError(error.to_string())
}

const CLOSED: &str = "the store could not be opened again after a failed write; it tries with each commit";

#[cfg(test)]
mod tests;
