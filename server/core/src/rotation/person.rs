//! What no program can reach a person changes: told of a candidate, reminded, and believed.
//!
//! The order is that of every rotation: the candidate is stored before anybody sees it, and is `sent_unknown` before it is
//! shown. Until somebody says what came of it, what was current is current, and nothing is erased.

use claviger_api::Timestamp;
use claviger_api::wire::CandidateState;
use jiff::SignedDuration;

use super::{By, Happened, Rotation, Step, Transition, later};
use crate::secrets::{SecretSet, Version};

/// A task that is overdue is said so again after this.
pub const REMIND_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// There is nothing that a person is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody is asked to change this account by hand now")]
pub struct NotAsked;

impl Rotation {
    /// The candidate that a person is asked to set.
    pub fn asked_for(&self) -> Option<Version> {
        match self.step {
            Step::Asking { candidate, .. } => Some(candidate),
            Step::Preparing
            | Step::Ready { .. }
            | Step::Sending { .. }
            | Step::Verifying { .. }
            | Step::Recovering { .. }
            | Step::ProvingOld { .. }
            | Step::Done { .. }
            | Step::Cancelled { .. } => None,
        }
    }

    /// A person is asked, as [`Action::Ask`](super::Action::Ask) says: the account is not offered before they have acted.
    pub fn asked(mut self, secrets: SecretSet, within: SignedDuration, now: Timestamp) -> Transition {
        let Step::Ready { candidate } = self.step else {
            return self.moved(secrets, Happened::TakenUp);
        };
        let due_at = later(now, within);
        self.step = Step::Asking { candidate, due_at };
        self.unresolved = true;
        self.not_before = Some(due_at);
        self.message = format!("a person is asked to set candidate {candidate} on the system");
        self.moved(secrets, Happened::Asked(candidate))
    }

    /// It is overdue, as [`Action::Remind`](super::Action::Remind) says.
    pub fn reminded(mut self, secrets: SecretSet, now: Timestamp) -> Transition {
        self.not_before = Some(later(now, REMIND_EVERY));
        self.message = String::from("overdue: a person is asked to set the candidate on the system");
        self.moved(secrets, Happened::Reminded)
    }

    /// Somebody is about to see the candidate, to set it: from here on the system may have it.
    pub fn shown(self, mut secrets: SecretSet) -> Result<(Transition, Version), NotAsked> {
        let candidate = self.asked_for().ok_or(NotAsked)?;
        secrets.mark(candidate, CandidateState::SentUnknown);
        Ok((self.moved(secrets, Happened::Shown(candidate)), candidate))
    }

    /// Somebody says that the candidate opens the account now. Nothing proves it: no login is tried, of the old one neither.
    pub fn confirmed(mut self, mut secrets: SecretSet, now: Timestamp) -> Result<Transition, NotAsked> {
        let candidate = self.asked_for().ok_or(NotAsked)?;
        secrets.promote(candidate, now);
        let erase = secrets.tidy(now);
        self.message = format!("somebody said that version {candidate} is set; no login has proven it");
        self.over_by_hand(candidate, now);
        Ok(Transition { erase, ..self.moved(secrets, Happened::Confirmed(candidate)) })
    }

    /// Somebody set another secret than the candidate, and tells it. The candidate is kept as long as any that may have
    /// been sent.
    pub fn set_by_hand(mut self, mut secrets: SecretSet, now: Timestamp) -> Result<(Transition, Version), NotAsked> {
        self.asked_for().ok_or(NotAsked)?;
        let version = secrets.append(self.epoch);
        secrets.mark(version, CandidateState::Acknowledged);
        secrets.promote(version, now);
        let erase = secrets.tidy(now);
        self.message = format!("somebody set version {version} of their own; no login has proven it");
        self.over_by_hand(version, now);
        Ok((Transition { erase, ..self.moved(secrets, Happened::Confirmed(version)) }, version))
    }

    /// The system does not take the candidate, somebody says: another one is made.
    pub fn refused_by_hand(mut self, mut secrets: SecretSet) -> Result<Transition, NotAsked> {
        let candidate = self.asked_for().ok_or(NotAsked)?;
        secrets.mark(candidate, CandidateState::Refused);
        self.policy_refusals = self.policy_refusals.saturating_add(1);
        self.step = Step::Preparing;
        self.not_before = None;
        self.message = format!("somebody said that the system does not take candidate {candidate}");
        Ok(self.moved(secrets, Happened::Outcome(candidate, CandidateState::Refused)))
    }

    fn over_by_hand(&mut self, version: Version, now: Timestamp) {
        self.failures = 0;
        self.not_before = None;
        self.unresolved = false;
        self.new_version = Some(version);
        self.promoted_at = Some(now);
        self.step = Step::Done { at: now };
    }

    /// Whether a person changes it, and no program.
    pub fn is_by_hand(&self) -> bool {
        self.by == By::Person
    }
}
