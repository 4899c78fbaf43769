//! `/v1/customers/{customer}/systems`: what has administrator accounts.

use claviger_api::Part;
use claviger_api::wire::{NewSystem, PageQuery, RevokedCertificates, System, SystemChange};

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

    /// Removes a system that has no accounts any more.
    pub async fn remove(&self, system: &Part) -> Result<()> {
        self.client.delete(self.at(system)).await
    }

    fn at(&self, system: &Part) -> String {
        format!("{}/{system}", self.path)
    }
}
