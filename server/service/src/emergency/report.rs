//! What became of each account, signed by the key of the customer's log. It is written when it is asked for, and says what
//! is true then.

use claviger_api::audit::note::origin;
use claviger_api::emergency::{REPORT_FORMAT, ReportHeader, sign_report};
use claviger_api::wire::{EmergencyCounts, EmergencyLine};
use claviger_api::{CustomerId, EmergencyId, Scope};
use claviger_core::emergency::{Line, LineState};
use claviger_core::policy::{Permit, RotationView};
use claviger_core::rotation::Rotation;
use claviger_store::RowId;

use crate::audit::NoteSigner;
use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::EmergencyRecord;

impl Open {
    /// The lines of the report, each with its newline.
    pub async fn emergency_report(
        &self,
        customer: CustomerId,
        id: EmergencyId,
        _permit: Permit<RotationView>,
    ) -> Result<Vec<String>> {
        let emergency = self.load::<EmergencyRecord>(&RowId::emergency(customer, id)).await?.value.0;
        let mut counts = EmergencyCounts::default();
        let mut lines = Vec::new();
        for row in self.emergency_lines(customer, id).await? {
            let rotation = self.rotation_of(customer, &row.value.0).await?;
            let line = self.report_line(customer, &row.value.0, rotation.as_ref()).await?;
            counts.add(line.result);
            lines.push(line);
        }
        let header = ReportHeader {
            emergency_report: REPORT_FORMAT,
            id,
            customer: self.slug_of(customer).await?,
            state: emergency.state_name(),
            started_by: self.name_of(emergency.started_by).await?,
            started_at: emergency.started_at,
            finished_at: emergency.finished_at(),
            reported_at: self.now(),
            counts,
        };
        let name = origin(&self.ground().settings.name, Scope::Customer(customer));
        sign_report(&header, &lines, &NoteSigner { name: &name, key: &self.log_key }).map_err(Error::internal)
    }

    async fn report_line(
        &self,
        customer: CustomerId,
        line: &Line,
        rotation: Option<&Rotation>,
    ) -> Result<EmergencyLine> {
        let why = match &line.state {
            LineState::Skipped { why } => Some(why.clone()),
            LineState::Waiting | LineState::Started { .. } => rotation.map(|rotation| rotation.message.clone()),
        };
        Ok(EmergencyLine {
            account: self.path_or_removed(customer, line.system, line.account).await?,
            tier: line.tier,
            result: line.result(rotation),
            verified: rotation.is_some_and(|rotation| rotation.promoted_at.is_some()),
            old_refused: rotation.is_some_and(|rotation| rotation.old_refused_at.is_some()),
            rotation: rotation.map(|rotation| rotation.id),
            why,
        })
    }
}
