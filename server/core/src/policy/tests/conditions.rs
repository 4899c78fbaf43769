//! Conditions: what is stricter, and that nobody hands on more than they were given.

use claviger_api::wire;
use claviger_api::wire::{ApprovalRule, GrantKind, Reach, Role};

use super::super::*;
use super::world::*;

/// Makes conditions looser in one.
type Loosen = fn(&mut Conditions);

/// A way to loosen each condition, from some to none and from strict to less strict.
#[test]
fn what_is_made_from_a_may_grant_is_no_looser_in_any_condition() {
    let bound = strict();
    let looser: [(Condition, Loosen); 17] = [
        (Condition::Actions, |c| c.actions.clear()),
        (Condition::Actions, |c| _ = c.actions.insert(Action::AccountRotate)),
        (Condition::Approvals, |c| c.approvals = None),
        (Condition::Approvals, |c| c.approvals = Some(ApprovalRule { count: 1, by_customer: true, reuse: false })),
        (Condition::Approvals, |c| c.approvals = Some(ApprovalRule { count: 3, by_customer: false, reuse: false })),
        (Condition::Approvals, |c| c.approvals = Some(ApprovalRule { count: 2, by_customer: true, reuse: true })),
        (Condition::FreshFactor, |c| c.fresh_factor = false),
        (Condition::Ticket, |c| c.ticket = None),
        (Condition::Ticket, |c| c.ticket = Some("INC-1".parse().unwrap())),
        (Condition::Networks, |c| c.networks.clear()),
        (Condition::Networks, |c| c.networks.push("198.51.100.0/24".parse().unwrap())),
        (Condition::Networks, |c| c.networks = vec!["192.0.0.0/16".parse().unwrap()]),
        (Condition::Hours, |c| c.hours = None),
        (Condition::Hours, |c| c.hours = Some("Mon-Sat 08:00-18:00 UTC".parse().unwrap())),
        (Condition::RevealsPerHour, |c| c.reveals_per_hour = None),
        (Condition::RevealsPerHour, |c| c.reveals_per_hour = Some(11)),
        (Condition::Reaches, |c| c.reaches = Some(Reach::TierZero)),
    ];
    assert_eq!(bound.looser_than(&bound), None);
    let within_reach = Conditions { reaches: bound.reaches, ..Conditions::default() };
    assert_eq!(bound.looser_than(&within_reach), None);
    assert_eq!(bound.looser_than(&Conditions::default()), Some(Condition::Reaches), "absent, it reaches less");
    for (condition, loosen) in looser {
        let mut loose = bound.clone();
        loosen(&mut loose);
        assert_eq!(loose.looser_than(&bound), Some(condition), "{loose:?}");
        assert_eq!(make(loose), Err(Denied::Exceeds(condition)));
    }
    let stricter = Conditions {
        actions: [Action::CheckoutCreate].into(),
        approvals: Some(ApprovalRule { count: 3, by_customer: true, reuse: false }),
        networks: vec!["192.0.2.128/25".parse().unwrap(), "192.0.2.7".parse().unwrap()],
        hours: Some("Mon 09:00-10:00, Fri 08:00-09:00 UTC".parse().unwrap()),
        reveals_per_hour: Some(1),
        reaches: None,
        ..bound
    };
    assert_eq!(make(stricter), Ok(()));
}

/// The conditions of a `may_grant` bind what is made from it, whichever of several is taken.
fn make(conditions: Conditions) -> Result<(), Denied> {
    let target = GrantTarget::Customer(customer(0));
    let own = Grant { conditions: strict(), ..may_grant(Role::Technician, target) };
    let elsewhere = grant(1, GrantKind::MayGrant, Role::Technician, GrantTarget::Customer(customer(1)));
    let wanted = WantedGrant {
        principal: principal(1),
        kind: GrantKind::MayUse,
        role: Role::Technician,
        target,
        max_checkout_seconds: HOUR,
        conditions,
        expires_at: after(1000),
    };
    authorize_grant(&POLICIES, &msp_user(0), &[own, elsewhere], &wanted, &usual(now())).map(drop)
}

fn strict() -> Conditions {
    Conditions {
        actions: [Action::CheckoutCreate, Action::CheckoutReveal].into(),
        approvals: Some(ApprovalRule { count: 2, by_customer: true, reuse: false }),
        fresh_factor: true,
        ticket: Some("INC-[0-9]+".parse().unwrap()),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        hours: Some("Mon-Fri 08:00-18:00 UTC".parse().unwrap()),
        reveals_per_hour: Some(10),
        reaches: Some(Reach::Sensitive),
    }
}

#[test]
fn stored_conditions_read_back_and_an_old_grant_has_none() {
    let bound = Grant { conditions: strict(), ..may_use(Role::Technician, GrantTarget::Operator) };
    let text = serde_json::to_string(&bound).unwrap();
    assert_eq!(serde_json::from_str::<Grant>(&text).unwrap(), bound, "{text}");
    let mut old = serde_json::to_value(may_use(Role::Technician, GrantTarget::Operator)).unwrap();
    assert_eq!(old.as_object_mut().unwrap().remove("conditions"), Some(serde_json::json!({})));
    assert_eq!(serde_json::from_value::<Grant>(old).unwrap().conditions, Conditions::default());
}

#[test]
fn what_is_asked_for_is_read_or_refused_by_name() {
    let technician = POLICIES.role(Role::Technician);
    assert!(technician.contains(&Action::CheckoutTakeOver) && !technician.contains(&Action::AccountSetSecret));
    let view = strict().view();
    assert_eq!(Conditions::read(&view, technician), Ok(strict()));
    let refused = |change: fn(&mut wire::Conditions)| {
        let mut wanted = view.clone();
        change(&mut wanted);
        Conditions::read(&wanted, technician).unwrap_err().into_iter().map(|bad| bad.condition).collect::<Vec<_>>()
    };
    assert_eq!(refused(|w| w.actions.push("checkout.borrow".to_owned())), [Condition::Actions]);
    assert_eq!(refused(|w| w.actions.push("account.set_secret".to_owned())), [Condition::Actions]);
    assert_eq!(
        refused(|w| w.approvals = Some(ApprovalRule { count: 0, by_customer: false, reuse: false })),
        [Condition::Approvals]
    );
    assert_eq!(
        refused(|w| w.approvals = Some(ApprovalRule { count: 4, by_customer: false, reuse: false })),
        [Condition::Approvals]
    );
    assert_eq!(refused(|w| w.networks = vec!["192.0.2.0/24".parse().unwrap(); 51]), [Condition::Networks]);
    assert_eq!(refused(|w| w.reveals_per_hour = Some(0)), [Condition::RevealsPerHour]);
    assert_eq!(refused(|w| w.reveals_per_hour = Some(1001)), [Condition::RevealsPerHour]);
}
