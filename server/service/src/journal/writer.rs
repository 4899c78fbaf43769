//! The writer's loop: take what waits, commit it as one, answer all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_api::{CustomerId, Scope};
use claviger_crypto::{Random, SubjectKey};
use claviger_store::{
    Batch, CommitError, Expected, Keyring, Member, RowId, Sealed, SealedError, StoreKey, Table, Turn, key_row_of,
    open_record,
};
use tokio::sync::{mpsc, oneshot};

use super::group::{Context, Events, Finished, Group, OpenLog, Witness};
use super::terms::Terms;
use super::{Committed, Grown, LogHead, Submission, Watch};
use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::seal::is_seal_row;

/// The most changes in one batch: bounds its size and the wait of the first.
const GROUP_MOST: usize = 256;
/// How often a fence is tried before the outcome is given up as unknown.
const FENCE_TRIES: u32 = 3;
/// How long a group is added to while other nodes wait for their turn: the rest has the next one.
const TURN_MOST: Duration = Duration::from_millis(500);

pub(super) struct Writer {
    sealed: Sealed,
    keyring: Arc<Keyring>,
    random: Arc<dyn Random>,
    watch: Watch,
    terms: Terms,
    logs: BTreeMap<Scope, OpenLog>,
    /// Logs that others have extended since, as they were.
    behind: BTreeMap<Scope, OpenLog>,
    member: Option<Arc<dyn Member>>,
    /// Customers whose keys were changed and could not be read since.
    stale: BTreeSet<CustomerId>,
}

type Waiting = Vec<(oneshot::Sender<Result<Committed>>, Events)>;

/// What is known of a batch whose commit gave no answer.
enum Fate {
    Stored,
    NeverStored,
    Undecided,
}

impl Writer {
    pub fn new(sealed: Sealed, keyring: Arc<Keyring>, random: Arc<dyn Random>, watch: Watch) -> Self {
        let (terms, logs, behind) = (Terms::new(), BTreeMap::new(), BTreeMap::new());
        Self { sealed, keyring, random, watch, terms, logs, behind, member: None, stale: BTreeSet::new() }
    }

    /// Beside other nodes, as one of them.
    pub fn among(mut self, member: Option<Arc<dyn Member>>) -> Self {
        self.member = member;
        self
    }

    /// Begins this log, which has no entry yet, over a head of this revision.
    pub fn beginning(mut self, scope: Scope, revision: u64) -> Self {
        self.logs.insert(scope, OpenLog { head: LogHead::empty(), revision, tail: Some(Vec::new()) });
        self
    }

    pub async fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() && queue.recv_many(&mut waiting, GROUP_MOST).await == 0 {
                return;
            }
            waiting = self.commit(waiting).await;
        }
    }

    /// The right to write, where there are others, with what they have written taken in.
    async fn turn(&mut self) -> std::result::Result<Option<(Box<dyn Turn>, Instant)>, CommitError> {
        let Some(member) = &self.member else { return Ok(None) };
        let mut turn = member.turn().await?;
        let news: Vec<RowId> = turn.news().iter().filter_map(|key| RowId::from_key(key).ok()).collect();
        self.take_keys(&news).await;
        for row in news {
            if row.table() == Table::LogHeads {
                self.behind.extend(self.logs.remove_entry(&row.scope()));
            }
            (self.watch)(&row);
        }
        Ok(Some((turn, Instant::now())))
    }

    /// Takes customers' keys as they are stored by now, where their rows were written: from the next group on nothing is sealed under
    /// an older one.
    async fn take_keys(&mut self, written: &[RowId]) {
        // Under another root key, which is not in memory yet, they are the same.
        if !written.iter().any(is_seal_row) {
            self.stale.extend(written.iter().filter_map(key_row_of));
        }
        for customer in std::mem::take(&mut self.stale) {
            match self.keyring.refresh_customer(self.sealed.store().as_ref(), customer).await {
                Ok(()) => {}
                Err(SealedError::Read(error)) => {
                    tracing::warn!(%error, "a customer's keys could not be read; nothing is sealed there until they are");
                    self.stale.insert(customer);
                }
                Err(error) => tracing::warn!(%error, "a customer's keys stay as they are in memory"),
            }
        }
    }

    /// Commits what waits; gives back what is to wait for the next group.
    async fn commit(&mut self, submissions: Vec<Submission>) -> Vec<Submission> {
        let turn = match self.turn().await {
            Ok(turn) => turn,
            Err(failed) => {
                for Submission { answer, .. } in submissions {
                    drop(answer.send(Err(failed.clone().into())));
                }
                return Vec::new();
            }
        };
        if !self.stale.is_empty() {
            self.take_keys(&[]).await;
        }
        let mut later = Vec::new();
        let context = Context {
            sealed: &self.sealed,
            keyring: &self.keyring,
            random: self.random.as_ref(),
            terms: &self.terms,
            stale: &self.stale,
        };
        let mut group = Group::new(context);
        let mut waiting: Waiting = Vec::new();
        #[cfg(feature = "failpoints")]
        let mut kinds = crate::failpoint::Kinds::default();
        for Submission { change, answer } in submissions {
            if turn.as_ref().is_some_and(|(_, since)| since.elapsed() > TURN_MOST) && !waiting.is_empty() {
                later.push(Submission { change, answer });
                continue;
            }
            #[cfg(feature = "failpoints")]
            kinds.note(&change);
            match group.add(change, &self.logs, &self.behind).await {
                Ok(events) => waiting.push((answer, events)),
                // Whoever asked may be gone; the answer then is nobody's.
                Err(refused) => drop(answer.send(Err(refused))),
            }
        }
        let turn = turn.map(|(turn, _)| turn);
        if waiting.is_empty() {
            if let Some(turn) = turn {
                turn.pass().await;
            }
            return later;
        }
        let written = group.written();
        let outcome = match group.finish() {
            Ok(finished) => {
                #[cfg(feature = "failpoints")]
                kinds.hit(crate::failpoint::Side::Before);
                self.store_batch(finished, turn, &written).await
            }
            Err(failed) => {
                if let Some(turn) = turn {
                    turn.pass().await;
                }
                Err(failed)
            }
        };
        #[cfg(feature = "failpoints")]
        kinds.hit(crate::failpoint::Side::After);
        self.take_keys(&written).await;
        for row in &written {
            (self.watch)(row);
        }
        answer(waiting, outcome);
        later
    }

    /// Stores the batch. On success the logs move on; on any failure they are read anew before the next group.
    async fn store_batch(
        &mut self,
        finished: Finished,
        turn: Option<Box<dyn Turn>>,
        written: &[RowId],
    ) -> Result<BTreeMap<Scope, Grown>> {
        let Finished { batch, logs, grown, witness } = finished;
        let stored = match turn {
            None => self.sealed.store().commit(batch).await,
            Some(turn) => turn.commit(batch, news(written, &logs)).await,
        };
        let Err(failed) = stored else {
            self.behind.retain(|scope, _| !logs.contains_key(scope));
            self.logs.extend(logs);
            return Ok(grown);
        };
        let mut before: BTreeMap<Scope, OpenLog> = BTreeMap::new();
        for scope in logs.keys() {
            before.extend(self.logs.remove_entry(scope));
        }
        match failed {
            CommitError::OutcomeUnknown(why) => match self.settle(&logs, &before, &witness).await {
                Fate::Stored => Ok(grown),
                Fate::NeverStored => Err(CommitError::Refused(why).into()),
                Fate::Undecided => Err(CommitError::OutcomeUnknown(why).into()),
            },
            CommitError::Conflict(_) | CommitError::Refused(_) => Err(failed.into()),
        }
    }

    /// Finds out whether a batch was stored. While the log's head is the one from before it, that is open: a commit that
    /// expects that head (the fence) closes it, and then the batch never will be. Once the head has moved on, by the
    /// batch, by a fence or by another node, the witness says which it was.
    async fn settle(
        &self,
        logs: &BTreeMap<Scope, OpenLog>,
        known: &BTreeMap<Scope, OpenLog>,
        witness: &Witness,
    ) -> Fate {
        let Some((scope, log)) = logs.iter().next() else { return Fate::Undecided };
        let before = log.revision - 1;
        for _ in 0..FENCE_TRIES {
            let Ok(revision) = self.head_revision(*scope).await else { continue };
            if revision == before {
                if self.fence(*scope, before, known.get(scope)).await.is_ok() {
                    return Fate::NeverStored;
                }
                continue;
            }
            match self.sealed.store().get(&witness.key).await {
                Ok(None) => return Fate::NeverStored,
                Ok(Some(found)) if found == witness.row => return Fate::Stored,
                Ok(Some(found)) => match self.is_entry(witness, &found) {
                    Some(true) => return Fate::Stored,
                    Some(false) => return Fate::NeverStored,
                    None => {}
                },
                Err(_) => {}
            }
        }
        Fate::Undecided
    }

    /// Whether what was found is the entry that was to be stored, whatever key it is under by now.
    fn is_entry(&self, witness: &Witness, found: &claviger_store::Row) -> Option<bool> {
        let Some((scope, hash)) = witness.entry else { return Some(false) };
        let leaf = open_record::<StoredLeaf>(&self.keyring, RowId::from_key(&witness.key).ok()?, found).ok()?;
        let entry = leaf.value.entry(scope, |_| None::<Box<SubjectKey>>).ok()?;
        Some(entry.hash() == hash)
    }

    async fn head_revision(&self, scope: Scope) -> Result<u64> {
        let head = self.sealed.store().get(&RowId::log_head(scope).to_key()).await?;
        Ok(head.map_or(0, |row| row.revision))
    }

    /// Rewrites the head of before under its next revision, unless it has moved on.
    async fn fence(&self, scope: Scope, before: u64, known: Option<&OpenLog>) -> Result<()> {
        let id = RowId::log_head(scope);
        let log = match known.filter(|log| log.revision == before) {
            Some(log) => log.clone(),
            None => OpenLog::load(&self.sealed, &self.keyring, scope, None).await?,
        };
        let put = self.sealed.put(&self.keyring, &id, before + 1, &log.head, self.random.as_ref())?;
        let expected = if before == 0 { Expected::Absent } else { Expected::Revision(before) };
        let batch = Batch { expect: vec![(put.key.clone(), expected)], put: vec![(put.key, put.row)], delete: vec![] };
        Ok(self.sealed.store().commit(batch).await?)
    }
}

/// What other nodes are told: whatever they may keep in memory of it.
fn news(written: &[RowId], logs: &BTreeMap<Scope, OpenLog>) -> Vec<StoreKey> {
    written.iter().map(RowId::to_key).chain(logs.keys().map(|scope| RowId::log_head(*scope).to_key())).collect()
}

/// Tells everybody in the group the same outcome.
fn answer(waiting: Waiting, outcome: Result<BTreeMap<Scope, Grown>>) {
    match outcome.map(Arc::new) {
        Ok(logs) => {
            for (answer, events) in waiting {
                drop(answer.send(Ok(Committed { events, logs: logs.clone() })));
            }
        }
        Err(failed) => {
            for (answer, _) in waiting {
                drop(answer.send(Err(failed.again())));
            }
        }
    }
}

impl Error {
    /// The same failure for another who waited on it.
    fn again(&self) -> Self {
        let note = self.operator.as_ref().map(|note| note.for_the_log().to_owned());
        let copy = Self::new(self.problem, self.detail.clone());
        match note {
            Some(note) => copy.with_note(note),
            None => copy,
        }
    }
}
