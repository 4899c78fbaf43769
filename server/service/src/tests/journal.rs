//! The journal alone: one writer, merged batches, outcomes that are never guessed.

use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::Resource;
use claviger_crypto::{RootKey, Seeded, SubjectKey};
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{Keyring, MemoryStore, RowId, Sealed, Versioned};
use futures::future::join_all;

use super::world::{Refused as _, World, may};
use crate::Result;
use crate::event::Event;
use crate::journal::{Change, Committed, Journal, LogHead};
use crate::kept::Kept;
use crate::records::LoginCounter;

/// A journal over a memory store.
struct Desk {
    store: MemoryStore,
    sealed: Sealed,
    keyring: Arc<Keyring>,
    random: Arc<Seeded>,
    kept: Kept,
    journal: Journal,
}

impl Desk {
    fn new() -> Self {
        let (store, random) = (MemoryStore::new(), Arc::new(Seeded::new(3)));
        let keyring = Arc::new(Keyring::create(RootKey::generate(&*random), &*random).0);
        let journal = Journal::start(Arc::new(store.clone()), keyring.clone(), random.clone()).unwrap();
        Self { sealed: Sealed::new(Arc::new(store.clone())), store, keyring, random, kept: Kept::new(), journal }
    }

    fn because(&self) -> Change<'_> {
        let event = Event::new(Scope::Operator, EventKind::LoginFailed, Timestamp::UNIX_EPOCH);
        Change::because(&self.sealed, &self.keyring, &*self.random, &self.kept, event.with(FieldName::Detail, "x"))
    }

    async fn commit(&self, change: Change<'_>) -> Result<Committed> {
        let prepared = change.prepare(|event| event.prepare(|_| None::<Box<SubjectKey>>, &*self.random))?;
        self.journal.commit(prepared).await
    }

    async fn create(&self, n: u8) -> Result<Committed> {
        self.commit(self.because().create(row(n), &counter(0))?).await
    }

    async fn read(&self, n: u8) -> Option<Versioned<LoginCounter>> {
        self.sealed.read(&self.keyring, &row(n)).await.unwrap()
    }

    async fn leaves(&self) -> u64 {
        let head = self.sealed.read::<LogHead>(&self.keyring, &RowId::log_head(Scope::Operator)).await.unwrap();
        head.map_or(0, |head| head.value.frontier.size())
    }
}

fn row(n: u8) -> RowId {
    RowId::login_counter(&[n; 32])
}

fn counter(failures: u32) -> LoginCounter {
    LoginCounter { failures, locked_until: None, last_failure_at: None, came_in_at: None }
}

/// The writer, and its store, take one at a time; what waits meanwhile goes together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_changes_share_few_commits_and_each_gets_its_own_index() {
    let desk = Desk::new();
    let slow = std::time::Duration::from_millis(2);
    desk.store.set_faults(FaultPlan::commits_where(move |_, _| {
        std::thread::sleep(slow); // a disk that takes its time, so that others come to wait; nothing waits for a clock
        None
    }));
    let receipts = join_all((0..200).map(|n| desk.create(n))).await;
    let mut indexes: Vec<u64> = receipts.into_iter().map(|receipt| receipt.unwrap().events[0].1).collect();
    indexes.sort_unstable();
    assert!(indexes.into_iter().eq(0..200));
    assert!(desk.store.commits() < 50, "{} commits for 200 changes", desk.store.commits());
}

/// While the store works on a batch, nothing of it can be read; whoever is answered can read all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_visible_before_it_is_durable() {
    let desk = Arc::new(Desk::new());
    let (reached, at_commit) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    desk.store.set_faults(FaultPlan::commits_where(move |_, batch| {
        reached.send(batch.put.len()).unwrap();
        gate.lock().unwrap().recv().ok();
        Some(CommitFault::Refused)
    }));
    let other = desk.clone();
    let asked = tokio::spawn(async move { other.create(1).await });
    assert_eq!(tokio::task::spawn_blocking(move || at_commit.recv().unwrap()).await.unwrap(), 3);
    assert!(!asked.is_finished(), "answered before the store was");
    go.send(()).unwrap();
    assert_eq!(asked.await.unwrap().problem(), ProblemType::Unavailable);
    assert!(desk.read(1).await.is_none());
}

#[tokio::test]
async fn a_conflict_refuses_one_change_and_no_other() {
    let desk = Desk::new();
    desk.create(1).await.unwrap();
    let old = desk.read(1).await.unwrap();
    let changed = || desk.because().update(&old, &counter(7)).unwrap();
    let answers = join_all([desk.commit(changed()), desk.commit(changed())]).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (1, 1));
    assert!(bad.into_iter().all(|answer| answer.problem() == ProblemType::Conflict));
    let (again, fresh) = tokio::join!(desk.create(1), desk.create(2));
    assert_eq!(again.problem(), ProblemType::Conflict);
    assert_eq!(fresh.unwrap().events, [(Scope::Operator, 2)], "and its event was not told");
    assert_eq!(desk.leaves().await, 3);
}

#[tokio::test]
async fn each_side_of_a_failing_commit_is_told_as_it_was() {
    for (fault, stored) in
        [(CommitFault::Refused, false), (CommitFault::UnknownNotApplied, false), (CommitFault::UnknownApplied, true)]
    {
        let desk = Desk::new();
        desk.create(1).await.unwrap();
        desk.store.set_faults(FaultPlan::nth_commit(1, fault));
        let answer = desk.create(2).await;
        assert_eq!(answer.is_ok(), stored, "{fault:?}");
        assert_eq!(answer.err().map(|error| error.problem), (!stored).then_some(ProblemType::Unavailable));
        assert_eq!((desk.read(2).await.is_some(), desk.leaves().await), (stored, 1 + u64::from(stored)), "{fault:?}");
        assert_eq!(desk.create(3).await.unwrap().events, [(Scope::Operator, 1 + u64::from(stored))]);
    }
}

/// The fence's own commit may be lost on either side, too. What it leaves is never taken for the batch.
#[tokio::test]
async fn a_fence_that_is_lost_itself_is_not_taken_for_the_batch() {
    use CommitFault::{Refused, UnknownApplied, UnknownNotApplied};
    let faults = [None, Some(Refused), Some(UnknownApplied), Some(UnknownNotApplied)];
    for batch in [UnknownApplied, UnknownNotApplied] {
        for first in faults {
            for second in faults {
                let desk = Desk::new();
                desk.create(1).await.unwrap();
                desk.store.set_faults(FaultPlan::commits_where(move |n, _| {
                    [Some(batch), first, second].get(usize::try_from(n - 1).unwrap()).copied().flatten()
                }));
                let answer = desk.create(2).await;
                let stored = batch == UnknownApplied;
                assert_eq!(desk.read(2).await.is_some(), stored);
                assert_eq!(answer.is_ok(), stored, "{batch:?} {first:?} {second:?}");
                desk.store.set_faults(FaultPlan::none());
                desk.create(3).await.unwrap();
                assert_eq!(desk.leaves().await, 2 + u64::from(stored));
            }
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_for_ever_leaves_the_outcome_unknown_and_recovers_without_a_restart() {
    for fault in [CommitFault::UnknownNotApplied, CommitFault::Refused] {
        let desk = Desk::new();
        desk.create(1).await.unwrap();
        desk.store.set_faults(FaultPlan::every_commit(fault));
        for n in 2..5 {
            let problem = desk.create(n).await.problem();
            let unknown =
                if fault == CommitFault::Refused { ProblemType::Unavailable } else { ProblemType::OutcomeUnknown };
            assert_eq!(problem, unknown);
        }
        desk.store.set_faults(FaultPlan::none());
        assert_eq!(desk.create(9).await.unwrap().events, [(Scope::Operator, 1)]);
    }
    // The batch is lost, then nothing can be read either: even then nobody is told what is not known.
    let desk = Desk::new();
    desk.create(1).await.unwrap();
    let plan = FaultPlan::every_commit(CommitFault::UnknownApplied).reads_where(|n| n > 2);
    desk.store.set_faults(plan);
    assert_eq!(desk.create(2).await.problem(), ProblemType::OutcomeUnknown);
    desk.store.set_faults(FaultPlan::none());
    assert!(desk.read(2).await.is_some(), "it was stored after all");
    assert_eq!(desk.create(2).await.problem(), ProblemType::Conflict);
    assert_eq!(desk.create(3).await.unwrap().events, [(Scope::Operator, 2)]);
}

/// Two changes wait while the store works on a third; the second of them breaks when what it creates is in the group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_breaks_half_way_takes_its_group_with_it_and_nothing_is_stored() {
    let desk = Arc::new(Desk::new());
    desk.create(1).await.unwrap();
    let (reached, at_commit) = std::sync::mpsc::channel();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let plan = FaultPlan::commits_where(move |_, _| {
        reached.send(()).unwrap();
        gate.lock().unwrap().recv().ok();
        None
    });
    // A create reads its row for its expectation, an erase for the digest when what is created is in the group already:
    // one read of the first change, one of the second, two of the third, whose last fails.
    desk.store.set_faults(plan.reads_where(|n| n == 4));
    let submit = |created: u8, erased: Option<u8>| {
        let desk = desk.clone();
        tokio::spawn(async move {
            let change = desk.because().create(row(created), &counter(0)).unwrap();
            desk.commit(erased.into_iter().fold(change, |change, n| change.erase(row(n)))).await
        })
    };
    let first = submit(2, None);
    tokio::task::spawn_blocking(move || at_commit.recv().unwrap()).await.unwrap();
    let queued = async |many| {
        while desk.journal.waiting() < many {
            tokio::task::yield_now().await;
        }
    };
    let second = submit(3, None);
    queued(1).await;
    let third = submit(4, Some(1));
    queued(2).await;
    drop(go);
    assert!(first.await.unwrap().is_ok());
    assert_eq!(second.await.unwrap().problem(), ProblemType::Unavailable);
    assert_eq!(third.await.unwrap().problem(), ProblemType::Unavailable);
    desk.store.set_faults(FaultPlan::none());
    assert!(desk.read(1).await.is_some());
    for n in 3..5 {
        assert!(desk.read(n).await.is_none());
    }
    desk.create(3).await.unwrap();
    assert_eq!(desk.leaves().await, 3);
}

#[tokio::test]
async fn a_row_written_and_removed_again_leaves_the_digest_as_it_was() {
    let desk = Desk::new();
    desk.create(1).await.unwrap();
    let digest = async || {
        let head = desk.sealed.read::<LogHead>(&desk.keyring, &RowId::log_head(Scope::Operator)).await;
        head.unwrap().unwrap().value.digest
    };
    let before = digest().await;
    desk.create(2).await.unwrap();
    assert_ne!(digest().await, before);
    let row = desk.read(2).await.unwrap();
    desk.commit(desk.because().remove(&row)).await.unwrap();
    assert_eq!(digest().await, before);
    desk.commit(desk.because().erase(row.id)).await.unwrap();
    assert_eq!(digest().await, before, "what is not there is no loss");
}

/// More than two full tiles, in groups of every size.
#[tokio::test]
async fn tiles_heads_and_entries_agree_over_many_entries_and_after_a_restart() {
    let mut world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let event = || open.event(Scope::Operator, EventKind::LogRead, &root);
    for round in 0..40 {
        let many = (0..round).map(|_| open.commit(open.change(event())));
        assert!(join_all(many).await.into_iter().all(|receipt| receipt.is_ok()));
    }
    let size = open.head(Scope::Operator).await.unwrap().frontier.size();
    assert!(size > 3 * 256, "{size}");
    world.check().await;
    drop(open);
    world.crash(1).await;
    let checkpoint = {
        let open = world.open();
        open.commit(open.change(open.event(Scope::Operator, EventKind::LogRead, &root))).await.unwrap();
        open.checkpoint(Scope::Operator, may(&open, &root, Resource::Operator)).await.unwrap()
    };
    assert!(checkpoint.checkpoint.contains(&format!("\n{}\n", size + 2)), "{}", checkpoint.checkpoint);
    world.check().await;
}

/// What happened is decided by rows nobody else can have written.
#[tokio::test]
async fn another_node_that_extends_the_log_meanwhile_is_not_taken_for_the_batch() {
    let desk = Desk::new();
    desk.create(1).await.unwrap();
    let second = Journal::start(Arc::new(desk.store.clone()), desk.keyring.clone(), desk.random.clone()).unwrap();
    let first = Arc::new(std::sync::Mutex::new(true));
    desk.store.set_faults(FaultPlan::commits_where(move |_, _| {
        std::mem::take(&mut *first.lock().unwrap()).then_some(CommitFault::UnknownNotApplied)
    }));
    let prepared = |n| {
        let change = desk.because().create(row(n), &counter(0)).unwrap();
        change.prepare(|event| event.prepare(|_| None::<Box<SubjectKey>>, &*desk.random)).unwrap()
    };
    let mut answers = Vec::new();
    for n in 2..20 {
        let (ours, theirs) = tokio::join!(desk.journal.commit(prepared(n)), second.commit(prepared(n + 100)));
        answers.push((n, ours.is_ok()));
        answers.push((n + 100, theirs.is_ok()));
    }
    for (n, ok) in answers {
        assert_eq!(desk.read(n).await.is_some(), ok, "{n}");
    }
}
