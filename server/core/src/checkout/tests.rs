use claviger_api::wire::{Claim, OnConflict};
use uuid::Uuid;

use super::*;

fn wanted(n: u128, on_conflict: OnConflict) -> Wanted {
    Wanted {
        id: CheckoutId::from_uuid(Uuid::from_u128(n)),
        system: SystemId::from_uuid(Uuid::from_u128(7)),
        account: AccountId::from_uuid(Uuid::from_u128(8)),
        principal: PrincipalId::from_uuid(Uuid::from_u128(100 + n)),
        reason: "outage".to_owned(),
        ticket: None,
        ttl_seconds: 600,
        most_seconds: 3600,
        claim: Claim::Now,
        on_conflict,
        not_before: None,
        rule: None,
        earlier: None,
        under_glass: None,
    }
}

fn account() -> AccountState {
    let mut account = AccountState::default();
    account.secrets.adopt();
    account
}

fn new(decision: Result<Decision, Refusal>) -> Checkout {
    match decision {
        Ok(Decision::New(checkout)) => *checkout,
        other => panic!("{other:?}"),
    }
}

/// A checkout in use since then.
pub(super) fn active(start: Timestamp, ttl_seconds: u64) -> Checkout {
    let wanted = Wanted { ttl_seconds, ..wanted(1, OnConflict::Fail) };
    new(request(wanted, &mut AccountState::default(), 1, false, start))
}

const T0: Timestamp = Timestamp::UNIX_EPOCH;

fn after(seconds: i64) -> Timestamp {
    T0 + SignedDuration::from_secs(seconds)
}

#[test]
fn an_exclusive_account_has_one_holder_and_a_queue_in_order() {
    let mut account = account();
    let first = new(request(wanted(1, OnConflict::Fail), &mut account, 1, true, T0));
    assert_eq!(request(wanted(2, OnConflict::Fail), &mut account, 1, true, T0), Err(Refusal::Held));
    let second = new(request(wanted(2, OnConflict::Wait), &mut account, 1, true, T0));
    let third = new(request(wanted(3, OnConflict::Wait), &mut account, 1, true, T0));
    assert_eq!(account.waiting, [second.id, third.id]);

    let ended = first.end(EndCause::CheckedIn, true, &mut account, after(5)).unwrap();
    assert!(account.seats.is_empty());
    assert!(matches!(ended.state, State::Ended { cause: EndCause::CheckedIn, at, .. } if at == after(5)));
    assert_eq!(
        request(wanted(4, OnConflict::Fail), &mut account, 1, true, T0),
        Err(Refusal::Held),
        "nobody jumps the queue"
    );
    let second = second.turn(&mut account, after(6));
    assert_eq!(second.state, State::Approved { claim_until: later(after(6), CLAIM_WINDOW) });
    assert_eq!(account.waiting, [third.id]);
}

#[test]
fn reuse_answers_the_callers_own_and_nobody_elses() {
    let mut account = account();
    let own = new(request(wanted(1, OnConflict::Fail), &mut account, 1, true, T0));
    assert_eq!(request(wanted(1, OnConflict::Reuse), &mut account, 1, true, T0), Ok(Decision::Reuse(own.id)));
    assert_eq!(request(wanted(2, OnConflict::Reuse), &mut account, 1, true, T0), Err(Refusal::Held));
}

#[test]
fn anvil_lease_edges() {
    let mut account = account();
    let checkout = new(request(wanted(1, OnConflict::Fail), &mut account, 1, true, T0));
    assert!(checkout.clone().reveal(1, |_| false, after(599)).is_ok());
    for late in [600, 601, 602, 86_400] {
        assert_eq!(checkout.clone().reveal(1, |_| false, after(late)), Err(Refusal::Ended), "at {late}");
        assert_eq!(checkout.clone().extend(3600, after(late)), Err(Refusal::Ended), "no life after the end");
        assert_eq!(checkout.overdue(after(late)), Some(EndCause::Expired));
    }
    assert_eq!(checkout.overdue(after(599)), None);
    // Extension counts from the start of use and never passes the grant's most.
    let extended = checkout.clone().extend(3600, after(500)).unwrap();
    assert_eq!(extended.due(), Some(after(3600)));
    for ttl_seconds in [0, 59, 3601, u64::MAX] {
        assert_eq!(checkout.clone().extend(ttl_seconds, after(1)), Err(Refusal::Ttl { most_seconds: 3600 }));
        let mut bad = wanted(9, OnConflict::Wait);
        bad.ttl_seconds = ttl_seconds;
        assert_eq!(request(bad, &mut account, 1, true, T0), Err(Refusal::Ttl { most_seconds: 3600 }));
    }
    // The end is the moment that was due, not the moment it was noticed.
    let ended = extended.end(EndCause::Expired, true, &mut account, after(9999)).unwrap();
    assert_eq!(ended.end_of_right(), Some(after(3600)));
}

#[test]
fn a_claim_later_starts_its_time_at_the_first_reveal_and_lapses_unclaimed() {
    let mut account = account();
    let mut later_please = wanted(1, OnConflict::Fail);
    later_please.claim = Claim::Later;
    let checkout = new(request(later_please, &mut account, 1, true, T0));
    let claimed = checkout.clone().reveal(1, |_| false, after(100)).unwrap();
    assert_eq!(claimed.due(), Some(after(700)));
    let window = after(CLAIM_WINDOW.as_secs());
    assert_eq!(checkout.clone().reveal(1, |_| false, window), Err(Refusal::Ended));
    assert_eq!(checkout.overdue(window), Some(EndCause::Lapsed));
}

#[test]
fn only_what_was_seen_must_be_revoked() {
    let mut account = account();
    let unseen = new(request(wanted(1, OnConflict::Fail), &mut account, 1, true, T0));
    let unseen = unseen.end(EndCause::CheckedIn, true, &mut account, after(1)).unwrap();
    assert!(matches!(&unseen.state, State::Ended { revocation, .. } if revocation.state == RevocationState::NotNeeded));
    assert!(account.to_revoke.is_empty());

    let seen = new(request(wanted(2, OnConflict::Fail), &mut account, 1, true, after(2)));
    let seen =
        seen.reveal(1, |_| false, after(3)).unwrap().end(EndCause::CheckedIn, true, &mut account, after(4)).unwrap();
    assert_eq!(account.to_revoke, [seen.id]);
    assert_eq!(account.availability(1, true), Availability::Rotating, "not offered before its rotation is verified");
    assert_eq!(seen.end(EndCause::CheckedIn, true, &mut account, after(5)), Err(Refusal::Ended));
}

#[test]
fn an_account_without_a_secret_cannot_even_be_waited_for() {
    let mut empty = AccountState::default();
    let refused = Err(Refusal::NotAvailable(Availability::Empty));
    assert_eq!(request(wanted(1, OnConflict::Wait), &mut empty, 1, true, T0), refused);
    assert!(request(wanted(1, OnConflict::Fail), &mut empty, 1, false, T0).is_ok(), "an ephemeral account needs none");
}

fn under_glass(n: u128, until: i64) -> Wanted {
    let id = BreakGlassId::from_uuid(Uuid::from_u128(9));
    Wanted { under_glass: Some(UnderGlass { id, until: after(until) }), ..wanted(n, OnConflict::Fail) }
}

#[test]
fn no_use_outlives_its_glass() {
    let mut account = account();
    let held = new(request(under_glass(1, 300), &mut account, 1, true, T0));
    assert!(matches!(held.state, State::Active(used) if used.expires_at == after(300)), "600 s were asked for");
    assert_eq!(held.clone().extend(400, after(1)), Err(Refusal::BeyondGlass));
    assert!(held.extend(200, after(1)).is_ok());
    let later = Wanted { claim: Claim::Later, ..under_glass(2, 300) };
    let later = new(request(later, &mut AccountState { seats: Vec::new(), ..account }, 1, true, T0));
    let claimed = later.reveal(1, |_| true, after(200)).unwrap();
    assert!(matches!(claimed.state, State::Active(used) if used.expires_at == after(300)));
}

#[test]
fn what_is_unresolved_is_held_while_its_versions_are_seen() {
    use crate::account::Running;
    use claviger_api::wire::CandidateState;

    let mut account = account();
    let refused = |account: &mut AccountState| request_unresolved(under_glass(1, 300), account, 1, T0).unwrap_err();
    assert_eq!(refused(&mut account), Refusal::NotUnresolved, "its secret is known");
    let running = |unresolved| Some(Running { id: RotationId::from_uuid(Uuid::nil()), settled: false, unresolved });
    account.rotation = running(false);
    assert_eq!(refused(&mut account), Refusal::NotUnresolved, "it is being found out");
    account.rotation = running(true);
    for state in [CandidateState::SentUnknown, CandidateState::NeverSent] {
        let version = account.secrets.append(1);
        account.secrets.mark(version, state);
    }
    assert_eq!(
        request(under_glass(2, 300), &mut account, 1, true, T0),
        Err(Refusal::NotAvailable(Availability::Unresolved))
    );
    let held = new(request_unresolved(under_glass(1, 300), &mut account, 1, T0));
    assert_eq!(account.seats.len(), 1);
    assert_eq!(request_unresolved(under_glass(1, 300), &mut account, 1, T0), Ok(Decision::Reuse(held.id)));
    assert_eq!(request_unresolved(under_glass(2, 300), &mut account, 1, T0), Err(Refusal::Held));
    let (held, shown) = held.reveal_unresolved(&account, after(299)).unwrap();
    assert_eq!((shown.as_slice(), held.reveals), ([2, 1].as_slice(), 1), "nobody was told of the third");
    let (held, _) = held.reveal_unresolved(&account, after(299)).unwrap();
    assert_eq!((held.seen.as_slice(), held.reveals), ([2, 1].as_slice(), 2));
    assert_eq!(held.clone().reveal_unresolved(&account, after(300)).unwrap_err(), Refusal::Ended);
    held.end(EndCause::Expired, true, &mut account, after(300)).unwrap();
    assert_eq!(account.to_revoke.len(), 1, "the next rotation revokes what was seen");
}
