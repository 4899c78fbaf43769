//! Who has seen a secret that still works, and the rotation of exactly that.
//!
//! It is found from what is there: a checkout holds the versions that its holder has seen, and an account's state the
//! version that was brought, and by whom. A reveal writes nothing more for it.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::wire::{CheckoutState, Exposure, RotationsStarted, SeenBy, SeenHow, Skipped};
use claviger_api::{AccountId, CheckoutId, CustomerId, PrincipalId, Scope, Timestamp, UserName};
use claviger_core::account::AccountState;
use claviger_core::checkout::{Checkout, State};
use claviger_core::policy::{AccountRotate, CustomerView, Permit, PrincipalView, Resource};
use claviger_core::secrets::Version;
use claviger_store::{Range, RowId, Table};

use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::inventory::{Place, short_text};
use crate::open::{Caller, Open};
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, CheckoutRecord, FormerPrincipalRecord, NameRecord, PrincipalRecord, StateRecord};
use crate::rotation::start::Why;

/// Somebody who knows a version that still works.
#[derive(Clone)]
struct Knows {
    principal: PrincipalId,
    version: Version,
    how: SeenHow,
    checkout: Option<CheckoutId>,
    since: Timestamp,
    holds: bool,
}

/// Who knows what, by account.
type Known = BTreeMap<AccountId, Vec<Knows>>;

impl Open {
    /// The accounts whose secret somebody has seen that still works: of one customer, or of every one for which `visible`
    /// holds; only what `principal` has seen, if one is named.
    pub async fn exposures(
        &self,
        customer: Option<CustomerId>,
        principal: Option<&str>,
        paging: &Paging,
        caller: &Caller,
        visible: impl Fn(CustomerId) -> bool,
    ) -> Result<Page<Exposure>> {
        let only = match principal {
            Some(text) => Some(self.meant("principal", text).await?),
            None => None,
        };
        let mut known = Known::new();
        for customer in self.these_or_all(customer).into_iter().filter(|id| visible(*id)) {
            known.append(&mut self.known_at(customer, only.as_ref()).await?);
        }
        self.may_know_of(only.as_ref(), known.is_empty(), caller).await?;
        let range = match customer {
            Some(customer) => Range::scope(Table::Accounts, Scope::Customer(customer)),
            None => Range::table(Table::Accounts),
        };
        let rows = self.page::<AccountRecord>(range, paging, |row| known.contains_key(&row.id)).await?;
        rows.try_map(async |row| {
            let Scope::Customer(customer) = row.id.scope() else { return Err(Error::internal("an account of nobody")) };
            self.exposure_view(customer, &row.value, known.remove(&row.value.id).unwrap_or_default()).await
        })
        .await
    }

    /// Starts the rotation of every account whose secret somebody has seen and that was not rotated since, at one customer
    /// or at all; `permit` decides for each. Asked again, it starts what is still exposed and is not rotated already.
    pub async fn rotate_exposed(
        &self,
        exposed_to: &str,
        customer: Option<CustomerId>,
        reason: Option<&str>,
        once: &Once,
        caller: &Caller,
        permit: impl AsyncFn(Place) -> Option<Permit<AccountRotate>>,
    ) -> Result<RotationsStarted> {
        self.must_act()?;
        if let Some(reason) = reason {
            short_text("reason", reason)?;
        }
        let meant = self.meant("exposed_to", exposed_to).await?;
        let mut started = RotationsStarted { rotations: Vec::new(), skipped: Vec::new() };
        for customer in self.these_or_all(customer) {
            if !self.may_see::<CustomerView>(caller, &Resource::Customer(customer)) {
                continue;
            }
            for (account, seen) in self.known_at(customer, Some(&meant)).await? {
                let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?.value;
                let place = Place { customer, system: record.system, account };
                let Some(permit) = permit(place).await else { continue };
                let once = once.for_one(account.uuid());
                match self.rotate_one_exposed(place, &record, &seen, reason, &once, caller, permit).await? {
                    Ok(rotation) => started.rotations.push(rotation),
                    Err(skipped) => started.skipped.push(skipped),
                }
            }
        }
        let nothing = started.rotations.is_empty() && started.skipped.is_empty();
        self.may_know_of(Some(&meant), nothing, caller).await?;
        Ok(started)
    }

    #[expect(clippy::too_many_arguments, reason = "one account of the many, with all that is said of all of them")]
    async fn rotate_one_exposed(
        &self,
        place: Place,
        record: &AccountRecord,
        seen: &[Knows],
        reason: Option<&str>,
        once: &Once,
        caller: &Caller,
        permit: Permit<AccountRotate>,
    ) -> Result<std::result::Result<claviger_api::wire::Rotation, Skipped>> {
        let versions: Vec<Version> = seen.iter().map(|knows| knows.version).collect();
        let exposed = seen.first().map(|knows| (knows.principal, versions.as_slice()));
        match self.rotate_because(place, &Why { reason, exposed }, once, caller, permit).await {
            Ok(rotation) => Ok(Ok(rotation)),
            Err(why) => Ok(Err(self.skipped(place.customer, record, why).await?)),
        }
    }

    /// Who knows a version that still works, by account; only these principals, if any are named.
    async fn known_at(&self, customer: CustomerId, only: Option<&BTreeSet<PrincipalId>>) -> Result<Known> {
        let scope = Scope::Customer(customer);
        let wanted = |principal: &PrincipalId| only.is_none_or(|only| only.contains(principal));
        let mut seen: BTreeMap<AccountId, Vec<Checkout>> = BTreeMap::new();
        // The newest first.
        for row in self.all::<CheckoutRecord>(&Range::scope(Table::Checkouts, scope).reversed()).await? {
            let checkout = row.value.0;
            if !checkout.seen.is_empty() && wanted(&checkout.principal) {
                seen.entry(checkout.account).or_default().push(checkout);
            }
        }
        let mut known = Known::new();
        for row in self.all::<StateRecord>(&Range::scope(Table::AccountStates, scope)).await? {
            let Some(account) = row.id.uuid().map(AccountId::from_uuid) else { continue };
            let state = row.value.0;
            let mut those: Vec<Knows> = Vec::new();
            for knows in
                seen.remove(&account).unwrap_or_default().iter().flat_map(|checkout| revealed(checkout, &state))
            {
                let again = |other: &Knows| (other.principal, other.version) == (knows.principal, knows.version);
                if !those.iter().any(again) {
                    those.push(knows);
                }
            }
            let told = state.brought.iter().chain(&state.shown);
            let told = told.filter(|told| wanted(&told.by) && state.still_works(told.version));
            those.extend(told.map(|brought| Knows {
                principal: brought.by,
                version: brought.version,
                how: SeenHow::Brought,
                checkout: None,
                since: brought.at,
                holds: false,
            }));
            if !those.is_empty() {
                known.insert(account, those);
            }
        }
        Ok(known)
    }

    /// Since when somebody knows the account's secret who does not hold the account now, by account.
    pub(crate) async fn exposed_since(&self, customer: CustomerId) -> Result<BTreeMap<AccountId, Timestamp>> {
        let known = self.known_at(customer, None).await?;
        let first = |those: Vec<Knows>| those.iter().filter(|knows| !knows.holds).map(|knows| knows.since).min();
        Ok(known.into_iter().filter_map(|(account, those)| Some((account, first(those)?))).collect())
    }

    /// Whom a name or an id means: whoever bears the name now, and whoever bore it and was removed.
    async fn meant(&self, at: &str, text: &str) -> Result<BTreeSet<PrincipalId>> {
        if let Ok(id) = text.parse::<PrincipalId>() {
            return Ok(BTreeSet::from([id]));
        }
        let Ok(name) = text.parse::<UserName>() else {
            return Err(Error::value(at, "the name or the id of a user or a service account"));
        };
        let mut meant = BTreeSet::new();
        let row = self.keyring().name(Table::Principals, Scope::Operator, name.as_str());
        if let Some(now) = self.read::<NameRecord>(&row).await? {
            meant.insert(PrincipalId::from_uuid(now.value.id));
        }
        for row in self.all::<FormerPrincipalRecord>(&Range::scope(Table::FormerPrincipals, Scope::Operator)).await? {
            if row.value.name == name {
                meant.extend(row.id.uuid().map(PrincipalId::from_uuid));
            }
        }
        Ok(meant)
    }

    /// Whoever may not list principals learns of those only that have seen something: others are answered like a name
    /// that does not exist.
    async fn may_know_of(&self, meant: Option<&BTreeSet<PrincipalId>>, nothing: bool, caller: &Caller) -> Result<()> {
        let Some(meant) = meant.filter(|_| nothing) else { return Ok(()) };
        for id in meant {
            let now = self.read::<PrincipalRecord>(&RowId::principal(*id)).await?.map(|row| row.value.customer);
            let before = self.read::<FormerPrincipalRecord>(&RowId::former_principal(*id)).await?;
            let home = match now {
                Some(Some(customer)) => Resource::Customer(customer),
                Some(None) => Resource::Operator,
                None if before.is_some() => Resource::Operator,
                None => continue,
            };
            if self.may_see::<PrincipalView>(caller, &home) {
                return Ok(());
            }
        }
        Err(Error::not_found())
    }

    pub(crate) fn these_or_all(&self, customer: Option<CustomerId>) -> Vec<CustomerId> {
        customer.map_or_else(|| self.keyring().customers(), |customer| vec![customer])
    }

    async fn exposure_view(
        &self,
        customer: CustomerId,
        account: &AccountRecord,
        those: Vec<Knows>,
    ) -> Result<Exposure> {
        let state = self.load::<StateRecord>(&RowId::account_state(customer, account.id)).await?.value.0;
        let mut seen_by = Vec::with_capacity(those.len());
        for Knows { principal, version, how, checkout, since, holds } in those {
            let name = self.name_of(principal).await?;
            seen_by.push(SeenBy { principal: name, principal_id: principal, version, how, checkout, since, holds });
        }
        Ok(Exposure {
            account: self.path_of(customer, account).await?,
            account_id: account.id,
            seen_by,
            rotation: state.rotation.map(|running| running.id),
        })
    }
}

/// What the holder of a checkout has seen that still works. The login of an ephemeral account does until it is removed.
fn revealed(checkout: &Checkout, state: &AccountState) -> Vec<Knows> {
    let works = |version: &Version| match &checkout.ephemeral {
        Some(login) => login.version == *version && !login.removed,
        None => state.still_works(*version),
    };
    let since = match &checkout.state {
        State::Active(used) | State::Ended { used: Some(used), .. } => used.started_at,
        State::Ended { used: None, .. }
        | State::Pending { .. }
        | State::Scheduled { .. }
        | State::Requested { .. }
        | State::Approved { .. } => checkout.created_at,
    };
    let knows = |version: Version| Knows {
        principal: checkout.principal,
        version,
        how: SeenHow::Revealed,
        checkout: Some(checkout.id),
        since,
        holds: checkout.state_name() != CheckoutState::Ended,
    };
    checkout.seen.iter().copied().filter(works).map(knows).collect()
}
