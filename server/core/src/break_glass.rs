//! Break-glass: emergency access that two people open, that ends, and that a third reviews.
//!
//! ```text
//! asked ─ another agrees ─→ open ─ closed, or its end ─→ ending ─ its checkouts have ended ─→ in review ─→ reviewed
//!   └─ closed, or nobody agrees in time ─→ withdrawn
//! ```
//!
//! A stored state is an enum whose variants carry that state's data. What an open glass gives is a grant (`policy`), made
//! in the commit that opens it and gone in the commit that closes it.

use claviger_api::wire::{ApprovalRule, BREAK_GLASS_TTL_MAX_SECONDS, BreakGlassState, TTL_MIN_SECONDS};
use claviger_api::{BreakGlassId, CheckoutId, GrantId, PrincipalId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::checkout::{APPROVALS_MOST, Approval};
use crate::policy::{Conditions, GrantTarget};
use crate::rotation::later;

#[cfg(test)]
mod tests;

/// How long a glass waits for others to agree.
pub const AGREE_WITHIN: SignedDuration = SignedDuration::from_hours(1);
/// By when a closed glass is to be reviewed. Past it those who broke it break no other at that customer.
pub const REVIEW_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The most checkouts under one glass.
pub const CHECKOUTS_MOST: usize = 500;

/// Where a glass is, with that state's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum State {
    /// Waits for others to agree.
    Asked {
        /// Lapses then.
        until: Timestamp,
    },
    /// Gives its opener the access.
    Open(Opened),
    /// Gives nothing any more; what was checked out under it is being ended.
    Ending {
        /// When it was open.
        opened: Opened,
        /// When it was closed.
        closed: Closed,
    },
    /// Waits for its review.
    InReview {
        /// When it was open.
        opened: Opened,
        /// When it was closed.
        closed: Closed,
        /// By when it is to be reviewed.
        due: Timestamp,
        /// That it was not has been told.
        told: bool,
    },
    /// Over.
    Reviewed {
        /// When it was open.
        opened: Opened,
        /// When it was closed.
        closed: Closed,
        /// What came of it.
        review: Review,
    },
    /// Over without having been open.
    Withdrawn(Closed),
}

/// The time of the access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// When it was opened.
    pub at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// The grant that it gives.
    pub grant: GrantId,
}

/// The end of the access, or of the wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// When: the moment of the act, or the end that fell due.
    pub at: Timestamp,
    /// By whom; nobody, where its time was over.
    pub by: Option<PrincipalId>,
}

/// A review that is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: PrincipalId,
    /// What came of it.
    pub verdict: String,
}

/// One glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Its id.
    pub id: BreakGlassId,
    /// Where it gives access: never everywhere.
    pub scope: GrantTarget,
    /// Who asked, and has the access.
    pub opener: PrincipalId,
    /// Why.
    pub reason: String,
    /// How long it is open at most.
    pub ttl_seconds: u64,
    /// How many others must agree, and whose.
    pub rule: ApprovalRule,
    /// Who has agreed, each another person.
    pub agreed: Vec<Approval>,
    /// What of the opener's own conditions binds the access, too.
    pub conditions: Conditions,
    /// The longest checkout under it.
    pub max_checkout_seconds: u64,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// What was checked out under it.
    pub checkouts: Vec<CheckoutId>,
    /// Where it is.
    pub state: State,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The new glass's id.
    pub id: BreakGlassId,
    /// Where.
    pub scope: GrantTarget,
    /// Who asks.
    pub opener: PrincipalId,
    /// Why.
    pub reason: String,
    /// How long it is open at most.
    pub ttl_seconds: u64,
    /// The approvals that the opener's grant and the customer want.
    pub rule: Option<ApprovalRule>,
    /// The conditions of the opener's grant.
    pub conditions: Conditions,
    /// The longest checkout by the opener's grant.
    pub max_checkout_seconds: u64,
}

/// What can be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too short or too long.
    #[error("a glass is open for {TTL_MIN_SECONDS} to {BREAK_GLASS_TTL_MAX_SECONDS} seconds (8 hours)")]
    Ttl,
    /// Everywhere is no place for it.
    #[error("a glass is one customer's: name the customer, or what of it")]
    Everywhere,
    /// Nobody agrees to their own.
    #[error("nobody agrees to what they asked for")]
    Own,
    /// It is open already, or this person has agreed.
    #[error("it waits for no agreement of this person")]
    NothingToAgree,
    /// It is over.
    #[error("the glass is closed")]
    Closed,
    /// It is not closed yet.
    #[error("the glass, or what was checked out under it, has not ended")]
    NotEnded,
    /// Nobody reviews what they had a part in.
    #[error("nobody reviews what they opened or agreed to")]
    Involved,
    /// Too many checkouts.
    #[error("{CHECKOUTS_MOST} checkouts were made under this glass")]
    CheckoutsFull,
}

/// What the time that has come means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FellDue {
    /// It is over: nobody agreed, or it was open for its time.
    Close,
    /// What was checked out under it is to be ended.
    EndCheckouts,
    /// Nobody has reviewed it.
    Remind,
}

impl BreakGlass {
    /// A new one. It opens when another person has agreed, or as many as the opener's grant and the customer want.
    ///
    /// Of the grant's own conditions, networks, fresh factor and reach bind the access, too. Approvals are those of the
    /// glass; ticket, hours, verbs and the budget of reveals are for usual days.
    pub fn ask(wanted: Wanted, now: Timestamp) -> Result<Self, Refusal> {
        if !(TTL_MIN_SECONDS..=BREAK_GLASS_TTL_MAX_SECONDS).contains(&wanted.ttl_seconds) {
            return Err(Refusal::Ttl);
        }
        if wanted.scope == GrantTarget::Operator {
            return Err(Refusal::Everywhere);
        }
        let rule = wanted.rule.unwrap_or(ApprovalRule { count: 1, by_customer: false, reuse: false });
        let Conditions { fresh_factor, networks, reaches, .. } = wanted.conditions;
        Ok(Self {
            id: wanted.id,
            scope: wanted.scope,
            opener: wanted.opener,
            reason: wanted.reason,
            ttl_seconds: wanted.ttl_seconds,
            rule: ApprovalRule { count: rule.count.max(1), ..rule },
            agreed: Vec::new(),
            conditions: Conditions { fresh_factor, networks, reaches, ..Conditions::default() },
            max_checkout_seconds: wanted.max_checkout_seconds.min(wanted.ttl_seconds),
            asked_at: now,
            checkouts: Vec::new(),
            state: State::Asked { until: later(now, AGREE_WITHIN) },
        })
    }

    /// Another's yes. With the last one that is needed it is open, and gives `grant`.
    pub fn agree(mut self, yes: Approval, grant: GrantId, now: Timestamp) -> Result<Self, Refusal> {
        match self.state {
            State::Asked { until } if now < until => {}
            State::Open(opened) if now < opened.ends_at => return Err(Refusal::NothingToAgree),
            State::Asked { .. }
            | State::Open(_)
            | State::Ending { .. }
            | State::InReview { .. }
            | State::Reviewed { .. }
            | State::Withdrawn(_) => return Err(Refusal::Closed),
        }
        if yes.by == self.opener {
            return Err(Refusal::Own);
        }
        if self.involves(yes.by) || self.agreed.len() >= APPROVALS_MOST {
            return Err(Refusal::NothingToAgree);
        }
        self.agreed.push(yes);
        if self.agreement_meets(self.rule) {
            let life = SignedDuration::from_secs(i64::try_from(self.ttl_seconds).unwrap_or(i64::MAX));
            self.state = State::Open(Opened { at: now, ends_at: later(now, life), grant });
        }
        Ok(self)
    }

    /// Whether those who agreed are as many, and of those, whom this rule wants.
    pub fn agreement_meets(&self, rule: ApprovalRule) -> bool {
        self.agreed.len() >= usize::from(rule.count)
            && (!rule.by_customer || self.agreed.iter().any(|yes| yes.of_customer))
    }

    /// When it was opened and ends, while it gives anything.
    pub fn open_at(&self, now: Timestamp) -> Option<Opened> {
        match self.state {
            State::Open(opened) if now < opened.ends_at => Some(opened),
            State::Open(_)
            | State::Asked { .. }
            | State::Ending { .. }
            | State::InReview { .. }
            | State::Reviewed { .. }
            | State::Withdrawn(_) => None,
        }
    }

    /// Remembers a checkout under it, which ends with it.
    pub fn note(mut self, checkout: CheckoutId, now: Timestamp) -> Result<Self, Refusal> {
        self.open_at(now).ok_or(Refusal::Closed)?;
        if self.checkouts.len() >= CHECKOUTS_MOST {
            return Err(Refusal::CheckoutsFull);
        }
        self.checkouts.push(checkout);
        Ok(self)
    }

    /// Somebody ends it, or its time does. Past its end it ended then, whoever comes to close it now.
    pub fn close(mut self, by: Option<PrincipalId>, now: Timestamp) -> Result<Self, Refusal> {
        let closed = |end: Timestamp| Closed { at: now.min(end), by: by.filter(|_| now < end) };
        self.state = match self.state {
            State::Asked { until } => State::Withdrawn(closed(until)),
            State::Open(opened) => State::Ending { opened, closed: closed(opened.ends_at) },
            State::Ending { .. } | State::InReview { .. } | State::Reviewed { .. } | State::Withdrawn(_) => {
                return Err(Refusal::Closed);
            }
        };
        Ok(self)
    }

    /// All that was checked out under it has ended. Nothing changes where it was not being ended.
    #[must_use]
    pub fn ended(mut self) -> Self {
        if let State::Ending { opened, closed } = self.state {
            let due = later(closed.at, REVIEW_WITHIN);
            self.state = State::InReview { opened, closed, due, told: false };
        }
        self
    }

    /// That it was not reviewed in time has been told.
    #[must_use]
    pub fn reminded(mut self) -> Self {
        if let State::InReview { told, .. } = &mut self.state {
            *told = true;
        }
        self
    }

    /// Somebody who had no part in it says what came of it.
    pub fn review(mut self, by: PrincipalId, verdict: String, now: Timestamp) -> Result<Self, Refusal> {
        if self.involves(by) {
            return Err(Refusal::Involved);
        }
        match self.state {
            State::InReview { opened, closed, .. } => {
                self.state = State::Reviewed { opened, closed, review: Review { at: now, by, verdict } };
                Ok(self)
            }
            State::Asked { .. } | State::Open(_) | State::Ending { .. } => Err(Refusal::NotEnded),
            State::Reviewed { .. } | State::Withdrawn(_) => Err(Refusal::Closed),
        }
    }

    /// Whether this person opened it or agreed to it.
    pub fn involves(&self, person: PrincipalId) -> bool {
        self.opener == person || self.agreed.iter().any(|yes| yes.by == person)
    }

    /// Whether somebody has still something to do with it.
    pub fn is_pending(&self) -> bool {
        match self.state {
            State::Asked { .. } | State::Open(_) | State::Ending { .. } | State::InReview { .. } => true,
            State::Reviewed { .. } | State::Withdrawn(_) => false,
        }
    }

    /// Whether it should have been reviewed.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        matches!(self.state, State::InReview { due, .. } if due <= now)
    }

    /// When something is to be done with it, if nobody does anything. A timer of this time is stored with every state.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Asked { until } => Some(*until),
            State::Open(opened) => Some(opened.ends_at),
            State::Ending { closed, .. } => Some(closed.at),
            State::InReview { due, told: false, .. } => Some(*due),
            State::InReview { told: true, .. } | State::Reviewed { .. } | State::Withdrawn(_) => None,
        }
    }

    /// What the time that has come means. `None` while there is time.
    pub fn fell_due(&self, now: Timestamp) -> Option<FellDue> {
        self.due().filter(|due| *due <= now)?;
        match self.state {
            State::Asked { .. } | State::Open(_) => Some(FellDue::Close),
            State::Ending { .. } => Some(FellDue::EndCheckouts),
            State::InReview { .. } => Some(FellDue::Remind),
            State::Reviewed { .. } | State::Withdrawn(_) => None,
        }
    }

    /// The state's name on the wire.
    pub fn state_name(&self) -> BreakGlassState {
        match self.state {
            State::Asked { .. } => BreakGlassState::Asked,
            State::Open(_) => BreakGlassState::Open,
            State::Ending { .. } => BreakGlassState::Closing,
            State::InReview { .. } => BreakGlassState::InReview,
            State::Reviewed { .. } => BreakGlassState::Reviewed,
            State::Withdrawn(_) => BreakGlassState::Withdrawn,
        }
    }

    /// When it was open.
    pub fn opened(&self) -> Option<Opened> {
        match self.state {
            State::Open(opened)
            | State::Ending { opened, .. }
            | State::InReview { opened, .. }
            | State::Reviewed { opened, .. } => Some(opened),
            State::Asked { .. } | State::Withdrawn(_) => None,
        }
    }

    /// When it was closed.
    pub fn closed(&self) -> Option<Closed> {
        match self.state {
            State::Ending { closed, .. }
            | State::InReview { closed, .. }
            | State::Reviewed { closed, .. }
            | State::Withdrawn(closed) => Some(closed),
            State::Asked { .. } | State::Open(_) => None,
        }
    }
}
