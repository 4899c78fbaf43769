//! `/v1/tasks`: what people are asked to do by hand.

use claviger_api::wire::{Rotation, SetSecret, ShownTask, Task, TaskQuery, TaskRefusal};
use claviger_api::{RotationId, Secret};

use crate::{Client, List, Result};

/// What people are asked to do by hand.
pub struct Tasks<'a>(&'a Client);

impl Client {
    /// What people are asked to do by hand.
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks(self)
    }
}

impl Tasks<'_> {
    /// The tasks of one customer.
    pub fn list(&self, query: TaskQuery) -> List<'_, Task, TaskQuery> {
        List::new(self.0, "/v1/tasks", query)
    }

    /// Shows the secret to set.
    pub async fn reveal(&self, id: RotationId) -> Result<ShownTask> {
        self.0.act(at(id, "reveal")).await
    }

    /// Says that it is set.
    pub async fn confirm(&self, id: RotationId) -> Result<Rotation> {
        self.0.act(at(id, "confirm")).await
    }

    /// Tells another secret that was set instead.
    pub async fn set(&self, id: RotationId, secret: Secret) -> Result<Rotation> {
        self.0.post(at(id, "set"), &SetSecret { secret: secret.disclose() }).await
    }

    /// Says that the system does not take it.
    pub async fn refuse(&self, id: RotationId, reason: &str) -> Result<Rotation> {
        self.0.post(at(id, "refuse"), &TaskRefusal { reason: reason.to_owned() }).await
    }
}

fn at(id: RotationId, verb: &str) -> String {
    format!("/v1/tasks/{id}/{verb}")
}
