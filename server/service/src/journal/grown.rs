//! What a group of changes has added to a log: enough to prove each of its entries as soon as it is durable, without a read.
//!
//! What stands to the left of an entry on its way to the root is a subtree that the log's edge had before, or that the group
//! has completed; what stands to its right the group has added. So both are kept, and the proofs of all entries of a group
//! share one signature.

use std::sync::OnceLock;

use claviger_api::audit::hash::Hash;
use claviger_api::audit::merkle::{Frontier, HashSource, ProofError, inclusion_proof};

/// A log, as one group found it and left it.
pub struct Grown {
    before: Frontier,
    completed: Vec<(u8, u64, Hash)>,
    after: Frontier,
    signed: OnceLock<Option<Signed>>,
}

impl Grown {
    /// A log to which nothing was added yet.
    pub fn from(before: Frontier) -> Self {
        Self { after: before.clone(), before, completed: Vec::new(), signed: OnceLock::new() }
    }

    /// One more entry.
    pub fn push(&mut self, leaf: Hash) {
        let completed = &mut self.completed;
        self.after.push_with(leaf, |level, index, hash| completed.push((level, index, hash)));
    }

    /// The log with them.
    pub fn after(&self) -> &Frontier {
        &self.after
    }

    /// The hash of an entry's leaf, and its proof in the log as the group left it.
    pub fn proof(&self, index: u64) -> Result<(Hash, Vec<Hash>), ProofError> {
        let leaf = self.complete(0, index).ok_or(ProofError::Missing { level: 0, index })?;
        Ok((leaf, inclusion_proof(self, index, self.after.size())?))
    }

    /// What the group left, signed when somebody asks first.
    pub fn signed(&self, sign: impl FnOnce() -> Option<Signed>) -> Option<&Signed> {
        self.signed.get_or_init(sign).as_ref()
    }
}

/// A signed checkpoint.
pub struct Signed {
    /// The note.
    pub checkpoint: String,
    /// The key to check it with.
    pub verifier_key: String,
}

impl HashSource for Grown {
    fn complete(&self, level: u8, index: u64) -> Option<Hash> {
        let own = self.completed.iter().find(|(at, place, _)| (*at, *place) == (level, index));
        own.map(|(_, _, hash)| *hash).or_else(|| self.before.complete(level, index))
    }
}
