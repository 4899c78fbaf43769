//! The offline verifier: an exported log, a key, and nothing else.
//!
//! # What is checked, and why the first bad entry can be named
//!
//! Whoever edits the file can edit all of it: fields, leaf hashes, proofs, the first line and the last. What they cannot
//! make is a checkpoint that the log's key signed. So nothing in the file is believed because the file says it:
//!
//! 1. The checkpoint is signed by the key that the caller trusts, and that key is named like the log. Size and root are
//!    now known.
//! 2. Each block's leaf hashes must lead to that root at that block's place. They are now known too: the one
//!    way to pass with other leaf hashes is a collision of SHA-256. A block that does not pass is named by its first
//!    entry, for of its 256 hashes none is known any more, and the file disagrees with the signature from there on.
//! 3. Each entry's hash, recomputed from its fields, must be the known leaf hash at its place. This names the very entry
//!    that was changed, moved, put in or left out, as the first whose place holds something else, whatever else in the
//!    file was edited to fit.
//!
//! Everything is read in order and the first failure ends it, so what is named is the first place at which the file and
//! the signed tree disagree. Entries before it are as they were logged. If blocks 0 to n all pass, their leaf
//! hashes are all the leaves of the signed tree, so the root needs no second computation.
//!
//! A history that was rewritten *and signed again* by the log's own key passes: a file cannot speak against the one who
//! signs it. A checkpoint that was kept from before can: [`verify_export_since`].
//!
//! Without a key from the caller, the key in the file is used, and a file made by anybody verifies against its own key:
//! the [`Report`] says so, and whoever shows it has to.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::complete::{Completeness, Ledger};
use super::export::{
    BlockLine, EntryLine, FORMAT, Footer, Header, LINE_MAX, VERSION, begins_block, block_of, place_in_block,
};
use super::hash::{EMPTY_ROOT, Hash};
use super::merkle::{Frontier, root_of, verify_inclusion};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::receipt::{BadReceipt, Receipt};
use super::record::{Entry, FieldName, FieldView};
use super::tile::{TILE_WIDTH, TileId};
use crate::Timestamp;

/// Where the key came from that the checkpoint was checked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyTrust {
    /// The caller gave it.
    Given,
    /// It was found in the file: this shows that the file is whole, not whose it is.
    FoundInFile,
}

/// What a file that passed holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which log.
    pub origin: String,
    /// The first entry in the file.
    pub from: u64,
    /// The entries in the file.
    pub entries: u64,
    /// The time of the first entry that shows one.
    pub first_time: Option<Timestamp>,
    /// The time of the last entry that shows one.
    pub last_time: Option<Timestamp>,
    /// The fields that are withheld from this reader, or erased, by name.
    pub withheld: BTreeMap<FieldName, u64>,
    /// The entries that the checkpoint signs.
    pub checkpoint_size: u64,
    /// The root that the checkpoint signs.
    pub checkpoint_root: Hash,
    /// The key that signed it.
    pub key: VerifierKey,
    /// Where that key came from.
    pub key_trust: KeyTrust,
    /// Whether the entries account for all checkouts and rotations; only of a file from the log's first entry on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completeness: Option<Completeness>,
}

impl Report {
    /// Whether the file holds every entry that the checkpoint signs.
    pub const fn is_whole(&self) -> bool {
        self.from == 0 && self.entries == self.checkpoint_size
    }

    /// How many fields are withheld.
    pub fn withheld_count(&self) -> u64 {
        self.withheld.values().sum()
    }

    /// What the reader has to be told, loudly, though the file passed.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.key_trust == KeyTrust::FoundInFile {
            warnings.push(format!(
                "the key was only found in the file: anybody can make a file that passes like this. Compare it with the \
                 key that you were given for this log, or give that one: {}",
                self.key
            ));
        }
        if !self.is_whole() {
            warnings.push(format!(
                "the file holds {} of the log's {} entries, from entry {}",
                self.entries, self.checkpoint_size, self.from
            ));
        }
        let impersonal: Vec<&str> =
            self.withheld.keys().filter(|name| !name.is_personal()).map(|name| name.text()).collect();
        if !impersonal.is_empty() {
            warnings.push(format!("fields that tell of no person are withheld: {}", impersonal.join(", ")));
        }
        warnings
    }
}

/// What a file is expected to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The first line.
    Header,
    /// The hashes of the block that begins at this entry, or that has it in it.
    Block(u64),
    /// This entry.
    Entry(u64),
    /// The last line.
    Footer,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the first line of an audit export"),
            Self::Block(entry) => write!(f, "the hashes of the block from entry {entry}"),
            Self::Entry(entry) => write!(f, "entry {entry}"),
            Self::Footer => f.write_str("the last line of an audit export"),
        }
    }
}

/// Why a file does not pass: what failed, and at which entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The file could not be read.
    #[error("line {line} cannot be read: {problem}")]
    Read {
        /// The line, from 1.
        line: u64,
        /// What the reader said.
        problem: String,
    },
    /// The file ends before it should.
    #[error("the file ends where {expected} should be")]
    CutShort {
        /// What should follow.
        expected: Expected,
    },
    /// A line is something else, or not in its form.
    #[error("line {line} is not {expected}: {problem}")]
    Line {
        /// The line, from 1.
        line: u64,
        /// What should be there.
        expected: Expected,
        /// What is wrong with it.
        problem: String,
    },
    /// A version that this verifier does not know.
    #[error("the file has version {found} of its form, and this verifier reads version 1: use a newer one")]
    Version {
        /// The version that the file claims.
        found: u32,
    },
    /// The checkpoint is not signed by the key, or not a checkpoint.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(NoteError),
    /// The first line and the checkpoint contradict each other.
    #[error("the first line does not agree with the checkpoint: {0}")]
    Contradiction(&'static str),
    /// The hashes of a block do not lead to the signed root.
    #[error("from entry {first} on (to {last} at least) the hashes are not those that the checkpoint signs")]
    Block {
        /// The first entry of the block that is in the file's range.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Another entry stands where this one should.
    #[error("entry {index} is missing: entry {found} stands in its place")]
    Missing {
        /// The entry that should be there.
        index: u64,
        /// The number that is there.
        found: u64,
    },
    /// The entry at this place is not the one that was logged there.
    #[error("entry {index} is not what was logged")]
    Entry {
        /// Its place in the log.
        index: u64,
    },
    /// The last line counts other than the first.
    #[error("the last line counts {found} entries, and there are {entries}")]
    Count {
        /// The count in the last line.
        found: u64,
        /// The entries that were read.
        entries: u64,
    },
    /// Lines after the last.
    #[error("line {line} stands after the end of the export")]
    Trailing {
        /// The line, from 1.
        line: u64,
    },
    /// The kept checkpoint is of another log.
    #[error("the checkpoint that was kept is of the log {kept}, and the file of the log {found}")]
    OtherLog {
        /// The log of the kept checkpoint.
        kept: String,
        /// The log in the file.
        found: String,
    },
    /// The log was longer once.
    #[error("the log had {kept} entries when the checkpoint was kept, and has {size} now: it was rolled back")]
    RolledBack {
        /// The entries then.
        kept: u64,
        /// The entries now.
        size: u64,
    },
    /// The log has another past than it had.
    #[error("the first {kept} entries are not those of the checkpoint that was kept: the history was rewritten")]
    Forked {
        /// The entries that the kept checkpoint signs.
        kept: u64,
    },
    /// A receipt is none of this log's.
    #[error("the receipt of entry {index} does not hold: {why}")]
    Receipt {
        /// The entry that it is of.
        index: u64,
        /// Why.
        why: BadReceipt,
    },
    /// The log has another entry where somebody has a receipt.
    #[error("entry {index} is another than the one of the receipt: what somebody was shown is not in the log")]
    NotTheReceipts {
        /// The entry.
        index: u64,
    },
    /// The file does not begin at entry 0 and reach the kept checkpoint.
    #[error("to compare with the checkpoint that was kept, the file has to hold entries 0 to {kept}")]
    NotCovered {
        /// The entries that the kept checkpoint signs.
        kept: u64,
    },
}

impl VerifyError {
    /// The first entry that does not stand as it was logged, where one can be told. Entries before it, from the first in
    /// the file, do.
    pub const fn first_bad_entry(&self) -> Option<u64> {
        match self {
            Self::Block { first: index, .. }
            | Self::Missing { index, .. }
            | Self::Entry { index }
            | Self::NotTheReceipts { index } => Some(*index),
            Self::CutShort { expected } | Self::Line { expected, .. } => match expected {
                Expected::Block(index) | Expected::Entry(index) => Some(*index),
                Expected::Header | Expected::Footer => None,
            },
            Self::Read { .. }
            | Self::Version { .. }
            | Self::Checkpoint(_)
            | Self::Contradiction(_)
            | Self::Count { .. }
            | Self::Trailing { .. }
            | Self::OtherLog { .. }
            | Self::RolledBack { .. }
            | Self::Forked { .. }
            | Self::Receipt { .. }
            | Self::NotCovered { .. } => None,
        }
    }
}

/// Checks an export. `trusted` is the log's key as the caller has it from elsewhere; without it, the one in the file is
/// used, and the report says so. Lines are read once, in order; a block of hashes is held at a time.
pub fn verify_export<E: fmt::Display>(
    lines: impl Iterator<Item = Result<String, E>>,
    trusted: Option<&VerifierKey>,
) -> Result<Report, VerifyError> {
    verify_export_since(lines, trusted, None)
}

/// What was kept of a log, apart from it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Against<'a> {
    /// Checkpoints that the caller has opened with the key it trusts.
    pub kept: &'a [&'a Checkpoint],
    /// What people were given with the secrets that they were shown.
    pub receipts: &'a [Receipt],
}

/// Checks an export, and that its history is the one that a checkpoint kept from before signed. The caller has opened
/// that checkpoint with the key it trusts.
pub fn verify_export_since<E: fmt::Display>(
    lines: impl Iterator<Item = Result<String, E>>,
    trusted: Option<&VerifierKey>,
    kept: Option<&Checkpoint>,
) -> Result<Report, VerifyError> {
    verify_export_with(lines, trusted, &Against { kept: kept.as_slice(), receipts: &[] }, |_, _| ())
}

/// Checks an export, and that it is what receipts of this log prove: each one's entry is in its place, and the history up to
/// each one's checkpoint is the one that was signed then. Receipts are checked with the same key as the file. `seen` is told of
/// each entry once it is known to be as it was logged.
pub fn verify_export_with<E: fmt::Display>(
    lines: impl Iterator<Item = Result<String, E>>,
    trusted: Option<&VerifierKey>,
    against: &Against<'_>,
    mut seen: impl FnMut(u64, &Entry),
) -> Result<Report, VerifyError> {
    let mut lines = Lines::of(lines);
    let head = Head::read(&mut lines, FORMAT, trusted)?;
    let mut past = Past::default();
    for kept in against.kept {
        past.keep(kept, &head)?;
    }
    for receipt in against.receipts {
        past.keep_receipt(receipt, &head)?;
    }
    let mut report = head.empty_report();
    let mut ledger = (head.from == 0).then(Ledger::default);
    let mut leaves = Vec::new();
    for index in head.from..head.to {
        if index == head.from || begins_block(index) {
            leaves = block(&mut lines, &head, index)?;
        }
        let (entry, leaf) = logged_entry(&mut lines, index, &leaves)?;
        report.add(&entry);
        if let Some(ledger) = &mut ledger {
            ledger.add(index, &entry);
        }
        past.push(index, leaf)?;
        seen(index, &entry);
    }
    end(&mut lines, report.entries)?;
    report.completeness = ledger.map(Ledger::close);
    Ok(report)
}

/// The lines of the file, counted.
pub(super) struct Lines<I> {
    lines: I,
    number: u64,
}

impl<I> Lines<I> {
    pub(super) const fn of(lines: I) -> Self {
        Self { lines, number: 0 }
    }
}

impl<I: Iterator<Item = Result<String, E>>, E: fmt::Display> Lines<I> {
    fn next(&mut self) -> Result<Option<String>, VerifyError> {
        self.number += 1;
        let read = self.lines.next().transpose();
        read.map_err(|problem| VerifyError::Read { line: self.number, problem: problem.to_string() })
    }

    fn text(&mut self, expected: Expected) -> Result<String, VerifyError> {
        let text = self.next()?.ok_or(VerifyError::CutShort { expected })?;
        if text.len() > LINE_MAX { Err(self.bad(expected, "it is over 1 MiB")) } else { Ok(text) }
    }

    pub(super) fn parse<T: DeserializeOwned>(&mut self, expected: Expected) -> Result<T, VerifyError> {
        let text = self.text(expected)?;
        serde_json::from_str(&text).map_err(|problem| self.bad(expected, problem))
    }

    fn bad(&self, expected: Expected, problem: impl fmt::Display) -> VerifyError {
        VerifyError::Line { line: self.number, expected, problem: problem.to_string() }
    }
}

/// What the first line says, checked against the signature.
pub(super) struct Head {
    pub from: u64,
    pub to: u64,
    pub checkpoint: Checkpoint,
    pub key: VerifierKey,
    pub key_trust: KeyTrust,
}

/// Enough of the first line to tell whether it can be read at all.
#[derive(Deserialize)]
struct Claim {
    format: String,
    version: u32,
}

impl Head {
    pub(super) fn read<E: fmt::Display>(
        lines: &mut Lines<impl Iterator<Item = Result<String, E>>>,
        format: &str,
        trusted: Option<&VerifierKey>,
    ) -> Result<Self, VerifyError> {
        let text = lines.text(Expected::Header)?;
        let bad = |problem: &dyn fmt::Display| lines.bad(Expected::Header, problem);
        let claim: Claim = serde_json::from_str(&text).map_err(|problem| bad(&problem))?;
        if claim.format != format {
            return Err(bad(&"its format is another"));
        }
        if claim.version != VERSION {
            return Err(VerifyError::Version { found: claim.version });
        }
        let header: Header = serde_json::from_str(&text).map_err(|problem| bad(&problem))?;
        Self::check(header, trusted)
    }

    fn check(header: Header, trusted: Option<&VerifierKey>) -> Result<Self, VerifyError> {
        let (key, key_trust) = match trusted {
            Some(key) => (key.clone(), KeyTrust::Given),
            None => (header.verifier_key, KeyTrust::FoundInFile),
        };
        let checkpoint = Checkpoint::open(&header.checkpoint, std::slice::from_ref(&key));
        let checkpoint = checkpoint.map_err(VerifyError::Checkpoint)?;
        let (from, to) = (header.from, header.to);
        if header.origin != checkpoint.origin {
            return Err(VerifyError::Contradiction("it names another log"));
        }
        if from > to || to > checkpoint.size {
            return Err(VerifyError::Contradiction("its range is not within what was signed"));
        }
        if checkpoint.size == 0 && checkpoint.root != EMPTY_ROOT {
            return Err(VerifyError::Contradiction("an empty log has another root"));
        }
        Ok(Self { from, to, checkpoint, key, key_trust })
    }

    fn empty_report(&self) -> Report {
        Report {
            origin: self.checkpoint.origin.clone(),
            from: self.from,
            entries: 0,
            first_time: None,
            last_time: None,
            withheld: BTreeMap::new(),
            checkpoint_size: self.checkpoint.size,
            checkpoint_root: self.checkpoint.root,
            key: self.key.clone(),
            key_trust: self.key_trust,
            completeness: None,
        }
    }
}

impl Report {
    fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        if let Some(time) = entry.value(FieldName::Time).and_then(|time| time.parse().ok()) {
            self.first_time = self.first_time.or(Some(time));
            self.last_time = Some(time);
        }
        for (name, view) in entry.views() {
            if matches!(view, FieldView::Withheld { .. }) {
                *self.withheld.entry(*name).or_default() += 1;
            }
        }
    }
}

/// Reads the block that has this entry in it, and checks it against the signed root.
pub(super) fn block<E: fmt::Display>(
    lines: &mut Lines<impl Iterator<Item = Result<String, E>>>,
    head: &Head,
    index: u64,
) -> Result<Vec<Hash>, VerifyError> {
    let Checkpoint { size, root, .. } = &head.checkpoint;
    let line: BlockLine = lines.parse(Expected::Block(index))?;
    let block = block_of(index);
    let blocks = size.div_ceil(u64::from(TILE_WIDTH));
    // The width is checked first: with another number of leaves, hashes of another row could pass for leaf hashes.
    let width = TileId::in_tree(0, block, *size).map_or(0, |tile| usize::from(tile.width));
    let holds = line.block == block
        && line.leaves.len() == width
        && verify_inclusion(&root_of(&line.leaves), block, blocks, &line.proof, root).is_ok();
    if holds {
        Ok(line.leaves)
    } else {
        let after = (block + 1).saturating_mul(u64::from(TILE_WIDTH)).min(head.to);
        Err(VerifyError::Block { first: index, last: after - 1 })
    }
}

/// Reads the entry that should come next; its hash is the one that the tree has at its place.
fn logged_entry<E: fmt::Display>(
    lines: &mut Lines<impl Iterator<Item = Result<String, E>>>,
    index: u64,
    leaves: &[Hash],
) -> Result<(Entry, Hash), VerifyError> {
    let line: EntryLine<Entry> = lines.parse(Expected::Entry(index))?;
    if line.index != index {
        return Err(VerifyError::Missing { index, found: line.index });
    }
    let leaf = line.fields.hash();
    if leaves.get(place_in_block(index)) == Some(&leaf) {
        Ok((line.fields, leaf))
    } else {
        Err(VerifyError::Entry { index })
    }
}

/// Reads the last line, and that nothing follows it.
pub(super) fn end<E: fmt::Display>(
    lines: &mut Lines<impl Iterator<Item = Result<String, E>>>,
    entries: u64,
) -> Result<(), VerifyError> {
    let footer: Footer = lines.parse(Expected::Footer)?;
    if footer.count != entries {
        return Err(VerifyError::Count { found: footer.count, entries });
    }
    match lines.next()? {
        Some(_) => Err(VerifyError::Trailing { line: lines.number }),
        None => Ok(()),
    }
}

/// What was kept of the log, and the tree as it grows in the file to be held against it.
#[derive(Default)]
struct Past {
    frontier: Frontier,
    roots: BTreeMap<u64, Vec<Hash>>,
    leaves: BTreeMap<u64, Vec<Hash>>,
}

impl Past {
    fn keep(&mut self, kept: &Checkpoint, head: &Head) -> Result<(), VerifyError> {
        let found = &head.checkpoint;
        if kept.origin != found.origin {
            return Err(VerifyError::OtherLog { kept: kept.origin.clone(), found: found.origin.clone() });
        }
        if kept.size > found.size {
            return Err(VerifyError::RolledBack { kept: kept.size, size: found.size });
        }
        if head.from != 0 || kept.size > head.to {
            return Err(VerifyError::NotCovered { kept: kept.size });
        }
        self.roots.entry(kept.size).or_default().push(kept.root);
        Ok(())
    }

    fn keep_receipt(&mut self, receipt: &Receipt, head: &Head) -> Result<(), VerifyError> {
        let index = receipt.index;
        let checkpoint = receipt.verify(&head.key).map_err(|why| VerifyError::Receipt { index, why })?;
        self.keep(&checkpoint, head)?;
        self.leaves.entry(index).or_default().push(receipt.leaf);
        Ok(())
    }

    fn push(&mut self, index: u64, leaf: Hash) -> Result<(), VerifyError> {
        if self.roots.is_empty() {
            return Ok(());
        }
        self.frontier.push(leaf);
        if self.leaves.get(&index).is_some_and(|kept| kept.iter().any(|kept| *kept != leaf)) {
            return Err(VerifyError::NotTheReceipts { index });
        }
        let size = self.frontier.size();
        match self.roots.get(&size) {
            Some(kept) if kept.iter().any(|root| *root != self.frontier.root()) => {
                Err(VerifyError::Forked { kept: size })
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
