//! After the system took the candidate: a fresh login proves it, a refused login proves that the old one is dead.

use claviger_api::Timestamp;
use claviger_api::wire::ProbeResult;
use jiff::SignedDuration;

use super::{GRACE_STEP, Happened, PROPAGATION_STEP, Rotation, Step, SystemTraits, Transition, WAIT_MOST, later};
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
            Some(old) => {
                Step::ProvingOld { old, promoted_at: now, grace_until: later(now, traits.grace), accepted_at: None }
            }
            None => Step::Done { at: now },
        };
        Transition { erase, ..self.moved(secrets, Happened::Promoted(version)) }
    }

    /// The old version was tried. Within the grace an acceptance is the system's known habit; past it, an alarm.
    pub(super) fn old_tried(
        mut self,
        secrets: SecretSet,
        old: Version,
        (promoted_at, grace_until): (Timestamp, Timestamp),
        result: ProbeResult,
        traits: &SystemTraits,
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
                self.not_before = Some(next_look(promoted_at, grace_until, traits.measured_grace, now));
                self.step = Step::ProvingOld { old, promoted_at, grace_until, accepted_at: Some(now) };
                self.message = if now < grace_until {
                    format!("version {old} is still accepted, as this system does for a while")
                } else {
                    format!("version {old} is still accepted")
                };
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

    /// For how long at most the system honoured the old secret, told by the look that has just refused it. Nothing, where
    /// nobody had looked in time, or where the account was changed once more since: that ends it too.
    pub fn measured_grace(&self, secrets: &SecretSet, now: Timestamp) -> Option<SignedDuration> {
        let Step::ProvingOld { promoted_at, accepted_at, .. } = &self.step else { return None };
        let since = now.duration_since(*promoted_at);
        if secrets.current != self.new_version {
            return None;
        }
        match accepted_at {
            Some(_) => Some(since),
            None => (since < GRACE_STEP).then_some(SignedDuration::ZERO),
        }
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

/// When an old secret that was accepted is tried again: when the system was last seen to refuse one, and where that is not
/// known, or over, after twice the time. Past the grace seldom: it may never end.
fn next_look(
    promoted_at: Timestamp,
    grace_until: Timestamp,
    measured: Option<SignedDuration>,
    now: Timestamp,
) -> Timestamp {
    if now >= grace_until {
        return later(now, WAIT_MOST);
    }
    let measured = measured.map(|measured| later(promoted_at, measured)).filter(|at| *at > now);
    let doubled = later(now, now.duration_since(promoted_at).max(GRACE_STEP));
    measured.unwrap_or(doubled).min(grace_until)
}
