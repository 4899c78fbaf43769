//! The log as a file that proves itself, without the vault.

use crate::error::{Error, Result};
use crate::open::{Caller, Open, deciding};
use claviger_api::Scope;
use claviger_api::audit::export::ExportWriter;
use claviger_api::audit::kind::EventKind;
use claviger_core::policy::{AuditExport, Permit};

impl Open {
    /// A log from an entry on, in pieces that end with a newline, up to and including the event of this export.
    ///
    /// # Errors
    ///
    /// The log has no such entry, or an archive that has some of them is not in its place.
    pub async fn export(
        &self,
        scope: Scope,
        from: u64,
        caller: &Caller,
        _permit: Permit<AuditExport>,
    ) -> Result<Vec<String>> {
        let size = self.head(scope).await?.frontier.size();
        if from > size {
            return Err(Error::value("from", format!("the log has {size} entries")));
        }
        // What cannot be had is refused before anything is told.
        if from < size {
            self.leaf(scope, from).await?;
        }
        deciding(|| self.commit(self.change(self.event(scope, EventKind::LogExported, caller)))).await?;
        let head = self.head(scope).await?;
        let size = head.frontier.size();
        let leaves = self.leaves(scope, size).await?;
        let note = self.signed(&self.checkpoint_of(scope, &head));
        let (mut writer, header) =
            ExportWriter::begin(&note, &self.verifier_key(scope)?, from, size).map_err(Error::internal)?;
        let mut lines = vec![header];
        for index in from..size {
            let entry = self.entry(scope, &self.leaf(scope, index).await?).await?;
            lines.push(writer.entry(&entry, &leaves).map_err(Error::internal)?);
        }
        lines.push(writer.end().map_err(Error::internal)?);
        Ok(lines)
    }
}
