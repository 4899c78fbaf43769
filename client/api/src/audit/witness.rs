//! Witnesses: somebody other than who runs the log follows it, and says what it has seen (C2SP tlog-cosignature,
//! tlog-witness).
//!
//! ```text
//! request      "old " size "\n"  base64(hash) "\n" …  "\n"  the checkpoint, a signed note
//! cosignature  "— " name " " base64(key id ‖ time be8 ‖ Ed25519 over "cosignature/v1\ntime " time "\n" ‖ the note's text) "\n"
//! key id       SHA-256(name ‖ 0x0A ‖ 0x04 ‖ public key)[:4]
//! vkey         name + "+" + hex(key id) + "+" + base64(0x04 ‖ public key)
//! ```
//! A witness keeps one checkpoint a log: the largest that it has cosigned. It cosigns a larger one only with the proof that
//! the log has grown from the one to the other, so that whoever rewrites the log finds no witness for it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::hash::Hash;
use super::merkle::{ProofError, verify_consistency};
use super::note::{Checkpoint, NOTE_MAX, NoteError, Signer, VerifierKey, note_body, vkey_parts};
use crate::Timestamp;

/// The most hashes of a proof.
pub const PROOF_MAX: usize = 63;
/// The type of a cosigner's Ed25519 key.
const COSIGNER_TYPE: u8 = 0x04;
/// Bytes of a cosignature: when, and the signature.
const COSIGNATURE: usize = 8 + 64;

/// The key of a witness. As text a C2SP vkey of type 0x04.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerKey {
    name: String,
    public_key: [u8; 32],
}

impl CosignerKey {
    /// The key of this name. A name is not empty and has no space, plus or control character.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        VerifierKey::new(name, public_key).map(|_| Self { name: name.to_owned(), public_key })
    }

    /// The name of the witness.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When this witness has cosigned a note, if it has.
    ///
    /// # Errors
    ///
    /// A cosignature in its name is wrong.
    pub fn cosigned(&self, note: &str) -> Result<Option<Timestamp>, NoteError> {
        let (body, signatures) = note_body(note)?;
        for line in signatures.lines() {
            let rest = line.strip_prefix("— ").and_then(|rest| rest.split_once(' '));
            let Some((name, encoded)) = rest.filter(|(name, _)| *name == self.name) else { continue };
            let bad = || NoteError::BadSignature(name.to_owned());
            let bytes = STANDARD.decode(encoded).map_err(|_| bad())?;
            let Some((id, rest)) = bytes.split_first_chunk::<4>() else { return Err(bad()) };
            if *id != key_id(&self.name, &self.public_key) {
                continue;
            }
            let (time, signature) =
                rest.split_first_chunk::<8>().filter(|_| rest.len() == COSIGNATURE).ok_or_else(bad)?;
            let time = u64::from_be_bytes(*time);
            let key = UnparsedPublicKey::new(&ED25519, &self.public_key);
            key.verify(message(time, body).as_bytes(), signature).map_err(|_| bad())?;
            let time = i64::try_from(time).ok().and_then(|time| Timestamp::from_second(time).ok());
            return time.map(Some).ok_or_else(bad);
        }
        Ok(None)
    }
}

impl fmt::Display for CosignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[COSIGNER_TYPE], self.public_key.as_slice()].concat();
        let id = hex::encode(key_id(&self.name, &self.public_key));
        write!(f, "{}+{id}+{}", self.name, STANDARD.encode(key))
    }
}

impl FromStr for CosignerKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, public_key) = vkey_parts(text, COSIGNER_TYPE)?;
        let key = Self::new(name, public_key)?;
        // One form; this checks the id too.
        if key.to_string() == text { Ok(key) } else { Err(NoteError::BadKey) }
    }
}

/// The line that says that this cosigner has seen this checkpoint, and nothing that contradicts it, at this time.
pub fn cosign(checkpoint: &Checkpoint, at: Timestamp, cosigner: &dyn Signer) -> String {
    let time = u64::try_from(at.as_second()).unwrap_or(0);
    let mut bytes = key_id(cosigner.name(), &cosigner.public_key()).to_vec();
    bytes.extend(time.to_be_bytes());
    bytes.extend(cosigner.sign(message(time, &checkpoint.to_body()).as_bytes()));
    format!("— {} {}\n", cosigner.name(), STANDARD.encode(bytes))
}

fn message(time: u64, body: &str) -> String {
    format!("cosignature/v1\ntime {time}\n{body}")
}

fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', COSIGNER_TYPE]).chain_update(public_key);
    let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
    [a, b, c, d]
}

/// A request to cosign a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size of the checkpoint that the witness cosigned last, as far as the log knows; 0 when it does not.
    pub old: u64,
    /// The proof that the log has grown from that size to the checkpoint's (RFC 6962 §2.1.2).
    pub proof: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.proof {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let (head, checkpoint) =
            text.split_once("\n\n").filter(|_| text.len() <= NOTE_MAX).ok_or(Refusal::Malformed)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(Refusal::Malformed)?;
        let old = old.parse().ok().filter(|number: &u64| number.to_string() == old).ok_or(Refusal::Malformed)?;
        let hash = |line: &str| STANDARD.decode(line).ok().and_then(|bytes| bytes.try_into().ok()).map(Hash);
        let proof: Option<Vec<Hash>> = lines.map(hash).collect();
        let proof = proof.filter(|proof| proof.len() <= PROOF_MAX).ok_or(Refusal::Malformed)?;
        Ok(Self { old, proof, checkpoint: checkpoint.to_owned() })
    }
}

/// Why a witness does not cosign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a request.
    #[error("not a request to add a checkpoint (c2sp.org/tlog-witness)")]
    Malformed,
    /// Not a log that this witness follows.
    #[error("this witness does not follow that log")]
    UnknownLog,
    /// Nobody who is trusted for that log has signed it.
    #[error("the checkpoint is not signed by the key of its log")]
    Unsigned,
    /// The old size is beyond the checkpoint.
    #[error("the old size is larger than the checkpoint's")]
    Backwards,
    /// The witness has cosigned another size last.
    #[error("the checkpoint that was cosigned last has {0} entries")]
    Stale(u64),
    /// Two checkpoints of one size with two roots, both signed: the log shows two histories.
    #[error("the log has signed two different histories of {0} entries")]
    Forked(u64),
    /// The proof does not lead from the one to the other.
    #[error("the checkpoint is not proven to continue the one of {from} entries: {why}")]
    Inconsistent {
        /// The size of the checkpoint that was cosigned last.
        from: u64,
        /// What is wrong with the proof.
        why: ProofError,
    },
}

impl Refusal {
    /// The HTTP status that says so.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed | Self::Backwards => 400,
            Self::Unsigned => 403,
            Self::UnknownLog => 404,
            Self::Stale(_) | Self::Forked(_) => 409,
            Self::Inconsistent { .. } => 422,
        }
    }

    /// Whether the log itself has signed what should not be: somebody has to look.
    pub const fn is_alarming(&self) -> bool {
        match self {
            Self::Forked(_) | Self::Inconsistent { .. } => true,
            Self::Malformed | Self::Backwards | Self::Unsigned | Self::UnknownLog | Self::Stale(_) => false,
        }
    }
}

/// Decides whether to cosign: `known` is the checkpoint that was cosigned last, of the log with that origin. What comes back is
/// to be kept, durably, before anybody is told.
pub fn judge(
    request: &AddCheckpoint,
    followed: &[VerifierKey],
    known: impl FnOnce(&str) -> Option<Checkpoint>,
) -> Result<Checkpoint, Refusal> {
    let (body, _) = note_body(&request.checkpoint).map_err(|_| Refusal::Malformed)?;
    let claimed = Checkpoint::from_body(body).map_err(|_| Refusal::Malformed)?;
    let key = followed.iter().find(|key| key.name() == claimed.origin).ok_or(Refusal::UnknownLog)?;
    let found = Checkpoint::open(&request.checkpoint, std::slice::from_ref(key)).map_err(|_| Refusal::Unsigned)?;
    if request.old > found.size {
        return Err(Refusal::Backwards);
    }
    let known = known(&found.origin);
    let from = known.as_ref().map_or(0, |known| known.size);
    // Said even where the sender does not know it: it is signed, twice.
    if known.as_ref().is_some_and(|known| known.size == found.size && known.root != found.root) {
        return Err(Refusal::Forked(found.size));
    }
    if request.old != from {
        return Err(Refusal::Stale(from));
    }
    if let Some(known) = known.filter(|known| known.size > 0) {
        verify_consistency(known.size, &known.root, found.size, &found.root, &request.proof)
            .map_err(|why| Refusal::Inconsistent { from, why })?;
    } else if !request.proof.is_empty() {
        return Err(Refusal::Inconsistent { from, why: ProofError::WrongLength });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
