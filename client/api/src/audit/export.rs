//! A log as a file: JSON Lines that prove themselves.
//!
//! ```text
//! {"format":"claviger-audit-export","version":1,"origin":…,"from":0,"to":300,"checkpoint":…,"verifier_key":…}
//! {"block":0,"leaves":[256 leaf hashes],"proof":[…]}          before the first entry of each block of 256
//! {"index":0,"fields":{"actor":{"value":…,"salt":…},"reason":{"commitment":…},…}}
//! …
//! {"block":1,"leaves":[44 leaf hashes],"proof":[…]}
//! {"index":256,"fields":{…}}
//! …
//! {"count":300}
//! ```
//! The entries are all those from `from` up to, not including, `to`. A block is the C2SP tile of level 0 at that place in
//! the tree that the checkpoint signs, whole even where the export begins or ends inside it, with the proof that it is in
//! that tree. So each block stands on the signed checkpoint alone, any range can be exported, and an entry is judged as
//! soon as it is read. [`super::verify`] says what that is worth against somebody who edits the file.

use serde::{Deserialize, Serialize};

use super::hash::Hash;
use super::merkle::{HashSource, ProofError, block_proof};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::record::Entry;
use super::tile::{TILE_HEIGHT, TILE_WIDTH, TileId};

/// What the first line calls the file.
pub const FORMAT: &str = "claviger-audit-export";
/// The version of the file's form. Another form gets another number, and this one stays readable.
pub const VERSION: u32 = 1;
/// The most bytes in one line.
pub const LINE_MAX: usize = 1024 * 1024;

/// Why an export cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The checkpoint is not one, or not signed by the log's key.
    #[error("the checkpoint cannot be exported: {0}")]
    Checkpoint(#[from] NoteError),
    /// The range is not within what the checkpoint signs.
    #[error("entries {from} to {to} are not within the {size} that the checkpoint signs")]
    Range {
        /// The first entry asked for.
        from: u64,
        /// The entry after the last.
        to: u64,
        /// The entries that the checkpoint signs.
        size: u64,
    },
    /// A hash of the tree could not be read.
    #[error("the tree cannot prove the entries: {0}")]
    Proof(#[from] ProofError),
    /// The entry is not the one whose hash is in the tree: the store was changed.
    #[error("entry {index} is not what was logged")]
    NotLogged {
        /// Its place in the log.
        index: u64,
    },
    /// More entries, or fewer, than the first line says.
    #[error("the export is of entries up to {to}, and now at {next}")]
    Count {
        /// The entry that would come next.
        next: u64,
        /// The entry after the last.
        to: u64,
    },
    /// A line could not be written as JSON.
    #[error("entry {index} cannot be written")]
    Unwritable {
        /// Its place in the log.
        index: u64,
    },
}

/// Writes an export line by line. Each call gives text that ends in a newline; the caller puts it where it belongs. What
/// is written verifies: the writer refuses an entry that is not the one in the tree.
#[derive(Debug)]
pub struct ExportWriter {
    size: u64,
    from: u64,
    to: u64,
    next: u64,
    leaves: Vec<Hash>,
}

impl ExportWriter {
    /// Begins an export of the entries from `from` up to, not including, `to`, under a checkpoint signed by `key`.
    pub fn begin(checkpoint: &str, key: &VerifierKey, from: u64, to: u64) -> Result<(Self, String), ExportError> {
        let Checkpoint { origin, size, .. } = Checkpoint::open(checkpoint, std::slice::from_ref(key))?;
        if from > to || to > size {
            return Err(ExportError::Range { from, to, size });
        }
        let line = Header::line(FORMAT, origin, (from, to), checkpoint, key)?;
        Ok((Self { size, from, to, next: from, leaves: Vec::new() }, line))
    }

    /// The next entry, as its reader may see it; before it, where a block begins, the block.
    pub fn entry(&mut self, entry: &Entry, source: &(impl HashSource + ?Sized)) -> Result<String, ExportError> {
        let index = self.next;
        if index >= self.to {
            return Err(ExportError::Count { next: index + 1, to: self.to });
        }
        let mut text = String::new();
        if index == self.from || begins_block(index) {
            text = self.block(source)?;
        }
        if self.leaves.get(place_in_block(index)) != Some(&entry.hash()) {
            return Err(ExportError::NotLogged { index });
        }
        text += &line(&EntryLine { index, fields: entry }).ok_or(ExportError::Unwritable { index })?;
        self.next += 1;
        Ok(text)
    }

    /// Ends the export.
    pub fn end(self) -> Result<String, ExportError> {
        if self.next != self.to {
            return Err(ExportError::Count { next: self.next, to: self.to });
        }
        line(&Footer { count: self.to - self.from }).ok_or(ExportError::Unwritable { index: self.to })
    }

    fn block(&mut self, source: &(impl HashSource + ?Sized)) -> Result<String, ExportError> {
        let block = BlockLine::of(self.next, self.size, source)?;
        let text = line(&block).ok_or(ExportError::Unwritable { index: self.next })?;
        self.leaves = block.leaves;
        Ok(text)
    }
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub format: String,
    pub version: u32,
    pub origin: String,
    pub from: u64,
    pub to: u64,
    pub checkpoint: String,
    pub verifier_key: VerifierKey,
}

impl Header {
    /// The first line of a file of this format, of the entries from the first up to, not including, the second.
    pub fn line(
        format: &str,
        origin: String,
        (from, to): (u64, u64),
        checkpoint: &str,
        key: &VerifierKey,
    ) -> Result<String, ExportError> {
        let (checkpoint, verifier_key) = (checkpoint.to_owned(), key.clone());
        let header = Self { format: format.to_owned(), version: VERSION, origin, from, to, checkpoint, verifier_key };
        line(&header).ok_or(ExportError::Unwritable { index: from })
    }
}

/// The leaf hashes of a block, and the proof that the block is in the tree.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlockLine {
    pub block: u64,
    pub leaves: Vec<Hash>,
    pub proof: Vec<Hash>,
}

impl BlockLine {
    /// The block that this entry is in, in the tree of this size.
    pub fn of(index: u64, size: u64, source: &(impl HashSource + ?Sized)) -> Result<Self, ProofError> {
        let block = block_of(index);
        let tile = TileId::in_tree(0, block, size).ok_or(ProofError::OutOfRange { asked: index, size })?;
        let (leaves, proof) = (tile.read(source)?, block_proof(source, TILE_HEIGHT, block, size)?);
        Ok(Self { block, leaves, proof })
    }
}

/// One entry.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EntryLine<E> {
    pub index: u64,
    pub fields: E,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    pub count: u64,
}

/// Whether a block begins at this entry.
pub(super) const fn begins_block(index: u64) -> bool {
    index.is_multiple_of(TILE_WIDTH as u64)
}

/// The block that this entry is in.
pub(super) const fn block_of(index: u64) -> u64 {
    index >> TILE_HEIGHT
}

/// The place of this entry in its block.
pub(super) fn place_in_block(index: u64) -> usize {
    usize::try_from(index % u64::from(TILE_WIDTH)).unwrap_or(usize::MAX)
}

pub(super) fn line(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok().map(|text| text + "\n")
}

#[cfg(test)]
mod tests;
