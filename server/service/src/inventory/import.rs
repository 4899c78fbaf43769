//! Many accounts at once: every row is checked before any is written, and all are written in one commit.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ValueError;
use claviger_api::wire::{AccountKind, AccountSettings, IMPORT_ROWS_MAX, ImportRequest, ImportRow, Imported};
use claviger_api::{AccountId, CustomerId, Part, Scope, SystemId};
use claviger_core::policy::{AccountCreate, Permit};
use claviger_store::{Range, Table, Versioned};

use super::accounts::{check_kind, login_of, of_account};
use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding_once};
use crate::records::{AccountRecord, SystemRecord};

impl Open {
    /// Imports standing accounts with their present secrets. What is wrong is told by line; then nothing is written.
    pub async fn import(
        &self,
        customer: CustomerId,
        request: &ImportRequest,
        once: &Once,
        caller: &Caller,
        _permit: Permit<AccountCreate>,
    ) -> Result<Imported> {
        if request.rows.is_empty() || request.rows.len() > IMPORT_ROWS_MAX {
            return Err(Error::value("rows", "an import has 1 to 5000 rows"));
        }
        let scope = Scope::Customer(customer);
        let imported = Imported { accounts: u32::try_from(request.rows.len()).unwrap_or(u32::MAX) };
        deciding_once(once, || async {
            if self.done(scope, once, caller).await?.is_some() {
                return Ok(imported.clone());
            }
            let systems = self.systems_by_name(customer).await?;
            let rows = self.checked(customer, &systems, &request.rows).await?;
            let slug = self.slug_of(customer).await?;
            let summary = self
                .event(scope, EventKind::AccountImported, caller)
                .with(FieldName::Customer, &slug)
                .with(FieldName::Detail, format_args!("{} accounts", rows.len()));
            let mut change = self.change(summary);
            for system in systems.values().filter(|system| rows.iter().any(|(_, row)| row.system == system.value.id)) {
                change = change.rewrite(system)?;
            }
            let mut within = BTreeSet::new();
            for (row, record) in &rows {
                let path = claviger_api::AccountPath {
                    customer: slug.clone(),
                    system: row.system.clone(),
                    account: row.account.clone(),
                };
                change = change.and(of_account(self.event(scope, EventKind::AccountAdded, caller), &path));
                let secret = row.secret.secret();
                let twice = !within.insert(self.keyring().fingerprint().of(secret));
                let reused = twice || self.is_used_elsewhere(secret, record.id).await?;
                change = self.with_account(change, customer, record, Some(secret), reused, caller).await?;
            }
            self.commit(self.remember(change, scope, once, caller, customer.uuid())?).await?;
            self.ground().wake.notify_waiters();
            Ok(imported.clone())
        })
        .await
    }

    /// Every row with the record it becomes, or every row's error.
    async fn checked<'r>(
        &self,
        customer: CustomerId,
        systems: &BTreeMap<Part, Versioned<SystemRecord>>,
        rows: &'r [ImportRow],
    ) -> Result<Vec<(&'r ImportRow, AccountRecord)>> {
        let mut taken = self.taken_names(customer).await?;
        let mut errors = Vec::new();
        let mut good = Vec::new();
        for row in rows {
            let Some(system) = systems.get(&row.system) else {
                errors.push(at_line(row, format!("there is no system {}", row.system)));
                continue;
            };
            let (spec, system) = (&system.value.spec, system.value.id);
            if !taken.insert((system, row.account.clone())) {
                errors.push(at_line(row, format!("{}/{} is there already", row.system, row.account)));
                continue;
            }
            let record = self.imported(system, row);
            if let Err(why) = check_kind(spec, &record) {
                errors.push(at_line(row, why.errors.into_iter().map(|wrong| wrong.message).collect()));
                continue;
            }
            good.push((row, record));
        }
        if errors.is_empty() { Ok(good) } else { Err(Error::values(errors)) }
    }

    fn imported(&self, system: SystemId, row: &ImportRow) -> AccountRecord {
        AccountRecord {
            id: AccountId::from_uuid(self.new_uuid()),
            system,
            name: row.account.clone(),
            kind: AccountKind::Standing,
            login: login_of(&row.account, row.login.clone()),
            member_of: Vec::new(),
            settings: AccountSettings { sensitive: row.sensitive, tier: row.tier, ..AccountSettings::default() },
            created_at: self.now(),
        }
    }

    async fn systems_by_name(&self, customer: CustomerId) -> Result<BTreeMap<Part, Versioned<SystemRecord>>> {
        let rows = self.all::<SystemRecord>(&Range::scope(Table::Systems, Scope::Customer(customer))).await?;
        Ok(rows.into_iter().map(|row| (row.value.name.clone(), row)).collect())
    }

    async fn taken_names(&self, customer: CustomerId) -> Result<BTreeSet<(SystemId, Part)>> {
        let rows = self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await?;
        Ok(rows.into_iter().map(|row| (row.value.system, row.value.name)).collect())
    }
}

fn at_line(row: &ImportRow, message: String) -> ValueError {
    ValueError { at: format!("line {}", row.line), message }
}
