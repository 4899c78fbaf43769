//! The life of a checkout: `requested → approved → active → ended`.
//!
//! A stored state is an enum whose variants carry that state's data. Transitions consume the checkout and return it
//! with what must be stored beside it: the account's seats and the timer. No transition leaves a seat without an end.

use claviger_api::wire::{CheckoutState, Claim, EndCause, OnConflict, RevocationState, TTL_MIN_SECONDS};
use claviger_api::{AccountId, CheckoutId, PrincipalId, RotationId, SystemId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::account::{AccountState, Availability, Seat};
use crate::rotation::later;
use crate::secrets::Version;

#[cfg(test)]
mod tests;

/// How long an approved checkout may be claimed by a first reveal.
pub const CLAIM_WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// How long a checkout waits for its turn before it lapses.
pub const WAIT_MOST: SignedDuration = SignedDuration::from_hours(24);
/// The most checkouts that wait for one account.
pub const QUEUE_MOST: usize = 100;

/// Where a checkout is, with that state's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Waits for its turn.
    Requested {
        /// Lapses then.
        until: Timestamp,
    },
    /// Has a seat, and may be claimed by a first reveal.
    Approved {
        /// Lapses then.
        claim_until: Timestamp,
    },
    /// In use.
    Active(Use),
    /// Over.
    Ended {
        /// Why.
        cause: EndCause,
        /// When: the moment of the act, or the end that fell due.
        at: Timestamp,
        /// The use, if there was one.
        used: Option<Use>,
        /// What became of the credential.
        revocation: Revocation,
    },
}

/// The time of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// When it started.
    pub started_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// What became of the credential after the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// How far it is.
    pub state: RevocationState,
    /// The rotation that does it.
    pub rotation: Option<RotationId>,
    /// When the old secret was seen refused.
    pub refused_at: Option<Timestamp>,
    /// Sessions opened before may still be open.
    pub sessions_may_remain: bool,
}

/// The login that exists for one checkout of an ephemeral account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EphemeralLogin {
    /// Its name on the system.
    pub login: claviger_api::Login,
    /// The version of its secret under the account.
    pub version: Version,
    /// Whether the system said that it is there.
    pub made: bool,
    /// Whether the system said that it is gone.
    pub removed: bool,
    /// How often its removal was tried in vain.
    pub removal_failures: u32,
}

/// One checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkout {
    /// Its id.
    pub id: CheckoutId,
    /// The system of the account.
    pub system: SystemId,
    /// The account.
    pub account: AccountId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// Why.
    pub reason: String,
    /// The ticket.
    pub ticket: Option<String>,
    /// How long the use may last.
    pub ttl_seconds: u64,
    /// The longest that the grant allows; an extension never passes it.
    pub most_seconds: u64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// Where it is.
    pub state: State,
    /// How often its secret was revealed; each reveal's event carries its number, so that a missing one shows.
    pub reveals: u64,
    /// The versions its holder has seen.
    pub seen: Vec<Version>,
    /// The login made for it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<EphemeralLogin>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The new checkout's id.
    pub id: CheckoutId,
    /// The system of the account.
    pub system: SystemId,
    /// The account.
    pub account: AccountId,
    /// Who asks.
    pub principal: PrincipalId,
    /// Why.
    pub reason: String,
    /// The ticket.
    pub ticket: Option<String>,
    /// How long the use may last.
    pub ttl_seconds: u64,
    /// The longest that the grant allows.
    pub most_seconds: u64,
    /// When the use starts.
    pub claim: Claim,
    /// What to do when there is no seat.
    pub on_conflict: OnConflict,
}

/// What can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Shorter than the least or longer than the grant allows.
    #[error("a checkout lasts {TTL_MIN_SECONDS} to {most_seconds} seconds under this grant")]
    Ttl {
        /// The longest that the grant allows.
        most_seconds: u64,
    },
    /// Every seat is taken.
    #[error("every seat is taken")]
    Held,
    /// Its secret is being replaced, is not settled, or is not stored.
    #[error("the account is not available")]
    NotAvailable(Availability),
    /// Too many wait.
    #[error("{QUEUE_MOST} checkouts wait for this account already")]
    QueueFull,
    /// It waits for its turn.
    #[error("the checkout waits for its turn")]
    NotReady,
    /// It is over.
    #[error("the checkout has ended")]
    Ended,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Store the new checkout and the account's seats.
    New(Box<Checkout>),
    /// The caller already holds this one.
    Reuse(CheckoutId),
}

/// The length asked for, if the grant allows it.
pub fn allowed_ttl(ttl_seconds: u64, most_seconds: u64) -> Result<u64, Refusal> {
    if (TTL_MIN_SECONDS..=most_seconds).contains(&ttl_seconds) {
        Ok(ttl_seconds)
    } else {
        Err(Refusal::Ttl { most_seconds })
    }
}

/// Decides a request: a seat, a place in the queue, the caller's own checkout, or no.
pub fn request(
    wanted: Wanted,
    account: &mut AccountState,
    max_holders: u32,
    has_secret: bool,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let ttl_seconds = allowed_ttl(wanted.ttl_seconds, wanted.most_seconds)?;
    let own = account.seats.iter().find(|seat| seat.principal == wanted.principal).map(|seat| seat.checkout);
    if let (OnConflict::Reuse, Some(own)) = (wanted.on_conflict, own) {
        return Ok(Decision::Reuse(own));
    }
    let availability = account.availability(max_holders, has_secret);
    let state = match (availability, wanted.on_conflict) {
        (Availability::Free, _) if account.waiting.is_empty() => seated(wanted.claim, ttl_seconds, now),
        (Availability::Empty, _) => return Err(Refusal::NotAvailable(availability)),
        (_, OnConflict::Wait) if account.waiting.len() >= QUEUE_MOST => return Err(Refusal::QueueFull),
        (_, OnConflict::Wait) => State::Requested { until: later(now, WAIT_MOST) },
        (Availability::Free | Availability::Held, OnConflict::Fail | OnConflict::Reuse) => return Err(Refusal::Held),
        (Availability::Rotating | Availability::Unresolved, OnConflict::Fail | OnConflict::Reuse) => {
            return Err(Refusal::NotAvailable(availability));
        }
    };
    if matches!(state, State::Requested { .. }) {
        account.waiting.push(wanted.id);
    } else {
        account.seats.push(Seat { checkout: wanted.id, principal: wanted.principal });
    }
    Ok(Decision::New(Box::new(Checkout {
        id: wanted.id,
        system: wanted.system,
        account: wanted.account,
        principal: wanted.principal,
        reason: wanted.reason,
        ticket: wanted.ticket,
        ttl_seconds,
        most_seconds: wanted.most_seconds,
        created_at: now,
        state,
        reveals: 0,
        seen: Vec::new(),
        ephemeral: None,
    })))
}

fn seated(claim: Claim, ttl_seconds: u64, now: Timestamp) -> State {
    match claim {
        Claim::Now => State::Active(Use { started_at: now, expires_at: seconds_later(now, ttl_seconds) }),
        Claim::Later => State::Approved { claim_until: later(now, CLAIM_WINDOW) },
    }
}

impl Checkout {
    /// When it ends if nobody does anything; `None` once ended. A timer of this time is stored with every state.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Requested { until } => Some(*until),
            State::Approved { claim_until } => Some(*claim_until),
            State::Active(used) => Some(used.expires_at),
            State::Ended { .. } => None,
        }
    }

    /// Whether the holder may see the secret now. The first reveal starts the use. Refused at and after the end, even
    /// if no worker has noticed the end yet.
    pub fn reveal(mut self, version: Version, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Active(used) if now < used.expires_at => {}
            State::Approved { claim_until } if now < claim_until => {
                self.state = State::Active(Use { started_at: now, expires_at: seconds_later(now, self.ttl_seconds) });
            }
            State::Requested { until } if now < until => return Err(Refusal::NotReady),
            State::Requested { .. } | State::Approved { .. } | State::Active(_) | State::Ended { .. } => {
                return Err(Refusal::Ended);
            }
        }
        self.reveals += 1;
        if !self.seen.contains(&version) {
            self.seen.push(version);
        }
        Ok(self)
    }

    /// A new length, counted from the start of use; never past what the grant allowed, and never in the past.
    pub fn extend(mut self, ttl_seconds: u64, now: Timestamp) -> Result<Self, Refusal> {
        self.ttl_seconds = allowed_ttl(ttl_seconds, self.most_seconds)?;
        match &mut self.state {
            State::Active(used) if now < used.expires_at => {
                let expires_at = seconds_later(used.started_at, ttl_seconds);
                if expires_at <= now {
                    return Err(Refusal::Ttl { most_seconds: self.most_seconds });
                }
                used.expires_at = expires_at;
                Ok(self)
            }
            State::Requested { until } | State::Approved { claim_until: until } if now < *until => {
                Err(Refusal::NotReady)
            }
            State::Requested { .. } | State::Approved { .. } | State::Active(_) | State::Ended { .. } => {
                Err(Refusal::Ended)
            }
        }
    }

    /// A turn has come: the one who waited has a seat, and a window to claim it.
    #[must_use]
    pub fn turn(mut self, account: &mut AccountState, now: Timestamp) -> Self {
        account.waiting.retain(|waiting| *waiting != self.id);
        account.seats.push(Seat { checkout: self.id, principal: self.principal });
        self.state = State::Approved { claim_until: later(now, CLAIM_WINDOW) };
        self
    }

    /// Ends it, gives the seat up, and says whether the credential must be revoked.
    ///
    /// `rotate_on_end` is the account's setting; what nobody saw needs no rotation.
    pub fn end(
        mut self,
        cause: EndCause,
        rotate_on_end: bool,
        account: &mut AccountState,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let (used, at) = match self.state {
            State::Ended { .. } => return Err(Refusal::Ended),
            State::Active(used) => (Some(used), now.min(used.expires_at)),
            State::Approved { claim_until: until } | State::Requested { until } => (None, now.min(until)),
        };
        account.leave(self.id);
        let state = match &self.ephemeral {
            Some(_) => RevocationState::Pending,
            None if self.seen.is_empty() => RevocationState::NotNeeded,
            None if !rotate_on_end => RevocationState::NotRequested,
            None => {
                account.to_revoke.push(self.id);
                RevocationState::Pending
            }
        };
        let sessions_may_remain = state == RevocationState::Pending;
        let revocation = Revocation { state, rotation: None, refused_at: None, sessions_may_remain };
        self.state = State::Ended { cause, at, used, revocation };
        Ok(self)
    }

    /// Why it ends if its time is over: unclaimed it lapses, used it expires. `None` while there is time.
    pub fn overdue(&self, now: Timestamp) -> Option<EndCause> {
        match &self.state {
            State::Active(used) if used.expires_at <= now => Some(EndCause::Expired),
            State::Approved { claim_until: until } | State::Requested { until } if *until <= now => {
                Some(EndCause::Lapsed)
            }
            State::Requested { .. } | State::Approved { .. } | State::Active(_) | State::Ended { .. } => None,
        }
    }

    /// From when the credential should have been dead: the end of use.
    pub fn end_of_right(&self) -> Option<Timestamp> {
        match &self.state {
            State::Ended { at, .. } => Some(*at),
            State::Requested { .. } | State::Approved { .. } | State::Active(_) => None,
        }
    }

    /// The state's name on the wire.
    pub fn state_name(&self) -> CheckoutState {
        match &self.state {
            State::Requested { .. } => CheckoutState::Requested,
            State::Approved { .. } => CheckoutState::Approved,
            State::Active(_) => CheckoutState::Active,
            State::Ended { .. } => CheckoutState::Ended,
        }
    }
}

fn seconds_later(now: Timestamp, seconds: u64) -> Timestamp {
    later(now, SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}
