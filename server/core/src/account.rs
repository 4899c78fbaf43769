//! One account's changing state, in one stored row, so that every decision about it is one expectation.

use claviger_api::wire::{AccountState as StateName, CandidateState};
use claviger_api::{CheckoutId, PrincipalId, RotationId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::checkout::{Checkout, State};
use crate::secrets::{Candidate, SecretSet, Version};

/// Who sits in one of the account's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The checkout, approved or active.
    pub checkout: CheckoutId,
    /// Its principal.
    pub principal: PrincipalId,
}

/// Who asked for the account, and waits for approvals or the start: in no seat and in no queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asking {
    /// The checkout.
    pub checkout: CheckoutId,
    /// Its principal.
    pub principal: PrincipalId,
    /// The start that was asked for.
    pub not_before: Option<Timestamp>,
}

/// An approved checkout that was given back before its end: until then its approvals may serve again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StillGood {
    /// The checkout, ended.
    pub checkout: CheckoutId,
    /// Its principal.
    pub principal: PrincipalId,
    /// The end of what was approved.
    pub until: Timestamp,
}

/// The most approved checkouts that are remembered for an account; the oldest goes first.
pub const STILL_GOOD_MOST: usize = 16;

/// The rotation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The rotation.
    pub id: RotationId,
    /// The new secret is verified; what is left is to see the old one refused.
    pub settled: bool,
    /// It waits for the system or a person.
    pub unresolved: bool,
}

/// A settled rotation that has still to see its old secret refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proving {
    /// The rotation.
    pub rotation: RotationId,
    /// The version that it tries: its secret is kept until then.
    pub old: Version,
}

/// Who brought a secret, by hand or by an import, and so knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The version.
    pub version: Version,
    /// Who.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// What changes on an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// Its versions.
    pub secrets: SecretSet,
    /// Those who hold it.
    pub seats: Vec<Seat>,
    /// Those who wait for it, first come first served.
    pub waiting: Vec<CheckoutId>,
    /// The rotation under way.
    pub rotation: Option<Running>,
    /// Ended checkouts whose credential the next rotation must revoke.
    pub to_revoke: Vec<CheckoutId>,
    /// Checkouts whose own login is, or may be, on the system, or whose certificates may still open it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<CheckoutId>,
    /// Settled rotations that have still to see their old secret refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proving: Vec<Proving>,
    /// Those who wait for approvals or their start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asking: Vec<Asking>,
    /// Approvals that may serve again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_good: Vec<StillGood>,
    /// The rotation that was started last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<RotationId>,
    /// Who brought the secret that was brought last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brought: Option<Brought>,
    /// Who has seen a candidate, to set it by hand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Brought>,
    /// When a rotation last made a version current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<Timestamp>,
}

/// Whether the account can be checked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// There is a seat.
    Free,
    /// Every seat is taken.
    Held,
    /// Its secret is being replaced, or is due to be.
    Rotating,
    /// A rotation is not settled.
    Unresolved,
    /// No secret is stored.
    Empty,
}

impl AccountState {
    /// Whether there is a seat. `has_secret` is false for accounts whose secret is made at check-out.
    pub fn availability(&self, max_holders: u32, has_secret: bool) -> Availability {
        if has_secret && self.secrets.current.is_none() {
            return Availability::Empty;
        }
        match self.rotation {
            Some(running) if !running.settled && running.unresolved => Availability::Unresolved,
            Some(running) if !running.settled => Availability::Rotating,
            _ if !self.to_revoke.is_empty() => Availability::Rotating,
            _ if self.seats.len() >= usize::try_from(max_holders).unwrap_or(usize::MAX) => Availability::Held,
            _ => Availability::Free,
        }
    }

    /// Whether this version opens the account, as far as is known: it is current, a system was told of it and no later one
    /// was verified since, or it was replaced and not yet seen refused.
    pub fn still_works(&self, version: Version) -> bool {
        let told = |candidate: &Candidate| match candidate.state {
            CandidateState::SentUnknown | CandidateState::Acknowledged | CandidateState::Refused => {
                candidate.version == version && candidate.kept_until.is_none()
            }
            CandidateState::NeverSent => false,
        };
        self.secrets.current == Some(version)
            || self.secrets.candidates.iter().any(told)
            || self.proving.iter().any(|proof| proof.old == version)
    }

    /// Since when the present secret is the account's, as far as the vault knows.
    pub fn secret_since(&self, added_at: Timestamp) -> Timestamp {
        let brought = self.brought.filter(|brought| self.secrets.current == Some(brought.version)).map(|b| b.at);
        brought.or(self.rotated_at).unwrap_or(added_at)
    }

    /// Gives the seat up; what was not seated stays as it is.
    pub fn leave(&mut self, checkout: CheckoutId) {
        self.seats.retain(|seat| seat.checkout != checkout);
        self.waiting.retain(|waiting| *waiting != checkout);
        self.asking.retain(|asking| asking.checkout != checkout);
    }

    /// Puts a checkout that is new here, or has just moved on, where its state belongs.
    pub(crate) fn note(&mut self, checkout: &Checkout) {
        let Checkout { id, principal, not_before, .. } = *checkout;
        match checkout.state {
            State::Pending { .. } | State::Scheduled { .. } => {
                self.asking.push(Asking { checkout: id, principal, not_before });
            }
            State::Requested { .. } => self.waiting.push(id),
            State::Approved { .. } | State::Active(_) => self.seats.push(Seat { checkout: id, principal }),
            State::Ended { .. } => {}
        }
    }

    /// The principal's own checkout: the one that is held, or the one that was asked for with the same start.
    pub fn own(&self, principal: PrincipalId, not_before: Option<Timestamp>) -> Option<CheckoutId> {
        let held = self.seats.iter().find(|seat| seat.principal == principal && not_before.is_none());
        let asked = |asking: &&Asking| asking.principal == principal && asking.not_before == not_before;
        held.map(|seat| seat.checkout).or_else(|| self.asking.iter().find(asked).map(|asking| asking.checkout))
    }

    /// The principal's latest checkout whose approvals may serve again.
    pub fn still_good(&self, principal: PrincipalId, now: Timestamp) -> Option<CheckoutId> {
        let good = |kept: &&StillGood| kept.principal == principal && now < kept.until;
        self.still_good.iter().rev().find(good).map(|kept| kept.checkout)
    }

    /// Remembers the approvals of a checkout that is given back before its end.
    pub(crate) fn keep_approvals(&mut self, checkout: &Checkout, now: Timestamp) {
        self.still_good.retain(|kept| now < kept.until);
        let Some(approvals) = checkout.approvals.as_ref().filter(|approvals| approvals.rule.reuse) else { return };
        let Some(until) = approvals.good_until.filter(|until| now < *until) else { return };
        if self.still_good.len() >= STILL_GOOD_MOST {
            self.still_good.remove(0);
        }
        self.still_good.push(StillGood { checkout: checkout.id, principal: checkout.principal, until });
    }

    /// Whether anybody holds the account or waits for it, or the vault has still something to do on its system.
    pub fn in_use(&self) -> bool {
        let held =
            !self.seats.is_empty() || !self.waiting.is_empty() || !self.asking.is_empty() || !self.logins.is_empty();
        held || self.rotation.is_some() || !self.to_revoke.is_empty() || !self.proving.is_empty()
    }
}

impl From<Availability> for StateName {
    fn from(availability: Availability) -> Self {
        match availability {
            Availability::Free => Self::Available,
            Availability::Held => Self::Held,
            Availability::Rotating => Self::Rotating,
            Availability::Unresolved => Self::Unresolved,
            Availability::Empty => Self::Empty,
        }
    }
}
