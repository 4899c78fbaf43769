//! What operators and monitors ask of the vault.

use claviger_api::Scope;
use claviger_api::wire::{BreakGlassState, Health, SealState, Status};
use claviger_core::policy::{Permit, SysStatus};
use claviger_store::{Batch, Expected, Range, RowId, Table};

use crate::error::Result;
use crate::open::Open;
use crate::records::{BreakGlassRecord, CustomerRecord, ReviewRecord, RotationRecord};
use crate::vault::Vault;

/// The clear row that a health check rewrites.
const PROBE_ROW: &str = "health";

impl Vault {
    /// Whether the vault serves, and whether its store takes a durable write just now.
    pub async fn health(&self) -> Health {
        let seal = self.seal_status().await.map_or(SealState::Sealed, |status| status.seal);
        let heard = self.open().is_ok_and(|open| open.nodes.are_heard());
        let writable = seal == SealState::Unsealed && heard && self.writes().await.is_ok();
        Health { seal, writable, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// A write like any other, of a row that tells nothing: health is what it answers.
    async fn writes(&self) -> Result<()> {
        let sealed = self.sealed_store();
        let id = RowId::meta(PROBE_ROW);
        let before = sealed.read_plain(&id).await?.map(|row| row.revision);
        let put = sealed.put_plain(&id, before.unwrap_or(0) + 1, Vec::new())?;
        let expected = before.map_or(Expected::Absent, Expected::Revision);
        let batch = Batch { expect: vec![(put.key.clone(), expected)], put: vec![(put.key, put.row)], delete: vec![] };
        match self.ground().store.commit(batch).await {
            // Another check wrote at the same time: the store takes writes.
            Ok(()) | Err(claviger_store::CommitError::Conflict(_)) => Ok(()),
            Err(failed) => Err(failed.into()),
        }
    }
}

impl Open {
    /// The state of the vault, in numbers.
    pub async fn status(&self, vault: &Vault, _permit: Permit<SysStatus>) -> Result<Status> {
        let (mut unresolved_rotations, mut open_reviews) = (0, 0);
        let customers = self.keyring().customers();
        for customer in &customers {
            let range = Range::scope(Table::Rotations, Scope::Customer(*customer));
            let rows = self.all::<RotationRecord>(&range).await?;
            unresolved_rotations +=
                rows.iter().filter(|row| row.value.rotation.unresolved && !row.value.rotation.is_over()).count();
        }
        for customer in &customers {
            let range = Range::scope(Table::Reviews, Scope::Customer(*customer));
            let rows = self.all::<ReviewRecord>(&range).await?;
            open_reviews += rows.iter().filter(|row| row.value.closed.is_none()).count();
        }
        let all = self.all::<CustomerRecord>(&Range::table(Table::Customers)).await?;
        let locked = all.iter().filter(|row| !self.keyring().holds(Scope::Customer(row.value.id))).count();
        let now = self.now();
        let (mut open, mut unreviewed, mut overdue) = (0, 0, 0);
        for row in self.all::<BreakGlassRecord>(&Range::table(Table::BreakGlasses)).await? {
            let glass = &row.value.0;
            overdue += u64::from(glass.is_overdue(now));
            match glass.state_name() {
                BreakGlassState::Asked | BreakGlassState::Open => open += 1,
                BreakGlassState::Closing | BreakGlassState::InReview => unreviewed += 1,
                BreakGlassState::Reviewed | BreakGlassState::Withdrawn => {}
            }
        }
        let scrubbed = self.scrubbed();
        let backups = self.last_backup();
        Ok(Status {
            seal: vault.seal_status().await?,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store_format: claviger_store::FORMAT,
            single_copy: self.ground().escrow.is_none(),
            escrow: self.ground().escrow.as_ref().map(|escrow| escrow.status()),
            customers: (customers.len() + locked) as u64,
            locked_customers: locked as u64,
            unresolved_rotations: unresolved_rotations as u64,
            open_reviews: open_reviews as u64,
            open_break_glass: open,
            unreviewed_break_glass: unreviewed,
            overdue_break_glass: overdue,
            last_backup_at: backups.map(|backed_up| backed_up.at),
            backup_trouble: self.backup_trouble(),
            store_checked_at: scrubbed.filter(|scrubbed| scrubbed.whole).map(|scrubbed| scrubbed.at),
            store_faults: scrubbed.map_or(0, |scrubbed| scrubbed.faults),
            failing_kits: self.kits_seen().map_or(0, |seen| seen.failing),
            key_rotations: self.key_rotations_under_way().await?,
            restored_from: self.paused().map(|paused| paused.moment),
            streams: self.ground().streams.iter().map(|stream| stream.status()).collect(),
        })
    }
}
