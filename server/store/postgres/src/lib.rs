//! The engine on a server of its own: PostgreSQL, in plain SQL that CockroachDB and YugabyteDB also take.
//!
//! ```text
//! commit ─→ Writer (write.rs) ─→ the one session of this node that commits, in its turn (hold.rs)
//! get, scan ─→ Readers (read.rs) ─→ a few sessions of their own
//! join      ─→ Member (member.rs) ─→ what the others have written (news.rs)
//! view      ─→ one transaction on a session of its own (view.rs)
//!                                    └ Session (session.rs), TLS (tls.rs), what an answer means (failure.rs)
//! ```
//!
//! - **A batch is one transaction**, SERIALIZABLE: an expectation that a row is absent holds even where nothing is
//!   written to it. Where PostgreSQL cannot order two transactions it undoes one and says so (40001, 40P01); that one
//!   is tried again from its expectations, so that a conflict is only reported by a row that was seen to differ, and
//!   names it.
//! - **Outcome.** Until COMMIT is sent, every failure is a refusal: what was not committed never happened. An error that
//!   answers COMMIT is one too. A lost or late answer to COMMIT is unknown.
//! - **Durable** on `Ok`: `synchronous_commit` is on, and a server with `fsync = off` is not taken.
//! - **Several nodes.** Any number of them open the store; they commit one after the other, and a node's commit proves in its
//!   own transaction that the node was heard of lately (see `hold`).
//! - **Fail closed.** When the session is lost, commits are refused until there is another one. It is tried with each commit,
//!   no sooner than [`limits::PAUSE_MAX`] after the last failure.
//! - **Rows** lie in the table `claviger_rows (key, revision, value)`; `bytea` sorts by its bytes. A revision is a u64
//!   in a `bigint`, as two's complement: from 2⁶³ on SQL shows it negative, and nothing here compares it but for
//!   equality.

mod failure;
mod hold;
pub mod limits;
mod member;
mod news;
mod pause;
mod read;
mod rows;
mod session;
mod settings;
mod tls;
mod view;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use claviger_store::{Batch, CommitError, Member, Range, ReadError, Row, Store, StoreKey, View};
use tokio::sync::Mutex;

pub use limits::Deadlines;
pub use settings::{Settings, Tls, is_this_machine};

use crate::read::Readers;
use crate::session::Target;
use crate::write::{Who, Writer};

/// A store in a database, which several nodes may open at once.
#[derive(Clone)]
pub struct PostgresStore {
    writer: Arc<Mutex<Writer>>,
    readers: Arc<Readers>,
    target: Arc<Target>,
}

/// Why a store cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The settings cannot be used.
    #[error("the settings of the store are not right: {0}")]
    Settings(String),
    /// The server cannot be reached, lets nobody in, or refuses what the store needs.
    #[error("the store on {place} cannot be opened: {why}")]
    Closed {
        /// Which server.
        place: String,
        /// What it says, or what is said of it.
        why: String,
    },
    /// A server of a version that works on it alone does so.
    #[error("the store on {0} is in use by a server of an earlier version, which works alone; stop that one first")]
    InUse(String),
    /// It is to be had alone, and servers work on it.
    #[error("a server runs on the store on {0}: stop all of them first")]
    NotAlone(String),
    /// What it acknowledges can be lost.
    #[error("{0} runs with fsync = off, so that a crash loses what it has acknowledged: set fsync = on")]
    NotDurable(String),
}

impl PostgresStore {
    /// Opens the store in this database, and makes its tables where they are missing. Its connections live on the
    /// runtime that this is called on; it can be used from any.
    pub async fn open(settings: Settings) -> Result<Self, OpenError> {
        Self::open_with(settings, Deadlines::STANDARD).await
    }

    /// [`PostgresStore::open`], with deadlines of one's own.
    pub async fn open_with(settings: Settings, deadlines: Deadlines) -> Result<Self, OpenError> {
        Self::open_as(settings, deadlines, false).await
    }

    /// [`PostgresStore::open`], while nobody else has it open; nobody can open it then.
    pub async fn open_alone(settings: Settings) -> Result<Self, OpenError> {
        Self::open_as(settings, Deadlines::STANDARD, true).await
    }

    async fn open_as(settings: Settings, deadlines: Deadlines, alone: bool) -> Result<Self, OpenError> {
        let target = Arc::new(Target::new(settings, deadlines, alone)?);
        let writer = Writer::open(Arc::clone(&target)).await?;
        let (writer, readers) = (Arc::new(Mutex::new(writer)), Arc::new(Readers::new(Arc::clone(&target))));
        Ok(Self { writer, readers, target })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        self.readers.get(key).await
    }

    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        self.readers.scan(range).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        batch.well_formed()?;
        self.writer.lock().await.commit(None, Who::NOBODY, &batch, &member::keys_of(&batch)).await
    }

    async fn view(&self) -> Result<Box<dyn View>, ReadError> {
        view::of(&self.target).await
    }

    async fn join(&self) -> Result<Option<Arc<dyn Member>>, ReadError> {
        Ok(Some(Arc::new(member::join(self).await?)))
    }
}
