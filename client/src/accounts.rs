//! `/v1/customers/{customer}/systems/{system}/accounts`: privileged logins.

use claviger_api::wire::{Account, AccountChange, NewAccount, PageQuery, SetSecret, Verification};
use claviger_api::{AccountPath, Part, Secret};

use crate::{Client, List, Result};

/// Privileged logins.
pub struct Accounts<'a>(pub(crate) &'a Client);

impl Client {
    /// Privileged logins.
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts(self)
    }
}

impl Accounts<'_> {
    /// Adds an account to a system.
    pub async fn add(&self, customer: &Part, system: &Part, new: &NewAccount) -> Result<Account> {
        self.0.post(under(customer, system), new).await
    }

    /// The accounts of one system.
    pub fn list(&self, customer: &Part, system: &Part) -> List<'_, Account> {
        List::new(self.0, under(customer, system), PageQuery::default())
    }

    /// The accounts of all systems of one customer.
    pub fn list_of_customer(&self, customer: &Part) -> List<'_, Account> {
        List::new(self.0, format!("/v1/customers/{customer}/accounts"), PageQuery::default())
    }

    /// One account.
    pub async fn show(&self, account: &AccountPath) -> Result<Account> {
        self.0.get(at(account)).await
    }

    /// Changes an account's settings; what is absent stays.
    pub async fn set(&self, account: &AccountPath, change: &AccountChange) -> Result<Account> {
        self.0.patch(at(account), change).await
    }

    /// Removes an account that nobody holds.
    pub async fn remove(&self, account: &AccountPath) -> Result<()> {
        self.0.delete(at(account)).await
    }

    /// Tells the vault the secret that the account has now, because it was changed elsewhere.
    pub async fn set_secret(&self, account: &AccountPath, secret: Secret) -> Result<Account> {
        self.0.post(format!("{}/actions/set-secret", at(account)), &SetSecret { secret: secret.disclose() }).await
    }

    /// Tries the stored secret with a fresh login.
    pub async fn verify(&self, account: &AccountPath) -> Result<Verification> {
        self.0.act(format!("{}/actions/verify", at(account))).await
    }
}

fn under(customer: &Part, system: &Part) -> String {
    format!("/v1/customers/{customer}/systems/{system}/accounts")
}

pub(crate) fn at(account: &AccountPath) -> String {
    format!("{}/{}", under(&account.customer, &account.system), account.account)
}
