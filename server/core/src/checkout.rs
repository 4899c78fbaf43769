//! The life of a checkout: `requested → approved → active → ended`.
//!
//! What needs approvals waits for them first, then for its start, then for its turn, and only then has a window to be
//! claimed in: an approved request burns none of its window while it waits. Until it has its turn it takes no seat.
//!
//! A stored state is an enum whose variants carry that state's data. Transitions consume the checkout and return it
//! with what must be stored beside it: the account's seats and the timer. No transition leaves a seat without an end.

use claviger_api::wire::{CheckoutState, EndCause, RevocationState, TTL_MIN_SECONDS, WaitsFor};
use claviger_api::{AccountId, BreakGlassId, CheckoutId, PrincipalId, RotationId, SystemId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::account::{AccountState, Availability, Seat};
use crate::rotation::later;
use crate::secrets::Version;

mod approval;
#[cfg(test)]
mod approvals_tests;
mod certificate;
mod request;
#[cfg(test)]
mod tests;
mod unresolved;

pub use approval::{APPROVALS_MOST, Approval, Approvals, Asked};
pub use certificate::{CERTIFICATES_BEGIN_BEFORE, Certificates};
pub use request::{Decision, Wanted, request};
pub use unresolved::request_unresolved;

/// How long an approved checkout may be claimed by a first reveal.
pub const CLAIM_WINDOW: SignedDuration = SignedDuration::from_mins(15);
/// How long a checkout waits for its turn before it lapses.
pub const WAIT_MOST: SignedDuration = SignedDuration::from_hours(24);
/// The most checkouts that wait for one account.
pub const QUEUE_MOST: usize = 100;
/// How long a request waits for its approvals before it lapses.
pub const DECIDE_WITHIN: SignedDuration = SignedDuration::from_hours(24);
/// How far ahead a start may be.
pub const START_MOST: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long after its start a scheduled checkout can still be approved or begin; then it lapses.
pub const START_GRACE: SignedDuration = SignedDuration::from_hours(1);
/// The most requests for one account that wait for approvals or their start.
pub const ASKING_MOST: usize = 100;

/// Where a checkout is, with that state's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Waits for the approvals that it needs.
    Pending {
        /// Lapses then.
        until: Timestamp,
    },
    /// Needs no further approval, and waits for its start.
    Scheduled {
        /// Takes a seat, or a place in the queue, then.
        starts_at: Timestamp,
    },
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
    /// When the use may start, if not at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The approvals that it needs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
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
    /// The certificates that were signed under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificates: Option<Certificates>,
    /// The broken glass that it was taken under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_glass: Option<UnderGlass>,
}

/// The broken glass under which a checkout was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderGlass {
    /// Which.
    pub id: BreakGlassId,
    /// No use outlives it.
    pub until: Timestamp,
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
    /// A start that is too far ahead.
    #[error("a checkout starts at most {} days from now", START_MOST.as_hours() / 24)]
    Start,
    /// Too many wait for approvals or their start.
    #[error("{ASKING_MOST} requests for this account wait already")]
    AskingFull,
    /// It waits for approvals, or those that were given no longer count.
    #[error("the checkout needs an approval")]
    NotApproved,
    /// Nobody approves their own.
    #[error("nobody decides on their own request")]
    OwnRequest,
    /// It needs no approval, or none from this approver.
    #[error("the checkout waits for no decision of this approver")]
    NothingToDecide,
    /// Longer than what was approved.
    #[error("an approval is for what was asked, and no longer")]
    BeyondApproval,
    /// Longer than the glass that it was taken under is open.
    #[error("a checkout under break-glass ends with it")]
    BeyondGlass,
    /// The vault knows which secret opens the account, or will shortly.
    #[error("the account's last rotation is not unresolved")]
    NotUnresolved,
}

/// What the time that has come means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FellDue {
    /// The checkout is over.
    End(EndCause),
    /// The start has come.
    Start,
}

/// The length asked for, if the grant allows it.
pub fn allowed_ttl(ttl_seconds: u64, most_seconds: u64) -> Result<u64, Refusal> {
    if (TTL_MIN_SECONDS..=most_seconds).contains(&ttl_seconds) {
        Ok(ttl_seconds)
    } else {
        Err(Refusal::Ttl { most_seconds })
    }
}

impl Checkout {
    /// When it ends, or starts, if nobody does anything; `None` once ended. A timer of this time is stored with every
    /// state.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Pending { until } | State::Requested { until } => Some(*until),
            State::Scheduled { starts_at } => Some(*starts_at),
            State::Approved { claim_until } => Some(*claim_until),
            State::Active(used) => Some(used.expires_at),
            State::Ended { .. } => None,
        }
    }

    /// Whether the holder may see the secret now. The first reveal starts the use, if the approvals still count: `still`
    /// says of an approver whether they might approve today. Refused at and after the end, even if no worker has noticed
    /// the end yet.
    pub fn reveal(
        self,
        version: Version,
        still: impl Fn(PrincipalId) -> bool,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let mut used = self.used(still, now)?;
        if !used.seen.contains(&version) {
            used.seen.push(version);
        }
        Ok(used)
    }

    /// One more use of the right, if it is one now.
    fn used(mut self, still: impl Fn(PrincipalId) -> bool, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Active(used) if now < used.expires_at => {}
            State::Approved { claim_until } if now < claim_until => {
                if !self.is_approved(|yes| still(yes.by)) {
                    return Err(Refusal::NotApproved);
                }
                let used = self.used_from(now);
                self.state = State::Active(used);
                if let Some(approvals) = &mut self.approvals {
                    approvals.good_until.get_or_insert(used.expires_at);
                }
            }
            State::Pending { until } if now < until => return Err(Refusal::NotApproved),
            State::Scheduled { starts_at } if now < later(starts_at, START_GRACE) => return Err(Refusal::NotReady),
            State::Requested { until } if now < until => return Err(Refusal::NotReady),
            State::Pending { .. }
            | State::Scheduled { .. }
            | State::Requested { .. }
            | State::Approved { .. }
            | State::Active(_)
            | State::Ended { .. } => return Err(Refusal::Ended),
        }
        self.reveals += 1;
        Ok(self)
    }

    /// The approvers to ask again, if the next reveal is the one that claims it.
    pub fn approvers_at_claim(&self) -> impl Iterator<Item = PrincipalId> + '_ {
        let claimed_next = matches!(self.state, State::Approved { .. });
        let given = self.approvals.iter().filter(move |_| claimed_next).flat_map(|approvals| &approvals.given);
        given.map(|yes| yes.by)
    }

    /// Whether it needs no approval, or has those it needs, for exactly what it is.
    pub fn is_approved(&self, counts: impl Fn(&Approval) -> bool) -> bool {
        self.approvals.as_ref().is_none_or(|approvals| approvals.cover(self) && approvals.suffice(counts))
    }

    /// A new length, counted from the start of use; never past what the grant allowed or others approved, and never in
    /// the past.
    pub fn extend(mut self, ttl_seconds: u64, now: Timestamp) -> Result<Self, Refusal> {
        if self.approvals.as_ref().is_some_and(|approvals| ttl_seconds > approvals.asked.ttl_seconds) {
            return Err(Refusal::BeyondApproval);
        }
        self.ttl_seconds = allowed_ttl(ttl_seconds, self.most_seconds)?;
        match self.state {
            State::Active(used) if now < used.expires_at => {
                let expires_at = seconds_later(used.started_at, ttl_seconds);
                if expires_at <= now {
                    return Err(Refusal::Ttl { most_seconds: self.most_seconds });
                }
                if self.approvals.as_ref().is_some_and(|approvals| approvals.bound(expires_at) < expires_at) {
                    return Err(Refusal::BeyondApproval);
                }
                if self.under_glass.is_some_and(|glass| glass.until < expires_at) {
                    return Err(Refusal::BeyondGlass);
                }
                self.state = State::Active(Use { expires_at, ..used });
                Ok(self)
            }
            State::Pending { until } | State::Requested { until } | State::Approved { claim_until: until }
                if now < until =>
            {
                Err(Refusal::NotReady)
            }
            State::Scheduled { starts_at } if now < later(starts_at, START_GRACE) => Err(Refusal::NotReady),
            State::Pending { .. }
            | State::Scheduled { .. }
            | State::Requested { .. }
            | State::Approved { .. }
            | State::Active(_)
            | State::Ended { .. } => Err(Refusal::Ended),
        }
    }

    /// Another's yes. With the last one that is needed it goes on: to its start, to its turn, or to a window to claim it.
    /// More than needed may be given until it is claimed, since an approver may lose the right before.
    pub fn approve(
        mut self,
        yes: Approval,
        account: &mut AccountState,
        max_holders: u32,
        has_secret: bool,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        match self.state {
            State::Ended { .. } => return Err(Refusal::Ended),
            State::Active(_) => return Err(Refusal::NothingToDecide),
            State::Pending { .. } | State::Scheduled { .. } | State::Requested { .. } | State::Approved { .. } => {}
        }
        if matches!(self.fell_due(now), Some(FellDue::End(_))) {
            return Err(Refusal::Ended);
        }
        self.approvals.as_mut().ok_or(Refusal::NothingToDecide)?.add(yes)?;
        if !matches!(self.state, State::Pending { .. }) || !self.is_approved(|_| true) {
            return Ok(self);
        }
        match self.not_before.filter(|start| *start > now) {
            Some(starts_at) => {
                self.state = State::Scheduled { starts_at };
                Ok(self)
            }
            None => self.enter(account, max_holders, has_secret, now),
        }
    }

    /// Whether an approver may end it by a no: only what needs approvals, and nobody their own.
    pub fn may_be_denied_by(&self, approver: PrincipalId) -> Result<(), Refusal> {
        match (&self.state, &self.approvals) {
            (State::Ended { .. }, _) => Err(Refusal::Ended),
            (_, None) => Err(Refusal::NothingToDecide),
            (_, Some(_)) if approver == self.principal => Err(Refusal::OwnRequest),
            (_, Some(_)) => Ok(()),
        }
    }

    fn used_from(&self, now: Timestamp) -> Use {
        let end = seconds_later(now, self.ttl_seconds);
        let end = self.under_glass.map_or(end, |glass| glass.until.min(end));
        Use { started_at: now, expires_at: self.approvals.as_ref().map_or(end, |approvals| approvals.bound(end)) }
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
            State::Scheduled { starts_at } => (None, now.min(later(starts_at, START_GRACE))),
            State::Pending { until } | State::Approved { claim_until: until } | State::Requested { until } => {
                (None, now.min(until))
            }
        };
        account.leave(self.id);
        if cause == EndCause::CheckedIn {
            account.keep_approvals(&self, now);
        }
        let state = match &self.ephemeral {
            Some(_) => RevocationState::Pending,
            None if self.certificates.is_some() => {
                account.logins.push(self.id);
                RevocationState::Pending
            }
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

    /// What the time that has come means: unapproved or unclaimed it lapses, used it expires, scheduled it starts. `None`
    /// while there is time.
    pub fn fell_due(&self, now: Timestamp) -> Option<FellDue> {
        let due = self.due().filter(|due| *due <= now)?;
        match &self.state {
            State::Active(_) => Some(FellDue::End(EndCause::Expired)),
            State::Scheduled { .. } if now < later(due, START_GRACE) => Some(FellDue::Start),
            State::Pending { .. } | State::Scheduled { .. } | State::Requested { .. } | State::Approved { .. } => {
                Some(FellDue::End(EndCause::Lapsed))
            }
            State::Ended { .. } => None,
        }
    }

    /// Why it ends if its time is over.
    pub fn overdue(&self, now: Timestamp) -> Option<EndCause> {
        match self.fell_due(now) {
            Some(FellDue::End(why)) => Some(why),
            Some(FellDue::Start) | None => None,
        }
    }

    /// What it waits for, if it cannot be claimed yet.
    pub fn waits_for(&self) -> Option<WaitsFor> {
        match &self.state {
            State::Pending { .. } => Some(WaitsFor::Approval),
            State::Scheduled { .. } => Some(WaitsFor::Start),
            State::Requested { .. } => Some(WaitsFor::Turn),
            State::Approved { .. } | State::Active(_) | State::Ended { .. } => None,
        }
    }

    /// From when the credential should have been dead: the end of use.
    pub fn end_of_right(&self) -> Option<Timestamp> {
        match &self.state {
            State::Ended { at, .. } => Some(*at),
            State::Pending { .. }
            | State::Scheduled { .. }
            | State::Requested { .. }
            | State::Approved { .. }
            | State::Active(_) => None,
        }
    }

    /// The state's name on the wire.
    pub fn state_name(&self) -> CheckoutState {
        match &self.state {
            State::Pending { .. } | State::Scheduled { .. } | State::Requested { .. } => CheckoutState::Requested,
            State::Approved { .. } => CheckoutState::Approved,
            State::Active(_) => CheckoutState::Active,
            State::Ended { .. } => CheckoutState::Ended,
        }
    }
}

fn seconds_later(now: Timestamp, seconds: u64) -> Timestamp {
    later(now, SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)))
}
