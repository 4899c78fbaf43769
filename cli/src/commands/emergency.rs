//! `claviger rotate --customer C --all` and `claviger emergency`: every standing secret of a customer is replaced, now.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Subcommand;
use claviger_client::api::audit::VerifierKey;
use claviger_client::api::emergency::{REPORT_MAX, verify_report};
use claviger_client::api::wire::{Emergency as View, EmergencyCounts, EmergencyState, NewEmergency, WithReason};
use claviger_client::api::{EmergencyId, Part, ProblemType};
use claviger_client::{Client, Exit};

use super::audit::write_whole;
use crate::cli::Format;
use crate::connection::Context;
use crate::failure::Failure;
use crate::output::{print, word};
use crate::progress::{Progress, note};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The width of the bar.
const BAR: u64 = 30;
/// Of those that are not done, one is there at most.
const NEWEST: usize = 5;

#[derive(Subcommand)]
pub enum Emergency {
    /// List a customer's emergency rotations; 'rotate --customer C --all' starts one
    List {
        /// The customer
        customer: Part,
    },
    /// Show one, with its progress
    Show {
        /// The customer
        customer: Part,
        /// em_…
        id: EmergencyId,
    },
    /// Write what became of each account, signed, to a file
    Report {
        /// The customer
        customer: Part,
        /// em_…
        id: EmergencyId,
        /// The file, which must not exist yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Let check-outs of the customer go on before it is done; the rotation goes on
    Thaw {
        /// The customer
        customer: Part,
        /// em_…
        id: EmergencyId,
        /// Why; it is in the customer's audit log
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Verify a report offline, without any server
    Verify {
        /// The report
        file: PathBuf,
        /// The verifier key of the customer's log as you know it from elsewhere (claviger audit checkpoint)
        #[arg(long, value_name = "VKEY")]
        key: Option<VerifierKey>,
    },
}

impl Emergency {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { customer } => {
                context.output.many(&context.client()?.emergencies().list(&customer).all().await?)
            }
            Self::Show { customer, id } => {
                context.output.one(&context.client()?.emergencies().show(&customer, id).await?)
            }
            Self::Report { customer, id, to } => {
                write_report(&context.client()?, &customer, id, &to).await?;
                context.output.done(&format!("check it: claviger emergency verify {}", to.display()))
            }
            Self::Thaw { customer, id, reason } => {
                let reason = WithReason { reason };
                context.output.one(&context.client()?.emergencies().thaw(&customer, id, &reason).await?)
            }
            Self::Verify { file, key } => verify(context, &file, key.as_ref()),
        }
    }
}

/// What `rotate --customer C --all` was told.
pub struct Wanted {
    pub customer: Part,
    pub reason: Option<String>,
    pub report: Option<PathBuf>,
    pub dry_run: bool,
}

impl Wanted {
    /// Starts it, or takes up one that is under way, and watches it to its end.
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        if self.dry_run {
            return plan(context, &client, &self.customer).await;
        }
        let reason = self.reason.ok_or_else(|| {
            Failure::usage("an emergency rotation freezes the customer and wants a reason", "add --reason TEXT")
        })?;
        let started = match client.emergencies().start(&self.customer, &NewEmergency { reason }).await {
            Err(error) if error.problem_type() == Some(ProblemType::InUse) => {
                let newest = client.emergencies().list(&self.customer).first(NEWEST).await?;
                let open = newest.into_iter().find(|one| one.state != EmergencyState::Done);
                let under_way = open.ok_or(error)?;
                note(&format!("{} is under way already; watching it", under_way.id));
                under_way
            }
            started => started?,
        };
        let done = watch(context, &client, started).await?;
        if let Some(to) = &self.report {
            write_report(&client, &self.customer, done.id, to).await?;
            note(&format!("the signed report is in {}: claviger emergency verify {0}", to.display()));
        }
        if context.output.format != Format::Json {
            context.output.one(&done)?;
        }
        all_rotated(&done)
    }
}

async fn plan(context: &Context, client: &Client, customer: &Part) -> Result<(), Failure> {
    let plan = client.emergencies().plan(customer).await?;
    if context.output.format == Format::Json {
        return context.output.one(&plan);
    }
    context.output.many(&plan.steps)?;
    note(&format!(
        "{} checkouts would be ended and {} accounts gone through, {} at once, {} at once on a system; nothing was changed",
        plan.checkouts,
        plan.steps.len(),
        plan.at_once,
        plan.at_once_per_system
    ));
    Ok(())
}

/// A bar on a terminal; a line of JSON at each change in a pipe.
async fn watch(context: &Context, client: &Client, mut now: View) -> Result<View, Failure> {
    let mut progress = Progress::new();
    let mut told: Option<(EmergencyState, EmergencyCounts)> = None;
    loop {
        let state = (now.state, now.counts);
        match context.output.format {
            Format::Json if told != Some(state) => print(&json_line(&now)?)?,
            Format::Json | Format::Csv | Format::Table => progress.show(&bar(&now)),
        }
        told = Some(state);
        if now.state == EmergencyState::Done {
            return Ok(now);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        now = client.emergencies().show(&now.customer, now.id).await?;
    }
}

fn json_line(view: &View) -> Result<String, Failure> {
    let text = serde_json::to_string(view);
    text.map(|text| text + "\n").map_err(|error| Failure::failed(format!("cannot write the progress as JSON: {error}")))
}

fn bar(view: &View) -> String {
    let EmergencyCounts { accounts, waiting, rotating, rotated, old_not_refused, unresolved, skipped } = view.counts;
    let done = accounts - waiting - rotating;
    let filled = (done * BAR).checked_div(accounts).unwrap_or(BAR);
    let bar: String = (0..BAR).map(|at| if at < filled { '#' } else { '-' }).collect();
    let words = [
        (rotated, "rotated"),
        (old_not_refused, "old not refused yet"),
        (unresolved, "unresolved"),
        (skipped, "passed over"),
    ];
    let words: Vec<String> =
        words.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    format!("{} [{bar}] {done} of {accounts}: {}", word(&view.state), words.join(", "))
}

async fn write_report(client: &Client, customer: &Part, id: EmergencyId, to: &Path) -> Result<(), Failure> {
    write_whole(&mut client.emergencies().report(customer, id).await?, to).await.map(drop)
}

/// For scripts: whether each account is rotated, and its old secret refused.
fn all_rotated(done: &View) -> Result<(), Failure> {
    let EmergencyCounts { accounts, old_not_refused, unresolved, .. } = done.counts;
    if old_not_refused + unresolved == 0 {
        return Ok(());
    }
    Err(Failure::Own {
        exit: Exit::Failed,
        what: format!(
            "of {accounts} accounts {unresolved} are unresolved, and of {old_not_refused} the old secret is not refused yet"
        ),
        help: Some(format!(
            "nothing is lost, and the vault goes on: claviger emergency report {} {} --to FILE says which and why",
            done.customer, done.id
        )),
    })
}

fn verify(context: &Context, path: &Path, key: Option<&VerifierKey>) -> Result<(), Failure> {
    let unreadable =
        |what: String| Failure::usage(format!("{} cannot be read: {what}", path.display()), "name a report");
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > REPORT_MAX as u64 {
        return Err(unreadable("longer than any report is".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let verified = verify_report(&text, key).map_err(|error| Failure::Own {
        exit: Exit::Failed,
        what: format!("NOT VERIFIED: {error}"),
        help: Some("keep the file as it is, and get the report again: claviger emergency report".to_owned()),
    })?;
    if !verified.key_was_given {
        note("warning: verified by the key that the report brings; name the one you know with --key");
    }
    context.output.one(&verified)?;
    if context.output.format == Format::Table && std::io::stdout().is_terminal() {
        context.output.many(&verified.lines)?;
    }
    Ok(())
}
