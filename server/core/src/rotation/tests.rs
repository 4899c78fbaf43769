//! Every outcome of every step, with a crash before and after each, on a simulated system: some stored version opens
//! the account in every state that can be reached, and every run that the system lets end, ends.

use std::collections::HashSet;

use claviger_api::wire::{ProbeResult, RotationCause};
use uuid::Uuid;

use super::*;

mod by_hand;
mod harness;
mod holes;

const TRAITS: SystemTraits = SystemTraits {
    propagation: SignedDuration::from_secs(3),
    grace: SignedDuration::ZERO,
    measured_grace: None,
    lockout_threshold: None,
    lockout_window: SignedDuration::from_mins(30),
    failed_logins: 0,
    deadline: SignedDuration::from_secs(5),
    has_management: true,
};

/// The system, as far as the rotation is concerned: which version opens the account.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    opens: Version,
    rotation: String,
    secrets: String,
}

#[derive(Clone)]
struct Run {
    opens: Version,
    rotation: Rotation,
    secrets: SecretSet,
    now: Timestamp,
}

fn start() -> Run {
    let mut secrets = SecretSet::default();
    let opens = secrets.adopt();
    let rotation = Rotation::start(
        RotationId::from_uuid(Uuid::from_u128(1)),
        (SystemId::from_uuid(Uuid::from_u128(2)), AccountId::from_uuid(Uuid::from_u128(3))),
        RotationCause::Requested,
        By::Itself,
        vec![],
        Timestamp::UNIX_EPOCH,
    );
    Run { opens, rotation, secrets, now: Timestamp::UNIX_EPOCH }
}

impl Run {
    /// What tells two runs apart; times only matter relative to each other, and every wait is jumped over.
    fn world(&self) -> World {
        let step = match &self.rotation.step {
            Step::Sending { candidate, .. } => format!("sending {candidate}"),
            Step::Verifying { candidate, until } => format!("verifying {candidate} {}", *until > self.now),
            Step::ProvingOld { old, .. } => format!("proving {old}"),
            Step::Done { .. } => String::from("done"),
            other @ (Step::Preparing
            | Step::Ready { .. }
            | Step::Asking { .. }
            | Step::Recovering { .. }
            | Step::Cancelled { .. }) => format!("{other:?}"),
        };
        let candidates: Vec<_> = self.secrets.candidates.iter().map(|c| (c.version, c.state)).collect();
        let secrets = format!("{:?} {:?} {candidates:?}", self.secrets.current, self.secrets.previous);
        let waits = matches!(self.rotation.next(self.now), Action::Wait(_));
        World { opens: self.opens, rotation: format!("{step} {:?} {waits}", self.rotation.by), secrets }
    }

    fn store(&self, transition: Transition) -> Self {
        for gone in &transition.erase {
            assert_ne!(*gone, self.opens, "the secret that opens the account was erased");
        }
        Self { rotation: transition.rotation, secrets: transition.secrets, ..self.clone() }
    }

    /// Every state that can follow this one: each outcome, and a crash at each point between two commits.
    fn successors(&self) -> Vec<Self> {
        match self.rotation.next(self.now) {
            // Of what people do by hand: by_hand.rs.
            Action::Finished | Action::Ask | Action::Remind => vec![],
            Action::Wait(until) => vec![Self { now: until, ..self.clone() }],
            Action::Prepare => vec![self.store(self.rotation.clone().prepared(self.secrets.clone()).0)],
            Action::Recover => vec![self.store(self.rotation.clone().interrupted(self.secrets.clone()))],
            Action::Send { candidate, by } => self.sends(candidate, by),
            Action::Probe { version } => self.probes(version),
        }
    }

    fn sends(&self, candidate: Version, by: By) -> Vec<Self> {
        let told = self.store(self.rotation.clone().sending(self.secrets.clone(), &TRAITS, self.now));
        let applied = Self { opens: candidate, ..told.clone() };
        let after = |run: &Self, sent| {
            run.store(run.rotation.clone().sent(run.secrets.clone(), sent, "said", &TRAITS, run.now))
        };
        // A self-rotation logs in with `current` first; if that is not what opens the account, nothing is sent.
        if by == By::Itself && self.secrets.current != Some(self.opens) {
            return vec![told.clone(), after(&told, Sent::NotSent(ProbeResult::Refused))];
        }
        vec![
            told.clone(),                                          // crash before the send
            applied.clone(),                                       // crash after it
            after(&applied, Sent::Applied),                        // applied and said so
            after(&applied, Sent::Unknown),                        // applied, reply lost
            after(&told, Sent::Unknown),                           // not applied, reply lost
            after(&told, Sent::Refused { by_policy: true }),       // policy says no
            after(&told, Sent::Refused { by_policy: false }),      // no
            after(&told, Sent::NotSent(ProbeResult::Unreachable)), // not reached
        ]
    }

    fn probes(&self, version: Version) -> Vec<Self> {
        let truth = if version == self.opens { ProbeResult::Accepted } else { ProbeResult::Refused };
        let results = [truth, ProbeResult::Unreachable, ProbeResult::LockedOut, ProbeResult::Unknown];
        let probed = |result| self.store(self.rotation.clone().probed(self.secrets.clone(), result, &TRAITS, self.now));
        results.into_iter().map(probed).collect()
    }
}

/// States whose versions are at most this many: enough for three failures, one within the recovery of the other.
const VERSIONS: Version = 8;

#[test]
fn in_every_reachable_state_some_stored_version_opens_the_account() {
    let mut seen = HashSet::new();
    let mut open = vec![start()];
    let mut settled = 0;
    while let Some(run) = open.pop() {
        if run.secrets.last_version > VERSIONS || !seen.insert(run.world()) {
            continue;
        }
        assert!(run.secrets.versions().any(|v| v == run.opens), "lost: {:?}", run.world());
        if run.rotation.is_settled() {
            settled += 1;
            assert_eq!(run.secrets.current, Some(run.opens), "settled on what does not open it: {:?}", run.world());
        }
        open.extend(run.successors());
    }
    assert!(seen.len() > 1_000, "only {} states", seen.len());
    assert!(settled > 50, "only {settled} settled states");
}

#[test]
fn from_every_reachable_state_a_system_that_answers_lets_it_end() {
    let mut seen = HashSet::new();
    let mut open = vec![start()];
    while let Some(run) = open.pop() {
        if run.secrets.last_version > VERSIONS || !seen.insert(run.world()) {
            continue;
        }
        let mut honest = run.clone();
        for step in 0.. {
            assert!(step < 60, "does not end: {:?} from {:?}", honest.world(), run.world());
            // The first successor but for sends, where it is "applied and said so" (or the refused login).
            let next = match honest.rotation.next(honest.now) {
                Action::Send { .. } => honest.successors().into_iter().nth(2).or(honest.successors().pop()),
                Action::Finished | Action::Ask | Action::Remind => None,
                Action::Prepare | Action::Recover | Action::Probe { .. } | Action::Wait(_) => {
                    honest.successors().into_iter().next()
                }
            };
            match next {
                Some(next) => honest = next,
                None => break,
            }
        }
        assert_eq!(honest.secrets.current, Some(honest.opens));
        open.extend(run.successors());
    }
}

#[test]
fn anvil_lost_ack() {
    // Changed on the system, reply lost: the candidate is probed and promoted, never thrown away.
    let mut run = start();
    run = run.successors().remove(0);
    run = run.successors().remove(3);
    assert_eq!(run.secrets.candidates[0].state, CandidateState::SentUnknown);
    let candidate = run.secrets.candidates[0].version;
    assert_eq!(run.rotation.next(run.now), Action::Wait(later(run.now, TRAITS.propagation)), "logins may lag");
    run = run.successors().remove(0);
    assert_eq!(run.rotation.next(run.now), Action::Probe { version: candidate });
    run = run.successors().remove(0);
    assert_eq!(run.secrets.current, Some(candidate));
}

#[test]
fn anvil_cancel_erases() {
    let mut run = start();
    run = run.successors().remove(0);
    let cancelled = run.rotation.clone().cancel(run.secrets.clone(), run.now).unwrap();
    assert_eq!(cancelled.secrets, run.secrets, "cancelling erases nothing");
    let told = run.successors().remove(0);
    assert_eq!(told.rotation.clone().cancel(told.secrets.clone(), told.now), Err(NotCancelled::Sent));
}

#[test]
fn anvil_unreachable_is_not_wrong() {
    let mut run = start();
    run = run.successors().remove(0);
    run = run.successors().remove(3);
    let before = run.rotation.step.clone();
    run = run.store(run.rotation.clone().probed(run.secrets.clone(), ProbeResult::Unreachable, &TRAITS, run.now));
    assert_eq!(run.rotation.step, before, "nothing is concluded");
    assert!(matches!(run.rotation.next(run.now), Action::Wait(_)));
}

#[test]
fn anvil_endless_refusal() {
    let mut run = start();
    let mut candidates = HashSet::new();
    for _ in 0..POLICY_REFUSALS_MOST {
        run = run.successors().remove(0);
        let Action::Send { candidate, .. } = run.rotation.next(run.now) else { panic!("{:?}", run.world()) };
        assert!(candidates.insert(candidate), "a refused candidate is not sent again");
        run = run.successors().remove(5);
    }
    assert!(run.rotation.unresolved, "a person must look at it");
    assert_eq!(run.rotation.next(run.now), Action::Wait(later(run.now, WAIT_MOST)));
}

#[test]
fn anvil_verify_lag() {
    let mut run = start();
    run = run.successors().remove(0);
    run = run.successors().remove(2);
    run = run.store(run.rotation.clone().probed(run.secrets.clone(), ProbeResult::Refused, &TRAITS, run.now));
    assert!(
        matches!(run.rotation.step, Step::Verifying { .. }),
        "within the propagation window a refusal says nothing"
    );
}

#[test]
fn anvil_lockout_spent() {
    let traits = SystemTraits { lockout_threshold: Some(5), has_management: false, ..TRAITS };
    let mut run = start();
    for _ in 0..4 {
        run.secrets.adopt();
    }
    run.rotation = run.rotation.clone().interrupted(run.secrets.clone()).rotation;
    let mut tried = 0;
    while let Action::Probe { version } = run.rotation.next(run.now) {
        run = run.store(run.rotation.clone().trying(run.secrets.clone(), version, &traits, run.now).unwrap());
        if run.rotation.next(run.now) == (Action::Probe { version }) {
            tried += 1; // and then it crashes: what came of it is never stored
        }
    }
    assert_eq!(tried, 3, "two of five are left for people");
    let Action::Wait(until) = run.rotation.next(run.now) else { panic!("must wait") };
    assert!(until > later(run.now, traits.lockout_window));
}

/// What the system itself counts is counted: somebody else has failed there too.
#[test]
fn anvil_lockout_spent_by_others_leaves_as_much_less() {
    for (there, may) in [(0, 3), (1, 3), (2, 3), (3, 0), (5, 0)] {
        let traits = SystemTraits { lockout_threshold: Some(5), failed_logins: there, ..TRAITS };
        let mut logins = FailedLogins::default();
        let mut tried = 0;
        while logins.reserve(&traits, Timestamp::UNIX_EPOCH).is_ok() {
            tried += 1;
        }
        assert_eq!(tried, may, "{there} have failed");
        let until = logins.reserve(&traits, Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(until > later(Timestamp::UNIX_EPOCH, traits.lockout_window));
    }
}

#[test]
fn an_old_secret_that_still_works_is_said_and_tried_again() {
    let mut run = start();
    for pick in [0, 2, 0] {
        run = run.successors().remove(pick);
    }
    assert!(matches!(run.rotation.step, Step::ProvingOld { old: 1, .. }));
    run = run.store(run.rotation.clone().probed(run.secrets.clone(), ProbeResult::Accepted, &TRAITS, run.now));
    assert!(run.rotation.old_still_accepted && !run.rotation.is_over() && run.rotation.is_settled());
}

/// Within the grace the looks grow apart until the system refuses; the next rotation goes by what was measured.
#[test]
fn a_grace_is_measured_by_few_looks_and_then_known() {
    let hour = SignedDuration::from_hours(1);
    let graceful = SystemTraits { grace: hour, ..TRAITS };
    let proving = |traits: &SystemTraits| {
        let mut run = start();
        for pick in [0, 2] {
            run = run.successors().remove(pick);
        }
        run.store(run.rotation.clone().probed(run.secrets.clone(), ProbeResult::Accepted, traits, run.now))
    };
    // The system honours an old secret for ten minutes of the hour that it might.
    let look = |mut run: Run, traits: &SystemTraits| {
        let (promoted, mut looks) = (run.rotation.promoted_at.unwrap(), 0);
        let honoured = later(promoted, SignedDuration::from_mins(10));
        loop {
            match run.rotation.next(run.now) {
                Action::Wait(until) => run.now = until,
                Action::Probe { version } => {
                    assert_eq!(version, 1);
                    looks += 1;
                    let result = if run.now < honoured { ProbeResult::Accepted } else { ProbeResult::Refused };
                    let measured = run.rotation.measured_grace(&run.secrets, run.now);
                    run = run.store(run.rotation.clone().probed(run.secrets.clone(), result, traits, run.now));
                    assert!(!run.rotation.old_still_accepted, "within the grace it is no alarm");
                    if run.rotation.is_over() {
                        return (measured.unwrap(), looks);
                    }
                }
                other @ (Action::Prepare
                | Action::Ask
                | Action::Remind
                | Action::Send { .. }
                | Action::Recover
                | Action::Finished) => panic!("{other:?}"),
            }
        }
    };
    let (measured, looks) = look(proving(&graceful), &graceful);
    assert_eq!((measured.as_secs(), looks), (16 * 60, 8), "0, 15 s, 30 s, 1, 2, 4, 8 and 16 minutes");
    let known = SystemTraits { measured_grace: Some(measured), ..graceful };
    assert_eq!(look(proving(&known), &known), (measured, 2), "at once, and when it is known to be over");

    // What a second change ends, and what nobody looked at in time, says nothing of the grace.
    let mut run = proving(&graceful);
    run.secrets.current = Some(9);
    assert_eq!(run.rotation.measured_grace(&run.secrets, run.now), None);
    let run = proving(&graceful);
    assert_eq!(run.rotation.measured_grace(&run.secrets, run.now), Some(SignedDuration::ZERO), "refused at once");
    assert_eq!(run.rotation.measured_grace(&run.secrets, later(run.now, hour)), None, "refused, but since when?");
}
