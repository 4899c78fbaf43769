//! Sensitive verbs: a person proves a second factor again, a program does them by name alone.

use std::collections::BTreeSet;

use claviger_api::wire::{GrantKind, PrincipalKind, Reach, Role};
use jiff::SignedDuration;

use super::super::decide::verdict;
use super::super::grant::ROLES;
use super::super::*;
use super::world::*;

fn sensitive() -> impl Iterator<Item = Action> {
    Action::ALL.iter().copied().filter(|action| action.weight() == Weight::Sensitive)
}

/// Somebody who has every role everywhere.
fn every_role(kind: PrincipalKind, actions: &[Action]) -> (Subject, Vec<Grant>) {
    let conditions = Conditions { actions: actions.iter().copied().collect(), ..Conditions::default() };
    let all = ROLES.into_iter().zip(0_u8..).map(|(role, n)| Grant {
        conditions: conditions.clone(),
        ..grant(n, GrantKind::MayUse, role, GrantTarget::Operator)
    });
    let open = Grant { conditions: conditions.clone(), ..open_glass(100, GrantTarget::Operator) };
    (Subject { kind, ..msp_user(0) }, all.chain([open]).collect())
}

/// Every verb of the list on every thing, by somebody who has every role: with a factor of 299 seconds ago all is as
/// ever; with one of 300, just what is sensitive is refused, and says for what.
#[test]
fn anvil_fresh_auth_every_sensitive_verb_wants_a_fresh_factor_of_a_person() {
    let (subject, grants) = every_role(PrincipalKind::User, &[]);
    let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
    let mut refused = BTreeSet::new();
    for &action in Action::ALL {
        for resource in resources() {
            let proven = |seconds_ago| Circumstances {
                second_factor_at: Some(now() - SignedDuration::from_secs(seconds_ago)),
                ..usual(now())
            };
            let ask = |around| verdict(&POLICIES, &compiled, &subject, action, &resource, &around);
            let on_sensitive = |around| ask(Circumstances { mark: Mark::Sensitive, ..around });
            let (fresh, stale) = (on_sensitive(proven(299)), on_sensitive(proven(300)));
            if action.weight() == Weight::OfSensitive {
                assert_eq!(ask(proven(299)), ask(proven(300)), "{action} on {resource:?}, a usual account");
            }
            if fresh.is_ok() && action.weight() != Weight::Usual {
                let unmet = matches!(stale, Err(Denied::Unmet { condition: Condition::SensitiveVerb, .. }));
                assert!(unmet, "{action} on {resource:?}: {stale:?}");
                refused.insert(action);
            } else {
                assert_eq!(fresh, stale, "{action} on {resource:?}");
            }
        }
    }
    let weighty = Action::ALL.iter().copied().filter(|action| action.weight() != Weight::Usual);
    // To grant and to limit are asked in tests of their own.
    let others = [Action::GrantMake, Action::CustomerLimit];
    let asked: BTreeSet<Action> = weighty.filter(|action| !others.contains(action)).collect();
    assert_eq!(refused, asked, "every sensitive verb was permitted to somebody, and refused");
}

#[test]
fn anvil_fresh_auth_making_a_grant_wants_a_fresh_factor() {
    assert_eq!(Action::GrantMake.weight(), Weight::Sensitive);
    let own = [may_grant(Role::Technician, GrantTarget::Operator)];
    let wanted = WantedGrant {
        principal: principal(1),
        kind: GrantKind::MayUse,
        role: Role::Technician,
        target: GrantTarget::Customer(customer(0)),
        max_checkout_seconds: HOUR,
        conditions: Conditions::default(),
        expires_at: after(1000),
    };
    let make = |kind, seconds_ago| {
        let second_factor_at = Some(now() - SignedDuration::from_secs(seconds_ago));
        let around = Circumstances { second_factor_at, ..usual(now()) };
        authorize_grant(&POLICIES, &Subject { kind, ..msp_user(0) }, &own, &wanted, &around).map(drop)
    };
    assert_eq!(make(PrincipalKind::User, 299), Ok(()));
    let condition = Condition::SensitiveVerb;
    assert_eq!(make(PrincipalKind::User, 300), Err(Denied::Unmet { condition, grant: own[0].id }));
    assert_eq!(make(PrincipalKind::ServiceAccount, 0), Err(Denied::Forbidden), "programs hand nothing on");
}

/// A program has no second factor: whoever makes its grant says by name which sensitive verbs it may do.
#[test]
fn anvil_fresh_auth_a_program_does_a_sensitive_verb_by_name_alone() {
    let (subject, broad) = every_role(PrincipalKind::ServiceAccount, &[]);
    let (_, named) = every_role(PrincipalKind::ServiceAccount, &sensitive().collect::<Vec<_>>());
    let ask = |grants: &[Grant], action, resource: &Resource| ask(&subject, grants, action, resource, now());
    let person = |action, resource: &Resource| super::world::ask(&msp_user(0), &broad, action, resource, now());
    let mut by_name = BTreeSet::new();
    let of_people =
        [Action::BreakGlassOpen, Action::BreakGlassAgree, Action::BreakGlassReview, Action::AccountRevealUnresolved];
    for &action in Action::ALL {
        for resource in resources() {
            let (usual, by_its_name) = (ask(&broad, action, &resource), ask(&named, action, &resource));
            if action.weight() == Weight::Sensitive {
                let role = person(action, &resource).is_ok();
                assert!(usual.is_err(), "{action} on {resource:?}");
                // No program says yes to another's request, nor breaks glass.
                let may = role && action != Action::CheckoutApprove && !of_people.contains(&action);
                assert_eq!(by_its_name.is_ok(), may, "{action} on {resource:?}");
                by_name.extend(may.then_some(action));
            // What is done by hand is done by people.
            } else if ![Action::CheckoutApprove, Action::RotationPerform].contains(&action) {
                assert_eq!(usual.is_ok(), person(action, &resource).is_ok(), "{action} on {resource:?}");
            }
        }
    }
    let never = [Action::GrantMake, Action::CheckoutApprove, Action::CustomerLimit];
    let never = |action: &Action| never.contains(action) || of_people.contains(action);
    assert_eq!(by_name, sensitive().filter(|action| !never(action)).collect());
}

/// An account of tier 0 is reached by a grant for that very account, or by one that says so; a sensitive one by any of a
/// person's, and of a program's by those that say so.
#[test]
fn a_marked_account_is_reached_by_a_grant_that_says_so() {
    let (whole, one) = (GrantTarget::Customer(customer(0)), GrantTarget::Account(customer(0), system(0), account(0)));
    let here = Resource::from(one);
    let ways = [
        (Action::CheckoutCreate, here),
        (Action::CheckoutTakeOver, checkout(0, 1)),
        (Action::CheckoutReveal, checkout(0, 0)),
        (Action::CheckoutExtend, checkout(0, 0)),
    ];
    for (kind, scope, reaches, sensitive, tier_zero) in [
        (PrincipalKind::User, whole, None, true, false),
        (PrincipalKind::User, whole, Some(Reach::Sensitive), true, false),
        (PrincipalKind::User, whole, Some(Reach::TierZero), true, true),
        (PrincipalKind::User, one, None, true, true),
        (PrincipalKind::ServiceAccount, whole, None, false, false),
        (PrincipalKind::ServiceAccount, whole, Some(Reach::Sensitive), true, false),
        (PrincipalKind::ServiceAccount, whole, Some(Reach::TierZero), true, true),
        (PrincipalKind::ServiceAccount, one, None, true, true),
    ] {
        let subject = Subject { kind, ..msp_user(0) };
        let conditions = Conditions { reaches, ..Conditions::default() };
        let grants = [Grant { conditions, ..may_use(Role::Technician, scope) }];
        let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
        for (mark, reached) in [(Mark::Usual, true), (Mark::Sensitive, sensitive), (Mark::TierZero, tier_zero)] {
            let around = Circumstances { mark, ..usual(now()) };
            for (action, resource) in &ways {
                let given = verdict(&POLICIES, &compiled, &subject, *action, resource, &around);
                assert_eq!(given.is_ok(), reached, "{kind:?} by {scope:?} {reaches:?}: {action}, {mark:?}");
            }
            for action in [Action::AccountView, Action::AccountRotate, Action::AccountVerify] {
                assert!(verdict(&POLICIES, &compiled, &subject, action, &here, &around).is_ok(), "{action}, {mark:?}");
            }
        }
    }
    let unknown = ask(&msp_user(0), &[may_use(Role::Technician, whole)], Action::CheckoutCreate, &here, now());
    assert!(unknown.is_ok());
    let compiled = POLICIES.compile(&msp_user(0), &[may_use(Role::Technician, whole)], now()).unwrap();
    let bare = Circumstances { mark: Circumstances::at(now()).mark, ..usual(now()) };
    let unknown = verdict(&POLICIES, &compiled, &msp_user(0), Action::CheckoutCreate, &here, &bare);
    assert!(unknown.is_err(), "an account of which nothing is known is as weighty as can be");
}

/// The page for reviewers has each of them, and no other.
#[test]
fn the_page_lists_the_sensitive_verbs() {
    let page = include_str!("../../../../../docs/access.md");
    let section = page.split("## Sensitive verbs").nth(1).unwrap().split("\n## ").next().unwrap();
    let first_column = |line: &str| line.strip_prefix("| ")?.split(" | ").next().map(str::to_owned);
    let rows: Vec<String> = section.lines().filter_map(first_column).collect();
    let listed: BTreeSet<Action> = rows.iter().flat_map(|cell| cell.split('`')).filter_map(Action::named).collect();
    assert_eq!(listed, sensitive().collect());
}
