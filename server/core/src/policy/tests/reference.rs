//! The naive evaluator.

use std::net::IpAddr;

use claviger_api::wire::{ApprovalRule, GrantKind, PrincipalKind, Reach, Role};
use claviger_api::{GrantId, Timestamp};

use super::super::decide::Ground;
use super::super::*;

/// Verb; what it applies to (Operator, Customer, System, Account, checKout); which role may
/// (Administrator, Technician, autoMation, aPprover, auditoR, Customer auditor, cUstomer administrator, Break-glass that
/// sleeps, and an open Glass).
const TABLE: &[(Action, &str, &str)] = &[
    (Action::SysStatus, "O", "AR"),
    (Action::SysSeal, "O", "A"),
    (Action::SysScrub, "O", "A"),
    (Action::SysBackup, "O", "A"),
    (Action::SysRekey, "O", "A"),
    (Action::SysRestore, "O", "A"),
    (Action::CustomerCreate, "O", "A"),
    (Action::CustomerView, "OC", "ATMPRCUBG"),
    (Action::CustomerUpdate, "OC", "A"),
    (Action::CustomerLimit, "C", "U"),
    (Action::CustomerRemove, "OC", "A"),
    (Action::CustomerLock, "OC", "A"),
    (Action::CustomerUnlock, "OC", "A"),
    (Action::CustomerOffboard, "OC", "A"),
    (Action::KitCreate, "C", "AU"),
    (Action::KitView, "C", "ARCU"),
    (Action::SystemCreate, "C", "A"),
    (Action::SystemView, "CS", "ATMPRCUBG"),
    (Action::SystemUpdate, "CS", "A"),
    (Action::SystemRemove, "CS", "A"),
    (Action::AccountCreate, "CS", "A"),
    (Action::AccountView, "CSA", "ATMPRCUBG"),
    (Action::AccountUpdate, "CSA", "A"),
    (Action::AccountRemove, "CSA", "A"),
    (Action::AccountSetSecret, "CSA", "AM"),
    (Action::AccountVerify, "CSA", "ATMG"),
    (Action::AccountRotate, "CSA", "ATM"),
    (Action::AccountRevealUnresolved, "A", "G"),
    (Action::CheckoutCreate, "A", "TMG"),
    (Action::CheckoutView, "OCSAK", "ATMPRCUBG"),
    (Action::CheckoutReveal, "K", "TMG"),
    (Action::CheckoutExtend, "K", "TMG"),
    (Action::CheckoutCheckin, "K", "TMG"),
    (Action::CheckoutRevoke, "CK", "A"),
    (Action::CheckoutApprove, "K", "P"),
    (Action::CheckoutTakeOver, "K", "TG"),
    (Action::RotationView, "OCSA", "ATMRCG"),
    (Action::RotationCancel, "OCSA", "A"),
    (Action::RotationPerform, "A", "T"),
    (Action::PrincipalManage, "OC", "AU"),
    (Action::PrincipalView, "OC", "ARU"),
    (Action::GrantMake, "", ""),
    (Action::GrantRevoke, "OCSA", "A"),
    (Action::GrantView, "OCSA", "AR"),
    (Action::AccessView, "OCSA", "ARCU"),
    (Action::BreakGlassOpen, "CSA", "B"),
    (Action::BreakGlassAgree, "CSA", "B"),
    (Action::BreakGlassClose, "CSA", "BAU"),
    (Action::BreakGlassView, "CSA", "BGATPRCU"),
    (Action::BreakGlassReview, "CSA", "APU"),
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
    let forbidden = match unmet {
        None => Denied::Forbidden,
        Some(Missing::OfGrant(condition, grant)) => Denied::Unmet { condition, grant },
        Some(Missing::OfCustomer(condition)) => Denied::Limited(condition),
    };
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
) -> Result<Ground, Option<Missing>> {
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
    // People break glass, and no program does.
    if OF_PEOPLE.contains(&action) && subject.kind != PrincipalKind::User {
        return Err(None);
    }
    // A customer's limits are its own people's.
    if action == Action::CustomerLimit && (subject.kind != PrincipalKind::User || subject.customer.is_none()) {
        return Err(None);
    }
    // Nobody works where it is not known what the customer wants.
    let bound = resource.customer().is_some() && !FREE.contains(&action) && !PAST_LIMITS.contains(&action);
    let none = Limits::default();
    let limits = if bound { around.limits.ok_or(None)? } else { &none };
    let most = |grant: &Grant| limits.max_checkout_seconds.unwrap_or(u64::MAX).min(grant.max_checkout_seconds);
    let rule = |grant: &Grant| both(grant.conditions.approvals, limits.conditions.approvals);
    let wanted_by_customer = if bound { wanted(&limits.conditions, action, around) } else { Vec::new() };
    let missing = |grant: &Grant| -> Option<Missing> {
        let of_grant = unmet(grant, subject.kind, action, resource, around).first().copied();
        let of_grant = of_grant.map(|condition| Missing::OfGrant(condition, grant.id));
        of_grant.or_else(|| wanted_by_customer.first().copied().map(Missing::OfCustomer))
    };
    let reaches = |grant: &&Grant| {
        let gives = roles.contains(letter(grant)) && within(grant.scope, resource);
        let customers = matches!(grant.role, Role::CustomerAuditor | Role::CustomerAdministrator);
        let denied = customers && *resource == Resource::Operator;
        (gives && !denied) || on_the_way(grant.scope, action, resource)
    };
    let mut live: Vec<&Grant> = grants
        .iter()
        .filter(|grant| grant.kind == GrantKind::MayUse && around.now < grant.expires_at)
        .filter(reaches)
        .collect();
    let reach =
        |grant: &Grant| grant.conditions.reaches.map_or(0, |reach| if reach == Reach::Sensitive { 1 } else { 2 });
    live.sort_by_key(|grant| {
        let too_short = around.ttl_seconds.is_some_and(|wanted| wanted > most(grant));
        let usual = grant.break_glass.is_none();
        // Whoever agreed to a glass has said yes.
        let yeses = rule(grant).map_or(0, |rule| 2 * i32::from(rule.count) + i32::from(rule.by_customer));
        (!too_short, if usual { -yeses } else { 0 }, usual, most(grant), reach(grant), grant.expires_at, grant.id)
    });
    let static_permit = holder && matches!(action, Action::CheckoutView | Action::CheckoutCheckin);
    if let Some(best) = live.iter().rfind(|grant| missing(grant).is_none()) {
        return Ok(Ground {
            grant: Some(best.id),
            max_checkout_seconds: most(best),
            approvals: rule(best),
            conditions: best.conditions.clone().into(),
            break_glass: best.break_glass,
        });
    }
    if static_permit {
        return Ok(Ground::default());
    }
    let nearest = live.iter().rfind(|grant| !matches!(missing(grant), Some(Missing::OfGrant(Condition::Actions, _))));
    Err(nearest.and_then(|grant| missing(grant)))
}

/// What stands in the way, and by whose wish.
enum Missing {
    OfGrant(Condition, GrantId),
    OfCustomer(Condition),
}

/// What no program does: of break-glass, and by hand.
const OF_PEOPLE: &[Action] = &[
    Action::BreakGlassOpen,
    Action::BreakGlassAgree,
    Action::BreakGlassReview,
    Action::AccountRevealUnresolved,
    Action::RotationPerform,
];

/// What a customer does not bind: to read the log, to stop something, people and their rights, the limits themselves.
const PAST_LIMITS: &[Action] = &[
    Action::AuditRead,
    Action::AuditExport,
    Action::CheckoutRevoke,
    Action::RotationCancel,
    Action::GrantMake,
    Action::GrantRevoke,
    Action::PrincipalManage,
    Action::CustomerLimit,
    Action::KitCreate,
    Action::BreakGlassClose,
    Action::BreakGlassReview,
];

/// The stricter of two rules in everything.
fn both(one: Option<ApprovalRule>, other: Option<ApprovalRule>) -> Option<ApprovalRule> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    let count = if a.count > b.count { a.count } else { b.count };
    Some(ApprovalRule { count, by_customer: a.by_customer | b.by_customer, reuse: a.reuse & b.reuse })
}

/// Whoever only looks, or gives back, is bound by no condition.
const FREE: &[Action] = &[
    Action::SysStatus,
    Action::CustomerView,
    Action::KitView,
    Action::SystemView,
    Action::AccountView,
    Action::CheckoutView,
    Action::CheckoutCheckin,
    Action::RotationView,
    Action::PrincipalView,
    Action::GrantView,
    Action::AccessView,
    Action::BreakGlassView,
];

/// What a session that was left open is not enough for.
const SENSITIVE: &[Action] = &[
    Action::SysSeal,
    Action::SysRekey,
    Action::SysRestore,
    Action::CustomerRemove,
    Action::CustomerUnlock,
    Action::CustomerOffboard,
    Action::SystemUpdate,
    Action::AccountRemove,
    Action::CheckoutApprove,
    Action::PrincipalManage,
    Action::GrantMake,
    Action::CustomerLimit,
    Action::AuditExport,
    Action::BreakGlassOpen,
    Action::BreakGlassAgree,
    Action::BreakGlassReview,
    Action::AccountRevealUnresolved,
];

/// The conditions that are not met, one sentence each.
pub fn unmet(
    grant: &Grant,
    kind: PrincipalKind,
    action: Action,
    resource: &Resource,
    around: &Circumstances<'_>,
) -> Vec<Condition> {
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
    let one = matches!(resource, Resource::Account(..));
    let secret = ["account.reveal_unresolved", "rotation.perform"].contains(&action.as_str())
        || action.as_str() == "break_glass.open" && one
        || ["checkout.create", "checkout.take_over", "checkout.reveal", "checkout.extend"].contains(&action.as_str());
    let program = kind == PrincipalKind::ServiceAccount;
    let of_account = secret || action == Action::AccountUpdate;
    // A glass reaches no further for being opened narrowly.
    let names_account = matches!(grant.scope, GrantTarget::Account(..)) && grant.break_glass.is_none();
    let reached = match around.mark {
        Mark::Usual => true,
        Mark::Sensitive | Mark::TierZero if names_account => true,
        Mark::Sensitive => !(program && of_account) || conditions.reaches.is_some(),
        Mark::TierZero => !(secret || program && of_account) || conditions.reaches == Some(Reach::TierZero),
    };
    if !reached {
        unmet.push(Condition::Reaches);
    }
    let age = around.second_factor_at.map(|proven| around.now.as_second() - proven.as_second());
    let stale = age.is_none_or(|age| age >= 300);
    unmet.extend(wanted(conditions, action, around));
    let by_mark = [Action::CheckoutReveal, Action::RotationPerform, Action::AccountUpdate];
    let of_sensitive = by_mark.contains(&action) && around.mark != Mark::Usual;
    if (sensitive || of_sensitive) && kind == PrincipalKind::User && stale {
        unmet.push(Condition::SensitiveVerb);
    }
    if conditions.reveals_per_hour.is_some() && action == Action::CheckoutReveal && around.spent.contains(&grant.id) {
        unmet.push(Condition::RevealsPerHour);
    }
    unmet
}

/// What a grant and a customer can both want of how a verb is done.
fn wanted(conditions: &Conditions, action: Action, around: &Circumstances<'_>) -> Vec<Condition> {
    let mut unmet = Vec::new();
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
    if conditions.fresh_factor && age.is_none_or(|age| age >= 300) {
        unmet.push(Condition::FreshFactor);
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

fn letter(grant: &Grant) -> char {
    match grant.role {
        Role::BreakGlass if grant.break_glass.is_some() => 'G',
        Role::BreakGlass => 'B',
        Role::Administrator => 'A',
        Role::Technician => 'T',
        Role::Automation => 'M',
        Role::Approver => 'P',
        Role::Auditor => 'R',
        Role::CustomerAuditor => 'C',
        Role::CustomerAdministrator => 'U',
    }
}
