//! The emergency rotation of a customer: check-outs are frozen, the running ones end, every standing secret is replaced
//! tier by tier, and a signed report says what became of each.
//!
//! It is a row with a timer and a line an account, all written in the commit that starts it, and is carried on by workers
//! ([`run`]): a crash, a seal or the caller's going away delay it and no more. A line's rotation starts in the commit that
//! notes it in the line, so that no account is rotated twice for the same exposure.

use std::collections::BTreeMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, AccountKind, EmergencyAct, EmergencyCounts, EmergencyPlan, EmergencyStep};
use claviger_api::{AccountId, CustomerId, EmergencyId, KitId, Scope, Timestamp};
use claviger_core::account::AccountState;
use claviger_core::emergency::{
    AT_ONCE, AT_ONCE_PER_SYSTEM, Emergency, Line, LineState, Takes, Turn, UnderWay, turn_of,
};
use claviger_core::policy::{AccountRotate, CheckoutRevoke, Permit, RotationView};
use claviger_core::rotation::Rotation;
use claviger_store::{Range, RowId, Table, Versioned};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::inventory::{Standing, short_text};
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{
    AccountRecord, CustomerRecord, EmergencyLineRecord, EmergencyRecord, RotationRecord, StateRecord, TimerRecord,
};
use crate::workers::TimerKind;

mod report;
mod run;

/// Who carries it on.
const ACTOR: &str = "system/emergency";

impl Open {
    /// Freezes a customer's check-outs and replaces every standing secret. One at a time.
    pub async fn start_emergency(
        &self,
        customer: CustomerId,
        reason: &str,
        once: &Once,
        caller: &Caller,
        permits: (Permit<AccountRotate>, Permit<CheckoutRevoke>),
    ) -> Result<wire::Emergency> {
        let id = self.begin_emergency(customer, reason, once, caller, permits, None).await?;
        self.emergency_view(customer, id).await
    }

    /// The same; where that is why, because this kit was opened. Of one that was opened before it is the one that was started then.
    pub(crate) async fn begin_emergency(
        &self,
        customer: CustomerId,
        reason: &str,
        once: &Once,
        caller: &Caller,
        _permits: (Permit<AccountRotate>, Permit<CheckoutRevoke>),
        kit: Option<KitId>,
    ) -> Result<EmergencyId> {
        self.must_act()?;
        short_text("reason", reason)?;
        let scope = Scope::Customer(customer);
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return Ok(EmergencyId::from_uuid(done));
            }
            if let Some(kit) = kit
                && let Some(before) = self.emergency_of_kit(customer, kit).await?
            {
                return Ok(before);
            }
            // Before anything is read: whatever is rotated from now on counts.
            let now = self.now();
            let row = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
            if let Some(under_way) = row.value.emergency {
                let again =
                    kit.map_or("", |_| " It may have begun before the kit was made: say it again when that is done.");
                let detail = format!("The emergency rotation {} of this customer is under way.{again}", under_way.id);
                return Err(Error::new(ProblemType::InUse, detail));
            }
            let emergency = Emergency::start(EmergencyId::from_uuid(self.new_uuid()), customer, caller.id, now, kit);
            let lines = self.first_lines(customer, emergency.takes()).await?;
            let told = |scope| {
                let event = self.emergency_event(scope, EventKind::EmergencyStarted, Some(caller), &emergency);
                let event = event.with(FieldName::Customer, &row.value.slug);
                event.with(FieldName::Detail, format_args!("{} accounts", lines.len())).with_personal(
                    caller.id,
                    FieldName::Reason,
                    reason,
                )
            };
            let frozen = UnderWay { id: emergency.id, frozen: true };
            let mut change = self
                .change(told(scope))
                .and(told(Scope::Operator))
                .update(&row, &CustomerRecord { emergency: Some(frozen), ..row.value.clone() })?
                .create(RowId::emergency(customer, emergency.id), &EmergencyRecord(emergency.clone()))?
                .create(timer(&emergency, now), &TimerRecord {})?;
            for line in lines {
                let id = RowId::emergency_line(customer, emergency.id, line.account);
                change = change.create(id, &EmergencyLineRecord(line))?;
            }
            if let Some(kit) = kit {
                change = self.with_kit_opened(change, kit, &emergency, reason, caller).await?;
            }
            self.commit(self.remember(change, scope, once, caller, emergency.id.uuid())?).await?;
            Ok(emergency.id)
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(id)
    }

    /// What an emergency rotation would do now.
    pub async fn emergency_plan(&self, customer: CustomerId, _permit: Permit<RotationView>) -> Result<EmergencyPlan> {
        let checkouts = self.open_checkouts(|at, _| at == customer).await?.len() as u64;
        let mut steps = Vec::new();
        for (line, record, state) in self.accounts_in_order(customer).await? {
            let account = self.path_of(customer, &record).await?;
            let (act, why) = match turn_of(record.settings.rotate_by, &state, None, Takes::Unseen) {
                // What is held ends first, and its end counts.
                Turn::Rotate | Turn::First(_) => (EmergencyAct::Rotate, None),
                Turn::Adopt(_) if !state.seats.is_empty() => (EmergencyAct::Rotate, None),
                Turn::Adopt(_) => (EmergencyAct::Await, None),
                Turn::Skip(why) => (EmergencyAct::Skip, Some(why.to_owned())),
            };
            steps.push(EmergencyStep { account, tier: line.tier, act, why });
        }
        let (at_once, at_once_per_system) = (AT_ONCE as u64, AT_ONCE_PER_SYSTEM as u64);
        Ok(EmergencyPlan { customer: self.slug_of(customer).await?, checkouts, at_once, at_once_per_system, steps })
    }

    /// A customer's emergency rotations, the newest first.
    pub async fn emergencies(
        &self,
        customer: CustomerId,
        paging: &Paging,
        _permit: Permit<RotationView>,
    ) -> Result<Page<wire::Emergency>> {
        let range = Range::scope(Table::Emergencies, Scope::Customer(customer)).reversed();
        let rows = self.page::<EmergencyRecord>(range, paging, |_| true).await?;
        rows.try_map(async |row| self.emergency_view(customer, row.value.0.id).await).await
    }

    /// One of them, with its progress.
    pub async fn emergency(
        &self,
        customer: CustomerId,
        id: EmergencyId,
        _permit: Permit<RotationView>,
    ) -> Result<wire::Emergency> {
        self.emergency_view(customer, id).await
    }

    /// Lets check-outs go on before it is done. The rotation goes on.
    pub async fn thaw(
        &self,
        customer: CustomerId,
        id: EmergencyId,
        reason: &str,
        caller: &Caller,
        _permits: (Permit<AccountRotate>, Permit<CheckoutRevoke>),
    ) -> Result<wire::Emergency> {
        short_text("reason", reason)?;
        deciding(|| async {
            let row = self.load::<EmergencyRecord>(&RowId::emergency(customer, id)).await?;
            let serves = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
            if serves.value.emergency != Some(UnderWay { id, frozen: true }) {
                return Ok(());
            }
            let thawed = Emergency { thawed_by: Some(caller.id), ..row.value.0.clone() };
            let goes_on = CustomerRecord { emergency: Some(UnderWay { id, frozen: false }), ..serves.value.clone() };
            let event = self
                .emergency_event(Scope::Customer(customer), EventKind::EmergencyThawed, Some(caller), &thawed)
                .with_personal(caller.id, FieldName::Reason, reason);
            let change = self.change(event).update(&row, &EmergencyRecord(thawed))?.update(&serves, &goes_on)?;
            self.commit(change).await.map(drop)
        })
        .await?;
        self.emergency_view(customer, id).await
    }

    /// Refuses a check-out while an emergency rotation has frozen the customer, or it is being locked. The revision of its row, to
    /// be expected by whoever checks out: no lock comes in between.
    pub(crate) async fn serves(&self, customer: CustomerId) -> Result<u64> {
        let Standing { emergency, locks, revision } = self.standing_of(customer).await?;
        if locks {
            return Err(Error::locked(customer));
        }
        match emergency {
            Some(UnderWay { id, frozen: true }) => Err(Error::new(
                ProblemType::CustomerFrozen,
                format!("Every secret of this customer is being replaced ({id}); check-outs go on when that is done."),
            )),
            Some(UnderWay { frozen: false, .. }) | None => Ok(revision),
        }
    }

    /// Every standing account, in the order of turns, with what is known of it.
    async fn accounts_in_order(&self, customer: CustomerId) -> Result<Vec<(Line, AccountRecord, AccountState)>> {
        let scope = Scope::Customer(customer);
        let states = self.all::<StateRecord>(&Range::scope(Table::AccountStates, scope)).await?;
        let mut states: BTreeMap<AccountId, AccountState> =
            states.into_iter().filter_map(|row| Some((AccountId::from_uuid(row.id.uuid()?), row.value.0))).collect();
        let mut found = Vec::new();
        for row in self.all::<AccountRecord>(&Range::scope(Table::Accounts, scope)).await? {
            let record = row.value;
            if record.kind != AccountKind::Standing {
                continue;
            }
            let Some(state) = states.remove(&record.id) else { continue };
            let (account, system, tier) = (record.id, record.system, record.settings.tier);
            found.push((Line { account, system, tier, state: LineState::Waiting }, record, state));
        }
        found.sort_by_key(|(line, ..)| line.order());
        Ok(found)
    }

    /// The lines of one that starts now. A rotation under way whose new secret nobody has seen, and that revokes all that
    /// was, is the account's one.
    async fn first_lines(&self, customer: CustomerId, takes: Takes) -> Result<Vec<Line>> {
        let line = |(line, record, state): (Line, AccountRecord, AccountState)| match turn_of(
            record.settings.rotate_by,
            &state,
            None,
            takes,
        ) {
            Turn::Adopt(rotation) if state.seats.is_empty() => Line { state: LineState::Started { rotation }, ..line },
            Turn::Adopt(_) | Turn::Rotate | Turn::First(_) | Turn::Skip(_) => line,
        };
        Ok(self.accounts_in_order(customer).await?.into_iter().map(line).collect())
    }

    async fn emergency_lines(
        &self,
        customer: CustomerId,
        id: EmergencyId,
    ) -> Result<Vec<Versioned<EmergencyLineRecord>>> {
        let range = Range::prefix(Table::EmergencyLines, Scope::Customer(customer), id.uuid().as_bytes());
        let mut lines = self.all::<EmergencyLineRecord>(&range).await?;
        lines.sort_by_key(|row| row.value.0.order());
        Ok(lines)
    }

    /// The rotation that says what became of a line: its own, or one that had to follow it.
    async fn rotation_of(&self, customer: CustomerId, line: &Line) -> Result<Option<Rotation>> {
        let LineState::Started { rotation } = line.state else { return Ok(None) };
        let state = self.read::<StateRecord>(&RowId::account_state(customer, line.account)).await?;
        let running = state.and_then(|row| row.value.0.rotation).filter(|running| !running.settled);
        let id = running.map_or(rotation, |running| running.id);
        let row = self.read::<RotationRecord>(&RowId::rotation(customer, id)).await?;
        Ok(row.map(|row| row.value.rotation))
    }

    async fn emergency_view(&self, customer: CustomerId, id: EmergencyId) -> Result<wire::Emergency> {
        let emergency = self.load::<EmergencyRecord>(&RowId::emergency(customer, id)).await?.value.0;
        let counts = self.emergency_counts(customer, id).await?;
        let under_way = self.load::<CustomerRecord>(&RowId::customer(customer)).await?.value.emergency;
        Ok(wire::Emergency {
            id,
            customer: self.slug_of(customer).await?,
            state: emergency.state_name(),
            started_by: self.name_of(emergency.started_by).await?,
            started_at: emergency.started_at,
            finished_at: emergency.finished_at(),
            frozen: under_way == Some(UnderWay { id, frozen: true }),
            thawed_by: match emergency.thawed_by {
                Some(by) => Some(self.name_of(by).await?),
                None => None,
            },
            counts,
        })
    }

    async fn emergency_counts(&self, customer: CustomerId, id: EmergencyId) -> Result<EmergencyCounts> {
        let mut counts = EmergencyCounts::default();
        for row in self.emergency_lines(customer, id).await? {
            let rotation = self.rotation_of(customer, &row.value.0).await?;
            counts.add(row.value.0.result(rotation.as_ref()));
        }
        Ok(counts)
    }

    fn emergency_event(&self, scope: Scope, kind: EventKind, by: Option<&Caller>, emergency: &Emergency) -> Event {
        let event = match by {
            Some(caller) => self.event(scope, kind, caller),
            None => self.automatic(scope, kind, ACTOR),
        };
        event.with(FieldName::Emergency, emergency.id)
    }
}

fn timer(emergency: &Emergency, due: Timestamp) -> RowId {
    TimerKind::EmergencyDue.row(due, emergency.customer, emergency.id.uuid())
}

/// In words, for an event.
fn in_words(counts: &EmergencyCounts) -> String {
    let EmergencyCounts { accounts, waiting, rotating, rotated, old_not_refused, unresolved, skipped } = counts;
    format!(
        "{accounts} accounts: {rotated} rotated, {old_not_refused} rotated whose old secret is not refused yet, \
         {unresolved} unresolved, {skipped} passed over, {rotating} under way, {waiting} waiting"
    )
}
