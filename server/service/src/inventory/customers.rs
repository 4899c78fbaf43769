//! Customers: each with a key and a log of its own.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::{ProblemType, ValueError};
use claviger_api::wire::{
    Customer, CustomerChange, CustomerLimits, CustomerLock, LockState, NewCustomer, RotationPolicy,
};
use claviger_api::{CustomerId, Scope};
use claviger_core::policy::{
    BadCondition, Condition, CustomerCreate, CustomerLimit, CustomerRemove, CustomerUpdate, CustomerView, Limits,
    Permit, visible_customers,
};
use claviger_store::{Range, RowId, Table};

use super::short_text;
use super::upkeep::{checked_policy, checked_zone, policy_text};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::kit::{id_of as kit_id, timer as kit_timer};
use crate::open::{Caller, Open, deciding, deciding_once, wrapped_put};
use crate::page::{Page, Paging};
use crate::records::{CustomerRecord, IdentityProviderRecord, KitStep, NameRecord, SystemRecord};
use crate::seal::rekey::Top;

impl Open {
    /// Adds a customer with a key of its own.
    pub async fn add_customer(
        &self,
        new: &NewCustomer,
        once: &Once,
        caller: &Caller,
        _permit: Permit<CustomerCreate>,
    ) -> Result<Customer> {
        let display_name = short_text("display_name", &new.display_name)?;
        deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                let row = self.load::<CustomerRecord>(&RowId::customer(CustomerId::from_uuid(done))).await?;
                return Ok(view(row.value));
            }
            let name = self.keyring().name(Table::Customers, Scope::Operator, new.slug.as_str());
            if self.read::<NameRecord>(&name).await?.is_some() {
                return Err(Error::new(ProblemType::NameTaken, ""));
            }
            let record = CustomerRecord {
                id: CustomerId::from_uuid(self.new_uuid()),
                slug: new.slug.clone(),
                display_name: display_name.to_owned(),
                emergency: None,
                lock: None,
                rotation_policy: RotationPolicy::default(),
                time_zone: None,
                limits: Limits::default(),
                created_at: self.now(),
            };
            // The root key stays what it is until what it wraps is stored.
            let top = self.sealing.top.read().await;
            let key = self.keyring().new_customer(record.id, self.random());
            let added = self.add_customer_change(&record, name, once, caller, &top, wrapped_put(key)).await;
            // Where the outcome is unknown the customer may be there, and needs its key.
            if added.as_ref().is_err_and(|error| error.problem != ProblemType::OutcomeUnknown) {
                self.keyring().drop_customer(record.id);
            }
            added.map(|()| view(record))
        })
        .await
    }

    async fn add_customer_change(
        &self,
        record: &CustomerRecord,
        name: RowId,
        once: &Once,
        caller: &Caller,
        top: &Top,
        key: claviger_store::SealedPut,
    ) -> Result<()> {
        let change = self
            .change(self.customer_event(Scope::Operator, EventKind::CustomerAdded, record, caller))
            .and(self.customer_event(Scope::Customer(record.id), EventKind::CustomerAdded, record, caller))
            .create_sealed(key)
            .create(name, &NameRecord { id: record.id.uuid() })?
            .create(RowId::customer(record.id), record)?;
        let change = self.remember(top.holds_for(change), Scope::Operator, once, caller, record.id.uuid())?;
        self.commit(change).await.map(drop)
    }

    /// The customers that the caller may know of, in the order in which they were added.
    pub async fn customers(&self, paging: &Paging, caller: &Caller) -> Result<Page<Customer>> {
        let visible = visible_customers(&caller.powers.compiled, self.now());
        let rows =
            self.page::<CustomerRecord>(Range::table(Table::Customers), paging, |row| visible.contains(row.id)).await?;
        rows.try_map(async |row| Ok(view(row.value))).await
    }

    /// One customer.
    pub async fn customer(&self, id: CustomerId, _permit: Permit<CustomerView>) -> Result<Customer> {
        Ok(view(self.load::<CustomerRecord>(&RowId::customer(id)).await?.value))
    }

    /// Changes what people call it. Its slug stays: paths are written into tickets and scripts.
    pub async fn change_customer(
        &self,
        id: CustomerId,
        change: &CustomerChange,
        caller: &Caller,
        _permit: Permit<CustomerUpdate>,
    ) -> Result<Customer> {
        deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let mut record = row.value.clone();
            if let Some(name) = &change.display_name {
                short_text("display_name", name)?.clone_into(&mut record.display_name);
            }
            if let Some(policy) = &change.rotation_policy {
                record.rotation_policy = checked_policy("rotation_policy", policy)?;
            }
            if let Some(zone) = &change.time_zone {
                record.time_zone = Some(checked_zone(zone)?);
            }
            let event = self
                .customer_event(Scope::Customer(id), EventKind::CustomerChanged, &record, caller)
                .with(FieldName::Detail, policy_text(change.rotation_policy.as_ref())?);
            self.commit(self.change(event).update(&row, &record)?).await?;
            Ok(view(record))
        })
        .await
    }

    /// Sets what the customer wants of everybody who works there, in place of what it wanted before.
    pub async fn limit_customer(
        &self,
        id: CustomerId,
        wanted: &CustomerLimits,
        caller: &Caller,
        _permit: Permit<CustomerLimit>,
    ) -> Result<Customer> {
        let limits = Limits::read(wanted).map_err(bad_limits)?;
        if let Some(rule) = &limits.kit {
            self.checked_kit_rule(rule)?;
        }
        deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let record = CustomerRecord { limits: limits.clone(), ..row.value.clone() };
            let terms = serde_json::to_string(&limits.view()).map_err(Error::internal)?;
            let event = self.customer_event(Scope::Customer(id), EventKind::CustomerLimited, &record, caller);
            let change = self.change(event.with(FieldName::Detail, terms)).update(&row, &record)?;
            self.commit(change).await?;
            Ok(view(record))
        })
        .await
    }

    /// Removes a customer that has no system left. Its log stays, under its key.
    pub async fn remove_customer(
        &self,
        id: CustomerId,
        caller: &Caller,
        _permit: Permit<CustomerRemove>,
    ) -> Result<()> {
        deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let systems =
                self.list::<SystemRecord>(&Range::scope(Table::Systems, Scope::Customer(id)).limit(1)).await?;
            if !systems.is_empty() {
                return Err(Error::new(ProblemType::InUse, "The customer has systems; remove them first."));
            }
            let providers = Range::scope(Table::IdentityProviders, Scope::Operator);
            let mut providers = self.all::<IdentityProviderRecord>(&providers).await?.into_iter();
            if let Some(own) = providers.find(|row| row.value.customer == Some(id)) {
                let detail =
                    format!("The identity provider {} is the customer's own; remove it first.", own.value.name);
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let mut change = self
                .change(self.customer_event(Scope::Operator, EventKind::CustomerRemoved, &row.value, caller))
                .and(self.customer_event(Scope::Customer(id), EventKind::CustomerRemoved, &row.value, caller))
                .erase(self.keyring().name(Table::Customers, Scope::Operator, row.value.slug.as_str()))
                .remove(&row);
            for kit in self.kits_of(id).await? {
                if kit.value.state == KitStep::Asked {
                    change = change.erase(kit_timer(id, kit_id(&kit)?, kit.value.asked_at));
                }
                change = change.remove(&kit);
            }
            self.commit(change).await.map(drop)
        })
        .await?;
        self.remove_kit_files(id).await
    }

    pub(super) fn customer_event(
        &self,
        scope: Scope,
        kind: EventKind,
        record: &CustomerRecord,
        caller: &Caller,
    ) -> Event {
        self.event(scope, kind, caller).with(FieldName::Customer, &record.slug)
    }
}

pub(crate) fn bad_limits(bad: Vec<BadCondition>) -> Error {
    let one = |BadCondition { condition, message }| {
        let of_its_own = condition == Condition::MaxCheckoutSeconds;
        let at = format!("{}{}", if of_its_own { "" } else { "conditions." }, condition.as_str());
        ValueError { at, message }
    };
    Error::values(bad.into_iter().map(one).collect())
}

pub(crate) fn view(record: CustomerRecord) -> Customer {
    Customer {
        id: record.id,
        slug: record.slug,
        display_name: record.display_name,
        limits: record.limits.view(),
        rotation_policy: record.rotation_policy,
        time_zone: record.time_zone,
        lock: record.lock.map(|lock| CustomerLock {
            state: match (lock.locked_at, lock.offboard) {
                (_, Some(_)) => LockState::Offboarding,
                (Some(_), None) => LockState::Locked,
                (None, None) => LockState::Locking,
            },
            since: lock.since,
            by: lock.by,
            at_once: lock.at_once,
            waits_for: lock.waits_for,
            locked_at: lock.locked_at,
        }),
        created_at: record.created_at,
    }
}
