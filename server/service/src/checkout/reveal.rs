//! The reveal: the secret leaves only after the event that says so is durable.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CheckoutState, Revealed};
use claviger_api::{AccountPath, Login, Scope, Secret};
use claviger_core::account::Availability;
use claviger_core::checkout::Refusal;
use claviger_core::policy::{CheckoutReveal, Permit};
use claviger_core::secrets::Version;
use claviger_store::RowId;

use super::{Case, FoundCheckout};
use crate::error::{Error, Result};
use crate::inventory::accounts::of_account;
use crate::open::{Caller, Open, deciding};
use crate::records::{CheckoutRecord, SystemRecord};

impl Open {
    /// Reveals the secret to the holder. The first reveal starts the time of use; each is an event with its number.
    pub async fn reveal(
        &self,
        found: &FoundCheckout,
        caller: &Caller,
        _permit: Permit<CheckoutReveal>,
    ) -> Result<Revealed> {
        if found.ephemeral {
            self.make_login(found.customer, found.id).await?;
        }
        deciding(|| self.reveal_once(found, caller)).await
    }

    async fn reveal_once(&self, found: &FoundCheckout, caller: &Caller) -> Result<Revealed> {
        let customer = found.customer;
        let case = self.case(customer, found.id).await?;
        let before = case.checkout.value.0.clone();
        // Whoever comes too late is told so, whatever becomes of the account now.
        if before.state_name() == CheckoutState::Ended || before.overdue(self.now()).is_some() {
            return Err(Refusal::Ended.into());
        }
        let (version, login) = version_to_reveal(&case)?;
        let checkout = before.clone().reveal(version, self.now())?;
        let secret: Secret = self.secret(customer, checkout.account, version).await?;
        let system = self.load::<SystemRecord>(&RowId::system(customer, checkout.system)).await?.value;
        let path = AccountPath {
            customer: self.slug_of(customer).await?,
            system: system.name.clone(),
            account: case.account.name.clone(),
        };
        let event = of_account(self.event(Scope::Customer(customer), EventKind::CheckoutRevealed, caller), &path)
            .with(FieldName::Checkout, checkout.id)
            .with(FieldName::Version, version)
            .with(FieldName::RevealNumber, checkout.reveals)
            .with(FieldName::ExpiresAt, checkout.due().unwrap_or(claviger_api::Timestamp::MAX));
        let change =
            self.change(event).expect(&case.state).update(&case.checkout, &CheckoutRecord(checkout.clone()))?;
        let change = Self::retimed(change, customer, checkout.id, before.due(), checkout.due())?;
        let receipt = self.commit(change).await?;
        let event_index = receipt.events.first().map_or(0, |(_, index)| *index);
        Ok(Revealed {
            checkout: self.view_at(path, customer, checkout).await?,
            login,
            secret: secret.disclose(),
            version,
            system: system.spec,
            event_index,
        })
    }
}

/// The version that opens the account now, and the login it belongs to.
fn version_to_reveal(case: &Case) -> Result<(Version, Login)> {
    if let Some(login) = &case.checkout.value.0.ephemeral {
        return Ok((login.version, login.login.clone()));
    }
    let state = &case.state.value.0;
    if let Some(running) = state.rotation.filter(|running| !running.settled) {
        let why = if running.unresolved { Availability::Unresolved } else { Availability::Rotating };
        return Err(Refusal::NotAvailable(why).into());
    }
    let current = state.secrets.current.ok_or_else(|| Error::new(ProblemType::NothingStored, ""))?;
    Ok((current, case.account.login.clone()))
}
