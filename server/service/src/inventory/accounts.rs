//! Accounts: what they are, what can be set on them, and the secret that a person brings.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    Account, AccountChange, AccountKind, AccountSettings, CertificateSettings, FORCE_COMMAND_MAX, HOLDERS_MAX,
    NewAccount, OWNER_MAX, PRINCIPALS_MAX, RotationCause, SOURCE_NETWORKS_MAX, SUDO_RULES_MAX, SshPrincipal,
    SystemSpec, Verification,
};
use claviger_api::{AccountId, CustomerId, Login, Scope, Secret, SystemId};
use claviger_connectors::linux::takes_name;
use claviger_core::account::{AccountState, Brought};
use claviger_core::password::Rules;
use claviger_core::policy::{
    AccountCreate, AccountRemove, AccountSetSecret, AccountUpdate, AccountVerify, AccountView, Mark, Permit,
};
use claviger_core::secrets::SecretSet;
use claviger_store::{FIRST_REVISION, Range, RowId, Table};

use super::upkeep::{checked_policy, policy_text};
use super::{Place, account_name};
use crate::checkout::ephemeral::{SUFFIX, suffixed};
use crate::error::{Error, Result};
use crate::event::{Event, snake_case};
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, NameRecord, StateRecord, SystemRecord};

/// The most roles an ephemeral login becomes a member of.
const MEMBER_OF_MAX: usize = 50;

impl Open {
    /// Adds an account, with its present secret if it has one.
    pub async fn add_account(
        &self,
        customer: CustomerId,
        system: SystemId,
        new: NewAccount,
        once: &Once,
        caller: &Caller,
        _permit: Permit<AccountCreate>,
    ) -> Result<Account> {
        check_new(&new)?;
        check_settings(new.kind, &new.settings)?;
        let secret = new.secret.map(claviger_api::secret::Disclosed::into_secret);
        if secret.is_some() && self.done(Scope::Customer(customer), once, caller).await?.is_none() {
            self.spend_set(caller)?;
        }
        let record = AccountRecord {
            id: AccountId::from_uuid(self.new_uuid()),
            system,
            login: login_of(&new.name, new.login),
            name: new.name,
            kind: new.kind,
            member_of: new.member_of,
            settings: AccountSettings {
                max_holders: if new.kind == AccountKind::Ephemeral { HOLDERS_MAX } else { new.settings.max_holders },
                ..new.settings
            },
            created_at: self.now(),
        };
        let scope = Scope::Customer(customer);
        deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return self.account_view(customer, AccountId::from_uuid(done)).await;
            }
            let system_row = self.load::<SystemRecord>(&RowId::system(customer, system)).await?;
            check_kind(&system_row.value.spec, &record)?;
            check_sudo_rules(&system_row.value.spec, &record)?;
            let event = self.account_event(EventKind::AccountAdded, customer, &record, caller).await?;
            let change = self.change(event).rewrite(&system_row)?;
            let change = self.with_account(change, customer, &record, secret.as_ref(), false, caller).await?;
            self.commit(self.remember(change, scope, once, caller, record.id.uuid())?).await?;
            self.account_view(customer, record.id).await
        })
        .await
    }

    /// Adds an account's rows to a change: its name, itself, its state, its secret. One that is `reused` is rotated at once.
    pub(super) async fn with_account<'a>(
        &'a self,
        change: Change<'a>,
        customer: CustomerId,
        record: &AccountRecord,
        secret: Option<&Secret>,
        reused: bool,
        by: &Caller,
    ) -> Result<Change<'a>> {
        let scope = Scope::Customer(customer);
        let name = self.keyring().name(Table::Accounts, scope, &account_name(record.system, &record.name));
        if self.read::<NameRecord>(&name).await?.is_some() {
            return Err(Error::new(ProblemType::NameTaken, ""));
        }
        let mut state = AccountState::default();
        let mut change = change;
        if let Some(secret) = secret {
            let version = state.secrets.adopt();
            state.brought = Some(Brought { version, by: by.id, at: self.now() });
            change = self.with_secret(change, customer, (record, &record.login), version, secret)?;
            let (none, brought) = (SecretSet::default(), Some((version, secret)));
            change = self.with_fingerprints(change, (customer, record.id), &none, &state.secrets, brought).await?;
        }
        if reused {
            let cause = RotationCause::Reuse;
            let event = self.automatic(scope, EventKind::RotationStarted, "system/reuse");
            let event = event.with(FieldName::Detail, "the secret that was imported is in use already");
            let id;
            (change, id) = self.start_rotation(change, customer, record, &mut state, cause, None).await?;
            change = change.and(self.of_rotation(event, customer, record, id).await?);
        }
        change
            .create(name, &NameRecord { id: record.id.uuid() })?
            .create(RowId::account(customer, record.id), record)?
            .create(RowId::account_state(customer, record.id), &StateRecord(state))
    }

    /// Adds a secret version to a change, of an account and what it logs in by. A version is written once; first to the escrow
    /// stream, where there is one.
    pub(crate) fn with_secret<'a>(
        &self,
        change: Change<'a>,
        customer: CustomerId,
        (account, login): (&AccountRecord, &Login),
        version: u64,
        secret: &Secret,
    ) -> Result<Change<'a>> {
        let id = RowId::secret(customer, account.id, version);
        let put = self.sealed().put_secret(self.keyring(), &id, FIRST_REVISION, secret, self.random())?;
        Ok(change.create_sealed(put).copied(self.copied(customer, account, login, version, Some(secret))))
    }

    /// A secret version that must be there.
    pub(crate) async fn secret(&self, customer: CustomerId, account: AccountId, version: u64) -> Result<Secret> {
        let id = RowId::secret(customer, account, version);
        let row = self.sealed().read_secret(self.keyring(), &id).await?;
        row.map(|row| row.value).ok_or_else(|| Error::internal(format_args!("the secret {id} is gone")))
    }

    /// The accounts of a customer, or of one of its systems, in the order in which they were added.
    pub async fn accounts(
        &self,
        customer: CustomerId,
        system: Option<SystemId>,
        paging: &Paging,
        visible: impl Fn(Place) -> bool,
    ) -> Result<Page<Account>> {
        let range = Range::scope(Table::Accounts, Scope::Customer(customer));
        let place = |row: &AccountRecord| Place { customer, system: row.system, account: row.id };
        let wanted = |row: &AccountRecord| system.is_none_or(|system| row.system == system) && visible(place(row));
        let rows = self.page::<AccountRecord>(range, paging, wanted).await?;
        rows.try_map(async |row| self.account_view(customer, row.value.id).await).await
    }

    /// One account.
    pub async fn account(&self, place: Place, _permit: Permit<AccountView>) -> Result<Account> {
        self.account_view(place.customer, place.account).await
    }

    /// Changes what can be set at any time.
    pub async fn change_account(
        &self,
        place: Place,
        wanted: &AccountChange,
        caller: &Caller,
        _permit: Permit<AccountUpdate>,
    ) -> Result<Account> {
        deciding(|| async {
            let row = self.load::<AccountRecord>(&RowId::account(place.customer, place.account)).await?;
            let mut record = row.value.clone();
            let now = &record.settings;
            record.settings = AccountSettings {
                rotate_by: wanted.rotate_by.unwrap_or(now.rotate_by),
                rotate_on_end: wanted.rotate_on_end.unwrap_or(now.rotate_on_end),
                max_holders: wanted.max_holders.unwrap_or(now.max_holders),
                password_policy: wanted.password_policy.clone().unwrap_or_else(|| now.password_policy.clone()),
                sensitive: wanted.sensitive.unwrap_or(now.sensitive),
                tier: wanted.tier.or(now.tier),
                certificate: wanted.certificate.clone().unwrap_or_else(|| now.certificate.clone()),
                sudo_rules: wanted.sudo_rules.clone().unwrap_or_else(|| now.sudo_rules.clone()),
                owner: wanted.owner.clone().or_else(|| now.owner.clone()).filter(|owner| !owner.is_empty()),
                rotation_policy: wanted.rotation_policy.clone().unwrap_or_else(|| now.rotation_policy.clone()),
            };
            check_settings(record.kind, &record.settings)?;
            let system = self.load::<SystemRecord>(&RowId::system(place.customer, place.system)).await?.value;
            check_sudo_rules(&system.spec, &record)?;
            let event = self.account_event(EventKind::AccountChanged, place.customer, &record, caller).await?;
            let policy = policy_text(wanted.rotation_policy.as_ref())?;
            let event = match marked(&row.value.settings, &record.settings) {
                Some(mark) => event.with(FieldName::Detail, format_args!("{mark} {policy}").to_string().trim_end()),
                None => event.with(FieldName::Detail, policy),
            };
            self.commit(self.change(event).update(&row, &record)?).await?;
            self.account_view(place.customer, place.account).await
        })
        .await
    }

    /// Removes an account that nobody holds. Its secrets are erased; its history stays.
    pub async fn remove_account(&self, place: Place, caller: &Caller, _permit: Permit<AccountRemove>) -> Result<()> {
        let Place { customer, system, account } = place;
        deciding(|| async {
            let row = self.load::<AccountRecord>(&RowId::account(customer, account)).await?;
            let state = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
            if state.value.0.in_use() {
                let why = "The account is checked out, waited for or being rotated; end that first.";
                return Err(Error::new(ProblemType::InUse, why));
            }
            if self.has_waiting_dependents(customer, account).await? {
                let why = "Dependents wait for its secret; let them have it, or skip them first.";
                return Err(Error::new(ProblemType::InUse, why));
            }
            let system_row = self.load::<SystemRecord>(&RowId::system(customer, system)).await?;
            if system_row.value.management_account.as_ref() == Some(&row.value.name) {
                let why = "It is its system's management account; name another one first.";
                return Err(Error::new(ProblemType::InUse, why));
            }
            let name = account_name(system, &row.value.name);
            let mut change = self
                .change(self.account_event(EventKind::AccountRemoved, customer, &row.value, caller).await?)
                .expect(&system_row)
                .erase(self.keyring().name(Table::Accounts, Scope::Customer(customer), &name))
                .remove(&row)
                .remove(&state)
                .erase(RowId::watch(customer, account))
                .erase(RowId::follow_up(customer, account));
            let (before, none) = (&state.value.0.secrets, SecretSet::default());
            change = self.with_fingerprints(change, (customer, account), before, &none, None).await?;
            for version in state.value.0.secrets.versions() {
                change = change.erase(RowId::secret(customer, account, version));
            }
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// Takes over a secret that was changed elsewhere. It becomes a new version, and none before it is erased.
    pub async fn set_secret(
        &self,
        place: Place,
        secret: &Secret,
        once: &Once,
        caller: &Caller,
        _permit: Permit<AccountSetSecret>,
    ) -> Result<Account> {
        let Place { customer, account, .. } = place;
        let scope = Scope::Customer(customer);
        if self.done(scope, once, caller).await?.is_none() {
            self.spend_set(caller)?;
        }
        deciding_once(once, || async {
            if self.done(scope, once, caller).await?.is_some() {
                return self.account_view(customer, account).await;
            }
            let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?.value;
            match record.kind {
                AccountKind::Standing => {}
                AccountKind::Ephemeral => {
                    return Err(Error::value("secret", "an ephemeral account has no secret of its own"));
                }
                AccountKind::Certificate => {
                    return Err(Error::value("secret", "a certificate account has no secret: nothing is stored"));
                }
            }
            let row = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
            let mut state = row.value.0.clone();
            // What a person was asked to do is done by it.
            if let Some(turn) = self.asking_turn(customer, &record, &state).await? {
                self.set_by_hand(&turn, secret, once, caller).await?;
                return self.account_view(customer, account).await;
            }
            if let Some(running) = state.rotation.filter(|running| !running.settled && !running.unresolved) {
                return Err(Error::new(ProblemType::RotationRunning, format!("The rotation is {}.", running.id)));
            }
            let version = state.secrets.adopt();
            state.brought = Some(Brought { version, by: caller.id, at: self.now() });
            let event = self
                .account_event(EventKind::AccountSecretSet, customer, &record, caller)
                .await?
                .with(FieldName::Version, version);
            let before = &row.value.0.secrets;
            let change = self.change(event).update(&row, &StateRecord(state.clone()))?;
            let change = self.with_secret(change, customer, (&record, &record.login), version, secret)?;
            let brought = Some((version, secret));
            let change = self.with_fingerprints(change, (customer, account), before, &state.secrets, brought).await?;
            let change = self.with_news(change, customer, account, version, None).await?;
            self.commit(self.remember(change, scope, once, caller, account.uuid())?).await?;
            self.account_view(customer, account).await
        })
        .await
    }

    /// Tries a fresh login with the current secret.
    pub async fn verify_account(
        &self,
        place: Place,
        caller: &Caller,
        _permit: Permit<AccountVerify>,
    ) -> Result<Verification> {
        let Place { customer, system, account } = place;
        let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?.value;
        let state = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?.value.0;
        let version = state.secrets.current.ok_or_else(|| Error::new(ProblemType::NothingStored, ""))?;
        let secret = self.secret(customer, account, version).await?;
        let spec = self.load::<SystemRecord>(&RowId::system(customer, system)).await?.value.spec;
        let probe = self.ground().connectors.connector(&spec).probe(&spec, &record.login, &secret).await;
        deciding(|| async {
            let event = self
                .account_event(EventKind::AccountVerified, customer, &record, caller)
                .await?
                .with(FieldName::Version, version)
                .with(FieldName::Outcome, snake_case(&probe.result));
            let change = self.with_try(self.change(event), customer, &record, version, probe.result).await?;
            self.commit(change).await
        })
        .await?;
        Ok(Verification { result: probe.result, version, detail: probe.detail })
    }

    pub(crate) async fn account_view(&self, customer: CustomerId, account: AccountId) -> Result<Account> {
        let record = self.load::<AccountRecord>(&RowId::account(customer, account)).await?.value;
        let state = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?.value.0;
        let standing = record.kind == AccountKind::Standing;
        Ok(Account {
            id: record.id,
            path: self.path_of(customer, &record).await?,
            kind: record.kind,
            state: state.availability(record.settings.max_holders, standing).into(),
            current_version: state.secrets.current,
            holders: state.seats.iter().map(|seat| seat.checkout).collect(),
            rotation: state.rotation.map(|running| running.id),
            login: record.login,
            member_of: record.member_of,
            settings: record.settings,
            created_at: record.created_at,
        })
    }

    pub(crate) async fn account_event(
        &self,
        kind: EventKind,
        customer: CustomerId,
        record: &AccountRecord,
        caller: &Caller,
    ) -> Result<Event> {
        let path = self.path_of(customer, record).await?;
        Ok(of_account(self.event(Scope::Customer(customer), kind, caller), &path))
    }
}

/// Adds which account an event is about.
pub(crate) fn of_account(event: Event, path: &claviger_api::AccountPath) -> Event {
    event.with(FieldName::Customer, &path.customer).with(FieldName::System, &path.system).with(FieldName::Account, path)
}

fn check_new(new: &NewAccount) -> Result<()> {
    let wrong = |at: &str, message: &str| Err(Error::value(at, message));
    match new.kind {
        AccountKind::Standing | AccountKind::Certificate if !new.member_of.is_empty() => {
            wrong("member_of", "only ephemeral logins are made members")
        }
        AccountKind::Ephemeral if new.secret.is_some() => {
            wrong("secret", "an ephemeral account has no secret of its own")
        }
        AccountKind::Certificate if new.secret.is_some() => {
            wrong("secret", "a certificate account has no secret: nothing is stored")
        }
        AccountKind::Ephemeral if new.member_of.len() > MEMBER_OF_MAX => wrong("member_of", "at most 50 roles"),
        AccountKind::Standing | AccountKind::Ephemeral | AccountKind::Certificate => Ok(()),
    }
}

/// What the account is from now on, where that changes.
fn marked(before: &AccountSettings, after: &AccountSettings) -> Option<&'static str> {
    let mark = Mark::from(after);
    (Mark::from(before) != mark).then_some(match mark {
        Mark::Usual => "not sensitive any more",
        Mark::Sensitive => "sensitive",
        Mark::TierZero => "tier 0",
    })
}

/// Which kinds of accounts a kind of system has.
pub(super) fn check_kind(system: &SystemSpec, account: &AccountRecord) -> Result<()> {
    match (system, account.kind) {
        (
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::ActiveDirectory { .. },
            AccountKind::Standing | AccountKind::Ephemeral,
        )
        | (SystemSpec::Http { .. } | SystemSpec::Manual { .. }, AccountKind::Standing) => Ok(()),
        (SystemSpec::Manual { .. }, AccountKind::Ephemeral) => {
            Err(Error::value("kind", "no program reaches this system: its accounts are standing"))
        }
        (
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. },
            AccountKind::Certificate,
        ) => Err(Error::value("kind", "only Linux hosts take SSH certificates")),
        (SystemSpec::Http { calls, .. }, AccountKind::Ephemeral) => {
            if calls.create.is_some() {
                Ok(())
            } else {
                Err(Error::value("kind", "this system's calls create no logins: describe find, create and remove"))
            }
        }
        (SystemSpec::Linux { .. }, AccountKind::Certificate) => {
            let login = account.login.as_str().parse::<SshPrincipal>();
            login.map(drop).map_err(|_| Error::value("login", "the name of a user of the host, letters and digits"))
        }
        (SystemSpec::Linux { .. }, AccountKind::Standing) => {
            if takes_name(&account.login) {
                Ok(())
            } else {
                Err(Error::value("login", LINUX_NAME))
            }
        }
        (SystemSpec::Linux { .. }, AccountKind::Ephemeral) => {
            let suffix = "0".repeat(SUFFIX);
            let longest = suffixed(account.login.as_str(), &suffix).parse();
            if !longest.is_ok_and(|login| takes_name(&login)) {
                return Err(Error::value("login", format!("{LINUX_NAME}; at most 23, as 9 are added to each login")));
            }
            if account.member_of.iter().all(takes_name) { Ok(()) } else { Err(Error::value("member_of", LINUX_NAME)) }
        }
    }
}

/// What a Linux host can tell apart.
const LINUX_NAME: &str = "1 to 32 letters, digits, '_', '.' and '-', a letter or '_' first";

/// sudo is a Linux host's, and standing logins have whatever rules the host gives them.
fn check_sudo_rules(system: &SystemSpec, account: &AccountRecord) -> Result<()> {
    let rules = &account.settings.sudo_rules;
    let may_have = match (system, account.kind) {
        (SystemSpec::Linux { .. }, AccountKind::Ephemeral) => true,
        (SystemSpec::Linux { .. }, AccountKind::Standing | AccountKind::Certificate)
        | (
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. },
            AccountKind::Standing | AccountKind::Ephemeral | AccountKind::Certificate,
        ) => false,
    };
    if !may_have && !rules.is_empty() {
        return Err(Error::value("sudo_rules", "only ephemeral accounts of Linux hosts have these"));
    }
    if rules.len() > SUDO_RULES_MAX {
        return Err(Error::value("sudo_rules", "at most 16"));
    }
    Ok(())
}

fn check_settings(kind: AccountKind, settings: &AccountSettings) -> Result<()> {
    if !(1..=HOLDERS_MAX).contains(&settings.max_holders) {
        return Err(Error::value("max_holders", "1 (exclusive) to 100"));
    }
    Rules::parse(&settings.password_policy).map_err(|bad| Error::value("password_policy", bad.to_string()))?;
    checked_policy("rotation_policy", &settings.rotation_policy)?;
    if settings
        .owner
        .as_ref()
        .is_some_and(|owner| owner.chars().count() > OWNER_MAX || owner.chars().any(char::is_control))
    {
        return Err(Error::value("owner", "a text of at most 100 characters on one line"));
    }
    match kind {
        AccountKind::Certificate => check_certificate(&settings.certificate),
        AccountKind::Standing | AccountKind::Ephemeral if settings.certificate.is_default() => Ok(()),
        AccountKind::Standing | AccountKind::Ephemeral => {
            Err(Error::value("certificate", "only accounts of kind certificate have certificates"))
        }
    }
}

fn check_certificate(settings: &CertificateSettings) -> Result<()> {
    let wrong = |at: &str, message: &str| Err(Error::value(at, message));
    if settings.principals.as_ref().is_some_and(|names| !(1..=PRINCIPALS_MAX).contains(&names.len())) {
        return wrong("certificate.principals", "1 to 16: a certificate for nobody would be one for everybody");
    }
    if settings.source_networks.len() > SOURCE_NETWORKS_MAX {
        return wrong("certificate.source_networks", "at most 16 networks");
    }
    let command = |text: &String| !text.trim().is_empty() && text.len() <= FORCE_COMMAND_MAX;
    if settings.force_command.as_ref().is_some_and(|text| !command(text) || text.chars().any(char::is_control)) {
        return wrong("certificate.force_command", "1 to 1024 bytes on one line");
    }
    Ok(())
}

/// A part's grammar is within a login's.
pub(super) fn login_of(name: &claviger_api::Part, login: Option<Login>) -> Login {
    #[expect(clippy::expect_used, reason = "1 to 63 of a-z, 0-9, '.', '_' and '-' make a login name")]
    login.unwrap_or_else(|| name.as_str().parse().expect("a part is a login name"))
}
