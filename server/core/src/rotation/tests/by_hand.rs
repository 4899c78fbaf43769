//! What people do by hand, in every order: see the candidate, set it, set another one, say so, say that it is refused, be
//! wrong about that, do nothing, do it twice; with the process stopping between any two commits.

use std::collections::HashSet;

use claviger_api::wire::{CandidateState, RotationCause};
use uuid::Uuid;

use super::super::*;

const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A person sees so many candidates at most, and is reminded so often.
const VERSIONS_MOST: Version = 5;
const REMINDERS_MOST: u8 = 2;

#[derive(Clone)]
struct Desk {
    /// What opens the account.
    opens: Version,
    /// The candidate that somebody has on paper.
    paper: Option<Version>,
    rotation: Rotation,
    secrets: SecretSet,
    now: Timestamp,
    reminders: u8,
}

fn start() -> Desk {
    let mut secrets = SecretSet::default();
    let opens = secrets.adopt();
    let id = |n| Uuid::from_u128(n);
    let rotation = Rotation::start(
        RotationId::from_uuid(id(1)),
        (SystemId::from_uuid(id(2)), AccountId::from_uuid(id(3))),
        RotationCause::CheckoutEnded,
        By::Person,
        vec![CheckoutId::from_uuid(id(4))],
        Timestamp::UNIX_EPOCH,
    );
    Desk { opens, paper: None, rotation, secrets, now: Timestamp::UNIX_EPOCH, reminders: 0 }
}

impl Desk {
    fn place(&self) -> String {
        let candidates: Vec<_> =
            self.secrets.candidates.iter().map(|c| (c.version, c.state, c.kept_until.is_some())).collect();
        let (step, waits) = (self.rotation.step_name(), matches!(self.rotation.next(self.now), Action::Wait(_)));
        let secrets = (self.secrets.current, &self.secrets.previous, candidates);
        format!("{:?} {:?} {step:?} {waits} {secrets:?} {}", self.opens, self.paper, self.reminders)
    }

    fn store(&self, transition: Transition) -> Self {
        assert!(!transition.erase.contains(&self.opens), "the secret that opens the account was erased");
        Self { rotation: transition.rotation, secrets: transition.secrets, ..self.clone() }
    }

    /// What the vault does next, and what any person may do meanwhile.
    fn successors(&self) -> Vec<Self> {
        let (rotation, secrets, now) = (|| self.rotation.clone(), || self.secrets.clone(), self.now);
        let mut next = match self.rotation.next(now) {
            Action::Finished => vec![],
            Action::Wait(until) => vec![Self { now: until, ..self.clone() }],
            Action::Prepare => vec![self.store(rotation().prepared(secrets()).0)],
            Action::Ask => vec![self.store(rotation().asked(secrets(), WEEK, now))],
            Action::Remind => {
                vec![Self { reminders: self.reminders + 1, ..self.store(rotation().reminded(secrets(), now)) }]
            }
            Action::Send { .. } | Action::Recover | Action::Probe { .. } => panic!("no program reaches it"),
        };
        if let Ok((shown, version)) = rotation().shown(secrets()) {
            next.push(Self { paper: Some(version), ..self.store(shown) });
        }
        if let Some(version) = self.paper {
            next.push(Self { opens: version, ..self.clone() });
        }
        // Whoever has set it, and whoever only says so.
        next.extend(rotation().confirmed(secrets(), now).ok().map(|done| self.store(done)));
        if let Ok((done, version)) = rotation().set_by_hand(secrets(), now) {
            next.push(Self { opens: version, ..self.store(done) });
        }
        // Whoever was refused, and whoever is wrong about that.
        next.extend(rotation().refused_by_hand(secrets()).ok().map(|again| self.store(again)));
        next.extend(rotation().cancel(secrets(), now).ok().map(|over| self.store(over)));
        next
    }
}

#[test]
fn nothing_is_lost_whatever_people_do_and_say() {
    let (mut known, mut open) = (HashSet::new(), vec![start()]);
    while let Some(desk) = open.pop() {
        if desk.secrets.last_version > VERSIONS_MOST || desk.reminders > REMINDERS_MOST || !known.insert(desk.place()) {
            continue;
        }
        assert!(desk.secrets.versions().any(|version| version == desk.opens), "lost: {}", desk.place());
        // Nobody has seen what was never said to be out.
        if let Some(paper) = desk.paper {
            let never = |c: &crate::secrets::Candidate| c.version == paper && c.state == CandidateState::NeverSent;
            assert!(!desk.secrets.candidates.iter().any(never), "seen, and not noted: {}", desk.place());
        }
        // It is not offered before somebody has acted.
        assert!(desk.rotation.is_settled() == desk.rotation.new_version.is_some() || desk.rotation.is_over());
        open.extend(desk.successors());
    }
    assert!(known.len() > 100, "{}", known.len());
}

/// From preparing to a person who says that it is done, and once more.
#[test]
fn a_person_is_asked_reminded_and_believed_once() {
    let mut desk = start();
    for expected in [Action::Prepare, Action::Ask] {
        assert_eq!(desk.rotation.next(desk.now), expected);
        desk = desk.successors().swap_remove(0);
    }
    let due = desk.now + WEEK;
    assert_eq!(desk.rotation.next(desk.now), Action::Wait(due));
    assert!(desk.rotation.unresolved && !desk.rotation.is_settled(), "not offered, and somebody should know");
    assert_eq!(desk.rotation.step_name(), RotationStep::AwaitingPerson);
    desk.now = due;
    assert_eq!(desk.rotation.next(due), Action::Remind);
    desk = desk.successors().swap_remove(0);
    assert_eq!(desk.rotation.next(due), Action::Wait(due + REMIND_EVERY), "daily");

    let (shown, candidate) = desk.rotation.clone().shown(desk.secrets.clone()).unwrap();
    assert_eq!(shown.secrets.candidates[0].state, CandidateState::SentUnknown);
    assert_eq!(shown.secrets.current, Some(1), "until somebody says so");
    assert_eq!(shown.rotation.clone().cancel(shown.secrets.clone(), due), Err(NotCancelled::Revokes));
    let done = shown.rotation.confirmed(shown.secrets, due).unwrap();
    assert_eq!((done.secrets.current, done.rotation.new_version), (Some(candidate), Some(candidate)));
    assert_eq!(done.secrets.previous, [1], "kept");
    assert!(done.rotation.is_over() && !done.rotation.unresolved && done.rotation.old_refused_at.is_none());
    assert_eq!(done.rotation.next(due), Action::Finished);
    assert_eq!(done.rotation.confirmed(done.secrets, due), Err(NotAsked));
}

/// A refused candidate is kept, and another one is asked for.
#[test]
fn a_refused_candidate_is_followed_by_another() {
    let mut desk = start();
    for _ in 0..2 {
        desk = desk.successors().swap_remove(0);
    }
    let refused = desk.rotation.clone().refused_by_hand(desk.secrets.clone()).unwrap();
    assert_eq!(refused.rotation.next(desk.now), Action::Prepare);
    assert!(refused.secrets.versions().any(|version| version == 2), "people may be wrong");
    let (again, third) = refused.rotation.prepared(refused.secrets);
    assert_eq!((again.rotation.next(desk.now), third), (Action::Ask, 3));
}

/// What was seen cannot be cancelled any more; what nobody saw can, where no checkout waits for it.
#[test]
fn what_somebody_has_seen_is_not_cancelled() {
    let mut desk = start();
    desk.rotation.checkouts.clear();
    for _ in 0..2 {
        desk = desk.successors().swap_remove(0);
    }
    let unseen = desk.rotation.clone().cancel(desk.secrets.clone(), desk.now).unwrap();
    assert_eq!(unseen.rotation.next(desk.now), Action::Finished);
    let (shown, _) = desk.rotation.shown(desk.secrets).unwrap();
    assert_eq!(shown.rotation.cancel(shown.secrets, desk.now), Err(NotCancelled::Sent));
}
