//! Every role × verb × scope × thing, and at random.

use std::collections::BTreeSet;
use std::net::IpAddr;

use claviger_api::GrantId;
use claviger_api::wire::{ApprovalRule, GrantKind, PrincipalKind, Reach, Role};
use proptest::prelude::*;

use super::super::decide::{Ground, verdict};
use super::super::grant::ROLES;
use super::super::*;
use super::reference;
use super::world::*;

/// Role × verb × scope × thing in three customers, whole: about 50,000 decisions.
#[test]
fn anvil_canary_matrix() {
    let mut permitted = 0;
    let of_role = |role| scopes().into_iter().map(move |scope| may_use(role, scope));
    let of_glass = scopes().into_iter().map(|scope| open_glass(0, scope));
    {
        for grant in ROLES.into_iter().flat_map(of_role).chain(of_glass) {
            let (role, scope, grants) = (grant.role, grant.scope, [grant]);
            let subject = msp_user(0);
            let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
            for resource in resources() {
                for &action in Action::ALL {
                    let ours = verdict(&POLICIES, &compiled, &subject, action, &resource, &usual(now()));
                    let theirs = reference::verdict(&subject, &grants, action, &resource, &usual(now()));
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
    let permit = authorize::<CheckoutReveal>(&POLICIES, &compiled, &subject, &checkout(0, 0), &usual(now())).unwrap();
    assert_eq!(*permit.subject(), subject);
    assert_eq!(*permit.resource(), checkout(0, 0));
    assert_eq!(permit.customer(), Some(customer(0)));
    assert_eq!((permit.grant(), permit.max_checkout_seconds()), (Some(grants[0].id), 8 * HOUR));
    let refused = authorize::<CheckoutRevoke>(&POLICIES, &compiled, &subject, &checkout(0, 0), &usual(now()));
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

/// Questions asked of each random policy, and under how many circumstances each.
const QUESTIONS: usize = 8;
const CIRCUMSTANCES: usize = 8;

proptest! {
    // 2,000 policies × 8 questions × 8 circumstances.
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Compiled at one instant, asked at later ones, with grants that end before, between and after, under any
    /// conditions and circumstances; in any order, since answers are remembered.
    #[test]
    fn decides_like_the_reference(
        (subject, grants) in subjects().prop_flat_map(|subject| (Just(subject), any_grants())),
        questions in prop::collection::vec(questions(), QUESTIONS),
        arounds in prop::collection::vec(any_circumstances(), QUESTIONS * CIRCUMSTANCES),
    ) {
        let compiled = POLICIES.compile(&subject, &grants, now()).unwrap();
        for (number, around) in arounds.iter().enumerate() {
            let (action, resource) = questions[number % QUESTIONS];
            let around = around.circumstances();
            let ours = verdict(&POLICIES, &compiled, &subject, action, &resource, &around);
            let theirs = reference::verdict(&subject, &grants, action, &resource, &around);
            prop_assert_eq!(&ours, &theirs, "{} on {:?} {:?}", action, resource, around);
        }
        let ((action, resource), around) = (questions[0], arounds[0].circumstances());
        let ours = verdict(&POLICIES, &compiled, &subject, action, &resource, &around);
        let why = explain(&POLICIES, &compiled, &subject, action, &resource, &around);
        prop_assert_eq!(why.verdict, ours.clone().map(|ground| ground.grant), "an explanation is of the decision");
        if let Ok(Ground { grant: Some(grant), .. }) = ours {
            prop_assert_eq!(why.grants.get(&grant).map(Vec::len), Some(0), "a permit rests on one grant, wholly met");
        }
        for (grant, failing) in why.grants {
            let grant = grants.iter().find(|own| own.id == grant).unwrap();
            prop_assert_eq!(failing, reference::unmet(grant, subject.kind, action, &resource, &around));
        }
        for later in [0_i64, 2, 3_600_000] {
            let around = usual(after(later));
            let visible = visible_customers(&compiled, after(later));
            for c in 0..CUSTOMERS {
                let home = Resource::Customer(customer(c));
                let view = reference::verdict(&subject, &grants, Action::CustomerView, &home, &around);
                prop_assert_eq!(visible.contains(customer(c)), view.is_ok(), "lists see what a get sees");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hands_on_like_the_reference(
        (subject, grants) in subjects().prop_flat_map(|subject| (Just(subject), any_grants())),
        wanted in wanted_grants(),
    ) {
        let ours = authorize_grant(&POLICIES, &subject, &grants, &wanted, &usual(now()));
        prop_assert_eq!(ours.is_ok(), reference::may_make(&subject, &grants, &wanted, now()));
        if let Ok(permit) = ours {
            let own = grants.iter().find(|own| Some(own.id) == permit.grant()).unwrap();
            prop_assert_eq!((own.kind, own.role), (GrantKind::MayGrant, wanted.role));
            prop_assert!(own.expires_at >= wanted.expires_at);
        }
    }

    /// What is no looser lets nothing through that the other keeps out. To name a verb for a program is no loosening:
    /// the verb is of the role that may be handed on.
    #[test]
    fn whatever_the_stricter_lets_through_the_other_lets_through(
        (inner, outer) in (any_conditions(), any_conditions()),
        kind in prop::sample::select(vec![PrincipalKind::User, PrincipalKind::ServiceAccount]),
        (action, names_account) in (prop::sample::select(Action::ALL), any::<bool>()),
        around in any_circumstances(),
    ) {
        if inner.looser_than(&outer).is_none() {
            let id = grant(0, GrantKind::MayUse, Role::Technician, GrantTarget::Operator).id;
            let around = around.circumstances();
            let lets = |conditions: &Conditions| conditions.unmet(id, names_account, kind, action, &around).all(|one| one == Condition::NamedVerb);
            prop_assert!(!lets(&inner) || lets(&outer), "{inner:?} and {outer:?}");
            prop_assert!(inner.approvals.map_or(0, |rule| rule.count) >= outer.approvals.map_or(0, |rule| rule.count));
        }
    }
}

/// Circumstances that own what they speak of.
#[derive(Debug, Clone)]
struct Around {
    later: i64,
    source: Option<IpAddr>,
    factor: Option<i64>,
    ticket: Option<&'static str>,
    ttl_seconds: Option<u64>,
    mark: Mark,
    limits: Option<Limits>,
    spent: Vec<GrantId>,
}

impl Around {
    fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            source: self.source,
            second_factor_at: self.factor.map(|seconds| after(self.later - seconds * 1000)),
            ticket: self.ticket,
            ttl_seconds: self.ttl_seconds,
            mark: self.mark,
            limits: self.limits.as_ref(),
            spent: &self.spent,
            ..Circumstances::at(after(self.later))
        }
    }
}

fn questions() -> impl Strategy<Value = (Action, Resource)> {
    // Half of all are about checkouts: conditions are for them above all.
    let action = prop_oneof![
        prop::sample::select(Action::ALL),
        prop::sample::select(vec![
            Action::CheckoutCreate,
            Action::CheckoutReveal,
            Action::CheckoutExtend,
            Action::CheckoutTakeOver,
        ]),
    ];
    // Half of all things are a checkout or its account.
    let there = prop::sample::select(vec![checkout(0, 0), checkout(0, 1), checkout(1, 1), account_of(0)]);
    (action, prop_oneof![prop::sample::select(resources()), there])
}

fn any_circumstances() -> impl Strategy<Value = Around> {
    let source = prop::sample::select(vec!["192.0.2.7", "192.0.2.200", "198.51.100.1", "2001:db8::1"]);
    (
        // Sunday noon in UTC; six hours later, and Monday.
        prop::sample::select(vec![0_i64, 1, 2, 3_600_000, 21_600_000, 86_400_000]),
        prop::option::of(source.prop_map(|text| text.parse().unwrap())),
        prop::option::of(prop::sample::select(vec![0_i64, 299, 300, 3600])),
        prop::option::of(prop::sample::select(vec!["INC-1", "CHG-22", "INC-1 ", ""])),
        prop::option::of(prop::sample::select(vec![HOUR, 8 * HOUR, 24 * HOUR])),
        prop::sample::select(vec![Mark::Usual, Mark::Usual, Mark::Sensitive, Mark::TierZero]),
        any_limits(),
        prop::collection::vec(
            (0_u8..6).prop_map(|n| grant(n, GrantKind::MayUse, Role::Auditor, GrantTarget::Operator).id),
            0..3,
        ),
    )
        .prop_map(|(later, source, factor, ticket, ttl_seconds, mark, limits, spent)| Around {
            later,
            source,
            factor,
            ticket,
            ttl_seconds,
            mark,
            limits,
            spent,
        })
}

/// Half of all customers set none; of one in ten they are not known.
fn any_limits() -> impl Strategy<Value = Option<Limits>> {
    let most = prop::option::of(prop::sample::select(vec![HOUR, 8 * HOUR]));
    let some = (most, any_conditions()).prop_map(|(max_checkout_seconds, conditions)| Limits {
        max_checkout_seconds,
        conditions: Conditions { actions: BTreeSet::new(), reveals_per_hour: None, reaches: None, ..conditions },
        kit: None,
    });
    prop_oneof![5 => Just(Some(Limits::default())), 4 => some.prop_map(Some), 1 => Just(None)]
}

/// Each condition is there in one grant of three or four.
fn any_conditions() -> impl Strategy<Value = Conditions> {
    let actions = vec![Action::CheckoutCreate, Action::CheckoutReveal, Action::CheckoutExtend, Action::AccountRotate];
    let rule = (1_u8..=3, any::<bool>(), any::<bool>()).prop_map(|(count, by_customer, reuse)| ApprovalRule {
        count,
        by_customer,
        reuse,
    });
    let nets = vec!["192.0.2.0/24", "192.0.2.128/25", "192.0.2.0/25", "0.0.0.0/0", "2001:db8::/32"];
    let weeks = vec![
        "Sun 12:00-13:00 UTC",
        "Sat-Sun 00:00-24:00 UTC",
        "Mon-Fri 08:00-18:00 UTC",
        "Sun 13:00-14:00 Europe/Berlin",
        "Mon-Sun 00:00-24:00 Asia/Tokyo",
    ];
    (
        prop_oneof![3 => Just(Vec::new()), 1 => prop::sample::subsequence(actions, 1..4)],
        prop::option::weighted(0.3, rule),
        prop::bool::weighted(0.25),
        prop::option::weighted(0.3, prop::sample::select(vec!["INC-[0-9]+", "(INC|CHG)-[0-9]+"])),
        prop_oneof![3 => Just(Vec::new()), 1 => prop::sample::subsequence(nets, 1..3)],
        prop::option::weighted(0.3, prop::sample::select(weeks)),
        prop::option::weighted(0.3, 1_u32..4),
        prop::option::weighted(0.3, prop::sample::select(vec![Reach::Sensitive, Reach::TierZero])),
    )
        .prop_map(|(actions, approvals, fresh_factor, ticket, networks, hours, reveals_per_hour, reaches)| {
            Conditions {
                actions: actions.into_iter().collect(),
                approvals,
                fresh_factor,
                ticket: ticket.map(|text| text.parse().unwrap()),
                networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
                hours: hours.map(|text| text.parse().unwrap()),
                reveals_per_hour,
                reaches,
            }
        })
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
        prop::sample::select(vec![-1_i64, 0, 1, 2, 3_600_000, 172_800_000]),
        prop_oneof![1 => Just(Conditions::default()), 2 => any_conditions()],
    );
    prop::collection::vec(one, 0..6).prop_map(|grants| {
        let numbered = grants.into_iter().zip(0_u8..);
        numbered
            .map(|((kind, role, scope, most, end, conditions), n)| Grant {
                max_checkout_seconds: most,
                conditions,
                expires_at: after(end),
                // Every other one of those who break glass has broken it.
                break_glass: open_glass(n, scope)
                    .break_glass
                    .filter(|_| role == Role::BreakGlass && kind == GrantKind::MayUse && n % 2 == 0),
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
        prop_oneof![1 => Just(Conditions::default()), 2 => any_conditions()],
    )
        .prop_map(|(to, kind, role, target, most, end, conditions)| WantedGrant {
            principal: principal(to),
            kind,
            role,
            target,
            max_checkout_seconds: most,
            conditions,
            expires_at: after(end),
        })
}
