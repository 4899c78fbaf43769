//! Every role × verb × scope × thing, and at random.

use claviger_api::wire::{GrantKind, PrincipalKind, Role};
use proptest::prelude::*;

use super::super::decide::verdict;
use super::super::grant::ROLES;
use super::super::*;
use super::reference;
use super::world::*;

/// Role × verb × scope × thing in three customers, whole: about 50,000 decisions.
#[test]
fn anvil_canary_matrix() {
    let mut permitted = 0;
    for role in ROLES {
        for scope in scopes() {
            let grants = [may_use(role, scope)];
            let subject = msp_user(0);
            let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
            for resource in resources() {
                for &action in Action::ALL {
                    let ours = verdict(&POLICIES, &compiled, &subject, action, &resource, now());
                    let theirs = reference::verdict(&subject, &grants, action, &resource, now());
                    assert_eq!(ours, theirs, "{role:?} at {scope:?}: {action} on {resource:?}");
                    permitted += usize::from(ours.is_ok());
                }
            }
        }
    }
    assert!(permitted > 2_000, "the matrix shows nothing when nothing is permitted: {permitted}");
}

#[test]
fn a_marker_asks_for_its_own_verb() {
    let subject = msp_user(0);
    let grants = [may_use(Role::Technician, GrantTarget::Customer(customer(0)))];
    let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
    let permit = authorize::<CheckoutReveal>(&POLICIES, &compiled, &subject, &checkout(0, 0), now()).unwrap();
    assert_eq!(*permit.subject(), subject);
    assert_eq!(*permit.resource(), checkout(0, 0));
    assert_eq!(permit.customer(), Some(customer(0)));
    assert_eq!((permit.grant(), permit.max_checkout_seconds()), (Some(grants[0].id), 8 * HOUR));
    let refused = authorize::<CheckoutRevoke>(&POLICIES, &compiled, &subject, &checkout(0, 0), now());
    assert_eq!(refused.unwrap_err(), Denied::Forbidden);
    assert_eq!((CheckoutTakeOver::ACTION, AuditExport::ACTION), (Action::CheckoutTakeOver, Action::AuditExport));
    assert_eq!(Action::CheckoutTakeOver.to_string(), "checkout.take_over");
}

#[test]
fn an_administrator_never_comes_to_a_secret() {
    let grants = founding_grants(principal(0), now(), || may_use(Role::Administrator, GrantTarget::Operator).id);
    for action in [Action::CheckoutCreate, Action::CheckoutReveal, Action::CheckoutExtend, Action::CheckoutTakeOver] {
        for resource in resources() {
            assert!(ask(&msp_user(0), &grants, action, &resource, now()).is_err(), "{action} on {resource:?}");
        }
    }
}

#[test]
fn of_several_grants_the_longest_checkout_counts() {
    let short = Grant { max_checkout_seconds: HOUR, ..may_use(Role::Technician, GrantTarget::Operator) };
    let long = Grant {
        max_checkout_seconds: 24 * HOUR,
        ..grant(1, GrantKind::MayUse, Role::Automation, GrantTarget::Customer(customer(0)))
    };
    let ended = Grant {
        max_checkout_seconds: 48 * HOUR,
        expires_at: now(),
        ..grant(2, GrantKind::MayUse, Role::Technician, GrantTarget::Operator)
    };
    let reads =
        Grant { max_checkout_seconds: 72 * HOUR, ..grant(3, GrantKind::MayUse, Role::Auditor, GrantTarget::Operator) };
    let grants = [short.clone(), long.clone(), ended, reads];
    let at = |c| ask(&msp_user(0), &grants, Action::CheckoutCreate, &account_of(c), now()).unwrap();
    assert_eq!((at(0).grant, at(0).max_checkout_seconds), (Some(long.id), 24 * HOUR));
    assert_eq!((at(1).grant, at(1).max_checkout_seconds), (Some(short.id), HOUR));
}

fn account_of(c: u8) -> Resource {
    Resource::Account(customer(c), system(0), account(0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compiled at one instant, asked at a later one, with grants that end before, between and after.
    #[test]
    fn decides_like_the_reference(
        (subject, grants) in subjects().prop_flat_map(|subject| (Just(subject), any_grants())),
        action in prop::sample::select(Action::ALL),
        resource in prop::sample::select(resources()),
        later in prop::sample::select(vec![0_i64, 1, 2, 3_600_000]),
    ) {
        let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
        let ours = verdict(&POLICIES, &compiled, &subject, action, &resource, after(later));
        let theirs = reference::verdict(&subject, &grants, action, &resource, after(later));
        prop_assert_eq!(ours, theirs);
        let visible = visible_customers(&compiled, after(later));
        for c in 0..CUSTOMERS {
            let view = reference::verdict(&subject, &grants, Action::CustomerView, &Resource::Customer(customer(c)), after(later));
            prop_assert_eq!(visible.contains(customer(c)), view.is_ok(), "lists see what a get sees");
        }
    }

    #[test]
    fn hands_on_like_the_reference(
        (subject, grants) in subjects().prop_flat_map(|subject| (Just(subject), any_grants())),
        wanted in wanted_grants(),
    ) {
        let ours = authorize_grant(&POLICIES, &subject, &grants, &wanted, now());
        prop_assert_eq!(ours.is_ok(), reference::may_make(&subject, &grants, &wanted, now()));
        if let Ok(permit) = ours {
            let own = grants.iter().find(|own| Some(own.id) == permit.grant()).unwrap();
            prop_assert_eq!((own.kind, own.role), (GrantKind::MayGrant, wanted.role));
            prop_assert!(own.expires_at >= wanted.expires_at);
        }
    }
}

fn subjects() -> impl Strategy<Value = Subject> {
    let kind = prop::sample::select(vec![PrincipalKind::User, PrincipalKind::ServiceAccount]);
    let home = prop::option::weighted(0.3, 0..CUSTOMERS);
    (kind, home).prop_map(|(kind, home)| Subject { id: principal(0), kind, customer: home.map(customer) })
}

fn any_grants() -> impl Strategy<Value = Vec<Grant>> {
    let kind = prop::sample::select(vec![GrantKind::MayUse, GrantKind::MayUse, GrantKind::MayGrant]);
    let one = (
        kind,
        prop::sample::select(ROLES.to_vec()),
        prop::sample::select(scopes()),
        prop::sample::select(vec![HOUR, 8 * HOUR, 24 * HOUR]),
        prop::sample::select(vec![-1_i64, 0, 1, 2, 3_600_000, 86_400_000]),
    );
    prop::collection::vec(one, 0..6).prop_map(|grants| {
        let numbered = grants.into_iter().zip(0_u8..);
        numbered
            .map(|((kind, role, scope, most, end), n)| Grant {
                max_checkout_seconds: most,
                expires_at: after(end),
                ..grant(n, kind, role, scope)
            })
            .collect()
    })
}

fn wanted_grants() -> impl Strategy<Value = WantedGrant> {
    (
        0_u8..3,
        prop::sample::select(vec![GrantKind::MayUse, GrantKind::MayGrant]),
        prop::sample::select(ROLES.to_vec()),
        prop::sample::select(scopes()),
        prop::sample::select(vec![HOUR, 8 * HOUR]),
        prop::sample::select(vec![-1_i64, 0, 1, 3_600_000, 3_600_001]),
    )
        .prop_map(|(to, kind, role, target, most, end)| WantedGrant {
            principal: principal(to),
            kind,
            role,
            target,
            max_checkout_seconds: most,
            conditions: Conditions::default(),
            expires_at: after(end),
        })
}
