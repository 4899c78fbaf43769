//! Who is not used any more: a report, and the suspension of those who have not been used for too long.
//!
//! A use is a login: a user's session lasts half a day at most, a program's a quarter of an hour, so that the time of the
//! last login, which is stored with it, is the day of the last use.

use std::collections::BTreeMap;

use claviger_api::audit::record::FieldName;
use claviger_api::wire::{
    GrantKind, INACTIVE_DAYS_DEFAULT, INACTIVE_DAYS_MAX, Inactive, PrincipalKind, PrincipalState, Role,
};
use claviger_api::{PrincipalId, Scope, Timestamp};
use claviger_core::policy::{Grant, GrantTarget, Permit, PrincipalView};
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::SignedDuration;

use super::principals::suspension;
use crate::error::{Error, Result};
use crate::open::{Open, deciding};
use crate::page::{Page, Paging};
use crate::records::{GrantRecord, PrincipalRecord};

/// Who suspends those who are not used.
const ACTOR: &str = "system/inactivity";
const SECONDS_OF_A_DAY: i64 = 86_400;

impl PrincipalRecord {
    /// When it was last used; added, if it never was.
    pub(crate) fn unused_since(&self) -> Timestamp {
        self.last_login_at.unwrap_or(self.created_at)
    }
}

impl Open {
    /// The users and service accounts that were not used for so many days, in the order in which they were added.
    pub async fn inactive(
        &self,
        days: Option<u32>,
        paging: &Paging,
        _permit: Permit<PrincipalView>,
    ) -> Result<Page<Inactive>> {
        let days = days.unwrap_or(INACTIVE_DAYS_DEFAULT);
        if !(1..=INACTIVE_DAYS_MAX).contains(&days) {
            return Err(Error::value("days", "1 to 3650 days"));
        }
        let (now, until) = (self.now(), days_before(self.now(), days));
        let mut grants = self.grants_by_principal(now).await?;
        let range = Range::scope(Table::Principals, Scope::Operator);
        let rows = self.page::<PrincipalRecord>(range, paging, |row| row.unused_since() <= until).await?;
        rows.try_map(async |row| {
            let mut reaches = Vec::new();
            for grant in grants.remove(&row.value.id).unwrap_or_default() {
                reaches.push(self.grant_view(&grant.value.0).await?);
            }
            let unused_since = row.value.unused_since();
            let unused_days = now.duration_since(unused_since).as_secs() / SECONDS_OF_A_DAY;
            Ok(Inactive {
                principal: self.principal_view(&row.value).await?,
                unused_since,
                unused_days: u64::try_from(unused_days).unwrap_or(0),
                grants: reaches,
            })
        })
        .await
    }

    /// Suspends whoever was not used for as long as the operator allows, the longest unused first, and never the last
    /// administrator. How many it were.
    pub(crate) async fn suspend_unused(&self) -> Result<usize> {
        let Some(days) = self.ground().settings.suspend_unused_after_days else { return Ok(0) };
        let until = days_before(self.now(), days);
        let rows = self.all::<PrincipalRecord>(&Range::scope(Table::Principals, Scope::Operator)).await?;
        let mut unused: Vec<_> = rows.into_iter().filter(|row| is_unused(&row.value, until)).collect();
        unused.sort_by_key(|row| row.value.unused_since());
        let mut suspended = 0;
        for row in unused {
            suspended += usize::from(deciding(|| self.suspend_one_unused(row.value.id, until)).await?);
        }
        Ok(suspended)
    }

    async fn suspend_one_unused(&self, id: PrincipalId, until: Timestamp) -> Result<bool> {
        let Some(row) = self.read::<PrincipalRecord>(&RowId::principal(id)).await? else { return Ok(false) };
        if !is_unused(&row.value, until) {
            return Ok(false);
        }
        let suspended = PrincipalRecord { state: PrincipalState::Suspended, ..row.value.clone() }.without_sessions();
        let event = self
            .automatic(Scope::Operator, suspension(row.value.kind, true), ACTOR)
            .with(FieldName::Principal, id)
            .with(FieldName::Detail, format_args!("not used since {}", row.value.unused_since()))
            .with_personal(id, FieldName::PrincipalName, &row.value.name);
        let mut change = self.change(event).update(&row, &suspended)?;
        if self.administers(id).await? {
            // Another stays, and is expected to stay as it is: two that are unused do not each count on the other.
            let Some((other, grant)) = self.another_administrator(id).await? else {
                tracing::warn!(principal = %id, "the only administrator is not used, and is not suspended");
                return Ok(false);
            };
            change = change.expect(&other).expect(&grant);
        }
        let change = self.with_cut(change, id).await?;
        self.commit(self.end_sessions_of(change, id).await?).await?;
        self.ground().wake.notify_waiters();
        Ok(true)
    }

    async fn administers(&self, id: PrincipalId) -> Result<bool> {
        let now = self.now();
        Ok(self.grants_of(id).await?.iter().any(|grant| is_administrators(grant, now)))
    }

    /// An active user, other than this one, who runs the whole vault; with the grant that says so.
    async fn another_administrator(
        &self,
        than: PrincipalId,
    ) -> Result<Option<(Versioned<PrincipalRecord>, Versioned<GrantRecord>)>> {
        let now = self.now();
        for grant in self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await? {
            if grant.value.0.principal == than || !is_administrators(&grant.value.0, now) {
                continue;
            }
            let row = self.read::<PrincipalRecord>(&RowId::principal(grant.value.0.principal)).await?;
            let active = |row: &PrincipalRecord| row.kind == PrincipalKind::User && row.state == PrincipalState::Active;
            if let Some(row) = row.filter(|row| active(&row.value)) {
                return Ok(Some((row, grant)));
            }
        }
        Ok(None)
    }

    /// The grants that have not ended, by whose they are.
    pub(crate) async fn grants_by_principal(
        &self,
        now: Timestamp,
    ) -> Result<BTreeMap<PrincipalId, Vec<Versioned<GrantRecord>>>> {
        let mut grants: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for grant in self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await? {
            if grant.value.0.is_live(now) {
                grants.entry(grant.value.0.principal).or_default().push(grant);
            }
        }
        Ok(grants)
    }
}

fn is_unused(row: &PrincipalRecord, until: Timestamp) -> bool {
    row.state != PrincipalState::Suspended && row.unused_since() <= until
}

fn is_administrators(grant: &Grant, now: Timestamp) -> bool {
    grant.is_live(now)
        && grant.kind == GrantKind::MayUse
        && grant.role == Role::Administrator
        && grant.scope == GrantTarget::Operator
        && grant.conditions.actions.is_empty()
}

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    now.saturating_sub(SignedDuration::from_secs(i64::from(days) * SECONDS_OF_A_DAY)).unwrap_or(Timestamp::MIN)
}
