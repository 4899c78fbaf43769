//! `/v1/access`: who can reach what, and why or why not.

use claviger_api::AccountPath;
use claviger_api::wire::{AccessQuery, AccountAccess, ExplainQuery, Explained, Inactive, InactiveQuery};

use crate::{Client, List, Result};

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

    /// Users and service accounts that were not used for so many days, and what they could reach.
    pub fn inactive(&self, days: u32) -> List<'_, Inactive, InactiveQuery> {
        List::new(self.0, "/v1/access/inactive", InactiveQuery { days: Some(days), ..InactiveQuery::default() })
    }

    /// Whether somebody may do something somewhere, and why or why not.
    pub async fn explain(&self, query: &ExplainQuery) -> Result<Explained> {
        self.0.get_with("/v1/access/explain", query).await
    }
}
