//! Logs to test with: everything in them is made up, and the same each time.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

use super::*;

/// Keeps every complete subtree.
#[derive(Default)]
pub(super) struct Kept(std::collections::HashMap<(u8, u64), Hash>);

impl HashSource for Kept {
    fn complete(&self, level: u8, index: u64) -> Option<Hash> {
        self.0.get(&(level, index)).copied()
    }
}

impl Kept {
    pub(super) fn of(leaves: &[Hash]) -> Self {
        let (mut kept, mut frontier) = (Self::default(), Frontier::new());
        for leaf in leaves {
            frontier.push_with(*leaf, |level, index, hash| {
                kept.0.insert((level, index), hash);
            });
        }
        kept
    }

    pub(super) fn forget(&mut self, level: u8, index: u64) {
        self.0.remove(&(level, index));
    }
}

/// `MTH` as RFC 6962 §2.1 writes it, and nothing cleverer.
pub(super) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let mut middle = 1;
            while middle * 2 < leaves.len() {
                middle *= 2;
            }
            node_hash(&naive_root(&leaves[..middle]), &naive_root(&leaves[middle..]))
        }
    }
}

pub(super) fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// A key made from a fixed seed.
pub(super) struct TestKey {
    pub(super) name: String,
    pair: Ed25519KeyPair,
}

impl TestKey {
    pub(super) fn new(name: &str, seed: u8) -> Self {
        Self { name: name.to_owned(), pair: Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap() }
    }

    pub(super) fn verifier(&self) -> VerifierKey {
        VerifierKey::new(&self.name, self.public_key()).unwrap()
    }
}

impl Signer for TestKey {
    fn name(&self) -> &str {
        &self.name
    }

    fn public_key(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }
}

pub(super) const ORIGIN: &str = "vault.test/audit/cu_0197a3c2e1f07b1a8c3d4e5f60718293";

pub(super) fn field(name: FieldName, value: &str, salt: u8) -> (FieldName, FieldView) {
    (name, FieldView::Open { value: value.to_owned(), salt: [salt; 32] })
}

/// A reveal, a second after the one before.
pub(super) fn reveal(index: u64, reason: &str) -> Entry {
    let time = crate::Timestamp::from_second(1_767_225_600 + i64::try_from(index).unwrap()).unwrap();
    let salt = u8::try_from(index % 251).unwrap();
    Entry::from_views(vec![
        field(FieldName::Kind, EventKind::CheckoutRevealed.text(), salt),
        field(FieldName::Time, &time.to_string(), salt.wrapping_add(1)),
        field(FieldName::Actor, "pr_0197a3c2e1f07b1a8c3d4e5f60718293", salt.wrapping_add(2)),
        field(FieldName::Reason, reason, salt.wrapping_add(3)),
        field(FieldName::RevealNumber, &index.to_string(), salt.wrapping_add(4)),
    ])
    .unwrap()
}

/// A log and its key.
pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    pub(super) key: TestKey,
}

impl Log {
    pub(super) fn of(count: u64) -> Self {
        let entries = (0..count).map(|i| reveal(i, &format!("ticket {i}\n\"quoted\" ü"))).collect();
        Self { entries, key: TestKey::new(ORIGIN, 7) }
    }

    pub(super) fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(Entry::hash).collect()
    }

    pub(super) fn checkpoint_at(&self, size: usize) -> Checkpoint {
        Checkpoint { origin: ORIGIN.into(), size: size as u64, root: naive_root(&self.leaves()[..size]) }
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        self.checkpoint_at(self.entries.len())
    }

    /// The export's lines; even reasons are withheld.
    pub(super) fn export(&self, from: u64, to: u64) -> Vec<String> {
        let source = Kept::of(&self.leaves());
        let note = self.checkpoint().sign(&self.key);
        let (mut writer, mut text) = ExportWriter::begin(&note, &self.key.verifier(), from, to).unwrap();
        for index in from..to {
            let entry = self.entries[usize::try_from(index).unwrap()].clone();
            let entry = entry.withholding(|name| name.is_personal() && index % 2 == 0);
            text += &writer.entry(&entry, &source).unwrap();
        }
        text += &writer.end().unwrap();
        text.lines().map(str::to_owned).collect()
    }
}
