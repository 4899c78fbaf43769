//! `claviger operator rotate-key`: another key for one customer.

use std::time::Duration;

use clap::Args;
use claviger_client::Exit;
use claviger_client::api::Part;
use claviger_client::api::wire::{KeyRotation, KeyRotationState};

use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::Progress;

/// The longest that it is waited for; it goes on without anybody.
const WAIT_MOST: Duration = Duration::from_hours(24);

#[derive(Args)]
pub struct RotateKey {
    /// The customer
    #[arg(long, value_name = "CUSTOMER")]
    customer: Part,
    /// Start none; show how far it is, or when the last one ended
    #[arg(long, conflicts_with = "wait")]
    show: bool,
    /// Wait until the old key is destroyed
    #[arg(long)]
    wait: bool,
}

impl RotateKey {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        if self.show {
            let status = client.sys().key_rotation(&self.customer).await?;
            return match &status.key_rotation {
                Some(rotation) => context.output.one(rotation),
                None => context.output.done("the customer has the key that it began with"),
            };
        }
        let begun = client.sys().rotate_customer_key(&self.customer).await?;
        if !self.wait {
            return context.output.one(&begun);
        }
        let mut progress = Progress::new();
        let seen = |rotation: &KeyRotation| progress.show(&in_words(rotation));
        let status = client.sys().wait_for_key_rotation(&self.customer, WAIT_MOST, seen).await?;
        let rotation = status.key_rotation.unwrap_or(begun);
        context.output.one(&rotation)?;
        if rotation.state == KeyRotationState::Ended {
            return Ok(());
        }
        Err(Failure::Own {
            exit: Exit::Failed,
            what: "the old key is not destroyed yet".to_owned(),
            help: Some(format!(
                "it goes on without you: claviger operator rotate-key --customer {} --show",
                self.customer
            )),
        })
    }
}

fn in_words(rotation: &KeyRotation) -> String {
    let KeyRotation { rows, rows_done, .. } = rotation;
    match rotation.state {
        KeyRotationState::Spreading => "the new key is stored, and every server takes it in".to_owned(),
        KeyRotationState::Counting => "rows are counted".to_owned(),
        KeyRotationState::Resealing => format!("{rows_done} of {rows} rows are under the new key"),
        KeyRotationState::Proving => format!("all {rows} rows are looked at once more before the old key goes"),
        KeyRotationState::Ended => "the old key is destroyed".to_owned(),
    }
}
