//! `claviger operator restore`: a vault that was restored from a backup is compared with the world, and resumed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use claviger_client::Exit;
use claviger_client::api::wire::{
    Compared, RECOVERED_AT_ONCE, RecoverSecret, RecoverSecrets, RecoveredAs, RestoreStatus, Restored, Resume as Request,
};
use zeroize::Zeroizing;

use crate::cli::Format;
use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::{Progress, note};

/// The longest that a comparison is waited for; it goes on without anybody.
const WAIT_MOST: Duration = Duration::from_hours(24);

/// What stands for standard input.
const STANDARD_INPUT: &str = "-";

#[derive(Subcommand)]
pub enum Restore {
    /// Whether the vault was restored and acts on no system yet, and what comparing it has shown
    Status,
    /// Try each stored secret once, to see which were changed after the backup
    Compare,
    /// Add secrets that came after the backup, as 'claviger-server open-escrow' writes them
    AddSecrets {
        /// A file of one JSON object a line; - for standard input
        file: PathBuf,
    },
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
            Self::AddSecrets { file } => add_secrets(context, &file).await,
            Self::Resume(Resume { reason, uncompared }) => {
                client.sys().resume_restored(&Request { reason, uncompared }).await?;
                context.output.done("the vault acts again; what fell due meanwhile is done first")
            }
        }
    }
}

/// Given in small parts, each of which may be given again: what is there already stays as it is.
async fn add_secrets(context: &Context, file: &Path) -> Result<(), Failure> {
    let unreadable = |why: String| {
        let help = "it is what 'claviger-server open-escrow FILE… --identity KEY' writes: a JSON object a line";
        Failure::usage(format!("{} cannot be read: {why}", file.display()), help)
    };
    let text = if file == Path::new(STANDARD_INPUT) {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = Zeroizing::new(text.map_err(|error| unreadable(error.to_string()))?);
    let mut secrets: Vec<RecoverSecret> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let read = serde_json::from_str(line);
        secrets.push(read.map_err(|error| unreadable(format!("line {number}: {error}")))?);
    }
    let (all, mut done) = (secrets.len(), Vec::new());
    let client = context.client()?;
    let mut progress = Progress::new();
    while !secrets.is_empty() {
        let some = secrets.drain(..secrets.len().min(RECOVERED_AT_ONCE)).collect();
        done.extend(client.sys().recover_secrets(&RecoverSecrets { secrets: some }).await?.secrets);
        progress.show(&format!("{} of {all} secrets", done.len()));
    }
    drop(progress);
    let nowhere = done.iter().filter(|secret| secret.outcome == RecoveredAs::NoAccount).count();
    done.retain(|secret| secret.outcome != RecoveredAs::Known);
    context.output.many(&done)?;
    note(&format!("{all} secrets were given, {} of them new.", done.len()));
    if nowhere == 0 {
        note("Next: claviger operator restore resume --reason TEXT; each account then finds out what opens it");
        return Ok(());
    }
    let what = format!("{nowhere} secrets belong to no account of this vault");
    let help = "add those systems and accounts again, and set what 'claviger-server open-escrow … --account' shows";
    Err(Failure::Own { exit: Exit::Failed, what, help: Some(help.to_owned()) })
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
