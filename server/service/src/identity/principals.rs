//! What users and service accounts have in common: listing, suspending, removing.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Me, Principal, PrincipalKind, PrincipalState};
use claviger_api::{Scope, UserName};
use claviger_core::policy::{Permit, PrincipalManage, PrincipalView};
use claviger_store::{Range, RowId, Table};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Caller, Open, deciding};
use crate::page::{Page, Paging};
use crate::records::{FormerPrincipalRecord, GrantRecord, NameRecord, PrincipalRecord};

impl Open {
    /// Who the caller is and what it may do.
    pub async fn me(&self, caller: &Caller) -> Result<Me> {
        let mut grants = Vec::new();
        for grant in caller.powers.grants.iter().filter(|grant| self.now() < grant.expires_at) {
            grants.push(self.grant_view(grant).await?);
        }
        let own = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?.value;
        Ok(Me {
            id: caller.id,
            kind: caller.kind,
            name: caller.name.clone(),
            session: caller.session,
            session_expires_at: caller.session_expires_at,
            second_factor_at: caller.second_factor_at,
            may_only_enrol: caller.may_only_enrol(),
            factors_reset: self.factor_reset_view(&own).await?,
            re_enrolment: self.re_enrolment_view(&own).await?,
            grants,
        })
    }

    /// The principals of a kind, in the order in which they were added: all, or a customer's own.
    pub async fn principals(
        &self,
        kind: PrincipalKind,
        paging: &Paging,
        permit: Permit<PrincipalView>,
    ) -> Result<Page<Principal>> {
        let range = Range::scope(Table::Principals, Scope::Operator);
        let at_home = |row: &PrincipalRecord| permit.customer().is_none() || row.customer == permit.customer();
        let rows = self.page::<PrincipalRecord>(range, paging, |row| row.kind == kind && at_home(row)).await?;
        rows.try_map(async |row| self.principal_view(&row.value).await).await
    }

    /// One principal.
    pub async fn principal(
        &self,
        name: &UserName,
        kind: PrincipalKind,
        _permit: Permit<PrincipalView>,
    ) -> Result<Principal> {
        self.principal_view(&self.principal_of_kind(name, kind).await?.value).await
    }

    /// Ends every session at once, and what it holds within a second, and lets it log in no more; or lets it log in again.
    pub async fn suspend(
        &self,
        name: &UserName,
        kind: PrincipalKind,
        suspended: bool,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<Principal> {
        let view = deciding(|| async {
            let row = self.principal_of_kind(name, kind).await?;
            if suspended && row.value.id == caller.id {
                return Err(Error::new(ProblemType::InUse, "Nobody suspends themselves; another administrator can."));
            }
            // Who waits to be enrolled has a code, and whoever was enrolled has used it up.
            let active = match (kind, &row.value.token) {
                (PrincipalKind::User, Some(_)) => PrincipalState::Invited,
                (PrincipalKind::User, None) | (PrincipalKind::ServiceAccount, _) => PrincipalState::Active,
            };
            let state = if suspended { PrincipalState::Suspended } else { active };
            let changed = PrincipalRecord { state, ..row.value.clone() }.without_sessions();
            let event = self.principal_event(suspension(kind, suspended), caller, &row.value);
            let mut change = self.change(event).update(&row, &changed)?;
            if suspended {
                change = self.with_cut(change, row.value.id).await?;
            } else {
                self.cut_now(row.value.id).await?;
            }
            self.commit(self.end_sessions_of(change, row.value.id).await?).await?;
            self.principal_view(&changed).await
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(view)
    }

    /// Removes a principal with its grants, its sessions, and within a second what it holds. The history keeps its name.
    pub async fn remove_principal(
        &self,
        name: &UserName,
        kind: PrincipalKind,
        caller: &Caller,
        _permit: Permit<PrincipalManage>,
    ) -> Result<()> {
        deciding(|| async {
            let row = self.principal_of_kind(name, kind).await?;
            if row.value.id == caller.id {
                return Err(Error::new(ProblemType::InUse, "Nobody removes themselves; another administrator can."));
            }
            let kind = match kind {
                PrincipalKind::User => EventKind::UserRemoved,
                PrincipalKind::ServiceAccount => EventKind::ServiceAccountRemoved,
            };
            let former =
                FormerPrincipalRecord { kind: row.value.kind, name: row.value.name.clone(), removed_at: self.now() };
            let mut change = self
                .change(self.principal_event(kind, caller, &row.value))
                .remove(&row)
                .create(RowId::former_principal(row.value.id), &former)?;
            change = self.with_cut(change, row.value.id).await?;
            change = change.erase(self.keyring().name(Table::Principals, Scope::Operator, name.as_str()));
            if let Some(hash) = row.value.token {
                change = change.erase(RowId::token(&hash));
            }
            change = self.without_sign_ons(self.without_factors(change, &row.value).await, &row.value);
            for grant in self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await? {
                if grant.value.0.principal == row.value.id {
                    change = change.remove(&grant).erase(RowId::reveal_times(grant.value.0.id));
                }
            }
            self.commit(self.end_sessions_of(change, row.value.id).await?).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(())
    }

    /// A change that begins with a new principal: its row and its name.
    pub(super) fn new_principal<'a>(
        &'a self,
        event: Event,
        principal: &PrincipalRecord,
    ) -> Result<crate::journal::Change<'a>> {
        let name = self.keyring().name(Table::Principals, Scope::Operator, principal.name.as_str());
        self.change(event)
            .create(name, &NameRecord { id: principal.id.uuid() })?
            .create(RowId::principal(principal.id), principal)
    }

    /// A name is free, whichever kind would have it.
    pub(super) async fn name_is_free(&self, name: &UserName) -> Result<()> {
        let row = self.keyring().name(Table::Principals, Scope::Operator, name.as_str());
        match self.read::<NameRecord>(&row).await? {
            None => Ok(()),
            Some(_) => Err(Error::new(ProblemType::NameTaken, "")),
        }
    }

    pub(super) fn principal_event(&self, kind: EventKind, caller: &Caller, principal: &PrincipalRecord) -> Event {
        self.event(Scope::Operator, kind, caller).with(FieldName::Principal, principal.id).with_personal(
            principal.id,
            FieldName::PrincipalName,
            &principal.name,
        )
    }

    pub(super) async fn principal_view(&self, record: &PrincipalRecord) -> Result<Principal> {
        let customer = match record.customer {
            Some(customer) => Some(self.slug_or_removed(customer).await?),
            None => None,
        };
        Ok(Principal {
            id: record.id,
            kind: record.kind,
            name: record.name.clone(),
            customer,
            state: record.state,
            created_at: record.created_at,
            last_login_at: record.last_login_at,
            logins: match record.kind {
                PrincipalKind::User => None,
                PrincipalKind::ServiceAccount => Some(self.logins_view(&record.program).await?),
            },
            has_second_factor: record.has_factors,
            re_enrolment: self.re_enrolment_view(record).await?,
            sign_ons: self.sign_ons_view(record).await?,
        })
    }
}

pub(super) fn suspension(kind: PrincipalKind, suspended: bool) -> EventKind {
    match (kind, suspended) {
        (PrincipalKind::User, true) => EventKind::UserSuspended,
        (PrincipalKind::User, false) => EventKind::UserResumed,
        (PrincipalKind::ServiceAccount, true) => EventKind::ServiceAccountSuspended,
        (PrincipalKind::ServiceAccount, false) => EventKind::ServiceAccountResumed,
    }
}
