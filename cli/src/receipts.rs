//! Receipts: the proofs that what this person was shown is in the customer's log, kept where nobody else writes.
//!
//! `$XDG_STATE_HOME/claviger/receipts.jsonl` has a line a reveal, `log-keys` the key of each log as it was seen first. Neither
//! holds a secret. A receipt that cannot be kept, or does not hold, is said on standard error and stops nobody: the secret is
//! on its way, and an outage does not wait.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use claviger_client::api::audit::{Receipt, VerifierKey};
use claviger_client::api::wire::LogReceipt;
use claviger_client::api::{AccountPath, CheckoutId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cli::Format;
use crate::clock;
use crate::connection::Context;
use crate::failure::Failure;
use crate::output::{Row, seconds};
use crate::progress::note;
use crate::session::SessionFile;

/// A receipt, and what it is of.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    /// When it came.
    pub received_at: Timestamp,
    /// The account whose secret was shown.
    pub account: AccountPath,
    /// Under which checkout; none where a person was shown what to set by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<CheckoutId>,
    /// C2SP tlog-proof.
    pub proof: String,
}

impl Kept {
    /// The receipt in it.
    pub fn receipt(&self) -> Option<Receipt> {
        self.proof.parse().ok()
    }

    /// The log that it is of.
    pub fn origin(&self) -> Option<String> {
        self.receipt()?.checkpoint.lines().next().map(str::to_owned)
    }
}

impl Row for Kept {
    const HEADS: &'static [&'static str] = &["received", "account", "checkout", "log", "entry"];

    fn cells(&self) -> Vec<String> {
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            seconds(self.received_at),
            self.account.to_string(),
            dash(self.checkout.map(|id| id.to_string())),
            dash(self.origin()),
            dash(self.receipt().map(|receipt| receipt.index.to_string())),
        ]
    }
}

/// Keeps the receipt of what was just shown, after a look whether it holds. People are not shown it.
pub fn keep(context: &Context, account: &AccountPath, checkout: Option<CheckoutId>, shown: &mut Option<LogReceipt>) {
    let Some(receipt) = shown else {
        return note("warning: the server gave no receipt of this reveal");
    };
    let kept = Kept { received_at: clock::now(), account: account.clone(), checkout, proof: receipt.proof.clone() };
    match SessionFile::folder() {
        Ok(folder) => {
            if let Err(why) = checked(&folder, receipt) {
                note(&format!(
                    "warning: the receipt of this reveal does not hold: {why}; tell whoever audits the vault"
                ));
            }
            if let Err(error) = append(&folder, &kept) {
                note(&format!("warning: the receipt of this reveal could not be kept: {error}"));
            }
        }
        Err(_) => note("warning: there is no place to keep receipts: set HOME or XDG_STATE_HOME"),
    }
    if context.output.format != Format::Json {
        *shown = None;
    }
}

/// Where receipts are kept.
pub fn file() -> Result<PathBuf, Failure> {
    Ok(SessionFile::folder()?.join("receipts.jsonl"))
}

/// The receipts in a file, the oldest first; none where there is no file.
pub fn read(path: &Path) -> Result<Vec<Kept>, Failure> {
    let unreadable = |why: String| Failure::failed(format!("{} cannot be read: {why}", path.display()));
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(|error| unreadable(error.to_string()))?,
    };
    let mut kept = Vec::new();
    for (line, text) in BufReader::new(file).lines().enumerate() {
        let text = text.map_err(|error| unreadable(error.to_string()))?;
        // A line that was cut short by a full disk is nobody's receipt.
        match serde_json::from_str(&text) {
            Ok(receipt) => kept.push(receipt),
            Err(_) => note(&format!("warning: line {} of {} is no receipt", line + 1, path.display())),
        }
    }
    Ok(kept)
}

/// Whether a receipt holds, by the key that this log had when it was seen first.
fn checked(folder: &Path, receipt: &LogReceipt) -> Result<(), String> {
    let key: VerifierKey = receipt.verifier_key.parse().map_err(|_| "its key is none".to_owned())?;
    let parsed: Receipt =
        receipt.proof.parse().map_err(|error: claviger_client::api::audit::BadReceipt| error.to_string())?;
    parsed.verify(&key).map_err(|error| error.to_string())?;
    let path = folder.join("log-keys");
    let known = fs::read_to_string(&path).unwrap_or_default();
    match known.lines().filter_map(|line| line.parse::<VerifierKey>().ok()).find(|known| known.name() == key.name()) {
        Some(known) if known != key => {
            Err(format!("the log {} has another key than it had ({})", key.name(), path.display()))
        }
        Some(_) => Ok(()),
        None => write_line(folder, "log-keys", &key.to_string()).map_err(|error| error.to_string()),
    }
}

fn append(folder: &Path, kept: &Kept) -> io::Result<()> {
    write_line(folder, "receipts.jsonl", &serde_json::to_string(kept)?)
}

/// Adds a line to a file of mine, in one write: commands beside each other do not mix.
fn write_line(folder: &Path, name: &str, line: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(name))?;
    file.write_all(format!("{line}\n").as_bytes())
}
