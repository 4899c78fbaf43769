//! More time, within what the grant allowed.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::{Scope, Timestamp, wire};
use claviger_core::checkout::Refusal;
use claviger_core::policy::{CheckoutExtend, Permit};

use super::FoundCheckout;
use crate::break_glass::Glass;
use crate::error::Result;
use crate::open::{Caller, Open, deciding};
use crate::records::CheckoutRecord;

impl Open {
    /// Sets a new length, counted from the start of use.
    pub async fn extend(
        &self,
        found: &FoundCheckout,
        ttl_seconds: u64,
        caller: &Caller,
        permit: Permit<CheckoutExtend>,
    ) -> Result<wire::Checkout> {
        let customer = found.customer;
        deciding(|| async {
            let case = self.case(customer, found.id).await?;
            let before = case.checkout.value.0.clone();
            // What was had without an approval grows by none where one is needed today.
            let glass = self.glass(customer, before.under_glass.map(|under| under.id)).await?;
            if Glass::approves(glass.as_ref(), permit.approvals()).is_some() && before.approvals.is_none() {
                return Err(Refusal::BeyondApproval.into());
            }
            let checkout = before.clone().extend(ttl_seconds, self.now())?;
            let until = checkout.due().unwrap_or(Timestamp::MAX);
            // The system first: should the commit fail, the login's own end is later than the vault's, which removes it.
            self.extend_made_login(&case, until).await?;
            let event = self
                .about(
                    self.event(Scope::Customer(customer), EventKind::CheckoutExtended, caller),
                    customer,
                    &checkout,
                    &case.account,
                )
                .await?
                .with(FieldName::ExpiresAt, until);
            let change = Glass::expected(glass.as_ref(), self.change(event))
                .update(&case.checkout, &CheckoutRecord(checkout.clone()))?;
            self.commit(Self::retimed(change, customer, checkout.id, before.due(), checkout.due())?).await?;
            self.checkout_view(customer, found.id).await
        })
        .await
    }
}
