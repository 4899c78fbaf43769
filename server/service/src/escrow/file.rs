//! A file of the escrow stream: `docs/formats.md`, "Escrow stream".
//!
//! The first line says in clear what it is, and of which vault. Each further line is an age file of its own in Base64, so that what was
//! appended opens without what follows, and with nothing but the standard tools:
//! `sed -n 2p FILE | base64 -d | age --decrypt -i KEY`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::{AccountId, AccountPath, CustomerId, Login, Secret, Timestamp};
use claviger_core::secrets::Version;
use claviger_crypto::recipients::{Identities, Reading, Recipient, Unreadable, Writing};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Elsewhere, Entry};

/// The version of the format.
const FORMAT: u32 = 1;
/// An entry is as long as a multiple of so many bytes, so that its length tells little of the secret's.
const PADDED_TO: usize = 512;
/// The longest line: a secret, what is said of it, and what encryption adds.
const LINE_MOST: u64 = 1 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    claviger_escrow: u32,
    vault: Uuid,
}

#[derive(Serialize)]
struct Written<'a> {
    vault: Uuid,
    run: Uuid,
    number: u64,
    at: Timestamp,
    customer: CustomerId,
    account: AccountId,
    path: &'a AccountPath,
    login: &'a Login,
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

/// An entry, as it is read. Fields that a later version adds are passed over.
#[derive(Deserialize)]
pub struct Opened {
    /// The vault that wrote it.
    pub vault: Uuid,
    /// The run of a server.
    pub run: Uuid,
    /// Its number in that run, from 1.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// The customer.
    pub customer: CustomerId,
    /// The account.
    pub account: AccountId,
    /// What it was called.
    pub path: AccountPath,
    /// What it logs in by.
    pub login: Login,
    /// Which of its versions.
    pub version: Version,
    /// The secret; `None` for the news that this version opens the account.
    #[serde(default)]
    pub secret: Option<Secret>,
}

/// The entries of one run of a server.
pub(super) struct Run {
    recipients: Vec<Recipient>,
    id: Uuid,
    /// How many are known to be there.
    appended: u64,
}

impl Run {
    pub fn new(recipients: Vec<Recipient>, id: Uuid) -> Self {
        Self { recipients, id, appended: 0 }
    }

    /// Appends entries. Where that fails, some may be there all the same: the next ones have their numbers then too.
    pub fn append<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
        elsewhere: &mut dyn Elsewhere,
    ) -> io::Result<()> {
        let (mut lines, mut number, mut vault) = (Vec::new(), self.appended, None);
        for entry in entries {
            number += 1;
            vault = Some(entry.vault);
            lines.extend(self.line(entry, number)?);
        }
        let Some(vault) = vault else { return Ok(()) };
        let mut head = serde_json::to_vec(&Head { claviger_escrow: FORMAT, vault })?;
        head.push(b'\n');
        elsewhere.append(&head, &lines)?;
        self.appended = number;
        Ok(())
    }

    fn line(&self, entry: &Entry, number: u64) -> io::Result<Vec<u8>> {
        let Entry { vault, customer, account, path, login, at, version, secret } = entry;
        let written = Written {
            vault: *vault,
            run: self.id,
            number,
            at: *at,
            customer: *customer,
            account: *account,
            path,
            login,
            version: *version,
            secret: secret.as_ref().map(Secret::expose),
        };
        let mut text = Zeroizing::new(Vec::new());
        serde_json::to_writer(&mut *text, &written)?;
        let padded = text.len().next_multiple_of(PADDED_TO);
        text.resize(padded, b' ');
        let mut writing = Writing::begin(&self.recipients, Vec::new())?;
        writing.write_all(&text)?;
        let mut line = STANDARD.encode(writing.finish()?).into_bytes();
        line.push(b'\n');
        Ok(line)
    }
}

/// What several files of a stream hold, and what they do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were opened.
    pub entries: u64,
    /// The vaults that wrote them.
    pub vaults: BTreeSet<Uuid>,
    /// The time of the oldest and the newest.
    pub from_to: Option<(Timestamp, Timestamp)>,
    /// What is not as it should be, in words.
    pub faults: Vec<String>,
}

/// Reads files of a stream one after the other.
#[derive(Default)]
pub struct Files {
    summary: Summary,
    numbers: BTreeMap<Uuid, BTreeSet<u64>>,
}

impl Files {
    /// Reads one file, called `name`, and hands out each entry that opens. A last line that was not written to its end was never
    /// acknowledged, and is no fault.
    ///
    /// # Errors
    ///
    /// It cannot be read, is something else, was written for others, or `each` fails.
    pub fn read(
        &mut self,
        name: &str,
        mut file: impl BufRead,
        identities: &Identities,
        mut each: impl FnMut(Opened) -> io::Result<()>,
    ) -> Result<(), NotRead> {
        let head = next_line(&mut file)?.filter(|line| line.ends_with(b"\n")).unwrap_or_default();
        let head: Head = serde_json::from_slice(&head).map_err(|_| NotRead::NoStream)?;
        if head.claviger_escrow > FORMAT {
            return Err(NotRead::Newer(head.claviger_escrow));
        }
        let mut number = 1;
        while let Some(line) = next_line(&mut file)? {
            number += 1;
            let Some(line) = line.strip_suffix(b"\n") else { break };
            match open(line, identities) {
                Ok(entry) if entry.vault == head.vault => {
                    self.note(&entry);
                    each(entry)?;
                }
                Ok(_) => self.summary.faults.push(format!("{name}, line {number}: an entry of another vault")),
                Err(NotOpened::ForOthers) => return Err(NotRead::ForOthers),
                Err(NotOpened::Damaged) => {
                    self.summary.faults.push(format!("{name}, line {number}: it is damaged"));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, entry: &Opened) {
        let summary = &mut self.summary;
        summary.entries += 1;
        summary.vaults.insert(entry.vault);
        let (from, to) = summary.from_to.unwrap_or((entry.at, entry.at));
        summary.from_to = Some((from.min(entry.at), to.max(entry.at)));
        self.numbers.entry(entry.run).or_default().insert(entry.number);
    }

    /// What was read. Numbers that are missing between others are faults: a file, or a line, is not there.
    pub fn finish(self) -> Summary {
        let mut summary = self.summary;
        for (run, numbers) in self.numbers {
            let (first, last) = (numbers.first().copied().unwrap_or(1), numbers.last().copied().unwrap_or(0));
            let missing = (last + 1 - first).saturating_sub(numbers.len() as u64);
            if missing > 0 {
                summary
                    .faults
                    .push(format!("{missing} entries of the run {run} are missing between {first} and {last}"));
            }
        }
        summary
    }
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It is something else.
    #[error("it is no file of an escrow stream")]
    NoStream,
    /// A newer server wrote it.
    #[error("it is of format {0}, which this version does not know: use a newer one")]
    Newer(u32),
    /// None of the identities opens it.
    #[error("it was written for others: none of the identities opens it")]
    ForOthers,
    /// The disk, or where it goes.
    #[error(transparent)]
    Io(#[from] io::Error),
}

enum NotOpened {
    ForOthers,
    Damaged,
}

fn open(line: &[u8], identities: &Identities) -> Result<Opened, NotOpened> {
    let sealed = STANDARD.decode(line).map_err(|_| NotOpened::Damaged)?;
    let mut reading = Reading::begin(identities, sealed.as_slice()).map_err(|unreadable| match unreadable {
        Unreadable::OtherRecipients => NotOpened::ForOthers,
        Unreadable::NotAge | Unreadable::Io(_) => NotOpened::Damaged,
    })?;
    // As long as it can be, so that it is not copied while it grows.
    let mut text = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reading.read_to_end(&mut text).map_err(|_| NotOpened::Damaged)?;
    serde_json::from_slice(&text).map_err(|_| NotOpened::Damaged)
}

/// A line with its end, where it has one.
fn next_line(file: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    file.take(LINE_MOST).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then_some(line))
}
