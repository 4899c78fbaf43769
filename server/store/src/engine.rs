//! What the vault asks of a store: four calls, and errors that say what is known.
//!
//! An engine sees keys without a clear name and values that are sealed bytes; it can read neither.
//! Every engine passes [`crate::conformance`].

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use smallvec::SmallVec;

/// Rows in one order of bytes, and batches that apply whole or not at all.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The row under this key.
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError>;

    /// The rows of a range, in the order of their keys (or the reverse), at most `range.limit` of them, as one snapshot:
    /// no half of a batch is seen.
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError>;

    /// Applies the batch, all or nothing. On `Ok` it is durable, and visible to every later read.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError>;

    /// All rows as they are now, to be read at leisure: what is committed later is not seen, and waits for nothing.
    async fn view(&self) -> Result<Box<dyn View>, ReadError>;

    /// Joins those who work on the store at once. `None` where an engine is one node's alone: whoever has it open is the only
    /// one who writes.
    async fn join(&self) -> Result<Option<Arc<dyn Member>>, ReadError> {
        Ok(None)
    }
}

/// One of several nodes that work on a store at once. What it commits counts only while it is a member: one that was not
/// heard of for some seconds, by the store's own clock, is a member no more, for ever, and its commits are refused. It
/// joins again as another one, and remembers nothing.
#[async_trait]
pub trait Member: Store {
    /// The right to write next. While it is held nobody else commits anything; whoever holds it for too long loses it, and
    /// its commit is refused.
    async fn turn(&self) -> Result<Box<dyn Turn>, CommitError>;

    /// Says that it lives, and brings what others have written since it was asked last.
    async fn hear(&self) -> Result<Heard, ReadError>;

    /// Takes a piece of work, by its name, for as long as it is a member; false while another member has it.
    async fn claim(&self, work: &str) -> Result<bool, CommitError>;

    /// Gives a piece of work back.
    async fn release(&self, work: &str) -> Result<(), CommitError>;

    /// Is a member no more; what it had is free.
    async fn leave(&self) -> Result<(), CommitError>;
}

/// A member's right to write next. Dropped, it is given back.
#[async_trait]
pub trait Turn: Send {
    /// The keys that others have written since the member's turn before, in order. Everything before them is known.
    fn news(&mut self) -> Vec<StoreKey>;

    /// [`Store::commit`], telling the others of these keys, and ends the turn.
    async fn commit(self: Box<Self>, batch: Batch, news: Vec<StoreKey>) -> Result<(), CommitError>;

    /// Ends the turn without a change.
    async fn pass(self: Box<Self>);
}

/// What a member hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The keys that others have written, in order; `None` where some of them are not known any more.
    pub news: Option<Vec<StoreKey>>,
    /// Whether it is still a member.
    pub member: bool,
    /// The store's clock when it was asked, in microseconds since 1970.
    pub at_microseconds: i64,
}

/// The rows of one moment. An engine keeps for it what is changed meanwhile, so it is dropped as soon as it was read; an
/// engine that has to open its files again ends it, and its scans fail from then on.
#[async_trait]
pub trait View: Send + Sync {
    /// As [`Store::scan`], of that moment.
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError>;
}

/// Where a row lives: a table's tag and what follows it (`docs/formats.md`, "Store keys").
///
/// Only [`RowId::to_key`](crate::RowId::to_key) makes keys of rows; [`StoreKey::from_stored`] is for engines, which
/// give back what they were given, and for the conformance laws.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StoreKey(SmallVec<[u8; KEY_IN_PLACE]>);

/// Longer keys are on the heap: only those of exposures and of fingerprints are.
const KEY_IN_PLACE: usize = 56;

/// Parts, one after another, without an allocation while they fit.
pub(crate) fn in_place<const N: usize>(parts: &[&[u8]]) -> SmallVec<[u8; N]> {
    let mut joined = SmallVec::new();
    for part in parts {
        joined.extend_from_slice(part);
    }
    joined
}

impl StoreKey {
    /// The key of these bytes, as an engine found them on its disk.
    pub fn from_stored(bytes: impl AsRef<[u8]>) -> Self {
        Self(SmallVec::from_slice(bytes.as_ref()))
    }

    /// The key of these parts, one after another.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        Self(in_place(parts))
    }

    /// The bytes, in whose order rows are kept.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// In hex: a key holds ids and keyed hashes, never a clear name.
impl fmt::Display for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({self})")
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which writing of the row this is, as its writer counted; what [`Expected::Revision`] is compared with.
    pub revision: u64,
    /// Sealed bytes; engines see nothing else.
    pub value: Bytes,
}

/// What a batch expects of a row before it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No row is there.
    Absent,
    /// A row is there, and of this revision.
    Revision(u64),
}

impl Expected {
    /// Whether the row that is there (by its revision) is the one expected.
    pub fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

/// A change: what must be true, what is then written, what is then deleted.
///
/// Expectations are about the state before the batch. Puts are not implied to expect anything. A key is put or deleted
/// at most once; deleting what is not there is no error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// All of these must hold, or nothing is applied.
    pub expect: Vec<(StoreKey, Expected)>,
    /// Rows to write, over what is there.
    pub put: Vec<(StoreKey, Row)>,
    /// Rows to delete.
    pub delete: Vec<StoreKey>,
}

impl Batch {
    /// Whether there is nothing to apply, and nothing to check.
    pub fn is_empty(&self) -> bool {
        self.expect.is_empty() && self.put.is_empty() && self.delete.is_empty()
    }

    /// Refuses a batch that writes a key twice: which of the two wins would be the engine's secret. Engines call it
    /// first.
    pub fn well_formed(&self) -> Result<(), CommitError> {
        let mut seen = HashSet::new();
        let written = self.put.iter().map(|(key, _)| key).chain(&self.delete);
        for key in written {
            if !seen.insert(key) {
                return Err(CommitError::Refused(format!("the batch writes the key {key} twice")));
            }
        }
        Ok(())
    }
}

/// The rows from `start` to before `end`. Made by the functions in [`crate::row`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first key.
    pub start: StoreKey,
    /// The key after the last: exclusive.
    pub end: StoreKey,
    /// The most rows in the answer.
    pub limit: usize,
    /// The last rows first.
    pub reverse: bool,
}

/// Why a batch was not, or may not have been, applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An expectation about this key did not hold. Nothing was applied.
    #[error("the row {0} was changed meanwhile")]
    Conflict(StoreKey),
    /// Definitely not applied, for a reason of the store's: disk full, read only, a batch that breaks its form.
    #[error("the store refused the change, and nothing of it was applied: {0}")]
    Refused(String),
    /// Applied or not: only a later read can tell.
    #[error("it is unknown whether the store applied the change: {0}")]
    OutcomeUnknown(String),
}

/// The store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct ReadError(pub String);
