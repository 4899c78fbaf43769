//! Finding out what is true, before anything else is tried.

use claviger_api::Timestamp;
use claviger_api::wire::{CandidateState, ProbeResult};

use super::{By, Happened, Rotation, Step, SystemTraits, Transition, WAIT_MOST, later};
use crate::secrets::{SecretSet, Version};

impl Rotation {
    /// Takes up a rotation that was interrupted, or begins the probing anew, under a new epoch.
    pub fn interrupted(mut self, secrets: SecretSet) -> Transition {
        self.epoch += 1;
        self.step = Step::Recovering { untried: secrets.probe_order() };
        self.message = String::from("finding out which secret opens the account");
        self.moved(secrets, Happened::TakenUp)
    }

    /// A secret came to light that may have been sent, by a vault that this one does not know of: it is appended, and all are tried
    /// anew. The account is not offered before.
    pub fn found(mut self, mut secrets: SecretSet) -> (Transition, Version) {
        let version = secrets.append(self.epoch);
        secrets.mark(version, CandidateState::SentUnknown);
        self.unresolved = true;
        (self.interrupted(secrets), version)
    }

    /// The first of `untried` was tried.
    pub(super) fn recovered(
        mut self,
        secrets: SecretSet,
        untried: &[Version],
        result: ProbeResult,
        traits: &SystemTraits,
        now: Timestamp,
    ) -> Transition {
        let Some((tried, rest)) = untried.split_first() else {
            return self.interrupted(secrets);
        };
        let tried = *tried;
        match result {
            ProbeResult::Accepted if secrets.current == Some(tried) => {
                self.went_well();
                self.step = Step::Preparing;
                self.message = format!("version {tried} still opens the account; a new candidate is made");
            }
            ProbeResult::Accepted if secrets.candidates.iter().any(|c| c.version == tried) => {
                return self.promote(secrets, tried, traits, now);
            }
            ProbeResult::Accepted => return self.restored(secrets, tried, now),
            ProbeResult::Refused => self.one_refused(tried, rest, traits, now),
            ProbeResult::LockedOut | ProbeResult::Unreachable | ProbeResult::HostMismatch | ProbeResult::Unknown => {
                self.nothing_concluded(result, traits, now);
            }
        }
        self.moved(secrets, Happened::Probed(tried, result))
    }

    /// A previous version opens the account again: somebody put it back. It is current, and is replaced as it should be.
    fn restored(mut self, mut secrets: SecretSet, version: Version, now: Timestamp) -> Transition {
        secrets.promote(version, now);
        self.went_well();
        self.step = Step::Preparing;
        self.message = format!("version {version} opens the account again; a new candidate is made");
        self.moved(secrets, Happened::Probed(version, ProbeResult::Accepted))
    }

    /// One more is refused. When all are, only the management account can help, by a further candidate.
    fn one_refused(&mut self, tried: Version, rest: &[Version], traits: &SystemTraits, now: Timestamp) {
        self.not_before = None;
        self.message = format!("version {tried} is refused");
        if !rest.is_empty() {
            self.step = Step::Recovering { untried: rest.to_vec() };
        } else if traits.has_management {
            self.by = By::Management;
            self.step = Step::Preparing;
        } else {
            self.unresolved = true;
            self.step = Step::Recovering { untried: Vec::new() };
            self.not_before = Some(later(now, WAIT_MOST));
            self.message = String::from("no stored secret opens the account, and its system has no management account");
        }
    }
}
