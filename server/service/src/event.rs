//! An audit event, from the moment it is decided to the leaf that the journal appends.

use std::fmt::{Display, Write as _};

use claviger_api::audit::hash::Hash;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::{Commitments, Entry, FieldName, FieldView, VALUE_MAX, new_commitment};
use claviger_api::{PrincipalId, Scope, Timestamp};
use claviger_crypto::envelope::{self, Aad};
use claviger_crypto::{Random, SubjectKey, salt};
use claviger_store::{Record, Table};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base64_bytes;
use crate::error::{Error, Result};

/// What derives each field's salt from its group's seed, in leaves of [`Seed::BY_NAME`].
const SALT_LABEL: &[u8] = b"claviger audit salt 1";
/// A personal group is sealed once.
const PERSONAL_VERSION: u64 = 1;
/// An id or a time is shorter.
const USUAL_BYTES: usize = 40;
/// Most events have fewer.
const USUAL_FIELDS: usize = 16;
/// Most personal groups are shorter.
const USUAL_GROUP_BYTES: usize = 512;

/// What happened, and in whose log it is told.
#[derive(Clone)]
pub struct Event {
    scope: Scope,
    fields: Vec<(FieldName, String)>,
    personal: Vec<(PrincipalId, Vec<(FieldName, String)>)>,
}

/// A leaf as it is stored: what is personal is sealed under its subject's key, so that erasing the key leaves the
/// commitments, and with them every proof.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredLeaf {
    /// Each salt of the open fields is derived from this.
    #[serde(with = "base64_bytes")]
    seed: Seed,
    /// The fields that are not personal.
    fields: Vec<(FieldName, String)>,
    /// The personal fields, a group a person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    personal: Vec<PersonalGroup>,
}

#[derive(Clone, Serialize, Deserialize)]
struct PersonalGroup {
    subject: PrincipalId,
    commitments: Vec<(FieldName, Hash)>,
    #[serde(with = "base64_bytes")]
    sealed: Vec<u8>,
}

/// What a personal group holds, once opened.
#[derive(Serialize, Deserialize)]
struct PersonalFields {
    #[serde(with = "base64_bytes")]
    seed: Seed,
    fields: Vec<(FieldName, String)>,
}

/// What the salts of a group's fields come from, stored as 32 bytes or, since [`Seed::IN_ORDER`], as that byte and 32: a program that
/// knows only the first refuses the second. Append only: old leaves are read for ever.
#[derive(Clone, Copy)]
struct Seed([u8; 33]);

/// A leaf ready to be appended wherever its log stands.
pub struct PreparedLeaf {
    /// Which log.
    pub scope: Scope,
    /// The leaf's hash in the tree.
    pub hash: Hash,
    /// What is stored.
    pub stored: StoredLeaf,
}

impl Record for StoredLeaf {
    const TABLE: Table = Table::LogLeaves;
}

impl Event {
    /// Something happened, now, to what this log tells of.
    pub fn new(scope: Scope, kind: EventKind, now: Timestamp) -> Self {
        let mut fields = Vec::with_capacity(USUAL_FIELDS);
        fields.extend([(FieldName::Time, text_of(now)), (FieldName::Kind, kind.text().to_owned())]);
        Self { scope, fields, personal: Vec::new() }
    }

    /// Adds a field; an empty value adds none. A long text is cut, since the record has a limit and the event must not
    /// fail for it.
    #[must_use]
    pub fn with(mut self, name: FieldName, value: impl Display) -> Self {
        let value = text_of(value);
        if !value.is_empty() {
            self.fields.push((name, value));
        }
        self
    }

    /// Adds a field that tells of a person.
    #[must_use]
    pub fn with_personal(mut self, subject: PrincipalId, name: FieldName, value: impl Display) -> Self {
        let value = text_of(value);
        if value.is_empty() {
            return self;
        }
        match self.personal.iter_mut().find(|(other, _)| *other == subject) {
            Some((_, fields)) => fields.push((name, value)),
            None => self.personal.push((subject, vec![(name, value)])),
        }
        self
    }

    /// Which log tells of it.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The persons whose keys it needs.
    pub fn subjects(&self) -> impl Iterator<Item = PrincipalId> + '_ {
        self.personal.iter().map(|(subject, _)| *subject)
    }

    /// Commits to every field and seals the personal ones. `key` gives a subject's key in this event's log.
    pub fn prepare<K: std::ops::Deref<Target = SubjectKey>>(
        self,
        key: impl Fn(PrincipalId) -> Option<K>,
        random: &dyn Random,
    ) -> Result<PreparedLeaf> {
        let (seed, own_seeds) = seeds(self.personal.len(), random);
        let mut commitments = committed(&seed, &self.fields)?;
        let mut personal = Vec::with_capacity(self.personal.len());
        for ((subject, fields), own_seed) in self.personal.into_iter().zip(own_seeds) {
            let group = PersonalFields { seed: own_seed, fields };
            let own = committed(&group.seed, &group.fields)?;
            let mut text = Zeroizing::new(Vec::with_capacity(USUAL_GROUP_BYTES));
            serde_json::to_writer(&mut *text, &group).map_err(Error::internal)?;
            let key = key(subject).ok_or_else(|| Error::internal("an event without its subject's key"))?;
            let sealed = envelope::seal(&*key, &personal_aad(self.scope, &place(&seed, subject)), &text, random);
            commitments.extend(&own);
            let commitments = own.into_iter().map(|(name, commitment)| (name, Hash(commitment))).collect();
            personal.push(PersonalGroup { subject, commitments, sealed });
        }
        let hash = Commitments::of_new(commitments).map_err(Error::internal)?.leaf_hash();
        Ok(PreparedLeaf { scope: self.scope, hash, stored: StoredLeaf { seed, fields: self.fields, personal } })
    }
}

impl StoredLeaf {
    /// The entry as a reader may see it: personal fields are open where `key` gives their subject's key, else withheld.
    pub fn entry<K: std::ops::Deref<Target = SubjectKey>>(
        &self,
        scope: Scope,
        key: impl Fn(PrincipalId) -> Option<K>,
    ) -> Result<Entry> {
        let mut views: Vec<(FieldName, FieldView)> = opened(&self.seed, self.fields.clone()).collect();
        for group in &self.personal {
            match key(group.subject) {
                Some(key) => {
                    let aad = place(&self.seed, group.subject);
                    let text =
                        envelope::open(&*key, &personal_aad(scope, &aad), &group.sealed).map_err(Error::internal)?;
                    let fields: PersonalFields = serde_json::from_slice(&text).map_err(Error::internal)?;
                    views.extend(opened(&fields.seed, fields.fields));
                }
                None => views.extend(
                    group
                        .commitments
                        .iter()
                        .map(|(name, commitment)| (*name, FieldView::Withheld { commitment: commitment.0 })),
                ),
            }
        }
        Entry::from_views(views).map_err(Error::internal)
    }

    /// The persons whose keys open it whole.
    pub fn subjects(&self) -> impl Iterator<Item = PrincipalId> + '_ {
        self.personal.iter().map(|group| group.subject)
    }

    /// The value of a field that is not personal.
    pub fn value(&self, name: FieldName) -> Option<&str> {
        self.fields.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }
}

fn committed(seed: &Seed, fields: &[(FieldName, String)]) -> Result<Vec<(FieldName, [u8; 32])>> {
    let mut committed = Vec::with_capacity(fields.len());
    for ((name, value), salt) in fields.iter().zip(seed.salts(fields)) {
        committed.push((*name, new_commitment(&salt, *name, value).map_err(Error::internal)?));
    }
    Ok(committed)
}

fn opened(seed: &Seed, fields: Vec<(FieldName, String)>) -> impl Iterator<Item = (FieldName, FieldView)> {
    let salts = seed.salts(&fields);
    fields.into_iter().zip(salts).map(|((name, value), salt)| (name, FieldView::Open { value, salt }))
}

impl Seed {
    /// `HMAC-SHA-256(seed, label ‖ name)`: of leaves that an earlier program has written.
    const BY_NAME: u8 = 1;
    /// [`salt::of_seed`], in the order of the group's fields.
    const IN_ORDER: u8 = 2;

    fn new(bytes: &[u8; 32]) -> Self {
        Self::of(Self::IN_ORDER, bytes)
    }

    fn of(scheme: u8, bytes: &[u8; 32]) -> Self {
        let mut seed = [scheme; 33];
        if let Some(place) = seed.last_chunk_mut() {
            *place = *bytes;
        }
        Self(seed)
    }

    fn bytes(&self) -> &[u8; 32] {
        let [_, bytes @ ..] = &self.0;
        bytes
    }

    /// A salt a field: 32 bytes that tell nothing of another field's.
    fn salts(&self, fields: &[(FieldName, String)]) -> Vec<[u8; 32]> {
        let [scheme, ..] = self.0;
        if scheme == Self::IN_ORDER {
            return salt::of_seed(self.bytes()).take(fields.len()).collect();
        }
        fields.iter().map(|(name, _)| by_name(self.bytes(), *name)).collect()
    }
}

impl AsRef<[u8]> for Seed {
    fn as_ref(&self) -> &[u8] {
        let [scheme, ..] = self.0;
        if scheme == Self::BY_NAME { self.bytes() } else { &self.0 }
    }
}

impl TryFrom<Vec<u8>> for Seed {
    type Error = ();

    fn try_from(stored: Vec<u8>) -> std::result::Result<Self, ()> {
        match stored.as_slice() {
            [Self::IN_ORDER, bytes @ ..] if bytes.len() == 32 => bytes.try_into().map(Self::new).map_err(drop),
            bytes => bytes.try_into().map(|bytes| Self::of(Self::BY_NAME, bytes)).map_err(drop),
        }
    }
}

fn by_name(seed: &[u8; 32], name: FieldName) -> [u8; 32] {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mac = Hmac::<Sha256>::new_from_slice(seed).expect("any length");
    mac.chain_update(SALT_LABEL).chain_update(name.text()).finalize().into_bytes().into()
}

/// A leaf's seed, and one for each of its personal groups: drawn in one go, since each draw is a call to the kernel.
fn seeds(groups: usize, random: &dyn Random) -> (Seed, Vec<Seed>) {
    let mut seeds = vec![[0; 32]; groups + 1];
    random.fill(seeds.as_flattened_mut());
    let mut seeds: Vec<Seed> = seeds.iter().map(Seed::new).collect();
    (seeds.pop().unwrap_or_else(|| Seed::new(&[0; 32])), seeds)
}

/// The seed is the leaf's own, and sealed with it: a group moved to another leaf does not open.
fn place(seed: &Seed, subject: PrincipalId) -> Vec<u8> {
    [seed.bytes().as_slice(), subject.uuid().as_bytes()].concat()
}

fn personal_aad(scope: Scope, place: &[u8]) -> Aad<'_> {
    Aad { scope, table: Table::LogLeaves.tag(), record: place, version: PERSONAL_VERSION }
}

/// A word of ours as the record writes it.
pub(crate) fn snake_case(word: &impl Serialize) -> String {
    serde_json::to_value(word).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What a field says. Room for an id or a time is made at once: a text that grows piece by piece moves, and is wiped, each time.
fn text_of(value: impl Display) -> String {
    let mut text = String::with_capacity(USUAL_BYTES);
    // A text takes whatever is written to it.
    let _ = write!(text, "{value}");
    if text.len() > VALUE_MAX {
        let end = (0..=VALUE_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    /// What an earlier program has written.
    #[test]
    fn a_leaf_that_does_not_say_how_has_its_salts_by_name() {
        let seed = STANDARD_NO_PAD.encode([1; 32]);
        let leaf = format!(r#"{{"seed":"{seed}","fields":[["time","2026-11-23T10:00:00Z"],["kind","login.failed"]]}}"#);
        let leaf: StoredLeaf = serde_json::from_str(&leaf).unwrap();
        let entry = leaf.entry(Scope::Operator, |_| None::<Box<SubjectKey>>).unwrap();
        let salt = |name| match entry.views().iter().find(|(found, _)| *found == name) {
            Some((_, FieldView::Open { salt, .. })) => hex::encode(salt),
            Some((_, FieldView::Withheld { .. })) | None => "none".to_owned(),
        };
        // By another implementation of HMAC.
        assert_eq!(salt(FieldName::Time), "499a834af55eea48dd5df850e7cf53078675b505c998b22b0f6009db1cc11807");
        assert_eq!(salt(FieldName::Kind), "959cd7b7ceaa2a08eaf06137aa5dc9e261bc1c7fde78c4b9ae2db55262090e52");
    }

    #[test]
    fn a_new_leaf_is_not_taken_for_an_old_one() {
        let seed = Seed::new(&[1; 32]);
        assert_eq!(seed.as_ref().len(), 33, "32 bytes are an old one's");
        assert_eq!(Seed::try_from(seed.as_ref().to_vec()).unwrap().0, seed.0);
        for other in [vec![3; 33], vec![1; 31], vec![2; 34]] {
            assert!(Seed::try_from(other).is_err());
        }
    }
}
