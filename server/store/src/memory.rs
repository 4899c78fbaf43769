//! The memory engine, for tests: it can be made to fail before or after it applied, and be put back to an earlier day.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use crate::engine::{Batch, CommitError, Range, ReadError, Row, Store, StoreKey, View};

/// Rows in memory. Clones share their rows and their faults, like two connections to one store.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

/// All rows of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<StoreKey, Row>);

/// How a commit fails: on either side of its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// [`CommitError::Refused`], not applied.
    Refused,
    /// [`CommitError::OutcomeUnknown`], not applied.
    UnknownNotApplied,
    /// [`CommitError::OutcomeUnknown`], applied.
    UnknownApplied,
}

/// Which commits and reads fail. Commits and reads are counted from 1, from when the plan is set.
#[derive(Default)]
pub struct FaultPlan {
    commits: Option<Box<CommitFaults>>,
    reads: Option<Box<ReadFaults>>,
}

type CommitFaults = dyn FnMut(u64, &Batch) -> Option<CommitFault> + Send;
type ReadFaults = dyn FnMut(u64) -> bool + Send;

#[derive(Default)]
struct State {
    rows: BTreeMap<StoreKey, Row>,
    faults: FaultPlan,
    commits: u64,
    reads: u64,
}

impl MemoryStore {
    /// An empty store without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fails from now on as the plan says; counting starts again.
    pub fn set_faults(&self, plan: FaultPlan) {
        let mut state = self.0.lock();
        state.faults = plan;
        state.commits = 0;
        state.reads = 0;
    }

    /// How many commits were asked for since the plan was set.
    pub fn commits(&self) -> u64 {
        self.0.lock().commits
    }

    /// The rows of this moment.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.0.lock().rows.clone())
    }

    /// Puts the rows of an earlier moment back: what a restored disk or a malicious host does.
    pub fn restore(&self, snapshot: Snapshot) {
        self.0.lock().rows = snapshot.0;
    }
}

impl Snapshot {
    /// Its rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = (&StoreKey, &Row)> {
        self.0.iter()
    }

    /// One of its rows.
    pub fn row(&self, key: &StoreKey) -> Option<&Row> {
        self.0.get(key)
    }

    /// The same moment with one row otherwise, or gone: what an attacker at the disk makes.
    #[must_use]
    pub fn with(mut self, key: StoreKey, row: Option<Row>) -> Self {
        match row {
            Some(row) => self.0.insert(key, row),
            None => self.0.remove(&key),
        };
        self
    }
}

impl FaultPlan {
    /// No faults.
    pub fn none() -> Self {
        Self::default()
    }

    /// The nth commit fails, the others do not.
    pub fn nth_commit(n: u64, fault: CommitFault) -> Self {
        Self::commits_where(move |count, _| (count == n).then_some(fault))
    }

    /// Every commit fails.
    pub fn every_commit(fault: CommitFault) -> Self {
        Self::commits_where(move |_, _| Some(fault))
    }

    /// A commit fails as this says of its number and its batch.
    pub fn commits_where(fails: impl FnMut(u64, &Batch) -> Option<CommitFault> + Send + 'static) -> Self {
        Self { commits: Some(Box::new(fails)), reads: None }
    }

    /// As well: a read (a `get` or a `scan`) fails where this says so of its number.
    #[must_use]
    pub fn reads_where(mut self, fails: impl FnMut(u64) -> bool + Send + 'static) -> Self {
        self.reads = Some(Box::new(fails));
        self
    }
}

impl State {
    fn read(&mut self) -> Result<&BTreeMap<StoreKey, Row>, ReadError> {
        self.reads += 1;
        let reads = self.reads;
        if self.faults.reads.as_mut().is_some_and(|fails| fails(reads)) {
            return Err(ReadError("a fault of the test's plan".to_owned()));
        }
        Ok(&self.rows)
    }

    fn check(&self, batch: &Batch) -> Result<(), CommitError> {
        batch.well_formed()?;
        let broken =
            batch.expect.iter().find(|(key, expected)| !expected.holds(self.rows.get(key).map(|r| r.revision)));
        broken.map_or(Ok(()), |(key, _)| Err(CommitError::Conflict(key.clone())))
    }

    fn apply(&mut self, batch: Batch) {
        self.rows.extend(batch.put);
        for key in &batch.delete {
            self.rows.remove(key);
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        Ok(self.0.lock().read()?.get(key).cloned())
    }

    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        let mut state = self.0.lock();
        Ok(rows_in(state.read()?, range))
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let mut state = self.0.lock();
        state.commits += 1;
        let count = state.commits;
        let fault = state.faults.commits.as_mut().and_then(|fails| fails(count, &batch));
        match fault {
            Some(CommitFault::Refused) => return Err(CommitError::Refused("a fault of the test's plan".to_owned())),
            Some(CommitFault::UnknownNotApplied) => return Err(unknown()),
            Some(CommitFault::UnknownApplied) | None => state.check(&batch)?,
        }
        state.apply(batch);
        if fault.is_some() { Err(unknown()) } else { Ok(()) }
    }

    async fn view(&self) -> Result<Box<dyn View>, ReadError> {
        Ok(Box::new(Snapshot(self.0.lock().read()?.clone())))
    }
}

#[async_trait]
impl View for Snapshot {
    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        Ok(rows_in(&self.0, range))
    }
}

fn rows_in(rows: &BTreeMap<StoreKey, Row>, range: &Range) -> Vec<(StoreKey, Row)> {
    if range.start >= range.end {
        return Vec::new();
    }
    let found = rows.range((Bound::Included(&range.start), Bound::Excluded(&range.end)));
    let owned = |(key, row): (&StoreKey, &Row)| (key.clone(), row.clone());
    if range.reverse {
        found.rev().take(range.limit).map(owned).collect()
    } else {
        found.take(range.limit).map(owned).collect()
    }
}

fn unknown() -> CommitError {
    CommitError::OutcomeUnknown("a fault of the test's plan".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Expected;

    fn key(name: &str) -> StoreKey {
        StoreKey::from_stored(name.as_bytes())
    }

    fn put(name: &str, revision: u64) -> Batch {
        Batch { put: vec![(key(name), Row { revision, value: bytes::Bytes::new() })], ..Batch::default() }
    }

    #[tokio::test]
    async fn a_commit_fails_on_either_side_of_its_effect() {
        let cases = [
            (CommitFault::Refused, false),
            (CommitFault::UnknownNotApplied, false),
            (CommitFault::UnknownApplied, true),
        ];
        for (fault, applied) in cases {
            let store = MemoryStore::new();
            store.set_faults(FaultPlan::nth_commit(2, fault));
            store.commit(put("a", 1)).await.unwrap();
            let error = store.commit(put("b", 1)).await.unwrap_err();
            assert_eq!(matches!(error, CommitError::Refused(_)), fault == CommitFault::Refused);
            assert_eq!(store.get(&key("b")).await.unwrap().is_some(), applied, "{fault:?}");
            store.commit(put("c", 1)).await.unwrap();
            assert_eq!(store.commits(), 3);
        }
    }

    #[tokio::test]
    async fn an_applied_but_unknown_commit_still_checks_what_it_expects() {
        let store = MemoryStore::new();
        store.set_faults(FaultPlan::every_commit(CommitFault::UnknownApplied));
        let batch = Batch { expect: vec![(key("a"), Expected::Revision(1))], ..put("a", 2) };
        assert_eq!(store.commit(batch).await, Err(CommitError::Conflict(key("a"))));
    }

    #[tokio::test]
    async fn reads_fail_as_planned() {
        let store = MemoryStore::new();
        store.set_faults(FaultPlan::none().reads_where(|n| n == 2));
        assert!(store.get(&key("a")).await.is_ok());
        assert!(store.get(&key("a")).await.is_err());
        assert!(store.get(&key("a")).await.is_ok());
    }

    #[tokio::test]
    async fn an_earlier_day_can_be_put_back() {
        let store = MemoryStore::new();
        store.commit(put("a", 1)).await.unwrap();
        let earlier = store.snapshot();
        store.commit(put("a", 2)).await.unwrap();
        store.restore(earlier.clone());
        assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, 1);
        store.restore(earlier.with(key("a"), None));
        assert_eq!(store.get(&key("a")).await.unwrap(), None);
    }
}
