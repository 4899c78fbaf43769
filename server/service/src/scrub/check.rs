//! Rows, as they come in the order of their keys, held against what the heads of their logs say.
//!
//! One pass, whatever the rows come from (a view of the store, a backup): tables come in the order of their tags, so that heads
//! come before entries and entries before tiles. What is kept meanwhile is a sum a scope, and a hash for 256 entries.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use claviger_api::audit::hash::Hash;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::note::origin;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{ScrubFault, ScrubFaultKind};
use claviger_api::{CustomerId, Scope};
use claviger_crypto::{Digest, SubjectKey};
use claviger_store::{Keyring, Record, Row, RowId, SealedError, StoreKey, Table, customer_row, open_record, opens};

use super::log::Log;
use crate::audit::archive::ArchiveRecord;
use crate::event::StoredLeaf;
use crate::journal::LogHead;
use crate::journal::head::LogTile;

/// The most faults that are named.
const FAULTS_MOST: usize = 1000;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whose rows.
    pub scope: Scope,
    /// What is wrong.
    pub kind: ScrubFaultKind,
    /// The row.
    pub row: Option<RowId>,
    /// The first and last entry of the log.
    pub entries: Option<(u64, u64)>,
    /// What was seen.
    pub detail: String,
}

impl Fault {
    /// About a scope as a whole.
    pub fn of(scope: Scope, kind: ScrubFaultKind, detail: impl Into<String>) -> Self {
        Self { scope, kind, row: None, entries: None, detail: detail.into() }
    }

    /// About a row.
    pub fn at(row: &RowId, kind: ScrubFaultKind, detail: impl Into<String>) -> Self {
        Self { row: Some(row.clone()), ..Self::of(row.scope(), kind, detail) }
    }

    /// In words, with the customer's id.
    pub fn in_words(&self) -> String {
        let whose = match self.scope {
            Scope::Operator => None,
            Scope::Customer(customer) => Some(customer.to_string()),
        };
        super::in_words(&self.shown(whose))
    }

    /// As it is shown, where this is what the customer is called.
    pub fn shown(&self, customer: Option<String>) -> ScrubFault {
        ScrubFault {
            customer,
            kind: self.kind,
            row: self.row.as_ref().map(ToString::to_string),
            first_entry: self.entries.map(|(first, _)| first),
            last_entry: self.entries.map(|(_, last)| last),
            detail: self.detail.clone(),
        }
    }

    /// About entries of a log, from the first to before the end.
    pub fn entries(scope: Scope, kind: ScrubFaultKind, from: u64, end: u64, detail: impl Into<String>) -> Self {
        Self { entries: Some((from, end.saturating_sub(1).max(from))), ..Self::of(scope, kind, detail) }
    }
}

/// What was read, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Findings {
    /// Rows.
    pub rows: u64,
    /// Those that were not opened, because their customer is locked.
    pub locked_rows: u64,
    /// Entries of logs.
    pub entries: u64,
    /// Logs.
    pub logs: u64,
    /// What is wrong, the first of it.
    pub faults: Vec<Fault>,
    /// How much more.
    pub more_faults: u64,
}

impl Findings {
    /// Notes a fault.
    pub fn add(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MOST {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }
}

/// The check, between two rows.
pub struct Checker {
    /// What the vault calls itself: its logs are named by it.
    name: String,
    sums: BTreeMap<Scope, Digest>,
    heads: BTreeMap<Scope, Option<LogHead>>,
    logs: BTreeMap<Scope, Log>,
    /// Customers that have a key.
    keys: BTreeSet<CustomerId>,
    /// The newest checkpoint of each log that the operator log holds.
    published: HashMap<String, (u64, String)>,
    /// Logs that had another past when the operator log saw them.
    contradicted: BTreeSet<Scope>,
    /// The entries of each log that are in archives, from the first one on.
    archived: BTreeMap<Scope, u64>,
    archives: Vec<(Scope, ArchiveRecord)>,
    found: Findings,
}

impl Checker {
    /// Before the first row of a vault of this name.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            sums: BTreeMap::new(),
            heads: BTreeMap::new(),
            logs: BTreeMap::new(),
            keys: BTreeSet::new(),
            published: HashMap::new(),
            contradicted: BTreeSet::new(),
            archived: BTreeMap::new(),
            archives: Vec::new(),
            found: Findings::default(),
        }
    }

    /// The next row.
    pub fn row(&mut self, keyring: &Keyring, key: &StoreKey, row: &Row) {
        self.found.rows += 1;
        let Ok(id) = RowId::from_key(key) else {
            let detail = format!("the key {key} is of no table that this version knows");
            return self.found.add(Fault::of(Scope::Operator, ScrubFaultKind::NoSuchTable, detail));
        };
        if let Some(term) = keyring.freshness_term(&id, row) {
            let sum = self.sums.entry(id.scope()).or_insert(Digest::ZERO);
            *sum = sum.add(term);
        }
        if let Scope::Customer(customer) = id.scope()
            && id == customer_row(customer)
        {
            self.keys.insert(customer);
        }
        if id.table() == Table::LogHeads {
            let head = self.opened::<LogHead>(keyring, &id, row);
            self.heads.insert(id.scope(), head);
        } else if id.table() == Table::LogLeaves {
            self.entry(keyring, &id, row);
        } else if id.table() == Table::LogTiles {
            self.tile(keyring, &id, row);
        } else if id.table() == Table::LogArchives {
            self.archive(keyring, &id, row);
        } else if let Err(error) = opens(keyring, &id, row) {
            self.closed(&id, &error);
        }
    }

    /// After the last row: what the rows of each scope add up to, and what each log comes to. Scopes whose rows differ are
    /// those of [`ScrubFaultKind::RowsDiffer`].
    pub fn finish(mut self) -> Outcome {
        let mut differing = BTreeMap::new();
        let scopes: BTreeSet<Scope> = self.sums.keys().chain(self.heads.keys()).copied().collect();
        for scope in scopes {
            let sum = self.sums.get(&scope).copied().unwrap_or(Digest::ZERO);
            match self.heads.get(&scope) {
                // It does not open, which was noted.
                Some(None) => {}
                None => {
                    let detail = "the head of the log that counts these rows is gone";
                    self.found.add(Fault::of(scope, ScrubFaultKind::HeadMissing, detail));
                }
                Some(Some(head)) if head.digest == sum => {}
                Some(Some(head)) => {
                    let detail =
                        "the rows are not those that the log counts: an older row was put back, or one is gone";
                    self.found.add(Fault::of(scope, ScrubFaultKind::RowsDiffer, detail));
                    differing.insert(scope, sum.sub(head.digest));
                }
            }
        }
        let mut suspect = Vec::new();
        for (scope, head) in &self.heads {
            let Some(head) = head else { continue };
            self.found.logs += 1;
            let log = self.logs.remove(scope).unwrap_or_default();
            // Of a customer that was offboarded only hashes are left. Whoever takes the key away changes the sum of the rows.
            if let Scope::Customer(customer) = scope
                && !self.keys.contains(customer)
            {
                continue;
            }
            let archived = self.archived.get(scope).copied().unwrap_or(0);
            let (faults, tiles) = log.finish(*scope, &head.frontier, archived);
            let is_whole = faults.is_empty();
            for fault in faults {
                self.found.add(fault);
            }
            // A log that its own head contradicts needs no other witness.
            if is_whole && self.contradicted.contains(scope) {
                let detail = "the log is whole, and its entries are others than the operator log saw";
                self.found.add(Fault::of(*scope, ScrubFaultKind::Contradicted, detail));
            }
            suspect.extend(tiles.into_iter().map(|tile| (*scope, tile)));
        }
        for (scope, head) in &self.heads {
            let (Some(head), Some((size, _))) = (head, self.published.get(&origin(&self.name, *scope))) else {
                continue;
            };
            if *size > head.frontier.size() {
                let detail = format!("the log had {size} entries once, and has {} now", head.frontier.size());
                self.found.add(Fault::of(*scope, ScrubFaultKind::Contradicted, detail));
            }
        }
        Outcome { found: self.found, differing, suspect, archives: self.archives }
    }

    fn entry(&mut self, keyring: &Keyring, id: &RowId, row: &Row) {
        self.found.entries += 1;
        let (scope, Some(index)) = (id.scope(), id.number()) else { return };
        let leaf = self.opened::<StoredLeaf>(keyring, id, row);
        let entry = leaf.as_ref().map(|leaf| leaf.entry(scope, |_| None::<Box<SubjectKey>>));
        if let Some(Err(_)) = &entry {
            self.found.add(Fault::at(id, ScrubFaultKind::DoesNotOpen, "the entry opens, and is none"));
        }
        let hash = entry.and_then(Result::ok).map(|entry| entry.hash());
        if let Some(leaf) = leaf.filter(|leaf| leaf.value(FieldName::Kind) == Some(EventKind::LogCheckpoint.text()))
            && scope == Scope::Operator
            && let (Some(log), Some(size), Some(root)) =
                (leaf.value(FieldName::Log), leaf.value(FieldName::LogSize), leaf.value(FieldName::LogRoot))
        {
            self.published.insert(log.to_owned(), (size.parse().unwrap_or(0), root.to_owned()));
        }
        let size = match self.heads.get(&scope) {
            Some(Some(head)) => Some(head.frontier.size()),
            // Noted, as a head that does not open or rows without one.
            Some(None) | None => None,
        };
        let log = self.logs.entry(scope).or_default();
        if let Some(fault) = log.entry(scope, index, hash, size) {
            self.found.add(fault);
        }
        if scope != Scope::Operator
            && let Some((size, root)) = self.published.get(&origin(&self.name, scope))
            && *size == index + 1
            && let Some(now) = log.root()
            && now.to_string() != *root
        {
            self.contradicted.insert(scope);
        }
    }

    fn tile(&mut self, keyring: &Keyring, id: &RowId, row: &Row) {
        let Some(tile) = self.opened::<LogTile>(keyring, id, row) else { return };
        let (Some((level, _)), Some(index)) = (id.id().split_first(), id.number()) else { return };
        let hashes: &[Hash] = if *level == 0 { &tile.hashes } else { &[] };
        self.logs.entry(id.scope()).or_default().tile(index, hashes);
    }

    /// Archives follow one another; the row of one that is gone is missed by the sum of the rows, too.
    fn archive(&mut self, keyring: &Keyring, id: &RowId, row: &Row) {
        let Some(record) = self.opened::<ArchiveRecord>(keyring, id, row) else { return };
        let end = self.archived.entry(id.scope()).or_default();
        if id.number() == Some(*end) {
            *end = record.to;
        }
        self.archives.push((id.scope(), record));
    }

    fn opened<T: Record>(&mut self, keyring: &Keyring, id: &RowId, row: &Row) -> Option<T> {
        match open_record::<T>(keyring, id.clone(), row) {
            Ok(record) => Some(record.value),
            Err(error) => {
                self.closed(id, &error);
                None
            }
        }
    }

    fn closed(&mut self, id: &RowId, error: &SealedError) {
        match error {
            SealedError::Locked(_) => self.found.locked_rows += 1,
            SealedError::Tampered { why, .. } => {
                self.found.add(Fault::at(id, ScrubFaultKind::DoesNotOpen, format!("{why}")));
            }
            SealedError::Read(_)
            | SealedError::NewerFormat { .. }
            | SealedError::Malformed(_)
            | SealedError::Missing(_)
            | SealedError::BadKey(_)
            | SealedError::OtherTable { .. }
            | SealedError::Unwritable(_)
            | SealedError::NotSealed(_)
            | SealedError::NotPlain(_) => {
                self.found.add(Fault::at(id, ScrubFaultKind::DoesNotOpen, error.to_string()));
            }
        }
    }
}

/// What came of a check, and where a second look may tell more.
pub struct Outcome {
    /// What was found.
    pub found: Findings,
    /// Scopes whose rows differ, and by how much: what is there, less what the log counts.
    pub differing: BTreeMap<Scope, Digest>,
    /// Tiles of logs that differ from their entries.
    pub suspect: Vec<(Scope, u64)>,
    /// Archives that there should be.
    pub archives: Vec<(Scope, ArchiveRecord)>,
}
