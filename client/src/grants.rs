//! `/v1/grants`: who may do what, where, and until when.

use claviger_api::wire::{Grant, GrantQuery, NewGrant, RenewGrant};
use claviger_api::{GrantId, UserName};

use crate::{Client, List, Result};

/// Who may do what.
pub struct Grants<'a>(&'a Client);

impl Client {
    /// Who may do what.
    pub fn grants(&self) -> Grants<'_> {
        Grants(self)
    }
}

impl Grants<'_> {
    /// Grants a role to somebody else, within what the caller may grant.
    pub async fn add(&self, new: &NewGrant) -> Result<Grant> {
        self.0.post("/v1/grants", new).await
    }

    /// The grants that the caller may see, of one principal or of all.
    pub fn list(&self, principal: Option<&UserName>) -> List<'_, Grant, GrantQuery> {
        let query = GrantQuery { principal: principal.map(ToString::to_string), ..GrantQuery::default() };
        List::new(self.0, "/v1/grants", query)
    }

    /// One grant.
    pub async fn show(&self, id: GrantId) -> Result<Grant> {
        self.0.get(format!("/v1/grants/{id}")).await
    }

    /// Gives a grant a new end, within what the caller may grant.
    pub async fn renew(&self, id: GrantId, ttl_seconds: u64) -> Result<Grant> {
        self.0.post(format!("/v1/grants/{id}/actions/renew"), &RenewGrant { ttl_seconds }).await
    }

    /// Ends a grant at once.
    pub async fn remove(&self, id: GrantId) -> Result<()> {
        self.0.delete(format!("/v1/grants/{id}")).await
    }
}
