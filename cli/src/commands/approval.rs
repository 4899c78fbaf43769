//! `claviger approve`, `deny`, `approvals`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use claviger_client::Client;
use claviger_client::api::CheckoutId;
use claviger_client::api::wire::{Checkout, WithComment};

use super::taking::ended_by;
use crate::connection::Context;
use crate::failure::Failure;
use crate::signals::Signals;

/// Between two looks for new requests.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Which request, and what to say.
#[derive(Args)]
pub struct Decision {
    /// co_…
    id: CheckoutId,
    /// Why; whoever asked sees it, and it is in the customer's audit log
    #[arg(long, value_name = "TEXT")]
    comment: String,
}

#[derive(Args)]
pub struct Approvals {
    /// Go on, and show each new request once
    #[arg(long)]
    follow: bool,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
}

impl Decision {
    pub async fn approve(self, context: &Context) -> Result<(), Failure> {
        let request = WithComment { comment: self.comment };
        context.output.one(&context.client()?.checkouts().approve(self.id, &request).await?)
    }

    pub async fn deny(self, context: &Context) -> Result<(), Failure> {
        let request = WithComment { comment: self.comment };
        context.output.one(&context.client()?.checkouts().deny(self.id, &request).await?)
    }
}

impl Approvals {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client: Client = context.client()?;
        let look = async || client.checkouts().awaiting_approval().first(self.limit).await;
        let waiting: Vec<Checkout> = look().await?;
        context.output.many(&waiting)?;
        if !self.follow {
            return Ok(());
        }
        let mut signals =
            Signals::listen().map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))?;
        let mut shown: BTreeSet<CheckoutId> = waiting.iter().map(|checkout| checkout.id).collect();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                signal = signals.next() => return Err(ended_by(signal)),
            }
            for checkout in look().await? {
                if shown.insert(checkout.id) {
                    context.output.one(&checkout)?;
                }
            }
        }
    }
}
