//! Grants: made within the maker's `may_grant`, never to oneself, always with an end.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::{ProblemType, ValueError};
use claviger_api::wire::{self, GrantScope, NewGrant, TTL_GRANT_DEFAULT_SECONDS, TTL_MAX_SECONDS, TTL_MIN_SECONDS};
use claviger_api::{GrantId, Scope, Timestamp, UserName};
use claviger_core::policy::{
    BadCondition, Conditions, Grant, GrantMake, GrantRevoke, GrantTarget, GrantView, Permit, WantedGrant,
    authorize_grant,
};
use claviger_store::{Range, RowId, Table};

use super::session::after;
use crate::error::{Error, Result};
use crate::event::{Event, snake_case};
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding, deciding_once, refused};
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, GrantRecord, PrincipalRecord, SystemRecord};

impl Open {
    /// Makes a grant. Whether the caller may is decided here, since it depends on what is granted.
    pub async fn make_grant(&self, new: &NewGrant, once: &Once, caller: &Caller) -> Result<wire::Grant> {
        let (most, conditions) = self.terms_of(new)?;
        deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                let id = GrantId::from_uuid(done);
                return self
                    .grant_view(&self.load::<GrantRecord>(&RowId::grant(Scope::Operator, id)).await?.value.0)
                    .await;
            }
            let target = self.target(&new.scope).await?;
            let principal = self.principal_named(&new.principal).await?;
            let now = self.now();
            let wanted = WantedGrant {
                principal: principal.value.id,
                kind: new.kind,
                role: new.role,
                target,
                max_checkout_seconds: most,
                conditions: conditions.clone(),
                expires_at: after(now, new.ttl_seconds),
            };
            let _permit = self.may_make(&wanted, now, caller)?;
            let spans_customers = self.spans_customers(new, &principal.value, target).await?;
            let grant = Grant {
                id: GrantId::from_uuid(self.new_uuid()),
                principal: wanted.principal,
                kind: wanted.kind,
                role: wanted.role,
                scope: target,
                max_checkout_seconds: most,
                conditions: wanted.conditions,
                break_glass: None,
                created_at: now,
                expires_at: wanted.expires_at,
            };
            let event = |scope| {
                let event = self.grant_event(scope, EventKind::GrantMade, caller, &grant, &principal.value);
                if spans_customers { event.with(FieldName::Cause, "spans_customers") } else { event }
            };
            let mut change = self.change(event(Scope::Operator));
            if let Some(customer) = target.customer() {
                change = change.and(event(Scope::Customer(customer)));
            }
            // Written again, so that of two grants made at once the second one sees the first.
            let change = change
                .rewrite(&principal)?
                .create(RowId::grant(Scope::Operator, grant.id), &GrantRecord(grant.clone()))?;
            let change = change.touches(RowId::principal(grant.principal));
            self.commit(self.remember(change, Scope::Operator, once, caller, grant.id.uuid())?).await?;
            self.grant_view(&grant).await
        })
        .await
    }

    /// Whether the caller may make this grant.
    fn may_make(&self, wanted: &WantedGrant, now: Timestamp, caller: &Caller) -> Result<Permit<GrantMake>> {
        caller.must_have_second_factor()?;
        let (policies, own, around) = (&self.ground().policies, &caller.powers.grants, caller.circumstances(now));
        authorize_grant(policies, &caller.subject(), own, wanted, &around).map_err(|denied| refused(caller, denied))
    }

    /// The grants, of one principal or of all; the oldest first.
    pub async fn grants(
        &self,
        principal: Option<&UserName>,
        paging: &Paging,
        _permit: Permit<GrantView>,
    ) -> Result<Page<wire::Grant>> {
        let of = match principal {
            Some(name) => Some(self.principal_named(name).await?.value.id),
            None => None,
        };
        let range = Range::scope(Table::Grants, Scope::Operator);
        let rows = self.page::<GrantRecord>(range, paging, |row| of.is_none_or(|id| row.0.principal == id)).await?;
        rows.try_map(async |row| self.grant_view(&row.value.0).await).await
    }

    /// One grant.
    pub async fn grant(&self, id: GrantId, _permit: Permit<GrantView>) -> Result<wire::Grant> {
        self.grant_view(&self.load::<GrantRecord>(&RowId::grant(Scope::Operator, id)).await?.value.0).await
    }

    /// Gives a grant a new end, counted from now. The caller must be able to make this very grant; one that has ended is
    /// made anew instead.
    pub async fn renew_grant(
        &self,
        id: GrantId,
        ttl_seconds: u64,
        once: &Once,
        caller: &Caller,
    ) -> Result<wire::Grant> {
        lasts(ttl_seconds)?;
        deciding_once(once, || async {
            let row = self.load::<GrantRecord>(&RowId::grant(Scope::Operator, id)).await?;
            let grant = row.value.0.clone();
            if grant.break_glass.is_some() {
                return Err(Error::new(
                    ProblemType::Forbidden,
                    "What a broken glass gives ends with it; break another.",
                ));
            }
            let now = self.now();
            let wanted = WantedGrant {
                principal: grant.principal,
                kind: grant.kind,
                role: grant.role,
                target: grant.scope,
                max_checkout_seconds: grant.max_checkout_seconds,
                conditions: grant.conditions.clone(),
                expires_at: after(now, ttl_seconds),
            };
            let _permit = self.may_make(&wanted, now, caller)?;
            if self.done(Scope::Operator, once, caller).await?.is_some() {
                return self.grant_view(&grant).await;
            }
            if !grant.is_live(now) {
                return Err(Error::new(ProblemType::NotFound, "The grant has ended; make a new one."));
            }
            let principal = self.load::<PrincipalRecord>(&RowId::principal(grant.principal)).await?.value;
            let renewed = Grant { expires_at: wanted.expires_at, ..grant };
            let told = |scope| self.grant_event(scope, EventKind::GrantRenewed, caller, &renewed, &principal);
            let mut change = self.change(told(Scope::Operator));
            if let Some(customer) = renewed.scope.customer() {
                change = change.and(told(Scope::Customer(customer)));
            }
            let change = change.update(&row, &GrantRecord(renewed.clone()))?.touches(RowId::principal(principal.id));
            self.commit(self.remember(change, Scope::Operator, once, caller, id.uuid())?).await?;
            self.grant_view(&renewed).await
        })
        .await
    }

    /// Ends a grant at once.
    pub async fn revoke_grant(&self, id: GrantId, caller: &Caller, _permit: Permit<GrantRevoke>) -> Result<()> {
        deciding(|| async {
            let row = self.load::<GrantRecord>(&RowId::grant(Scope::Operator, id)).await?;
            let grant = &row.value.0;
            let principal = self.load::<PrincipalRecord>(&RowId::principal(grant.principal)).await?.value;
            let mut change =
                self.change(self.grant_event(Scope::Operator, EventKind::GrantRevoked, caller, grant, &principal));
            if let Some(customer) = grant.scope.customer() {
                let scope = Scope::Customer(customer);
                change = change.and(self.grant_event(scope, EventKind::GrantRevoked, caller, grant, &principal));
            }
            let change = change.remove(&row).erase(RowId::reveal_times(id));
            let change = change.touches(RowId::principal(grant.principal));
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// The longest checkout and the conditions of a grant that is asked for, if its terms can be.
    pub(super) fn terms_of(&self, new: &NewGrant) -> Result<(u64, Conditions)> {
        let most = new.max_checkout_seconds.unwrap_or(TTL_GRANT_DEFAULT_SECONDS);
        if !(TTL_MIN_SECONDS..=TTL_MAX_SECONDS).contains(&most) {
            return Err(Error::value("max_checkout_seconds", "a checkout lasts 60 to 2592000 seconds (30 days)"));
        }
        lasts(new.ttl_seconds)?;
        let conditions = Conditions::read(&new.conditions, self.ground().policies.role(new.role)).map_err(|bad| {
            let one = |BadCondition { condition, message }| ValueError {
                at: format!("conditions.{}", condition.as_str()),
                message,
            };
            Error::values(bad.into_iter().map(one).collect())
        });
        Ok((most, conditions?))
    }

    pub(super) async fn grant_view(&self, grant: &Grant) -> Result<wire::Grant> {
        Ok(wire::Grant {
            id: grant.id,
            principal: self.name_of(grant.principal).await?,
            kind: grant.kind,
            role: grant.role,
            scope: self.scope_view(grant.scope).await?,
            max_checkout_seconds: grant.max_checkout_seconds,
            conditions: grant.conditions.view(),
            break_glass: grant.break_glass,
            created_at: grant.created_at,
            expires_at: grant.expires_at,
        })
    }

    /// The ids of a scope that is given by names.
    pub async fn target(&self, scope: &GrantScope) -> Result<GrantTarget> {
        Ok(match scope {
            GrantScope::Operator => GrantTarget::Operator,
            GrantScope::Customer(customer) => GrantTarget::Customer(self.customer_named(customer).await?),
            GrantScope::System(customer, system) => {
                let customer = self.customer_named(customer).await?;
                GrantTarget::System(customer, self.system_named(customer, system).await?)
            }
            GrantScope::Account(path) => {
                let place = self.place(path).await?;
                GrantTarget::Account(place.customer, place.system, place.account)
            }
        })
    }

    /// The names of a scope; what was removed since is named by what is left above it.
    pub(crate) async fn scope_view(&self, target: GrantTarget) -> Result<GrantScope> {
        let Some(customer) = target.customer() else { return Ok(GrantScope::Operator) };
        let slug = self.slug_or_removed(customer).await?;
        let (system, account) = match target {
            GrantTarget::Operator | GrantTarget::Customer(_) => return Ok(GrantScope::Customer(slug)),
            GrantTarget::System(_, system) => (system, None),
            GrantTarget::Account(_, system, account) => (system, Some(account)),
        };
        let Some(system) = self.read::<SystemRecord>(&RowId::system(customer, system)).await? else {
            return Ok(GrantScope::Customer(slug));
        };
        let account = match account {
            Some(account) => self.read::<AccountRecord>(&RowId::account(customer, account)).await?,
            None => None,
        };
        Ok(match account {
            Some(account) => GrantScope::Account(claviger_api::AccountPath {
                customer: slug,
                system: system.value.name,
                account: account.value.name,
            }),
            None => GrantScope::System(slug, system.value.name),
        })
    }

    pub(super) fn grant_event(
        &self,
        scope: Scope,
        kind: EventKind,
        caller: &Caller,
        grant: &Grant,
        principal: &PrincipalRecord,
    ) -> Event {
        self.event(scope, kind, caller)
            .with(FieldName::Grant, grant.id)
            .with(FieldName::Principal, principal.id)
            .with(FieldName::Role, format_args!("{:?}", grant.role))
            .with(FieldName::ExpiresAt, grant.expires_at)
            .with(FieldName::Detail, terms(grant))
            .with_personal(principal.id, FieldName::PrincipalName, &principal.name)
    }
}

fn lasts(ttl_seconds: u64) -> Result<()> {
    if (TTL_MIN_SECONDS..=wire::GRANT_TTL_MAX_SECONDS).contains(&ttl_seconds) {
        return Ok(());
    }
    Err(Error::value("ttl_seconds", "a grant lasts 60 to 34560000 seconds (400 days)"))
}

/// What a grant gives beyond its role and end, for its event.
fn terms(grant: &Grant) -> String {
    let kind = snake_case(&grant.kind);
    let conditions = serde_json::to_string(&grant.conditions.view()).unwrap_or_default();
    format!("{kind}, checkouts of {} s at most, conditions {conditions}", grant.max_checkout_seconds)
}
