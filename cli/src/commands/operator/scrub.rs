//! `claviger operator scrub`: whether the store holds what its logs say.

use std::time::Duration;

use clap::Args;
use claviger_client::Exit;
use claviger_client::api::wire::{ScrubOutcome, ScrubResult};

use crate::cli::Format;
use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::{Progress, note};

/// The longest that a check is waited for; it goes on without anybody.
const WAIT_MOST: Duration = Duration::from_hours(24);

#[derive(Args)]
pub struct Scrub {
    /// Start none; show what the last one found
    #[arg(long)]
    last: bool,
}

impl Scrub {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let scrub = if self.last {
            client.sys().scrub().await?
        } else {
            let mut progress = Progress::new();
            progress.show("the store is being read; it goes on without you");
            let asked = client.sys().ask_for_scrub().await?;
            client.sys().wait_for_scrub(&asked, WAIT_MOST).await?
        };
        let Some(found) = scrub.last else {
            note("the first check since the vault was opened is not over yet");
            return context.output.one(&scrub);
        };
        show(context, &found)?;
        verdict(&found)
    }
}

fn show(context: &Context, found: &ScrubResult) -> Result<(), Failure> {
    if context.output.format != Format::Table {
        return context.output.one(found);
    }
    context.output.one(&ScrubResult { faults: Vec::new(), ..found.clone() })?;
    context.output.many(&found.faults)
}

/// For scripts: whether the store is as it should be.
fn verdict(found: &ScrubResult) -> Result<(), Failure> {
    let (what, help) = match found.outcome {
        ScrubOutcome::Clean => return Ok(()),
        ScrubOutcome::Differs => (
            format!("{} things in the store are not as they should be", found.faults.len() as u64 + found.more_faults),
            "keep the store as it is, find out who could write to its disk, and restore what differs from a backup",
        ),
        ScrubOutcome::Failed => ("the store could not be read to its end".to_owned(), "it is tried again by itself"),
    };
    Err(Failure::Own { exit: Exit::Failed, what, help: Some(help.to_owned()) })
}
