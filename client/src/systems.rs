//! `/v1/customers/{customer}/systems`: what has administrator accounts.

use claviger_api::Part;
use claviger_api::wire::{
    Discovery, MarkKnown, MarkUnknown, NewSystem, PageQuery, RevokedCertificates, System, SystemChange,
};

use crate::{Client, List, Result};

/// The systems of one customer.
pub struct Systems<'a> {
    client: &'a Client,
    path: String,
}

impl Client {
    /// The systems of one customer.
    pub fn systems(&self, customer: &Part) -> Systems<'_> {
        Systems { client: self, path: format!("/v1/customers/{customer}/systems") }
    }
}

impl Systems<'_> {
    /// Adds a system.
    pub async fn add(&self, new: &NewSystem) -> Result<System> {
        self.client.post(&self.path, new).await
    }

    /// All that the caller may see.
    pub fn list(&self) -> List<'_, System> {
        List::new(self.client, &self.path, PageQuery::default())
    }

    /// One system.
    pub async fn show(&self, system: &Part) -> Result<System> {
        self.client.get(self.at(system)).await
    }

    /// Changes a system; what is absent stays.
    pub async fn set(&self, system: &Part, change: &SystemChange) -> Result<System> {
        self.client.patch(self.at(system), change).await
    }

    /// The list of a host's certificates whose checkouts ended early, for its `RevokedKeys`.
    pub async fn revoked_certificates(&self, system: &Part) -> Result<RevokedCertificates> {
        self.client.get(format!("{}/revoked-certificates", self.at(system))).await
    }

    /// The logins that a system had when it was last looked at.
    pub async fn discovery(&self, system: &Part) -> Result<Discovery> {
        self.client.get(format!("{}/discovery", self.at(system))).await
    }

    /// Lists its logins now, by its management account.
    pub async fn discover(&self, system: &Part) -> Result<Discovery> {
        self.client.act(format!("{}/actions/discover", self.at(system))).await
    }

    /// Says why a login shall stay outside of the vault.
    pub async fn mark_known(&self, system: &Part, mark: &MarkKnown) -> Result<Discovery> {
        self.client.post(format!("{}/actions/mark-known", self.at(system)), mark).await
    }

    /// Says that nobody answers for a login any more.
    pub async fn mark_unknown(&self, system: &Part, mark: &MarkUnknown) -> Result<Discovery> {
        self.client.post(format!("{}/actions/mark-unknown", self.at(system)), mark).await
    }

    /// Removes a system that has no accounts any more.
    pub async fn remove(&self, system: &Part) -> Result<()> {
        self.client.delete(self.at(system)).await
    }

    fn at(&self, system: &Part) -> String {
        format!("{}/{system}", self.path)
    }
}
