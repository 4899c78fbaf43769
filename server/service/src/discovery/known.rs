//! Logins that somebody answers for, though the vault does not have them.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::{Discovery, KNOWN_LOGINS_MAX, LoginStanding, MarkKnown, MarkUnknown};
use claviger_api::{CustomerId, Scope, SystemId};
use claviger_core::policy::{Permit, SystemUpdate};
use claviger_store::{Range, RowId, Table};

use super::{key, shown};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::inventory::short_text;
use crate::open::{Caller, Open, deciding};
use crate::records::{AccountRecord, DiscoveryRecord, KnownLoginRecord, SystemRecord};

impl Open {
    /// Says why a login shall stay outside of the vault. It is covered by that for the power that it has now, and no more.
    pub async fn mark_known(
        &self,
        customer: CustomerId,
        id: SystemId,
        mark: &MarkKnown,
        caller: &Caller,
        _permit: Permit<SystemUpdate>,
    ) -> Result<Discovery> {
        short_text("reason", &mark.reason)?;
        deciding(|| async {
            let system = self.load::<SystemRecord>(&RowId::system(customer, id)).await?.value;
            let row = self.read::<DiscoveryRecord>(&RowId::discovery(customer, id)).await?.ok_or_else(not_shown)?;
            let slug = self.slug_of(customer).await?;
            let accounts = self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await?;
            let accounts: Vec<&AccountRecord> = accounts.iter().map(|row| &row.value).collect();
            let compared = self.compare(&slug, &system, &row.value, &accounts);
            let meant = compared.logins.iter().find(|judged| shown(&judged.login.name).0 == mark.login);
            let meant = meant.ok_or_else(not_shown)?;
            match meant.standing {
                LoginStanding::Unmanaged | LoginStanding::Known => {}
                LoginStanding::InVault | LoginStanding::OfCheckout => {
                    return Err(Error::value("login", "a login outside of the vault; this one is the vault's own"));
                }
            }
            let mut record = row.value.clone();
            record.known.retain(|known| known.login != meant.key);
            if record.known.len() >= KNOWN_LOGINS_MAX {
                return Err(Error::value("login", "one of at most 500 known logins of a system; unmark others first"));
            }
            record.known.push(KnownLoginRecord {
                login: meant.key.clone(),
                reason: mark.reason.clone(),
                by: caller.id,
                at: self.now(),
                privileges: meant.login.privileges.clone(),
            });
            let event = self
                .mark_event(customer, EventKind::SystemLoginKnown, &system, &mark.login, caller)
                .await?
                .with_personal(caller.id, FieldName::Reason, &mark.reason);
            self.commit(self.change(event).update(&row, &record)?).await?;
            self.discovery_view(customer, id).await
        })
        .await
    }

    /// Nobody answers for a login any more, whether or not the system still has it.
    pub async fn mark_unknown(
        &self,
        customer: CustomerId,
        id: SystemId,
        mark: &MarkUnknown,
        caller: &Caller,
        _permit: Permit<SystemUpdate>,
    ) -> Result<Discovery> {
        deciding(|| async {
            let system = self.load::<SystemRecord>(&RowId::system(customer, id)).await?.value;
            let row = self.read::<DiscoveryRecord>(&RowId::discovery(customer, id)).await?.ok_or_else(not_marked)?;
            let connector = self.ground().connectors.connector(&system.spec);
            let seen = key(&*connector, &mark.login);
            let is_meant = |known: &KnownLoginRecord| known.login == seen || shown(&known.login).0 == mark.login;
            let mut record = row.value.clone();
            record.known.retain(|known| !is_meant(known));
            if record.known.len() == row.value.known.len() {
                return Err(not_marked());
            }
            let event = self.mark_event(customer, EventKind::SystemLoginUnknown, &system, &mark.login, caller).await?;
            self.commit(self.change(event).update(&row, &record)?).await?;
            self.discovery_view(customer, id).await
        })
        .await
    }

    async fn mark_event(
        &self,
        customer: CustomerId,
        kind: EventKind,
        system: &SystemRecord,
        login: &str,
        caller: &Caller,
    ) -> Result<Event> {
        Ok(self
            .event(Scope::Customer(customer), kind, caller)
            .with(FieldName::Customer, self.slug_of(customer).await?)
            .with(FieldName::System, &system.name)
            .with(FieldName::Detail, login))
    }
}

fn not_shown() -> Error {
    Error::value("login", "a login that the last look at the system shows")
}

fn not_marked() -> Error {
    Error::value("login", "a login that is marked as known")
}
