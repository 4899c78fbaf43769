//! A request and its start: a seat, a place in the queue, or a wait for approvals or for the start.

use claviger_api::wire::{ApprovalRule, Claim, OnConflict};
use claviger_api::{AccountId, CheckoutId, PrincipalId, SystemId, Timestamp};

use super::{
    ASKING_MOST, Approvals, Asked, CLAIM_WINDOW, Checkout, DECIDE_WITHIN, FellDue, QUEUE_MOST, Refusal, START_GRACE,
    START_MOST, State, UnderGlass, WAIT_MOST, allowed_ttl, seconds_later,
};
use crate::account::{AccountState, Availability};
use crate::rotation::later;

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
    /// When the use may start, if not at once.
    pub not_before: Option<Timestamp>,
    /// The approvals that the grant wants.
    pub rule: Option<ApprovalRule>,
    /// Approvals of an earlier checkout of the same principal, those alone that still count.
    pub earlier: Option<Approvals>,
    /// The broken glass that it is taken under.
    pub under_glass: Option<UnderGlass>,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Store the new checkout and the account's seats.
    New(Box<Checkout>),
    /// The caller already holds this one.
    Reuse(CheckoutId),
}

/// Decides a request: a seat, a place in the queue, the caller's own checkout, a wait for approvals or for the start, or
/// no.
pub fn request(
    wanted: Wanted,
    account: &mut AccountState,
    max_holders: u32,
    has_secret: bool,
    now: Timestamp,
) -> Result<Decision, Refusal> {
    let ttl_seconds = allowed_ttl(wanted.ttl_seconds, wanted.most_seconds)?;
    let not_before = wanted.not_before.filter(|start| *start > now);
    if not_before.is_some_and(|start| start > later(now, START_MOST)) {
        return Err(Refusal::Start);
    }
    if wanted.on_conflict == OnConflict::Reuse
        && let Some(own) = account.own(wanted.principal, not_before)
    {
        return Ok(Decision::Reuse(own));
    }
    let (rule, earlier) = (wanted.rule, wanted.earlier.clone());
    let (claim, on_conflict) = (wanted.claim, wanted.on_conflict);
    let mut checkout =
        wanted.checkout(ttl_seconds, not_before, State::Pending { until: decided_by(not_before, now) }, now);
    if let Some(rule) = rule {
        checkout.approvals = Some(checkout.needs(rule, earlier, now));
    }
    let approved = checkout.approvals.as_ref().is_none_or(|approvals| approvals.suffice(|_| true));
    let available = account.availability(max_holders, has_secret);
    if available == Availability::Empty {
        return Err(Refusal::NotAvailable(available));
    }
    match (approved, not_before) {
        (true, None) => checkout.state = checkout.place(account, available, claim, on_conflict, now)?,
        (true | false, _) if account.asking.len() >= ASKING_MOST => return Err(Refusal::AskingFull),
        (true, Some(starts_at)) => checkout.state = State::Scheduled { starts_at },
        (false, _) => {}
    }
    account.note(&checkout);
    Ok(Decision::New(Box::new(checkout)))
}

impl Wanted {
    /// The checkout that is asked for, without approvals.
    pub(super) fn checkout(
        self,
        ttl_seconds: u64,
        not_before: Option<Timestamp>,
        state: State,
        now: Timestamp,
    ) -> Checkout {
        Checkout {
            id: self.id,
            system: self.system,
            account: self.account,
            principal: self.principal,
            reason: self.reason,
            ticket: self.ticket,
            ttl_seconds,
            most_seconds: self.most_seconds,
            not_before,
            approvals: None,
            created_at: now,
            state,
            reveals: 0,
            seen: Vec::new(),
            ephemeral: None,
            certificates: None,
            under_glass: self.under_glass,
        }
    }
}

/// Until when a request waits for its approvals.
fn decided_by(not_before: Option<Timestamp>, now: Timestamp) -> Timestamp {
    not_before.map_or_else(|| later(now, DECIDE_WITHIN), |start| later(start, START_GRACE))
}

impl Checkout {
    /// The start has come of what waited for nothing else.
    pub fn start(
        self,
        account: &mut AccountState,
        max_holders: u32,
        has_secret: bool,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        match self.fell_due(now) {
            Some(FellDue::Start) => self.enter(account, max_holders, has_secret, now),
            Some(FellDue::End(_)) => Err(Refusal::Ended),
            None => Err(Refusal::NotReady),
        }
    }

    /// A seat with a window to claim it, or a place in the queue: whoever asked is perhaps not there just now.
    pub(super) fn enter(
        mut self,
        account: &mut AccountState,
        max_holders: u32,
        has_secret: bool,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let available = account.availability(max_holders, has_secret);
        if available == Availability::Empty {
            return Err(Refusal::NotAvailable(available));
        }
        self.state = self.place(account, available, Claim::Later, OnConflict::Wait, now)?;
        account.leave(self.id);
        account.note(&self);
        Ok(self)
    }

    /// A seat or a place in the queue, for what waits for nothing else.
    fn place(
        &self,
        account: &AccountState,
        available: Availability,
        claim: Claim,
        on_conflict: OnConflict,
        now: Timestamp,
    ) -> Result<State, Refusal> {
        match (available, on_conflict, claim) {
            (Availability::Free, _, Claim::Now) if account.waiting.is_empty() => Ok(State::Active(self.used_from(now))),
            (Availability::Free, _, Claim::Later) if account.waiting.is_empty() => {
                Ok(State::Approved { claim_until: later(now, CLAIM_WINDOW) })
            }
            (_, OnConflict::Wait, _) if account.waiting.len() >= QUEUE_MOST => Err(Refusal::QueueFull),
            (_, OnConflict::Wait, _) => Ok(State::Requested { until: later(now, WAIT_MOST) }),
            (Availability::Free | Availability::Held, OnConflict::Fail | OnConflict::Reuse, _) => Err(Refusal::Held),
            (
                Availability::Rotating | Availability::Unresolved | Availability::Empty,
                OnConflict::Fail | OnConflict::Reuse,
                _,
            ) => Err(Refusal::NotAvailable(available)),
        }
    }

    /// The approvals that it needs by this rule: an earlier checkout's if they are enough for it, else new ones.
    fn needs(&self, rule: ApprovalRule, earlier: Option<Approvals>, now: Timestamp) -> Approvals {
        let still_good = |earlier: &Approvals| {
            let until = earlier.good_until.unwrap_or(Timestamp::MIN);
            rule.reuse
                && earlier.cover(self)
                && earlier.suffice(|_| true)
                && seconds_later(now, self.ttl_seconds) <= until
        };
        let earlier = earlier.map(|earlier| Approvals { rule, ..earlier }).filter(still_good);
        earlier.unwrap_or_else(|| Approvals { rule, asked: self.asked(), given: Vec::new(), good_until: None })
    }

    fn asked(&self) -> Asked {
        Asked {
            account: self.account,
            principal: self.principal,
            reason: self.reason.clone(),
            ticket: self.ticket.clone(),
            ttl_seconds: self.ttl_seconds,
            not_before: self.not_before,
        }
    }
}
