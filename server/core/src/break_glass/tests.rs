//! Every act in every state, and every walk of acts and time.

use claviger_api::wire::{ApprovalRule, Reach};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn person(n: u8) -> PrincipalId {
    PrincipalId::from_uuid(Uuid::from_u128(u128::from(n)))
}

fn grant() -> GrantId {
    GrantId::from_uuid(Uuid::from_u128(7))
}

fn customer() -> claviger_api::CustomerId {
    claviger_api::CustomerId::from_uuid(Uuid::from_u128(1))
}

fn checkout(n: u128) -> CheckoutId {
    CheckoutId::from_uuid(Uuid::from_u128(n))
}

fn yes(by: u8, at: Timestamp) -> Approval {
    Approval { by: person(by), of_customer: by >= 100, at, comment: String::new() }
}

fn wanted() -> Wanted {
    Wanted {
        id: BreakGlassId::from_uuid(Uuid::from_u128(1)),
        scope: GrantTarget::Customer(customer()),
        opener: person(0),
        reason: "an outage".to_owned(),
        ttl_seconds: 3600,
        rule: None,
        conditions: Conditions::default(),
        max_checkout_seconds: 8 * 3600,
    }
}

fn asked() -> BreakGlass {
    BreakGlass::ask(wanted(), now()).unwrap()
}

fn open() -> BreakGlass {
    asked().agree(yes(1, now()), grant(), now()).unwrap()
}

#[test]
fn one_alone_opens_nothing() {
    let glass = asked();
    assert_eq!((glass.state_name(), glass.open_at(now())), (BreakGlassState::Asked, None));
    assert_eq!(glass.clone().agree(yes(0, now()), grant(), now()), Err(Refusal::Own));
    assert_eq!(glass.clone().note(checkout(1), now()), Err(Refusal::Closed));
    let open = glass.agree(yes(1, now()), grant(), after(5)).unwrap();
    let opened = Opened { at: after(5), ends_at: after(3605), grant: grant() };
    assert_eq!(open.open_at(after(3604)), Some(opened), "its time begins when it opens");
    assert_eq!(open.open_at(after(3605)), None, "whatever the workers do");
    assert_eq!(open.clone().agree(yes(2, now()), grant(), after(6)), Err(Refusal::NothingToAgree));
    assert_eq!(open.agree(yes(2, now()), grant(), after(3605)), Err(Refusal::Closed));
}

#[test]
fn as_many_agree_as_the_customer_wants_and_one_of_its_own() {
    let rule = Some(ApprovalRule { count: 2, by_customer: true, reuse: false });
    let glass = BreakGlass::ask(Wanted { rule, ..wanted() }, now()).unwrap();
    let one = glass.agree(yes(1, now()), grant(), now()).unwrap();
    assert_eq!(one.clone().agree(yes(1, now()), grant(), now()), Err(Refusal::NothingToAgree), "one person is one yes");
    let two = one.clone().agree(yes(2, now()), grant(), now()).unwrap();
    assert_eq!(two.state_name(), BreakGlassState::Asked, "neither is the customer's own");
    assert_eq!(two.agree(yes(100, now()), grant(), now()).unwrap().state_name(), BreakGlassState::Open);
    assert_eq!(one.agree(yes(100, now()), grant(), now()).unwrap().state_name(), BreakGlassState::Open);
    let none = Some(ApprovalRule { count: 0, by_customer: false, reuse: false });
    let glass = BreakGlass::ask(Wanted { rule: none, ..wanted() }, now()).unwrap();
    assert_eq!(glass.rule.count, 1, "two people, whatever a rule says");
}

#[test]
fn nobody_agrees_in_time_and_it_lapses() {
    let late = later(now(), AGREE_WITHIN);
    assert_eq!(asked().fell_due(late - SignedDuration::from_millis(1)), None);
    assert_eq!(asked().fell_due(late), Some(FellDue::Close));
    assert_eq!(asked().agree(yes(1, late), grant(), late), Err(Refusal::Closed));
    let lapsed = asked().close(None, late).unwrap();
    assert_eq!(lapsed.state, State::Withdrawn(Closed { at: late, by: None }));
    let withdrawn = asked().close(Some(person(0)), after(1)).unwrap();
    assert_eq!(withdrawn.closed(), Some(Closed { at: after(1), by: Some(person(0)) }));
    assert!(withdrawn.due().is_none() && !withdrawn.is_pending(), "there is nothing to review");
    assert_eq!(withdrawn.review(person(9), String::new(), after(2)), Err(Refusal::Closed));
}

#[test]
fn what_a_glass_gives_is_bound_by_what_its_opener_may_and_by_its_own_length() {
    let conditions = Conditions {
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        fresh_factor: true,
        reaches: Some(Reach::Sensitive),
        ticket: Some("INC-[0-9]+".parse().unwrap()),
        hours: Some("Mon-Fri 08:00-18:00 UTC".parse().unwrap()),
        approvals: Some(ApprovalRule { count: 1, by_customer: false, reuse: true }),
        reveals_per_hour: Some(1),
        actions: [crate::policy::Action::BreakGlassOpen].into(),
    };
    let glass = BreakGlass::ask(Wanted { conditions: conditions.clone(), ..wanted() }, now()).unwrap();
    let kept = Conditions {
        fresh_factor: true,
        networks: conditions.networks,
        reaches: conditions.reaches,
        ..Conditions::default()
    };
    assert_eq!(glass.conditions, kept);
    assert_eq!(glass.max_checkout_seconds, 3600);
    assert_eq!(BreakGlass::ask(Wanted { ttl_seconds: 59, ..wanted() }, now()), Err(Refusal::Ttl));
    let long = Wanted { ttl_seconds: BREAK_GLASS_TTL_MAX_SECONDS + 1, ..wanted() };
    assert_eq!(BreakGlass::ask(long, now()), Err(Refusal::Ttl));
    let everywhere = Wanted { scope: GrantTarget::Operator, ..wanted() };
    assert_eq!(BreakGlass::ask(everywhere, now()), Err(Refusal::Everywhere));
}

#[test]
fn a_closed_glass_ends_its_checkouts_and_waits_for_somebody_who_had_no_part_in_it() {
    let glass = open().note(checkout(1), after(1)).unwrap().close(Some(person(1)), after(60)).unwrap();
    assert_eq!(
        (glass.state_name(), glass.fell_due(after(60))),
        (BreakGlassState::Closing, Some(FellDue::EndCheckouts))
    );
    assert_eq!(glass.clone().note(checkout(2), after(60)), Err(Refusal::Closed));
    assert_eq!(glass.clone().review(person(9), String::new(), after(61)), Err(Refusal::NotEnded));
    assert_eq!(glass.clone().close(Some(person(0)), after(61)), Err(Refusal::Closed));
    let glass = glass.ended();
    for involved in [0, 1] {
        assert_eq!(glass.clone().review(person(involved), String::new(), after(61)), Err(Refusal::Involved));
    }
    let due = later(after(60), REVIEW_WITHIN);
    assert_eq!((glass.fell_due(due), glass.is_overdue(due)), (Some(FellDue::Remind), true));
    assert!(!glass.is_overdue(due - SignedDuration::from_millis(1)));
    let told = glass.clone().reminded();
    assert_eq!((told.due(), told.is_overdue(due), told.is_pending()), (None, true, true), "told once, and not gone");
    let done = told.review(person(9), "as it should be".to_owned(), due).unwrap();
    assert_eq!(done.state_name(), BreakGlassState::Reviewed);
    assert!(!done.is_pending() && !done.is_overdue(due) && done.due().is_none());
    assert_eq!(done.clone().review(person(8), String::new(), due), Err(Refusal::Closed));
    assert_eq!(done.clone().ended(), done);
    assert_eq!(done.clone().reminded(), done);
}

#[test]
fn whoever_closes_it_late_did_not_close_it() {
    let glass = open().close(Some(person(1)), after(4000)).unwrap();
    assert_eq!(glass.closed(), Some(Closed { at: after(3600), by: None }));
}

#[test]
fn there_is_a_most_of_checkouts() {
    let mut glass = open();
    for n in 0..CHECKOUTS_MOST {
        glass = glass.note(checkout(n as u128), now()).unwrap();
    }
    assert_eq!(glass.note(checkout(0xFFFF), now()), Err(Refusal::CheckoutsFull));
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Agree(u8),
    Note,
    Close(u8),
    Review(u8),
    Wait(i64),
    Work,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let one = prop_oneof![
        (0_u8..3).prop_map(Act::Agree),
        Just(Act::Note),
        (0_u8..3).prop_map(Act::Close),
        (0_u8..4).prop_map(Act::Review),
        prop::sample::select(vec![1_i64, 1800, 3600, 7 * 86_400]).prop_map(Act::Wait),
        Just(Act::Work),
    ];
    prop::collection::vec(one, 1..30)
}

proptest! {
    /// Whatever people and time do: nothing is given but by two, nor past the end; and what was open is in the end
    /// reviewed by a third, or waits for that.
    #[test]
    fn whatever_happens_two_opened_it_and_it_ends(acts in acts()) {
        let (mut glass, mut time) = (asked(), now());
        for act in acts {
            let before = glass.clone();
            let next = match act {
                Act::Agree(by) => glass.clone().agree(yes(by, time), grant(), time),
                Act::Note => glass.clone().note(checkout(1), time),
                Act::Close(by) => glass.clone().close(Some(person(by)), time),
                Act::Review(by) => glass.clone().review(person(by), "done".to_owned(), time),
                Act::Wait(seconds) => {
                    time += SignedDuration::from_secs(seconds);
                    Ok(glass.clone())
                }
                Act::Work => match glass.fell_due(time) {
                    Some(FellDue::Close) => glass.clone().close(None, time),
                    Some(FellDue::EndCheckouts) => Ok(glass.clone().ended()),
                    Some(FellDue::Remind) => Ok(glass.clone().reminded()),
                    None => Ok(glass.clone()),
                },
            };
            glass = next.unwrap_or(glass);
            if let Some(opened) = glass.open_at(time) {
                prop_assert!(glass.agreed.iter().any(|yes| yes.by != glass.opener));
                prop_assert!(time < opened.ends_at && opened.ends_at <= opened.at + SignedDuration::from_secs(3600));
            }
            prop_assert!(glass.checkouts.len() <= before.checkouts.len() || before.open_at(time).is_some());
            if let State::Reviewed { review, .. } = &glass.state {
                prop_assert!(!glass.involves(review.by));
            }
            prop_assert_eq!(before.opened().is_some() && glass.opened().is_none(), false, "what was open stays known");
            prop_assert_eq!(glass.is_pending() && glass.due().is_none(), matches!(glass.state, State::InReview { told: true, .. }));
        }
    }
}
