//! Another key for one customer, while it is served.
//!
//! First the new key is stored beside the old one, so that every node has it in memory before a row is sealed under it. Then the two
//! change places: whatever is written from now on is under the new one, and what is there is sealed anew, page by page, at the revision
//! that it has, so that nobody's decision is lost by it. A row is opened by the key that its commitment names. When a look at
//! all rows, begun some time after the last one was sealed anew, finds none under the old key, that is destroyed.
//!
//! Where it is stands in a row, so that it goes on after a crash, a seal or a lock of the customer, on whatever node.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{KeyRotation, KeyRotationState, KeyRotationStatus};
use claviger_api::{CustomerId, Part, PrincipalId, Scope, Timestamp};
use claviger_core::policy::{Permit, SysRekey, SysStatus};
use claviger_store::{Range, Record, RowId, Table, Versioned};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::base64_bytes;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::open::{Caller, Open, deciding};
use crate::records::{CustomerRecord, TimerRecord};
use crate::workers::TimerKind;

mod reseal;

/// Who goes on with it.
const ACTOR: &str = "system/key-rotation";
/// So long the new key is stored before it is used, beside other nodes: each hears of it within a second, or serves nobody.
const SPREAD_FOR: SignedDuration = SignedDuration::from_secs(10);
/// So long after the last row was sealed anew the look begins that the old key waits for: whoever has read a row before opens it
/// meanwhile.
const PROVE_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// From one look to the next, where there are rows that no key opens: the old key is kept until they are set right.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// The replacement of a customer's key: the one under way, or the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyRotationRecord {
    /// What the customer is called.
    pub slug: Part,
    /// Who had it done.
    pub by: PrincipalId,
    /// Since when.
    pub since: Timestamp,
    /// How far it is.
    pub step: Step,
}

/// How far the replacement of a key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// The new key is stored, and used from this time on.
    Spreading { due: Timestamp },
    /// The new key seals; all rows are looked at.
    Looking(Look),
    /// The old key is destroyed.
    Ended { at: Timestamp, rows: u64 },
}

/// A look at all rows that a customer's key seals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Look {
    /// What for.
    pub pass: Pass,
    /// When it goes on: its timer's time.
    pub due: Timestamp,
    /// How many rows were counted.
    pub rows: u64,
    /// How many were looked at.
    pub done: u64,
    /// How many of them were sealed anew.
    pub resealed: u64,
    /// How many of them no key opens.
    pub unopened: u64,
    /// The key up to which it has come; empty at the beginning.
    #[serde(with = "base64_bytes")]
    pub last: Vec<u8>,
}

/// What a look is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pass {
    /// How many rows there are.
    Counting,
    /// Rows under the old key are sealed anew.
    Resealing,
    /// The same, and where there is none the old key ends.
    Proving,
}

impl Record for KeyRotationRecord {
    const TABLE: Table = Table::KeyRotations;
}

impl KeyRotationRecord {
    const fn is_over(&self) -> bool {
        matches!(self.step, Step::Ended { .. })
    }

    /// When it goes on.
    #[cfg(test)]
    pub const fn due(&self) -> Option<Timestamp> {
        match &self.step {
            Step::Spreading { due } | Step::Looking(Look { due, .. }) => Some(*due),
            Step::Ended { .. } => None,
        }
    }

    fn shown(&self) -> KeyRotation {
        let (state, rows, rows_done, unopened_rows, ended_at) = match &self.step {
            Step::Spreading { .. } => (KeyRotationState::Spreading, 0, 0, 0, None),
            Step::Looking(look) => match look.pass {
                Pass::Counting => (KeyRotationState::Counting, look.rows, 0, 0, None),
                Pass::Resealing => (KeyRotationState::Resealing, look.rows, look.done, look.unopened, None),
                Pass::Proving => (KeyRotationState::Proving, look.rows, look.rows, look.unopened, None),
            },
            Step::Ended { at, rows } => (KeyRotationState::Ended, *rows, *rows, 0, Some(*at)),
        };
        let (customer, begun_by, begun_at) = (self.slug.clone(), self.by, self.since);
        KeyRotation {
            customer,
            state,
            begun_by,
            begun_at,
            rows: rows.max(rows_done),
            rows_done,
            unopened_rows,
            ended_at,
        }
    }
}

impl Open {
    /// Has a customer's key replaced, beside all else. Asked again, it is the one under way.
    ///
    /// # Errors
    ///
    /// There is no such customer, or it is locked.
    pub async fn rotate_customer_key(
        &self,
        customer: &Part,
        caller: &Caller,
        _permit: Permit<SysRekey>,
    ) -> Result<KeyRotation> {
        let id = self.customer_named(customer).await?;
        let record = deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            if row.value.lock.is_some_and(|lock| lock.locked_at.is_some()) {
                return Err(Error::locked(id));
            }
            let before = self.read::<KeyRotationRecord>(&RowId::key_rotation(id)).await?;
            if let Some(under_way) = before.as_ref().filter(|before| !before.value.is_over()) {
                return Ok(under_way.value.clone());
            }
            let since = self.now();
            let due = if self.nodes.member().is_some() { since + SPREAD_FOR } else { since };
            let slug = row.value.slug.clone();
            let record = KeyRotationRecord { slug, by: caller.id, since, step: Step::Spreading { due } };
            let told = |scope| self.event(scope, EventKind::CustomerKeyRotating, caller);
            let about = |event: Event| event.with(FieldName::Customer, &record.slug);
            let top = self.sealing.top.read().await;
            let (new, old) = self.keyring().spread_key(self.ground().store.as_ref(), id, self.random()).await?;
            let change = self
                .change(about(told(Scope::Operator)))
                .and(about(told(Scope::Customer(id))))
                .expect(&row)
                .create_sealed(new)
                .replace_sealed(old)
                .create(timer(id, due), &TimerRecord {})?;
            let change = match &before {
                Some(before) => change.update(before, &record)?,
                None => change.create(RowId::key_rotation(id), &record)?,
            };
            self.commit(top.holds_for(change)).await?;
            Ok(record)
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(record.shown())
    }

    /// The replacement of a customer's key that is under way, or the last one.
    ///
    /// # Errors
    ///
    /// There is no such customer.
    pub async fn key_rotation(&self, customer: &Part, _permit: Permit<SysStatus>) -> Result<KeyRotationStatus> {
        let id = self.customer_named(customer).await?;
        let row = self.read::<KeyRotationRecord>(&RowId::key_rotation(id)).await?;
        Ok(KeyRotationStatus { key_rotation: row.map(|row| row.value.shown()) })
    }

    /// How many customers' keys are being replaced.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn key_rotations_under_way(&self) -> Result<u64> {
        let all = self.all::<KeyRotationRecord>(&Range::table(Table::KeyRotations)).await?;
        Ok(all.iter().filter(|row| !row.value.is_over()).count() as u64)
    }

    /// Goes on with it.
    pub(crate) async fn key_rotation_due(&self, customer: CustomerId) -> Result<()> {
        let Some(row) = self.read::<KeyRotationRecord>(&RowId::key_rotation(customer)).await? else { return Ok(()) };
        match row.value.step.clone() {
            Step::Spreading { due } => self.switch_keys(customer, &row, due).await,
            Step::Looking(look) => self.look_at_rows(customer, row, look).await,
            Step::Ended { .. } => Ok(()),
        }
    }

    /// The new key seals from now on.
    async fn switch_keys(
        &self,
        customer: CustomerId,
        row: &Versioned<KeyRotationRecord>,
        due: Timestamp,
    ) -> Result<()> {
        let top = self.sealing.top.read().await;
        let puts = self.keyring().switched_keys(self.ground().store.as_ref(), customer, self.random()).await?;
        let look = Look::first(due);
        let record = KeyRotationRecord { step: Step::Looking(look), ..row.value.clone() };
        let change = self.key_change(customer, EventKind::CustomerKeySwitched, &record, None).update(row, &record)?;
        self.commit(top.holds_for(puts.into_iter().fold(change, crate::journal::Change::replace_sealed)))
            .await
            .map(drop)
    }

    /// The old key is destroyed: nothing is sealed under it.
    async fn retire_key(&self, customer: CustomerId, row: &Versioned<KeyRotationRecord>, look: &Look) -> Result<()> {
        let top = self.sealing.top.read().await;
        let retired = self.keyring().retired_key(self.ground().store.as_ref(), customer, self.random()).await?;
        let step = Step::Ended { at: self.now(), rows: look.done };
        let record = KeyRotationRecord { step, ..row.value.clone() };
        let rows = format!("{} rows", look.done);
        let change = self
            .key_change(customer, EventKind::CustomerKeyRotated, &record, Some(&rows))
            .update(row, &record)?
            .replace_sealed(retired.put)
            .expect_at(retired.erase.clone(), retired.revision)
            .erase(retired.erase)
            .erase(timer(customer, look.due));
        self.commit(top.holds_for(change)).await.map(drop)
    }

    /// A change of which both logs tell.
    fn key_change(
        &self,
        customer: CustomerId,
        kind: EventKind,
        record: &KeyRotationRecord,
        detail: Option<&str>,
    ) -> crate::journal::Change<'_> {
        let event = |scope| {
            let event = self.automatic(scope, kind, ACTOR).with(FieldName::Customer, &record.slug);
            let event = event.with(FieldName::Principal, record.by);
            match detail {
                Some(detail) => event.with(FieldName::Detail, detail),
                None => event,
            }
        };
        self.change(event(Scope::Operator)).and(event(Scope::Customer(customer)))
    }
}

/// Where the timer of a customer's key is.
fn timer(customer: CustomerId, due: Timestamp) -> RowId {
    TimerKind::KeyRotationDue.row(due, customer, customer.uuid())
}
