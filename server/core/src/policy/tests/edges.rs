//! Ends, foreign customers, and what must fail closed.

use claviger_api::wire::{GrantKind, PrincipalKind, Role};
use jiff::SignedDuration;

use super::super::decide::verdict;
use super::super::grant::ROLES;
use super::super::*;
use super::world::*;

/// A grant is good up to its end and not at it, whenever its set was compiled.
#[test]
fn anvil_lease_edges() {
    let subject = msp_user(0);
    let grants = [may_use(Role::Technician, GrantTarget::Customer(customer(0)))];
    let end = grants[0].expires_at;
    let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
    assert_eq!(compiled.valid_until(), Some(end));
    let millisecond = SignedDuration::from_millis(1);
    for (at, permits) in [(end - millisecond, true), (end, false), (end + millisecond, false)] {
        let old = verdict(&POLICIES, &compiled, &subject, Action::CheckoutReveal, &checkout(0, 0), &usual(at));
        let new = ask(&subject, &grants, Action::CheckoutReveal, &checkout(0, 0), at);
        assert_eq!((old.is_ok(), new.is_ok()), (permits, permits), "at {at}");
        let visible = visible_customers(&compiled, at);
        assert_eq!(visible.contains(customer(0)), permits, "at {at}");
    }
    let skewed = ask(&subject, &grants, Action::CheckoutReveal, &checkout(0, 0), end + SignedDuration::from_hours(24));
    assert_eq!(skewed, Err(Denied::Forbidden), "the holder still sees the checkout, and no secret");
}

#[test]
fn the_set_is_valid_until_its_first_end() {
    let first = Grant { expires_at: after(5), ..may_use(Role::Auditor, GrantTarget::Operator) };
    let last = Grant {
        expires_at: after(9),
        ..grant(1, GrantKind::MayUse, Role::Technician, GrantTarget::Customer(customer(0)))
    };
    let valid_until = |grants: &[Grant]| POLICIES.compile(&msp_user(0), grants, now()).unwrap().valid_until();
    assert_eq!(valid_until(&[last.clone(), first]), Some(after(5)));
    assert_eq!(valid_until(&[last]), Some(after(9)));
    assert_eq!(valid_until(&[]), None);
}

/// A foreign id and one that does not exist get the same answer, for every verb.
#[test]
fn anvil_cross_customer() {
    for role in ROLES {
        for scope in [GrantTarget::Customer(customer(0)), GrantTarget::Account(customer(0), system(0), account(0))] {
            let subject = msp_user(0);
            let compiled = POLICIES.compile(&subject, &[may_use(role, scope)], now()).unwrap();
            for &action in Action::ALL {
                for (foreign, nothing) in strangers() {
                    let ask = |resource| verdict(&POLICIES, &compiled, &subject, action, resource, &usual(now()));
                    assert_eq!(ask(&foreign), Err(Denied::Hidden), "{role:?}: {action} on {foreign:?}");
                    assert_eq!(ask(&nothing), Err(Denied::Hidden), "{role:?}: {action} on {nothing:?}");
                }
            }
        }
    }
}

/// Things of customer 1, whose systems and accounts have the ids of customer 0's, beside things that are nowhere.
fn strangers() -> Vec<(Resource, Resource)> {
    vec![
        (Resource::Customer(customer(1)), Resource::Customer(customer(9))),
        (Resource::System(customer(1), system(0)), Resource::System(customer(9), system(9))),
        (Resource::Account(customer(1), system(0), account(0)), Resource::Account(customer(9), system(9), account(9))),
        (checkout(1, 1), checkout(9, 9)),
    ]
}

/// A grant given in error does not carry a customer's own people out of their customer.
#[test]
fn a_customers_own_people_stay_at_home() {
    for kind in [PrincipalKind::User, PrincipalKind::ServiceAccount] {
        let own = Subject { id: principal(0), kind, customer: Some(customer(0)) };
        for role in ROLES {
            let grants = [may_use(role, GrantTarget::Operator)];
            for &action in Action::ALL {
                for (foreign, _) in strangers() {
                    assert_eq!(ask(&own, &grants, action, &foreign, now()), Err(Denied::Hidden), "{role:?}: {action}");
                }
                let operator = ask(&own, &grants, action, &Resource::Operator, now());
                assert_eq!(operator, Err(Denied::Forbidden), "{role:?}: {action}");
            }
            assert!(ask(&own, &grants, Action::CustomerView, &Resource::Customer(customer(0)), now()).is_ok());
            let compiled = POLICIES.compile(&own, &grants, now()).unwrap();
            assert_eq!(visible_customers(&compiled, now()), Visible::Some([customer(0)].into()));
        }
    }
}

/// What a list may show is what a get may see, sibling accounts and systems included.
#[test]
fn anvil_deny_everywhere() {
    let subject = msp_user(0);
    let grants = [may_use(Role::Technician, GrantTarget::Account(customer(0), system(0), account(0)))];
    let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
    assert_eq!(visible_customers(&compiled, now()), Visible::Some([customer(0)].into()));
    let sees = |resource: Resource| {
        let view = resource.view().unwrap();
        verdict(&POLICIES, &compiled, &subject, view, &resource, &usual(now())).is_ok()
    };
    assert!(sees(Resource::Customer(customer(0))), "the way to the account");
    assert!(sees(Resource::System(customer(0), system(0))), "the way to the account");
    assert!(sees(Resource::Account(customer(0), system(0), account(0))));
    assert!(!sees(Resource::System(customer(0), system(1))));
    assert!(!sees(Resource::Account(customer(0), system(0), account(1))));
    assert!(!sees(Resource::Customer(customer(1))));
    for wide in [Action::SystemView, Action::AccountView, Action::CheckoutView] {
        let all = verdict(&POLICIES, &compiled, &subject, wide, &Resource::Customer(customer(0)), &usual(now()));
        assert_eq!(all, Err(Denied::Forbidden), "the way shows the customer, not what is in it");
    }
}

/// The revoked grant is gone from the next compiled set; the holder keeps the right to give back.
#[test]
fn anvil_revoke_now() {
    let subject = msp_user(0);
    assert_eq!(ask(&subject, &[], Action::CheckoutReveal, &checkout(0, 0), now()), Err(Denied::Forbidden));
    assert_eq!(ask(&subject, &[], Action::CheckoutReveal, &checkout(0, 1), now()), Err(Denied::Hidden));
    let checkin = ask(&subject, &[], Action::CheckoutCheckin, &checkout(0, 0), now()).unwrap();
    assert_eq!((checkin.grant, checkin.max_checkout_seconds), (None, 0));
    assert_eq!(ask(&subject, &[], Action::CheckoutCheckin, &checkout(0, 1), now()), Err(Denied::Hidden));
}

#[test]
fn another_subjects_set_and_anothers_grant_permit_nothing() {
    let grants = [may_use(Role::Technician, GrantTarget::Operator)];
    let compiled = POLICIES.compile(&msp_user(0), &grants, now()).unwrap();
    let other = msp_user(1);
    let stolen = verdict(&POLICIES, &compiled, &other, Action::AccountView, &checkout(0, 1), &usual(now()));
    assert_eq!(stolen, Err(Denied::Hidden));
    let moved = Subject { customer: Some(customer(0)), ..msp_user(0) };
    let stale =
        verdict(&POLICIES, &compiled, &moved, Action::CustomerView, &Resource::Customer(customer(1)), &usual(now()));
    assert_eq!(stale, Err(Denied::Hidden));
    assert!(
        matches!(POLICIES.compile(&other, &grants, now()), Err(PolicyError::ForeignGrant(id)) if id == grants[0].id)
    );
}

#[test]
fn a_stored_grant_reads_back() {
    for scope in scopes() {
        let grant = may_use(Role::CustomerAuditor, scope);
        let text = serde_json::to_string(&grant).unwrap();
        assert_eq!(serde_json::from_str::<Grant>(&text).unwrap(), grant, "{text}");
    }
}
