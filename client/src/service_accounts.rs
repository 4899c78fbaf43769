//! `/v1/service-accounts`: programs.

use claviger_api::UserName;
use claviger_api::wire::{
    AddedServiceAccount, ChangeServiceAccount, NewServiceAccount, PageQuery, Principal, ReplaceToken,
    ServiceAccountQuery, ServiceToken,
};

use crate::{Client, List, Result};

/// Programs.
pub struct ServiceAccounts<'a>(&'a Client);

impl Client {
    /// Programs.
    pub fn service_accounts(&self) -> ServiceAccounts<'_> {
        ServiceAccounts(self)
    }
}

impl ServiceAccounts<'_> {
    /// Adds a service account. The token in the answer, if one was asked for, is shown once.
    pub async fn add(&self, new: &NewServiceAccount) -> Result<AddedServiceAccount> {
        self.0.post("/v1/service-accounts", new).await
    }

    /// All that the caller may see.
    pub fn list(&self) -> List<'_, Principal> {
        List::new(self.0, "/v1/service-accounts", PageQuery::default())
    }

    /// Those that may act at more than one customer.
    pub fn spanning(&self) -> List<'_, Principal, ServiceAccountQuery> {
        let query = ServiceAccountQuery { spanning: Some(true), ..ServiceAccountQuery::default() };
        List::new(self.0, "/v1/service-accounts", query)
    }

    /// One service account.
    pub async fn show(&self, name: &UserName) -> Result<Principal> {
        self.0.get(path(name)).await
    }

    /// Changes how a service account may log in, and from where it may act; every session of it ends.
    pub async fn change(&self, name: &UserName, change: &ChangeServiceAccount) -> Result<Principal> {
        self.0.patch(path(name), change).await
    }

    /// Removes a service account; its token stops at once.
    pub async fn remove(&self, name: &UserName) -> Result<()> {
        self.0.delete(path(name)).await
    }

    /// Stops a service account; every session ends at once.
    pub async fn suspend(&self, name: &UserName) -> Result<Principal> {
        self.0.act(format!("{}/actions/suspend", path(name))).await
    }

    /// Lets a suspended service account work again.
    pub async fn resume(&self, name: &UserName) -> Result<Principal> {
        self.0.act(format!("{}/actions/resume", path(name))).await
    }

    /// Issues a new token, shown once; the old one stops at once.
    pub async fn replace_token(&self, name: &UserName, request: &ReplaceToken) -> Result<ServiceToken> {
        self.0.post(format!("{}/actions/replace-token", path(name)), request).await
    }
}

fn path(name: &UserName) -> String {
    format!("/v1/service-accounts/{name}")
}
