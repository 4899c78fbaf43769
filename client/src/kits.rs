//! `/v1/customers/{customer}/kits`: what opens a customer's systems when there is no vault any more.

use std::time::Duration;

use claviger_api::wire::{Kit, KitState, PageQuery, WithReason};
use claviger_api::{KitId, Part};

use crate::poll::{Waited, poll};
use crate::{Client, Export, List, Result};

/// Emergency kits.
pub struct Kits<'a>(&'a Client);

impl Client {
    /// Emergency kits.
    pub fn kits(&self) -> Kits<'_> {
        Kits(self)
    }
}

impl Kits<'_> {
    /// Has a kit of a customer made, beside all else.
    pub async fn create(&self, customer: &Part) -> Result<Kit> {
        self.0.act(path(customer)).await
    }

    /// A customer's kits, the newest first.
    pub fn list(&self, customer: &Part) -> List<'_, Kit> {
        List::new(self.0, path(customer), PageQuery::default())
    }

    /// One kit.
    pub async fn show(&self, customer: &Part, id: KitId) -> Result<Kit> {
        self.0.get(format!("{}/{id}", path(customer))).await
    }

    /// Waits, for at most this long, until a kit was made, or could not be.
    pub async fn wait_for(&self, customer: &Part, id: KitId, at_most: Duration) -> Result<Kit> {
        let over = |kit: &Kit| kit.state != KitState::Asked;
        match poll(at_most, async || self.show(customer, id).await, over).await? {
            Waited::Done(kit) | Waited::TimeOver(kit) => Ok(kit),
        }
    }

    /// The file of a kit, encrypted as it is; read it piece by piece.
    pub async fn file(&self, customer: &Part, id: KitId) -> Result<Export> {
        let response = self.0.open(format!("{}/{id}/file", path(customer)), &()).await?;
        Ok(Export::new(self.0.clone(), response))
    }

    /// Says that a kit was opened: every standing secret of the customer is replaced. Said again, it is the same.
    pub async fn opened(&self, customer: &Part, id: KitId, reason: &WithReason) -> Result<Kit> {
        self.0.post(format!("{}/{id}/opened", path(customer)), reason).await
    }
}

fn path(customer: &Part) -> String {
    format!("/v1/customers/{customer}/kits")
}
