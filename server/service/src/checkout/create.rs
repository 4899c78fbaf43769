//! A request: a seat, a place in the queue, the caller's own checkout, or no.

use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, NewCheckout, TTL_DEFAULT_SECONDS};
use claviger_api::{CheckoutId, CustomerId, Scope};
use claviger_core::account::AccountState;
use claviger_core::checkout::{Approvals, Checkout, Decision, Refusal, State, Wanted, request};
use claviger_core::policy::{CheckoutApprove, CheckoutCreate, Permit};
use claviger_store::RowId;

use super::{is_ephemeral, is_standing, resource, state_event};
use crate::break_glass::Glass;
use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::inventory::{Place, short_text};
use crate::open::{Caller, Open, deciding_once};
use crate::records::{AccountRecord, CheckoutRecord, StateRecord};

impl Open {
    /// Checks an account out. One commit holds the checkout, its seat, its end and its event.
    pub async fn check_out(
        &self,
        place: Place,
        new: &NewCheckout,
        once: &Once,
        caller: &Caller,
        permit: Permit<CheckoutCreate>,
    ) -> Result<wire::Checkout> {
        short_text("reason", &new.reason)?;
        if let Some(ticket) = &new.ticket {
            short_text("ticket", ticket)?;
        }
        let customer = place.customer;
        let (id, made) = deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Customer(customer), once, caller).await? {
                return Ok((CheckoutId::from_uuid(done), false));
            }
            self.request_checkout(place, new, once, caller, &permit).await
        })
        .await?;
        if made {
            self.make_login(customer, id).await?;
        }
        self.checkout_view(customer, id).await
    }

    async fn request_checkout(
        &self,
        place: Place,
        new: &NewCheckout,
        once: &Once,
        caller: &Caller,
        permit: &Permit<CheckoutCreate>,
    ) -> Result<(CheckoutId, bool)> {
        let Place { customer, system, account } = place;
        let serves = self.serves(customer).await?;
        let holder = self.holder(caller.id).await?;
        let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?;
        let row = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
        let mut state = row.value.0.clone();
        let most_seconds = permit.max_checkout_seconds();
        let glass = self.glass(customer, permit.break_glass()).await?;
        let rule = Glass::approves(glass.as_ref(), permit.approvals());
        let reuses = rule.is_some_and(|rule| rule.reuse) && new.on_conflict == wire::OnConflict::Reuse;
        let earlier = if reuses { self.earlier_approvals(customer, &state, caller).await? } else { None };
        let wanted = Wanted {
            id: CheckoutId::from_uuid(self.new_uuid()),
            system,
            account,
            principal: caller.id,
            reason: new.reason.clone(),
            ticket: new.ticket.clone(),
            ttl_seconds: new.ttl_seconds.unwrap_or_else(|| TTL_DEFAULT_SECONDS.min(most_seconds)),
            most_seconds,
            claim: new.claim,
            on_conflict: new.on_conflict,
            not_before: new.not_before,
            rule,
            earlier,
            under_glass: glass.as_ref().map(|glass| glass.under),
        };
        let max_holders = record.value.settings.max_holders;
        let decision = request(wanted, &mut state, max_holders, is_standing(&record.value), self.now());
        let mut checkout = match decision {
            Ok(Decision::New(checkout)) => *checkout,
            Ok(Decision::Reuse(id)) => return Ok((id, false)),
            Err(Refusal::Held) => return Err(self.held(customer, &row.value.0).await?),
            Err(refusal) => return Err(refusal.into()),
        };
        let event = self
            .about(
                self.event(Scope::Customer(customer), state_event(&checkout.state), caller),
                customer,
                &checkout,
                &record.value,
            )
            .await?
            .with_personal(caller.id, FieldName::Reason, &checkout.reason)
            .with(FieldName::Ticket, checkout.ticket.clone().unwrap_or_default())
            .with(FieldName::ExpiresAt, checkout.due().unwrap_or(claviger_api::Timestamp::MAX))
            .with(FieldName::NotBefore, checkout.not_before.map(|start| start.to_string()).unwrap_or_default())
            .with(FieldName::Approvals, approvals_of(&checkout))
            .with(FieldName::Grant, permit.grant().map(|grant| grant.to_string()).unwrap_or_default());
        let mut change =
            self.change(event).expect(&record).expect(&holder).expect_at(RowId::customer(customer), serves);
        let has_place = !matches!(checkout.state, State::Pending { .. } | State::Scheduled { .. });
        if has_place && is_ephemeral(&record.value) {
            change = self.with_new_login(change, customer, &record.value, &mut state, &mut checkout)?;
        }
        change = self.noted(change, glass.as_ref(), checkout.id)?;
        change = change
            .update(&row, &StateRecord(state))?
            .create(RowId::checkout(customer, checkout.id), &CheckoutRecord(checkout.clone()))?;
        change = Self::retimed(change, customer, checkout.id, None, checkout.due())?;
        let scope = Scope::Customer(customer);
        self.commit(self.remember(change, scope, once, caller, checkout.id.uuid())?).await?;
        Ok((checkout.id, is_ephemeral(&record.value)))
    }

    /// The approvals of the caller's last checkout of this account that was given back early, those that still count.
    async fn earlier_approvals(
        &self,
        customer: CustomerId,
        state: &AccountState,
        caller: &Caller,
    ) -> Result<Option<Approvals>> {
        let Some(id) = state.still_good(caller.id, self.now()) else { return Ok(None) };
        let Some(row) = self.read::<CheckoutRecord>(&RowId::checkout(customer, id)).await? else { return Ok(None) };
        let resource = resource(customer, &row.value.0);
        let Some(mut approvals) = row.value.0.approvals else { return Ok(None) };
        let mut still = Vec::new();
        for yes in approvals.given {
            if self.might::<CheckoutApprove>(yes.by, &resource).await? {
                still.push(yes);
            }
        }
        approvals.given = still;
        Ok(Some(approvals))
    }

    /// Says who holds the account, and until when.
    async fn held(&self, customer: CustomerId, state: &AccountState) -> Result<Error> {
        let Some(seat) = state.seats.first() else { return Ok(Error::new(ProblemType::AccountHeld, "")) };
        let holder = self.name_of(seat.principal).await?;
        let until = self.read::<CheckoutRecord>(&RowId::checkout(customer, seat.checkout)).await?;
        let until = until.and_then(|row: claviger_store::Versioned<CheckoutRecord>| Checkout::due(&row.value.0));
        let until =
            until.map(|due| format!(" until {}", due.round(jiff::Unit::Second).unwrap_or(due))).unwrap_or_default();
        let advice = ProblemType::AccountHeld.row().advice;
        Ok(Error::new(ProblemType::AccountHeld, format!("{holder} holds it{until}. {advice}")))
    }
}

/// How many approvals it needs, and whether earlier ones serve.
fn approvals_of(checkout: &Checkout) -> String {
    checkout.approvals.as_ref().map_or_else(String::new, |approvals| {
        let earlier = if approvals.given.is_empty() { "" } else { ", given before" };
        format!("{} needed{earlier}", approvals.rule.count)
    })
}
