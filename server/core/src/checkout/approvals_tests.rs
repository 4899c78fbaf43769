//! Four eyes: single rules, and a walk through every reachable state.

use std::collections::{BTreeSet, VecDeque};

use claviger_api::wire::{ApprovalRule, Claim, OnConflict};
use uuid::Uuid;

use super::*;

const T0: Timestamp = Timestamp::UNIX_EPOCH;
const HOLDER: u128 = 1;
const RULE: ApprovalRule = ApprovalRule { count: 2, by_customer: true, reuse: true };

fn person(n: u128) -> PrincipalId {
    PrincipalId::from_uuid(Uuid::from_u128(n))
}

fn after(seconds: i64) -> Timestamp {
    T0 + SignedDuration::from_secs(seconds)
}

fn wanted(n: u128) -> Wanted {
    Wanted {
        id: CheckoutId::from_uuid(Uuid::from_u128(1000 + n)),
        system: SystemId::from_uuid(Uuid::from_u128(7)),
        account: AccountId::from_uuid(Uuid::from_u128(8)),
        principal: person(n),
        reason: "outage".to_owned(),
        ticket: Some("T-1".to_owned()),
        ttl_seconds: 600,
        most_seconds: 3600,
        claim: Claim::Now,
        on_conflict: OnConflict::Fail,
        not_before: None,
        rule: Some(RULE),
        earlier: None,
        under_glass: None,
    }
}

fn account() -> AccountState {
    let mut account = AccountState::default();
    account.secrets.adopt();
    account
}

fn new(wanted: Wanted, account: &mut AccountState, now: Timestamp) -> Checkout {
    match request(wanted, account, 1, true, now) {
        Ok(Decision::New(checkout)) => *checkout,
        other => panic!("{other:?}"),
    }
}

/// A yes of this person; those from 10 on are the customer's own.
fn yes(by: u128, at: Timestamp) -> Approval {
    Approval { by: person(by), of_customer: by >= 10, at, comment: "go on".to_owned() }
}

fn approved(checkout: Checkout, account: &mut AccountState, by: &[u128], now: Timestamp) -> Checkout {
    by.iter().fold(checkout, |checkout, by| checkout.approve(yes(*by, now), account, 1, true, now).unwrap())
}

#[test]
fn a_request_waits_for_enough_others_one_of_them_the_customers_own() {
    let mut account = account();
    let asked = new(wanted(HOLDER), &mut account, T0);
    assert_eq!(asked.state, State::Pending { until: later(T0, DECIDE_WITHIN) });
    assert!(account.seats.is_empty() && account.waiting.is_empty(), "no seat, no place before");
    assert_eq!(asked.clone().reveal(1, |_| true, after(1)), Err(Refusal::NotApproved));
    let own = asked.clone().approve(yes(HOLDER, T0), &mut account, 1, true, T0);
    assert_eq!(own, Err(Refusal::OwnRequest), "nobody approves their own");
    let two_of_the_msp = approved(asked.clone(), &mut account.clone(), &[2, 3], after(5));
    assert!(matches!(two_of_the_msp.state, State::Pending { .. }), "none is the customer's own");
    let twice = approved(asked.clone(), &mut account, &[10], after(5));
    let again = twice.clone().approve(yes(10, T0), &mut account, 1, true, after(6));
    assert_eq!(again, Err(Refusal::NothingToDecide), "one person is one yes");
    let enough = approved(twice, &mut account, &[2], after(7));
    assert_eq!(enough.state, State::Approved { claim_until: later(after(7), CLAIM_WINDOW) });
    assert_eq!((account.seats.len(), account.asking.len()), (1, 0));
    let used = enough.reveal(1, |_| true, after(100)).unwrap();
    assert_eq!(used.due(), Some(after(700)), "the time of use starts at the first reveal");
}

#[test]
fn an_approval_of_whoever_lost_the_right_does_not_count_at_the_claim() {
    let mut account = account();
    let asked = new(wanted(HOLDER), &mut account, T0);
    let granted = approved(asked, &mut account, &[10, 2], T0);
    let without_2 = |by| by != person(2);
    assert_eq!(granted.clone().reveal(1, without_2, after(1)), Err(Refusal::NotApproved));
    assert_eq!(granted.clone().reveal(1, |by| by != person(10), after(1)), Err(Refusal::NotApproved));
    // Another's yes stands in, as long as the window is open.
    let granted = granted.approve(yes(3, after(2)), &mut account, 1, true, after(2)).unwrap();
    let used = granted.reveal(1, without_2, after(3)).unwrap();
    assert!(used.reveal(1, |_| false, after(4)).is_ok(), "what is in use was claimed by right");
}

#[test]
fn an_approval_is_for_exactly_what_was_asked() {
    let mut account = account();
    let asked = new(wanted(HOLDER), &mut account, T0);
    let granted = approved(asked, &mut account, &[10, 2], T0);
    let changed: [fn(&mut Checkout); 6] = [
        |c| c.account = AccountId::from_uuid(Uuid::from_u128(99)),
        |c| c.principal = person(5),
        |c| "something else".clone_into(&mut c.reason),
        |c| c.ticket = None,
        |c| c.ttl_seconds = 601,
        |c| c.not_before = Some(after(9)),
    ];
    for change in changed {
        let mut other = granted.clone();
        change(&mut other);
        assert_eq!(other.reveal(1, |_| true, after(1)), Err(Refusal::NotApproved));
    }
    let used = granted.reveal(1, |_| true, after(1)).unwrap();
    assert_eq!(used.clone().extend(601, after(2)), Err(Refusal::BeyondApproval), "more time needs a new approval");
    assert!(used.extend(300, after(2)).is_ok());
}

#[test]
fn an_approved_request_burns_no_claim_window_while_it_waits_for_its_turn() {
    let mut account = account();
    let holder = new(Wanted { rule: None, ..wanted(5) }, &mut account, T0);
    let asked = new(wanted(HOLDER), &mut account, T0);
    let queued = approved(asked, &mut account, &[10, 2], after(10));
    assert_eq!(queued.state, State::Requested { until: later(after(10), WAIT_MOST) });
    assert_eq!(account.waiting, [queued.id]);
    holder.end(EndCause::CheckedIn, true, &mut account, after(3000)).unwrap();
    let turn = queued.turn(&mut account, after(3000));
    assert_eq!(turn.state, State::Approved { claim_until: later(after(3000), CLAIM_WINDOW) });
}

#[test]
fn a_start_is_kept_and_a_start_that_nobody_noticed_lapses() {
    let mut account = account();
    let start = after(7200);
    let asked = new(Wanted { not_before: Some(start), ..wanted(HOLDER) }, &mut account, T0);
    assert_eq!(asked.due(), Some(later(start, START_GRACE)), "decided before it is too late to begin");
    let scheduled = approved(asked.clone(), &mut account, &[10, 2], after(10));
    assert_eq!(scheduled.state, State::Scheduled { starts_at: start });
    assert!(account.seats.is_empty(), "nobody is kept out before the start");
    assert_eq!(scheduled.clone().reveal(1, |_| true, after(7199)), Err(Refusal::NotReady));
    assert_eq!(scheduled.fell_due(after(7199)), None);
    assert_eq!(scheduled.clone().start(&mut account, 1, true, after(7199)), Err(Refusal::NotReady));
    let late = later(start, START_GRACE);
    assert_eq!(scheduled.fell_due(late), Some(FellDue::End(EndCause::Lapsed)));
    assert_eq!(scheduled.clone().reveal(1, |_| true, late), Err(Refusal::Ended));
    let begun = scheduled.start(&mut account, 1, true, start).unwrap();
    assert_eq!(begun.state, State::Approved { claim_until: later(start, CLAIM_WINDOW) });
    assert_eq!(account.seats.len(), 1);
    // Approved only after the start: it may be claimed at once.
    let mut other = self::account();
    assert!(matches!(approved(asked, &mut other, &[10, 2], after(7300)).state, State::Approved { .. }));
    let mut far = wanted(2);
    far.not_before = Some(later(T0, START_MOST) + SignedDuration::from_secs(1));
    assert_eq!(request(far, &mut other, 1, true, T0), Err(Refusal::Start));
    let past = new(Wanted { rule: None, not_before: Some(T0), ..wanted(2) }, &mut self::account(), after(1));
    assert!(matches!(past.state, State::Active(_)), "a start in the past is now");
}

#[test]
fn an_approver_may_say_no_before_and_after_the_yes() {
    let mut account = account();
    let asked = new(wanted(HOLDER), &mut account, T0);
    assert_eq!(asked.may_be_denied_by(person(HOLDER)), Err(Refusal::OwnRequest));
    let granted = approved(asked.clone(), &mut account.clone(), &[10, 2], T0);
    let used = granted.clone().reveal(1, |_| true, after(1)).unwrap();
    for checkout in [asked, granted, used] {
        let mut account = account.clone();
        assert_eq!(checkout.may_be_denied_by(person(2)), Ok(()));
        let seen = !checkout.seen.is_empty();
        let ended = checkout.end(EndCause::Denied, true, &mut account, after(2)).unwrap();
        assert_eq!(account.to_revoke, if seen { vec![ended.id] } else { vec![] }, "what was seen is revoked");
        assert!(account.asking.is_empty() && account.seats.is_empty());
        assert_eq!(ended.may_be_denied_by(person(2)), Err(Refusal::Ended));
    }
    let free = new(Wanted { rule: None, ..wanted(4) }, &mut self::account(), T0);
    assert_eq!(free.may_be_denied_by(person(2)), Err(Refusal::NothingToDecide), "it needed no approval");
}

#[test]
fn an_approval_serves_again_for_the_same_until_its_end_and_for_nothing_else() {
    let mut account = account();
    let asked = new(wanted(HOLDER), &mut account, T0);
    let used = approved(asked, &mut account, &[10, 2], T0).reveal(1, |_| true, after(10)).unwrap();
    let ended = used.end(EndCause::CheckedIn, false, &mut account, after(20)).unwrap();
    assert_eq!(account.still_good(person(HOLDER), after(21)), Some(ended.id));
    assert_eq!(account.still_good(person(2), after(21)), None);
    assert_eq!(account.still_good(person(HOLDER), after(610)), None, "over");
    let again = |change: fn(&mut Wanted), now| {
        let mut wanted = wanted(HOLDER);
        wanted.id = CheckoutId::from_uuid(Uuid::from_u128(2000));
        (wanted.ttl_seconds, wanted.on_conflict) = (300, OnConflict::Reuse);
        wanted.earlier = ended.approvals.clone();
        change(&mut wanted);
        new(wanted, &mut account.clone(), now)
    };
    let served = again(|_| {}, after(100));
    assert_eq!(served.state, State::Active(Use { started_at: after(100), expires_at: after(400) }));
    assert_eq!(served.clone().extend(511, after(101)), Err(Refusal::BeyondApproval), "not past what was approved");
    assert_eq!(served.extend(510, after(101)).unwrap().due(), Some(after(610)));
    let differs: [fn(&mut Wanted); 6] = [
        |w| "another reason".clone_into(&mut w.reason),
        |w| w.ticket = None,
        |w| w.ttl_seconds = 511,
        |w| w.rule = Some(ApprovalRule { reuse: false, ..RULE }),
        |w| w.rule = Some(ApprovalRule { count: 3, ..RULE }),
        |w| w.earlier.as_mut().unwrap().given.truncate(1),
    ];
    for change in differs {
        let asked = again(change, after(100));
        assert!(matches!(asked.state, State::Pending { .. }));
        assert!(asked.approvals.unwrap().given.is_empty(), "and nothing of the old one counts");
    }
}

#[test]
fn requests_are_bounded_and_found_again() {
    let mut account = account();
    let first = new(wanted(HOLDER), &mut account, T0);
    let reuse = Wanted { on_conflict: OnConflict::Reuse, ..wanted(HOLDER) };
    assert_eq!(request(reuse, &mut account, 1, true, T0), Ok(Decision::Reuse(first.id)));
    for n in 2..=100 {
        new(wanted(n), &mut account, T0);
    }
    assert_eq!(request(wanted(200), &mut account, 1, true, T0), Err(Refusal::AskingFull));
    assert!(account.in_use());
}

/// What can happen next to the one checkout that is watched, or around it.
#[derive(Debug, Clone, Copy)]
enum Step {
    Approve(u128),
    Deny,
    Cancel,
    Reveal(bool),
    Extend(u64),
    /// Another takes the free account.
    OtherIn,
    /// The other leaves, and who waits has a turn.
    OtherOut,
    /// Time passes to just before, or to, the next due time.
    Wait(i64),
}

const STEPS: [Step; 15] = [
    Step::Approve(HOLDER),
    Step::Approve(2),
    Step::Approve(3),
    Step::Approve(10),
    Step::Deny,
    Step::Cancel,
    Step::Reveal(true),
    Step::Reveal(false),
    Step::Extend(300),
    Step::Extend(900),
    Step::OtherIn,
    Step::OtherOut,
    Step::Wait(-1),
    Step::Wait(0),
    Step::Wait(3600),
];

#[derive(Debug, Clone)]
struct World {
    checkout: Checkout,
    account: AccountState,
    other: Option<Checkout>,
    now: Timestamp,
}

impl World {
    /// What the step leads to; nothing where it is refused.
    fn take(&self, step: Step) -> Option<Self> {
        let mut next = self.clone();
        let (now, account) = (self.now, &mut next.account);
        let checkout = self.checkout.clone();
        match step {
            Step::Approve(by) => next.checkout = checkout.approve(yes(by, now), account, 1, true, now).ok()?,
            Step::Deny => {
                checkout.may_be_denied_by(person(2)).ok()?;
                next.checkout = checkout.end(EndCause::Denied, true, account, now).ok()?;
            }
            Step::Cancel => next.checkout = checkout.end(EndCause::Cancelled, true, account, now).ok()?,
            Step::Reveal(still) => {
                let claimed = matches!(checkout.state, State::Approved { .. });
                next.checkout = checkout.reveal(1, |_| still, now).ok()?;
                assert!(still || !claimed || self.checkout.approvals.is_none(), "claimed on lost approvals: {self:?}");
            }
            Step::Extend(ttl) => next.checkout = checkout.extend(ttl, now).ok()?,
            Step::OtherIn => {
                let free = Wanted { rule: None, ..wanted(50) };
                let Ok(Decision::New(other)) = request(free, account, 1, true, now) else { return None };
                next.other = Some(*other);
            }
            Step::OtherOut => {
                next.other.take()?.end(EndCause::CheckedIn, true, account, now).ok()?;
                if account.waiting.first() == Some(&self.checkout.id) {
                    next.checkout = checkout.turn(account, now);
                }
            }
            Step::Wait(by) => {
                next.now = self.checkout.due()? + SignedDuration::from_secs(by);
                if next.now <= now && by != 0 {
                    return None;
                }
                match self.checkout.fell_due(next.now) {
                    Some(FellDue::Start) => next.checkout = checkout.start(account, 1, true, next.now).ok()?,
                    Some(FellDue::End(why)) => {
                        assert!(checkout.clone().reveal(1, |_| true, next.now).is_err(), "refused at read: {self:?}");
                        next.checkout = checkout.end(why, true, account, next.now).ok()?;
                    }
                    None => {}
                }
            }
        }
        Some(next)
    }

    fn check(&self) {
        let (checkout, account) = (&self.checkout, &self.account);
        let places = (
            account.asking.iter().filter(|asking| asking.checkout == checkout.id).count(),
            account.waiting.iter().filter(|id| **id == checkout.id).count(),
            account.seats.iter().filter(|seat| seat.checkout == checkout.id).count(),
        );
        let (expected, decided) = match &checkout.state {
            State::Pending { .. } => ((1, 0, 0), false),
            State::Scheduled { .. } => ((1, 0, 0), true),
            State::Requested { .. } => ((0, 1, 0), true),
            State::Approved { claim_until } => {
                assert!(*claim_until <= later(self.now, CLAIM_WINDOW));
                ((0, 0, 1), true)
            }
            State::Active(_) => ((0, 0, 1), true),
            State::Ended { .. } => ((0, 0, 0), false),
        };
        assert_eq!(places, expected, "{self:?}");
        assert!(account.seats.len() <= 1, "exclusive: {self:?}");
        assert_eq!(checkout.due().is_none(), matches!(checkout.state, State::Ended { .. }), "never without an end");
        let used = match &checkout.state {
            State::Active(used) => Some(*used),
            State::Ended { used, .. } => *used,
            State::Pending { .. } | State::Scheduled { .. } | State::Requested { .. } | State::Approved { .. } => None,
        };
        if let Some(used) = used {
            assert!(
                used.expires_at <= used.started_at + SignedDuration::from_secs(600),
                "past what was asked: {self:?}"
            );
            assert!(checkout.not_before.is_none_or(|start| start <= used.started_at), "before its start: {self:?}");
        }
        if decided || used.is_some() || checkout.reveals > 0 {
            let given: BTreeSet<PrincipalId> =
                checkout.approvals.iter().flat_map(|approvals| &approvals.given).map(|yes| yes.by).collect();
            assert!(given.len() >= 2 && given.contains(&person(10)) && !given.contains(&person(HOLDER)), "{self:?}");
        }
    }
}

/// Every state that up to nine steps reach, for requests with and without a start: no seat without enough others' yes,
/// nothing without an end, each in one place.
#[test]
fn whatever_happens_nothing_is_had_without_its_approvals() {
    let mut states = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for not_before in [None, Some(after(7200))] {
        let mut account = account();
        let checkout = new(Wanted { not_before, ..wanted(HOLDER) }, &mut account, T0);
        let mut queue = VecDeque::from([(World { checkout, account, other: None, now: T0 }, 0)]);
        while let Some((world, depth)) = queue.pop_front() {
            if !states.insert(format!("{world:?}")) {
                continue;
            }
            world.check();
            kinds.insert(world.checkout.state_name() as u8);
            kinds.extend(world.checkout.waits_for().map(|waits| 10 + waits as u8));
            if depth < 9 {
                queue.extend(STEPS.iter().filter_map(|step| world.take(*step)).map(|next| (next, depth + 1)));
            }
        }
    }
    assert_eq!(kinds, BTreeSet::from([0, 1, 2, 3, 10, 11, 12]), "all that a checkout can be was reached");
    assert!(states.len() > 1000, "only {} states", states.len());
}
