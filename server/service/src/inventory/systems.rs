//! Systems: how each is reached, and which of its accounts may change the others.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::{ProblemType, ValueError};
use claviger_api::wire::{
    HOST_KEYS_MAX, HttpCalls, NewSystem, RotationPolicy, System, SystemChange, SystemSpec, TlsMode,
};
use claviger_api::{CustomerId, Scope, SystemId};
use claviger_connectors::http::{self, Fault};
use claviger_core::policy::{Permit, SystemCreate, SystemRemove, SystemUpdate, SystemView};
use claviger_crypto::ssh;
use claviger_store::keyring::authority_row;
use claviger_store::{Range, RowId, Table};

use super::upkeep::{checked_policy, policy_text};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding, deciding_once, wrapped_put};
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, NameRecord, SystemRecord};

/// The longest host name (RFC 1035).
const HOST_MAX: usize = 253;
/// The longest name of a database.
const DATABASE_MAX: usize = 63;
/// The longest distinguished name.
const DN_MAX: usize = 255;
/// The longest name of an attribute or an object class.
const ATTRIBUTE_MAX: usize = 63;
/// The longest short name of a Windows domain (NetBIOS).
const DOMAIN_MAX: usize = 15;
/// The most other controllers of a domain.
const SERVERS_MAX: usize = 8;
/// The longest time in which a change may not have reached every part of a system.
const PROPAGATION_SECONDS_MAX: u32 = 3600;
/// The longest grace of a system.
const GRACE_SECONDS_MAX: u32 = 86_400;
/// The longest instructions for people.
const INSTRUCTIONS_MAX: usize = 2000;
/// The longest that a person has.
const DUE_DAYS_MAX: u32 = 365;
/// The most object classes of an ephemeral entry.
const OBJECT_CLASSES_MAX: usize = 16;

impl Open {
    /// Adds a system. Nothing is sent to it yet.
    pub async fn add_system(
        &self,
        customer: CustomerId,
        new: &NewSystem,
        once: &Once,
        caller: &Caller,
        _permit: Permit<SystemCreate>,
    ) -> Result<System> {
        check_spec(&new.spec)?;
        let scope = Scope::Customer(customer);
        deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return self.system_view(customer, SystemId::from_uuid(done)).await;
            }
            let name = self.keyring().name(Table::Systems, scope, new.name.as_str());
            if self.read::<NameRecord>(&name).await?.is_some() {
                return Err(Error::new(ProblemType::NameTaken, ""));
            }
            let id = SystemId::from_uuid(self.new_uuid());
            let authority = match &new.spec {
                SystemSpec::Linux { .. } => Some(self.keyring().new_authority(customer, id, self.random())?),
                SystemSpec::Postgresql { .. }
                | SystemSpec::Mysql { .. }
                | SystemSpec::Ldap { .. }
                | SystemSpec::ActiveDirectory { .. }
                | SystemSpec::Http { .. }
                | SystemSpec::Manual { .. } => None,
            };
            let record = SystemRecord {
                id,
                rotation_policy: RotationPolicy::default(),
                certificate_authority: authority.as_ref().map(|(key, _)| key.public_key()),
                name: new.name.clone(),
                spec: new.spec.clone(),
                management_account: new.management_account.clone(),
                measured_grace: None,
                last_look: None,
                created_at: self.now(),
            };
            let customer_row = self.load::<crate::records::CustomerRecord>(&RowId::customer(customer)).await?;
            let mut change = self.change(self.system_event(customer, EventKind::SystemAdded, &record, caller).await?);
            if let Some((_, wrapped)) = authority {
                change = change.create_sealed(wrapped_put(wrapped));
            }
            let change = change
                .rewrite(&customer_row)?
                .create(name, &NameRecord { id: record.id.uuid() })?
                .create(RowId::system(customer, record.id), &record)?;
            self.commit(self.remember(change, scope, once, caller, record.id.uuid())?).await?;
            self.system_view(customer, record.id).await
        })
        .await
    }

    /// A customer's systems, in the order in which they were added.
    pub async fn systems(
        &self,
        customer: CustomerId,
        paging: &Paging,
        visible: impl Fn(SystemId) -> bool,
    ) -> Result<Page<System>> {
        let slug = self.slug_of(customer).await?;
        let range = Range::scope(Table::Systems, Scope::Customer(customer));
        let rows = self.page::<SystemRecord>(range, paging, |row| visible(row.id)).await?;
        rows.try_map(async |row| Ok(view(slug.clone(), row.value))).await
    }

    /// One system.
    pub async fn system(&self, customer: CustomerId, id: SystemId, _permit: Permit<SystemView>) -> Result<System> {
        self.system_view(customer, id).await
    }

    /// Changes how it is reached, or its management account. Its kind stays.
    pub async fn change_system(
        &self,
        customer: CustomerId,
        id: SystemId,
        change: &SystemChange,
        caller: &Caller,
        _permit: Permit<SystemUpdate>,
    ) -> Result<System> {
        if let Some(spec) = &change.spec {
            check_spec(spec)?;
        }
        deciding(|| async {
            let row = self.load::<SystemRecord>(&RowId::system(customer, id)).await?;
            let mut record = row.value.clone();
            if let Some(spec) = &change.spec {
                if spec.kind() != record.spec.kind() {
                    return Err(Error::value("spec.kind", "the kind that the system has; add another system instead"));
                }
                record.spec = spec.clone();
            }
            if let Some(account) = &change.management_account {
                record.management_account = Some(account.clone());
            }
            if let Some(policy) = &change.rotation_policy {
                record.rotation_policy = checked_policy("rotation_policy", policy)?;
            }
            let event = self
                .system_event(customer, EventKind::SystemChanged, &record, caller)
                .await?
                .with(FieldName::Detail, policy_text(change.rotation_policy.as_ref())?);
            self.commit(self.change(event).update(&row, &record)?).await?;
            self.system_view(customer, id).await
        })
        .await
    }

    /// Removes a system that has no account left.
    pub async fn remove_system(
        &self,
        customer: CustomerId,
        id: SystemId,
        caller: &Caller,
        _permit: Permit<SystemRemove>,
    ) -> Result<()> {
        let scope = Scope::Customer(customer);
        deciding(|| async {
            let row = self.load::<SystemRecord>(&RowId::system(customer, id)).await?;
            let accounts = self.all::<AccountRecord>(&Range::scope(Table::Accounts, scope)).await?;
            if accounts.iter().any(|account| account.value.system == id) {
                return Err(Error::new(ProblemType::InUse, "The system has accounts; remove them first."));
            }
            if let Some(account) = self.account_with_copy_on(customer, id).await? {
                let why = format!("The system holds a copy of {account}'s secret; take that dependent away first.");
                return Err(Error::new(ProblemType::InUse, why));
            }
            let mut change =
                self.change(self.system_event(customer, EventKind::SystemRemoved, &row.value, caller).await?);
            if row.value.certificate_authority.is_some() {
                change = change.erase(authority_row(customer, id));
            }
            let change = change.erase(self.keyring().name(Table::Systems, scope, row.value.name.as_str())).remove(&row);
            self.commit(change.erase(RowId::discovery(customer, id))).await.map(drop)
        })
        .await
    }

    async fn system_view(&self, customer: CustomerId, id: SystemId) -> Result<System> {
        let record = self.load::<SystemRecord>(&RowId::system(customer, id)).await?.value;
        Ok(view(self.slug_of(customer).await?, record))
    }

    async fn system_event(
        &self,
        customer: CustomerId,
        kind: EventKind,
        record: &SystemRecord,
        caller: &Caller,
    ) -> Result<Event> {
        let event = self
            .event(Scope::Customer(customer), kind, caller)
            .with(FieldName::Customer, self.slug_of(customer).await?)
            .with(FieldName::System, &record.name);
        Ok(match record.certificate_authority {
            Some(key) => event.with(FieldName::Detail, format_args!("authority {}", ssh::public_text(&key))),
            None => event,
        })
    }
}

fn view(customer: claviger_api::Part, record: SystemRecord) -> System {
    System {
        id: record.id,
        customer,
        name: record.name,
        spec: record.spec,
        management_account: record.management_account,
        rotation_policy: record.rotation_policy,
        certificate_authority: record.certificate_authority.and_then(|key| ssh::public_text(&key).parse().ok()),
        measured_grace: record.measured_grace,
        created_at: record.created_at,
    }
}

fn check_spec(spec: &SystemSpec) -> Result<()> {
    let plain = |text: &str, most| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
    let is_host = |host: &str| plain(host, HOST_MAX) && !host.contains(char::is_whitespace);
    if let SystemSpec::Manual { address, instructions, due_days } = spec {
        return check_manual(plain(address, HOST_MAX), instructions, *due_days);
    }
    if !is_host(spec.host()) {
        return Err(Error::value("spec.host", "a host name or address of at most 253 characters"));
    }
    if spec.port() == 0 {
        return Err(Error::value("spec.port", "a TCP port, 1 to 65535"));
    }
    match spec {
        SystemSpec::Postgresql { database, .. } => {
            if !plain(database, DATABASE_MAX) {
                return Err(Error::value("spec.database", "the name of a database, 1 to 63 bytes"));
            }
        }
        SystemSpec::Mysql { lockout_threshold, event_database, .. } => {
            check_threshold(*lockout_threshold)?;
            if event_database.as_ref().is_some_and(|database| !plain(database, DATABASE_MAX)) {
                return Err(Error::value("spec.event_database", "the name of a database, 1 to 63 bytes"));
            }
        }
        SystemSpec::Ldap { base, login_attribute, object_classes, group_base, lockout_threshold, .. } => {
            check_threshold(*lockout_threshold)?;
            for (name, base) in [("spec.base", Some(base)), ("spec.group_base", group_base.as_ref())] {
                if base.is_some_and(|base| !plain(base, DN_MAX)) {
                    return Err(Error::value(name, "a distinguished name, 1 to 255 bytes"));
                }
            }
            let keyword = |word: &str| {
                let rest = |c: char| c.is_ascii_alphanumeric() || c == '-';
                plain(word, ATTRIBUTE_MAX)
                    && word.starts_with(|c: char| c.is_ascii_alphabetic())
                    && word.chars().all(rest)
            };
            if !keyword(login_attribute) {
                return Err(Error::value("spec.login_attribute", "the name of an attribute, e.g. uid"));
            }
            let few = (1..=OBJECT_CLASSES_MAX).contains(&object_classes.len());
            if !few || !object_classes.iter().all(|class| keyword(class)) {
                return Err(Error::value("spec.object_classes", "1 to 16 names of object classes, e.g. inetOrgPerson"));
            }
        }
        SystemSpec::Linux { host_keys, lockout_threshold, .. } => {
            check_threshold(*lockout_threshold)?;
            if !(1..=HOST_KEYS_MAX).contains(&host_keys.len()) {
                return Err(Error::value("spec.host_keys", "1 to 10 host keys, or their fingerprints"));
            }
        }
        SystemSpec::ActiveDirectory {
            tls,
            domain,
            servers,
            organizational_unit,
            lockout_threshold,
            grace_seconds,
            ..
        } => {
            if matches!(tls, TlsMode::Disable | TlsMode::Prefer) {
                return Err(Error::value(
                    "spec.tls",
                    "verify-full, verify-ca or require: a domain takes passwords over TLS only",
                ));
            }
            let of_domain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'(){}^_~-".contains(c);
            if !plain(domain, DOMAIN_MAX) || !domain.chars().all(of_domain) {
                return Err(Error::value("spec.domain", "the domain's short name (NetBIOS), e.g. CORP"));
            }
            if servers.len() > SERVERS_MAX || !servers.iter().all(|server| is_host(server)) {
                return Err(Error::value("spec.servers", "at most 8 host names or addresses of other controllers"));
            }
            if organizational_unit.as_ref().is_some_and(|unit| !plain(unit, DN_MAX)) {
                return Err(Error::value("spec.organizational_unit", "a distinguished name, 1 to 255 bytes"));
            }
            check_threshold(*lockout_threshold)?;
            if *grace_seconds > GRACE_SECONDS_MAX {
                return Err(Error::value("spec.grace_seconds", "0 to 86400 (a day)"));
            }
        }
        SystemSpec::Http { calls, lockout_threshold, grace_seconds, propagation_seconds, .. } => {
            check_threshold(*lockout_threshold)?;
            if *grace_seconds > GRACE_SECONDS_MAX {
                return Err(Error::value("spec.grace_seconds", "0 to 86400 (a day)"));
            }
            if *propagation_seconds > PROPAGATION_SECONDS_MAX {
                return Err(Error::value("spec.propagation_seconds", "0 to 3600 (an hour)"));
            }
            check_calls(calls)?;
        }
        SystemSpec::Manual { .. } => {}
    }
    Ok(())
}

fn check_threshold(threshold: Option<u32>) -> Result<()> {
    if threshold == Some(0) {
        return Err(Error::value("spec.lockout_threshold", "a number of failed logins, from 1; or leave it out"));
    }
    Ok(())
}

fn check_manual(has_address: bool, instructions: &str, due_days: u32) -> Result<()> {
    if !has_address {
        return Err(Error::value("spec.address", "where it is, in words: 1 to 253 characters in one line"));
    }
    if instructions.chars().count() > INSTRUCTIONS_MAX || instructions.contains('\0') {
        return Err(Error::value("spec.instructions", "what is to be done there, in at most 2000 characters"));
    }
    if !(1..=DUE_DAYS_MAX).contains(&due_days) {
        return Err(Error::value("spec.due_days", "1 to 365 days"));
    }
    Ok(())
}

/// All that is wrong in a description, at once.
fn check_calls(calls: &HttpCalls) -> Result<()> {
    let at = |fault: Fault| ValueError { at: format!("spec.calls.{}", fault.at), message: fault.expected };
    let errors: Vec<ValueError> = http::faults(calls).into_iter().map(at).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::values(errors)) }
}
