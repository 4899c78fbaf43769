//! What whoever was shown a secret keeps of it: the proof that one entry is in a log (C2SP tlog-proof).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra base64(leaf hash)
//! index 41
//! base64(hash) …                      the inclusion proof, from the leaf's sibling up
//!
//! vault.example/cu_…                  the checkpoint, a signed note
//! ```
//! The leaf's hash commits to every field of the entry and tells none. Whoever has the log can be asked what the entry says:
//! [`verify_export_with`](super::verify::verify_export_with) holds an exported log against receipts.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::hash::Hash;
use super::merkle::{ProofError, verify_inclusion};
use super::note::{Checkpoint, NOTE_MAX, NoteError, VerifierKey};

/// The first line.
const FORMAT: &str = "c2sp.org/tlog-proof@v1";
/// The lines above the proof and the empty one after it, and the line of a hash.
const ROOM: usize = 128;
const HASH_LINE: usize = 45;
/// The most hashes: a tree of 2⁶³ leaves is no higher.
const HASHES_MAX: usize = 63;

/// The proof that an entry is in a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the log, from 0.
    pub index: u64,
    /// The hash of its leaf.
    pub leaf: Hash,
    /// The inclusion proof, from the leaf's sibling up (RFC 6962 §2.1.1).
    pub proof: Vec<Hash>,
    /// The signed checkpoint of the tree that it leads to.
    pub checkpoint: String,
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipt {
    /// Not written as a receipt is.
    #[error("it is no receipt of an entry: {0} is not as it has to be")]
    Form(&'static str),
    /// The checkpoint is not the log's.
    #[error("the checkpoint in it does not hold: {0}")]
    Checkpoint(#[from] NoteError),
    /// The entry is not in the tree that the checkpoint signs.
    #[error("the entry is not in the log that was signed: {0}")]
    Proof(#[from] ProofError),
}

impl Receipt {
    /// Checks that the entry is in the log that this key signed, and gives the checkpoint.
    ///
    /// # Errors
    ///
    /// The checkpoint is not signed by this key, or the proof does not lead to it.
    pub fn verify(&self, key: &VerifierKey) -> Result<Checkpoint, BadReceipt> {
        let checkpoint = Checkpoint::open(&self.checkpoint, std::slice::from_ref(key))?;
        verify_inclusion(&self.leaf, self.index, checkpoint.size, &self.proof, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One text, and no allocation a hash: a receipt goes with every reveal.
        let room = ROOM + self.proof.len() * HASH_LINE + self.checkpoint.len();
        let mut text = String::with_capacity(room);
        text.push_str(FORMAT);
        text.push_str("\nextra ");
        STANDARD.encode_string(self.leaf.0, &mut text);
        write!(text, "\nindex {}", self.index)?;
        for hash in &self.proof {
            text.push('\n');
            STANDARD.encode_string(hash.0, &mut text);
        }
        text.push_str("\n\n");
        text.push_str(&self.checkpoint);
        f.write_str(&text)
    }
}

impl FromStr for Receipt {
    type Err = BadReceipt;

    fn from_str(text: &str) -> Result<Self, BadReceipt> {
        let form = |what: &'static str| BadReceipt::Form(what);
        if text.len() > NOTE_MAX {
            return Err(form("its length"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(form("the empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FORMAT) {
            return Err(form("the first line"));
        }
        let leaf = lines.next().and_then(|line| hash(line.strip_prefix("extra ")?));
        let leaf = leaf.ok_or(form("the line of the leaf's hash"))?;
        let index = lines.next().and_then(|line| number(line.strip_prefix("index ")?));
        let index = index.ok_or(form("the line of the index"))?;
        let proof: Option<Vec<Hash>> = lines.map(hash).collect();
        let proof = proof.filter(|proof| proof.len() <= HASHES_MAX).ok_or(form("the proof"))?;
        Ok(Self { index, leaf, proof, checkpoint: checkpoint.to_owned() })
    }
}

fn hash(text: &str) -> Option<Hash> {
    let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
    Some(Hash(bytes))
}

/// A number as it is written: without leading zeros or a sign.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests;
