//! Customers, systems and accounts as an administrator adds them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its inventory cannot go on")]

use std::time::Duration;

use claviger_api::wire::{
    Account, AccountChange, AccountKind, AccountSettings, AccountState, Checkout, NewAccount, NewCheckout, NewCustomer,
    NewIdentityProvider, NewSystem, RotateBy, SystemChange, SystemSpec, TlsMode,
};
use claviger_api::{AccountPath, Login, Part, Secret};
use claviger_client::Client;

use crate::openssh::OpenSsh;
use crate::poll::until;
use crate::postgres::{Postgres, random_text};

/// The account that changes the others, where a system has one.
pub const MANAGEMENT: &str = "superuser";

/// Adds a customer.
pub async fn add_customer(administrator: &Client, slug: &str) {
    let new = NewCustomer { slug: part(slug), display_name: format!("{slug} Ltd") };
    administrator.customers().add(&new).await.expect("a new customer");
}

/// Adds a system without a management account.
pub async fn add_system(administrator: &Client, customer: &str, system: &str, spec: SystemSpec) {
    let new = NewSystem { name: part(system), spec, management_account: None };
    administrator.systems(&part(customer)).add(&new).await.expect("a new system");
}

/// Adds a PostgreSQL with its superuser as the management account.
pub async fn add_postgres(administrator: &Client, customer: &str, system: &str, postgres: &Postgres) {
    add_system(administrator, customer, system, postgres.spec(TlsMode::VerifyFull)).await;
    let mut superuser = NewAccount::standing(part(MANAGEMENT), Some(postgres.superuser_secret()));
    superuser.login = Some(postgres.superuser());
    let (customer, system) = (part(customer), part(system));
    administrator.accounts().add(&customer, &system, &superuser).await.expect("the superuser's account");
    let change = SystemChange { management_account: Some(part(MANAGEMENT)), ..SystemChange::default() };
    administrator.systems(&customer).set(&system, &change).await.expect("a management account");
}

/// Creates a role on the system and adds it as a standing account that rotates itself; gives its path. The role is named
/// like the account.
pub async fn add_role(administrator: &Client, postgres: &Postgres, at: &str) -> AccountPath {
    let path: AccountPath = at.parse().unwrap();
    let password = random_text();
    postgres.create_role(path.account.as_str(), &password).await;
    let new = NewAccount::standing(path.account.clone(), Some(secret(&password)));
    administrator.accounts().add(&path.customer, &path.system, &new).await.expect("a new account");
    path
}

/// The same, rotated by the system's management account.
pub async fn add_managed_role(administrator: &Client, postgres: &Postgres, at: &str) -> AccountPath {
    let path = add_role(administrator, postgres, at).await;
    let change = AccountChange { rotate_by: Some(RotateBy::Management), ..AccountChange::default() };
    administrator.accounts().set(&path, &change).await.expect("a change");
    path
}

/// Adds an ephemeral account, whose logins become members of these roles.
pub async fn add_ephemeral(administrator: &Client, at: &str, member_of: &[Login]) -> AccountPath {
    let path: AccountPath = at.parse().unwrap();
    let new = NewAccount {
        name: path.account.clone(),
        kind: AccountKind::Ephemeral,
        login: None,
        secret: None,
        member_of: member_of.to_vec(),
        settings: AccountSettings::default(),
    };
    administrator.accounts().add(&path.customer, &path.system, &new).await.expect("a new account");
    path
}

/// Adds a Linux host that trusts the authority which the vault makes for it, and an account of it for this user's
/// certificates; gives the account's path.
pub async fn add_linux(administrator: &Client, at: &str, server: &OpenSsh, user: &str) -> AccountPath {
    let path: AccountPath = at.parse().unwrap();
    let new = NewSystem { name: path.system.clone(), spec: server.spec(), management_account: None };
    let added = administrator.systems(&path.customer).add(&new).await.expect("a new system");
    server.trust(&added.certificate_authority.expect("an authority of its own").to_string());
    let new = certificate_account(&path, user);
    administrator.accounts().add(&path.customer, &path.system, &new).await.expect("a new account");
    path
}

/// An account that is opened by certificates for this user.
pub fn certificate_account(path: &AccountPath, user: &str) -> NewAccount {
    let login = Some(user.parse().unwrap());
    NewAccount { kind: AccountKind::Certificate, login, ..NewAccount::standing(path.account.clone(), None) }
}

/// What a technician asks for in the plainest case: this account, now, for the time given.
pub fn wanted(account: &AccountPath, ttl_seconds: u64) -> NewCheckout {
    NewCheckout {
        account: account.clone(),
        ttl_seconds: Some(ttl_seconds),
        reason: "a test".to_owned(),
        ticket: None,
        claim: claviger_api::wire::Claim::Now,
        on_conflict: claviger_api::wire::OnConflict::Fail,
        not_before: None,
    }
}

/// Waits until the account may be checked out.
pub async fn available(client: &Client, account: &AccountPath, at_most: Duration) -> Account {
    until(&format!("{account} is available"), at_most, async || {
        let shown = client.accounts().show(account).await.expect("the account");
        (shown.state == AccountState::Available).then_some(shown)
    })
    .await
}

/// Waits until a checkout is as wanted.
pub async fn checkout_until(
    client: &Client,
    checkout: &Checkout,
    what: &str,
    at_most: Duration,
    is: impl Fn(&Checkout) -> bool,
) -> Checkout {
    until(&format!("{} {what}", checkout.id), at_most, async || {
        let shown = client.checkouts().show(checkout.id).await.expect("the checkout");
        is(&shown).then_some(shown)
    })
    .await
}

/// An identity provider of the MSP's, for a public client.
pub fn new_provider(name: &str, issuer: &str) -> NewIdentityProvider {
    NewIdentityProvider {
        name: part(name),
        customer: None,
        issuer: issuer.parse().unwrap(),
        client_id: "vault".to_owned(),
        client_secret: None,
        address: "https://vault.example".parse().unwrap(),
        scopes: Vec::new(),
        acr: Vec::new(),
        amr: Vec::new(),
        trusts_mfa: false,
        device_code: false,
        ca_certificate: None,
    }
}

/// A part of a path.
pub fn part(text: &str) -> Part {
    text.parse().unwrap()
}

/// A secret.
pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}
