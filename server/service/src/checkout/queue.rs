//! Those who wait: first come, first served, and each turn is stored in the commit that makes room for it.

use claviger_api::CustomerId;
use claviger_api::Scope;
use claviger_api::audit::record::FieldName;
use claviger_core::account::{AccountState, Availability};
use claviger_core::checkout::{Checkout, State};
use claviger_store::RowId;

use super::{is_standing, state_event};
use crate::error::Result;
use crate::journal::Change;
use crate::open::Open;
use crate::records::{AccountRecord, CheckoutRecord};

/// Who gives the turns.
const QUEUE: &str = "system/queue";

impl Open {
    /// Gives free seats to those who wait. `next` is one of them that is not stored yet: it is created here, with a
    /// turn or without.
    pub(crate) async fn hand_on<'a>(
        &'a self,
        mut change: Change<'a>,
        customer: CustomerId,
        account: &AccountRecord,
        state: &mut AccountState,
        next: Option<&Checkout>,
    ) -> Result<Change<'a>> {
        let mut new = next.cloned();
        while let Some(id) = state.waiting.first().copied() {
            let seats = state.availability(account.settings.max_holders, is_standing(account));
            if seats != Availability::Free {
                break;
            }
            if new.as_ref().is_some_and(|new| new.id == id) {
                new = new.map(|new| new.turn(state, self.now()));
                continue;
            }
            let Some(row) = self.read::<CheckoutRecord>(&RowId::checkout(customer, id)).await? else {
                state.waiting.remove(0);
                continue;
            };
            let before = row.value.0.clone();
            if !matches!(before.state, State::Requested { until } if self.now() < until) {
                state.waiting.remove(0);
                continue;
            }
            let due = before.due();
            let checkout = before.turn(state, self.now());
            change = self.with_turn(change, customer, account, &checkout).await?;
            change = change.update(&row, &CheckoutRecord(checkout.clone()))?;
            change = Self::retimed(change, customer, id, due, checkout.due())?;
        }
        let Some(new) = new else { return Ok(change) };
        change = self.with_turn(change, customer, account, &new).await?;
        change = change.create(RowId::checkout(customer, new.id), &CheckoutRecord(new.clone()))?;
        Self::retimed(change, customer, new.id, None, new.due())
    }

    async fn with_turn<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        account: &AccountRecord,
        checkout: &Checkout,
    ) -> Result<Change<'a>> {
        let event = self.automatic(Scope::Customer(customer), state_event(&checkout.state), QUEUE);
        let event = self.about(event, customer, checkout, account).await?;
        Ok(change.and(event.with(FieldName::Principal, checkout.principal)))
    }

    /// How many wait before this one, while it waits.
    pub(super) async fn waiting_behind(&self, customer: CustomerId, checkout: &Checkout) -> Result<Option<u32>> {
        if !matches!(checkout.state, State::Requested { .. }) {
            return Ok(None);
        }
        let row = RowId::account_state(customer, checkout.account);
        let state = self.read::<crate::records::StateRecord>(&row).await?;
        let place = state.and_then(|row| row.value.0.waiting.iter().position(|id| *id == checkout.id));
        Ok(place.and_then(|place| u32::try_from(place).ok()))
    }
}
