//! Anchors: the newest checkpoint of the operator log, kept outside of the store.
//!
//! Whoever puts an older copy of a store in place (a restored snapshot, a replica that lagged, a thief of time) brings back
//! logs that prove themselves as well as ever: only what was kept elsewhere can speak against them. So each checkpoint of the
//! operator log, which vouches for all others, is written to anchors as it grows, and when the vault opens, its log must hold
//! what the newest anchor holds: no fewer entries, and the same ones.

use std::io;

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::merkle::root_at;
use claviger_api::audit::note::Checkpoint;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;

use crate::error::{Error, Result};
use crate::inventory::short_text;
use crate::open::Open;

/// Who opens the vault.
const ACTOR: &str = "system/unseal";

/// A place outside of the store that keeps one signed note.
pub trait Anchor: Send + Sync {
    /// The note that was written last; nothing, where none ever was.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    fn read(&self) -> io::Result<Option<String>>;

    /// Puts a note in place of the last one, durably.
    ///
    /// # Errors
    ///
    /// It may not be there.
    fn write(&self, note: &str) -> io::Result<()>;
}

impl Open {
    /// Refuses a store that is older than the newest anchor that can be reached, or has another past, unless somebody says
    /// why it shall be taken: that is told in the log, and the anchors are moved back.
    pub(crate) async fn hold_against_anchors(&self, accept: Option<&str>) -> Result<()> {
        let by_witnesses = async || self.contradicted_by_witnesses().await;
        let contradiction = match self.contradiction().await? {
            Some(contradiction) => Some(contradiction),
            None => by_witnesses().await?,
        };
        let Some(contradiction) = contradiction else { return Ok(()) };
        let Some(reason) = accept else { return Err(Error::new(ProblemType::StoreRolledBack, contradiction)) };
        let reason = short_text("accept_rollback", reason)?;
        let event = self
            .automatic(Scope::Operator, EventKind::VaultRollbackAccepted, ACTOR)
            .with(FieldName::Cause, reason)
            .with(FieldName::Detail, contradiction);
        self.commit(self.change(event)).await?;
        self.write_anchors().await
    }

    /// What an anchor says against this store.
    pub(crate) async fn contradiction(&self) -> Result<Option<String>> {
        for anchor in &self.ground().anchors {
            let note = match anchor.read() {
                Ok(Some(note)) => note,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%error, "an anchor cannot be read, and says nothing against this store");
                    continue;
                }
            };
            let kept = match Checkpoint::open(&note, &[self.verifier_key(Scope::Operator)?]) {
                Ok(kept) => kept,
                Err(error) => return Ok(Some(format!("The anchor is none of this vault's: {error}."))),
            };
            let size = self.head(Scope::Operator).await?.frontier.size();
            if kept.size > size {
                let detail = format!("The operator log had {} entries once, and has {size} now.", kept.size);
                return Ok(Some(detail));
            }
            let leaves = self.leaves(Scope::Operator, kept.size).await?;
            if root_at(&leaves, kept.size).map_err(Error::internal)? != kept.root {
                let detail = format!("The first {} entries of the operator log are others than they were.", kept.size);
                return Ok(Some(detail));
            }
        }
        Ok(None)
    }

    /// Writes the operator log's head to every anchor. One that cannot be written holds nobody up.
    pub(crate) async fn write_anchors(&self) -> Result<()> {
        if self.ground().anchors.is_empty() {
            return Ok(());
        }
        let note = self.signed(&self.checkpoint_of(Scope::Operator, &self.head(Scope::Operator).await?));
        let mut failing = 0;
        for anchor in &self.ground().anchors {
            if let Err(error) = anchor.write(&note) {
                tracing::error!(%error, "an anchor cannot be written: an older store would not be noticed");
                failing += 1;
            }
        }
        self.published.lock().anchors_failing = failing;
        Ok(())
    }
}
