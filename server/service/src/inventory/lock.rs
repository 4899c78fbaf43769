//! Locking a customer: what is checked out ends and is rotated, then its key goes from memory. Nothing of it can be read until it is
//! unlocked, by whoever has the vault's memory either.
//!
//! That a customer is being locked is in its row, which the operator's key seals, so that it is known without the customer's. From that
//! commit on nothing is checked out: a check-out expects the row to be as it was. What falls due while it is locked is done
//! when it is unlocked, first of all.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Customer, LockCustomer};
use claviger_api::{CustomerId, Scope, Timestamp};
use claviger_core::policy::{CustomerLock, CustomerUnlock, Permit};
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::SignedDuration;

use super::customers::view;
use super::short_text;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding};
use crate::records::{CustomerRecord, LockRecord, StateRecord, TimerRecord};
use crate::upkeep::heartbeat::is_quiet;
use crate::workers::TimerKind;

/// Who ends it.
const ACTOR: &str = "system/lock";
/// The least and the most between two looks at what it waits for: each time as long as it has waited.
const LOOK_LEAST: SignedDuration = SignedDuration::from_secs(1);
const LOOK_MOST: SignedDuration = SignedDuration::from_mins(5);

impl Open {
    /// Locks a customer. Asked again, it may be told not to wait any longer.
    pub async fn lock_customer(
        &self,
        id: CustomerId,
        lock: &LockCustomer,
        caller: &Caller,
        _permit: Permit<CustomerLock>,
    ) -> Result<Customer> {
        let reason = short_text("reason", &lock.reason)?;
        let locking = deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let now = self.now();
            let before = row.value.lock;
            if before.is_some_and(|before| before.locked_at.is_some() || before.at_once >= lock.at_once) {
                return Ok(row.value);
            }
            let begun = before.unwrap_or(LockRecord {
                since: now,
                by: caller.id,
                at_once: false,
                waits_for: 0,
                look_at: now,
                locked_at: None,
                offboard: None,
            });
            let after = LockRecord { at_once: lock.at_once, look_at: now, ..begun };
            let told = |scope| {
                let event = self.customer_event(scope, EventKind::CustomerLocking, &row.value, caller);
                let how = if lock.at_once { "at once" } else { "after the rotations of what was seen" };
                event.with(FieldName::Detail, how).with_personal(caller.id, FieldName::Reason, reason)
            };
            let change = self.change(told(Scope::Operator)).and(told(Scope::Customer(id)));
            self.store_lock(change, &row, Some(after)).await
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(view(locking))
    }

    /// Takes a locked customer's key into memory again. What fell due meanwhile is done first.
    pub async fn unlock_customer(
        &self,
        id: CustomerId,
        reason: &str,
        caller: &Caller,
        _permit: Permit<CustomerUnlock>,
    ) -> Result<Customer> {
        let reason = short_text("reason", reason)?;
        let _one_at_a_time = self.locking.lock().await;
        let unlocked = deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let Some(lock) = row.value.lock else { return Ok(row.value) };
            if lock.offboard.is_some() {
                return Err(Error::new(
                    ProblemType::InUse,
                    "The customer is being offboarded, and nobody gets it back.",
                ));
            }
            if lock.locked_at.is_some() {
                self.keyring().unlock_customer(self.ground().store.as_ref(), id).await?;
            }
            let told = |scope| {
                let event = self.customer_event(scope, EventKind::CustomerUnlocked, &row.value, caller);
                event.with_personal(caller.id, FieldName::Reason, reason)
            };
            let change = self.change(told(Scope::Operator)).and(told(Scope::Customer(id)));
            let stored = self.store_lock(change, &row, None).await;
            // Where the outcome is unknown it may be unlocked, and needs its key.
            let refused = stored.as_ref().is_err_and(|error| error.problem != ProblemType::OutcomeUnknown);
            if refused && lock.locked_at.is_some() {
                self.drop_key(id);
            }
            stored
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(view(unlocked))
    }

    /// Goes on with a lock: ends what is checked out, waits for what that has begun, and drops the key.
    pub(crate) async fn lock_due(&self, id: CustomerId) -> Result<()> {
        let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
        if row.value.lock.is_none_or(|lock| lock.locked_at.is_some()) {
            return Ok(());
        }
        self.end_all_at(id, ACTOR, "the customer is being locked").await?;
        let _one_at_a_time = self.locking.lock().await;
        let locked = deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let Some(lock) = row.value.lock.filter(|lock| lock.locked_at.is_none()) else { return Ok(false) };
            let (now, waits_for) = (self.now(), self.unsettled_at(id).await?);
            let about = |event: Event| {
                event
                    .with(FieldName::Customer, &row.value.slug)
                    .with(FieldName::Detail, format!("{waits_for} accounts"))
            };
            if waits_for > 0 && !lock.at_once {
                let pause = now.duration_since(lock.since).clamp(LOOK_LEAST, LOOK_MOST);
                let event = about(self.automatic(Scope::Customer(id), EventKind::CustomerLockWaits, ACTOR));
                let after = LockRecord { waits_for, look_at: now + pause, ..lock };
                return self.store_lock(self.change(event), &row, Some(after)).await.map(|_| false);
            }
            let told = |scope| about(self.automatic(scope, EventKind::CustomerLocked, ACTOR));
            let change = self.change(told(Scope::Operator)).and(told(Scope::Customer(id)));
            let after = LockRecord { waits_for, locked_at: Some(now), ..lock };
            self.store_lock(change, &row, Some(after)).await.map(|_| true)
        })
        .await?;
        if locked {
            self.drop_key(id);
        }
        Ok(())
    }

    /// Refuses what has to reach every customer, while one is locked.
    pub(crate) async fn none_locked(&self) -> Result<()> {
        let customers = self.all::<CustomerRecord>(&Range::table(Table::Customers)).await?;
        match customers.iter().find(|row| !self.keyring().holds(Scope::Customer(row.value.id))) {
            Some(row) => {
                let detail =
                    format!("{} is locked, and this has to reach every customer: unlock it first.", row.value.slug);
                Err(Error::new(ProblemType::CustomerLocked, detail))
            }
            None => Ok(()),
        }
    }

    /// The customer's row with this lock, and its timer with it.
    async fn store_lock(
        &self,
        change: Change<'_>,
        row: &Versioned<CustomerRecord>,
        after: Option<LockRecord>,
    ) -> Result<CustomerRecord> {
        let id = row.value.id;
        let timer = |at: Timestamp| TimerKind::LockDue.row(at, id, id.uuid());
        let of = |lock: &LockRecord| lock.locked_at.is_none().then(|| timer(lock.look_at));
        let (before, next) = (row.value.lock.as_ref().and_then(of), after.as_ref().and_then(of));
        let record = CustomerRecord { lock: after, ..row.value.clone() };
        let mut change = change.update(row, &record)?;
        if before != next {
            change = before.into_iter().fold(change, Change::erase);
            if let Some(next) = next {
                change = change.create(next, &TimerRecord {})?;
            }
        }
        self.commit(change).await?;
        Ok(record)
    }

    /// How many accounts are not settled: which secret opens them is not known for sure, what was seen still opens them, or those
    /// who depend on them have the old one.
    async fn unsettled_at(&self, customer: CustomerId) -> Result<u64> {
        let scope = Scope::Customer(customer);
        let states = self.all::<StateRecord>(&Range::scope(Table::AccountStates, scope)).await?;
        let unsettled = states.iter().filter(|row| !is_quiet(&row.value.0) || !row.value.0.logins.is_empty()).count();
        let timers = self.timers(Range::table(Table::Timers)).await?;
        let kinds = [TimerKind::CertificateProof as u8, TimerKind::FollowUpDue as u8];
        let waiting = timers.iter().filter(|timer| timer.scope == scope && kinds.contains(&timer.kind)).count();
        Ok(unsettled as u64 + waiting as u64)
    }
}
