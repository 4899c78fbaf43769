//! `/v1/customers/{customer}/emergencies`: every standing secret of a customer is replaced, now.

use claviger_api::wire::{Emergency, EmergencyPlan, NewEmergency, PageQuery, WithReason};
use claviger_api::{EmergencyId, Part};

use crate::{Client, Export, List, Result};

/// Emergency rotations.
pub struct Emergencies<'a>(&'a Client);

impl Client {
    /// Emergency rotations.
    pub fn emergencies(&self) -> Emergencies<'_> {
        Emergencies(self)
    }
}

impl Emergencies<'_> {
    /// Freezes a customer's check-outs, ends the running ones, and replaces every standing secret. It goes on in the
    /// server, whatever becomes of the caller.
    pub async fn start(&self, customer: &Part, new: &NewEmergency) -> Result<Emergency> {
        self.0.post(path(customer), new).await
    }

    /// What it would do now. Nothing is changed.
    pub async fn plan(&self, customer: &Part) -> Result<EmergencyPlan> {
        self.0.get(format!("/v1/customers/{customer}/emergency-plan")).await
    }

    /// A customer's, the newest first.
    pub fn list(&self, customer: &Part) -> List<'_, Emergency> {
        List::new(self.0, path(customer), PageQuery::default())
    }

    /// One, with its progress.
    pub async fn show(&self, customer: &Part, id: EmergencyId) -> Result<Emergency> {
        self.0.get(format!("{}/{id}", path(customer))).await
    }

    /// What became of each account, as JSON Lines, for [`claviger_api::emergency::verify_report`]; read it piece by piece.
    pub async fn report(&self, customer: &Part, id: EmergencyId) -> Result<Export> {
        let response = self.0.open(format!("{}/{id}/report", path(customer)), &()).await?;
        Ok(Export::new(self.0.clone(), response))
    }

    /// Lets check-outs go on before it is done. The rotation goes on.
    pub async fn thaw(&self, customer: &Part, id: EmergencyId, reason: &WithReason) -> Result<Emergency> {
        self.0.post(format!("{}/{id}/thaw", path(customer)), reason).await
    }
}

fn path(customer: &Part) -> String {
    format!("/v1/customers/{customer}/emergencies")
}
