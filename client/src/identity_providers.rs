//! `/v1/identity-providers`: who may sign people in.

use claviger_api::Part;
use claviger_api::wire::{ChangeIdentityProvider, IdentityProvider, NewIdentityProvider, PageQuery};

use crate::{Client, List, Result};

/// Who may sign people in.
pub struct IdentityProviders<'a>(&'a Client);

impl Client {
    /// Who may sign people in.
    pub fn identity_providers(&self) -> IdentityProviders<'_> {
        IdentityProviders(self)
    }
}

impl IdentityProviders<'_> {
    /// Lets an identity provider sign people in.
    pub async fn add(&self, new: &NewIdentityProvider) -> Result<IdentityProvider> {
        self.0.post("/v1/identity-providers", new).await
    }

    /// All of them.
    pub fn list(&self) -> List<'_, IdentityProvider> {
        List::new(self.0, "/v1/identity-providers", PageQuery::default())
    }

    /// One of them.
    pub async fn show(&self, name: &Part) -> Result<IdentityProvider> {
        self.0.get(path(name)).await
    }

    /// Changes one. One that is disabled ends the sessions of everybody linked to it.
    pub async fn change(&self, name: &Part, change: &ChangeIdentityProvider) -> Result<IdentityProvider> {
        self.0.patch(path(name), change).await
    }

    /// Removes one to which nobody is linked.
    pub async fn remove(&self, name: &Part) -> Result<()> {
        self.0.delete(path(name)).await
    }
}

fn path(name: &Part) -> String {
    format!("/v1/identity-providers/{name}")
}
