//! Which logins a system has, beside the accounts that the vault has of it: listed by its management account, once a day and
//! on demand, and compared when somebody asks.
//!
//! What a look brought is stored as it was; what it means follows from the accounts and marks of today, so that an account
//! that was added since is no login that nobody answers for.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::wire::{
    AccountKind, DiscoveredLogin, Discovery, DiscoveryCounts, KnownLogin, LoginStanding, LookFailure, ProbeResult,
};
use claviger_api::{AccountPath, CustomerId, Login, Part, Scope, SystemId};
use claviger_connectors::Connector;
use claviger_core::discovery::covers;
use claviger_core::policy::{AccessView, Permit};
use claviger_store::{Range, RowId, Table};

use crate::error::Result;
use crate::open::Open;
use crate::records::{AccountRecord, DiscoveryRecord, KnownLoginRecord, LoginRecord, SystemRecord};

mod known;
mod look;
mod report;

/// The most characters of a name that is shown with what is in the way written out.
const SHOWN_CHARS_MAX: usize = 500;

/// A login of the last look, and what the vault has to do with it now.
struct Judged<'r> {
    login: &'r LoginRecord,
    /// Its name as the system sees it.
    key: String,
    standing: LoginStanding,
    account: Option<AccountPath>,
    known: Option<&'r KnownLoginRecord>,
}

/// What a look means by the accounts and marks of now.
struct Compared<'r> {
    logins: Vec<Judged<'r>>,
    missing: Vec<AccountPath>,
}

impl Judged<'_> {
    /// Nobody answers for it, it may log in, and it has power over the system.
    fn is_alarming(&self) -> bool {
        self.is_at_large() && !self.login.privileges.is_empty()
    }

    /// Nobody answers for it, and it may log in.
    fn is_at_large(&self) -> bool {
        self.standing == LoginStanding::Unmanaged && self.login.may_log_in
    }

    /// Those that nobody answers for first, and of them those with power that may log in.
    fn order(&self) -> (LoginStanding, bool, bool, &str) {
        (self.standing, self.login.privileges.is_empty(), !self.login.may_log_in, &self.login.name)
    }
}

impl Compared<'_> {
    fn counts(&self) -> DiscoveryCounts {
        let count = |which: &dyn Fn(&Judged<'_>) -> bool| {
            u64::try_from(self.logins.iter().filter(|login| which(login)).count()).unwrap_or(u64::MAX)
        };
        let of = |standing: LoginStanding| count(&|login| login.standing == standing);
        DiscoveryCounts {
            logins: count(&|_| true),
            in_vault: of(LoginStanding::InVault),
            of_checkouts: of(LoginStanding::OfCheckout),
            known: of(LoginStanding::Known),
            unmanaged: count(&|login| login.is_at_large()),
            unmanaged_privileged: count(&|login| login.is_alarming()),
            missing: u64::try_from(self.missing.len()).unwrap_or(u64::MAX),
        }
    }
}

impl Open {
    /// What the last look at a system found.
    pub async fn discovery(
        &self,
        customer: CustomerId,
        id: SystemId,
        _permit: Permit<AccessView>,
    ) -> Result<Discovery> {
        self.discovery_view(customer, id).await
    }

    async fn discovery_view(&self, customer: CustomerId, id: SystemId) -> Result<Discovery> {
        let system = self.load::<SystemRecord>(&RowId::system(customer, id)).await?.value;
        let record = self.read::<DiscoveryRecord>(&RowId::discovery(customer, id)).await?;
        let record = record.map(|row| row.value).unwrap_or_default();
        let accounts = self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await?;
        let accounts: Vec<&AccountRecord> = accounts.iter().map(|row| &row.value).collect();
        self.view_of(&self.slug_of(customer).await?, &system, &record, &accounts, |_| true).await
    }

    /// A discovery as callers see it, with those of its logins that are wanted.
    async fn view_of(
        &self,
        customer: &Part,
        system: &SystemRecord,
        record: &DiscoveryRecord,
        accounts: &[&AccountRecord],
        wanted: impl Fn(&Judged<'_>) -> bool,
    ) -> Result<Discovery> {
        let compared = self.compare(customer, system, record, accounts);
        let mut logins = Vec::new();
        for judged in compared.logins.iter().filter(|judged| wanted(judged)) {
            logins.push(self.login_view(judged).await?);
        }
        Ok(Discovery {
            customer: customer.clone(),
            system: system.name.clone(),
            system_id: system.id,
            kind: system.spec.kind().to_owned(),
            looked_at: record.look.as_ref().map(|look| look.at),
            tried_at: record.tried_at,
            failure: self.obstacle(system).or_else(|| record.failure.clone()),
            cut: record.look.as_ref().is_some_and(|look| look.cut),
            unseen: record.look.as_ref().map(|look| look.unseen.clone()).unwrap_or_default(),
            counts: compared.counts(),
            logins,
            missing: compared.missing,
        })
    }

    async fn login_view(&self, judged: &Judged<'_>) -> Result<DiscoveredLogin> {
        let login = judged.login;
        let known = match judged.known {
            Some(known) => Some(KnownLogin {
                reason: known.reason.clone(),
                by: self.name_of(known.by).await?,
                at: known.at,
                outgrown: !covers(&known.privileges, &login.privileges),
            }),
            None => None,
        };
        let (shown, unspeakable) = shown(&login.name);
        let unnameable = unspeakable && !login.also.iter().any(|name| name.parse::<Login>().is_ok());
        Ok(DiscoveredLogin {
            login: shown,
            unnameable,
            standing: judged.standing,
            account: judged.account.clone(),
            may_log_in: login.may_log_in,
            privileges: login.privileges.clone(),
            notes: login.notes.clone(),
            last_login_at: login.last_login_at,
            known,
        })
    }

    /// Why a system's logins can never be listed as it is.
    fn obstacle(&self, system: &SystemRecord) -> Option<LookFailure> {
        let connector = self.ground().connectors.connector(&system.spec);
        let detail = if !connector.lists_logins() {
            format!("what logins a system of kind {} has cannot be asked", system.spec.kind())
        } else if system.management_account.is_none() {
            NO_MANAGEMENT.to_owned()
        } else {
            return None;
        };
        Some(LookFailure { result: ProbeResult::Unknown, detail })
    }

    /// Names are compared as the system compares them.
    fn compare<'r>(
        &self,
        customer: &Part,
        system: &SystemRecord,
        record: &'r DiscoveryRecord,
        accounts: &[&AccountRecord],
    ) -> Compared<'r> {
        let connector = self.ground().connectors.connector(&system.spec);
        let path = |account: &AccountRecord| AccountPath {
            customer: customer.clone(),
            system: system.name.clone(),
            account: account.name.clone(),
        };
        let standing = accounts.iter().filter(|account| account.system == system.id && has_a_login(account.kind));
        let standing: Vec<(String, &AccountRecord)> =
            standing.map(|account| (connector.seen_as(&account.login), *account)).collect();
        let by_key: BTreeMap<&str, &AccountRecord> =
            standing.iter().map(|(key, account)| (key.as_str(), *account)).collect();
        let Some(look) = &record.look else { return Compared { logins: Vec::new(), missing: Vec::new() } };

        let mut there = BTreeSet::new();
        let mut logins = Vec::with_capacity(look.logins.len());
        for login in &look.logins {
            let key = key(&*connector, &login.name);
            let mut names =
                std::iter::once(key.clone()).chain(login.also.iter().map(|name| self::key(&*connector, name)));
            let account = names.find_map(|name| by_key.get_key_value(name.as_str()));
            there.extend(account.map(|(key, _)| *key));
            let known = record.known.iter().find(|known| known.login == key);
            let answered_for = known.is_some_and(|known| covers(&known.privileges, &login.privileges));
            let standing = match (account, login.of_checkout, answered_for) {
                (Some(_), _, _) => LoginStanding::InVault,
                (None, true, _) => LoginStanding::OfCheckout,
                (None, false, true) => LoginStanding::Known,
                (None, false, false) => LoginStanding::Unmanaged,
            };
            logins.push(Judged { login, key, standing, account: account.map(|(_, it)| path(it)), known });
        }
        logins.sort_by(|one, other| one.order().cmp(&other.order()));
        // Of what was cut nothing is known, and neither of what was added after the look.
        let is_missing = |(key, account): &&(String, &AccountRecord)| {
            !look.cut && account.created_at <= look.at && !there.contains(key.as_str())
        };
        let missing = standing.iter().filter(is_missing).map(|(_, account)| path(account)).collect();
        Compared { logins, missing }
    }
}

/// What is said where a system has nobody to ask.
const NO_MANAGEMENT: &str = "the system has no management account with a stored secret; name one";

/// Whether an account of this kind is a login that is always there.
fn has_a_login(kind: AccountKind) -> bool {
    match kind {
        AccountKind::Standing | AccountKind::Certificate => true,
        AccountKind::Ephemeral => false,
    }
}

/// A name as the system sees it; one that no account can have is only itself.
fn key(connector: &dyn Connector, name: &str) -> String {
    name.parse::<Login>().map_or_else(|_| name.to_owned(), |login| connector.seen_as(&login))
}

/// A name as it is shown, and whether no account can have it: then what is in the way is written out.
fn shown(name: &str) -> (String, bool) {
    if name.parse::<Login>().is_ok() {
        return (name.to_owned(), false);
    }
    let blank = name.trim().is_empty();
    let mut text = String::new();
    for c in name.chars().take(SHOWN_CHARS_MAX) {
        if blank || c.is_control() { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    (text.chars().take(SHOWN_CHARS_MAX).collect(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_account_can_be_named_is_shown_and_not_dropped() {
        assert_eq!(shown("o'neill 💣"), ("o'neill 💣".to_owned(), false));
        assert_eq!(shown("a\nb"), ("a\\u{a}b".to_owned(), true));
        assert_eq!(shown(" "), ("\\u{20}".to_owned(), true));
        assert_eq!(shown(&"x".repeat(300)), ("x".repeat(300), true));
        assert_eq!(shown(&"\n".repeat(9999)).0.len(), SHOWN_CHARS_MAX);
    }
}
