//! Rows as they were last read or written, at hand in front of the engine.
//!
//! The same few rows are read by every request, and found again among all others each time. What is kept is exactly what
//! the engine would give: the rows of a batch leave before it is written, nothing is kept while it is being written, and
//! its new rows come back after. Rows are sealed, here as everywhere below the sealing layer.

use std::sync::Arc;

use claviger_store::{Batch, Row, StoreKey};
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// The most that is kept: as much as a memtable.
const KEPT_BYTES: u64 = 64 << 20;
/// What keeping a row costs besides its bytes, about.
const ROW_OVERHEAD_BYTES: u64 = 128;
/// About how many rows that makes.
const KEPT_ROWS: usize = 100_000;

/// What is kept, and how often it was written.
pub(crate) struct Recent {
    rows: Cache<StoreKey, Arc<Row>, Bytes>,
    writing: Mutex<Writing>,
}

/// Where the writes stand.
#[derive(Default)]
struct Writing {
    begun: u64,
    under_way: bool,
}

/// A moment between two writes: what is read after it was taken may be kept if nothing was written since.
#[derive(Clone, Copy)]
pub(crate) struct Moment(Option<u64>);

#[derive(Clone)]
struct Bytes;

impl Weighter<StoreKey, Arc<Row>> for Bytes {
    fn weight(&self, key: &StoreKey, row: &Arc<Row>) -> u64 {
        (key.as_bytes().len() + row.value.len()) as u64 + ROW_OVERHEAD_BYTES
    }
}

impl Recent {
    pub fn new() -> Self {
        Self { rows: Cache::with_weighter(KEPT_ROWS, KEPT_BYTES, Bytes), writing: Mutex::default() }
    }

    /// The row, if it is at hand.
    pub fn find(&self, key: &StoreKey) -> Option<Arc<Row>> {
        self.rows.get(key)
    }

    /// To be taken before the engine is read.
    pub fn moment(&self) -> Moment {
        let writing = self.writing.lock();
        Moment((!writing.under_way).then_some(writing.begun))
    }

    /// Keeps what the engine gave, unless something was written since the moment.
    pub fn keep(&self, key: &StoreKey, row: &Row, moment: Moment) {
        let writing = self.writing.lock();
        if !writing.under_way && moment.0 == Some(writing.begun) {
            self.rows.insert(key.clone(), Arc::new(row.clone()));
        }
    }

    /// Writes a batch. What of it was kept is kept again as it is then, if it was written.
    pub fn across<E>(&self, batch: &Batch, write: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        {
            let mut writing = self.writing.lock();
            writing.begun += 1;
            writing.under_way = true;
        }
        let kept: Vec<bool> = batch.put.iter().map(|(key, _)| self.rows.remove(key).is_some()).collect();
        for key in &batch.delete {
            self.rows.remove(key);
        }
        let written = write();
        if written.is_ok() {
            for ((key, row), _) in batch.put.iter().zip(kept).filter(|(_, kept)| *kept) {
                self.rows.insert(key.clone(), Arc::new(row.clone()));
            }
        }
        self.writing.lock().under_way = false;
        written
    }

    /// Forgets everything: the files were opened anew.
    pub fn clear(&self) {
        self.rows.clear();
    }
}
