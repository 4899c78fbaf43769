//! The log as a file that proves itself, without the vault.

use claviger_api::Scope;
use claviger_api::audit::export::ExportWriter;
use claviger_api::audit::kind::EventKind;
use claviger_core::policy::{AuditExport, Permit};
use claviger_store::RowId;

use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::open::{Caller, Open, deciding};

impl Open {
    /// The whole log, in pieces that end with a newline, up to and including the event of this export.
    pub async fn export(&self, scope: Scope, caller: &Caller, _permit: Permit<AuditExport>) -> Result<Vec<String>> {
        deciding(|| self.commit(self.change(self.event(scope, EventKind::LogExported, caller)))).await?;
        let head = self.head(scope).await?;
        let size = head.frontier.size();
        let leaves = self.leaves(scope, size).await?;
        let note = self.signed(&self.checkpoint_of(scope, &head));
        let (mut writer, header) =
            ExportWriter::begin(&note, &self.verifier_key(scope)?, 0, size).map_err(Error::internal)?;
        let mut lines = vec![header];
        for index in 0..size {
            let leaf = self.load::<StoredLeaf>(&RowId::log_leaf(scope, index)).await?;
            let entry = self.entry(scope, &leaf.value).await?;
            lines.push(writer.entry(&entry, &leaves).map_err(Error::internal)?);
        }
        lines.push(writer.end().map_err(Error::internal)?);
        Ok(lines)
    }
}
