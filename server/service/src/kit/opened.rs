//! A kit was opened: whoever has it has every secret in it, so all of them are replaced.
//!
//! That it was, and the emergency rotation that follows, are one commit. What was on its way to a system when the kit was made is in
//! the kit too, so that this emergency rotation takes over none that was under way ([`Emergency::kit`]).
//!
//! [`Emergency::kit`]: claviger_core::emergency::Emergency

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire;
use claviger_api::{CustomerId, KitId, Scope};
use claviger_core::emergency::Emergency;
use claviger_core::policy::{AccountRotate, CheckoutRevoke, Permit};
use claviger_store::RowId;

use crate::error::Result;
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open};
use crate::records::{KitOpenedRecord, KitRecord, KitStep};

impl Open {
    /// Takes note that a kit was opened, and replaces every standing secret of the customer. Said again, it is the same. A kit that this
    /// vault does not know was made after the backup that it was restored from.
    ///
    /// # Errors
    ///
    /// Another emergency rotation of the customer is under way: it may have begun before the kit was made.
    pub async fn kit_was_opened(
        &self,
        customer: CustomerId,
        id: KitId,
        reason: &str,
        once: &Once,
        caller: &Caller,
        permits: (Permit<AccountRotate>, Permit<CheckoutRevoke>),
    ) -> Result<wire::Kit> {
        self.begin_emergency(customer, reason, once, caller, permits, Some(id)).await?;
        self.kit_view(customer, id).await
    }

    /// The emergency rotation of a kit that was opened before.
    pub(crate) async fn emergency_of_kit(
        &self,
        customer: CustomerId,
        id: KitId,
    ) -> Result<Option<claviger_api::EmergencyId>> {
        let row = self.read::<KitRecord>(&RowId::kit(customer, id)).await?;
        Ok(row.and_then(|row| row.value.opened).map(|opened| opened.emergency))
    }

    /// Adds that a kit was opened to the change that starts its emergency rotation.
    pub(crate) async fn with_kit_opened<'c>(
        &'c self,
        change: Change<'c>,
        id: KitId,
        emergency: &Emergency,
        reason: &str,
        caller: &Caller,
    ) -> Result<Change<'c>> {
        let customer = emergency.customer;
        let slug = self.slug_of(customer).await?;
        let opened = KitOpenedRecord { at: emergency.started_at, by: caller.id, emergency: emergency.id };
        let before = self.read::<KitRecord>(&RowId::kit(customer, id)).await?;
        let known = if before.is_some() { "" } else { ", which this vault has not made" };
        let told = |scope| {
            let event = self.event(scope, EventKind::KitOpened, caller).with(FieldName::Customer, &slug);
            let event =
                event.with(FieldName::Emergency, emergency.id).with(FieldName::Detail, format_args!("{id}{known}"));
            event.with_personal(caller.id, FieldName::Reason, reason)
        };
        let change = change.and(told(Scope::Customer(customer))).and(told(Scope::Operator));
        if let Some(row) = before {
            let record = KitRecord { opened: Some(opened), ..row.value.clone() };
            return change.update(&row, &record);
        }
        let record = KitRecord { asked_at: emergency.started_at, state: KitStep::Unknown, opened: Some(opened) };
        change.create(RowId::kit(customer, id), &record)
    }
}
