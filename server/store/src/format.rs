//! The store's format version: older stores are opened by migrations, newer ones are refused.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::engine::{Batch, CommitError, Expected, Range, ReadError, Row, Store, StoreKey};
use crate::row::RowId;

/// The format that this version of the program reads and writes.
pub const FORMAT: u32 = CHAIN.newest();

/// The formats that this program knows.
const CHAIN: Chain = Chain { oldest: 1, steps: &[] };

/// A chain of formats: the oldest that can be opened, and the steps from each to the next. Append only.
struct Chain {
    oldest: u32,
    /// `steps[i]` brings a store from format `oldest + i` to the next. A crash may make it run again over its own
    /// work, so it must be repeatable; the format row moves on after it.
    steps: &'static [Step],
}

/// Brings a store from one format to the next.
type Step = for<'a> fn(&'a dyn Store) -> Pin<Box<dyn Future<Output = Result<(), FormatError>> + Send + 'a>>;

/// The store cannot be opened as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A newer program has written it.
    #[error(
        "the store has format {found}, and this program reads formats up to {known}: \
         start the newer program that wrote it, or restore the backup made before the upgrade"
    )]
    Newer {
        /// The store's format.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// An older program has written it, and the way from there is gone.
    #[error(
        "the store has format {found}, and this program reads formats from {oldest}: \
         open it once with a program between the two"
    )]
    TooOld {
        /// The store's format.
        found: u32,
        /// The oldest format this program knows.
        oldest: u32,
    },
    /// It holds rows but no format, or a format that is no number.
    #[error("this is no store of Claviger's, or its format row is damaged: point the configuration at the right one")]
    NotOurs,
    /// It was being filled with rows from elsewhere.
    #[error("the store was being filled with {0}, and not to its end: run that again")]
    Unfinished(String),
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The format, or a step towards it, could not be written.
    #[error("the store's format cannot be written: {0}")]
    Write(#[from] CommitError),
}

/// Opens the store: writes the format into an empty one, brings an older one up to date, refuses a newer one.
/// The answer is the format it has now, [`FORMAT`].
pub async fn open_or_create(store: &dyn Store) -> Result<u32, FormatError> {
    CHAIN.open(store).await
}

impl Chain {
    #[expect(clippy::cast_possible_truncation, reason = "a chain has a handful of steps; try_from is not const")]
    const fn newest(&self) -> u32 {
        self.oldest + self.steps.len() as u32
    }

    async fn open(&self, store: &dyn Store) -> Result<u32, FormatError> {
        let Some((mut format, mut revision)) = read(store).await? else {
            return self.create(store).await;
        };
        if format > self.newest() {
            return Err(FormatError::Newer { found: format, known: self.newest() });
        }
        let Some(done) = format.checked_sub(self.oldest) else {
            return Err(FormatError::TooOld { found: format, oldest: self.oldest });
        };
        for step in self.steps.iter().skip(done as usize) {
            step(store).await?;
            write(store, format + 1, Expected::Revision(revision), revision + 1).await?;
            format += 1;
            revision += 1;
        }
        Ok(format)
    }

    async fn create(&self, store: &dyn Store) -> Result<u32, FormatError> {
        if let Some(what) = crate::load::unfinished(store).await? {
            return Err(FormatError::Unfinished(what));
        }
        if !store.scan(&Range::everything().limit(1)).await?.is_empty() {
            return Err(FormatError::NotOurs);
        }
        write(store, self.newest(), Expected::Absent, 1).await?;
        Ok(self.newest())
    }
}

/// The format and the revision of its row.
async fn read(store: &dyn Store) -> Result<Option<(u32, u64)>, FormatError> {
    let Some(row) = store.get(&key()).await? else { return Ok(None) };
    let bytes = <[u8; 4]>::try_from(&*row.value).map_err(|_| FormatError::NotOurs)?;
    Ok(Some((u32::from_be_bytes(bytes), row.revision)))
}

async fn write(store: &dyn Store, format: u32, expected: Expected, revision: u64) -> Result<(), FormatError> {
    let row = Row { revision, value: Bytes::copy_from_slice(&format.to_be_bytes()) };
    let batch = Batch { expect: vec![(key(), expected)], put: vec![(key(), row)], delete: vec![] };
    Ok(store.commit(batch).await?)
}

/// Where the format is.
pub(crate) fn key() -> StoreKey {
    RowId::meta("format").to_key()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{CommitFault, FaultPlan, MemoryStore};

    /// A chain of the tests': format 1 had `name` rows under tag 0x70, format 2 has them under 0x71, format 3 doubles
    /// their value.
    const TEST_CHAIN: Chain = Chain { oldest: 1, steps: &[one_to_two, two_to_three] };

    const OLD: u8 = 0x70;
    const NEW: u8 = 0x71;

    fn one_to_two(store: &dyn Store) -> Pin<Box<dyn Future<Output = Result<(), FormatError>> + Send + '_>> {
        Box::pin(async move {
            let mut batch = Batch::default();
            for (old, row) in store.scan(&tagged(OLD)).await? {
                let mut bytes = old.as_bytes().to_vec();
                bytes[0] = NEW;
                batch.put.push((StoreKey::from_stored(bytes), row));
                batch.delete.push(old);
            }
            Ok(store.commit(batch).await?)
        })
    }

    fn two_to_three(store: &dyn Store) -> Pin<Box<dyn Future<Output = Result<(), FormatError>> + Send + '_>> {
        Box::pin(async move {
            let mut batch = Batch::default();
            for (key, row) in store.scan(&tagged(NEW)).await? {
                if row.revision == 1 {
                    batch.put.push((key, Row { revision: 2, value: row.value.repeat(2).into() }));
                }
            }
            Ok(store.commit(batch).await?)
        })
    }

    fn tagged(tag: u8) -> Range {
        let (start, end) = (StoreKey::from_stored(vec![tag]), StoreKey::from_stored(vec![tag + 1]));
        Range { start, end, limit: 100, reverse: false }
    }

    /// A store as the test chain's format 1 left it.
    async fn fixture() -> MemoryStore {
        let store = MemoryStore::new();
        write(&store, 1, Expected::Absent, 1).await.unwrap();
        let row = |name: &[u8]| {
            (StoreKey::from_stored([&[OLD], name].concat()), Row { revision: 1, value: Bytes::copy_from_slice(name) })
        };
        store.commit(Batch { put: vec![row(b"ab"), row(b"cd")], ..Batch::default() }).await.unwrap();
        store
    }

    async fn values(store: &MemoryStore) -> Vec<Vec<u8>> {
        assert!(store.scan(&tagged(OLD)).await.unwrap().is_empty());
        store.scan(&tagged(NEW)).await.unwrap().into_iter().map(|(_, row)| row.value.to_vec()).collect()
    }

    #[tokio::test]
    async fn an_empty_store_gets_todays_format_and_keeps_it() {
        let store = MemoryStore::new();
        assert_eq!(open_or_create(&store).await, Ok(FORMAT));
        let first = store.snapshot();
        assert_eq!(open_or_create(&store).await, Ok(FORMAT));
        assert_eq!(store.snapshot(), first, "opening again writes nothing");
        assert_eq!(first.row(&key()).unwrap().value, [0, 0, 0, 1].as_slice());
    }

    #[tokio::test]
    async fn an_older_store_is_brought_up_to_date() {
        let store = fixture().await;
        assert_eq!(TEST_CHAIN.open(&store).await, Ok(3));
        assert_eq!(values(&store).await, [b"abab", b"cdcd"]);
    }

    #[tokio::test]
    async fn a_migration_goes_on_after_a_crash_at_any_commit() {
        for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
            for n in 1..=4 {
                let store = fixture().await;
                store.set_faults(FaultPlan::nth_commit(n, fault));
                assert!(TEST_CHAIN.open(&store).await.is_err(), "commit {n} fails");
                store.set_faults(FaultPlan::none());
                assert_eq!(TEST_CHAIN.open(&store).await, Ok(3));
                assert_eq!(values(&store).await, [b"abab", b"cdcd"], "{fault:?} at commit {n}");
            }
        }
    }

    #[tokio::test]
    async fn a_newer_store_is_refused_and_both_versions_are_named() {
        let store = fixture().await;
        TEST_CHAIN.open(&store).await.unwrap();
        let before = store.snapshot();
        let error = open_or_create(&store).await.unwrap_err();
        assert_eq!(error, FormatError::Newer { found: 3, known: FORMAT });
        let text = error.to_string();
        assert!(text.contains("format 3") && text.contains(&format!("up to {FORMAT}")), "{text}");
        assert_eq!(store.snapshot(), before, "nothing is written");
    }

    #[tokio::test]
    async fn a_store_too_old_or_of_somebody_else_is_refused() {
        let store = MemoryStore::new();
        write(&store, 0, Expected::Absent, 1).await.unwrap();
        assert_eq!(open_or_create(&store).await, Err(FormatError::TooOld { found: 0, oldest: 1 }));

        let foreign = MemoryStore::new();
        let row = (StoreKey::from_stored(b"user:1"), Row { revision: 1, value: Bytes::new() });
        foreign.commit(Batch { put: vec![row], ..Batch::default() }).await.unwrap();
        assert_eq!(open_or_create(&foreign).await, Err(FormatError::NotOurs));
    }
}
