//! The decisions of a log, made again.
//!
//! What the log does not tell is not made up:
//! - Whether a person's second factor was fresh. Both are tried, as far as they agree with how it came out then.
//! - How sensitive an account was: it is taken for what it is today.
//! - How many reveals of an hour were spent under a grant that would limit them: they are taken for not spent.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use claviger_api::audit::record::{Entry, FieldName};
use claviger_api::wire::{
    ApprovalRule, PrincipalKind, WHAT_IF_EVENTS_MAX, WhatIfAnswer, WhatIfDecision, WhatIfOutcome,
};
use claviger_api::{AccountPath, CheckoutId, Part, PrincipalId, Scope, Timestamp};
use claviger_core::checkout::Checkout;
use claviger_core::policy::{
    Action, AuditRead, Circumstances, Compiled, Condition, Denied, GrantTarget, Limits, Mark, Resource, foresee,
};
use claviger_store::{Range, RowId, Table, Versioned};

use super::act::{About, Act};
use super::{Proposed, house};
use crate::audit::is_older;
use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::identity::Known;
use crate::open::{Caller, Open};
use crate::page::{Paging, cursor_after};
use crate::records::{AccountRecord, CheckoutRecord, PrincipalRecord, SystemRecord};

/// A decision of then, as far as it is known.
struct Past {
    act: Act,
    time: Timestamp,
    resource: Resource,
    source: Option<IpAddr>,
    ticket: Option<String>,
    checkout: Option<Checkout>,
    mark: Mark,
    /// What the customer wants today, where the decision heeds it.
    limits: Option<Arc<Limits>>,
}

/// Somebody, with their grants of today and after the change.
struct Actor {
    known: Arc<Known>,
    after: Compiled,
}

/// What became of one event.
enum Replayed {
    /// No decision, or of somebody whom the change is not about.
    Untouched,
    Unknown,
    UnlikeThen,
    Same,
    Different(Box<WhatIfDecision>),
}

/// How a decision comes out, as far as it can make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Allowed,
    /// For so many seconds at most, and it was for more.
    Shortened(u64),
    Needs(ApprovalRule),
    Refused,
}

/// Why it comes out so.
#[derive(Debug, Clone, Copy)]
enum Ground {
    Grant(claviger_api::GrantId),
    Baseline,
    Denied(Denied),
    NeedsApproval,
}

impl Open {
    pub(super) async fn replay(
        &self,
        log: Scope,
        since: Timestamp,
        paging: &Paging,
        proposed: &Proposed,
        caller: &Caller,
    ) -> Result<WhatIfAnswer> {
        let mut answer =
            WhatIfAnswer { items: Vec::new(), next_cursor: None, since, replayed: 0, unlike_then: 0, unknown: 0 };
        // Addresses stand in the log alone.
        let reads_log = self.decide::<AuditRead>(caller, &house(log), &caller.circumstances(self.now())).is_ok();
        let mut actors: HashMap<PrincipalId, Option<Arc<Actor>>> = HashMap::new();
        let mut range = paging.within(Range::scope(Table::LogLeaves, log).reversed())?;
        let mut looked_at = 0;
        loop {
            let rows = self.list::<StoredLeaf>(&range).await?;
            let last = rows.last().map(|row| row.id.to_key()).filter(|_| rows.len() == range.limit);
            for row in rows {
                if is_older(&row.value, Some(since)) {
                    return Ok(answer);
                }
                looked_at += 1;
                match self.once_more(log, &row, proposed, &mut actors).await? {
                    Replayed::Untouched => {}
                    Replayed::Unknown => answer.unknown += 1,
                    Replayed::UnlikeThen => {
                        answer.replayed += 1;
                        answer.unlike_then += 1;
                    }
                    Replayed::Same => answer.replayed += 1,
                    Replayed::Different(decision) => {
                        answer.replayed += 1;
                        let source = decision.source.clone().filter(|_| reads_log);
                        answer.items.push(WhatIfDecision { source, ..*decision });
                    }
                }
                if answer.items.len() == paging.limit() || looked_at == WHAT_IF_EVENTS_MAX {
                    answer.next_cursor = Some(cursor_after(&row.id));
                    return Ok(answer);
                }
            }
            // Others have their turn.
            tokio::task::yield_now().await;
            match last {
                Some(last) => range = range.after(&last),
                None => return Ok(answer),
            }
        }
    }

    async fn once_more(
        &self,
        log: Scope,
        row: &Versioned<StoredLeaf>,
        proposed: &Proposed,
        actors: &mut HashMap<PrincipalId, Option<Arc<Actor>>>,
    ) -> Result<Replayed> {
        let Some(act) = Act::of(&row.value, log) else { return Ok(Replayed::Untouched) };
        if let std::collections::hash_map::Entry::Vacant(new) = actors.entry(act.actor) {
            new.insert(self.actor(act.actor, proposed).await?);
        }
        let Some(actor) = actors.get(&act.actor).cloned().flatten() else {
            // Of those who are gone no grant is left to be changed.
            let unknown = proposed.limits.is_some() && self.known(act.actor, self.now()).await?.is_none();
            return Ok(if unknown { Replayed::Unknown } else { Replayed::Untouched });
        };
        let entry = self.entry(log, &row.value).await?;
        let Some(past) = self.past(act, log, &entry).await? else { return Ok(Replayed::Unknown) };
        let Some((before, after, ground, depends)) = self.differs(&past, &actor, proposed) else {
            return Ok(Replayed::UnlikeThen);
        };
        if before == after {
            return Ok(Replayed::Same);
        }
        let text = |name| entry.value(name).map(str::to_owned);
        let why = Self::reason(&past, &actor, proposed, after, ground, depends);
        Ok(Replayed::Different(Box::new(WhatIfDecision {
            index: row.id.number().ok_or_else(|| Error::internal("an entry without its number"))?,
            time: past.time,
            principal: actor.known.record.name.clone(),
            principal_id: act.actor,
            action: act.action.to_string(),
            scope: self.scope_view(place_of(&past.resource)).await?,
            checkout: past.checkout.as_ref().map(|checkout| checkout.id),
            reason: past.checkout.as_ref().map(|checkout| checkout.reason.clone()).or_else(|| text(FieldName::Reason)),
            ticket: past.ticket.clone(),
            source: text(FieldName::Source),
            before: before.view(),
            after: after.view(),
            why,
            depends_on_fresh_factor: depends,
        })))
    }

    /// Somebody whom the change is about.
    async fn actor(&self, id: PrincipalId, proposed: &Proposed) -> Result<Option<Arc<Actor>>> {
        let now = self.now();
        let Some(known) = self.known(id, now).await? else { return Ok(None) };
        if !proposed.is_about(id, &known.powers.grants) {
            return Ok(None);
        }
        let grants = proposed.of(id, &known.powers.grants);
        let subject = *known.powers.compiled.subject();
        let after = self.ground().policies.compile(&subject, &grants, now).map_err(Error::internal)?;
        Ok(Some(Arc::new(Actor { known, after })))
    }

    /// What is known of a decision; none if what it was about is gone.
    async fn past(&self, act: Act, log: Scope, entry: &Entry) -> Result<Option<Past>> {
        let time: Timestamp = entry.value(FieldName::Time).unwrap_or_default().parse().map_err(Error::internal)?;
        let checkout = self.checkout_named(log, entry).await?;
        let Some(resource) = self.thing(act.about, log, entry, checkout.as_ref(), time).await? else {
            return Ok(None);
        };
        let ticket = entry.value(FieldName::Ticket).map(str::to_owned);
        let limits = match resource.customer().filter(|_| act.action.heeds_limits()) {
            Some(customer) => Some(self.limits_of(customer).await?),
            None => None,
        };
        let mark = if act.action.asks_for_mark() { self.mark_of(&resource).await? } else { Mark::TierZero };
        let source = entry.value(FieldName::Source).and_then(|text| text.parse().ok());
        Ok(Some(Past { act, time, resource, source, ticket, checkout, mark, limits }))
    }

    async fn checkout_named(&self, log: Scope, entry: &Entry) -> Result<Option<Checkout>> {
        let (Scope::Customer(customer), Some(id)) = (log, entry.value(FieldName::Checkout)) else { return Ok(None) };
        let Ok(id) = id.parse::<CheckoutId>() else { return Ok(None) };
        Ok(self.read::<CheckoutRecord>(&RowId::checkout(customer, id)).await?.map(|row| row.value.0))
    }

    /// The thing itself: by its id where the event has it, else by its name, if it had it at that time already.
    async fn thing(
        &self,
        about: About,
        log: Scope,
        entry: &Entry,
        checkout: Option<&Checkout>,
        time: Timestamp,
    ) -> Result<Option<Resource>> {
        if about == About::HomeOfPrincipal {
            let id = entry.value(FieldName::Principal).and_then(|id| id.parse::<PrincipalId>().ok());
            let Some(id) = id else { return Ok(None) };
            let principal = self.read::<PrincipalRecord>(&RowId::principal(id)).await?;
            let home =
                |row: Versioned<PrincipalRecord>| row.value.customer.map_or(Resource::Operator, Resource::Customer);
            return Ok(principal.map(home));
        }
        let Scope::Customer(customer) = log else { return Ok(Some(Resource::Operator)) };
        let resource = match about {
            About::House | About::HomeOfPrincipal => Some(Resource::Customer(customer)),
            About::Checkout => checkout.map(|of| crate::checkout::resource(customer, of)),
            About::AccountOfCheckout => checkout.map(|of| Resource::Account(customer, of.system, of.account)),
            About::System => {
                let name = entry.value(FieldName::System).and_then(|name| name.parse::<Part>().ok());
                let Some(name) = name else { return Ok(None) };
                let Some(system) = found(self.system_named(customer, &name).await)? else { return Ok(None) };
                let row = self.read::<SystemRecord>(&RowId::system(customer, system)).await?;
                row.filter(|row| row.value.created_at <= time).map(|_| Resource::System(customer, system))
            }
            About::Account => {
                let path = entry.value(FieldName::Account).and_then(|path| path.parse::<AccountPath>().ok());
                let Some(path) = path else { return Ok(None) };
                let Some(place) = found(self.place(&path).await)? else { return Ok(None) };
                let row = self.read::<AccountRecord>(&RowId::account(customer, place.account)).await?;
                row.filter(|row| row.value.created_at <= time).map(|_| place.resource())
            }
        };
        Ok(resource)
    }

    /// How it comes out today and after the change, and why then; and whether that hangs on the age of a second factor.
    /// None where it comes out today otherwise than then, whatever that age.
    fn differs(&self, past: &Past, actor: &Actor, proposed: &Proposed) -> Option<(Outcome, Outcome, Ground, bool)> {
        let assumed: &[bool] = match actor.known.record.kind {
            PrincipalKind::User => &[false, true],
            PrincipalKind::ServiceAccount => &[false],
        };
        let limits = proposed.limits.as_ref().filter(|_| past.limits.is_some()).or(past.limits.as_deref());
        let like_then = |fresh: &bool| {
            let (before, _) = self.outcome(past, &actor.known.powers.compiled, past.limits.as_deref(), *fresh);
            ((before == Outcome::Refused) == past.act.refused).then(|| {
                let (after, ground) = self.outcome(past, &actor.after, limits, *fresh);
                (before, after, ground)
            })
        };
        let all: Vec<(Outcome, Outcome, Ground)> = assumed.iter().filter_map(like_then).collect();
        let first = all.iter().find(|(before, after, _)| before != after).or(all.first())?;
        let depends = all.iter().any(|(_, after, _)| *after != first.1);
        Some((first.0, first.1, first.2, depends))
    }

    fn outcome(&self, past: &Past, compiled: &Compiled, limits: Option<&Limits>, fresh: bool) -> (Outcome, Ground) {
        let creates = past.act.action == Action::CheckoutCreate;
        let ttl_seconds = past.checkout.as_ref().filter(|_| creates).map(|checkout| checkout.ttl_seconds);
        let around = Circumstances {
            source: past.source,
            second_factor_at: fresh.then_some(past.time),
            ticket: past.ticket.as_deref(),
            ttl_seconds,
            mark: past.mark,
            limits,
            ..Circumstances::at(past.time)
        };
        let (policies, subject) = (&self.ground().policies, compiled.subject());
        let foreseen = match foresee(policies, compiled, subject, past.act.action, &past.resource, &around) {
            Ok(foreseen) => foreseen,
            Err(denied) => return (Outcome::Refused, Ground::Denied(denied)),
        };
        let ground = foreseen.grant.map_or(Ground::Baseline, Ground::Grant);
        let approved = past.checkout.as_ref().is_some_and(|checkout| checkout.approvals.is_some());
        let most = foreseen.max_checkout_seconds;
        match foreseen.approvals {
            Some(rule) if creates => (Outcome::Needs(ApprovalRule { reuse: false, ..rule }), ground),
            // What must be approved is neither taken over nor made longer without.
            Some(_) if past.act.action == Action::CheckoutTakeOver => (Outcome::Refused, Ground::NeedsApproval),
            Some(_) if past.act.action == Action::CheckoutExtend && !approved => {
                (Outcome::Refused, Ground::NeedsApproval)
            }
            None if ttl_seconds.is_some_and(|ttl| ttl > most) => (Outcome::Shortened(most), ground),
            Some(_) | None => (Outcome::Allowed, ground),
        }
    }

    fn reason(
        past: &Past,
        actor: &Actor,
        proposed: &Proposed,
        after: Outcome,
        ground: Ground,
        depends: bool,
    ) -> String {
        let wants = |grant, condition| {
            let mut all = actor.known.powers.grants.iter().chain(&proposed.added);
            all.find(|own| own.id == grant).and_then(|own| own.conditions.wants(condition))
        };
        let limits = proposed.limits.as_ref().or(past.limits.as_deref());
        let customer_wants = |condition: Condition| limits.and_then(|limits| limits.conditions.wants(condition));
        let said = match (after, ground) {
            (Outcome::Needs(rule), _) => {
                let by = if rule.by_customer { ", one of them the customer's own" } else { "" };
                format!("It would need the yes of {} others{by}.", rule.count)
            }
            (Outcome::Shortened(most), _) => {
                let was = past.checkout.as_ref().map(|checkout| checkout.ttl_seconds).unwrap_or_default();
                format!("It would be for {most} seconds at most, and was for {was}.")
            }
            (Outcome::Allowed | Outcome::Refused, Ground::Grant(grant)) => {
                format!("{} gives it.", proposed.name(grant))
            }
            (Outcome::Allowed | Outcome::Refused, Ground::Baseline) => "It needs no grant.".to_owned(),
            (Outcome::Allowed | Outcome::Refused, Ground::NeedsApproval) => {
                "It would need the yes of others, and this cannot be asked for.".to_owned()
            }
            (Outcome::Allowed | Outcome::Refused, Ground::Denied(denied)) => match denied {
                Denied::Unmet { grant, condition } => format!(
                    "{} wants {}.",
                    proposed.name(grant),
                    wants(grant, condition).unwrap_or_else(|| condition.as_str().to_owned())
                ),
                Denied::Limited(condition) => format!(
                    "The customer would want {}.",
                    customer_wants(condition).unwrap_or_else(|| condition.as_str().to_owned())
                ),
                Denied::Hidden | Denied::Forbidden | Denied::Exceeds(_) => "No grant would give it.".to_owned(),
            },
        };
        let doubt = if depends {
            " It hangs on a second factor of the five minutes before, which the log does not tell."
        } else {
            ""
        };
        said + doubt
    }
}

impl Outcome {
    fn view(self) -> WhatIfOutcome {
        match self {
            Self::Allowed => WhatIfOutcome::Allowed,
            Self::Shortened(_) => WhatIfOutcome::Shortened,
            Self::Needs(_) => WhatIfOutcome::NeedsApproval,
            Self::Refused => WhatIfOutcome::Refused,
        }
    }
}

/// What is left of a look-up if what is not there any more is none.
fn found<T>(looked_up: Result<T>) -> Result<Option<T>> {
    match looked_up {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.problem == claviger_api::ProblemType::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The place that a person would name.
fn place_of(resource: &Resource) -> GrantTarget {
    match *resource {
        Resource::Operator => GrantTarget::Operator,
        Resource::Customer(customer) => GrantTarget::Customer(customer),
        Resource::System(customer, system) => GrantTarget::System(customer, system),
        Resource::Account(customer, system, account) | Resource::Checkout { customer, system, account, .. } => {
            GrantTarget::Account(customer, system, account)
        }
    }
}
