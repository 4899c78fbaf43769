//! `/v1/access`: who can reach what, and why or why not.

use claviger_api::AccountPath;
use claviger_api::wire::{AccessQuery, AccountAccess, ExplainQuery, Explained};

use crate::{Client, Result};

/// Who can reach what.
pub struct Access<'a>(&'a Client);

impl Client {
    /// Who can reach what.
    pub fn access(&self) -> Access<'_> {
        Access(self)
    }
}

impl Access<'_> {
    /// Who can check an account out, and by which grants.
    pub async fn show(&self, account: &AccountPath) -> Result<AccountAccess> {
        self.0.get_with("/v1/access", &AccessQuery { account: account.to_string() }).await
    }

    /// Whether somebody may do something somewhere, and why or why not.
    pub async fn explain(&self, query: &ExplainQuery) -> Result<Explained> {
        self.0.get_with("/v1/access/explain", query).await
    }
}
