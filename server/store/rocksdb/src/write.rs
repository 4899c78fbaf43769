//! The commit: room, expectations, one synced write; and the way back after a write that failed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::sync::Arc;

use claviger_store::{Batch, CommitError, Row, StoreKey};
use rocksdb::{DB, WriteBatch};

use crate::options::synced;
use crate::{RocksStore, open_db};

/// Whether commits are taken.
pub(crate) enum Health {
    Sound,
    /// A write failed, for this reason, and the files were not opened again since.
    Failed(String),
}

impl RocksStore {
    pub(crate) fn write(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut health = self.commits.lock();
        batch.well_formed()?;
        self.recover(&mut health)?;
        self.has_room()?;
        let db = self.db.read();
        let db = db.as_ref().ok_or_else(|| refused("it is closed"))?;
        self.expectations_hold(db, batch)?;
        if batch.put.is_empty() && batch.delete.is_empty() {
            return Ok(());
        }
        let write = || db.write_opt(on_disk(batch), &synced());
        self.recent.across(batch, write).map_err(|error| {
            let why = error.into_string();
            *health = Health::Failed(why.clone());
            CommitError::OutcomeUnknown(why)
        })
    }

    /// A failed read is a refusal: nothing was written yet.
    fn expectations_hold(&self, db: &DB, batch: &Batch) -> Result<(), CommitError> {
        for (key, expected) in &batch.expect {
            let found = match self.recent.find(key) {
                Some(row) => Some(row.revision),
                None => revision(db, key)?,
            };
            if !expected.holds(found) {
                return Err(CommitError::Conflict(key.clone()));
            }
        }
        Ok(())
    }

    /// After a failed write: once the disk takes a file again, opens the store anew, which settles what became of it.
    fn recover(&self, health: &mut Health) -> Result<(), CommitError> {
        let Health::Failed(why) = health else { return Ok(()) };
        let still = |now: &dyn std::fmt::Display| refused(&format!("an earlier write failed ({why}), and now: {now}"));
        self.disk_takes_writes().map_err(|error| still(&error))?;
        let mut db = self.db.write();
        // RocksDB's lock is held until the old handle is gone.
        self.views.end();
        *db = None;
        self.recent.clear();
        *db = Some(Arc::new(open_db(&self.directory).map_err(|error| still(&error))?));
        *health = Health::Sound;
        Ok(())
    }

    fn disk_takes_writes(&self) -> io::Result<()> {
        let path = self.directory.join("write-probe");
        let outcome = File::create(&path).and_then(|mut file| {
            file.write_all(&[0; PROBE_BYTES])?;
            file.sync_all()
        });
        // Gone or not, it is overwritten next time.
        let _ = fs::remove_file(&path);
        outcome
    }

    fn has_room(&self) -> Result<(), CommitError> {
        let disk = rustix::fs::statvfs(&self.directory)
            .map_err(|error| refused(&format!("the free room on the disk cannot be read: {error}")))?;
        let (free, reserve) = (disk.f_bavail.saturating_mul(disk.f_frsize), self.settings.reserve_bytes);
        if free >= reserve {
            return Ok(());
        }
        Err(refused(&format!(
            "the disk of {} has {} MiB left, and {} MiB are kept free: make room",
            self.directory.display(),
            free >> 20,
            reserve >> 20
        )))
    }
}

fn revision(db: &DB, key: &StoreKey) -> Result<Option<u64>, CommitError> {
    let stored = db.get_pinned(key.as_bytes()).map_err(|error| refused(&error.into_string()))?;
    let row = stored.map(|stored| crate::row(key, &stored)).transpose();
    Ok(row.map_err(|error| refused(&error.to_string()))?.map(|row| row.revision))
}

/// Values as they lie on disk: `revision be8 ‖ sealed bytes`.
fn on_disk(batch: &Batch) -> WriteBatch {
    let room = |(key, row): &(StoreKey, Row)| PUT_BYTES + key.as_bytes().len() + row.value.len();
    let mut writes = WriteBatch::with_capacity_bytes(BATCH_BYTES + batch.put.iter().map(room).sum::<usize>());
    let mut value = Vec::new();
    for (key, row) in &batch.put {
        value.clear();
        value.extend(row.revision.to_be_bytes());
        value.extend_from_slice(&row.value);
        writes.put(key.as_bytes(), &value);
    }
    for key in &batch.delete {
        writes.delete(key.as_bytes());
    }
    writes
}

/// What a batch has besides its rows, and a row besides key and value: its revision, a tag and two lengths.
const BATCH_BYTES: usize = 12;
const PUT_BYTES: usize = 8 + 1 + 2 * 5;

fn refused(why: &str) -> CommitError {
    CommitError::Refused(why.to_owned())
}

/// Larger than what a file system keeps inside an inode: the probe must need a block of the disk's.
const PROBE_BYTES: usize = 8 * 1024;
