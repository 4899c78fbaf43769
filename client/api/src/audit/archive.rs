//! What is too old for the store, as a file: the form of an export, with its entries sealed.
//!
//! ```text
//! {"format":"claviger-audit-archive","version":1,"origin":…,"from":0,"to":512,"checkpoint":…,"verifier_key":…}
//! {"block":0,"leaves":[256 leaf hashes],"proof":[…]}
//! {"index":0,"sealed":…}                                       256 of them, base64
//! …
//! {"block":1,"leaves":[256 leaf hashes],"proof":[…]}
//! …
//! {"count":512}
//! ```
//! It begins and ends with a block. Anybody can check that it holds the hashes that the log's key signed; what the entries say,
//! only the vault can tell, and it holds each one that it opens against the hash. So the file may lie where the store may not,
//! and erasing a key erases there too.

use serde::{Deserialize, Serialize};

use super::export::{BlockLine, ExportError, Footer, Header, begins_block, line};
use super::hash::Hash;
use super::merkle::HashSource;
use super::note::{Checkpoint, VerifierKey};
use super::tile::TILE_WIDTH;
use super::verify::{Expected, Head, KeyTrust, Lines, VerifyError, block, end};

/// What the first line calls the file.
pub const FORMAT: &str = "claviger-audit-archive";

/// Writes an archive, a block at a time.
#[derive(Debug)]
pub struct ArchiveWriter {
    size: u64,
    from: u64,
    to: u64,
    next: u64,
}

impl ArchiveWriter {
    /// Begins an archive of the entries from `from` up to, not including, `to`, both at the edge of a block, under a checkpoint
    /// signed by `key`. The text ends in a newline, as does that of the other calls.
    pub fn begin(checkpoint: &str, key: &VerifierKey, from: u64, to: u64) -> Result<(Self, String), ExportError> {
        let Checkpoint { origin, size, .. } = Checkpoint::open(checkpoint, std::slice::from_ref(key))?;
        if from >= to || to > size || !begins_block(from) || !begins_block(to) {
            return Err(ExportError::Range { from, to, size });
        }
        let line = Header::line(FORMAT, origin, (from, to), checkpoint, key)?;
        Ok((Self { size, from, to, next: from }, line))
    }

    /// The next block: its hashes, and each of its 256 entries sealed, in base64.
    pub fn block(&mut self, sealed: &[String], source: &(impl HashSource + ?Sized)) -> Result<String, ExportError> {
        let index = self.next;
        if index >= self.to || sealed.len() != usize::from(TILE_WIDTH) {
            return Err(ExportError::Count { next: index + sealed.len() as u64, to: self.to });
        }
        let block = BlockLine::of(index, self.size, source)?;
        let mut text = line(&block).ok_or(ExportError::Unwritable { index })?;
        for (index, sealed) in (index..).zip(sealed) {
            text += &line(&SealedLine { index, sealed: sealed.clone() }).ok_or(ExportError::Unwritable { index })?;
        }
        self.next += u64::from(TILE_WIDTH);
        Ok(text)
    }

    /// Ends the archive.
    pub fn end(self) -> Result<String, ExportError> {
        if self.next != self.to {
            return Err(ExportError::Count { next: self.next, to: self.to });
        }
        line(&Footer { count: self.to - self.from }).ok_or(ExportError::Unwritable { index: self.to })
    }
}

/// One entry, sealed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedLine {
    index: u64,
    sealed: String,
}

/// The sealed entries in the text of one block, as [`ArchiveWriter::block`] wrote it; nothing, where it is another.
pub fn sealed_entries(block: &str, from: u64) -> Option<Vec<String>> {
    let lines = block.lines().skip(1).zip(from..);
    let entries: Option<Vec<String>> = lines
        .map(|(line, index)| {
            let line: SealedLine = serde_json::from_str(line).ok()?;
            (line.index == index).then_some(line.sealed)
        })
        .collect();
    entries.filter(|entries| entries.len() == usize::from(TILE_WIDTH))
}

/// What an archive that passed holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArchiveReport {
    /// Which log.
    pub origin: String,
    /// The first entry in the file.
    pub from: u64,
    /// The entries in the file, sealed.
    pub entries: u64,
    /// The entries that the checkpoint signs.
    pub checkpoint_size: u64,
    /// The root that the checkpoint signs.
    pub checkpoint_root: Hash,
    /// The key that signed it.
    pub key: VerifierKey,
    /// Where that key came from.
    pub key_trust: KeyTrust,
}

/// Checks that an archive has the hashes that were signed, and an entry for each; what the entries say is sealed. See
/// [`verify_export`](super::verify_export).
pub fn verify_archive<E: std::fmt::Display>(
    lines: impl Iterator<Item = Result<String, E>>,
    trusted: Option<&VerifierKey>,
) -> Result<ArchiveReport, VerifyError> {
    let mut lines = Lines::of(lines);
    let head = Head::read(&mut lines, FORMAT, trusted)?;
    for index in head.from..head.to {
        if index == head.from || begins_block(index) {
            block(&mut lines, &head, index)?;
        }
        let line: SealedLine = lines.parse(Expected::Entry(index))?;
        if line.index != index {
            return Err(VerifyError::Missing { index, found: line.index });
        }
    }
    let entries = head.to - head.from;
    end(&mut lines, entries)?;
    Ok(ArchiveReport {
        origin: head.checkpoint.origin,
        from: head.from,
        entries,
        checkpoint_size: head.checkpoint.size,
        checkpoint_root: head.checkpoint.root,
        key: head.key,
        key_trust: head.key_trust,
    })
}

#[cfg(test)]
mod tests;
