//! What a customer wants of everybody: on top of any grant, and nobody's to lift but its own.

use claviger_api::wire::{ApprovalRule, GrantKind, PrincipalKind, Role};

use super::super::decide::verdict;
use super::super::grant::ROLES;
use super::super::*;
use super::world::*;

#[test]
fn anvil_privilege_closure_only_the_customers_own_administrator_sets_its_limits() {
    let own = Subject { customer: Some(customer(0)), ..msp_user(0) };
    let program = Subject { kind: PrincipalKind::ServiceAccount, ..own };
    let stranger = Subject { customer: Some(customer(1)), ..own };
    let (here, there) = (Resource::Customer(customer(0)), Resource::Customer(customer(1)));
    for role in ROLES {
        for scope in [GrantTarget::Operator, GrantTarget::Customer(customer(0))] {
            for kind in [GrantKind::MayUse, GrantKind::MayGrant] {
                let grants = [grant(0, kind, role, scope)];
                let limit = |subject: &Subject, on: &Resource| ask(subject, &grants, Action::CustomerLimit, on, now());
                let may = role == Role::CustomerAdministrator && kind == GrantKind::MayUse;
                assert_eq!(limit(&own, &here).is_ok(), may, "{role:?} {kind:?} at {scope:?}");
                for (other, place) in [(&msp_user(0), &here), (&program, &here), (&stranger, &here), (&own, &there)] {
                    assert!(limit(other, place).is_err(), "{other:?} as {role:?} at {scope:?}");
                }
            }
        }
    }
}

#[test]
fn limits_bind_every_grant_and_the_stricter_of_two_counts() {
    let rule = |count, by_customer, reuse| Some(ApprovalRule { count, by_customer, reuse });
    let limits = Limits {
        max_checkout_seconds: Some(HOUR),
        conditions: Conditions {
            approvals: rule(1, true, true),
            ticket: Some("INC-[0-9]+".parse().unwrap()),
            ..Conditions::default()
        },
        kit: None,
    };
    let conditions = Conditions { approvals: rule(2, false, false), ..Conditions::default() };
    let grants = [Grant { conditions, ..may_use(Role::Technician, GrantTarget::Operator) }];
    let compiled = POLICIES.compile(&msp_user(0), &grants, now()).unwrap();
    let around = Circumstances { limits: Some(&limits), ticket: Some("INC-7"), ..usual(now()) };
    let account = Resource::Account(customer(0), system(0), account(0));
    let ask =
        |action, resource: &Resource, around| verdict(&POLICIES, &compiled, &msp_user(0), action, resource, &around);
    let ground = ask(Action::CheckoutCreate, &account, around).unwrap();
    assert_eq!((ground.max_checkout_seconds, ground.approvals), (HOUR, rule(2, true, false)));
    let without = Circumstances { ticket: None, ..around };
    assert_eq!(ask(Action::CheckoutCreate, &account, without), Err(Denied::Limited(Condition::Ticket)));
    let unknown = Circumstances { limits: None, ..around };
    assert_eq!(ask(Action::CheckoutCreate, &account, unknown), Err(Denied::Forbidden), "what is not known is refused");
    assert!(ask(Action::AccountView, &account, unknown).is_ok(), "to look is never bound");
}

#[test]
fn a_limit_is_read_or_refused_by_name() {
    use claviger_api::wire;
    let wanted =
        |conditions, max_checkout_seconds| wire::CustomerLimits { max_checkout_seconds, conditions, kit: None };
    let fresh = wire::Conditions { fresh_factor: true, ..wire::Conditions::default() };
    let read = Limits::read(&wanted(fresh.clone(), Some(HOUR))).unwrap();
    assert_eq!(read.view(), wanted(fresh.clone(), Some(HOUR)));
    let refused = |wanted: wire::CustomerLimits| {
        Limits::read(&wanted).unwrap_err().into_iter().map(|bad| bad.condition).collect::<Vec<_>>()
    };
    assert_eq!(refused(wanted(fresh.clone(), Some(59))), [Condition::MaxCheckoutSeconds]);
    let of_a_grant = wire::Conditions {
        actions: vec!["checkout.create".to_owned()],
        reveals_per_hour: Some(3),
        reaches: Some(wire::Reach::TierZero),
        ..fresh
    };
    let all = [Condition::Actions, Condition::RevealsPerHour, Condition::Reaches];
    assert_eq!(refused(wanted(of_a_grant, None)), all);
}
