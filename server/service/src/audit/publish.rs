//! The operator log holds the customers' checkpoints: one log vouches for all.

use std::collections::HashMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::{Scope, Timestamp};

use crate::error::Result;
use crate::open::Open;

/// Who publishes.
const ACTOR: &str = "system/checkpoints";

/// How far checkpoints have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// When the head of each log that had grown was last in the operator log; nothing before the first time.
    pub at: Option<Timestamp>,
    /// Anchors that could not be written the last time.
    pub anchors_failing: u64,
}

impl Open {
    /// How far checkpoints have come since the unseal.
    pub fn published(&self) -> Published {
        *self.published.lock()
    }

    /// Writes the head of each customer's log that has grown since into the operator log, and that log's to the anchors.
    pub(crate) async fn publish_checkpoints(&self, published: &mut HashMap<Scope, u64>) -> Result<()> {
        // One node says it for all; each keeps anchors of its own.
        let customers = if self.nodes.keep("checkpoints").await { self.keyring().customers() } else { Vec::new() };
        for customer in customers {
            let scope = Scope::Customer(customer);
            let checkpoint = self.checkpoint_of(scope, &self.head(scope).await?);
            if checkpoint.size == 0 || published.get(&scope) == Some(&checkpoint.size) {
                continue;
            }
            let event = self
                .automatic(Scope::Operator, EventKind::LogCheckpoint, ACTOR)
                .with(FieldName::Log, &checkpoint.origin)
                .with(FieldName::LogSize, checkpoint.size)
                .with(FieldName::LogRoot, checkpoint.root);
            self.commit(self.change(event)).await?;
            published.insert(scope, checkpoint.size);
        }
        let size = self.head(Scope::Operator).await?.frontier.size();
        if published.insert(Scope::Operator, size) != Some(size) {
            self.write_anchors().await?;
        }
        self.published.lock().at = Some(self.now());
        Ok(())
    }
}
