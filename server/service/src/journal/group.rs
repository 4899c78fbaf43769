//! One group of changes: what the batch will be if it is committed.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::hash::Hash;
use claviger_api::{CustomerId, Scope};
use claviger_crypto::{Random, SubjectKey};
use claviger_store::{
    Batch, CommitError, Expected, FIRST_REVISION, Keyring, Range, Row, RowId, Sealed, SealedError, StoreKey, Table,
};

use super::change::{Prepared, Resealed};
use super::grown::Grown;
use super::head::{LogHead, LogTile};
use super::terms::Terms;
use crate::error::{Error, Result};
use crate::event::StoredLeaf;

/// Leaf hashes in a full tile (C2SP tlog-tiles: 2⁸).
pub const TILE_WIDTH: usize = 256;

/// Where a change's events stand: which log, and the index in it.
pub(super) type Events = Vec<(Scope, u64)>;

/// A log as the writer knows it: the stored head, and the hashes of the entries behind the last full tile.
#[derive(Clone)]
pub struct OpenLog {
    pub(super) head: LogHead,
    pub(super) revision: u64,
    /// Unknown of a locked customer's log, which takes no entries.
    pub(super) tail: Option<Vec<Hash>>,
}

/// What the group reads and seals with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub sealed: &'a Sealed,
    pub keyring: &'a Keyring,
    pub random: &'a dyn Random,
    pub terms: &'a Terms,
    /// Customers whose keys could not be read since they were changed: nothing is sealed there.
    pub stale: &'a BTreeSet<CustomerId>,
}

/// What tells whether a batch was stored: nobody else writes these very bytes.
pub(super) struct Witness {
    pub key: StoreKey,
    pub row: Row,
    /// Of an entry its hash: it may have been sealed under another key since.
    pub entry: Option<(Scope, Hash)>,
}

/// The state after the changes so far. Nothing of it is visible.
pub(super) struct Group<'a> {
    context: Context<'a>,
    rows: BTreeMap<StoreKey, Option<Row>>,
    expect: BTreeMap<StoreKey, Expected>,
    /// Rows as they were found when they were checked: the batch expects them so.
    found: BTreeMap<StoreKey, Option<Row>>,
    logs: BTreeMap<Scope, OpenLog>,
    grown: BTreeMap<Scope, Grown>,
    tiles: Vec<(StoreKey, Row)>,
    first_leaf: Option<Witness>,
    /// The witness where there is no entry.
    first_put: Option<Witness>,
    written: Vec<RowId>,
    broken: bool,
}

/// A group that is ready to be stored.
pub(super) struct Finished {
    /// All of it, as one batch.
    pub batch: Batch,
    /// The logs as they are once it is durable.
    pub logs: BTreeMap<Scope, OpenLog>,
    /// What the group has added to each, for the proofs.
    pub grown: BTreeMap<Scope, Grown>,
    /// A row that is there if, and only if, the batch was stored.
    pub witness: Witness,
}

impl<'a> Group<'a> {
    pub fn new(context: Context<'a>) -> Self {
        Self {
            context,
            rows: BTreeMap::new(),
            expect: BTreeMap::new(),
            found: BTreeMap::new(),
            logs: BTreeMap::new(),
            grown: BTreeMap::new(),
            tiles: Vec::new(),
            first_leaf: None,
            first_put: None,
            written: Vec::new(),
            broken: false,
        }
    }

    /// Adds a change, or refuses it. A change whose expectations do not hold leaves the group as it was; a failure
    /// half-way through a change breaks the whole group, so that no part of a change is ever stored.
    pub async fn add(
        &mut self,
        mut change: Prepared,
        known: &BTreeMap<Scope, OpenLog>,
        behind: &BTreeMap<Scope, OpenLog>,
    ) -> Result<Events> {
        self.under_current_keys(&mut change)?;
        self.check(&mut change).await?;
        let added = self.apply(change, known, behind).await;
        self.broken |= added.is_err();
        added
    }

    async fn apply(
        &mut self,
        change: Prepared,
        known: &BTreeMap<Scope, OpenLog>,
        behind: &BTreeMap<Scope, OpenLog>,
    ) -> Result<Events> {
        let scopes = change.leaves.iter().map(|leaf| leaf.scope).chain(change.put.iter().map(|put| put.id.scope()));
        let scopes = scopes.chain(change.resealed.iter().map(|resealed| resealed.put.id.scope()));
        for scope in scopes.chain(change.delete.iter().map(RowId::scope)).collect::<Vec<_>>() {
            self.open(scope, known, behind).await?;
        }
        self.written.extend(change.touched);
        let mut events = Events::new();
        for put in change.put {
            self.first_put.get_or_insert_with(|| Witness { key: put.key.clone(), row: put.row.clone(), entry: None });
            self.written.push(put.id.clone());
            self.write(&put.id, put.key, Some(put.row)).await?;
        }
        for id in change.delete {
            self.written.push(id.clone());
            self.write(&id, id.to_key(), None).await?;
        }
        // What is kept in memory of these rows stays true.
        for Resealed { put, .. } in change.resealed {
            self.write(&put.id, put.key, Some(put.row)).await?;
        }
        for leaf in change.leaves {
            let (Some(log), Some(grown)) = (self.logs.get_mut(&leaf.scope), self.grown.get_mut(&leaf.scope)) else {
                return Err(Error::internal("an event outside the group's scopes"));
            };
            let index = grown.after().size();
            let id = RowId::log_leaf(leaf.scope, index);
            let put = self.context.sealed.put(
                self.context.keyring,
                &id,
                FIRST_REVISION,
                &leaf.stored,
                self.context.random,
            )?;
            grown.push(leaf.hash);
            log.tail.as_mut().ok_or_else(|| Error::internal("a log without its end"))?.push(leaf.hash);
            let entry = Some((leaf.scope, leaf.hash));
            self.first_leaf.get_or_insert_with(|| Witness { key: put.key.clone(), row: put.row.clone(), entry });
            self.rows.insert(put.key, Some(put.row));
            events.push((leaf.scope, index));
            self.fill_tile(leaf.scope, index + 1)?;
        }
        Ok(events)
    }

    /// Which rows are written, or touched.
    pub fn written(&mut self) -> Vec<RowId> {
        std::mem::take(&mut self.written)
    }

    /// The whole group as one batch.
    pub fn finish(mut self) -> Result<Finished> {
        let Some(witness) = self.first_leaf.or(self.first_put).filter(|_| !self.broken) else {
            return Err(Error::unavailable("The store failed; nothing was changed.", "a group of changes broke"));
        };
        let mut batch = Batch { put: self.tiles, ..Batch::default() };
        for (scope, log) in &mut self.logs {
            let id = RowId::log_head(*scope);
            if let Some(grown) = self.grown.get(scope) {
                log.head.frontier = grown.after().clone();
            }
            let expected = if log.revision == 0 { Expected::Absent } else { Expected::Revision(log.revision) };
            batch.expect.push((id.to_key(), expected));
            log.revision += 1;
            let put =
                self.context.sealed.put(self.context.keyring, &id, log.revision, &log.head, self.context.random)?;
            batch.put.push((put.key, put.row));
        }
        batch.expect.extend(self.expect);
        for (key, row) in self.rows {
            match row {
                Some(row) => batch.put.push((key, row)),
                None => batch.delete.push(key),
            }
        }
        Ok(Finished { batch, logs: self.logs, grown: self.grown, witness })
    }

    /// What was sealed under a customer's key from before its replacement is sealed under the one that seals now: once the new one
    /// does, nothing comes to be stored under the old one.
    fn under_current_keys(&self, change: &mut Prepared) -> Result<()> {
        let Context { keyring, random, stale, .. } = self.context;
        let written = change.put.iter().map(|put| put.id.scope());
        let rows = written.chain(change.resealed.iter().map(|resealed| resealed.put.id.scope()));
        let mut scopes = rows.chain(change.leaves.iter().map(|leaf| leaf.scope));
        if scopes.any(|scope| matches!(scope, Scope::Customer(customer) if stale.contains(&customer))) {
            let detail = "The customer's keys could not be read since they were changed; try again later.";
            return Err(Error::unavailable(detail, "a customer's keys are not those that are stored"));
        }
        let puts = change.put.iter_mut().chain(change.resealed.iter_mut().map(|resealed| &mut resealed.put));
        for put in puts.filter(|put| !keyring.is_current(put)) {
            match keyring.resealed(&put.id, &put.row, random) {
                Ok(Some(again)) => *put = again,
                Ok(None) => {}
                // Under a key that is no more: it is decided anew.
                Err(SealedError::Tampered { .. }) => return Err(CommitError::Conflict(put.key.clone()).into()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Every expectation must hold after the changes before this one. Of what is only sealed anew, rows that were changed are passed
    /// over.
    async fn check(&mut self, change: &mut Prepared) -> Result<()> {
        // A locked customer's log takes no entry, and nobody else's change fails for it.
        if let Some(Scope::Customer(locked)) =
            change.leaves.iter().map(|leaf| leaf.scope).find(|scope| !self.context.keyring.holds(*scope))
        {
            return Err(Error::locked(locked));
        }
        let mut stored = Vec::new();
        let revision = |row: &Option<Row>| row.as_ref().map(|row| row.revision);
        for (id, expected) in &change.expect {
            let key = id.to_key();
            let found = if let Some(row) = self.rows.get(&key).or_else(|| self.found.get(&key)) {
                revision(row)
            } else {
                let row = self.context.sealed.store().get(&key).await?;
                let found = revision(&row);
                stored.push((key.clone(), row));
                found
            };
            if !expected.holds(found) {
                return Err(CommitError::Conflict(key).into());
            }
        }
        let mut unchanged = Vec::with_capacity(change.resealed.len());
        for resealed in std::mem::take(&mut change.resealed) {
            let key = &resealed.put.key;
            match self.rows.get(key).or_else(|| self.found.get(key)) {
                Some(row) if row.as_ref() == Some(&resealed.before) => unchanged.push(resealed),
                Some(_) => {}
                None => {
                    let row = self.context.sealed.store().get(key).await?;
                    if row.as_ref() == Some(&resealed.before) {
                        stored.push((key.clone(), row));
                        unchanged.push(resealed);
                    }
                }
            }
        }
        change.resealed = unchanged;
        for (key, row) in stored {
            self.expect.insert(key.clone(), revision(&row).map_or(Expected::Absent, Expected::Revision));
            self.found.insert(key, row);
        }
        Ok(())
    }

    /// Puts or deletes a row, and moves its scope's freshness digest with it.
    async fn write(&mut self, id: &RowId, key: StoreKey, row: Option<Row>) -> Result<()> {
        if id.table().counts_in_freshness() {
            let before = match self.rows.get(&key).or_else(|| self.found.get(&key)) {
                Some(row) => row.clone(),
                None => self.context.sealed.store().get(&key).await?,
            };
            let Some(log) = self.logs.get_mut(&id.scope()) else {
                return Err(Error::internal("a row outside the group's scopes"));
            };
            let Context { terms, keyring, .. } = self.context;
            if let Some(before) = before.and_then(|row| terms.of_old(keyring, id, &key, &row)) {
                log.head.digest = log.head.digest.sub(before);
            }
            if let Some(after) = row.as_ref().and_then(|row| terms.of_new(keyring, id, &key, row)) {
                log.head.digest = log.head.digest.add(after);
            }
        }
        self.rows.insert(key, row);
        Ok(())
    }

    /// Takes the scope's log up: as this group has left it, as the writer knows it, or as it is stored.
    async fn open(
        &mut self,
        scope: Scope,
        known: &BTreeMap<Scope, OpenLog>,
        behind: &BTreeMap<Scope, OpenLog>,
    ) -> Result<()> {
        if self.logs.contains_key(&scope) {
            return Ok(());
        }
        let is_whole = |log: &&OpenLog| log.tail.is_some() || !self.context.keyring.holds(scope);
        let log = match known.get(&scope).filter(is_whole) {
            Some(log) => log.clone(),
            None => OpenLog::load(self.context.sealed, self.context.keyring, scope, behind.get(&scope)).await?,
        };
        self.grown.insert(scope, Grown::from(log.head.frontier.clone()));
        self.logs.insert(scope, log);
        Ok(())
    }

    /// A tile that is full is stored once and never changes.
    fn fill_tile(&mut self, scope: Scope, size: u64) -> Result<()> {
        let tail = self.logs.get_mut(&scope).and_then(|log| log.tail.as_mut());
        let Some(tail) = tail.filter(|tail| tail.len() == TILE_WIDTH) else { return Ok(()) };
        let tile = LogTile { hashes: std::mem::take(tail) };
        let id = RowId::log_tile(scope, 0, size / (TILE_WIDTH as u64) - 1);
        let put = self.context.sealed.put(self.context.keyring, &id, FIRST_REVISION, &tile, self.context.random)?;
        self.tiles.push((put.key, put.row));
        Ok(())
    }
}

impl OpenLog {
    /// Reads a log's head, and the entries behind its last full tile: those that were not there before. What is in a log stays.
    pub async fn load(sealed: &Sealed, keyring: &Keyring, scope: Scope, before: Option<&Self>) -> Result<Self> {
        let Some(stored) = sealed.read::<LogHead>(keyring, &RowId::log_head(scope)).await? else {
            return Ok(Self { head: LogHead::empty(), revision: 0, tail: Some(Vec::new()) });
        };
        let size = stored.value.frontier.size();
        if !keyring.holds(scope) {
            return Ok(Self { head: stored.value, revision: stored.revision, tail: None });
        }
        let first = size - size % (TILE_WIDTH as u64);
        let before = before.filter(|before| (first..=size).contains(&before.head.frontier.size()));
        let known = before.and_then(|before| Some((before.tail.clone()?, before.head.frontier.size())));
        let (mut tail, from) = known.unwrap_or((Vec::new(), first));
        if from < size {
            let mut range = Range::scope(Table::LogLeaves, scope).limit(TILE_WIDTH);
            (range.start, range.end) = (RowId::log_leaf(scope, from).to_key(), RowId::log_leaf(scope, size).to_key());
            for leaf in sealed.list::<StoredLeaf>(keyring, &range).await? {
                tail.push(leaf.value.entry(scope, |_| None::<Box<SubjectKey>>)?.hash());
            }
        }
        if tail.len() as u64 != size - first {
            let wanted = size - first;
            return Err(Error::internal(format_args!(
                "{} of the last {wanted} entries of a log are there",
                tail.len()
            )));
        }
        Ok(Self { head: stored.value, revision: stored.revision, tail: Some(tail) })
    }
}
