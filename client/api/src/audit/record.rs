//! One audit entry: a hash over commitments, one a field.
//!
//! ```text
//! commitment  HMAC-SHA-256(key = salt, len(name) ‖ name ‖ len(value) ‖ value)
//! entry       SHA-256(len(label) ‖ label ‖ version ‖ count ‖ Σ (len(name) ‖ name ‖ len(commitment) ‖ commitment))
//! leaf        SHA-256(0x00 ‖ entry)                                                        (RFC 6962 §2.1)
//! ```
//! `len`, `version` and `count` are four bytes, big-endian; the label is `claviger audit entry`; fields stand in the
//! order of their names' bytes, each name at most once. The salt is 32 random bytes of the field's own (RFC 2104 pads a
//! key of that length in one way only, so the commitment binds as SHA-256 does): a withheld value cannot be guessed from
//! its commitment, and erasing value and salt leaves the entry's hash, and every proof, as it was.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use super::hash::{Hash, hex32, leaf_hash};
use super::kind::EventKind;
use super::word::words;
use crate::Timestamp;

/// The version of the entry's hash. Another way to hash gets another number, and this one stays readable.
pub const ENTRY_VERSION: u32 = 1;
/// The most bytes in a field's value.
pub const VALUE_MAX: usize = 4096;

const LABEL: &[u8] = b"claviger audit entry";
/// HMAC-SHA-256 pads its key with zeros to the block of SHA-256 (RFC 2104 §2).
const HMAC_BLOCK: usize = 64;

words! {
    /// The name of a field. Closed and append only: a word, once shipped, is never used for anything else.
    FieldName, UnknownFieldName: "`{0}` is not a field of an audit entry that this version knows";

    /// When: RFC 3339, UTC. In every entry.
    Time = "time",
    /// What happened: the text of an [`EventKind`]. In every entry.
    Kind = "kind",
    /// How it ended.
    Outcome = "outcome",
    /// Who did it: the id of a principal, or `system/…` for what the vault does by itself, e.g. `system/expiry`.
    Actor = "actor",
    /// What the actor was called. Personal.
    ActorName = "actor_name",
    /// The address that the request came from. Personal.
    Source = "source",
    /// The customer.
    Customer = "customer",
    /// The system.
    System = "system",
    /// The account.
    Account = "account",
    /// The checkout.
    Checkout = "checkout",
    /// The rotation.
    Rotation = "rotation",
    /// The id of the principal that it was done to.
    Principal = "principal",
    /// What that principal was called. Personal.
    PrincipalName = "principal_name",
    /// The grant.
    Grant = "grant",
    /// The secret's version.
    Version = "version",
    /// Why, in the actor's words. Personal.
    Reason = "reason",
    /// The ticket that the actor named.
    Ticket = "ticket",
    /// The request.
    Request = "request",
    /// What set it off, e.g. `expiry` or `check_in`.
    Cause = "cause",
    /// More, for people.
    Detail = "detail",
    /// From the end of the right to the proof that the old secret is refused, in milliseconds.
    LagMilliseconds = "lag_milliseconds",
    /// Of a checkpoint: the log's origin.
    Log = "log",
    /// Of a checkpoint: the leaves in that log.
    LogSize = "log_size",
    /// Of a checkpoint: the root of that log, hex.
    LogRoot = "log_root",
    /// When the right ends: RFC 3339, UTC.
    ExpiresAt = "expires_at",
    /// Which reveal of its checkout this is, from 1: a gap is a reveal that is not in the log.
    RevealNumber = "reveal_number",
    /// The session.
    Session = "session",
    /// The role that was given or used.
    Role = "role",
    /// What an approver or a reviewer said. Personal.
    Comment = "comment",
    /// How many approvals are needed or there.
    Approvals = "approvals",
    /// The start that was asked for: RFC 3339, UTC.
    NotBefore = "not_before",
    /// The access review.
    Review = "review",
    /// What an identity provider calls a person. Personal.
    Subject = "subject",
    /// The verb that was refused, e.g. `checkout.create`.
    Action = "action",
    /// The broken glass that it was done under, or that it is about.
    BreakGlass = "break_glass",
    /// The emergency rotation.
    Emergency = "emergency",
    /// Of a checkout's end: how many reveals there were.
    Reveals = "reveals",
}

impl FieldName {
    /// Whether the field tells of a person, and is stored under that person's subject key.
    pub const fn is_personal(self) -> bool {
        match self {
            Self::ActorName | Self::Source | Self::PrincipalName | Self::Reason | Self::Comment | Self::Subject => true,
            Self::Time
            | Self::Kind
            | Self::Outcome
            | Self::Actor
            | Self::Customer
            | Self::System
            | Self::Account
            | Self::Checkout
            | Self::Rotation
            | Self::Principal
            | Self::Grant
            | Self::Version
            | Self::Ticket
            | Self::Request
            | Self::Cause
            | Self::Detail
            | Self::LagMilliseconds
            | Self::Log
            | Self::LogSize
            | Self::LogRoot
            | Self::ExpiresAt
            | Self::RevealNumber
            | Self::Session
            | Self::Role
            | Self::Approvals
            | Self::NotBefore
            | Self::Review
            | Self::Action
            | Self::BreakGlass
            | Self::Emergency
            | Self::Reveals => false,
        }
    }
}

/// A field as its reader may see it. Both forms commit to the same value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum FieldView {
    /// The value, and the salt that proves it.
    Open {
        /// The value.
        value: String,
        /// The salt.
        #[serde(with = "hex32")]
        salt: [u8; 32],
    },
    /// Only the commitment: withheld from this reader, or erased.
    Withheld {
        /// The commitment.
        #[serde(with = "hex32")]
        commitment: [u8; 32],
    },
}

impl FieldView {
    /// What the entry holds of this field: recomputed when it is open.
    pub fn commitment(&self, name: FieldName) -> [u8; 32] {
        match self {
            Self::Open { value, salt } => commitment(salt, name, value),
            Self::Withheld { commitment } => *commitment,
        }
    }
}

impl fmt::Debug for FieldView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open { .. } => "Open",
            Self::Withheld { .. } => "Withheld",
        })
    }
}

/// What is wrong with the fields of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// Two fields of one name.
    #[error("the field `{0}` is there twice")]
    Duplicate(FieldName),
    /// A field that every entry has is not there.
    #[error("the field `{0}` is missing")]
    Missing(FieldName),
    /// Not a value of that field, or not its one form.
    #[error("the field `{0}` has a value that it cannot have")]
    Value(FieldName),
    /// A value over [`VALUE_MAX`].
    #[error("the field `{0}` is over 4096 bytes")]
    TooLong(FieldName),
}

/// The commitments of one entry: each name once, in the order of the names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitments(Vec<(FieldName, [u8; 32])>);

impl Commitments {
    /// Sorts them by name and refuses a name that is there twice.
    pub fn new(mut commitments: Vec<(FieldName, [u8; 32])>) -> Result<Self, BadEntry> {
        commitments.sort_by_key(|(name, _)| *name);
        let twice = commitments.array_windows().find(|[(one, _), (next, _)]| one == next);
        match twice {
            Some([(name, _), _]) => Err(BadEntry::Duplicate(*name)),
            None => Ok(Self(commitments)),
        }
    }

    /// The same for a new entry, which has a time and a kind.
    pub fn of_new(commitments: Vec<(FieldName, [u8; 32])>) -> Result<Self, BadEntry> {
        let commitments = Self::new(commitments)?;
        let there = |wanted: &FieldName| commitments.0.iter().any(|(name, _)| name == wanted);
        match [FieldName::Time, FieldName::Kind].into_iter().find(|wanted| !there(wanted)) {
            Some(missing) => Err(BadEntry::Missing(missing)),
            None => Ok(commitments),
        }
    }

    /// The hash of the leaf of the entry that is made of them.
    pub fn leaf_hash(&self) -> Hash {
        leaf_hash(&entry(self))
    }

    /// The commitments, in the order of the names.
    pub fn as_slice(&self) -> &[(FieldName, [u8; 32])] {
        &self.0
    }
}

/// `HMAC-SHA-256(salt, len(name) ‖ name ‖ len(value) ‖ value)`.
pub fn commitment(salt: &[u8; 32], name: FieldName, value: &str) -> [u8; 32] {
    let mut key = [0; HMAC_BLOCK];
    for (place, byte) in key.iter_mut().zip(salt) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&key.into());
    for part in [name.text(), value] {
        mac.update(&length(part.as_bytes()));
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().into()
}

/// The commitment of a field that is to be logged: a time and a kind are written in one form; other values are the
/// caller's, up to [`VALUE_MAX`].
pub fn new_commitment(salt: &[u8; 32], name: FieldName, value: &str) -> Result<[u8; 32], BadEntry> {
    if value.len() > VALUE_MAX {
        return Err(BadEntry::TooLong(name));
    }
    let fits = if matches!(name, FieldName::Time | FieldName::ExpiresAt) {
        value.parse::<Timestamp>().is_ok_and(|time| time.to_string() == value)
    } else if name == FieldName::Kind {
        value.parse::<EventKind>().is_ok()
    } else {
        true
    };
    if fits { Ok(commitment(salt, name, value)) } else { Err(BadEntry::Value(name)) }
}

/// The 32 bytes that are the entry: what an entry bundle holds and a leaf hashes.
pub fn entry(commitments: &Commitments) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(length(LABEL));
    hash.update(LABEL);
    hash.update(ENTRY_VERSION.to_be_bytes());
    hash.update(number(commitments.0.len()));
    for (name, commitment) in &commitments.0 {
        for part in [name.text().as_bytes(), commitment] {
            hash.update(length(part));
            hash.update(part);
        }
    }
    hash.finalize().into()
}

/// An audit entry: its fields, each as its reader may see it, and its hash, which is the same for every reader.
///
/// In JSON it is one object: `{"actor": {"value": …, "salt": …}, "reason": {"commitment": …}, …}`. A name that is there
/// twice is refused: two readers of the same text must not see two entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    views: Vec<(FieldName, FieldView)>,
    entry: [u8; 32],
}

impl Entry {
    /// An entry as it was logged, of which some fields may be withheld or erased by now.
    pub fn from_views(mut views: Vec<(FieldName, FieldView)>) -> Result<Self, BadEntry> {
        views.sort_by_key(|(name, _)| *name);
        let commitments = views.iter().map(|(name, view)| (*name, view.commitment(*name))).collect();
        let entry = entry(&Commitments::new(commitments)?);
        Ok(Self { views, entry })
    }

    /// The hash of its leaf in the log's tree.
    pub fn hash(&self) -> Hash {
        leaf_hash(&self.entry)
    }

    /// The 32 bytes that are the entry: what an entry bundle holds.
    pub const fn bytes(&self) -> [u8; 32] {
        self.entry
    }

    /// Its fields, in the order of their names.
    pub fn views(&self) -> &[(FieldName, FieldView)] {
        &self.views
    }

    /// The value of a field that is there and open.
    pub fn value(&self, name: FieldName) -> Option<&str> {
        let (_, view) = self.views.iter().find(|(other, _)| *other == name)?;
        match view {
            FieldView::Open { value, .. } => Some(value),
            FieldView::Withheld { .. } => None,
        }
    }

    /// The same entry for a reader who may not see the fields of which `withhold` says so. Its hash stays.
    #[must_use]
    pub fn withholding(mut self, withhold: impl Fn(FieldName) -> bool) -> Self {
        for (name, view) in &mut self.views {
            if withhold(*name) {
                *view = FieldView::Withheld { commitment: view.commitment(*name) };
            }
        }
        self
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.views.len()))?;
        for (name, view) in &self.views {
            map.serialize_entry(name, view)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

/// Reads an entry's object without folding equal names into one.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of an audit entry")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut views = Vec::new();
        while let Some(field) = map.next_entry()? {
            views.push(field);
        }
        Entry::from_views(views).map_err(de::Error::custom)
    }
}

/// Four bytes, big-endian.
fn length(bytes: &[u8]) -> [u8; 4] {
    number(bytes.len())
}

/// Four bytes, big-endian. Names, commitments and their number are far below 2³²; a value that reaches it could not have
/// been logged.
fn number(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;
