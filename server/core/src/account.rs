//! One account's changing state, in one stored row, so that every decision about it is one expectation.

use claviger_api::wire::AccountState as StateName;
use claviger_api::{CheckoutId, PrincipalId, RotationId};
use serde::{Deserialize, Serialize};

use crate::secrets::{SecretSet, Version};

/// Who sits in one of the account's seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// The checkout, approved or active.
    pub checkout: CheckoutId,
    /// Its principal.
    pub principal: PrincipalId,
}

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
    /// Checkouts whose own login is, or may be, on the system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logins: Vec<CheckoutId>,
    /// Settled rotations that have still to see their old secret refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proving: Vec<Proving>,
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

    /// Gives the seat up; what was not seated stays as it is.
    pub fn leave(&mut self, checkout: CheckoutId) {
        self.seats.retain(|seat| seat.checkout != checkout);
        self.waiting.retain(|waiting| *waiting != checkout);
    }

    /// Whether anybody holds the account or waits for it, or the vault has still something to do on its system.
    pub fn in_use(&self) -> bool {
        let held = !self.seats.is_empty() || !self.waiting.is_empty() || !self.logins.is_empty();
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
