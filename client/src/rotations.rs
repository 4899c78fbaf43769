//! `/v1/rotations`: the replacement of secrets on the systems themselves.

use std::time::Duration;

use claviger_api::RotationId;
use claviger_api::wire::{NewRotation, Rotation, RotationQuery, RotationStep, RotationsStarted};

use crate::poll::{Waited, poll};
use crate::{Client, List, Result};

/// The replacement of secrets.
pub struct Rotations<'a>(&'a Client);

impl Client {
    /// The replacement of secrets.
    pub fn rotations(&self) -> Rotations<'_> {
        Rotations(self)
    }
}

impl Rotations<'_> {
    /// Starts the rotation of one account, or of every free account of a customer. It goes on in the server.
    pub async fn start(&self, new: &NewRotation) -> Result<RotationsStarted> {
        self.0.post("/v1/rotations", new).await
    }

    /// The rotations of one customer.
    pub fn list(&self, query: RotationQuery) -> List<'_, Rotation, RotationQuery> {
        List::new(self.0, "/v1/rotations", query)
    }

    /// One rotation, with its progress.
    pub async fn show(&self, id: RotationId) -> Result<Rotation> {
        self.0.get(path(id)).await
    }

    /// Gives up a rotation of which no system was told yet. Nothing is erased.
    pub async fn cancel(&self, id: RotationId) -> Result<Rotation> {
        self.0.act(format!("{}/cancel", path(id))).await
    }

    /// Waits until a rotation is done, cancelled or unresolved, for at most this long, and gives it as it is then.
    /// `seen` is called at each look.
    pub async fn wait(&self, id: RotationId, at_most: Duration, mut seen: impl FnMut(&Rotation)) -> Result<Rotation> {
        let settled = |rotation: &Rotation| {
            seen(rotation);
            rotation.unresolved || matches!(rotation.step, RotationStep::Done | RotationStep::Cancelled)
        };
        match poll(at_most, async || self.show(id).await, settled).await? {
            Waited::Done(rotation) | Waited::TimeOver(rotation) => Ok(rotation),
        }
    }
}

fn path(id: RotationId) -> String {
    format!("/v1/rotations/{id}")
}
