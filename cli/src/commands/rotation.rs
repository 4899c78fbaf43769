//! `claviger rotate`, `rotations` and `rotation`: the replacement of secrets on the systems themselves.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use claviger_client::api::wire::{
    NewRotation, Rotation as RotationView, RotationQuery, RotationStep, RotationsStarted,
};
use claviger_client::api::{AccountPath, Part, RotationId};
use claviger_client::{Client, Exit};

use super::emergency::Wanted;
use crate::cli::Format;
use crate::connection::Context;
use crate::duration::Seconds;
use crate::failure::Failure;
use crate::output::word;
use crate::progress::{Progress, note};

#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["path", "customer", "exposed_to"]))]
pub struct Rotate {
    /// customer/system/account
    #[arg(conflicts_with_all = ["customer", "exposed_to"])]
    path: Option<AccountPath>,
    /// Every standing account of this customer that nobody holds
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<Part>,
    /// Every account whose secret this user or service account has seen and that was not rotated since: a name, of one that
    /// was removed too, or pr_…; with --customer only that customer's
    #[arg(long, value_name = "NAME")]
    exposed_to: Option<String>,
    /// With --customer, in an emergency: freeze new check-outs, end the running ones, and replace every standing secret, tier
    /// by tier; goes on in the server, and takes up one that is under way
    #[arg(long, requires = "customer", conflicts_with_all = ["path", "exposed_to", "wait"])]
    all: bool,
    /// Only show what --all would do
    #[arg(long, requires = "all")]
    dry_run: bool,
    /// Write the signed report of --all to this file, which must not exist yet
    #[arg(long, value_name = "FILE", requires = "all", conflicts_with = "dry_run")]
    report: Option<PathBuf>,
    /// Why; it is in the customer's audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Wait until it is done and the old secret proven dead; 10m by default
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    wait: Option<Seconds>,
}

#[derive(Args)]
pub struct Rotations {
    /// The customer
    #[arg(long, value_name = "CUSTOMER")]
    customer: Part,
    /// Only those not done
    #[arg(long)]
    unfinished: bool,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
}

#[derive(Subcommand)]
pub enum Rotation {
    /// Show one rotation, with its progress and candidates
    Show {
        /// ro_…
        id: RotationId,
    },
    /// Give up a rotation of which no system was told yet; nothing is erased
    Cancel {
        /// ro_…
        id: RotationId,
    },
}

impl Rotate {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if let (true, Some(customer)) = (self.all, self.customer.clone()) {
            let Self { reason, report, dry_run, .. } = self;
            return Wanted { customer, reason, report, dry_run }.run(context).await;
        }
        let client = context.client()?;
        let new = NewRotation {
            account: self.path,
            customer: self.customer,
            exposed_to: self.exposed_to,
            reason: self.reason,
        };
        let mut started = client.rotations().start(&new).await?;
        if let Some(at_most) = self.wait {
            started.rotations = wait(&client, &started.rotations, at_most).await?;
        }
        show(context, &started)?;
        if self.wait.is_some() { all_done(&started.rotations) } else { Ok(()) }
    }
}

impl Rotations {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let query = RotationQuery {
            customer: self.customer.to_string(),
            unfinished: self.unfinished,
            ..RotationQuery::default()
        };
        context.output.many(&context.client()?.rotations().list(query).first(self.limit).await?)
    }
}

impl Rotation {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        context.output.one(&match self {
            Self::Show { id } => client.rotations().show(id).await?,
            Self::Cancel { id } => client.rotations().cancel(id).await?,
        })
    }
}

/// The rotations as they are when they are settled, or when the time is over.
async fn wait(client: &Client, started: &[RotationView], at_most: Seconds) -> Result<Vec<RotationView>, Failure> {
    let mut progress = Progress::new();
    let mut settled = Vec::with_capacity(started.len());
    let all = started.len();
    let end = tokio::time::Instant::now() + at_most.duration();
    for (number, rotation) in started.iter().enumerate() {
        let left = end.saturating_duration_since(tokio::time::Instant::now());
        let show = |now: &RotationView| {
            progress.show(&format!("{} of {all}: {}: {}", number + 1, now.account, word(&now.step)));
        };
        settled.push(client.rotations().wait(rotation.id, left, show).await?);
    }
    Ok(settled)
}

fn show(context: &Context, started: &RotationsStarted) -> Result<(), Failure> {
    if context.output.format == Format::Json {
        return context.output.one(started);
    }
    context.output.many(&started.rotations)?;
    for skipped in &started.skipped {
        note(&format!("skipped {}: {}", skipped.account, skipped.why));
    }
    Ok(())
}

/// For scripts: whether everything that was waited for is done.
fn all_done(rotations: &[RotationView]) -> Result<(), Failure> {
    let open = rotations.iter().filter(|rotation| rotation.step != RotationStep::Done).count();
    if open == 0 {
        return Ok(());
    }
    Err(Failure::Own {
        exit: Exit::Failed,
        what: format!("{open} of {} rotations are not done", rotations.len()),
        help: Some(
            "nothing is lost, and the vault goes on: claviger rotation show ID says what it waits for".to_owned(),
        ),
    })
}
