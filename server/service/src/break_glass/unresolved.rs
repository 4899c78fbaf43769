//! The stored versions of an account whose rotation is not settled, in the order in which to try them.
//!
//! Whoever sees them holds the account meanwhile by a checkout of its own, so that its end rotates what was seen, as soon
//! as the rotation under way is settled.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CandidateState, Claim, KnownOf, OnConflict, UnresolvedSecret, UnresolvedSecrets};
use claviger_api::{AccountPath, CheckoutId, Scope, Timestamp};
use claviger_core::break_glass::Refusal as GlassRefusal;
use claviger_core::checkout::{Checkout, Decision, Refusal, Wanted, request_unresolved};
use claviger_core::policy::{AccountRevealUnresolved, Permit};
use claviger_core::secrets::{SecretSet, Version};
use claviger_store::{RowId, Versioned};

use super::Glass;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::inventory::accounts::of_account;
use crate::inventory::{Place, short_text};
use crate::open::{Caller, Open, deciding};
use crate::records::{AccountRecord, CheckoutRecord, StateRecord, SystemRecord};

impl Open {
    /// Reveals every version that may open the account. Each time is an event with its number.
    pub async fn reveal_unresolved(
        &self,
        place: Place,
        reason: &str,
        caller: &Caller,
        permit: Permit<AccountRevealUnresolved>,
    ) -> Result<UnresolvedSecrets> {
        short_text("reason", reason)?;
        deciding(|| self.reveal_unresolved_once(place, reason, caller, &permit)).await
    }

    async fn reveal_unresolved_once(
        &self,
        place: Place,
        reason: &str,
        caller: &Caller,
        permit: &Permit<AccountRevealUnresolved>,
    ) -> Result<UnresolvedSecrets> {
        let Place { customer, system, account } = place;
        let glass = self.glass(customer, permit.break_glass()).await?.ok_or(GlassRefusal::Closed)?;
        if Glass::approves(Some(&glass), permit.approvals()).is_some() {
            return Err(Refusal::NotApproved.into());
        }
        let holder = self.holder(caller.id).await?;
        let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?;
        let row = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
        let mut state = row.value.0.clone();
        let most_seconds = permit.max_checkout_seconds();
        let wanted = Wanted {
            id: CheckoutId::from_uuid(self.new_uuid()),
            system,
            account,
            principal: caller.id,
            reason: reason.to_owned(),
            ticket: None,
            ttl_seconds: most_seconds,
            most_seconds,
            claim: Claim::Now,
            on_conflict: OnConflict::Reuse,
            not_before: None,
            rule: None,
            earlier: None,
            under_glass: Some(glass.under),
        };
        let (held, checkout) =
            match request_unresolved(wanted, &mut state, record.value.settings.max_holders, self.now())? {
                Decision::New(checkout) => (None, *checkout),
                Decision::Reuse(id) => {
                    let held = self.load::<CheckoutRecord>(&RowId::checkout(customer, id)).await?;
                    let checkout = held.value.0.clone();
                    (Some(held), checkout)
                }
            };
        if checkout.under_glass.map(|under| under.id) != Some(glass.under.id) {
            return Err(Error::new(ProblemType::InUse, "You hold the account by another checkout; check it in first."));
        }
        let (checkout, shown) = checkout.reveal_unresolved(&state, self.now())?;
        let mut candidates = Vec::with_capacity(shown.len());
        for version in &shown {
            let secret = self.secret(customer, account, *version).await?.disclose();
            candidates.push(UnresolvedSecret { version: *version, known: known_of(&state.secrets, *version), secret });
        }
        let system = self.load::<SystemRecord>(&RowId::system(customer, system)).await?.value;
        let path = AccountPath {
            customer: self.slug_of(customer).await?,
            system: system.name.clone(),
            account: record.value.name.clone(),
        };
        let told = |scope| self.unresolved_event(scope, caller, &checkout, &path, &shown);
        let mut change =
            self.change(told(Scope::Customer(customer))).and(told(Scope::Operator)).expect(&holder).expect(&record);
        change = self.stored(change, customer, held, &checkout, &glass)?.update(&row, &StateRecord(state))?;
        let committed = self.commit(change).await?;
        Ok(UnresolvedSecrets {
            checkout: self.view_at(path, customer, checkout).await?,
            login: record.value.login,
            system: system.spec,
            candidates,
            event_index: committed.index(),
            receipt: Some(self.receipt(&committed)?),
        })
    }

    /// The checkout, as it was, or new with its timer and its note in the glass.
    fn stored<'a>(
        &'a self,
        change: crate::journal::Change<'a>,
        customer: claviger_api::CustomerId,
        held: Option<Versioned<CheckoutRecord>>,
        checkout: &Checkout,
        glass: &Glass,
    ) -> Result<crate::journal::Change<'a>> {
        if let Some(held) = held {
            return Glass::expected(Some(glass), change).update(&held, &CheckoutRecord(checkout.clone()));
        }
        let change = self.noted(change, Some(glass), checkout.id)?;
        let change = change.create(RowId::checkout(customer, checkout.id), &CheckoutRecord(checkout.clone()))?;
        Self::retimed(change, customer, checkout.id, None, checkout.due())
    }

    fn unresolved_event(
        &self,
        scope: Scope,
        caller: &Caller,
        checkout: &Checkout,
        path: &AccountPath,
        shown: &[Version],
    ) -> Event {
        let versions: Vec<String> = shown.iter().map(ToString::to_string).collect();
        of_account(self.event(scope, EventKind::BreakGlassUnresolvedRevealed, caller), path)
            .with(FieldName::BreakGlass, checkout.under_glass.map(|under| under.id.to_string()).unwrap_or_default())
            .with(FieldName::Checkout, checkout.id)
            .with(FieldName::RevealNumber, checkout.reveals)
            .with(FieldName::Detail, format_args!("versions {}", versions.join(", ")))
            .with(FieldName::ExpiresAt, checkout.due().unwrap_or(Timestamp::MAX))
            .with_personal(caller.id, FieldName::Reason, &checkout.reason)
    }
}

fn known_of(secrets: &SecretSet, version: Version) -> KnownOf {
    match secrets.candidates.iter().find(|candidate| candidate.version == version).map(|candidate| candidate.state) {
        // One that was never sent is not shown.
        Some(CandidateState::NeverSent | CandidateState::SentUnknown) => KnownOf::SentUnknown,
        Some(CandidateState::Acknowledged) => KnownOf::Acknowledged,
        Some(CandidateState::Refused) => KnownOf::Refused,
        None if secrets.current == Some(version) => KnownOf::Current,
        None => KnownOf::Previous,
    }
}
