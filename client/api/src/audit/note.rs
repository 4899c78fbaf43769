//! How a log is signed: C2SP signed-note with Ed25519, and C2SP tlog-checkpoint.
//!
//! ```text
//! key id    SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)[:4]
//! vkey      name + "+" + hex(key id) + "+" + base64(0x01 ‖ public key)
//! note      text "\n" "— " name " " base64(key id ‖ signature) "\n" …          the text ends in a newline
//! ```
//! The key that signs a log is named like the log's origin. A verifier key therefore says which log it is good for, and
//! one customer's log cannot be shown for another's.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::hash::Hash;
use crate::Scope;

/// The most bytes in a note: a checkpoint with many post-quantum cosignatures stays far below it.
pub const NOTE_MAX: usize = 256 * 1024;
/// The most signatures on a note.
pub const SIGNATURES_MAX: usize = 100;

/// The signature type of Ed25519 in C2SP signed-note.
const ED25519_TYPE: u8 = 0x01;

/// Why a note, a checkpoint or a verifier key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note (c2sp.org/signed-note)")]
    Malformed,
    /// No signature is by a key that was asked for.
    #[error("the note is not signed by a key that is trusted for it")]
    UnknownKey,
    /// The signature of a known key is wrong: the text was changed after it was signed, or is another's.
    #[error("the signature by `{0}` is wrong: the note is not what that key signed")]
    BadSignature(String),
    /// A note, but its text is not a checkpoint.
    #[error("the note is not a checkpoint (c2sp.org/tlog-checkpoint)")]
    NotACheckpoint,
    /// Not a verifier key.
    #[error("not a verifier key: it is written NAME+ID+KEY, as `claviger audit log` prints it")]
    BadKey,
}

/// What a verifier trusts: a name and an Ed25519 public key. As text a C2SP vkey, e.g. `vault.example/audit+1b2c…+AW…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The key of this name. A name is not empty and has no space, plus or control character.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        let fits = !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+');
        if fits { Ok(Self { name: name.to_owned(), public_key }) } else { Err(NoteError::BadKey) }
    }

    /// The name: the origin of the log that it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Ed25519 public key (RFC 8032).
    pub const fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The first four bytes of a hash over name and key: finds the key, proves nothing.
    pub fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, &self.public_key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![ED25519_TYPE];
        key.extend(self.public_key);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_id()), STANDARD.encode(key))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let (name, public_key) = vkey_parts(text, ED25519_TYPE)?;
        let key = Self::new(name, public_key)?;
        // One form; this checks the id too.
        if key.to_string() == text { Ok(key) } else { Err(NoteError::BadKey) }
    }
}

/// The name and the public key in a vkey of this type. Its id is not checked.
pub(super) fn vkey_parts(text: &str, key_type: u8) -> Result<(&str, [u8; 32]), NoteError> {
    // Base64 may hold a plus; a name may not.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(_id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(NoteError::BadKey);
    };
    let bytes = STANDARD.decode(key).map_err(|_| NoteError::BadKey)?;
    let public_key = bytes.split_first().filter(|(found, _)| **found == key_type).map(|(_, key)| key);
    let public_key = public_key.and_then(|key| key.try_into().ok()).ok_or(NoteError::BadKey)?;
    Ok((name, public_key))
}

impl Serialize for VerifierKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifierKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Whoever holds the private key of a log.
pub trait Signer {
    /// The key's name: the origin of the log that it signs. Not empty, no space, plus or control character.
    fn name(&self) -> &str;
    /// The Ed25519 public key (RFC 8032).
    fn public_key(&self) -> [u8; 32];
    /// The Ed25519 signature of these bytes (RFC 8032).
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// The note of this text with one signature. The text ends in a newline and has no control character but newlines: any
/// other makes a note that [`open_note`] refuses.
pub fn sign_note(body: &str, signer: &dyn Signer) -> String {
    let mut signature = key_id(signer.name(), &signer.public_key()).to_vec();
    signature.extend(signer.sign(body.as_bytes()));
    format!("{body}\n— {} {}\n", signer.name(), STANDARD.encode(signature))
}

/// A note whose signatures were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenNote<'a> {
    /// The text, with its last newline.
    pub body: &'a str,
    /// Which of the known keys signed it: at least one.
    pub signed_by: Vec<&'a VerifierKey>,
}

/// Opens a note that at least one of these keys has signed. Signatures by others are ignored; a wrong one by any of these
/// keys spoils the note.
pub fn open_note<'a>(text: &'a str, known: &'a [VerifierKey]) -> Result<OpenNote<'a>, NoteError> {
    let (body, signatures) = split(text)?;
    let mut signed_by = Vec::new();
    for line in signatures.lines() {
        let Signature { name, id, bytes } = Signature::parse(line)?;
        for key in known.iter().filter(|key| key.name == name && key.key_id() == id) {
            UnparsedPublicKey::new(&ED25519, &key.public_key)
                .verify(body.as_bytes(), &bytes)
                .map_err(|_| NoteError::BadSignature(name.to_owned()))?;
            if !signed_by.contains(&key) {
                signed_by.push(key);
            }
        }
    }
    if signed_by.is_empty() { Err(NoteError::UnknownKey) } else { Ok(OpenNote { body, signed_by }) }
}

/// The head of a log: the text that is signed. Its three lines are the origin, the size, and the root in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: see [`origin`].
    pub origin: String,
    /// The leaves in its tree.
    pub size: u64,
    /// The root of its tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text to sign.
    pub fn to_body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text of a note. Extension lines, which this log does not write, are allowed and ignored.
    pub fn from_body(body: &str) -> Result<Self, NoteError> {
        Self::parse(body).ok_or(NoteError::NotACheckpoint)
    }

    /// The signed note of this checkpoint. The signer is named like the origin.
    pub fn sign(&self, signer: &dyn Signer) -> String {
        sign_note(&self.to_body(), signer)
    }

    /// Opens a signed checkpoint: signed by one of these keys, and that key is named like the log.
    pub fn open(note: &str, known: &[VerifierKey]) -> Result<Self, NoteError> {
        let note = open_note(note, known)?;
        let checkpoint = Self::from_body(note.body)?;
        let by_its_log = note.signed_by.iter().any(|key| key.name == checkpoint.origin);
        if by_its_log { Ok(checkpoint) } else { Err(NoteError::UnknownKey) }
    }

    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.strip_suffix('\n')?.split('\n');
        let (origin, size_text, root) = (lines.next()?, lines.next()?, lines.next()?);
        let size: u64 = size_text.parse().ok()?;
        let root = Hash(STANDARD.decode(root).ok()?.try_into().ok()?);
        let one_form = !origin.is_empty() && size.to_string() == size_text && lines.all(|line| !line.is_empty());
        one_form.then(|| Self { origin: origin.to_owned(), size, root })
    }
}

/// The origin of a log of this vault: `vault/operator`, or `vault/` and the customer's id. `vault` tells one vault from
/// all others, e.g. `vault.msp.example/audit`; it has no space or plus.
pub fn origin(vault: &str, scope: Scope) -> String {
    match scope {
        Scope::Operator => format!("{vault}/operator"),
        Scope::Customer(id) => format!("{vault}/{id}"),
    }
}

/// One signature line: `— name base64(key id ‖ signature)`.
struct Signature<'a> {
    name: &'a str,
    id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Result<Self, NoteError> {
        let (name, encoded) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
        match decoded.split_first_chunk() {
            Some((id, bytes)) if !name.is_empty() && !name.contains('+') && !bytes.is_empty() => {
                Ok(Self { name, id: *id, bytes: bytes.to_vec() })
            }
            _ => Err(NoteError::Malformed),
        }
    }
}

/// The text of a note, with its last newline, and its signature lines, none of which was checked.
///
/// # Errors
///
/// It is no note.
pub fn note_body(note: &str) -> Result<(&str, &str), NoteError> {
    split(note)
}

/// The text, and the signature lines behind the last empty line.
fn split(text: &str) -> Result<(&str, &str), NoteError> {
    let clean = text.len() <= NOTE_MAX && !text.chars().any(|c| c < ' ' && c != '\n');
    let gap = text.rfind("\n\n").filter(|_| clean && text.ends_with('\n')).ok_or(NoteError::Malformed)?;
    let (body, rest) = text.split_at(gap + 1);
    let signatures = rest.get(1..).unwrap_or_default();
    let count = signatures.lines().count();
    if (1..=SIGNATURES_MAX).contains(&count) { Ok((body, signatures)) } else { Err(NoteError::Malformed) }
}

fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let hash: [u8; 32] =
        Sha256::new().chain_update(name).chain_update([b'\n', ED25519_TYPE]).chain_update(public_key).finalize().into();
    let [a, b, c, d, ..] = hash;
    [a, b, c, d]
}

#[cfg(test)]
mod tests;
