//! What if: a change of grants, or of a customer's limits, put to the decisions of the last days before it is made.
//!
//! The log tells what was allowed, and what was refused to somebody who may see the thing. Each such decision is made twice
//! again, by the one decision function: by the grants and limits of today, and by those after the change. Where the two
//! differ, the change makes the difference. Time, address, ticket and length are those of then; what is not in the log is
//! not made up (`replay.rs`). Nothing is changed, and nothing is written.

use std::collections::BTreeSet;

use claviger_api::problem::ValueError;
use claviger_api::wire::{self, GrantKind, WHAT_IF_DAYS_MAX, WHAT_IF_GRANTS_MAX, WhatIf};
use claviger_api::{CustomerId, GrantId, PrincipalId, Scope, Timestamp};
use claviger_core::policy::{AccessView, Grant, GrantTarget, GrantView, Limits, PrincipalView, Resource};
use claviger_store::RowId;
use jiff::SignedDuration;

use super::session::after;
use crate::error::{Error, Result};
use crate::inventory::customers::bad_limits;
use crate::open::{Caller, Open};
use crate::page::Paging;
use crate::records::{GrantRecord, PrincipalRecord};

mod act;
mod replay;

/// A change that was understood.
struct Proposed {
    ended: BTreeSet<GrantId>,
    /// With ids of their own, by which nothing is stored.
    added: Vec<Grant>,
    limits: Option<Limits>,
}

impl Proposed {
    /// Whether it can make a difference to what this principal does.
    fn is_about(&self, principal: PrincipalId, grants: &[Grant]) -> bool {
        self.limits.is_some()
            || self.added.iter().any(|grant| grant.principal == principal)
            || grants.iter().any(|grant| self.ended.contains(&grant.id))
    }

    /// What a principal would have of these grants.
    fn of(&self, principal: PrincipalId, grants: &[Grant]) -> Vec<Grant> {
        let kept = grants.iter().filter(|grant| !self.ended.contains(&grant.id));
        let added = self.added.iter().filter(|grant| grant.principal == principal);
        kept.chain(added).cloned().collect()
    }

    /// A grant, in words that begin a sentence.
    fn name(&self, grant: GrantId) -> String {
        match self.added.iter().position(|added| added.id == grant) {
            Some(place) if self.added.len() > 1 => format!("The grant to be added as number {}", place + 1),
            Some(_) => "The grant to be added".to_owned(),
            None => format!("The grant {grant}"),
        }
    }
}

impl Open {
    /// Which decisions of the last days would have come out differently. It is for whoever may see who reaches the place
    /// whose log it is; the change may only name what they may see.
    pub async fn what_if(&self, asked: &WhatIf, caller: &Caller) -> Result<wire::WhatIfAnswer> {
        let log = match &asked.customer {
            Some(slug) => Scope::Customer(self.customer_named(slug).await?),
            None => Scope::Operator,
        };
        let _seen = self.permit::<AccessView>(caller, &house(log)).await?;
        let days = asked.days.unwrap_or(WHAT_IF_DAYS_MAX);
        if !(1..=WHAT_IF_DAYS_MAX).contains(&days) {
            return Err(Error::value("days", format!("1 to {WHAT_IF_DAYS_MAX} days back")));
        }
        let now = self.now();
        let since = now.saturating_sub(SignedDuration::from_hours(24 * i64::from(days))).unwrap_or(Timestamp::MIN);
        let paging = Paging::new(asked.limit, asked.cursor.as_deref())?;
        let proposed = self.proposed(asked, log, caller).await?;
        self.replay(log, since, &paging, &proposed, caller).await
    }

    async fn proposed(&self, asked: &WhatIf, log: Scope, caller: &Caller) -> Result<Proposed> {
        for (many, at) in [(asked.add.len(), "add"), (asked.end.len(), "end")] {
            if many > WHAT_IF_GRANTS_MAX {
                return Err(Error::value(at, format!("at most {WHAT_IF_GRANTS_MAX} grants")));
            }
        }
        if asked.add.is_empty() && asked.end.is_empty() && asked.limits.is_none() {
            return Err(Error::value("add", "name what would change: add, end or limits"));
        }
        let mut ended = BTreeSet::new();
        for id in &asked.end {
            let grant = self.load::<GrantRecord>(&RowId::grant(Scope::Operator, *id)).await?.value.0;
            if !self.sees_grant(&grant, log, caller) || !grant.is_live(self.now()) {
                return Err(Error::not_found());
            }
            ended.insert(*id);
        }
        let mut added = Vec::new();
        for (place, new) in asked.add.iter().enumerate() {
            added.push(self.to_be_added(new, log, caller).await.map_err(|error| within(error, place))?);
        }
        Ok(Proposed { ended, added, limits: read_limits(asked, log)? })
    }

    /// Whoever sees all grants, or sees who reaches this customer and so this grant.
    fn sees_grant(&self, grant: &Grant, log: Scope, caller: &Caller) -> bool {
        let reaches = match log {
            Scope::Operator => false,
            Scope::Customer(customer) => reaches(grant, customer),
        };
        reaches || self.may_see::<GrantView>(caller, &Resource::Operator)
    }

    async fn to_be_added(&self, new: &wire::NewGrant, log: Scope, caller: &Caller) -> Result<Grant> {
        let (max_checkout_seconds, conditions) = self.terms_of(new)?;
        if new.kind == GrantKind::MayGrant {
            return Err(Error::value("kind", "may_use: what is handed on is not put to the test"));
        }
        let scope = self.target(&new.scope).await?;
        let _seen = self.permit_untold::<AccessView>(caller, &scope.into()).await?;
        let principal = self.principal_named(&new.principal).await?.value;
        if !self.sees_principal(&principal, log, caller).await? {
            return Err(Error::not_found());
        }
        let now = self.now();
        Ok(Grant {
            id: GrantId::from_uuid(self.new_uuid()),
            principal: principal.id,
            kind: new.kind,
            role: new.role,
            scope,
            max_checkout_seconds,
            conditions,
            break_glass: None,
            created_at: now,
            expires_at: after(now, new.ttl_seconds),
        })
    }

    /// Whoever may list principals, or sees that this one reaches the customer.
    async fn sees_principal(&self, principal: &PrincipalRecord, log: Scope, caller: &Caller) -> Result<bool> {
        let home = principal.customer.map_or(Resource::Operator, Resource::Customer);
        if self.may_see::<PrincipalView>(caller, &home) {
            return Ok(true);
        }
        let Scope::Customer(customer) = log else { return Ok(false) };
        let Some(known) = self.known(principal.id, self.now()).await? else { return Ok(false) };
        Ok(known.powers.grants.iter().any(|grant| grant.is_live(self.now()) && reaches(grant, customer)))
    }
}

/// Where the decisions of a log were about, if about nothing narrower.
fn house(log: Scope) -> Resource {
    match log {
        Scope::Operator => Resource::Operator,
        Scope::Customer(customer) => Resource::Customer(customer),
    }
}

fn reaches(grant: &Grant, customer: CustomerId) -> bool {
    grant.scope == GrantTarget::Operator || grant.scope.customer() == Some(customer)
}

fn read_limits(asked: &WhatIf, log: Scope) -> Result<Option<Limits>> {
    let Some(limits) = &asked.limits else { return Ok(None) };
    if log == Scope::Operator {
        return Err(Error::value("limits", "name the customer whose limits they would be"));
    }
    let read = Limits::read(limits).map_err(bad_limits);
    read.map(Some).map_err(|error| prefixed(error, "limits"))
}

fn within(error: Error, place: usize) -> Error {
    prefixed(error, &format!("add[{place}]"))
}

/// The same refusal of values, said of the part of the request in which they stand.
fn prefixed(error: Error, part: &str) -> Error {
    let at = |wrong: ValueError| ValueError { at: format!("{part}.{}", wrong.at), ..wrong };
    Error { errors: error.errors.into_iter().map(at).collect(), ..error }
}
