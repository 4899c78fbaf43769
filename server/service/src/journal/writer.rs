//! The writer's loop: take what waits, commit it as one, answer all.

use std::collections::BTreeMap;
use std::sync::Arc;

use claviger_api::Scope;
use claviger_crypto::Random;
use claviger_store::{Batch, CommitError, Expected, Keyring, RowId, Sealed, Store};
use tokio::sync::{mpsc, oneshot};

use super::group::{Context, Group, OpenLog};
use super::{Receipt, Submission};
use crate::error::{Error, Result};

/// The most changes in one batch: bounds its size and the wait of the first.
const GROUP_MOST: usize = 256;
/// How often a fence is tried before the outcome is given up as unknown.
const FENCE_TRIES: u32 = 3;

pub(super) struct Writer {
    sealed: Sealed,
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    random: Arc<dyn Random>,
    logs: BTreeMap<Scope, OpenLog>,
}

type Waiting = Vec<(oneshot::Sender<Result<Receipt>>, Receipt)>;

impl Writer {
    pub fn new(sealed: Sealed, store: Arc<dyn Store>, keyring: Arc<Keyring>, random: Arc<dyn Random>) -> Self {
        Self { sealed, store, keyring, random, logs: BTreeMap::new() }
    }

    pub async fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let mut waiting = Vec::with_capacity(GROUP_MOST);
        while queue.recv_many(&mut waiting, GROUP_MOST).await > 0 {
            self.commit(waiting.drain(..).collect()).await;
        }
    }

    async fn commit(&mut self, submissions: Vec<Submission>) {
        let context =
            Context { store: &self.store, sealed: &self.sealed, keyring: &self.keyring, random: self.random.as_ref() };
        let mut group = Group::new(context);
        let mut waiting: Waiting = Vec::new();
        #[cfg(feature = "failpoints")]
        let mut kinds = crate::failpoint::Kinds::default();
        for Submission { change, answer } in submissions {
            #[cfg(feature = "failpoints")]
            kinds.note(&change);
            match group.add(change, &self.logs).await {
                Ok(receipt) => waiting.push((answer, receipt)),
                // Whoever asked may be gone; the answer then is nobody's.
                Err(refused) => drop(answer.send(Err(refused))),
            }
        }
        if waiting.is_empty() {
            return;
        }
        let outcome = match group.finish() {
            Ok((batch, logs)) => {
                #[cfg(feature = "failpoints")]
                kinds.hit(crate::failpoint::Side::Before);
                self.store_batch(batch, logs).await
            }
            Err(failed) => Err(failed),
        };
        #[cfg(feature = "failpoints")]
        kinds.hit(crate::failpoint::Side::After);
        answer(waiting, outcome);
    }

    /// Stores the batch. On success the logs move on; on any failure they are read anew before the next group.
    async fn store_batch(&mut self, batch: Batch, logs: BTreeMap<Scope, OpenLog>) -> Result<()> {
        match self.store.commit(batch).await {
            Ok(()) => {
                self.logs.extend(logs);
                Ok(())
            }
            Err(CommitError::OutcomeUnknown(why)) => self.settle(&logs, why).await,
            Err(refused) => {
                self.forget(&logs);
                Err(refused.into())
            }
        }
    }

    /// Finds out whether a batch was stored, by a commit that expects the log head from before it. If that succeeds,
    /// the batch was not stored, and never will be; if it conflicts, the batch was.
    async fn settle(&mut self, logs: &BTreeMap<Scope, OpenLog>, why: String) -> Result<()> {
        let fence = logs.iter().next().map(|(scope, log)| (*scope, log.revision - 1));
        self.forget(logs);
        let Some((scope, before)) = fence else { return Ok(()) };
        for _ in 0..FENCE_TRIES {
            match self.fence(scope, before).await {
                Ok(()) => return Err(CommitError::Refused(why).into()),
                Err(CommitError::Conflict(_)) => return Ok(()),
                Err(CommitError::Refused(_) | CommitError::OutcomeUnknown(_)) => {}
            }
        }
        Err(CommitError::OutcomeUnknown(why).into())
    }

    /// Rewrites the head of before under its next revision, unless it has moved on.
    async fn fence(&self, scope: Scope, before: u64) -> std::result::Result<(), CommitError> {
        let id = RowId::log_head(scope);
        let unknown = |error: &dyn std::fmt::Display| CommitError::OutcomeUnknown(error.to_string());
        let log = OpenLog::load(&self.sealed, &self.keyring, scope)
            .await
            .map_err(|error| unknown(&format_args!("{:?}", error.operator)))?;
        if log.revision != before {
            return Err(CommitError::Conflict(id.to_key()));
        }
        let put = self
            .sealed
            .put(&self.keyring, &id, before + 1, &log.head, self.random.as_ref())
            .map_err(|error| unknown(&error))?;
        let expected = if before == 0 { Expected::Absent } else { Expected::Revision(before) };
        let batch = Batch { expect: vec![(put.key.clone(), expected)], put: vec![(put.key, put.row)], delete: vec![] };
        self.store.commit(batch).await
    }

    fn forget(&mut self, logs: &BTreeMap<Scope, OpenLog>) {
        for scope in logs.keys() {
            self.logs.remove(scope);
        }
    }
}

/// Tells everybody in the group the same outcome.
fn answer(waiting: Waiting, outcome: Result<()>) {
    match outcome {
        Ok(()) => waiting.into_iter().for_each(|(answer, receipt)| drop(answer.send(Ok(receipt)))),
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
