//! The rotation of a standing account's secret as a crash-safe state machine.
//!
//! [`Rotation::next`] says what to do; the caller does it and gives the outcome to the method that the action names,
//! which returns a [`Transition`] to store in one commit before the next action is asked for. Every step may be
//! interrupted between any two commits: what is stored says how to go on, and no outcome is guessed. The steps and
//! their reasons are the numbered list in ARCHITECTURE.md, "One rotation".
//!
//! Nothing here knows a secret, a clock or a system.

use claviger_api::wire::{CandidateState, ProbeResult, RotationCause, RotationStep};
use claviger_api::{AccountId, CheckoutId, RotationId, SystemId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::secrets::{SecretSet, Version};

mod budget;
mod person;
mod recover;
mod send;
mod verify;

#[cfg(test)]
mod tests;

pub use budget::FailedLogins;
pub use person::{NotAsked, REMIND_EVERY};
pub use send::Sent;

/// The first wait after a failure; doubled at each further one, up to [`WAIT_MOST`].
pub const WAIT_FIRST: SignedDuration = SignedDuration::from_secs(2);
/// The longest wait between two tries.
pub const WAIT_MOST: SignedDuration = SignedDuration::from_mins(15);
/// How long to wait between two looks at a system whose changes spread slowly.
pub const PROPAGATION_STEP: SignedDuration = SignedDuration::from_secs(1);
/// The first wait between two looks at an old secret within the system's grace; each next is as long as all before it, so
/// that the grace is measured to a factor of two by a dozen looks.
pub const GRACE_STEP: SignedDuration = SignedDuration::from_secs(15);
/// After so many refusals of a candidate by the system's policy the rotation is unresolved: a person must look at the
/// account's password policy. It goes on trying, with the longest wait.
pub const POLICY_REFUSALS_MOST: u32 = 3;

/// What the kind of system is known to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemTraits {
    /// How long a change may need until every login sees it.
    pub propagation: SignedDuration,
    /// How long an old secret may be honoured after the change.
    pub grace: SignedDuration,
    /// How long one was honoured when that was last measured.
    pub measured_grace: Option<SignedDuration>,
    /// How many failed logins lock the account; `None` if they do not.
    pub lockout_threshold: Option<u32>,
    /// How long failed logins count.
    pub lockout_window: SignedDuration,
    /// How many the system itself counts just now, where it was asked: also those of others.
    pub failed_logins: u32,
    /// How long one call to the system may take; the lease of a send outlasts it.
    pub deadline: SignedDuration,
    /// Whether another account on the system may change this one.
    pub has_management: bool,
}

/// Whose right changes the secret on the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The account itself, with its current secret.
    Itself,
    /// The system's management account.
    Management,
    /// A person does it: no program reaches the system.
    Person,
}

/// Where a rotation is. The data is what that step needs, and no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Make a candidate and store it.
    Preparing,
    /// The candidate is stored; tell nobody before `sent_unknown` is stored too.
    Ready {
        /// The candidate.
        candidate: Version,
    },
    /// The candidate is stored, and a person is asked to set it. It is told to nobody before `sent_unknown` is stored too.
    Asking {
        /// The candidate.
        candidate: Version,
        /// By when.
        due_at: Timestamp,
    },
    /// The system may have been told. Whoever finds this stored was interrupted, and waits until the lease is over.
    Sending {
        /// The candidate.
        candidate: Version,
        /// Until when the one who sends may still be at it.
        lease_until: Timestamp,
    },
    /// Log in with the candidate.
    Verifying {
        /// The candidate.
        candidate: Version,
        /// Refusals before this may be the system's lag.
        until: Timestamp,
    },
    /// Find out which version opens the account.
    Recovering {
        /// Not tried yet, in order.
        untried: Vec<Version>,
    },
    /// The candidate is current. Try the old one, which must be refused.
    ProvingOld {
        /// The version that was replaced.
        old: Version,
        /// When it was replaced.
        promoted_at: Timestamp,
        /// Acceptance before this is the system's known grace.
        grace_until: Timestamp,
        /// When it was last seen accepted.
        #[serde(default)]
        accepted_at: Option<Timestamp>,
    },
    /// Over: verified, and the old secret seen refused, or there was none.
    Done {
        /// When.
        at: Timestamp,
    },
    /// Over: cancelled before any system was told.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// One rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Its id.
    pub id: RotationId,
    /// The system of the account.
    pub system: SystemId,
    /// The account.
    pub account: AccountId,
    /// Why it was started.
    pub cause: RotationCause,
    /// Whose right is used first.
    pub by: By,
    /// The ended checkouts whose credential this revokes.
    pub checkouts: Vec<CheckoutId>,
    /// The fencing epoch: one more each time somebody takes the rotation up.
    pub epoch: u64,
    /// Where it is.
    pub step: Step,
    /// Failures in a row; sets the wait.
    pub failures: u32,
    /// Candidates that the system's policy refused.
    pub policy_refusals: u32,
    /// Failed logins spent against the system's lockout.
    pub failed_logins: FailedLogins,
    /// Not before this is anything tried again.
    pub not_before: Option<Timestamp>,
    /// The account cannot be offered, and a person should know.
    pub unresolved: bool,
    /// The old secret was tried and still accepted past the grace.
    pub old_still_accepted: bool,
    /// When the old secret was seen refused.
    pub old_refused_at: Option<Timestamp>,
    /// When the new secret was verified.
    pub promoted_at: Option<Timestamp>,
    /// The version that was verified.
    pub new_version: Option<Version>,
    /// What happened last, in words, without any secret.
    pub message: String,
    /// When it started.
    pub started_at: Timestamp,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a secret; store it and [`Rotation::prepared`] in one commit.
    Prepare,
    /// Store [`Rotation::sending`]; then, and only then, tell the system, once; then store [`Rotation::sent`].
    Send {
        /// The candidate.
        candidate: Version,
        /// Whose right.
        by: By,
    },
    /// Ask a person; store [`Rotation::asked`].
    Ask,
    /// Say again that a person is asked; store [`Rotation::reminded`].
    Remind,
    /// Store [`Rotation::interrupted`].
    Recover,
    /// Try to log in with this version; store [`Rotation::probed`].
    Probe {
        /// The version.
        version: Version,
    },
    /// Nothing before this time.
    Wait(Timestamp),
    /// Over.
    Finished,
}

/// What changed, to be stored in one commit with its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The rotation now.
    pub rotation: Rotation,
    /// The account's versions now.
    pub secrets: SecretSet,
    /// What to say in the log.
    pub happened: Happened,
    /// Versions whose secret is erased in this commit.
    pub erase: Vec<Version>,
}

/// What a transition says in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// A candidate was stored.
    CandidateStored(Version),
    /// A person is asked to set this candidate.
    Asked(Version),
    /// They are still asked, and it is overdue.
    Reminded,
    /// Somebody is about to see the candidate.
    Shown(Version),
    /// Somebody says that this version opens the account.
    Confirmed(Version),
    /// The system is being told.
    Sending(Version),
    /// What the system answered.
    Outcome(Version, CandidateState),
    /// Somebody took an interrupted rotation up.
    TakenUp,
    /// A login is about to be tried: it is counted against the system's lockout.
    Trying(Version),
    /// Nothing is tried, so that nobody is locked out.
    Waiting,
    /// A login attempt and its result.
    Probed(Version, ProbeResult),
    /// The candidate opens the account and is current now.
    Promoted(Version),
    /// The old secret was refused.
    OldRefused(Version),
    /// The old secret still opens the account.
    OldStillAccepted(Version),
    /// Cancelled before any system was told.
    Cancelled,
}

/// A rotation that cannot be cancelled any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCancelled {
    /// A system was, or may have been, told.
    #[error("the system may have been told already; the vault must find out which secret opens the account")]
    Sent,
    /// It is over.
    #[error("the rotation is over")]
    Over,
    /// It is the end of somebody's right.
    #[error("the rotation revokes what an ended checkout has seen; it goes on")]
    Revokes,
}

impl Rotation {
    /// A new rotation, to be stored with the account that names it. `checkouts` are the ended checkouts it revokes.
    pub fn start(
        id: RotationId,
        (system, account): (SystemId, AccountId),
        cause: RotationCause,
        by: By,
        checkouts: Vec<CheckoutId>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            system,
            account,
            cause,
            by,
            checkouts,
            epoch: 1,
            step: Step::Preparing,
            failures: 0,
            policy_refusals: 0,
            failed_logins: FailedLogins::default(),
            not_before: None,
            unresolved: false,
            old_still_accepted: false,
            old_refused_at: None,
            promoted_at: None,
            new_version: None,
            message: String::from("started"),
            started_at: now,
        }
    }

    /// Begins no earlier than this, for a reason that somebody should know: until then the account is not offered.
    pub fn put_off(&mut self, until: Timestamp, why: &str) {
        self.not_before = Some(until);
        self.unresolved = true;
        why.clone_into(&mut self.message);
    }

    /// What to do now.
    pub fn next(&self, now: Timestamp) -> Action {
        if let Some(until) = self.not_before.filter(|until| *until > now) {
            return Action::Wait(until);
        }
        match &self.step {
            Step::Preparing => Action::Prepare,
            Step::Ready { .. } if self.by == By::Person => Action::Ask,
            Step::Ready { candidate } => Action::Send { candidate: *candidate, by: self.by },
            Step::Asking { .. } => Action::Remind,
            Step::Sending { lease_until, .. } if *lease_until > now => Action::Wait(*lease_until),
            Step::Sending { .. } => Action::Recover,
            Step::Verifying { candidate, .. } => Action::Probe { version: *candidate },
            Step::Recovering { untried } => match untried.first() {
                Some(version) => Action::Probe { version: *version },
                None => Action::Recover,
            },
            Step::ProvingOld { old, .. } => Action::Probe { version: *old },
            Step::Done { .. } | Step::Cancelled { .. } => Action::Finished,
        }
    }

    /// A candidate was made: it is appended to the account's versions. Store the secret in the same commit.
    pub fn prepared(mut self, mut secrets: SecretSet) -> (Transition, Version) {
        let candidate = secrets.append(self.epoch);
        self.step = Step::Ready { candidate };
        self.message = format!("candidate {candidate} is stored");
        (self.moved(secrets, Happened::CandidateStored(candidate)), candidate)
    }

    /// Before a login is tried, as [`Action::Probe`] asks, on a system that locks accounts: the attempt is counted first. It
    /// is to be stored before; if the rotation then waits, nothing may be tried. Elsewhere there is nothing to store.
    pub fn trying(
        mut self,
        secrets: SecretSet,
        version: Version,
        traits: &SystemTraits,
        now: Timestamp,
    ) -> Option<Transition> {
        traits.lockout_threshold?;
        Some(match self.failed_logins.reserve(traits, now) {
            Ok(()) => self.moved(secrets, Happened::Trying(version)),
            Err(until) => self.waits_for_people(secrets, until),
        })
    }

    /// As many logins have failed as may: the rest are left for people, until the system has forgotten these.
    fn waits_for_people(mut self, secrets: SecretSet, until: Timestamp) -> Transition {
        self.not_before = Some(until);
        self.message = String::from("waiting: one more failed login could lock the account");
        self.moved(secrets, Happened::Waiting)
    }

    /// A login was tried, as [`Action::Probe`] asked.
    pub fn probed(
        mut self,
        secrets: SecretSet,
        result: ProbeResult,
        traits: &SystemTraits,
        now: Timestamp,
    ) -> Transition {
        match result {
            ProbeResult::Refused | ProbeResult::LockedOut | ProbeResult::Unknown => {}
            ProbeResult::Accepted | ProbeResult::Unreachable | ProbeResult::HostMismatch => {
                self.failed_logins.give_back();
            }
        }
        match self.step.clone() {
            Step::Verifying { candidate, until } => self.verified(secrets, candidate, until, result, traits, now),
            Step::Recovering { untried } => self.recovered(secrets, &untried, result, traits, now),
            Step::ProvingOld { old, promoted_at, grace_until, .. } => {
                self.old_tried(secrets, old, (promoted_at, grace_until), result, traits, now)
            }
            // The step is not one that probes: somebody else moved it on. Nothing is concluded.
            Step::Preparing
            | Step::Ready { .. }
            | Step::Asking { .. }
            | Step::Sending { .. }
            | Step::Done { .. }
            | Step::Cancelled { .. } => self.moved(secrets, Happened::TakenUp),
        }
    }

    /// Stops a rotation of which no system was told. Nothing is erased.
    pub fn cancel(mut self, secrets: SecretSet, now: Timestamp) -> Result<Transition, NotCancelled> {
        match self.step {
            Step::Preparing | Step::Ready { .. } | Step::Asking { .. } if !self.checkouts.is_empty() => {
                Err(NotCancelled::Revokes)
            }
            // An earlier candidate may still arrive, or be there already, where logins do not see it yet.
            Step::Preparing | Step::Ready { .. } | Step::Asking { .. } if secrets.may_be_elsewhere() => {
                Err(NotCancelled::Sent)
            }
            Step::Preparing | Step::Ready { .. } | Step::Asking { .. } => {
                self.step = Step::Cancelled { at: now };
                self.unresolved = false;
                if self.is_by_hand() {
                    self.not_before = None;
                }
                self.message = String::from("cancelled before any system was told");
                Ok(self.moved(secrets, Happened::Cancelled))
            }
            Step::Sending { .. } | Step::Verifying { .. } | Step::Recovering { .. } | Step::ProvingOld { .. } => {
                Err(NotCancelled::Sent)
            }
            Step::Done { .. } | Step::Cancelled { .. } => Err(NotCancelled::Over),
        }
    }

    /// Whether the new secret is verified: from here on the account may be offered again.
    pub fn is_settled(&self) -> bool {
        matches!(self.step, Step::ProvingOld { .. } | Step::Done { .. } | Step::Cancelled { .. })
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        matches!(self.step, Step::Done { .. } | Step::Cancelled { .. })
    }

    /// The step's name on the wire.
    pub fn step_name(&self) -> RotationStep {
        match self.step {
            Step::Preparing | Step::Ready { .. } => RotationStep::Preparing,
            Step::Asking { .. } => RotationStep::AwaitingPerson,
            Step::Sending { .. } => RotationStep::Sending,
            Step::Verifying { .. } => RotationStep::Verifying,
            Step::Recovering { .. } => RotationStep::Recovering,
            Step::ProvingOld { .. } => RotationStep::ProvingOld,
            Step::Done { .. } => RotationStep::Done,
            Step::Cancelled { .. } => RotationStep::Cancelled,
        }
    }

    /// The wait after a failure: doubled each time, up to the longest.
    fn wait(&mut self, now: Timestamp) {
        let doubled = WAIT_FIRST.saturating_mul(1_i32.checked_shl(self.failures.min(16)).unwrap_or(i32::MAX));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(later(now, doubled.min(WAIT_MOST)));
    }

    /// Something worked: the next failure waits shortly again.
    fn went_well(&mut self) {
        self.failures = 0;
        self.not_before = None;
    }

    fn moved(self, secrets: SecretSet, happened: Happened) -> Transition {
        Transition { rotation: self, secrets, happened, erase: Vec::new() }
    }
}

/// A time in the future, at most the last that can be written.
pub(crate) fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
