//! Check-out: the time-bound right of one principal to one account, from its request to the proof of its end.
//!
//! Each step is one commit of the checkout, the account's seats, the timer and the event: there is never a seat
//! without an end.

use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, AccountKind, CheckoutState};
use claviger_api::{AccountPath, CheckoutId, CustomerId, Scope};
use claviger_core::checkout::{Checkout, State};
use claviger_core::policy::{CheckoutView, Permit, Resource};
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::inventory::accounts::of_account;
use crate::journal::Change;
use crate::open::Open;
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, CheckoutRecord, StateRecord, TimerRecord};
use crate::workers::TimerKind;

mod canary;
mod create;
mod cut;
mod decide;
mod end;
pub(crate) mod ephemeral;
mod extend;
mod queue;
mod reveal;
mod sign;

/// A checkout that was found by its id. Finding says nothing of who may know of it.
pub struct FoundCheckout {
    /// Its customer.
    pub customer: CustomerId,
    /// Its id.
    pub id: CheckoutId,
    resource: Resource,
    /// Whether a login is made for it alone.
    ephemeral: bool,
}

impl FoundCheckout {
    /// The checkout, for the policy.
    pub fn resource(&self) -> Resource {
        self.resource
    }
}

/// What a decision about a checkout reads, all of it expected to be unchanged when the decision is committed.
pub(crate) struct Case {
    pub customer: CustomerId,
    pub checkout: Versioned<Arc<CheckoutRecord>>,
    pub account: Arc<AccountRecord>,
    pub state: Versioned<Arc<StateRecord>>,
}

impl Open {
    /// The checkout of this id.
    pub async fn find_checkout(&self, id: CheckoutId) -> Result<FoundCheckout> {
        let customer = self.customer_of_checkout(id).await?;
        let row = self.load_shared::<CheckoutRecord>(&RowId::checkout(customer, id)).await?;
        let (resource, ephemeral) = (resource(customer, &row.value.0), row.value.0.ephemeral.is_some());
        Ok(FoundCheckout { customer, id, resource, ephemeral })
    }

    /// One checkout, as its readers see it.
    pub async fn checkout(&self, found: &FoundCheckout, _permit: Permit<CheckoutView>) -> Result<wire::Checkout> {
        self.checkout_view(found.customer, found.id).await
    }

    /// A customer's checkouts, the newest first.
    pub async fn checkouts(
        &self,
        customer: CustomerId,
        state: Option<CheckoutState>,
        paging: &Paging,
        visible: impl Fn(&Resource) -> bool,
    ) -> Result<Page<wire::Checkout>> {
        let range = Range::scope(Table::Checkouts, Scope::Customer(customer)).reversed();
        let wanted = |row: &CheckoutRecord| {
            state.is_none_or(|state| row.0.state_name() == state) && visible(&resource(customer, &row.0))
        };
        let rows = self.page::<CheckoutRecord>(range, paging, wanted).await?;
        rows.try_map(async |row| self.view(customer, row.value.0).await).await
    }

    pub(crate) async fn case(&self, customer: CustomerId, id: CheckoutId) -> Result<Case> {
        let checkout = self.load_shared::<CheckoutRecord>(&RowId::checkout(customer, id)).await?;
        let account = checkout.value.0.account;
        Ok(Case {
            customer,
            account: self.load_shared::<AccountRecord>(&RowId::account(customer, account)).await?.value,
            state: self.load_shared::<StateRecord>(&RowId::account_state(customer, account)).await?,
            checkout,
        })
    }

    pub(crate) async fn checkout_view(&self, customer: CustomerId, id: CheckoutId) -> Result<wire::Checkout> {
        let row = self.load::<CheckoutRecord>(&RowId::checkout(customer, id)).await?;
        self.view(customer, row.value.0).await
    }

    async fn view(&self, customer: CustomerId, checkout: Checkout) -> Result<wire::Checkout> {
        let path = self.path_or_removed(customer, checkout.system, checkout.account).await?;
        self.view_at(path, customer, checkout).await
    }

    /// The same, for whoever knows the account's path.
    pub(crate) async fn view_at(
        &self,
        path: AccountPath,
        customer: CustomerId,
        checkout: Checkout,
    ) -> Result<wire::Checkout> {
        let waiting_behind = self.waiting_behind(customer, &checkout).await?;
        let (waits_for, approvals) = (checkout.waits_for(), self.approvals_view(&checkout).await?);
        let (used, ended, claim_until) = match &checkout.state {
            State::Pending { .. } | State::Scheduled { .. } | State::Requested { .. } => (None, None, None),
            State::Approved { claim_until } => (None, None, Some(*claim_until)),
            State::Active(used) => (Some(*used), None, None),
            State::Ended { cause, at, used, revocation } => (*used, Some((*cause, *at, revocation.clone())), None),
        };
        let at = ended.as_ref().map(|(_, at, _)| *at);
        Ok(wire::Checkout {
            id: checkout.id,
            account: path,
            account_id: checkout.account,
            principal: self.name_of(checkout.principal).await?,
            principal_id: checkout.principal,
            state: checkout.state_name(),
            end_cause: ended.as_ref().map(|(cause, ..)| *cause),
            reason: checkout.reason,
            ticket: checkout.ticket,
            ttl_seconds: checkout.ttl_seconds,
            break_glass: checkout.under_glass.map(|under| under.id),
            created_at: checkout.created_at,
            waits_for,
            not_before: checkout.not_before,
            decide_until: match checkout.state {
                State::Pending { until } => Some(until),
                State::Scheduled { .. }
                | State::Requested { .. }
                | State::Approved { .. }
                | State::Active(_)
                | State::Ended { .. } => None,
            },
            approvals,
            claim_until,
            started_at: used.map(|used| used.started_at),
            expires_at: used.map(|used| used.expires_at),
            ended_at: at,
            waiting_behind,
            rotation: ended.as_ref().and_then(|(_, _, revocation)| revocation.rotation),
            revocation: ended.map(|(_, at, revocation)| wire::Revocation {
                state: revocation.state,
                refused_at: revocation.refused_at,
                revocation_lag_milliseconds: revocation.refused_at.map(|refused| milliseconds(at, refused)),
                sessions_may_remain: revocation.sessions_may_remain,
            }),
        })
    }

    async fn approvals_view(&self, checkout: &Checkout) -> Result<Option<wire::Approvals>> {
        let Some(approvals) = &checkout.approvals else { return Ok(None) };
        let mut given = Vec::with_capacity(approvals.given.len());
        for yes in &approvals.given {
            let by = self.name_of(yes.by).await?;
            given.push(wire::Approval { by, by_id: yes.by, at: yes.at, comment: yes.comment.clone() });
        }
        let rule = approvals.rule;
        Ok(Some(wire::Approvals { needed: rule.count, by_customer: rule.by_customer, given }))
    }

    /// An event about a checkout.
    async fn about(
        &self,
        event: Event,
        customer: CustomerId,
        checkout: &Checkout,
        account: &AccountRecord,
    ) -> Result<Event> {
        let path = self.path_of(customer, account).await?;
        let event = of_account(event, &path).with(FieldName::Checkout, checkout.id);
        Ok(event.with(FieldName::BreakGlass, glass_of(checkout)))
    }

    /// Moves a checkout's timer in the commit that changes its end.
    pub(crate) fn retimed(
        change: Change<'_>,
        customer: CustomerId,
        id: CheckoutId,
        before: Option<Timestamp>,
        after: Option<Timestamp>,
    ) -> Result<Change<'_>> {
        let row = |due| TimerKind::CheckoutDue.row(due, customer, id.uuid());
        move_timer(change, before.map(row), after.map(row))
    }
}

/// Replaces one timer by another; the same one stays.
pub(crate) fn move_timer(change: Change<'_>, before: Option<RowId>, after: Option<RowId>) -> Result<Change<'_>> {
    if before == after {
        return Ok(change);
    }
    let change = match before {
        Some(before) => change.erase(before),
        None => change,
    };
    match after {
        Some(after) => change.create(after, &TimerRecord {}),
        None => Ok(change),
    }
}

/// The glass that it was taken under, for its events; empty where there is none.
fn glass_of(checkout: &Checkout) -> String {
    checkout.under_glass.map(|under| under.id.to_string()).unwrap_or_default()
}

pub(crate) fn resource(customer: CustomerId, checkout: &Checkout) -> Resource {
    Resource::Checkout {
        customer,
        system: checkout.system,
        account: checkout.account,
        checkout: checkout.id,
        holder: checkout.principal,
    }
}

/// What an event of this state is called.
fn state_event(state: &State) -> EventKind {
    match state {
        State::Pending { .. } | State::Requested { .. } => EventKind::CheckoutRequested,
        State::Scheduled { .. } => EventKind::CheckoutScheduled,
        State::Approved { .. } => EventKind::CheckoutApproved,
        State::Active(_) => EventKind::CheckoutActivated,
        State::Ended { .. } => EventKind::CheckoutEnded,
    }
}

/// The same where it was requested before, and only now waits for its turn.
fn moved_on(state: &State) -> EventKind {
    match state {
        State::Requested { .. } => EventKind::CheckoutQueued,
        State::Pending { .. }
        | State::Scheduled { .. }
        | State::Approved { .. }
        | State::Active(_)
        | State::Ended { .. } => state_event(state),
    }
}

fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// Whether it has a stored secret, which is rotated.
fn is_standing(account: &AccountRecord) -> bool {
    match account.kind {
        AccountKind::Standing => true,
        AccountKind::Ephemeral | AccountKind::Certificate => false,
    }
}

/// Whether each checkout has a login of its own.
fn is_ephemeral(account: &AccountRecord) -> bool {
    match account.kind {
        AccountKind::Ephemeral => true,
        AccountKind::Standing | AccountKind::Certificate => false,
    }
}

fn system_failed(what: &str, detail: &str) -> Error {
    Error::new(ProblemType::SystemFailed, format!("{what}: {detail}"))
}
