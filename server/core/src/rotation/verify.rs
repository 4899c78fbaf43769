//! After the system took the candidate: a fresh login proves it, a refused login proves that the old one is dead.

use claviger_api::Timestamp;
use claviger_api::wire::ProbeResult;

use super::{Happened, PROPAGATION_STEP, Rotation, Step, SystemTraits, Transition, WAIT_MOST, later};
use crate::secrets::{SecretSet, Version};

impl Rotation {
    /// The candidate was tried. Before `until` a refusal may be the system's lag; after it, look at every version.
    pub(super) fn verified(
        mut self,
        secrets: SecretSet,
        candidate: Version,
        until: Timestamp,
        result: ProbeResult,
        traits: &SystemTraits,
        now: Timestamp,
    ) -> Transition {
        match result {
            ProbeResult::Accepted => return self.promote(secrets, candidate, traits, now),
            ProbeResult::Refused if now < until => {
                self.not_before = Some(later(now, PROPAGATION_STEP));
                self.message = format!("candidate {candidate} is not accepted yet");
            }
            ProbeResult::Refused => {
                self.step = Step::Recovering { untried: secrets.probe_order() };
                self.unresolved = true;
                self.message = format!("the system took candidate {candidate} and refuses it");
                self.wait(now);
            }
            ProbeResult::LockedOut | ProbeResult::Unreachable | ProbeResult::HostMismatch | ProbeResult::Unknown => {
                self.nothing_concluded(result, traits, now);
            }
        }
        self.moved(secrets, Happened::Probed(candidate, result))
    }

    /// The version opens the account: it is current, in the commit that this returns.
    pub(super) fn promote(
        mut self,
        mut secrets: SecretSet,
        version: Version,
        traits: &SystemTraits,
        now: Timestamp,
    ) -> Transition {
        let old = secrets.current.filter(|old| *old != version);
        secrets.promote(version, now);
        let erase = secrets.tidy(now);
        self.went_well();
        self.unresolved = false;
        self.new_version = Some(version);
        self.promoted_at = Some(now);
        self.message = format!("version {version} is verified");
        self.step = match old {
            Some(old) => Step::ProvingOld { old, promoted_at: now, grace_until: later(now, traits.grace) },
            None => Step::Done { at: now },
        };
        Transition { erase, ..self.moved(secrets, Happened::Promoted(version)) }
    }

    /// The old version was tried. Within the grace an acceptance is the system's known habit; past it, an alarm.
    pub(super) fn old_tried(
        mut self,
        secrets: SecretSet,
        old: Version,
        grace_until: Timestamp,
        result: ProbeResult,
        now: Timestamp,
    ) -> Transition {
        let happened = match result {
            ProbeResult::Refused => {
                self.went_well();
                self.old_refused_at = Some(now);
                self.old_still_accepted = false;
                self.step = Step::Done { at: now };
                self.message = format!("version {old} is refused");
                Happened::OldRefused(old)
            }
            ProbeResult::Accepted => {
                self.old_still_accepted = now >= grace_until;
                self.not_before = Some(if now < grace_until { grace_until } else { later(now, WAIT_MOST) });
                self.message = format!("version {old} is still accepted");
                Happened::OldStillAccepted(old)
            }
            ProbeResult::LockedOut | ProbeResult::Unreachable | ProbeResult::HostMismatch | ProbeResult::Unknown => {
                self.message = format!("whether version {old} is refused could not be seen");
                self.wait(now);
                Happened::Probed(old, result)
            }
        };
        self.moved(secrets, happened)
    }

    /// No answer about the secret: wait, and conclude nothing.
    pub(super) fn nothing_concluded(&mut self, result: ProbeResult, traits: &SystemTraits, now: Timestamp) {
        self.unresolved = true;
        self.wait(now);
        let (what, wait) = match result {
            ProbeResult::LockedOut => ("the system has locked the account", Some(later(now, traits.lockout_window))),
            ProbeResult::HostMismatch => ("another host answered at the address", None),
            ProbeResult::Unreachable => ("the system cannot be reached", None),
            ProbeResult::Unknown | ProbeResult::Accepted | ProbeResult::Refused => {
                ("the system's answer says nothing about the secret", None)
            }
        };
        self.not_before = wait.max(self.not_before);
        what.clone_into(&mut self.message);
    }
}
