//! Telling the system: intent before effect, and what each outcome of the first send means.

use claviger_api::Timestamp;
use claviger_api::wire::{CandidateState, ProbeResult};

use super::{By, Happened, POLICY_REFUSALS_MOST, Rotation, Step, SystemTraits, Transition, WAIT_MOST, later};
use crate::secrets::{SecretSet, Version};

/// How the one call that tells the system came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The system says that the secret is set.
    Applied,
    /// The system says no, and means it: nothing changed.
    Refused {
        /// Its password policy does not take this secret; another may do.
        by_policy: bool,
    },
    /// The call failed before anything was sent: nothing changed. The result of the login that it began with.
    NotSent(ProbeResult),
    /// A time-out, a reset, an answer that cannot be read: it may have changed.
    Unknown,
}

impl Rotation {
    /// Before the system is told: the candidate may have been set from here on, whatever happens next. A change by the
    /// account itself begins with a login; where that could lock the account, nothing is sent, and the rotation waits.
    pub fn sending(mut self, mut secrets: SecretSet, traits: &SystemTraits, now: Timestamp) -> Transition {
        let Step::Ready { candidate } = self.step else {
            return self.moved(secrets, Happened::TakenUp);
        };
        if self.by == By::Itself
            && let Err(until) = self.failed_logins.reserve(traits, now)
        {
            return self.waits_for_people(secrets, until);
        }
        secrets.mark(candidate, CandidateState::SentUnknown);
        // Whoever takes this up waits for the sender, and until logins see what became of it.
        let lease = traits.deadline.saturating_add(traits.propagation);
        self.step = Step::Sending { candidate, lease_until: later(now, lease) };
        self.message = format!("telling the system of candidate {candidate}");
        self.moved(secrets, Happened::Sending(candidate))
    }

    /// After the system was told, by the one who stored [`Rotation::sending`]. `said` is what the system said, without
    /// any secret.
    pub fn sent(
        mut self,
        mut secrets: SecretSet,
        outcome: Sent,
        said: &str,
        traits: &SystemTraits,
        now: Timestamp,
    ) -> Transition {
        let Step::Sending { candidate, .. } = self.step else {
            return self.moved(secrets, Happened::TakenUp);
        };
        let login_failed = match outcome {
            Sent::NotSent(ProbeResult::Refused | ProbeResult::LockedOut | ProbeResult::Unknown) => true,
            Sent::NotSent(ProbeResult::Accepted | ProbeResult::Unreachable | ProbeResult::HostMismatch)
            | Sent::Applied
            | Sent::Refused { .. }
            | Sent::Unknown => false,
        };
        if self.by == By::Itself && !login_failed {
            self.failed_logins.give_back();
        }
        let state = match outcome {
            Sent::Applied => {
                self.went_well();
                self.step = Step::Verifying { candidate, until: later(now, traits.propagation) };
                self.message = format!("the system took candidate {candidate}");
                CandidateState::Acknowledged
            }
            Sent::Refused { by_policy } => {
                self.refused(candidate, by_policy, said, now);
                CandidateState::Refused
            }
            Sent::NotSent(result) => {
                self.not_sent(&secrets, candidate, result, said, now);
                CandidateState::NeverSent
            }
            Sent::Unknown => {
                self.step = Step::Recovering { untried: Vec::new() };
                self.not_before = Some(later(now, traits.propagation));
                self.message = format!("the answer to candidate {candidate} was lost: {said}");
                CandidateState::SentUnknown
            }
        };
        secrets.mark(candidate, state);
        if let Step::Recovering { untried } = &mut self.step {
            *untried = secrets.probe_order();
        }
        self.moved(secrets, Happened::Outcome(candidate, state))
    }

    /// A definite no. A policy's no asks for another candidate, but not for ever.
    fn refused(&mut self, candidate: Version, by_policy: bool, said: &str, now: Timestamp) {
        self.step = Step::Preparing;
        self.message = format!("the system refused candidate {candidate}: {said}");
        if by_policy {
            self.policy_refusals = self.policy_refusals.saturating_add(1);
        }
        if !by_policy || self.policy_refusals >= POLICY_REFUSALS_MOST {
            self.unresolved = true;
            self.wait(now);
        }
        if self.policy_refusals >= POLICY_REFUSALS_MOST {
            self.not_before = Some(later(now, WAIT_MOST));
        }
    }

    /// Nothing was sent. A secret that is refused at login is not the account's any more: find out which is.
    fn not_sent(&mut self, secrets: &SecretSet, candidate: Version, result: ProbeResult, said: &str, now: Timestamp) {
        self.message = format!("the system could not be told: {said}");
        if result == ProbeResult::Refused && self.by == By::Itself {
            self.step = Step::Recovering { untried: secrets.probe_order() };
        } else {
            self.step = Step::Ready { candidate };
            self.unresolved = true;
            self.wait(now);
        }
    }
}
