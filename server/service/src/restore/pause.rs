//! A vault that was restored knows of nothing that happened since its backup. It acts on no system by itself: nothing that is due is
//! done, no secret is rotated and no login made, until an operator has compared what it has with the world, and resumes it.
//!
//! Reading, revealing and checking out go on, and nothing is revealed past its end: that is refused at read, as ever. To compare is
//! to try each stored secret once by a fresh login, within what its system lets fail, as the heartbeat does.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    Compared, ComparedAccount, ComparedAs, ComparedCounts, ProbeResult, RestoreStatus, Restored as View, Resume,
    SystemSpec,
};
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::{Permit, SysRestore, SysStatus};
use claviger_store::{RowId, Versioned};

use super::{RESTORED_ROW, RestoredRow};
use crate::error::{Error, Result};
use crate::inventory::short_text;
use crate::journal::Change;
use crate::open::{Caller, Open};
use crate::upkeep::heartbeat::is_quiet;
use crate::vault::Vault;

/// Who looks.
const ACTOR: &str = "system/restore";
/// Accounts that an answer names.
const NAMED_MOST: usize = 1000;

/// Whether the vault is paused, and what for.
#[derive(Default)]
pub(crate) struct Pause(parking_lot::Mutex<Option<Versioned<RestoredRow>>>);

/// A vault that is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    /// The moment of its backup.
    pub moment: Timestamp,
    /// When it was restored.
    pub since: Timestamp,
}

impl Open {
    /// Whether the vault was restored, and not resumed.
    pub fn paused(&self) -> Option<Paused> {
        let pause = self.pause.0.lock();
        pause.as_ref().map(|row| Paused { moment: row.value.moment, since: row.value.restored_at })
    }

    /// Refuses what acts on a system, while the vault is paused.
    pub(crate) fn must_act(&self) -> Result<()> {
        match self.paused() {
            Some(paused) => Err(Error::new(
                ProblemType::Paused,
                format!("The vault is as it was at {}. {}", paused.moment, ProblemType::Paused.row().advice),
            )),
            None => Ok(()),
        }
    }

    /// Reads whether the store was a backup, before anything is done.
    pub(crate) async fn load_pause(&self) -> Result<()> {
        let row = match self.sealed().read_plain(&RowId::meta(RESTORED_ROW)).await? {
            Some(row) => {
                let value = serde_json::from_slice(&row.value).map_err(Error::internal)?;
                Some(Versioned { id: row.id, revision: row.revision, value })
            }
            None => None,
        };
        *self.pause.0.lock() = row;
        Ok(())
    }

    /// The log is told of a restore once.
    pub(crate) async fn tell_restored<'c>(&'c self, change: Change<'c>) -> Result<Change<'c>> {
        self.load_pause().await?;
        let Some(row) = self.pause_row().ok().filter(|row| !row.value.told) else { return Ok(change) };
        let moment = row.value.moment;
        let event = self.automatic(Scope::Operator, EventKind::VaultRestored, ACTOR);
        let event = event.with(FieldName::Detail, format!("from a backup of {moment}"));
        let after = RestoredRow { told: true, ..row.value.clone() };
        let change = self.said(change.and(event), &row, &after)?;
        *self.pause.0.lock() = Some(Versioned { revision: row.revision + 1, value: after, ..row });
        Ok(change)
    }

    /// Has every stored secret tried, beside all else.
    pub async fn ask_to_compare(&self, caller: &Caller, permit: Permit<SysRestore>) -> Result<RestoreStatus> {
        let row = self.pause_row()?;
        let after = RestoredRow { comparing_since: Some(self.now()), compared_at: None, ..row.value.clone() };
        let event = self.event(Scope::Operator, EventKind::VaultCompareBegun, caller);
        self.store_pause(self.change(event), &row, after).await?;
        self.ground().wake.notify_waiters();
        drop(permit);
        self.restored_view().await
    }

    /// Whether the vault was restored, and what comparing it with the world has shown.
    pub async fn restored(&self, _permit: Permit<SysStatus>) -> Result<RestoreStatus> {
        self.restored_view().await
    }

    /// Lets the vault act again; what fell due meanwhile is done first.
    ///
    /// # Errors
    ///
    /// It was not compared with the world, and `uncompared` does not say that this is meant.
    pub async fn resume(&self, resume: &Resume, caller: &Caller, _permit: Permit<SysRestore>) -> Result<RestoreStatus> {
        let reason = short_text("reason", &resume.reason)?;
        let row = self.pause_row()?;
        if row.value.compared_at.is_none() && !resume.uncompared {
            let detail = "The vault was not compared with the world yet: 'claviger operator restore compare' tries each stored \
                          secret once. Or say that it shall be resumed uncompared.";
            return Err(Error::new(ProblemType::Paused, detail));
        }
        let how = if row.value.compared_at.is_some() { "compared" } else { "not compared" };
        let event = self.event(Scope::Operator, EventKind::VaultResumed, caller).with(FieldName::Detail, how);
        let change = self.change(event.with_personal(caller.id, FieldName::Reason, reason)).remove(&row);
        self.commit(change).await?;
        *self.pause.0.lock() = None;
        self.ground().wake.notify_waiters();
        Ok(RestoreStatus { restored: None })
    }

    /// Whether somebody waits for the comparison.
    pub(crate) fn comparison_is_due(&self) -> bool {
        self.comparing_since().is_some()
    }

    fn comparing_since(&self) -> Option<Timestamp> {
        let pause = self.pause.0.lock();
        pause.as_ref().filter(|row| row.value.compared_at.is_none()).and_then(|row| row.value.comparing_since)
    }

    /// Tries what was not tried since the comparison began; then it is over.
    async fn compare_with_world(&self) -> Result<()> {
        let Some(since) = self.comparing_since() else { return Ok(()) };
        for customer in self.keyring().customers() {
            if let Some(house) = self.whole_house(customer).await? {
                self.try_all(house, since).await?;
            }
        }
        let row = self.pause_row()?;
        if row.value.comparing_since != Some(since) {
            return Ok(());
        }
        let (counts, _) = self.compared_accounts(since).await?;
        let detail = format!(
            "{} accounts: {} as stored, {} refused, {} not reached, {} not tried, {} unsettled, {} by hand",
            counts.accounts,
            counts.accepted,
            counts.refused,
            counts.not_reached,
            counts.not_tried,
            counts.unsettled,
            counts.by_hand
        );
        let event = self.automatic(Scope::Operator, EventKind::VaultCompared, ACTOR).with(FieldName::Detail, detail);
        let after = RestoredRow { compared_at: Some(self.now()), ..row.value.clone() };
        self.store_pause(self.change(event), &row, after).await
    }

    async fn restored_view(&self) -> Result<RestoreStatus> {
        let row = self.pause.0.lock().as_ref().map(|row| row.value.clone());
        let Some(restored) = row else { return Ok(RestoreStatus { restored: None }) };
        let compared = match restored.comparing_since {
            Some(since) => {
                let (counts, mut differing) = self.compared_accounts(since).await?;
                let more = differing.len().saturating_sub(NAMED_MOST) as u64;
                differing.truncate(NAMED_MOST);
                Some(Compared { since, finished_at: restored.compared_at, counts, differing, more })
            }
            None => None,
        };
        let view = View { moment: restored.moment, restored_at: restored.restored_at, compared };
        Ok(RestoreStatus { restored: Some(view) })
    }

    /// What trying them since then has shown: how many, and those that are not known to be as they are stored.
    async fn compared_accounts(&self, since: Timestamp) -> Result<(ComparedCounts, Vec<ComparedAccount>)> {
        let (mut counts, mut differing) = (ComparedCounts::default(), Vec::new());
        for customer in self.keyring().customers() {
            let Some(house) = self.whole_house(customer).await? else { continue };
            for kept in &house.kept {
                let system = house.systems.get(&kept.account.system);
                let by_hand = system.is_some_and(|system| matches!(system.spec, SystemSpec::Manual { .. }));
                let watch = kept.seen.as_ref().and_then(|row| row.value.watch.as_ref());
                let tried = watch.filter(|watch| watch.tried_at >= since).and_then(|watch| watch.result);
                counts.accounts += 1;
                let (count, outcome) = match tried {
                    _ if by_hand => (&mut counts.by_hand, ComparedAs::ByHand),
                    _ if !is_quiet(&kept.state) => (&mut counts.unsettled, ComparedAs::Unsettled),
                    Some(ProbeResult::Accepted) => (&mut counts.accepted, ComparedAs::Accepted),
                    Some(ProbeResult::Refused) => (&mut counts.refused, ComparedAs::Refused),
                    Some(
                        ProbeResult::LockedOut
                        | ProbeResult::Unreachable
                        | ProbeResult::HostMismatch
                        | ProbeResult::Unknown,
                    ) => (&mut counts.not_reached, ComparedAs::NotReached),
                    None => (&mut counts.not_tried, ComparedAs::NotTried),
                };
                *count += 1;
                if outcome != ComparedAs::Accepted {
                    let account = self.path_or_removed(customer, kept.account.system, kept.account.id).await?;
                    differing.push(ComparedAccount { account, outcome });
                }
            }
        }
        Ok((counts, differing))
    }

    pub(super) fn pause_row(&self) -> Result<Versioned<RestoredRow>> {
        let pause = self.pause.0.lock();
        let row = pause.as_ref().map(|row| Versioned {
            id: row.id.clone(),
            revision: row.revision,
            value: row.value.clone(),
        });
        row.ok_or_else(|| Error::new(ProblemType::NotPaused, ""))
    }

    async fn store_pause<'c>(
        &'c self,
        change: Change<'c>,
        row: &Versioned<RestoredRow>,
        after: RestoredRow,
    ) -> Result<()> {
        self.commit(self.said(change, row, &after)?).await?;
        *self.pause.0.lock() = Some(Versioned { id: row.id.clone(), revision: row.revision + 1, value: after });
        Ok(())
    }

    fn said<'c>(&'c self, change: Change<'c>, row: &Versioned<RestoredRow>, after: &RestoredRow) -> Result<Change<'c>> {
        let text = serde_json::to_vec(after).map_err(Error::internal)?;
        Ok(change.replace_sealed(self.sealed().put_plain(&row.id, row.revision + 1, text)?))
    }
}

/// Whether this row says that the store was a backup.
pub(crate) fn is_pause_row(row: &RowId) -> bool {
    *row == RowId::meta(RESTORED_ROW)
}

/// Compares a vault with the world, where somebody waits for that. One at a time.
pub(crate) async fn compare(vault: &Vault) -> Result<()> {
    vault.open()?.compare_with_world().await
}
