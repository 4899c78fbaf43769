//! The head of a log: how many entries it has, the hashes at its right edge, and the freshness digest of its scope.

use claviger_api::Scope;
use claviger_api::audit::hash::Hash;
use claviger_api::audit::merkle::Frontier;
use claviger_crypto::{Digest, SubjectKey};
use claviger_store::{Keyring, Record, RowId, Sealed, Table};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::StoredLeaf;

/// A log's head as it is stored, rewritten by every commit that touches the scope.
#[derive(Clone, Serialize, Deserialize)]
pub struct LogHead {
    /// The tree's size and right edge.
    pub frontier: Frontier,
    /// The sum over the scope's live rows (design, "Freshness").
    #[serde(with = "digest_bytes")]
    pub digest: Digest,
}

/// A full tile of leaf hashes: 256 of them, in order.
#[derive(Clone, Serialize, Deserialize)]
pub struct LogTile {
    /// The hashes.
    pub hashes: Vec<Hash>,
}

impl Record for LogHead {
    const TABLE: Table = Table::LogHeads;
}

impl Record for LogTile {
    const TABLE: Table = Table::LogTiles;
}

impl LogHead {
    /// The head of a log that has no entry yet.
    pub fn empty() -> Self {
        Self { frontier: Frontier::new(), digest: Digest::ZERO }
    }
}

mod digest_bytes {
    use claviger_crypto::Digest;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        digest.to_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(Digest::from_bytes)
    }
}

/// The hash of an entry, recomputed from what is stored of it.
pub async fn leaf_hash(sealed: &Sealed, keyring: &Keyring, scope: Scope, index: u64) -> Result<Hash> {
    let leaf = sealed.read::<StoredLeaf>(keyring, &RowId::log_leaf(scope, index)).await?;
    let leaf = leaf.ok_or_else(|| Error::internal(format_args!("entry {index} of a log is gone")))?;
    Ok(leaf.value.entry(scope, |_| None::<Box<SubjectKey>>)?.hash())
}
