//! One look: the management account lists the logins, and what came of it is stored with its events in one commit.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{AccountKind, Discovery, DiscoveryCounts, LoginStanding, LookFailure, ProbeResult};
use claviger_api::{CustomerId, Scope, SystemId, Timestamp};
use claviger_connectors::{Connector, Credential, FoundLogin, Logins, Probe};
use claviger_core::discovery::{LOOKS_A_ROUND, LOOKS_AT_ONCE, TOLD_AT_ONCE, Tried, covers, is_due};
use claviger_core::policy::{AccountCreate, Permit};
use claviger_store::{Range, RowId, Table};
use futures::stream::{self, StreamExt as _};

use super::{Judged, NO_MANAGEMENT, shown};
use crate::error::Result;
use crate::event::Event;
use crate::open::{Caller, Open, deciding};
use crate::records::{
    AccountRecord, CheckoutRecord, CustomerRecord, DiscoveryRecord, LoginRecord, LookRecord, StateRecord, SystemRecord,
};
use crate::upkeep::heartbeat::is_quiet;

/// Who looks by itself.
const ACTOR: &str = "system/discovery";

/// A system whose day has begun.
struct Due {
    customer: CustomerId,
    system: SystemId,
    /// Who waits longest comes first.
    since: Option<Timestamp>,
}

impl Open {
    /// Lists a system's logins now.
    pub async fn discover_logins(
        &self,
        customer: CustomerId,
        id: SystemId,
        caller: &Caller,
        _permit: Permit<AccountCreate>,
    ) -> Result<Discovery> {
        let system = self.load::<SystemRecord>(&RowId::system(customer, id)).await?.value;
        if self.obstacle(&system).is_none() {
            self.look_at(customer, &system, Some(caller)).await?;
        }
        self.discovery_view(customer, id).await
    }

    /// Looks at systems whose day has begun, a few at once and not too many in a round: what one system leaves unanswered
    /// costs the others nothing but its place.
    pub(crate) async fn look_for_logins(&self) {
        let mut due = Vec::new();
        for customer in self.keyring().customers() {
            // What is wrong with one customer's rows is no other's matter.
            match self.due_looks(customer).await {
                Ok(more) => due.extend(more),
                Err(error) => tracing::warn!(?error, "which systems of a customer are to be looked at cannot be read"),
            }
        }
        due.sort_by_key(|due| due.since);
        due.truncate(LOOKS_A_ROUND);
        stream::iter(due)
            .for_each_concurrent(LOOKS_AT_ONCE, |due| async move {
                if let Err(error) = self.look_by_itself(&due).await {
                    tracing::warn!(?error, "a system's logins could not be looked at; it is tried again");
                }
            })
            .await;
    }

    /// Those of a customer; none while it is locked or in an emergency.
    async fn due_looks(&self, customer: CustomerId) -> Result<Vec<Due>> {
        match self.read::<CustomerRecord>(&RowId::customer(customer)).await? {
            Some(row) if row.value.emergency.is_none() => {}
            Some(_) | None => return Ok(Vec::new()),
        }
        let now = self.now();
        let systems = self.all::<SystemRecord>(&Range::scope(Table::Systems, Scope::Customer(customer))).await?;
        let systems = systems.into_iter().map(|row| row.value).filter(|system| {
            self.obstacle(system).is_none() && is_due(system.created_at, system.last_look, spread(system.id), now)
        });
        Ok(systems
            .map(|system| Due { customer, system: system.id, since: system.last_look.map(|tried| tried.at) })
            .collect())
    }

    async fn look_by_itself(&self, due: &Due) -> Result<()> {
        let system = self.load::<SystemRecord>(&RowId::system(due.customer, due.system)).await?.value;
        // While its secret is being replaced nobody knows which one it is.
        if let Some(name) = &system.management_account
            && let Ok(account) = self.account_named(due.customer, system.id, name).await
        {
            let state = self.load::<StateRecord>(&RowId::account_state(due.customer, account)).await?.value.0;
            if !is_quiet(&state) {
                return Ok(());
            }
        }
        self.look_at(due.customer, &system, None).await
    }

    async fn look_at(&self, customer: CustomerId, system: &SystemRecord, caller: Option<&Caller>) -> Result<()> {
        let connector = self.ground().connectors.connector(&system.spec);
        // A login may be made or removed while the system is asked.
        let mut lent = self.lent_logins(customer, system.id, &*connector).await?;
        let told = match self.management(customer, system).await? {
            Some((login, secret)) => {
                let by = Credential { login: &login, secret: &secret };
                connector.logins(&system.spec, &by).await.map(|logins| logins.without(&secret))
            }
            None => Err(Probe { result: ProbeResult::Unknown, detail: NO_MANAGEMENT.to_owned() }),
        };
        lent.extend(self.lent_logins(customer, system.id, &*connector).await?);
        let look = told.map(|logins| look_record(logins, &lent, &*connector, self.now()));
        self.note_look(customer, system.id, look, caller).await
    }

    /// The logins that checkouts have on a system: of those, and of no others that only bear the vault's mark, the vault
    /// knows whose they are.
    async fn lent_logins(
        &self,
        customer: CustomerId,
        system: SystemId,
        connector: &dyn Connector,
    ) -> Result<BTreeSet<String>> {
        let scope = Scope::Customer(customer);
        let mut lent = BTreeSet::new();
        for row in self.all::<AccountRecord>(&Range::scope(Table::Accounts, scope)).await? {
            if row.value.system != system || row.value.kind != AccountKind::Ephemeral {
                continue;
            }
            let state = self.load::<StateRecord>(&RowId::account_state(customer, row.value.id)).await?.value.0;
            for checkout in state.logins {
                let checkout = self.read::<CheckoutRecord>(&RowId::checkout(customer, checkout)).await?;
                let login = checkout.and_then(|row| row.value.0.ephemeral);
                lent.extend(login.map(|ephemeral| connector.seen_as(&ephemeral.login)));
            }
        }
        Ok(lent)
    }

    /// Stores what came of a look, tells of it, and of every login with power that is new.
    async fn note_look(
        &self,
        customer: CustomerId,
        id: SystemId,
        look: std::result::Result<LookRecord, Probe>,
        caller: Option<&Caller>,
    ) -> Result<()> {
        deciding(|| async {
            let system = self.load::<SystemRecord>(&RowId::system(customer, id)).await?;
            let row = self.read::<DiscoveryRecord>(&RowId::discovery(customer, id)).await?;
            let mut record = row.as_ref().map(|row| row.value.clone()).unwrap_or_default();
            let (now, slug) = (self.now(), self.slug_of(customer).await?);
            let told =
                |event: Event| event.with(FieldName::Customer, &slug).with(FieldName::System, &system.value.name);
            let answered = !matches!(&look, Err(Probe { result: ProbeResult::Unreachable, .. }));
            record.tried_at = Some(now);
            let mut found = Vec::new();
            let (kind, detail) = match &look {
                Ok(look) => {
                    record.failure = None;
                    record.look = Some(look.clone());
                    let accounts =
                        self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await?;
                    let accounts: Vec<&AccountRecord> = accounts.iter().map(|row| &row.value).collect();
                    let compared = self.compare(&slug, &system.value, &record, &accounts);
                    let (told, new) = news(&record.told, &compared.logins);
                    found = new;
                    let detail = counted(compared.counts(), look.cut);
                    record.told = told;
                    (EventKind::SystemDiscovered, detail)
                }
                Err(Probe { result, detail }) => {
                    record.failure = Some(LookFailure { result: *result, detail: detail.clone() });
                    (EventKind::SystemDiscoveryFailed, detail.clone())
                }
            };
            let scope = Scope::Customer(customer);
            let event = match caller {
                Some(caller) => self.event(scope, kind, caller),
                None => self.automatic(scope, kind, ACTOR),
            };
            let mut change = self.change(told(event).with(FieldName::Detail, detail));
            for words in found {
                let event = self.automatic(scope, EventKind::SystemLoginFound, ACTOR);
                change = change.and(told(event).with(FieldName::Detail, words));
            }
            let looked = SystemRecord { last_look: Some(Tried { at: now, answered }), ..system.value.clone() };
            change = change.update(&system, &looked)?;
            change = match &row {
                Some(row) => change.update(row, &record)?,
                None => change.create(RowId::discovery(customer, id), &record)?,
            };
            self.commit(change).await.map(drop)
        })
        .await
    }
}

/// Of which logins an event has told after this look, and what it tells of those that are new or have got more power.
fn news(before: &BTreeMap<String, Vec<String>>, logins: &[Judged<'_>]) -> (BTreeMap<String, Vec<String>>, Vec<String>) {
    let mut told = BTreeMap::new();
    let mut new = Vec::new();
    for judged in logins.iter().filter(|judged| !judged.login.privileges.is_empty()) {
        let privileges = &judged.login.privileges;
        let was_told = before.get(&judged.key).is_some_and(|before| covers(before, privileges));
        match judged.standing {
            LoginStanding::InVault | LoginStanding::OfCheckout => continue,
            LoginStanding::Known => {}
            LoginStanding::Unmanaged if was_told => {}
            LoginStanding::Unmanaged if !judged.login.may_log_in => continue,
            LoginStanding::Unmanaged if new.len() >= TOLD_AT_ONCE => continue,
            LoginStanding::Unmanaged => new.push(format!("{}: {}", shown(&judged.login.name).0, privileges.join(", "))),
        }
        told.insert(judged.key.clone(), privileges.clone());
    }
    (told, new)
}

fn counted(counts: DiscoveryCounts, cut: bool) -> String {
    let DiscoveryCounts { logins, in_vault, of_checkouts, known, unmanaged, unmanaged_privileged, missing } = counts;
    let cut = if cut { ", and more that were not listed" } else { "" };
    format!(
        "{logins} logins{cut}: {in_vault} in the vault, {of_checkouts} of checkouts, {known} known, {unmanaged} that nobody \
         answers for, {unmanaged_privileged} of them with power; {missing} accounts missing"
    )
}

fn look_record(logins: Logins, lent: &BTreeSet<String>, connector: &dyn Connector, at: Timestamp) -> LookRecord {
    let Logins { found, cut, unseen } = logins;
    let record = |found: FoundLogin| {
        let of_checkout = lent.contains(&super::key(connector, &found.name));
        let FoundLogin { name, also, may_log_in, privileges, mut notes, last_login_at, marked } = found;
        if marked && !of_checkout {
            notes.push("bears the vault's mark, and no checkout has it".to_owned());
        }
        LoginRecord { name, also, may_log_in, privileges, notes, last_login_at, of_checkout }
    };
    LookRecord { at, logins: found.into_iter().map(record).collect(), cut, unseen }
}

/// The system's own place among others: always the same, and as random as its id.
fn spread(system: SystemId) -> u64 {
    let bytes = system.uuid().into_bytes();
    bytes.iter().skip(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
