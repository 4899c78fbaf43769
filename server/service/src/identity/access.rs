//! Who can reach what, by which grant, and why or why not. It is answered by the decision itself, about somebody else.

use std::collections::BTreeSet;

use claviger_api::wire::{self, AccessLine, AccountAccess, ExplainQuery, Explained, ExplainedGrant, PrincipalState};
use claviger_api::{AccountPath, CheckoutId, GrantId, PrincipalId, Scope};
use claviger_core::policy::{
    AccessView, Action, Circumstances, Condition, Denied, Explanation, GrantTarget, PrincipalView, Resource, explain,
};
use claviger_store::{Range, RowId, Table};
use uuid::Uuid;

use super::Known;
use crate::error::{Error, Result};
use crate::open::{Caller, Open};
use crate::records::GrantRecord;

impl Open {
    /// Who can check an account out, and by which grants, the oldest grant first; and who can break glass for it, by which
    /// sleeping ones.
    pub async fn account_access(&self, path: &AccountPath, caller: &Caller) -> Result<AccountAccess> {
        let place = self.place(path).await?;
        let _seen = self.permit::<AccessView>(caller, &place.resource()).await?;
        let rows = self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await?;
        let here = GrantTarget::Account(place.customer, place.system, place.account);
        let around = rows.iter().filter(|row| row.value.0.scope.encloses(here));
        let principals: BTreeSet<PrincipalId> = around.map(|row| row.value.0.principal).collect();
        let now = self.now();
        let (mark, limits) = (self.mark_of(&place.resource()).await?, self.limits_of(place.customer).await?);
        let mut found: Vec<(GrantId, AccessLine)> = Vec::new();
        for id in principals {
            let Some(known) = self.known(id, now).await? else { continue };
            let at = Circumstances { mark, limits: Some(&limits), ..Circumstances::at(now) };
            let now_or_by_glass = [Action::CheckoutCreate, Action::BreakGlassOpen];
            let ways = now_or_by_glass.map(|action| self.why(&known, action, &place.resource(), &at).grants);
            for (grant, unmet) in ways.into_iter().flatten() {
                // What a grant leaves out of its role, or does not reach, is no way in.
                if !unmet.contains(&Condition::Actions) && !unmet.contains(&Condition::Reaches) {
                    found.push((grant, self.line(&known, grant).await?));
                }
            }
        }
        found.sort_by_key(|(grant, _)| *grant);
        let grants = found.into_iter().map(|(_, line)| line).collect();
        Ok(AccountAccess { account: path.clone(), limits: limits.view(), grants })
    }

    /// Whether somebody may do something somewhere, and why or why not.
    ///
    /// Whoever may not list principals learns of those only that have a grant here: others are answered like a name
    /// that does not exist.
    pub async fn explain_access(&self, query: &ExplainQuery, caller: &Caller) -> Result<Explained> {
        let asked = Asked::read(query)?;
        let target = self.target(&asked.scope).await?;
        let _seen = self.permit::<AccessView>(caller, &target.into()).await?;
        let found = self.principal_named(&asked.principal).await?.value;
        let now = self.now();
        let limits = match target.customer() {
            Some(customer) => Some(self.limits_of(customer).await?),
            None => None,
        };
        let around = Circumstances {
            source: asked.source,
            second_factor_at: query.fresh_factor.unwrap_or(false).then_some(query.at.unwrap_or(now)),
            ticket: query.ticket.as_deref(),
            mark: self.mark_of(&target.into()).await?,
            limits: limits.as_deref(),
            ..Circumstances::at(query.at.unwrap_or(now))
        };
        let known = self.known(found.id, now).await?.ok_or_else(Error::not_found)?;
        let why = self.why(&known, asked.action, &about(asked.action, target, found.id), &around);
        let home = found.customer.map_or(Resource::Operator, Resource::Customer);
        if why.grants.is_empty() && !self.may_see::<PrincipalView>(caller, &home) {
            return Err(Error::not_found());
        }
        let mut grants = Vec::new();
        for (grant, unmet) in &why.grants {
            let own = known.powers.grants.iter().find(|own| own.id == *grant).ok_or_else(Error::not_found)?;
            let wants = unmet.iter().map(|condition| wanted(own, *condition)).collect();
            grants.push(ExplainedGrant { grant: self.grant_view(own).await?, wants });
        }
        let logs_in = known.record.state == PrincipalState::Active;
        let allowed = why.verdict.is_ok() && logs_in;
        let wanted = |condition: &Condition| limits.as_ref().and_then(|own| own.conditions.wants(*condition));
        let customer_wants: Vec<String> = why.limits.iter().filter_map(wanted).collect();
        let answer = answer(&why, logs_in, &grants, &customer_wants);
        Ok(Explained { allowed, answer, grants, customer_wants, rules: why.rules })
    }

    fn why(&self, known: &Known, action: Action, resource: &Resource, around: &Circumstances<'_>) -> Explanation {
        let compiled = &known.powers.compiled;
        explain(&self.ground().policies, compiled, compiled.subject(), action, resource, around)
    }

    async fn line(&self, known: &Known, grant: GrantId) -> Result<AccessLine> {
        let principal = self.principal_view(&known.record).await?;
        let grant = self.load::<GrantRecord>(&RowId::grant(Scope::Operator, grant)).await?.value.0;
        Ok(AccessLine {
            principal_kind: principal.kind,
            principal_state: principal.state,
            principal_customer: principal.customer,
            grant: self.grant_view(&grant).await?,
        })
    }
}

/// A query that can be answered.
struct Asked {
    principal: claviger_api::UserName,
    action: Action,
    scope: wire::GrantScope,
    source: Option<std::net::IpAddr>,
}

impl Asked {
    fn read(query: &ExplainQuery) -> Result<Self> {
        let bad = |at: &'static str| move |error: claviger_api::name::BadName| Error::value(at, error.to_string());
        let source = query.source.as_ref().map(|text| text.parse()).transpose();
        Ok(Self {
            principal: query.principal.parse().map_err(bad("principal"))?,
            action: Action::named(&query.action)
                .filter(|action| *action != Action::GrantMake)
                .ok_or_else(|| Error::value("action", "a verb of a role, e.g. checkout.create"))?,
            scope: query.scope.parse().map_err(bad("scope"))?,
            source: source.map_err(|_| Error::value("source", "an IPv4 or IPv6 address"))?,
        })
    }
}

/// The thing a verb is about at a place: of a verb on checkouts a checkout there, the principal's own where only its
/// holder may, another's where one acts on another's.
fn about(action: Action, target: GrantTarget, principal: PrincipalId) -> Resource {
    let GrantTarget::Account(customer, system, account) = target else { return target.into() };
    let own = matches!(action, Action::CheckoutReveal | Action::CheckoutExtend | Action::CheckoutCheckin);
    let others = matches!(action, Action::CheckoutRevoke | Action::CheckoutTakeOver);
    if !own && !others {
        return target.into();
    }
    let holder = if own { principal } else { PrincipalId::from_uuid(Uuid::nil()) };
    Resource::Checkout { customer, system, account, checkout: CheckoutId::from_uuid(Uuid::nil()), holder }
}

fn wanted(grant: &claviger_core::policy::Grant, condition: Condition) -> String {
    let narrowed = || {
        let verbs: Vec<&str> = grant.conditions.actions.iter().map(|action| action.as_str()).collect();
        format!("one of its own verbs: {}", verbs.join(", "))
    };
    grant.conditions.wants(condition).unwrap_or_else(narrowed)
}

fn answer(why: &Explanation, logs_in: bool, grants: &[ExplainedGrant], customer_wants: &[String]) -> String {
    if !logs_in {
        return "No: the principal may not log in now.".to_owned();
    }
    match why.verdict {
        Ok(Some(grant)) => format!("Yes, by the grant {grant}."),
        Ok(None) => format!("Yes, without a grant: the rule {} permits it.", why.rules.join(", ")),
        Err(Denied::Limited(_)) => format!("No: the customer wants {}.", customer_wants.join("; and ")),
        Err(Denied::Unmet { grant, .. }) => {
            let wants = grants.iter().find(|own| own.grant.id == grant).map(|own| own.wants.join("; and "));
            format!("No: the grant {grant} wants {}.", wants.unwrap_or_default())
        }
        Err(Denied::Hidden | Denied::Forbidden | Denied::Exceeds(_)) if why.rules.is_empty() && grants.is_empty() => {
            "No: no grant gives it.".to_owned()
        }
        Err(Denied::Hidden | Denied::Forbidden | Denied::Exceeds(_)) if why.rules.is_empty() => {
            "No: each grant is for other verbs only.".to_owned()
        }
        Err(Denied::Hidden | Denied::Forbidden | Denied::Exceeds(_)) => {
            format!("No: the rule {} forbids it, whatever was granted.", why.rules.join(", "))
        }
    }
}
