//! The end: check-in, expiry, revocation, take-over. In one commit the seat is given up, the rotation that revokes what
//! was seen is started, and whoever waits has a turn if there is a seat.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, CheckoutState, EndCause, RotationCause, TTL_DEFAULT_SECONDS};
use claviger_api::{CheckoutId, CustomerId, Scope};
use claviger_core::checkout::{Checkout, FellDue, Refusal, State, WAIT_MOST};
use claviger_core::policy::{CheckoutCheckin, CheckoutRevoke, CheckoutTakeOver, Permit};
use claviger_store::RowId;

use super::{Case, FoundCheckout, is_ephemeral, is_standing};
use crate::break_glass::Glass;
use crate::error::{Error, Result};
use crate::event::{Event, snake_case};
use crate::idempotency::Once;
use crate::inventory::short_text;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{CheckoutRecord, StateRecord, TimerRecord};
use crate::workers::TimerKind;

/// Who ends a checkout by its time.
pub(super) const EXPIRY: &str = "system/expiry";

impl Open {
    /// The holder is done. One that was not used yet is cancelled.
    pub async fn check_in(
        &self,
        found: &FoundCheckout,
        once: &Once,
        caller: &Caller,
        _permit: Permit<CheckoutCheckin>,
    ) -> Result<wire::Checkout> {
        self.decided(found, once, caller, |case: Case| async move {
            let why = match case.checkout.value.0.state_name() {
                CheckoutState::Active => EndCause::CheckedIn,
                CheckoutState::Requested | CheckoutState::Approved | CheckoutState::Ended => EndCause::Cancelled,
            };
            self.ended_by(&case, why, "", caller).await
        })
        .await
    }

    /// Somebody who may ends another's.
    pub async fn revoke(
        &self,
        found: &FoundCheckout,
        reason: &str,
        once: &Once,
        caller: &Caller,
        _permit: Permit<CheckoutRevoke>,
    ) -> Result<wire::Checkout> {
        short_text("reason", reason)?;
        let end = |case: Case| async move { self.ended_by(&case, EndCause::Revoked, reason, caller).await };
        self.decided(found, once, caller, end).await
    }

    /// Ends another's checkout, rotates, and gives the caller the next turn. The holder sees `taken_over`.
    pub async fn take_over(
        &self,
        found: &FoundCheckout,
        reason: &str,
        once: &Once,
        caller: &Caller,
        permit: Permit<CheckoutTakeOver>,
    ) -> Result<wire::Checkout> {
        short_text("reason", reason)?;
        let customer = found.customer;
        let scope = Scope::Customer(customer);
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return Ok(CheckoutId::from_uuid(done));
            }
            let serves = self.serves(customer).await?;
            let glass = self.glass(customer, permit.break_glass()).await?;
            if Glass::approves(glass.as_ref(), permit.approvals()).is_some() {
                return Err(Refusal::NotApproved.into());
            }
            let holder = self.holder(caller.id).await?;
            let case = self.case(customer, found.id).await?;
            may_be_taken(&case, caller)?;
            let under_glass = glass.as_ref().map(|glass| glass.under);
            let next = self.next_in_line(&case.checkout.value.0, reason, caller, permit.max_checkout_seconds());
            let next = Checkout { under_glass, ..next };
            let event = self.event(scope, EventKind::CheckoutEnded, caller);
            let event = event.with_personal(caller.id, FieldName::Reason, reason);
            let change = self.ended(&case, EndCause::TakenOver, event, Some(&next)).await?;
            let change = change.expect(&holder).expect_at(RowId::customer(customer), serves);
            let change = self.noted(change, glass.as_ref(), next.id)?;
            self.commit(self.remember(change, scope, once, caller, next.id.uuid())?).await?;
            Ok(next.id)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.checkout_view(customer, id).await
    }

    /// The time is over, or has come: acts on the checkout whose timer this was, and on no other.
    pub(crate) async fn expire(&self, customer: CustomerId, id: CheckoutId) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            let now = self.now();
            let why = match case.checkout.value.0.fell_due(now) {
                Some(FellDue::End(why)) => why,
                Some(FellDue::Start) => return self.start_scheduled(&case, now).await,
                None => return Ok(()),
            };
            let event = self.automatic(Scope::Customer(customer), EventKind::CheckoutEnded, EXPIRY);
            let change = self.ended(&case, why, event, None).await?;
            self.commit(change).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(())
    }

    /// Ends a checkout that cannot be used: its login could not be made.
    pub(super) async fn give_up(&self, customer: CustomerId, id: CheckoutId, why: &str) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await?;
            if case.checkout.value.0.state_name() == CheckoutState::Ended {
                return Ok(());
            }
            let event = self
                .automatic(Scope::Customer(customer), EventKind::CheckoutEnded, "system/checkout")
                .with(FieldName::Detail, why);
            let change = self.ended(&case, EndCause::Cancelled, event, None).await?;
            self.commit(change).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(())
    }

    /// The change by which somebody ends a checkout. Past its time it has expired, whoever comes to end it now.
    async fn ended_by<'a>(&'a self, case: &Case, why: EndCause, reason: &str, caller: &Caller) -> Result<Change<'a>> {
        let why = case.checkout.value.0.overdue(self.now()).unwrap_or(why);
        let event = self.event(Scope::Customer(case.customer), EventKind::CheckoutEnded, caller);
        self.ended(case, why, event.with_personal(caller.id, FieldName::Reason, reason), None).await
    }

    /// The change that ends a checkout. `next` goes to the head of the queue.
    pub(crate) async fn ended<'a>(
        &'a self,
        case: &Case,
        why: EndCause,
        event: Event,
        next: Option<&Checkout>,
    ) -> Result<Change<'a>> {
        let customer = case.customer;
        let before = &case.checkout.value.0;
        let mut state = case.state.value.0.clone();
        // What was seen under break-glass, or ends in an emergency, is rotated, whatever the account's setting.
        let emergency = self.standing_of(customer).await?.emergency.is_some();
        let rotates = case.account.settings.rotate_on_end || before.under_glass.is_some() || emergency;
        let rotates = rotates && is_standing(&case.account);
        let mut checkout = before.clone().end(why, rotates, &mut state, self.now())?;
        let event = self.about(event, customer, before, &case.account).await?;
        let mut event = event.with(FieldName::Cause, snake_case(&why)).with(FieldName::Reveals, before.reveals);
        if let State::Ended { revocation, .. } = &checkout.state {
            event = event.with(FieldName::Outcome, snake_case(&revocation.state));
        }
        let mut change = self.change(event);
        change = Self::retimed(change, customer, before.id, before.due(), None)?;
        if let Some(login) = &checkout.ephemeral {
            let due = self.removal_due(case, login.made).await?;
            change = change.create(TimerKind::LoginRemoval.row(due, customer, before.id.uuid()), &TimerRecord {})?;
        }
        change = self.revoke_certificates(change, customer, &checkout)?;
        if let Some(next) = next {
            state.waiting.insert(0, next.id);
        }
        let started;
        (change, started) = self.revoke_what_ended(change, customer, &case.account, &mut state, before.id).await?;
        if let (Some(rotation), State::Ended { revocation, .. }) = (started, &mut checkout.state) {
            revocation.rotation = Some(rotation);
        }
        change = change.update(&case.checkout, &CheckoutRecord(checkout))?;
        change = self.hand_on(change, customer, &case.account, &mut state, next).await?;
        change.update(&case.state, &StateRecord(state))
    }

    /// Starts the rotation that revokes what the ended checkouts have seen, unless one is under way: that one starts
    /// the next when it is settled.
    async fn revoke_what_ended<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        account: &crate::records::AccountRecord,
        state: &mut claviger_core::account::AccountState,
        ended: CheckoutId,
    ) -> Result<(Change<'a>, Option<claviger_api::RotationId>)> {
        let busy = state.rotation.is_some_and(|running| !running.settled);
        if busy || state.to_revoke.is_empty() {
            return Ok((change, None));
        }
        let started =
            self.start_rotation(change, customer, account, state, RotationCause::CheckoutEnded, Some(ended)).await?;
        Ok((started.0, Some(started.1)))
    }

    fn next_in_line(&self, taken: &Checkout, reason: &str, caller: &Caller, most_seconds: u64) -> Checkout {
        let now = self.now();
        Checkout {
            id: CheckoutId::from_uuid(self.new_uuid()),
            principal: caller.id,
            reason: reason.to_owned(),
            ticket: None,
            ttl_seconds: TTL_DEFAULT_SECONDS.min(most_seconds),
            most_seconds,
            created_at: now,
            state: State::Requested { until: now.saturating_add(WAIT_MOST).unwrap_or(claviger_api::Timestamp::MAX) },
            reveals: 0,
            seen: Vec::new(),
            ephemeral: None,
            certificates: None,
            not_before: None,
            approvals: None,
            under_glass: None,
            ..taken.clone()
        }
    }
}

fn may_be_taken(case: &Case, caller: &Caller) -> Result<()> {
    let refuse = |why: &str| Err(Error::new(ProblemType::InUse, why));
    if case.checkout.value.0.principal == caller.id {
        return refuse("It is your own checkout already.");
    }
    if is_ephemeral(&case.account) {
        return refuse("Each checkout of an ephemeral account has a login of its own; check the account out.");
    }
    Ok(())
}
