//! `claviger audit`: what happened, and the proof that the record is whole.

use std::io::{self, Write as _, stdout};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use claviger_client::Export;
use claviger_client::api::wire::AuditQuery;
use claviger_client::api::{AccountPath, CheckoutId, Part, Timestamp};
use tempfile::NamedTempFile;

use crate::connection::Context;
use crate::failure::Failure;
use crate::output::tolerate_closed;
use crate::progress::note;
use crate::receipts;

mod verify;

use verify::Verify;

#[derive(Subcommand)]
pub enum Audit {
    /// List events, newest first
    Log(Log),
    /// The newest signed tree head, and the key that signs it
    Checkpoint(WhichLog),
    /// List where a log's oldest entries are: archives beside the store
    Archives {
        #[command(flatten)]
        log: WhichLog,
        /// The most rows
        #[arg(long, value_name = "N", default_value = "100")]
        limit: usize,
    },
    /// Write a log to a file, to be verified offline
    Export {
        #[command(flatten)]
        log: WhichLog,
        /// From this entry on, where older ones are not wanted, or in an archive that is elsewhere
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// The file, which must not exist yet; '-' for standard output
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Verify an exported log offline, without any server
    Verify(Verify),
    /// List the receipts of what you were shown, the newest first: proofs that the log says so, kept on this machine
    Receipts {
        /// The most rows
        #[arg(long, value_name = "N", default_value = "100")]
        limit: usize,
    },
}

/// A customer's log, or the operator's.
#[derive(Args)]
#[command(group = ArgGroup::new("log").required(true).args(["customer", "operator"]))]
pub struct WhichLog {
    /// This customer's log
    #[arg(long, value_name = "CUSTOMER")]
    customer: Option<Part>,
    /// The operator's log
    #[arg(long)]
    operator: bool,
}

impl WhichLog {
    /// The customer; none is the operator.
    pub fn customer(&self) -> Option<&Part> {
        self.customer.as_ref()
    }
}

#[derive(Args)]
pub struct Log {
    #[command(flatten)]
    of: WhichLog,
    /// Only this kind, e.g. checkout.revealed, or all that start with checkout.
    #[arg(long)]
    kind: Option<String>,
    /// Only of this system (its name)
    #[arg(long, value_name = "SYSTEM")]
    system: Option<Part>,
    /// Only of this account
    #[arg(long, value_name = "PATH")]
    account: Option<AccountPath>,
    /// Only by this actor (a name or id)
    #[arg(long)]
    actor: Option<String>,
    /// Only what this principal did, or what was done to it (a name or id)
    #[arg(long, value_name = "NAME")]
    principal: Option<String>,
    /// Only with this ticket
    #[arg(long)]
    ticket: Option<String>,
    /// Only with this outcome, e.g. pending
    #[arg(long)]
    outcome: Option<String>,
    /// Only with all these words, anywhere in the event
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Only of this checkout
    #[arg(long, value_name = "ID")]
    checkout: Option<CheckoutId>,
    /// Not before, e.g. 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Timestamp>,
    /// Before
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// The most rows
    #[arg(long, value_name = "N", default_value = "100")]
    limit: usize,
    /// Go on with what happens from now on, the oldest first, until interrupted; JSON is then an object a line
    #[arg(long, short, conflicts_with = "until")]
    follow: bool,
}

impl Audit {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Log(log) => log.run(context).await,
            Self::Checkpoint(log) => {
                context.output.one(&context.client()?.audit().checkpoint(log.customer.as_ref()).await?)
            }
            Self::Archives { log, limit } => {
                context.output.many(&context.client()?.audit().archives(log.customer.as_ref()).first(limit).await?)
            }
            Self::Export { log, from, to } => export(context, &log, from, &to).await,
            Self::Verify(verify) => verify.run(context),
            Self::Receipts { limit } => list_receipts(context, limit),
        }
    }
}

impl Log {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let query = AuditQuery {
            customer: self.of.customer.as_ref().map(ToString::to_string),
            kind: self.kind,
            account: self.account.as_ref().map(ToString::to_string),
            actor: self.actor,
            system: self.system.as_ref().map(ToString::to_string),
            principal: self.principal,
            ticket: self.ticket,
            outcome: self.outcome,
            text: self.text,
            checkout: self.checkout.as_ref().map(ToString::to_string),
            since: self.since,
            until: self.until,
            ..AuditQuery::default()
        };
        if self.follow {
            return follow(context, query, self.limit).await;
        }
        context.output.many(&context.client()?.audit().events(query).first(self.limit).await?)
    }
}

/// The last rows, and then what comes; the two meet without a gap.
async fn follow(context: &Context, query: AuditQuery, limit: usize) -> Result<(), Failure> {
    let client = context.client()?;
    let mut past = client.audit().events(query.clone()).first(limit).await?;
    past.reverse();
    for event in &past {
        context.output.next(event)?;
    }
    let mut following = client.audit().follow(query, past.last().map(|event| event.index));
    loop {
        context.output.next(&following.next().await?)?;
    }
}

/// The file appears when it is whole, or not at all.
async fn export(context: &Context, log: &WhichLog, from: Option<u64>, to: &Path) -> Result<(), Failure> {
    let mut export = context.client()?.audit().export(log.customer.as_ref(), from).await?;
    if to == Path::new("-") {
        while let Some(bytes) = export.chunk().await? {
            tolerate_closed(stdout().write_all(&bytes))?;
        }
        return tolerate_closed(stdout().flush());
    }
    let bytes = write_whole(&mut export, to).await?;
    context.output.done(&format!("wrote {bytes} bytes; check them: claviger audit verify {}", to.display()))
}

pub(super) async fn write_whole(export: &mut Export, to: &Path) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("{} cannot be written: {error}", to.display()));
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(failed)?; // mode 0600: a log tells much about a customer
    let mut written = 0;
    while let Some(bytes) = export.chunk().await? {
        file.write_all(&bytes).map_err(failed)?;
        written += bytes.len() as u64;
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(to).map_err(|error| failed(error.error))?;
    Ok(written)
}

fn list_receipts(context: &Context, limit: usize) -> Result<(), Failure> {
    let path = receipts::file()?;
    let mut kept = receipts::read(&path)?;
    note(&format!("{} receipts are kept in {}", kept.len(), path.display()));
    kept.reverse();
    kept.truncate(limit);
    context.output.many(&kept)
}
