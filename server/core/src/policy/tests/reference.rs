//! The naive evaluator.

use claviger_api::Timestamp;
use claviger_api::wire::{GrantKind, Role};

use super::super::decide::Ground;
use super::super::*;

/// Verb; what it applies to (Operator, Customer, System, Account, checKout); which role may
/// (Administrator, Technician, autoMation, auditoR, Customer auditor).
const TABLE: &[(Action, &str, &str)] = &[
    (Action::SysStatus, "O", "AR"),
    (Action::SysSeal, "O", "A"),
    (Action::CustomerCreate, "O", "A"),
    (Action::CustomerView, "OC", "ATMRC"),
    (Action::CustomerUpdate, "OC", "A"),
    (Action::CustomerRemove, "OC", "A"),
    (Action::SystemCreate, "C", "A"),
    (Action::SystemView, "CS", "ATMRC"),
    (Action::SystemUpdate, "CS", "A"),
    (Action::SystemRemove, "CS", "A"),
    (Action::AccountCreate, "CS", "A"),
    (Action::AccountView, "CSA", "ATMRC"),
    (Action::AccountUpdate, "CSA", "A"),
    (Action::AccountRemove, "CSA", "A"),
    (Action::AccountSetSecret, "CSA", "AM"),
    (Action::AccountVerify, "CSA", "ATM"),
    (Action::AccountRotate, "CSA", "ATM"),
    (Action::CheckoutCreate, "A", "TM"),
    (Action::CheckoutView, "OCSAK", "ATMRC"),
    (Action::CheckoutReveal, "K", "TM"),
    (Action::CheckoutExtend, "K", "TM"),
    (Action::CheckoutCheckin, "K", "TM"),
    (Action::CheckoutRevoke, "K", "A"),
    (Action::CheckoutTakeOver, "K", "T"),
    (Action::RotationView, "OCSA", "ATMRC"),
    (Action::RotationCancel, "OCSA", "A"),
    (Action::PrincipalManage, "OC", "A"),
    (Action::PrincipalView, "OC", "AR"),
    (Action::GrantMake, "", ""),
    (Action::GrantRevoke, "OCSA", "A"),
    (Action::GrantView, "OCSA", "AR"),
    (Action::AuditRead, "OCSA", "ARC"),
    (Action::AuditExport, "OCSA", "ARC"),
];

pub fn verdict(
    subject: &Subject,
    grants: &[Grant],
    action: Action,
    resource: &Resource,
    at: Timestamp,
) -> Result<Ground, Denied> {
    if let Some(ground) = permitted(subject, grants, action, resource, at) {
        return Ok(ground);
    }
    let view = match resource {
        Resource::Operator => return Err(Denied::Forbidden),
        Resource::Customer(_) => Action::CustomerView,
        Resource::System(..) => Action::SystemView,
        Resource::Account(..) => Action::AccountView,
        Resource::Checkout { .. } => Action::CheckoutView,
    };
    let seen = permitted(subject, grants, view, resource, at).is_some();
    Err(if seen { Denied::Forbidden } else { Denied::Hidden })
}

fn permitted(
    subject: &Subject,
    grants: &[Grant],
    action: Action,
    resource: &Resource,
    at: Timestamp,
) -> Option<Ground> {
    let (_, applies, roles) = TABLE.iter().find(|row| row.0 == action).unwrap();
    if !applies.contains(kind(resource)) || !at_home(subject, resource.customer()) {
        return None;
    }
    let holder = matches!(resource, Resource::Checkout { holder, .. } if *holder == subject.id);
    if matches!(action, Action::CheckoutReveal | Action::CheckoutExtend | Action::CheckoutCheckin) && !holder {
        return None;
    }
    let reaches = |grant: &&Grant| {
        let role = roles.contains(letter(grant.role)) && within(grant.scope, resource);
        let denied = grant.role == Role::CustomerAuditor && *resource == Resource::Operator;
        (role && !denied) || on_the_way(grant.scope, action, resource)
    };
    let mut live: Vec<&Grant> = grants
        .iter()
        .filter(|grant| grant.kind == GrantKind::MayUse && at < grant.expires_at)
        .filter(reaches)
        .collect();
    live.sort_by_key(|grant| (grant.max_checkout_seconds, grant.expires_at, grant.id));
    let static_permit = holder && matches!(action, Action::CheckoutView | Action::CheckoutCheckin);
    match live.last() {
        Some(best) => Some(Ground {
            grant: Some(best.id),
            max_checkout_seconds: best.max_checkout_seconds,
            conditions: best.conditions.clone().into(),
        }),
        None => static_permit.then(Ground::default),
    }
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
    };
    wanted.principal != subject.id
        && lasts > 0
        && lasts <= four_hundred_days * 1000
        && at_home(subject, wanted.target.customer())
        && own_grants.iter().any(backing)
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
        Role::Auditor => 'R',
        Role::CustomerAuditor => 'C',
    }
}
