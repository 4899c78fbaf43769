//! Four eyes: another's yes or no to a request, and what waits for it.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{self, EndCause};
use claviger_api::{CheckoutId, CustomerId, PrincipalId, Scope, Timestamp};
use claviger_core::checkout::{Approval, Checkout, State};
use claviger_core::policy::{CheckoutApprove, Permit, Resource, might};
use claviger_store::{Range, RowId, Table, Timer};

use super::{Case, FoundCheckout, is_standing, moved_on, resource};
use crate::error::Result;
use crate::event::snake_case;
use crate::idempotency::Once;
use crate::inventory::short_text;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding_once};
use crate::page::{Page, Paging, cursor_after};
use crate::records::{CheckoutRecord, StateRecord};
use crate::workers::TimerKind;

/// Who moves a request on when its last approval is there.
const APPROVALS: &str = "system/approvals";

impl Open {
    /// A yes. The last one that is needed moves the request on in the same commit.
    pub async fn approve(
        &self,
        found: &FoundCheckout,
        comment: &str,
        once: &Once,
        caller: &Caller,
        _permit: Permit<CheckoutApprove>,
    ) -> Result<wire::Checkout> {
        short_text("comment", comment)?;
        let (customer, scope) = (found.customer, Scope::Customer(found.customer));
        self.decided(found, once, caller, |case: Case| async move {
            let before = &case.checkout.value.0;
            let mut state = case.state.value.0.clone();
            let yes = Approval {
                by: caller.id,
                of_customer: caller.customer == Some(customer),
                at: self.now(),
                comment: comment.to_owned(),
            };
            let (holders, has_secret) = (case.account.settings.max_holders, is_standing(&case.account));
            let mut checkout = before.clone().approve(yes, &mut state, holders, has_secret, self.now())?;
            let event = self
                .event(scope, EventKind::CheckoutApprovalGiven, caller)
                .with(FieldName::Approvals, how_many(&checkout))
                .with_personal(caller.id, FieldName::Comment, comment);
            let mut change = self.change(self.about(event, customer, &checkout, &case.account).await?);
            if checkout.state != before.state {
                let event = self.automatic(scope, moved_on(&checkout.state), APPROVALS);
                let event = event.with(FieldName::Principal, checkout.principal);
                change = change.and(self.about(event, customer, &checkout, &case.account).await?);
                change = self.with_login_for_a_place(change, &case, &mut state, &mut checkout)?;
                change = Self::retimed(change, customer, checkout.id, before.due(), checkout.due())?;
            }
            let change = change.update(&case.state, &StateRecord(state))?;
            change.update(&case.checkout, &CheckoutRecord(checkout))
        })
        .await
    }

    /// A no. It ends the request, and also what was approved before, in use or not: then it revokes.
    pub async fn deny(
        &self,
        found: &FoundCheckout,
        comment: &str,
        once: &Once,
        caller: &Caller,
        _permit: Permit<CheckoutApprove>,
    ) -> Result<wire::Checkout> {
        short_text("comment", comment)?;
        let (customer, scope) = (found.customer, Scope::Customer(found.customer));
        self.decided(found, once, caller, |case: Case| async move {
            let checkout = &case.checkout.value.0;
            checkout.may_be_denied_by(caller.id)?;
            let why = checkout.overdue(self.now()).unwrap_or(EndCause::Denied);
            let ended = self.event(scope, EventKind::CheckoutEnded, caller);
            let change = self.ended(&case, why, ended, None).await?;
            if why != EndCause::Denied {
                return Ok(change);
            }
            let event = self
                .event(scope, EventKind::CheckoutDenied, caller)
                .with(FieldName::Outcome, snake_case(&checkout.state_name()))
                .with_personal(caller.id, FieldName::Comment, comment);
            Ok(change.and(self.about(event, customer, checkout, &case.account).await?))
        })
        .await
    }

    /// One decision of somebody's on a checkout, done once: the change that `decide` makes of the case as it stands.
    pub(super) async fn decided<'a, F: Future<Output = Result<Change<'a>>>>(
        &'a self,
        found: &FoundCheckout,
        once: &Once,
        caller: &Caller,
        decide: impl Fn(Case) -> F,
    ) -> Result<wire::Checkout> {
        let scope = Scope::Customer(found.customer);
        deciding_once(once, || async {
            if self.done(scope, once, caller).await?.is_some() {
                return Ok(());
            }
            let case = self.case(found.customer, found.id).await?;
            let change = decide(case).await?;
            self.commit(self.remember(change, scope, once, caller, found.id.uuid())?).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.checkout_view(found.customer, found.id).await
    }

    /// What waits for the caller's yes, at every customer, the most urgent first. Found by the timers of what is open, so
    /// that it costs nothing for all that has ended.
    pub async fn awaiting(&self, paging: &Paging, caller: &Caller) -> Result<Page<wire::Checkout>> {
        let (policies, powers, subject) = (&self.ground().policies, &caller.powers.compiled, caller.subject());
        let visible = |checkout: &Resource| might::<CheckoutApprove>(policies, powers, &subject, checkout, self.now());
        let mut range = paging.within(Range::table(Table::Timers))?;
        let mut found: Vec<(RowId, wire::Checkout)> = Vec::new();
        loop {
            let rows = self.ground().store.scan(&range).await?;
            for (key, _) in &rows {
                let Some((row, checkout)) = self.open_checkout_of(key).await? else { continue };
                let waits = matches!(checkout.1.state, State::Pending { until } if self.now() < until);
                let given = |by| checkout.1.approvals.iter().any(|a| a.given.iter().any(|yes| yes.by == by));
                if !waits || given(caller.id) || !visible(&resource(checkout.0, &checkout.1)) {
                    continue;
                }
                if found.len() == paging.limit() {
                    let next_cursor = found.last().map(|(row, _)| cursor_after(row));
                    return Ok(Page { items: found.into_iter().map(|(_, view)| view).collect(), next_cursor });
                }
                found.push((row, self.view(checkout.0, checkout.1).await?));
            }
            match rows.last() {
                Some((last, _)) if rows.len() == range.limit => range = range.after(last),
                Some(_) | None => {
                    return Ok(Page { items: found.into_iter().map(|(_, view)| view).collect(), next_cursor: None });
                }
            }
        }
    }

    /// The checkout whose end or start this timer is.
    pub(crate) async fn open_checkout_of(
        &self,
        key: &claviger_store::StoreKey,
    ) -> Result<Option<(RowId, (CustomerId, Checkout))>> {
        let Ok(row) = RowId::from_key(key) else { return Ok(None) };
        let Some(timer) = row.as_timer() else { return Ok(None) };
        Ok(self.checkout_of(&timer).await?.map(|checkout| (row, checkout)))
    }

    /// The same, of a timer that was read.
    pub(super) async fn checkout_of(&self, timer: &Timer) -> Result<Option<(CustomerId, Checkout)>> {
        let Scope::Customer(customer) = timer.scope else { return Ok(None) };
        if timer.kind != TimerKind::CheckoutDue as u8 || !self.keyring().holds(timer.scope) {
            return Ok(None);
        }
        let id = RowId::checkout(customer, CheckoutId::from_uuid(timer.id));
        let checkout = self.read::<CheckoutRecord>(&id).await?;
        Ok(checkout.map(|checkout| (customer, checkout.value.0)))
    }

    /// Those who gave a yes and might give it today: a person who was suspended or lost the grant counts no more.
    /// Nobody is looked up unless the next reveal claims the checkout.
    pub(super) async fn still_approvers(&self, case: &Case) -> Result<Vec<PrincipalId>> {
        let checkout = &case.checkout.value.0;
        let mut still = Vec::new();
        for by in checkout.approvers_at_claim() {
            if self.might::<CheckoutApprove>(by, &resource(case.customer, checkout)).await? {
                still.push(by);
            }
        }
        Ok(still)
    }

    /// The start has come: a seat, or a place in the queue. Where there is neither, the request lapses.
    pub(super) async fn start_scheduled(&self, case: &Case, now: Timestamp) -> Result<()> {
        let customer = case.customer;
        let scope = Scope::Customer(customer);
        let before = &case.checkout.value.0;
        let mut state = case.state.value.0.clone();
        let (holders, has_secret) = (case.account.settings.max_holders, is_standing(&case.account));
        let Ok(mut checkout) = before.clone().start(&mut state, holders, has_secret, now) else {
            let event = self.automatic(scope, EventKind::CheckoutEnded, super::end::EXPIRY);
            let change = self.ended(case, EndCause::Lapsed, event, None).await?;
            return self.commit(change).await.map(drop);
        };
        let event = self.automatic(scope, moved_on(&checkout.state), super::end::EXPIRY);
        let event = event.with(FieldName::Principal, checkout.principal);
        let mut change = self.change(self.about(event, customer, &checkout, &case.account).await?);
        change = self.with_login_for_a_place(change, case, &mut state, &mut checkout)?;
        change = Self::retimed(change, customer, before.id, before.due(), checkout.due())?;
        let change = change.update(&case.state, &StateRecord(state))?;
        self.commit(change.update(&case.checkout, &CheckoutRecord(checkout))?).await.map(drop)
    }
}

/// E.g. `1 of 2`.
fn how_many(checkout: &Checkout) -> String {
    checkout.approvals.as_ref().map(|a| format!("{} of {}", a.given.len(), a.rule.count)).unwrap_or_default()
}
