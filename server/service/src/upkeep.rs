//! What the vault does for secrets by their policies: it replaces what is due, tries what has not been tried for a while,
//! and says what is overdue or was changed by hand.
//!
//! A look goes over all accounts and decides from what is stored, so nothing is forgotten by a crash, a restart or a seal,
//! and nothing has to be moved when a policy changes. It writes only what happened.

use std::collections::BTreeMap;

use claviger_api::wire::{AccountKind, RotationPolicy, Waiting};
use claviger_api::{AccountId, CustomerId, Scope, SystemId, Timestamp};
use claviger_core::account::AccountState;
use claviger_core::follow_up::FollowUp;
use claviger_core::upkeep::{
    AT_ONCE_PER_CUSTOMER, AT_ONCE_PER_SYSTEM, Due, Facts, OVERDUE_AFTER, SILENT_AFTER, due, in_force, time_zone,
};
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::tz::TimeZone;

use crate::error::Result;
use crate::open::Open;
use crate::records::{AccountRecord, CustomerRecord, FollowUpRecord, StateRecord, SystemRecord, WatchRecord};

pub(crate) mod heartbeat;
mod owed;
mod report;
mod rotate;

pub use owed::Owed;

/// Who looks.
const ACTOR: &str = "system/upkeep";

/// A standing account with all that a look decides by.
pub(crate) struct Kept {
    pub account: AccountRecord,
    policy: RotationPolicy,
    pub state: AccountState,
    pub seen: Option<Versioned<WatchRecord>>,
    /// How far those are who depend on its secret.
    follow_up: Option<FollowUp>,
    due: Option<Due>,
    since: Timestamp,
    /// Whether an account of its system, but not itself, may change it.
    managed: bool,
}

/// A customer's standing accounts as they are now.
pub(crate) struct House {
    customer: CustomerId,
    emergency: bool,
    pub systems: BTreeMap<SystemId, SystemRecord>,
    /// What is due first comes first.
    pub kept: Vec<Kept>,
    load: Load,
}

/// How much is under way at a customer.
#[derive(Default)]
struct Load {
    running: BTreeMap<SystemId, usize>,
    unresolved: BTreeMap<SystemId, usize>,
}

/// What the last look saw, at all customers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// Accounts whose rotation was due a day ago or more.
    pub overdue: u64,
    /// Accounts whose stored secret the system refuses.
    pub drifted: u64,
    /// Accounts of whose secret some dependents have an old one.
    pub behind: u64,
    /// What is still owed on systems.
    pub owed: Owed,
}

impl Open {
    /// What the last look saw; nothing before the first one after an unseal.
    pub fn seen_in_upkeep(&self) -> Option<Seen> {
        *self.seen_in_upkeep.lock()
    }

    /// Looks once at every account of every customer.
    pub(crate) async fn look_after_secrets(&self) -> Result<()> {
        let now = self.now();
        let mut seen = Seen { at: now, overdue: 0, drifted: 0, behind: 0, owed: Owed::default() };
        for customer in self.keyring().customers() {
            self.add_owed(customer, &mut seen.owed).await?;
            let Some(mut house) = self.house(customer).await? else { continue };
            for kept in &house.kept {
                seen.overdue += u64::from(kept.is_overdue(now).is_some());
                seen.drifted += u64::from(kept.drifted_since().is_some());
                seen.behind += u64::from(kept.behind_since().is_some());
            }
            self.tell_overdue(&house).await?;
            if !house.emergency {
                self.rotate_due(&mut house).await?;
                self.heartbeat(house).await?;
            }
        }
        *self.seen_in_upkeep.lock() = Some(seen);
        Ok(())
    }

    /// A customer's standing accounts; `None` while the customer is locked, or where no policy says anything and nobody
    /// depends on a secret.
    async fn house(&self, customer: CustomerId) -> Result<Option<House>> {
        self.accounts_of(customer, false).await
    }

    /// A customer's standing accounts, whatever policies say.
    pub(crate) async fn whole_house(&self, customer: CustomerId) -> Result<Option<House>> {
        self.accounts_of(customer, true).await
    }

    async fn accounts_of(&self, customer: CustomerId, all: bool) -> Result<Option<House>> {
        let Some(of_customer) = self.read::<CustomerRecord>(&RowId::customer(customer)).await? else {
            return Ok(None);
        };
        let of_customer = of_customer.value;
        let scope = Scope::Customer(customer);
        let systems = self.all::<SystemRecord>(&Range::scope(Table::Systems, scope)).await?;
        let systems: BTreeMap<SystemId, SystemRecord> =
            systems.into_iter().map(|row| (row.value.id, row.value)).collect();
        let accounts = self.all::<AccountRecord>(&Range::scope(Table::Accounts, scope)).await?;
        let zone = of_customer.time_zone.as_deref().and_then(time_zone).unwrap_or(TimeZone::UTC);

        let mut asked = Vec::new();
        for account in accounts.into_iter().map(|row| row.value).filter(|account| account.kind == AccountKind::Standing)
        {
            let Some(system) = systems.get(&account.system) else { continue };
            let policies = [&account.settings.rotation_policy, &system.rotation_policy, &of_customer.rotation_policy];
            let policy = in_force(policies);
            asked.push((account, policy));
        }
        let mut follow_ups = self.rows_by_account::<FollowUpRecord>(Table::FollowUps, scope).await?;
        if !all && asked.iter().all(|(_, policy)| policy.is_empty()) && follow_ups.is_empty() {
            return Ok(None);
        }
        let exposed = if asked.iter().any(|(_, policy)| policy.after_exposure_hours.is_some_and(|hours| hours > 0)) {
            self.exposed_since(customer).await?
        } else {
            BTreeMap::new()
        };
        let mut seen = self.rows_by_account::<WatchRecord>(Table::Watches, scope).await?;
        let mut states = self.rows_by_account::<StateRecord>(Table::AccountStates, scope).await?;

        let mut house = House {
            customer,
            emergency: of_customer.emergency.is_some(),
            systems,
            kept: Vec::new(),
            load: Load::default(),
        };
        for (account, policy) in asked {
            let Some(state) = states.remove(&account.id).map(|row| row.value.0) else { continue };
            house.load.note(account.system, &state);
            let since = state.secret_since(account.created_at);
            let facts = Facts { since, exposed_since: exposed.get(&account.id).copied(), spread: spread(account.id) };
            let managing = house.systems.get(&account.system).and_then(|system| system.management_account.as_ref());
            house.kept.push(Kept {
                due: due(&policy, &zone, &facts),
                seen: seen.remove(&account.id),
                follow_up: follow_ups.remove(&account.id).map(|row| row.value.0),
                managed: managing.is_some_and(|name| *name != account.name),
                account,
                policy,
                state,
                since,
            });
        }
        house.kept.sort_by_key(|kept| kept.due.map_or(Timestamp::MAX, |due| due.at));
        Ok(Some(house))
    }

    async fn rows_by_account<T: claviger_store::Record>(
        &self,
        table: Table,
        scope: Scope,
    ) -> Result<BTreeMap<AccountId, Versioned<T>>> {
        let rows = self.all::<T>(&Range::scope(table, scope)).await?;
        Ok(rows.into_iter().filter_map(|row| Some((AccountId::from_uuid(row.id.uuid()?), row))).collect())
    }
}

impl Load {
    fn note(&mut self, system: SystemId, state: &AccountState) {
        let Some(running) = state.rotation.filter(|running| !running.settled) else { return };
        *self.running.entry(system).or_default() += 1;
        if running.unresolved {
            *self.unresolved.entry(system).or_default() += 1;
        }
    }

    fn is_silent(&self, system: SystemId) -> bool {
        self.unresolved.get(&system).is_some_and(|count| *count >= SILENT_AFTER)
    }

    /// Whether there is room for another; what waits for its system or a person takes none.
    fn has_room(&self, system: SystemId) -> bool {
        let at_work = |system: &SystemId, running: &usize| running - self.unresolved.get(system).unwrap_or(&0);
        let here = self.running.get(&system).map_or(0, |running| at_work(&system, running));
        let all: usize = self.running.iter().map(|(system, running)| at_work(system, running)).sum();
        here < AT_ONCE_PER_SYSTEM && all < AT_ONCE_PER_CUSTOMER
    }
}

impl House {
    /// Why an account that is due is not rotated; `None` if it can be, now.
    fn waits_for(&self, kept: &Kept) -> Option<Waiting> {
        let state = &kept.state;
        if self.emergency {
            return Some(Waiting::Emergency);
        }
        match state.rotation.filter(|running| !running.settled) {
            Some(running) if running.unresolved => return Some(Waiting::Unresolved),
            Some(_) => return Some(Waiting::Rotating),
            None if !state.to_revoke.is_empty() => return Some(Waiting::Rotating),
            None => {}
        }
        if !state.seats.is_empty() {
            return Some(Waiting::Held);
        }
        if state.secrets.current.is_none() {
            return Some(Waiting::Empty);
        }
        if self.load.is_silent(kept.account.system) {
            return Some(Waiting::SilentSystem);
        }
        (!self.load.has_room(kept.account.system)).then_some(Waiting::Turn)
    }
}

impl Kept {
    fn is_due(&self, now: Timestamp) -> Option<Due> {
        self.due.filter(|due| due.at <= now)
    }

    fn is_overdue(&self, now: Timestamp) -> Option<Due> {
        self.due.filter(|due| now.duration_since(due.at) >= OVERDUE_AFTER)
    }

    /// Since when some who depend on it are behind.
    fn behind_since(&self) -> Option<Timestamp> {
        self.follow_up.as_ref().filter(|follow_up| follow_up.is_behind())?.news.map(|news| news.since)
    }

    /// Why a dependent could not be brought up to date.
    fn trouble(&self) -> Option<&String> {
        self.follow_up.as_ref()?.trouble.as_ref()
    }

    fn drifted_since(&self) -> Option<Timestamp> {
        self.seen.as_ref()?.value.watch.as_ref()?.drifted(self.state.secrets.current)
    }
}

/// The account's own place among others: always the same, and as random as its id.
fn spread(account: AccountId) -> u64 {
    let bytes = account.uuid().into_bytes();
    bytes.iter().skip(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
