//! Who depends on an account's secret: setting the list, seeing how far they are, hurrying them, passing one over.
//!
//! A new secret starts them in its own commit ([`Open::with_news`]); `dependents/deliver.rs` does what is due.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::{ProblemType, ValueError};
use claviger_api::wire::{self, AccountKind, DEPENDENTS_MAX, DependentStep, Dependents, SkipDependent};
use claviger_api::{AccountId, AccountPath, CustomerId, Part, RotationId, Scope, SystemId};
use claviger_connectors::linux::takes_name;
use claviger_connectors::trust::roots;
use claviger_core::follow_up::{Dependent, FollowUp, News, NotSkipped};
use claviger_core::policy::{AccountUpdate, AccountView, Permit, Resource, SystemUpdate};
use claviger_core::secrets::Version;
use claviger_store::{Range, RowId, Table, Versioned};

use crate::checkout::move_timer;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::inventory::accounts::of_account;
use crate::inventory::{Place, short_text};
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, wrapped_put};
use crate::records::{AccountRecord, FollowUpRecord, StateRecord, SystemRecord};
use crate::workers::TimerKind;

mod deliver;

/// The longest certificate of a CA.
const CA_MAX: usize = 64 * 1024;
/// Who brings them up to date.
const ACTOR: &str = "system/dependents";

impl Open {
    /// An account's dependents, and how far they are.
    pub async fn dependents(&self, place: Place, _permit: Permit<AccountView>) -> Result<Dependents> {
        self.dependents_view(place).await
    }

    /// Sets who depends on an account's secret. What becomes of the secret on a host is that host's matter too: whoever
    /// has a file written there may change the host.
    pub async fn set_dependents(
        &self,
        place: Place,
        wanted: &[wire::Dependent],
        caller: &Caller,
        _permit: Permit<AccountUpdate>,
    ) -> Result<Dependents> {
        if wanted.len() > DEPENDENTS_MAX {
            return Err(Error::value("dependents", "at most 10"));
        }
        if wanted.iter().enumerate().any(|(at, dependent)| wanted.iter().take(at).any(|other| other == dependent)) {
            return Err(Error::value("dependents", "each once"));
        }
        let mut dependents = Vec::with_capacity(wanted.len());
        for (at, dependent) in wanted.iter().enumerate() {
            dependents.push(self.dependent_of(place.customer, at, dependent, caller).await?);
        }
        deciding(|| async {
            let account = self.load::<AccountRecord>(&RowId::account(place.customer, place.account)).await?;
            if account.value.kind != AccountKind::Standing && !dependents.is_empty() {
                return Err(Error::value("dependents", "only a standing account has a secret to depend on"));
            }
            let event = self.account_event(EventKind::AccountDependentsSet, place.customer, &account.value, caller);
            let names: Vec<String> = wanted.iter().map(name).collect();
            let event = event.await?.with(FieldName::Detail, names.join(", "));
            let mut change = self.change(event).expect(&account);
            let row = self.read::<FollowUpRecord>(&RowId::follow_up(place.customer, place.account)).await?;
            change = match (row, dependents.is_empty()) {
                (None, true) => return self.dependents_view(place).await,
                (None, false) => {
                    let fresh = FollowUpRecord(FollowUp::of(dependents.clone()));
                    change.create(RowId::follow_up(place.customer, place.account), &fresh)?
                }
                (Some(row), false) => {
                    let next = row.value.0.with(dependents.clone(), self.now());
                    self.with_follow_up(change, place.customer, &row, next)?
                }
                (Some(row), true) => {
                    let timer = self.follow_up_timer(place.customer, &row);
                    move_timer(change, timer, None)?.remove(&row)
                }
            };
            let signs = dependents.iter().any(|dependent| matches!(dependent, Dependent::Webhook { .. }));
            let store = self.ground().store.as_ref();
            if signs && self.keyring().webhook_key(store, place.customer).await?.is_none() {
                let (_, wrapped) = self.keyring().new_webhook_key(place.customer, self.random())?;
                change = change.create_sealed(wrapped_put(wrapped));
            }
            self.commit(change).await?;
            self.dependents_view(place).await
        })
        .await
    }

    /// Tries those who are behind now; brings all up to date anew, where nobody is.
    pub async fn hurry_dependents(
        &self,
        place: Place,
        caller: &Caller,
        _permit: Permit<AccountUpdate>,
    ) -> Result<Dependents> {
        deciding(|| async {
            let Some(row) = self.follow_up_row(place).await? else { return Ok(()) };
            let state = self.load::<StateRecord>(&RowId::account_state(place.customer, place.account)).await?;
            let Some(version) = state.value.0.secrets.current else {
                return Err(Error::new(ProblemType::NothingStored, ""));
            };
            let next = row.value.0.clone().hurried(self.news(version, None), self.now());
            let account = self.load::<AccountRecord>(&RowId::account(place.customer, place.account)).await?.value;
            let event = self.account_event(EventKind::DependentHurried, place.customer, &account, caller).await?;
            let change = self.change(event.with(FieldName::Version, version)).expect(&state);
            self.commit(self.with_follow_up(change, place.customer, &row, next)?).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.dependents_view(place).await
    }

    /// Passes one over that waits: it may have an old secret from then on. Those behind it have their turn.
    pub async fn skip_dependent(
        &self,
        place: Place,
        skip: &SkipDependent,
        caller: &Caller,
        _permit: Permit<AccountUpdate>,
    ) -> Result<Dependents> {
        short_text("reason", &skip.reason)?;
        deciding(|| async {
            let Some(row) = self.follow_up_row(place).await? else {
                return Err(Error::value("number", "the number of a dependent; the account has none"));
            };
            let at = usize::try_from(skip.number).ok().and_then(|number| number.checked_sub(1));
            let Some((at, step)) = at.and_then(|at| Some((at, row.value.0.steps.get(at)?))) else {
                return Err(Error::value("number", "the number of a dependent, from 1"));
            };
            let event =
                self.dependent_event(EventKind::DependentSkipped, place, &row.value.0, &step.dependent, Some(caller));
            let event = event.await?.with_personal(caller.id, FieldName::Reason, &skip.reason);
            let next = match row.value.0.clone().skipped(at, caller.id, self.now()) {
                Ok(next) => next,
                Err(NotSkipped::Nobody) => return Err(Error::value("number", "the number of a dependent, from 1")),
                Err(NotSkipped::NotWaiting) => {
                    return Err(Error::value("number", "a dependent that waits; this one does not"));
                }
            };
            self.commit(self.with_follow_up(self.change(event), place.customer, &row, next)?).await.map(drop)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.dependents_view(place).await
    }

    /// Adds to the commit of a new secret that those who depend on it are told.
    pub(crate) async fn with_news<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        account: AccountId,
        version: Version,
        rotation: Option<RotationId>,
    ) -> Result<Change<'a>> {
        let Some(row) = self.read::<FollowUpRecord>(&RowId::follow_up(customer, account)).await? else {
            return Ok(change);
        };
        let next = row.value.0.clone().begun(self.news(version, rotation), self.now());
        self.with_follow_up(change, customer, &row, next)
    }

    /// Whether somebody is still to be brought up to date.
    pub(crate) async fn has_waiting_dependents(&self, customer: CustomerId, account: AccountId) -> Result<bool> {
        let row = self.read::<FollowUpRecord>(&RowId::follow_up(customer, account)).await?;
        Ok(row.is_some_and(|row| row.value.0.is_behind()))
    }

    /// An account of whose secret this system holds a copy.
    pub(crate) async fn account_with_copy_on(
        &self,
        customer: CustomerId,
        host: SystemId,
    ) -> Result<Option<AccountPath>> {
        let rows = self.all::<FollowUpRecord>(&Range::scope(Table::FollowUps, Scope::Customer(customer))).await?;
        let there = |dependent: &Dependent| matches!(dependent, Dependent::File { system, .. } if *system == host);
        let has = |row: &&Versioned<FollowUpRecord>| row.value.0.steps.iter().any(|step| there(&step.dependent));
        let Some(account) = rows.iter().find(has).and_then(|row| row.id.uuid()) else { return Ok(None) };
        let record = self.load::<AccountRecord>(&RowId::account(customer, AccountId::from_uuid(account))).await?.value;
        self.path_of(customer, &record).await.map(Some)
    }

    fn news(&self, version: Version, rotation: Option<RotationId>) -> News {
        News { id: self.new_uuid(), version, rotation, since: self.now() }
    }

    /// The row with what it says next, and its timer.
    fn with_follow_up<'a>(
        &self,
        change: Change<'a>,
        customer: CustomerId,
        row: &Versioned<FollowUpRecord>,
        next: FollowUp,
    ) -> Result<Change<'a>> {
        let account = row.id.uuid().ok_or_else(|| Error::internal("a row of nobody"))?;
        let before = self.follow_up_timer(customer, row);
        let after = next.next_at.map(|due| TimerKind::FollowUpDue.row(due, customer, account));
        move_timer(change, before, after)?.update(row, &FollowUpRecord(next))
    }

    #[expect(clippy::unused_self, reason = "reads as its neighbours do")]
    fn follow_up_timer(&self, customer: CustomerId, row: &Versioned<FollowUpRecord>) -> Option<RowId> {
        let due = row.value.0.next_at?;
        Some(TimerKind::FollowUpDue.row(due, customer, row.id.uuid()?))
    }

    async fn follow_up_row(&self, place: Place) -> Result<Option<Versioned<FollowUpRecord>>> {
        self.read(&RowId::follow_up(place.customer, place.account)).await
    }

    /// A dependent with the id of what it names by name.
    async fn dependent_of(
        &self,
        customer: CustomerId,
        at: usize,
        dependent: &wire::Dependent,
        caller: &Caller,
    ) -> Result<Dependent> {
        let bad = |field: &str, message: &str| {
            Error::values(vec![ValueError { at: format!("dependents.{at}.{field}"), message: message.to_owned() }])
        };
        match dependent {
            wire::Dependent::Webhook { url, ca_certificate } => {
                if ca_certificate.as_ref().is_some_and(|pem| pem.len() > CA_MAX) {
                    return Err(bad("ca_certificate", "a CA certificate is at most 65536 bytes of PEM"));
                }
                roots(ca_certificate.as_deref()).map_err(|why| bad("ca_certificate", &why.to_string()))?;
                Ok(Dependent::Webhook { url: url.clone(), ca_certificate: ca_certificate.clone() })
            }
            wire::Dependent::File { system, path, owner, group, mode } => {
                let id = self.system_to_change(customer, system, caller).await?;
                let record = self.load::<SystemRecord>(&RowId::system(customer, id)).await?.value;
                if !self.ground().connectors.connector(&record.spec).keeps_files() {
                    return Err(bad("system", "a Linux host: no other system keeps files"));
                }
                for (field, name) in [("owner", owner), ("group", group)] {
                    if !takes_name(name) {
                        return Err(bad(field, "a name that Linux takes"));
                    }
                }
                let (path, owner, group) = (path.clone(), owner.clone(), group.clone());
                Ok(Dependent::File { system: id, path, owner, group, mode: *mode })
            }
        }
    }

    /// A system that the caller may change; one that the caller may not know of is answered like one that is not there.
    async fn system_to_change(&self, customer: CustomerId, name: &Part, caller: &Caller) -> Result<SystemId> {
        let id = self.system_named(customer, name).await?;
        let _permit: Permit<SystemUpdate> = self.permit(caller, &Resource::System(customer, id)).await?;
        Ok(id)
    }

    async fn dependents_view(&self, place: Place) -> Result<Dependents> {
        let account = self.load::<AccountRecord>(&RowId::account(place.customer, place.account)).await?.value;
        let row = self.read::<FollowUpRecord>(&RowId::follow_up(place.customer, place.account)).await?;
        let follow_up = row.map_or_else(|| FollowUp::of(Vec::new()), |row| row.value.0);
        let mut dependents = Vec::with_capacity(follow_up.steps.len());
        for (number, step) in (1..).zip(&follow_up.steps) {
            dependents.push(DependentStep {
                number,
                dependent: self.dependent_view(place.customer, &step.dependent).await?,
                state: step.progress.state(),
                at: step.progress.at(),
            });
        }
        let behind = follow_up.is_behind();
        let signs = follow_up.steps.iter().any(|step| matches!(step.dependent, Dependent::Webhook { .. }));
        let key = match self.keyring().webhook_key(self.ground().store.as_ref(), place.customer).await? {
            Some(key) if signs => Some(format!("whpk_{}", STANDARD.encode(key.public_key()))),
            Some(_) | None => None,
        };
        Ok(Dependents {
            account: self.path_of(place.customer, &account).await?,
            version: follow_up.news.map(|news| news.version),
            behind_since: follow_up.news.filter(|_| behind).map(|news| news.since),
            failures: follow_up.failures,
            trouble: follow_up.trouble,
            next_at: follow_up.next_at,
            dependents,
            webhook_key: key,
        })
    }

    async fn dependent_view(&self, customer: CustomerId, dependent: &Dependent) -> Result<wire::Dependent> {
        Ok(match dependent {
            Dependent::Webhook { url, ca_certificate } => {
                wire::Dependent::Webhook { url: url.clone(), ca_certificate: ca_certificate.clone() }
            }
            Dependent::File { system, path, owner, group, mode } => wire::Dependent::File {
                system: self.load::<SystemRecord>(&RowId::system(customer, *system)).await?.value.name,
                path: path.clone(),
                owner: owner.clone(),
                group: group.clone(),
                mode: *mode,
            },
        })
    }

    /// What happened to one dependent.
    async fn dependent_event(
        &self,
        kind: EventKind,
        place: Place,
        follow_up: &FollowUp,
        dependent: &Dependent,
        by: Option<&Caller>,
    ) -> Result<Event> {
        let account = self.load::<AccountRecord>(&RowId::account(place.customer, place.account)).await?.value;
        let scope = Scope::Customer(place.customer);
        let event = by.map_or_else(|| self.automatic(scope, kind, ACTOR), |caller| self.event(scope, kind, caller));
        let event = of_account(event, &self.path_of(place.customer, &account).await?);
        let detail = name(&self.dependent_view(place.customer, dependent).await?);
        let event = match follow_up.news {
            Some(News { version, rotation: Some(rotation), .. }) => {
                event.with(FieldName::Version, version).with(FieldName::Rotation, rotation)
            }
            Some(News { version, rotation: None, .. }) => event.with(FieldName::Version, version),
            None => event,
        };
        Ok(event.with(FieldName::Detail, detail))
    }
}

/// A dependent in one line.
fn name(dependent: &wire::Dependent) -> String {
    match dependent {
        wire::Dependent::Webhook { url, .. } => format!("webhook {url}"),
        wire::Dependent::File { system, path, .. } => format!("file {system}:{path}"),
    }
}
