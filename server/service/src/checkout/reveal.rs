//! The reveal: the secret leaves only after the event that says so is durable.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AccountKind, CheckoutState, Revealed};
use claviger_api::{AccountPath, Login, Scope, Secret, Timestamp};
use claviger_core::account::Availability;
use claviger_core::checkout::Refusal;
use claviger_core::policy::{CheckoutReveal, Circumstances, Permit};
use claviger_core::secrets::Version;
use claviger_store::RowId;

use super::{Case, FoundCheckout};
use crate::break_glass::Glass;
use crate::error::{Error, Result};
use crate::inventory::accounts::of_account;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding};
use crate::records::{CheckoutRecord, RevealsRecord, SystemRecord};

impl Open {
    /// Reveals the secret to the holder. The first reveal starts the time of use; each is an event with its number.
    pub async fn reveal(
        &self,
        found: &FoundCheckout,
        caller: &Caller,
        permit: Permit<CheckoutReveal>,
    ) -> Result<Revealed> {
        if found.ephemeral {
            self.make_login(found.customer, found.id).await?;
        }
        self.by_some_grant(found, caller, permit, async |permit| self.reveal_once(found, caller, permit).await).await
    }

    /// A grant whose reveals are spent is as if it were not there: another may stand behind the reveal.
    pub(super) async fn by_some_grant<T>(
        &self,
        found: &FoundCheckout,
        caller: &Caller,
        mut permit: Permit<CheckoutReveal>,
        once: impl AsyncFn(&Permit<CheckoutReveal>) -> Result<T>,
    ) -> Result<T> {
        let mut spent = Vec::new();
        loop {
            let refusal = match deciding(|| once(&permit)).await {
                Err(refusal) if refusal.problem == ProblemType::RevealsSpent => refusal,
                decided => return decided,
            };
            spent.extend(permit.grant());
            let around = Circumstances { spent: &spent, ..caller.circumstances(self.now()) };
            permit = self.permit_around(caller, &found.resource(), &around).await.map_err(|_| refusal)?;
        }
    }

    async fn reveal_once(
        &self,
        found: &FoundCheckout,
        caller: &Caller,
        permit: &Permit<CheckoutReveal>,
    ) -> Result<Revealed> {
        let customer = found.customer;
        let case = self.case(customer, found.id).await?;
        let before = &case.checkout.value.0;
        // Whoever comes too late is told so, whatever becomes of the account now.
        if before.state_name() == CheckoutState::Ended || before.overdue(self.now()).is_some() {
            return Err(Refusal::Ended.into());
        }
        // Under break-glass alone a row more is read: whoever closes it meanwhile wins.
        let glass = self.glass(customer, before.under_glass.map(|under| under.id)).await.map_err(ended_with_glass)?;
        let (version, login) = version_to_reveal(&case)?;
        let still = self.still_approvers(&case).await?;
        let checkout = before.clone().reveal(version, |by| still.contains(&by), self.now())?;
        let secret: Secret = self.secret(customer, checkout.account, version).await?;
        let system = self.load_shared::<SystemRecord>(&RowId::system(customer, checkout.system)).await?.value;
        let path = AccountPath {
            customer: self.slug_of(customer).await?,
            system: system.name.clone(),
            account: case.account.name.clone(),
        };
        let event = of_account(self.event(Scope::Customer(customer), EventKind::CheckoutRevealed, caller), &path)
            .with(FieldName::Checkout, checkout.id)
            .with(FieldName::BreakGlass, super::glass_of(&checkout))
            .with(FieldName::Version, version)
            .with(FieldName::RevealNumber, checkout.reveals)
            .with(FieldName::ExpiresAt, checkout.due().unwrap_or(Timestamp::MAX));
        let change = Glass::expected(glass.as_ref(), self.change(event));
        let change = change.expect(&case.state).update(&case.checkout, &CheckoutRecord(checkout.clone()))?;
        let change = Self::retimed(change, customer, checkout.id, before.due(), checkout.due())?;
        let change = self.spending(change, permit).await?;
        let committed = self.commit(change).await?;
        Ok(Revealed {
            checkout: self.view_at(path, customer, checkout).await?,
            login,
            secret: secret.disclose(),
            version,
            system: system.spec.clone(),
            event_index: committed.index(),
            receipt: Some(self.receipt(&committed)?),
        })
    }
}

impl Open {
    /// Counts one more reveal under the permit's grant, if the grant limits them. Only then is a row more read and
    /// written, in the same commit.
    pub(super) async fn spending<'a>(
        &'a self,
        change: Change<'a>,
        permit: &Permit<CheckoutReveal>,
    ) -> Result<Change<'a>> {
        let (Some(grant), Some(most)) = (permit.grant(), permit.conditions().reveals_per_hour) else {
            return Ok(change);
        };
        let (id, now) = (RowId::reveal_times(grant), self.now());
        let row = self.read::<RevealsRecord>(&id).await?;
        let before = row.as_ref().map(|row| row.value.0.clone()).unwrap_or_default();
        let after = before.one_more(most, now).map_err(|next| spent(most, now, next))?;
        match row {
            Some(row) => change.update(&row, &RevealsRecord(after)),
            None => change.create(id, &RevealsRecord(after)),
        }
    }
}

/// The checkout is over with its glass, though it is not ended yet.
pub(super) fn ended_with_glass(refused: Error) -> Error {
    if refused.problem == ProblemType::BreakGlassClosed { Refusal::Ended.into() } else { refused }
}

fn spent(most: u32, now: Timestamp, next: Timestamp) -> Error {
    let wait = u64::try_from(next.duration_since(now).as_secs()).unwrap_or(0) + 1;
    let advice = ProblemType::RevealsSpent.row().advice;
    let refusal =
        Error::new(ProblemType::RevealsSpent, format!("The grant gives {most} reveals in any hour. {advice}"));
    Error { retry_after_seconds: Some(wait), ..refusal }
}

/// The version that opens the account now, and the login it belongs to.
fn version_to_reveal(case: &Case) -> Result<(Version, Login)> {
    if let Some(login) = &case.checkout.value.0.ephemeral {
        return Ok((login.version, login.login.clone()));
    }
    if case.account.kind == AccountKind::Certificate {
        let detail = "It is of kind certificate, and there is nothing to show: let your key be signed (claviger ssh, POST \
                      /v1/checkouts/{id}/sign).";
        return Err(Error::new(ProblemType::WrongAccountKind, detail));
    }
    let state = &case.state.value.0;
    if let Some(running) = state.rotation.filter(|running| !running.settled) {
        let why = if running.unresolved { Availability::Unresolved } else { Availability::Rotating };
        return Err(Refusal::NotAvailable(why).into());
    }
    let current = state.secrets.current.ok_or_else(|| Error::new(ProblemType::NothingStored, ""))?;
    Ok((current, case.account.login.clone()))
}
