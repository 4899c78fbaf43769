//! The one writer of this node.
//!
//! A [`Change`] says what must be so, what to write, and what happened. The journal takes the changes that wait,
//! checks each against the store and against those before it, appends their events to their logs, keeps each scope's
//! freshness digest, and commits them all as one durable batch: one flush serves all that wait. Nothing is visible
//! before it is durable, and nobody is answered before.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_api::Scope;
use claviger_crypto::Random;
use claviger_store::{CommitError, Keyring, Member, RowId, Sealed, Store};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};

mod change;
mod group;
mod grown;
pub mod head;
mod terms;
mod writer;

pub use change::{Change, Prepared, Resealed};
pub use grown::{Grown, Signed};
pub use head::LogHead;

/// The changes that may wait for the writer; more wait outside.
const QUEUE_MOST: usize = 4096;

/// What was committed, durably.
pub struct Committed {
    /// Where the change's events stand, in the order in which they were given: which log, and the index in it.
    pub events: Vec<(Scope, u64)>,
    /// The logs as the group left them.
    logs: Arc<BTreeMap<Scope, Grown>>,
}

impl Committed {
    /// The index of the first event.
    pub fn index(&self) -> u64 {
        self.events.first().map_or(0, |(_, index)| *index)
    }

    /// The log of the first event, as the group left it, and the event's index.
    pub fn first(&self) -> Option<(Scope, u64, &Grown)> {
        let (scope, index) = self.events.first()?;
        Some((*scope, *index, self.logs.get(scope)?))
    }
}

/// Is told of each row that a batch wrote or that a change touched: whatever the outcome, once it is known as well as it
/// can be, and before anybody is answered. Caches are dropped here, so that no use case can forget to, nor be cancelled
/// before it does.
pub type Watch = Arc<dyn Fn(&RowId) + Send + Sync>;

/// The way to the writer. It ends when the last handle is dropped.
#[derive(Clone)]
pub struct Journal {
    queue: mpsc::Sender<Submission>,
}

struct Submission {
    change: Prepared,
    answer: oneshot::Sender<Result<Committed>>,
}

impl Journal {
    /// Starts the writer on a thread of its own: a synced commit blocks the thread that makes it.
    pub fn start(store: Arc<dyn Store>, keyring: Arc<Keyring>, random: Arc<dyn Random>) -> std::io::Result<Self> {
        Self::watched(store, keyring, random, Arc::new(|_| ()), None)
    }

    /// The same, telling `watch` of what is written; beside others, if it is a member of those who work on the store.
    pub fn watched(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        random: Arc<dyn Random>,
        watch: Watch,
        member: Option<Arc<dyn Member>>,
    ) -> std::io::Result<Self> {
        Self::write(writer::Writer::new(Sealed::new(store), keyring, random, watch).among(member))
    }

    /// The journal of a vault that is being initialised. A fence of an earlier initialisation that came to nothing may
    /// have left a head under a key that nobody has: `left` is its revision, and the operator's log begins over it.
    pub(crate) fn first(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        random: Arc<dyn Random>,
        left: Option<u64>,
    ) -> std::io::Result<Self> {
        let writer = writer::Writer::new(Sealed::new(store), keyring, random, Arc::new(|_| ()));
        Self::write(writer.beginning(Scope::Operator, left.unwrap_or(0)))
    }

    fn write(writer: writer::Writer) -> std::io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE_MOST);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || runtime.block_on(writer.run(waiting)))?;
        Ok(Self { queue })
    }

    /// How many changes wait for the writer.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        QUEUE_MOST - self.queue.capacity()
    }

    /// Commits one change, durably, or says why not. Dropping the future does not take the change back.
    pub async fn commit(&self, change: Prepared) -> Result<Committed> {
        let (answer, outcome) = oneshot::channel();
        let stopped = |_| Error::unavailable("The vault is being sealed or stopped.", "the journal has stopped");
        self.queue.send(Submission { change, answer }).await.map_err(stopped)?;
        // Taken, and not answered: the writer broke, before or after the commit.
        outcome.await.unwrap_or_else(|_| Err(CommitError::OutcomeUnknown("the journal broke".to_owned()).into()))
    }
}
