//! Filling an empty store with rows from elsewhere: a backup, another engine.
//!
//! What is half filled is no store: the format's row is written last, in one commit with whatever else says that all is there.
//! Until then a row of its own says what is being filled in, so that the same can be begun again and nothing else can.

use crate::engine::{Batch, CommitError, Expected, Range, ReadError, Row, Store, StoreKey};
use crate::format;
use crate::keyring::FIRST_REVISION;
use crate::row::RowId;
use crate::sealing::SealedPut;

/// The clear row that says what is being filled in.
const FILLING_ROW: &str = "filling";
/// Rows, and bytes of values, of one commit.
const ROWS_MOST: usize = 1000;
const BYTES_MOST: usize = 4 << 20;

/// Why a store cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// It holds something.
    #[error("the store is not empty: point the configuration at an empty data directory or database")]
    NotEmpty,
    /// It was being filled with something else.
    #[error(
        "the store holds a part of {0}, which was not finished: finish that, or empty the data directory or database"
    )]
    Other(String),
    /// What fills it is of a format that this program does not know.
    #[error("its rows have format {found}, and this program reads formats up to {known}: take the newer program")]
    Newer {
        /// The format of the rows.
        found: u32,
        /// The newest format this program knows.
        known: u32,
    },
    /// There was no format among the rows.
    #[error("there is no store's format among the rows: they are not a whole store's")]
    NoFormat,
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It could not be written.
    #[error("the store cannot be written: {0}")]
    Write(#[from] CommitError),
}

/// A store that is being filled.
pub struct Filling<'s> {
    store: &'s dyn Store,
    batch: Batch,
    bytes: usize,
    rows: u64,
    format: Option<Row>,
}

impl<'s> Filling<'s> {
    /// Begins, or begins again after a crash. `what` says what the store is filled with, e.g. which backup.
    pub async fn begin(store: &'s dyn Store, what: &str, format: u32) -> Result<Self, FillError> {
        if format > format::FORMAT {
            return Err(FillError::Newer { found: format, known: format::FORMAT });
        }
        match store.get(&filling()).await? {
            Some(row) if *row.value == *what.as_bytes() => {}
            Some(row) => return Err(FillError::Other(String::from_utf8_lossy(&row.value).into_owned())),
            None if !store.scan(&Range::everything().limit(1)).await?.is_empty() => return Err(FillError::NotEmpty),
            None => {
                let row = Row { revision: FIRST_REVISION, value: what.as_bytes().to_vec().into() };
                let expect = vec![(filling(), Expected::Absent)];
                store.commit(Batch { expect, put: vec![(filling(), row)], delete: vec![] }).await?;
            }
        }
        Ok(Self { store, batch: Batch::default(), bytes: 0, rows: 0, format: None })
    }

    /// The next row, whatever it is. Each comes once.
    pub async fn row(&mut self, key: StoreKey, row: Row) -> Result<(), FillError> {
        self.rows += 1;
        if key == format::key() {
            self.format = Some(row);
            return Ok(());
        }
        self.bytes += row.value.len();
        self.batch.put.push((key, row));
        if self.batch.put.len() >= ROWS_MOST || self.bytes >= BYTES_MOST {
            self.write().await?;
        }
        Ok(())
    }

    /// Whether a row is one of the two that tell whether a store is whole: they differ until it is.
    pub fn tells(key: &StoreKey) -> bool {
        *key == filling() || *key == format::key()
    }

    /// Writes what was given so far.
    pub async fn flush(&mut self) -> Result<(), FillError> {
        self.write().await
    }

    /// All rows were given: now it is a store. `more` is stored with that. How many rows there were.
    pub async fn finish(mut self, more: Vec<SealedPut>) -> Result<u64, FillError> {
        self.write().await?;
        let format = self.format.take().ok_or(FillError::NoFormat)?;
        let mut last = Batch { expect: vec![(filling(), Expected::Revision(FIRST_REVISION))], ..Batch::default() };
        last.put.push((format::key(), format));
        last.put.extend(more.into_iter().map(|put| (put.key, put.row)));
        last.delete.push(filling());
        self.store.commit(last).await?;
        Ok(self.rows)
    }

    async fn write(&mut self) -> Result<(), FillError> {
        let mut batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        batch.expect.push((filling(), Expected::Revision(FIRST_REVISION)));
        Ok(self.store.commit(batch).await?)
    }
}

/// Whether the store was being filled, and with what.
pub(crate) async fn unfinished(store: &dyn Store) -> Result<Option<String>, ReadError> {
    let row = store.get(&filling()).await?;
    Ok(row.map(|row| String::from_utf8_lossy(&row.value).into_owned()))
}

fn filling() -> StoreKey {
    RowId::meta(FILLING_ROW).to_key()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{FORMAT, FormatError, open_or_create};
    use crate::memory::{CommitFault, FaultPlan, MemoryStore};

    const ROWS: u8 = 20;

    fn row(n: u8) -> (StoreKey, Row) {
        (StoreKey::from_stored(vec![0x02, n]), Row { revision: u64::from(n), value: vec![n; 300_000].into() })
    }

    async fn fill(store: &MemoryStore, what: &str) -> Result<u64, FillError> {
        let mut filling = Filling::begin(store, what, FORMAT).await?;
        let format = Row { revision: 1, value: FORMAT.to_be_bytes().to_vec().into() };
        filling.row(format::key(), format).await?;
        for n in 0..ROWS {
            let (key, row) = row(n);
            filling.row(key, row).await?;
        }
        filling.finish(vec![]).await
    }

    #[tokio::test]
    async fn a_store_is_filled_once() {
        let store = MemoryStore::new();
        assert_eq!(fill(&store, "a backup").await.unwrap(), u64::from(ROWS) + 1);
        assert_eq!(open_or_create(&store).await, Ok(FORMAT));
        let filled = store.snapshot();
        assert_eq!(filled.rows().count(), usize::from(ROWS) + 1, "nothing of the filling is left");
        assert!((0..ROWS).all(|n| filled.row(&row(n).0) == Some(&row(n).1)));
        assert!(matches!(fill(&store, "a backup").await, Err(FillError::NotEmpty)));
        assert_eq!(store.snapshot(), filled);
        let newer = Filling::begin(&store, "a backup", FORMAT + 1).await;
        assert!(matches!(newer.err(), Some(FillError::Newer { .. })));
    }

    #[tokio::test]
    async fn what_a_crash_left_half_filled_is_no_store_and_is_filled_by_the_same_alone() {
        let whole = MemoryStore::new();
        fill(&whole, "a backup").await.unwrap();
        for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
            for n in 1.. {
                let store = MemoryStore::new();
                store.set_faults(FaultPlan::nth_commit(n, fault));
                let filled = fill(&store, "a backup").await;
                store.set_faults(FaultPlan::none());
                if filled.is_ok() {
                    assert!(n > 3, "there are several commits");
                    break;
                }
                if store.snapshot().rows().count() > 0 && store.snapshot() != whole.snapshot() {
                    let opened = open_or_create(&store).await;
                    assert_eq!(opened, Err(FormatError::Unfinished("a backup".to_owned())));
                    assert!(matches!(fill(&store, "another").await, Err(FillError::Other(what)) if what == "a backup"));
                    fill(&store, "a backup").await.unwrap();
                    assert_eq!(store.snapshot(), whole.snapshot());
                }
            }
        }
    }
}
