//! A small world: three customers with systems and accounts. The ids of systems and accounts are the same under each
//! customer, so that a decision that forgets the customer is found out.

use std::sync::LazyLock;

use claviger_api::wire::{GrantKind, PrincipalKind, Role};
use claviger_api::{AccountId, BreakGlassId, CheckoutId, CustomerId, GrantId, PrincipalId, SystemId, Timestamp};
use jiff::SignedDuration;
use uuid::Uuid;

use super::super::decide::{Ground, verdict};
use super::super::*;

pub static POLICIES: LazyLock<Policies> = LazyLock::new(|| Policies::built_in().unwrap());

pub const CUSTOMERS: u8 = 3;
pub const HOUR: u64 = 3600;

pub fn customer(n: u8) -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(0xC0 + u128::from(n)))
}

pub fn system(n: u8) -> SystemId {
    SystemId::from_uuid(Uuid::from_u128(0x50 + u128::from(n)))
}

pub fn account(n: u8) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(0xA0 + u128::from(n)))
}

pub fn principal(n: u8) -> PrincipalId {
    PrincipalId::from_uuid(Uuid::from_u128(0xB0 + u128::from(n)))
}

pub fn checkout(c: u8, holder: u8) -> Resource {
    Resource::Checkout {
        customer: customer(c),
        system: system(0),
        account: account(0),
        checkout: CheckoutId::from_uuid(Uuid::from_u128(1)),
        holder: principal(holder),
    }
}

pub fn msp_user(n: u8) -> Subject {
    Subject { id: principal(n), kind: PrincipalKind::User, customer: None }
}

/// The instant around which everything happens.
pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn after(milliseconds: i64) -> Timestamp {
    now() + SignedDuration::from_millis(milliseconds)
}

/// A grant to principal 0 for another hour.
pub fn grant(n: u8, kind: GrantKind, role: Role, scope: GrantTarget) -> Grant {
    Grant {
        id: GrantId::from_uuid(Uuid::from_u128(0x6000 + u128::from(n))),
        principal: principal(0),
        kind,
        role,
        scope,
        max_checkout_seconds: 8 * HOUR,
        conditions: Conditions::default(),
        break_glass: None,
        created_at: now(),
        expires_at: after(3_600_000),
    }
}

pub fn may_use(role: Role, scope: GrantTarget) -> Grant {
    grant(0, GrantKind::MayUse, role, scope)
}

/// What an open glass gives.
pub fn open_glass(n: u8, scope: GrantTarget) -> Grant {
    let break_glass = Some(BreakGlassId::from_uuid(Uuid::from_u128(0xB6)));
    Grant { break_glass, ..grant(n, GrantKind::MayUse, Role::BreakGlass, scope) }
}

pub fn may_grant(role: Role, scope: GrantTarget) -> Grant {
    grant(0, GrantKind::MayGrant, role, scope)
}

/// Compiles and decides at the same instant.
pub fn ask(
    subject: &Subject,
    grants: &[Grant],
    action: Action,
    resource: &Resource,
    at: Timestamp,
) -> Result<Ground, Denied> {
    let compiled = POLICIES.compile(subject, grants, at).unwrap();
    verdict(&POLICIES, &compiled, subject, action, resource, &usual(at))
}

/// The circumstances in which nothing but time is in the way.
pub fn usual(at: Timestamp) -> Circumstances<'static> {
    Circumstances { second_factor_at: Some(at), mark: Mark::Usual, limits: Some(&NO_LIMITS), ..Circumstances::at(at) }
}

/// Every scope in the first two customers, and the operator's.
pub fn scopes() -> Vec<GrantTarget> {
    let mut scopes = vec![GrantTarget::Operator];
    for c in 0..2 {
        scopes.push(GrantTarget::Customer(customer(c)));
        scopes.extend((0..2).map(|s| GrantTarget::System(customer(c), system(s))));
        scopes.extend((0..2).map(|a| GrantTarget::Account(customer(c), system(0), account(a))));
    }
    scopes
}

/// Every kind of thing, in and out of every scope, with own and foreign checkouts.
pub fn resources() -> Vec<Resource> {
    let mut resources = vec![Resource::Operator];
    for c in 0..CUSTOMERS {
        resources.push(Resource::Customer(customer(c)));
        for s in 0..2 {
            resources.push(Resource::System(customer(c), system(s)));
            resources.extend((0..2).map(|a| Resource::Account(customer(c), system(s), account(a))));
        }
        resources.extend([checkout(c, 0), checkout(c, 1)]);
    }
    resources
}
