//! Handing on: nobody, alone or together, comes to more than what they were given to hand on.

use std::collections::BTreeSet;

use claviger_api::wire::{GRANT_TTL_MAX_SECONDS, GrantKind, Role, TTL_MAX_SECONDS};
use claviger_api::{GrantId, Timestamp};
use jiff::SignedDuration;
use uuid::Uuid;

use super::super::grant::ROLES;
use super::super::*;
use super::world::*;

/// Three people who work together, of whom the first has one `may_grant`; then every sequence of up to four grants
/// between them. Rules of granting only permit, so making every grant that is permitted, four times over, reaches
/// whatever any such sequence reaches.
#[test]
fn anvil_privilege_closure() {
    for role in ROLES {
        for scope in [GrantTarget::Customer(customer(0)), GrantTarget::System(customer(0), system(0))] {
            let root = may_grant(role, scope);
            let mut held = vec![root.clone()];
            for _ in 0..4 {
                let before = held.len();
                for granter in 0..3 {
                    let made: Vec<Grant> =
                        everything_wanted(&root).filter_map(|wanted| make(granter, &held, wanted)).collect();
                    held = distinct(held.iter().cloned().chain(made));
                }
                if held.len() == before {
                    break;
                }
            }
            assert!(held.len() > 10, "something can be handed on: {}", held.len());
            for grant in &held {
                assert_eq!(grant.role, role);
                assert!(root.scope.encloses(grant.scope), "{grant:?}");
                assert!(grant.expires_at <= root.expires_at, "{grant:?}");
                assert!(grant.max_checkout_seconds <= root.max_checkout_seconds, "{grant:?}");
            }
        }
    }
}

/// One who may only use a role hands on nothing, even an administrator.
#[test]
fn use_is_not_handing_on() {
    for role in ROLES {
        let held = [may_use(role, GrantTarget::Operator)];
        let root = may_grant(role, GrantTarget::Operator);
        assert_eq!(everything_wanted(&root).filter_map(|wanted| make(0, &held, wanted)).count(), 0);
    }
}

#[test]
fn handing_on_is_not_use() {
    for role in ROLES {
        let held = [may_grant(role, GrantTarget::Operator)];
        for resource in resources() {
            let view = resource.view().unwrap_or(Action::AuditRead);
            let own = matches!(resource, Resource::Checkout { holder, .. } if holder == principal(0));
            assert_eq!(ask(&msp_user(0), &held, view, &resource, now()).is_ok(), own);
        }
    }
}

#[test]
fn the_founder_can_give_every_role_to_others_and_none_to_itself() {
    let mut next = 0;
    let held = founding_grants(principal(0), now(), || {
        next += 1;
        GrantId::from_uuid(Uuid::from_u128(next))
    });
    let end = now() + SignedDuration::from_secs(i64::try_from(GRANT_TTL_MAX_SECONDS).unwrap());
    assert_eq!(held.len(), 1 + ROLES.len());
    assert_eq!(held.iter().map(|grant| grant.id).collect::<BTreeSet<_>>().len(), 1 + ROLES.len());
    assert!(held.iter().all(|grant| grant.expires_at == end && grant.principal == principal(0)));
    assert!(ask(&msp_user(0), &held, Action::SysSeal, &Resource::Operator, now()).is_ok());
    for role in ROLES {
        for kind in [GrantKind::MayUse, GrantKind::MayGrant] {
            let wanted = WantedGrant {
                principal: principal(1),
                kind,
                role,
                target: GrantTarget::Operator,
                max_checkout_seconds: TTL_MAX_SECONDS,
                conditions: Conditions::default(),
                expires_at: end,
            };
            let ask = |wanted| authorize_grant(&POLICIES, &msp_user(0), &held, &wanted, &usual(now()));
            assert!(ask(wanted.clone()).is_ok());
            assert_eq!(ask(WantedGrant { principal: principal(0), ..wanted.clone() }).unwrap_err(), Denied::Forbidden);
            let longer = WantedGrant { expires_at: end + SignedDuration::from_millis(1), ..wanted };
            assert_eq!(ask(longer).unwrap_err(), Denied::Forbidden);
        }
    }
}

/// 400 days hold even where a `may_grant` says more, as an old record might.
#[test]
fn no_grant_lasts_more_than_400_days() {
    let endless = Grant { expires_at: Timestamp::MAX, ..may_grant(Role::Technician, GrantTarget::Operator) };
    let most = now() + SignedDuration::from_hours(400 * 24);
    for (end, permitted) in
        [(most, true), (most + SignedDuration::from_millis(1), false), (Timestamp::MAX, false), (now(), false)]
    {
        let wanted = WantedGrant { expires_at: end, ..wanted(GrantTarget::Customer(customer(0))) };
        let made = authorize_grant(&POLICIES, &msp_user(0), std::slice::from_ref(&endless), &wanted, &usual(now()));
        assert_eq!(made.is_ok(), permitted, "until {end}");
    }
    let late = Timestamp::MAX - SignedDuration::from_secs(1);
    let wanted = WantedGrant { expires_at: Timestamp::MAX, ..wanted(GrantTarget::Operator) };
    assert!(
        authorize_grant(&POLICIES, &msp_user(0), &[endless], &wanted, &usual(late)).is_ok(),
        "no overflow at the end"
    );
}

/// Who may neither see nor hand on at a place does not learn that it is there.
#[test]
fn a_refusal_tells_no_more_than_may_be_known() {
    let at_home = [may_grant(Role::Technician, GrantTarget::Customer(customer(0)))];
    let ask = |subject: &Subject, held: &[Grant], target, role| {
        authorize_grant(&POLICIES, subject, held, &WantedGrant { role, ..wanted(target) }, &usual(now())).unwrap_err()
    };
    let (home, away) = (GrantTarget::Customer(customer(0)), GrantTarget::Customer(customer(1)));
    assert_eq!(ask(&msp_user(0), &at_home, home, Role::Auditor), Denied::Forbidden);
    assert_eq!(ask(&msp_user(0), &at_home, away, Role::Technician), Denied::Hidden);
    assert_eq!(ask(&msp_user(0), &at_home, GrantTarget::Operator, Role::Technician), Denied::Forbidden);
    let seen = [may_use(Role::Auditor, away)];
    assert_eq!(ask(&msp_user(0), &seen, away, Role::Auditor), Denied::Forbidden);
    let everywhere = [may_grant(Role::Technician, GrantTarget::Operator)];
    let own = Subject { customer: Some(customer(0)), ..msp_user(0) };
    assert_eq!(ask(&own, &everywhere, away, Role::Technician), Denied::Hidden);
}

fn wanted(target: GrantTarget) -> WantedGrant {
    WantedGrant {
        principal: principal(1),
        kind: GrantKind::MayUse,
        role: Role::Technician,
        target,
        max_checkout_seconds: HOUR,
        conditions: Conditions::default(),
        expires_at: after(1000),
    }
}

/// Every grant around what `root` gives: other roles, wider and foreign places, later ends, longer checkouts.
fn everything_wanted(root: &Grant) -> impl Iterator<Item = WantedGrant> + use<> {
    let (end, most) = (root.expires_at, root.max_checkout_seconds);
    let mut all = Vec::new();
    for to in 0..3 {
        for kind in [GrantKind::MayUse, GrantKind::MayGrant] {
            for role in [root.role, another(root.role)] {
                for target in [
                    GrantTarget::Operator,
                    GrantTarget::Customer(customer(0)),
                    GrantTarget::Customer(customer(1)),
                    GrantTarget::System(customer(0), system(0)),
                    GrantTarget::System(customer(1), system(0)),
                    GrantTarget::Account(customer(0), system(0), account(0)),
                ] {
                    for (max_checkout_seconds, expires_at) in
                        [(most, end), (most + 1, end), (most, end + SignedDuration::from_millis(1))]
                    {
                        let (principal, conditions) = (principal(to), Conditions::default());
                        all.push(WantedGrant {
                            principal,
                            kind,
                            role,
                            target,
                            max_checkout_seconds,
                            conditions,
                            expires_at,
                        });
                    }
                }
            }
        }
    }
    all.into_iter()
}

fn another(role: Role) -> Role {
    if role == Role::Administrator { Role::Technician } else { Role::Administrator }
}

fn make(granter: u8, held: &[Grant], wanted: WantedGrant) -> Option<Grant> {
    let own: Vec<Grant> = held.iter().filter(|grant| grant.principal == principal(granter)).cloned().collect();
    let permit = authorize_grant(&POLICIES, &msp_user(granter), &own, &wanted, &usual(now())).ok()?;
    assert_ne!(wanted.principal, permit.subject().id, "nobody grants to themselves");
    Some(Grant {
        id: may_use(wanted.role, wanted.target).id,
        principal: wanted.principal,
        kind: wanted.kind,
        role: wanted.role,
        scope: wanted.target,
        max_checkout_seconds: wanted.max_checkout_seconds,
        conditions: wanted.conditions,
        break_glass: None,
        created_at: now(),
        expires_at: wanted.expires_at,
    })
}

/// One of each, numbered anew.
fn distinct(grants: impl Iterator<Item = Grant>) -> Vec<Grant> {
    let mut seen: Vec<Grant> = Vec::new();
    for grant in grants {
        if !seen.iter().any(|other| Grant { id: grant.id, ..other.clone() } == grant) {
            let id = GrantId::from_uuid(Uuid::from_u128(u128::try_from(seen.len()).unwrap()));
            seen.push(Grant { id, ..grant });
        }
    }
    seen
}
