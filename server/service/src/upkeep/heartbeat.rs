//! The heartbeat: stored secrets are tried by a fresh login, so that one that was changed by hand is found before somebody
//! needs it.
//!
//! What is about to be tried is stored first, for many accounts of a system in one commit, and so is what came of it.
//! Accounts of one system are tried one after another, systems beside each other.

use std::collections::BTreeMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{ProbeResult, RotationCause, SystemSpec};
use claviger_api::{CustomerId, Scope, SystemId, Timestamp};
use claviger_core::account::AccountState;
use claviger_core::secrets::Version;
use claviger_core::upkeep::{LOCKOUT_LEAST, SILENT_AFTER, Watch, heartbeat_is_due, reconciles};
use claviger_store::RowId;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};

use super::{ACTOR, House, Kept, spread};
use crate::error::Result;
use crate::event::{Event, snake_case};
use crate::inventory::accounts::of_account;
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::{AccountRecord, StateRecord, SystemRecord, WatchRecord};

/// Accounts of one system that one commit says of that they are about to be tried.
const BATCH: usize = 50;
/// Systems of one customer at once.
const SYSTEMS_AT_ONCE: usize = 8;

/// An account that is to be tried.
struct Beat {
    kept: Kept,
    version: Version,
}

/// What came of one try.
struct Tried<'b> {
    kept: &'b Kept,
    version: Version,
    result: ProbeResult,
}

impl Open {
    /// Tries what has not been tried for a while.
    pub(super) async fn heartbeat(&self, house: House) -> Result<()> {
        let now = self.now();
        let is_due = |kept: &Kept, version, threshold| {
            let watch = kept.seen.as_ref().and_then(|seen| seen.value.watch.as_ref());
            heartbeat_is_due(&kept.policy, watch, version, threshold, spread(kept.account.id), now)
        };
        self.try_those(house, is_due).await
    }

    /// Tries whatever was not tried since then, and can be.
    pub(crate) async fn try_all(&self, house: House, since: Timestamp) -> Result<()> {
        let is_due = |kept: &Kept, _, threshold: Option<u32>| {
            let watch = kept.seen.as_ref().and_then(|seen| seen.value.watch.as_ref());
            threshold.is_none_or(|threshold| threshold >= LOCKOUT_LEAST)
                && watch.is_none_or(|watch| watch.tried_at < since)
        };
        self.try_those(house, is_due).await
    }

    async fn try_those(&self, house: House, is_due: impl Fn(&Kept, Version, Option<u32>) -> bool) -> Result<()> {
        let House { customer, mut systems, kept, .. } = house;
        let mut by_system: BTreeMap<SystemId, Vec<Beat>> = BTreeMap::new();
        for kept in kept {
            let Some(version) = kept.state.secrets.current.filter(|_| is_quiet(&kept.state)) else { continue };
            let Some(system) = systems.get(&kept.account.system) else { continue };
            // Nobody can try a login there but a person.
            if matches!(system.spec, SystemSpec::Manual { .. }) {
                continue;
            }
            let threshold = self.ground().connectors.connector(&system.spec).traits(&system.spec).lockout_threshold;
            if is_due(&kept, version, threshold) {
                by_system.entry(kept.account.system).or_default().push(Beat { kept, version });
            }
        }
        let work: Vec<_> =
            by_system.into_iter().filter_map(|(id, beats)| Some((systems.remove(&id)?, beats))).collect();
        stream::iter(work)
            .map(|(system, beats)| self.heartbeat_of(customer, system, beats))
            .buffer_unordered(SYSTEMS_AT_ONCE)
            .try_collect::<()>()
            .await
    }

    async fn heartbeat_of(&self, customer: CustomerId, system: SystemRecord, beats: Vec<Beat>) -> Result<()> {
        for batch in beats.chunks(BATCH) {
            if !self.begin_heartbeat(customer, &system, batch).await? {
                return Ok(());
            }
            let (tried, silent) = self.try_in_turn(customer, &system, batch).await?;
            for drifted in self.note_tried(customer, &system, &tried).await? {
                if reconciles(&drifted.policy) && drifted.managed && self.paused().is_none() {
                    self.rotate_by_policy(customer, drifted.account.id, RotationCause::Drift).await?;
                    self.ground().wake.notify_waiters();
                }
            }
            if silent {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Stores that these are about to be tried. Whoever loses against another's look or a person's try leaves it to them.
    async fn begin_heartbeat(&self, customer: CustomerId, system: &SystemRecord, batch: &[Beat]) -> Result<bool> {
        let now = self.now();
        let count = format!("{} accounts", batch.len());
        let event = self.heartbeat_event(customer, EventKind::SystemHeartbeatBegun, system).await?;
        let mut change = self.change(event.with(FieldName::Detail, count));
        for Beat { kept, version } in batch {
            let before = kept.seen.as_ref().map(|row| row.value.clone()).unwrap_or_default();
            let watch = Watch::trying(before.watch.as_ref(), *version, now);
            let after = WatchRecord { watch: Some(watch), ..before };
            change = match &kept.seen {
                Some(row) => change.update(row, &after)?,
                None => change.create(RowId::watch(customer, kept.account.id), &after)?,
            };
        }
        match self.commit(change).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_conflict() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tries them one after another; a system that cannot be reached several times in a row is silent, and left alone.
    async fn try_in_turn<'b>(
        &self,
        customer: CustomerId,
        system: &SystemRecord,
        batch: &'b [Beat],
    ) -> Result<(Vec<Tried<'b>>, bool)> {
        let connector = self.ground().connectors.connector(&system.spec);
        let mut tried = Vec::new();
        let mut unreachable = 0;
        for Beat { kept, version } in batch {
            // Whoever began to rotate it meanwhile tries it as well, within the same budget.
            let account = kept.account.id;
            let Some(state) = self.read::<StateRecord>(&RowId::account_state(customer, account)).await? else {
                continue;
            };
            if state.value.0.secrets.current != Some(*version) || !is_quiet(&state.value.0) {
                continue;
            }
            let secret = self.secret(customer, account, *version).await?;
            let result = connector.probe(&system.spec, &kept.account.login, &secret).await.result;
            tried.push(Tried { kept, version: *version, result });
            unreachable = if result == ProbeResult::Unreachable { unreachable + 1 } else { 0 };
            if unreachable >= SILENT_AFTER {
                return Ok((tried, true));
            }
        }
        Ok((tried, false))
    }

    /// Stores what came of it, and returns those that have drifted since.
    async fn note_tried<'k>(
        &self,
        customer: CustomerId,
        system: &SystemRecord,
        tried: &[Tried<'k>],
    ) -> Result<Vec<&'k Kept>> {
        deciding(|| async {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            let mut drifted = Vec::new();
            let mut noted = Vec::new();
            for Tried { kept, version, result } in tried {
                *counts.entry(snake_case(result)).or_default() += 1;
                if let Some((row, after, new)) = self.what_it_tells(customer, kept, *version, *result).await? {
                    noted.push((row, after));
                    drifted.extend(new.then_some(*kept));
                }
            }
            let counts: Vec<String> = counts.into_iter().map(|(result, count)| format!("{count} {result}")).collect();
            let event = self.heartbeat_event(customer, EventKind::SystemHeartbeatDone, system).await?;
            let mut change = self.change(event.with(FieldName::Detail, counts.join(", ")));
            for kept in &drifted {
                change = change.and(self.drifted_event(customer, &kept.account, kept.state.secrets.current).await?);
            }
            for (row, after) in noted {
                change = change.update(&row, &after)?;
            }
            self.commit(change).await?;
            Ok(drifted)
        })
        .await
    }

    /// What one try tells, and whether it tells of drift for the first time; nothing where the account has moved on
    /// meanwhile: then its old secret may well be refused.
    async fn what_it_tells(
        &self,
        customer: CustomerId,
        kept: &Kept,
        version: Version,
        result: ProbeResult,
    ) -> Result<Option<(claviger_store::Versioned<WatchRecord>, WatchRecord, bool)>> {
        let account = kept.account.id;
        let state = self.read::<StateRecord>(&RowId::account_state(customer, account)).await?;
        let row = self.read::<WatchRecord>(&RowId::watch(customer, account)).await?;
        let (Some(state), Some(row)) = (state, row) else { return Ok(None) };
        let moved_on = state.value.0.secrets.current != Some(version)
            || state.value.0.last_rotation != kept.state.last_rotation
            || !is_quiet(&state.value.0);
        let Some(watch) = row.value.watch.clone().filter(|watch| watch.version == version && !moved_on) else {
            return Ok(None);
        };
        let before = watch.drifted_since;
        let after = watch.tried(result, self.now());
        let new = after.drifted_since.is_some() && before.is_none();
        let record = WatchRecord { watch: Some(after), overdue: row.value.overdue };
        Ok(Some((row, record, new)))
    }

    /// What a person's own try told, in the change of its event.
    pub(crate) async fn with_try<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        account: &AccountRecord,
        version: Version,
        result: ProbeResult,
    ) -> Result<Change<'a>> {
        let state = self.load::<StateRecord>(&RowId::account_state(customer, account.id)).await?;
        if state.value.0.secrets.current != Some(version) || !is_quiet(&state.value.0) {
            return Ok(change);
        }
        let id = RowId::watch(customer, account.id);
        let row = self.read::<WatchRecord>(&id).await?;
        let before = row.as_ref().map(|row| row.value.clone()).unwrap_or_default();
        let now = self.now();
        let watch = Watch::trying(before.watch.as_ref(), version, now);
        let known = watch.drifted_since;
        let watch = watch.tried(result, now);
        let new = watch.drifted_since.is_some() && known.is_none();
        let after = WatchRecord { watch: Some(watch), ..before };
        let change = if new { change.and(self.drifted_event(customer, account, Some(version)).await?) } else { change };
        match &row {
            Some(row) => change.update(row, &after),
            None => change.create(id, &after),
        }
    }

    async fn heartbeat_event(&self, customer: CustomerId, kind: EventKind, system: &SystemRecord) -> Result<Event> {
        Ok(self
            .automatic(Scope::Customer(customer), kind, ACTOR)
            .with(FieldName::Customer, self.slug_of(customer).await?)
            .with(FieldName::System, &system.name))
    }

    async fn drifted_event(
        &self,
        customer: CustomerId,
        account: &AccountRecord,
        version: Option<Version>,
    ) -> Result<Event> {
        let event = self.automatic(Scope::Customer(customer), EventKind::AccountDrifted, ACTOR);
        let event = of_account(event, &self.path_of(customer, account).await?);
        Ok(match version {
            Some(version) => event.with(FieldName::Version, version),
            None => event,
        })
    }
}

/// Nobody is changing the secret, or finding out which it is.
pub(crate) fn is_quiet(state: &AccountState) -> bool {
    state.rotation.is_none_or(|running| running.settled) && state.to_revoke.is_empty()
}
