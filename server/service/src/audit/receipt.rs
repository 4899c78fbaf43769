//! Receipts: whoever is shown a secret gets the proof that the log says so.

use claviger_api::Scope;
use claviger_api::audit::note::{Checkpoint, VerifierKey, origin};
use claviger_api::audit::receipt::Receipt;
use claviger_api::wire::LogReceipt;
use claviger_crypto::SigningKey;

use crate::error::{Error, Result};
use crate::journal::{Committed, Grown, Signed};
use crate::open::Open;

impl Open {
    /// The receipt of a commit's first event. The checkpoint is that of the event's group: it is durable, or nobody would be
    /// answered.
    pub(crate) fn receipt(&self, committed: &Committed) -> Result<LogReceipt> {
        let (scope, index, log) = committed.first().ok_or_else(|| Error::internal("a commit without its log"))?;
        let (leaf, proof) = log.proof(index).map_err(Error::internal)?;
        let signed = log.signed(|| sign(&self.ground().settings.name, &self.log_key, scope, log));
        let signed = signed.ok_or_else(|| Error::internal("a log without a key"))?;
        let receipt = Receipt { index, leaf, proof, checkpoint: signed.checkpoint.clone() };
        Ok(LogReceipt { proof: receipt.to_string(), verifier_key: signed.verifier_key.clone() })
    }
}

/// Signs a log of this vault as a group of changes has left it.
pub(crate) fn sign(vault: &str, key: &SigningKey, scope: Scope, log: &Grown) -> Option<Signed> {
    let origin = origin(vault, scope);
    let verifier_key = VerifierKey::new(&origin, key.public_key()).ok()?.to_string();
    let checkpoint = Checkpoint { origin, size: log.after().size(), root: log.after().root() };
    Some(Signed { checkpoint: super::signed(&checkpoint, key), verifier_key })
}
