//! `claviger operator restore`: a vault that was restored from a backup is compared with the world, and resumed.

use std::time::Duration;

use clap::{Args, Subcommand};
use claviger_client::Exit;
use claviger_client::api::wire::{Compared, RestoreStatus, Restored, Resume as Request};

use crate::cli::Format;
use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::{Progress, note};

/// The longest that a comparison is waited for; it goes on without anybody.
const WAIT_MOST: Duration = Duration::from_hours(24);

#[derive(Subcommand)]
pub enum Restore {
    /// Whether the vault was restored and acts on no system yet, and what comparing it has shown
    Status,
    /// Try each stored secret once, to see which were changed after the backup
    Compare,
    /// Let the vault act again: what fell due meanwhile is done first
    Resume(Resume),
}

#[derive(Args)]
pub struct Resume {
    /// Why it may act again, for the operator's audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Resume a vault that was not compared
    #[arg(long)]
    uncompared: bool,
}

impl Restore {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        match self {
            Self::Status => show(context, &client.sys().restored().await?),
            Self::Compare => {
                let mut progress = Progress::new();
                progress.show("each stored secret is tried once; it goes on without you");
                client.sys().compare_restored().await?;
                let status = client.sys().wait_for_comparison(WAIT_MOST).await?;
                drop(progress);
                let compared = status.restored.as_ref().and_then(|restored| restored.compared.clone());
                show(context, &status)?;
                compared.as_ref().map_or(Ok(()), verdict)
            }
            Self::Resume(Resume { reason, uncompared }) => {
                client.sys().resume_restored(&Request { reason, uncompared }).await?;
                context.output.done("the vault acts again; what fell due meanwhile is done first")
            }
        }
    }
}

fn show(context: &Context, status: &RestoreStatus) -> Result<(), Failure> {
    let Some(Restored { compared: Some(compared), .. }) =
        status.restored.as_ref().filter(|_| context.output.format == Format::Table)
    else {
        return context.output.one(status);
    };
    let differing = compared.differing.clone();
    let brief = status.restored.clone().map(|restored| Restored {
        compared: restored.compared.map(|compared| Compared { differing: Vec::new(), ..compared }),
        ..restored
    });
    context.output.one(&RestoreStatus { restored: brief })?;
    if differing.is_empty() { Ok(()) } else { context.output.many(&differing) }
}

/// For scripts: whether every account opens with what is stored.
fn verdict(compared: &Compared) -> Result<(), Failure> {
    let counts = compared.counts;
    if counts.accepted == counts.accounts {
        note("Every account opens with what is stored. Next: claviger operator restore resume --reason TEXT");
        return Ok(());
    }
    let what = format!("{} of {} accounts open with what is stored", counts.accepted, counts.accounts);
    let help = "resume the vault, then rotate those that are refused: their system's management account sets a new secret; \
                where there is none, set the secret by hand ('claviger account set-secret')";
    Err(Failure::Own { exit: Exit::Failed, what, help: Some(help.to_owned()) })
}
