//! The store as it was at one moment: a snapshot of RocksDB's, which keeps what is replaced meanwhile.
//!
//! A snapshot belongs to the files as they were opened. When these have to be opened anew after a failed write, every view
//! ends first: whoever reads by it begins again, and no commit waits for that.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use claviger_store::{Range, ReadError, Row, StoreKey, View};
use parking_lot::{Mutex, RwLock};
use rocksdb::{DB, Snapshot};
use self_cell::self_cell;

use crate::{bounds, mode, rows};

self_cell!(
    struct Moment {
        owner: Arc<DB>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// The views that somebody has.
#[derive(Default)]
pub(crate) struct Views(Mutex<Vec<Weak<Held>>>);

/// One of them; `None` once it was ended.
struct Held(RwLock<Option<Moment>>);

struct Seen(Arc<Held>);

impl Views {
    /// A view of the present moment.
    pub fn of(&self, db: &Arc<DB>) -> Box<dyn View> {
        let moment = Moment::new(Arc::clone(db), |db| db.snapshot());
        let held = Arc::new(Held(RwLock::new(Some(moment))));
        let mut views = self.0.lock();
        views.retain(|view| view.strong_count() > 0);
        views.push(Arc::downgrade(&held));
        Box::new(Seen(held))
    }

    /// Ends them all, so that the files can be opened anew.
    pub fn end(&self) {
        for view in self.0.lock().drain(..).filter_map(|view| view.upgrade()) {
            *view.0.write() = None;
        }
    }
}

#[async_trait]
impl View for Seen {
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let moment = self.0.0.read();
        let moment = moment.as_ref().ok_or_else(|| ReadError(ENDED.to_owned()))?;
        let mut options = bounds(range);
        // What is read once shall not push out what is read all the time.
        options.fill_cache(false);
        rows(moment.borrow_dependent().iterator_opt(mode(range), options), range.limit)
    }
}

const ENDED: &str = "the store was opened anew after a failed write, and this view of it has ended: begin again";
