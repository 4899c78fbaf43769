//! `claviger audit`: what happened, and the proof that the record is whole.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _, stdout};
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use claviger_client::api::audit::export::LINE_MAX;
use claviger_client::api::audit::{VerifierKey, verify_export};
use claviger_client::api::wire::AuditQuery;
use claviger_client::api::{AccountPath, CheckoutId, Part, Timestamp};
use claviger_client::{Exit, Export};
use tempfile::NamedTempFile;

use crate::connection::Context;
use crate::failure::Failure;
use crate::output::tolerate_closed;
use crate::progress::note;

#[derive(Subcommand)]
pub enum Audit {
    /// List events, newest first
    Log(Log),
    /// The newest signed tree head, and the key that signs it
    Checkpoint(WhichLog),
    /// Write a whole log to a file, to be verified offline
    Export {
        #[command(flatten)]
        log: WhichLog,
        /// The file, which must not exist yet; '-' for standard output
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Verify an exported log offline, without any server
    Verify {
        /// The exported file
        file: PathBuf,
        /// The log's verifier key as you know it from elsewhere (claviger audit checkpoint, kept from before)
        #[arg(long, value_name = "VKEY")]
        key: Option<VerifierKey>,
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

#[derive(Args)]
pub struct Log {
    #[command(flatten)]
    of: WhichLog,
    /// Only this kind, e.g. checkout.revealed, or all that start with checkout.
    #[arg(long)]
    kind: Option<String>,
    /// Only of this account
    #[arg(long, value_name = "PATH")]
    account: Option<AccountPath>,
    /// Only by this actor (a name or id)
    #[arg(long)]
    actor: Option<String>,
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
}

impl Audit {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Log(log) => log.run(context).await,
            Self::Checkpoint(log) => {
                context.output.one(&context.client()?.audit().checkpoint(log.customer.as_ref()).await?)
            }
            Self::Export { log, to } => export(context, &log, &to).await,
            Self::Verify { file, key } => verify(context, &file, key.as_ref()),
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
            checkout: self.checkout.as_ref().map(ToString::to_string),
            since: self.since,
            until: self.until,
            ..AuditQuery::default()
        };
        context.output.many(&context.client()?.audit().events(query).first(self.limit).await?)
    }
}

/// The file appears when it is whole, or not at all.
async fn export(context: &Context, log: &WhichLog, to: &Path) -> Result<(), Failure> {
    let mut export = context.client()?.audit().export(log.customer.as_ref()).await?;
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

fn verify(context: &Context, path: &Path, key: Option<&VerifierKey>) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| {
        Failure::usage(format!("{} cannot be read: {error}", path.display()), "name an exported log")
    })?;
    let report = verify_export(lines(BufReader::new(file)), key).map_err(|error| Failure::Own {
        exit: Exit::Failed,
        what: format!("NOT VERIFIED: {error}"),
        help: Some(
            "keep the file as it is, and export the log again; if that fails too, the record was changed".to_owned(),
        ),
    })?;
    for warning in report.warnings() {
        note(&format!("warning: {warning}"));
    }
    context.output.one(&report)?;
    let Some(fault) = report.completeness.iter().flat_map(|sum| &sum.faults).next() else { return Ok(()) };
    Err(Failure::Own {
        exit: Exit::Failed,
        what: format!("NOT COMPLETE: {} at entry {}: {}", fault.about, fault.index, fault.what),
        help: Some("the file is what was logged, and the log leaves something out; ask who runs the vault".to_owned()),
    })
}

/// The lines of a file. A longer one than an export has is cut, and the verifier refuses it by its length.
fn lines(mut file: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    std::iter::from_fn(move || {
        let mut line = String::new();
        match file.by_ref().take(LINE_MAX as u64 + 2).read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Some(Err(error)),
        }
    })
}
