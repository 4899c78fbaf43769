//! Receipts: whoever is shown a secret gets the proof that the log says so.

use claviger_api::audit::note::Checkpoint;
use claviger_api::audit::receipt::Receipt;
use claviger_api::wire::LogReceipt;

use crate::error::{Error, Result};
use crate::journal::{Committed, Signed};
use crate::open::Open;

impl Open {
    /// The receipt of a commit's first event. The checkpoint is that of the event's group: it is durable, or nobody would be
    /// answered.
    pub(crate) fn receipt(&self, committed: &Committed) -> Result<LogReceipt> {
        let (scope, index, log) = committed.first().ok_or_else(|| Error::internal("a commit without its log"))?;
        let (leaf, proof) = log.proof(index).map_err(Error::internal)?;
        let sign = || {
            let key = self.verifier_key(scope).ok()?;
            let (size, root) = (log.after().size(), log.after().root());
            let checkpoint = self.signed(&Checkpoint { origin: key.name().to_owned(), size, root });
            Some(Signed { checkpoint, verifier_key: key.to_string() })
        };
        let signed = log.signed(sign).ok_or_else(|| Error::internal("a log without a key"))?;
        let receipt = Receipt { index, leaf, proof, checkpoint: signed.checkpoint.clone() };
        Ok(LogReceipt { proof: receipt.to_string(), verifier_key: signed.verifier_key.clone() })
    }
}
