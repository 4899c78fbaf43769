//! The memory engine keeps the laws; and each law finds the engine that breaks it.

#![expect(clippy::wildcard_enum_match_arm, reason = "each place does the few defects that it can do")]
use super::*;
use crate::engine::View;
use crate::memory::MemoryStore;

/// What is wrong with an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    Inhabited,
    CutsKeys,
    CountsItself,
    KeepsTheFirst,
    ForgetsDeletes,
    IgnoresAbsent,
    IgnoresRevision,
    ChecksAfterApplying,
    AppliesBeforeConflict,
    NamesAnotherKey,
    TakesTwice,
    RefusesNothing,
    Unordered,
    EndInclusive,
    NoLimit,
    NoReverse,
    TornBatch,
    ViewMovesOn,
    ViewIsTakenLate,
    CutsLargeValues,
    ChecksThenWaits,
    ForgetsAtRestart,
}

struct Flawed {
    inner: MemoryStore,
    defect: Defect,
}

#[async_trait]
impl Store for Flawed {
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        if self.defect == Defect::CutsKeys {
            let cut = StoreKey::from_stored(key.as_bytes().get(..1).unwrap_or_default());
            return self.inner.get(&cut).await;
        }
        self.inner.get(key).await
    }

    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        let mut asked = range.clone();
        match self.defect {
            Defect::EndInclusive => asked.end = StoreKey::from_stored([range.end.as_bytes(), &[0]].concat()),
            Defect::NoLimit => asked.limit = usize::MAX,
            Defect::NoReverse => asked.reverse = false,
            _ => {}
        }
        let mut rows = self.inner.scan(&asked).await?;
        if self.defect == Defect::Unordered {
            rows.sort_by_key(|(key, _)| key.as_bytes().len());
        }
        Ok(rows)
    }

    async fn commit(&self, mut batch: Batch) -> Result<(), CommitError> {
        let inner = &self.inner;
        match self.defect {
            Defect::CutsKeys => {
                for (key, _) in &mut batch.put {
                    *key = StoreKey::from_stored(key.as_bytes().get(..1).unwrap_or_default());
                }
            }
            Defect::CountsItself => batch.put.iter_mut().for_each(|(_, row)| row.revision = row.revision.min(7)),
            Defect::KeepsTheFirst => {
                for (key, row) in &mut batch.put {
                    *row = inner.get(key).await.unwrap().unwrap_or(row.clone());
                }
            }
            Defect::ForgetsDeletes => batch.delete.clear(),
            Defect::IgnoresAbsent => batch.expect.retain(|(_, expected)| *expected != Expected::Absent),
            Defect::IgnoresRevision => batch.expect.retain(|(_, expected)| *expected == Expected::Absent),
            Defect::ChecksAfterApplying => {
                let expect = std::mem::take(&mut batch.expect);
                inner.commit(batch).await?;
                return inner.commit(Batch { expect, ..Batch::default() }).await;
            }
            Defect::AppliesBeforeConflict => {
                let first = Batch { put: batch.put.first().cloned().into_iter().collect(), ..Batch::default() };
                let outcome = inner.commit(batch).await;
                if outcome.is_err() {
                    inner.commit(first).await?;
                }
                return outcome;
            }
            Defect::NamesAnotherKey => {
                return inner.commit(batch).await.map_err(|error| match error {
                    CommitError::Conflict(_) => CommitError::Conflict(key(b"another")),
                    other => other,
                });
            }
            Defect::TakesTwice => {
                let mut seen = std::collections::HashSet::new();
                batch.put.retain(|(key, _)| seen.insert(key.clone()));
                batch.delete.retain(|key| seen.insert(key.clone()));
            }
            Defect::RefusesNothing if batch.put.is_empty() && batch.delete.is_empty() => {
                return Err(CommitError::Refused("nothing to do".to_owned()));
            }
            Defect::TornBatch => {
                let (expect, delete) = (std::mem::take(&mut batch.expect), std::mem::take(&mut batch.delete));
                batch.well_formed()?;
                inner.commit(Batch { expect, delete, ..Batch::default() }).await?;
                for put in batch.put {
                    inner.commit(Batch { put: vec![put], ..Batch::default() }).await?;
                    tokio::task::yield_now().await;
                }
                return Ok(());
            }
            Defect::CutsLargeValues => batch.put.iter_mut().for_each(|(_, row)| row.value.truncate(1 << 19)),
            Defect::ChecksThenWaits => {
                inner.commit(Batch { expect: batch.expect.clone(), ..Batch::default() }).await?;
                tokio::task::yield_now().await;
                batch.expect.clear();
            }
            _ => {}
        }
        inner.commit(batch).await
    }

    async fn view(&self) -> Result<Box<dyn View>, ReadError> {
        match self.defect {
            Defect::ViewMovesOn => Ok(Box::new(Moving(self.inner.clone()))),
            Defect::ViewIsTakenLate => Ok(Box::new(Late(self.inner.clone(), parking_lot::Mutex::default()))),
            _ => Store::view(&self.inner).await,
        }
    }
}

/// Shows what is there now.
struct Moving(MemoryStore);

#[async_trait]
impl View for Moving {
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        self.0.scan(range).await
    }
}

/// Shows of each key what was there when it was asked for first.
struct Late(MemoryStore, parking_lot::Mutex<Vec<(Range, Rows)>>);

type Rows = Vec<(StoreKey, Row)>;

#[async_trait]
impl View for Late {
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        let known = self.1.lock().iter().find(|(asked, _)| asked == range).map(|(_, rows)| rows.clone());
        if let Some(rows) = known {
            return Ok(rows);
        }
        let rows = self.0.scan(range).await?;
        self.1.lock().push((range.clone(), rows.clone()));
        Ok(rows)
    }
}

struct Makes(Defect, parking_lot::Mutex<MemoryStore>);

impl Makes {
    fn new(defect: Defect) -> Self {
        Self(defect, parking_lot::Mutex::new(MemoryStore::new()))
    }
}

#[async_trait]
impl Factory for Makes {
    async fn fresh(&self) -> Arc<dyn Store> {
        let inner = MemoryStore::new();
        if self.0 == Defect::Inhabited {
            inner.commit(put(b"ghost", 1, b"")).await.unwrap();
        }
        *self.1.lock() = inner.clone();
        Arc::new(Flawed { inner, defect: self.0 })
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        let inner = if self.0 == Defect::ForgetsAtRestart { MemoryStore::new() } else { self.1.lock().clone() };
        Arc::new(Flawed { inner, defect: self.0 })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_memory_engine_keeps_every_law() {
    assert_eq!(run_all(&Makes::new(Defect::None)).await, []);
}

#[tokio::test]
async fn each_law_finds_the_engine_that_breaks_it() {
    let finds = [
        ("a new store is empty", Defect::Inhabited),
        ("what was written is read", Defect::CutsKeys),
        ("a revision is stored as given", Defect::CountsItself),
        ("a put replaces", Defect::KeepsTheFirst),
        ("a delete deletes", Defect::ForgetsDeletes),
        ("expected absent", Defect::IgnoresAbsent),
        ("expected revision", Defect::IgnoresRevision),
        ("expectations see the state before the batch", Defect::ChecksAfterApplying),
        ("a conflict names its key and leaves nothing", Defect::AppliesBeforeConflict),
        ("a conflict names its key and leaves nothing", Defect::NamesAnotherKey),
        ("a key is written once a batch", Defect::TakesTwice),
        ("an empty batch is no error", Defect::RefusesNothing),
        ("a scan is in the order of bytes", Defect::Unordered),
        ("a scan keeps its bounds", Defect::EndInclusive),
        ("a scan keeps its limit", Defect::NoLimit),
        ("a scan goes backwards", Defect::NoReverse),
        ("a scan never sees half a batch", Defect::TornBatch),
        ("a view stays as it was", Defect::ViewMovesOn),
        ("a view is of one moment", Defect::ViewIsTakenLate),
        ("large and empty values", Defect::CutsLargeValues),
        ("of concurrent commits on one key one wins", Defect::ChecksThenWaits),
        ("what was committed is there after reopening", Defect::ForgetsAtRestart),
    ];
    for (law, defect) in finds {
        let broken = run_all(&Makes::new(defect)).await;
        assert!(broken.iter().any(|found| found.law == law), "{law} does not find {defect:?}: {broken:?}");
    }
    for (law, _) in LAWS {
        assert!(finds.iter().any(|(name, _)| name == law), "no defect is tried on: {law}");
    }
}
