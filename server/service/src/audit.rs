//! The record: listed for people, proven for auditors.

use claviger_api::audit::hash::{Hash, node_hash};
use claviger_api::audit::merkle::{HashSource, consistency_proof, inclusion_proof, root_at, root_of};
use claviger_api::audit::note::{Checkpoint, Signer, VerifierKey, origin, sign_note};
use claviger_api::audit::record::{Entry, FieldName};
use claviger_api::audit::tile::TILE_HEIGHT;
use claviger_api::wire::{CheckpointResponse, Proof, ProofQuery};
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::{AuditRead, Permit};
use claviger_crypto::SigningKey;
use claviger_store::RowId;

use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::journal::LogHead;
use crate::journal::head::{LogTile, leaf_hash};
use crate::open::Open;

pub mod anchor;
pub mod archive;
mod export;
mod follow;
mod index;
pub mod publish;
mod receipt;
mod report;
mod search;
pub mod stream;
pub mod witness;

/// Leaf hashes in a full tile.
const TILE_WIDTH: u64 = 256;
const TILE_LEAVES: usize = 256;

/// Signs checkpoints under a log's name.
pub(crate) struct NoteSigner<'a> {
    pub name: &'a str,
    pub key: &'a SigningKey,
}

impl Signer for NoteSigner<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn public_key(&self) -> [u8; 32] {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message)
    }
}

/// Every leaf hash of a log up to a size, as proofs need them.
pub(crate) struct Leaves {
    leaves: Vec<Hash>,
    /// The complete subtrees over whole tiles: a row a level, from that of single tiles up.
    above: Vec<Vec<Hash>>,
}

impl Leaves {
    fn new(leaves: Vec<Hash>) -> Self {
        let mut row: Vec<Hash> = leaves.chunks_exact(TILE_LEAVES).map(root_of).collect();
        let mut above = Vec::new();
        while !row.is_empty() {
            let next = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
            above.push(std::mem::replace(&mut row, next));
        }
        Self { leaves, above }
    }

    /// The hashes of a whole block; none, where it is not whole.
    pub fn of_block(&self, block: u64) -> &[Hash] {
        let whole = usize::try_from(block).ok().and_then(|block| self.leaves.chunks_exact(TILE_LEAVES).nth(block));
        whole.unwrap_or_default()
    }
}

impl HashSource for Leaves {
    fn complete(&self, level: u8, index: u64) -> Option<Hash> {
        if let Some(level) = level.checked_sub(TILE_HEIGHT) {
            return self.above.get(usize::from(level))?.get(usize::try_from(index).ok()?).copied();
        }
        let width = 1_u64.checked_shl(u32::from(level))?;
        let from = usize::try_from(index.checked_mul(width)?).ok()?;
        let to = usize::try_from(index.checked_add(1)?.checked_mul(width)?).ok()?;
        self.leaves.get(from..to).map(root_of)
    }
}

impl Open {
    /// A signed tree head of a log, as it is stored now. What is signed is durable: the head is read from the store.
    pub async fn checkpoint(&self, scope: Scope, _permit: Permit<AuditRead>) -> Result<CheckpointResponse> {
        let head = self.head(scope).await?;
        Ok(CheckpointResponse {
            checkpoint: self.signed(&self.checkpoint_of(scope, &head)),
            verifier_key: self.verifier_key(scope)?.to_string(),
            cosigned: self.cosigned.lock().get(&scope).cloned(),
        })
    }

    /// A proof that an entry is in the log, or that the log has only grown.
    pub async fn proof(&self, scope: Scope, query: &ProofQuery, _permit: Permit<AuditRead>) -> Result<Proof> {
        let newest = self.head(scope).await?.frontier.size();
        let size = query.size.unwrap_or(newest);
        if size > newest {
            return Err(Error::value("size", format!("the log has {newest} entries")));
        }
        let leaves = self.leaves(scope, size).await?;
        let hashes = match (query.index, query.from_size) {
            (Some(index), None) => inclusion_proof(&leaves, index, size),
            (None, Some(from)) => consistency_proof(&leaves, from, size),
            (None, None) | (Some(_), Some(_)) => {
                return Err(Error::value("index", "give either index or from_size"));
            }
        };
        let wrong = |error: claviger_api::audit::merkle::ProofError| Error::value("size", error.to_string());
        let hashes = hashes.map_err(wrong)?;
        let root = root_at(&leaves, size).map_err(wrong)?;
        Ok(Proof { size, root: root.to_string(), hashes: hashes.iter().map(Hash::to_string).collect() })
    }

    /// The head of a log; an empty one if it has no entry.
    pub(crate) async fn head(&self, scope: Scope) -> Result<LogHead> {
        let head = self.read::<LogHead>(&RowId::log_head(scope)).await?;
        Ok(head.map_or_else(LogHead::empty, |head| head.value))
    }

    /// The leaf hashes below `size`: full tiles from their rows, the rest from the entries.
    pub(crate) async fn leaves(&self, scope: Scope, size: u64) -> Result<Leaves> {
        let mut hashes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        for tile in 0..size / TILE_WIDTH {
            let row = self.read::<LogTile>(&RowId::log_tile(scope, 0, tile)).await?;
            let row = row.ok_or_else(|| Error::internal(format_args!("tile {tile} of a log is gone")))?;
            hashes.extend(row.value.hashes);
        }
        let rest = size % TILE_WIDTH;
        // Of an older size, the tile is full by now.
        match self.read::<LogTile>(&RowId::log_tile(scope, 0, size / TILE_WIDTH)).await?.filter(|_| rest > 0) {
            Some(row) => hashes.extend(row.value.hashes.into_iter().take(usize::try_from(rest).unwrap_or(0))),
            None => {
                for index in size - rest..size {
                    hashes.push(leaf_hash(self.sealed(), self.keyring(), scope, index).await?);
                }
            }
        }
        Ok(Leaves::new(hashes))
    }

    fn checkpoint_of(&self, scope: Scope, head: &LogHead) -> Checkpoint {
        let origin = origin(&self.ground().settings.name, scope);
        Checkpoint { origin, size: head.frontier.size(), root: head.frontier.root() }
    }

    /// The note of a checkpoint. Its signer bears the log's own name, so that one log cannot be shown as another.
    fn signed(&self, checkpoint: &Checkpoint) -> String {
        checkpoint.sign(&NoteSigner { name: &checkpoint.origin, key: &self.log_key })
    }

    /// A note of the vault's own, signed as the operator's log is.
    pub(crate) fn signed_note(&self, body: &str) -> String {
        let name = origin(&self.ground().settings.name, Scope::Operator);
        sign_note(body, &NoteSigner { name: &name, key: &self.log_key })
    }

    pub(crate) fn verifier_key(&self, scope: Scope) -> Result<VerifierKey> {
        let name = origin(&self.ground().settings.name, scope);
        VerifierKey::new(&name, self.log_key.public_key()).map_err(Error::internal)
    }
}

/// When an entry says that it happened.
pub(crate) fn time_of(entry: &Entry) -> Option<Timestamp> {
    entry.value(FieldName::Time)?.parse().ok()
}

/// Whether an entry is from before a time.
pub(crate) fn is_older(leaf: &StoredLeaf, since: Option<Timestamp>) -> bool {
    let time = leaf.value(FieldName::Time).and_then(|time| time.parse::<Timestamp>().ok());
    since.zip(time).is_some_and(|(since, time)| time < since)
}
