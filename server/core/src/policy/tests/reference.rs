//! The naive evaluator.

use std::net::IpAddr;

use claviger_api::wire::{GrantKind, PrincipalKind, Reach, Role};
use claviger_api::{GrantId, Timestamp};

use super::super::decide::Ground;
use super::super::*;

/// Verb; what it applies to (Operator, Customer, System, Account, checKout); which role may
/// (Administrator, Technician, autoMation, aPprover, auditoR, Customer auditor).
const TABLE: &[(Action, &str, &str)] = &[
    (Action::SysStatus, "O", "AR"),
    (Action::SysSeal, "O", "A"),
    (Action::CustomerCreate, "O", "A"),
    (Action::CustomerView, "OC", "ATMPRC"),
    (Action::CustomerUpdate, "OC", "A"),
    (Action::CustomerRemove, "OC", "A"),
    (Action::SystemCreate, "C", "A"),
    (Action::SystemView, "CS", "ATMPRC"),
    (Action::SystemUpdate, "CS", "A"),
    (Action::SystemRemove, "CS", "A"),
    (Action::AccountCreate, "CS", "A"),
    (Action::AccountView, "CSA", "ATMPRC"),
    (Action::AccountUpdate, "CSA", "A"),
    (Action::AccountRemove, "CSA", "A"),
    (Action::AccountSetSecret, "CSA", "AM"),
    (Action::AccountVerify, "CSA", "ATM"),
    (Action::AccountRotate, "CSA", "ATM"),
    (Action::CheckoutCreate, "A", "TM"),
    (Action::CheckoutView, "OCSAK", "ATMPRC"),
    (Action::CheckoutReveal, "K", "TM"),
    (Action::CheckoutExtend, "K", "TM"),
    (Action::CheckoutCheckin, "K", "TM"),
    (Action::CheckoutRevoke, "K", "A"),
    (Action::CheckoutApprove, "K", "P"),
    (Action::CheckoutTakeOver, "K", "T"),
    (Action::RotationView, "OCSA", "ATMRC"),
    (Action::RotationCancel, "OCSA", "A"),
    (Action::PrincipalManage, "OC", "A"),
    (Action::PrincipalView, "OC", "AR"),
    (Action::GrantMake, "", ""),
    (Action::GrantRevoke, "OCSA", "A"),
    (Action::GrantView, "OCSA", "AR"),
    (Action::AccessView, "OCSA", "ARC"),
    (Action::AuditRead, "OCSA", "ARC"),
    (Action::AuditExport, "OCSA", "ARC"),
];

pub fn verdict(
    subject: &Subject,
    grants: &[Grant],
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Result<Ground, Denied> {
    let unmet = match permitted(subject, grants, action, resource, around) {
        Ok(ground) => return Ok(ground),
        Err(unmet) => unmet,
    };
    let forbidden = unmet.map_or(Denied::Forbidden, |(condition, grant)| Denied::Unmet { condition, grant });
    let view = match resource {
        Resource::Operator => return Err(forbidden),
        Resource::Customer(_) => Action::CustomerView,
        Resource::System(..) => Action::SystemView,
        Resource::Account(..) => Action::AccountView,
        Resource::Checkout { .. } => Action::CheckoutView,
    };
    let seen = permitted(subject, grants, view, resource, &Circumstances::at(around.now)).is_ok();
    Err(if seen { forbidden } else { Denied::Hidden })
}

fn permitted(
    subject: &Subject,
    grants: &[Grant],
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Result<Ground, Option<(Condition, GrantId)>> {
    let (_, applies, roles) = TABLE.iter().find(|row| row.0 == action).unwrap();
    if !applies.contains(kind(resource)) || !at_home(subject, resource.customer()) {
        return Err(None);
    }
    let holder = matches!(resource, Resource::Checkout { holder, .. } if *holder == subject.id);
    if matches!(action, Action::CheckoutReveal | Action::CheckoutExtend | Action::CheckoutCheckin) && !holder {
        return Err(None);
    }
    // Four eyes: a person's, and another's.
    if action == Action::CheckoutApprove && (holder || subject.kind != PrincipalKind::User) {
        return Err(None);
    }
    let reaches = |grant: &&Grant| {
        let role = roles.contains(letter(grant.role)) && within(grant.scope, resource);
        let denied = grant.role == Role::CustomerAuditor && *resource == Resource::Operator;
        (role && !denied) || on_the_way(grant.scope, action, resource)
    };
    let mut live: Vec<&Grant> = grants
        .iter()
        .filter(|grant| grant.kind == GrantKind::MayUse && around.now < grant.expires_at)
        .filter(reaches)
        .collect();
    live.sort_by_key(|grant| {
        let too_short = around.ttl_seconds.is_some_and(|wanted| wanted > grant.max_checkout_seconds);
        let yeses =
            grant.conditions.approvals.map_or(0, |rule| 2 * i32::from(rule.count) + i32::from(rule.by_customer));
        (!too_short, -yeses, grant.max_checkout_seconds, grant.expires_at, grant.id)
    });
    let static_permit = holder && matches!(action, Action::CheckoutView | Action::CheckoutCheckin);
    if let Some(best) = live.iter().rfind(|grant| unmet(grant, subject.kind, action, around).is_empty()) {
        return Ok(Ground {
            grant: Some(best.id),
            max_checkout_seconds: best.max_checkout_seconds,
            conditions: best.conditions.clone().into(),
        });
    }
    if static_permit {
        return Ok(Ground::default());
    }
    let nearest = live.iter().rfind(|grant| !unmet(grant, subject.kind, action, around).contains(&Condition::Actions));
    Err(nearest.map(|grant| (unmet(grant, subject.kind, action, around)[0], grant.id)))
}

/// Whoever only looks, or gives back, is bound by no condition.
const FREE: &[Action] = &[
    Action::SysStatus,
    Action::CustomerView,
    Action::SystemView,
    Action::AccountView,
    Action::CheckoutView,
    Action::CheckoutCheckin,
    Action::RotationView,
    Action::PrincipalView,
    Action::GrantView,
    Action::AccessView,
];

/// What a session that was left open is not enough for.
const SENSITIVE: &[Action] = &[
    Action::SysSeal,
    Action::CustomerRemove,
    Action::SystemUpdate,
    Action::AccountRemove,
    Action::CheckoutApprove,
    Action::PrincipalManage,
    Action::GrantMake,
    Action::AuditExport,
];

/// The conditions that are not met, one sentence each.
pub fn unmet(grant: &Grant, kind: PrincipalKind, action: Action, around: &Circumstances<'_>) -> Vec<Condition> {
    let conditions = &grant.conditions;
    let mut unmet = Vec::new();
    if FREE.contains(&action) {
        return unmet;
    }
    if !conditions.actions.is_empty() && !conditions.actions.iter().any(|listed| *listed == action) {
        unmet.push(Condition::Actions);
    }
    let sensitive = SENSITIVE.contains(&action);
    if sensitive && kind == PrincipalKind::ServiceAccount && !conditions.actions.iter().any(|listed| *listed == action)
    {
        unmet.push(Condition::NamedVerb);
    }
    // A grant for that very account reaches it; a wider one says so, of tier 0 for everybody and else for programs.
    let secret =
        ["checkout.create", "checkout.take_over", "checkout.reveal", "checkout.extend"].contains(&action.as_str());
    let program = kind == PrincipalKind::ServiceAccount;
    let of_account = secret || action == Action::AccountUpdate;
    let reached = match around.mark {
        Mark::Usual => true,
        Mark::Sensitive | Mark::TierZero if matches!(grant.scope, GrantTarget::Account(..)) => true,
        Mark::Sensitive => !(program && of_account) || conditions.reaches.is_some(),
        Mark::TierZero => !(secret || program && of_account) || conditions.reaches == Some(Reach::TierZero),
    };
    if !reached {
        unmet.push(Condition::Reaches);
    }
    let in_one = |address: IpAddr| conditions.networks.iter().any(|network| network.contains(address));
    if !conditions.networks.is_empty() && !around.source.is_some_and(in_one) {
        unmet.push(Condition::Networks);
    }
    if let Some(hours) = &conditions.hours
        && !hours.contain(around.now)
    {
        unmet.push(Condition::Hours);
    }
    if let (Some(form), true) =
        (&conditions.ticket, action.as_str().ends_with("create") || action == Action::CheckoutTakeOver)
        && action.as_str().starts_with("checkout.")
        && !around.ticket.is_some_and(|ticket| form.matches(ticket))
    {
        unmet.push(Condition::Ticket);
    }
    let age = around.second_factor_at.map(|proven| around.now.as_second() - proven.as_second());
    let stale = age.is_none_or(|age| age >= 300);
    if conditions.fresh_factor && stale {
        unmet.push(Condition::FreshFactor);
    }
    let of_sensitive = [Action::CheckoutReveal, Action::AccountUpdate].contains(&action) && around.mark != Mark::Usual;
    if (sensitive || of_sensitive) && kind == PrincipalKind::User && stale {
        unmet.push(Condition::SensitiveVerb);
    }
    if conditions.reveals_per_hour.is_some() && action == Action::CheckoutReveal && around.spent.contains(&grant.id) {
        unmet.push(Condition::RevealsPerHour);
    }
    unmet
}

/// The rules of handing on, one sentence each.
pub fn may_make(subject: &Subject, own_grants: &[Grant], wanted: &WantedGrant, at: Timestamp) -> bool {
    let four_hundred_days = 400 * 24 * 3600;
    let lasts = wanted.expires_at.duration_since(at).as_millis();
    let backing = |own: &Grant| {
        own.kind == GrantKind::MayGrant
            && own.role == wanted.role
            && at < own.expires_at
            && within(own.scope, &wanted.target.into())
            && wanted.expires_at <= own.expires_at
            && wanted.max_checkout_seconds <= own.max_checkout_seconds
            && no_looser(&wanted.conditions, &own.conditions)
    };
    // Rights are handed on by people.
    subject.kind == PrincipalKind::User
        && wanted.principal != subject.id
        && lasts > 0
        && lasts <= four_hundred_days * 1000
        && at_home(subject, wanted.target.customer())
        && own_grants.iter().any(backing)
}

/// Each condition of `outer` is there in `inner`, and at least as strict.
fn no_looser(inner: &Conditions, outer: &Conditions) -> bool {
    let all_actions =
        |c: &Conditions| if c.actions.is_empty() { Action::ALL.to_vec() } else { c.actions.iter().copied().collect() };
    let outer_actions = all_actions(outer);
    let everywhere: Vec<claviger_api::wire::Network> = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let networks = |c: &Conditions| if c.networks.is_empty() { everywhere.clone() } else { c.networks.clone() };
    let count = |c: &Conditions| c.approvals.map_or(0, |rule| rule.count);
    let by_customer = |c: &Conditions| c.approvals.is_some_and(|rule| rule.by_customer);
    let reach = |c: &Conditions| c.reaches.map_or(0, |reach| if reach == Reach::Sensitive { 1 } else { 2 });
    let again = |c: &Conditions| c.approvals.is_none_or(|rule| rule.reuse);
    all_actions(inner).iter().all(|action| outer_actions.contains(action))
        && count(inner) >= count(outer)
        && by_customer(inner) >= by_customer(outer)
        && again(inner) <= again(outer)
        && inner.fresh_factor >= outer.fresh_factor
        && (outer.ticket.is_none() || inner.ticket == outer.ticket)
        && claviger_api::wire::Network::all_within(&networks(inner), &networks(outer))
        && match (&inner.hours, &outer.hours) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(inner), Some(outer)) => inner.within(outer),
        }
        && reach(inner) <= reach(outer)
        && inner.reveals_per_hour.unwrap_or(u32::MAX) <= outer.reveals_per_hour.unwrap_or(u32::MAX)
}

fn at_home(subject: &Subject, place: Option<claviger_api::CustomerId>) -> bool {
    subject.customer.is_none() || subject.customer == place
}

fn within(scope: GrantTarget, resource: &Resource) -> bool {
    let (c, s, a) = match *resource {
        Resource::Operator => (None, None, None),
        Resource::Customer(c) => (Some(c), None, None),
        Resource::System(c, s) => (Some(c), Some(s), None),
        Resource::Account(c, s, a) => (Some(c), Some(s), Some(a)),
        Resource::Checkout { customer, system, account, .. } => (Some(customer), Some(system), Some(account)),
    };
    match scope {
        GrantTarget::Operator => true,
        GrantTarget::Customer(sc) => c == Some(sc),
        GrantTarget::System(sc, ss) => c == Some(sc) && s == Some(ss),
        GrantTarget::Account(sc, ss, sa) => c == Some(sc) && s == Some(ss) && a == Some(sa),
    }
}

/// A grant on a system shows its customer; one on an account its system, too.
fn on_the_way(scope: GrantTarget, action: Action, resource: &Resource) -> bool {
    match (action, *resource, scope) {
        (Action::CustomerView, Resource::Customer(c), GrantTarget::System(sc, _) | GrantTarget::Account(sc, _, _)) => {
            c == sc
        }
        (Action::SystemView, Resource::System(c, s), GrantTarget::Account(sc, ss, _)) => (c, s) == (sc, ss),
        _ => false,
    }
}

fn kind(resource: &Resource) -> char {
    match resource {
        Resource::Operator => 'O',
        Resource::Customer(_) => 'C',
        Resource::System(..) => 'S',
        Resource::Account(..) => 'A',
        Resource::Checkout { .. } => 'K',
    }
}

fn letter(role: Role) -> char {
    match role {
        Role::Administrator => 'A',
        Role::Technician => 'T',
        Role::Automation => 'M',
        Role::Approver => 'P',
        Role::Auditor => 'R',
        Role::CustomerAuditor => 'C',
    }
}
