//! Restoring: a backup becomes a store again.
//!
//! Its files are read to their end before anything of them is believed. Whoever has the shares, or the passphrase, of that time can have it
//! proven: every row opens, each scope's rows are those that its log counts, every log is recomputed. Then its rows are filled
//! into an empty store. The vault that opens there is paused (`restore/pause.rs`): it knows of nothing that happened since.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::Arc;

use claviger_api::{Scope, Secret, Timestamp};
use claviger_crypto::recipients::{self, Identities, Reading};
use claviger_store::{
    Batch, FIRST_REVISION, FillError, Filling, Keyring, MemoryStore, Row, RowId, Sealed, Store, StoreKey, Table,
};
use serde::{Deserialize, Serialize};

use crate::backup::chain::Rows;
use crate::backup::file::{Head, Unreadable};
use crate::error::Error;
use crate::scrub::check::{Checker, Fault};
use crate::seal::Opening;

mod pause;
mod secrets;

pub use pause::Paused;
pub(crate) use pause::{Pause, compare, is_pause_row};

/// The clear row that says that this store was a backup, and that the vault is paused.
const RESTORED_ROW: &str = "restored";

/// What that row says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestoredRow {
    /// The moment of the backup.
    pub moment: Timestamp,
    /// When it was restored.
    pub restored_at: Timestamp,
    /// Whether the log tells of it.
    #[serde(default)]
    pub told: bool,
    /// Since when the vault compares what it has with the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparing_since: Option<Timestamp>,
    /// When all of it was compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_at: Option<Timestamp>,
}

/// Why a backup is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is no age file, or written for others.
    #[error("the backup cannot be read: {0}")]
    Closed(#[from] recipients::Unreadable),
    /// It is damaged, or of another program.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The store does not take it.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// Its keys do not open.
    #[error("{}", text(.0))]
    Keys(Error),
    /// It is another one than was begun with.
    #[error("the file was changed while it was read")]
    Changed,
}

impl From<Error> for RestoreError {
    fn from(error: Error) -> Self {
        Self::Keys(error)
    }
}

fn text(error: &Error) -> String {
    let note = error.operator.as_ref().map(|note| format!(" ({})", note.for_the_log())).unwrap_or_default();
    let row = error.problem.row();
    if error.detail.is_empty() {
        format!("{}: {}{note}", row.title, row.advice)
    } else {
        format!("{}{note}", error.detail)
    }
}

type Result<T> = std::result::Result<T, RestoreError>;

/// A backup that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// What it says of itself.
    pub head: Head,
    /// How many rows are in it.
    pub rows: u64,
}

/// A backup's rows, as they are read, and how many there were.
struct Counted<R: BufRead> {
    rows: Rows<Reading<R>>,
    count: u64,
}

impl<R: BufRead> Counted<R> {
    fn begin(files: impl IntoIterator<Item = R>, identities: &Identities) -> Result<(Head, Self)> {
        let files = files.into_iter().map(|file| Reading::begin(identities, file));
        let (head, rows) = Rows::begin(files.collect::<std::result::Result<Vec<_>, _>>()?)?;
        Ok((head, Self { rows, count: 0 }))
    }

    fn next_row(&mut self) -> Result<Option<(StoreKey, Row)>> {
        let row = self.rows.next_row()?;
        self.count += u64::from(row.is_some());
        Ok(row)
    }
}

/// Reads a backup, and the increments upon it, to their end: they are whole, belong together, and nobody has changed them.
///
/// # Errors
///
/// It is not, or none of the identities opens it.
pub fn check(files: impl IntoIterator<Item = impl BufRead>, identities: &Identities) -> Result<Whole> {
    let (head, mut rows) = Counted::begin(files, identities)?;
    while rows.next_row()?.is_some() {}
    Ok(Whole { head, rows: rows.count })
}

/// Makes an empty store of a backup. A vault that is opened on it is paused.
///
/// # Errors
///
/// The store is not empty, or holds a part of something else.
pub async fn restore(
    files: impl IntoIterator<Item = impl BufRead>,
    identities: &Identities,
    whole: &Whole,
    store: &Arc<dyn Store>,
    now: Timestamp,
) -> Result<()> {
    let (head, mut rows) = Counted::begin(files, identities)?;
    if head != whole.head {
        return Err(RestoreError::Changed);
    }
    let what = format!("the backup of the vault {} ({}) of {}", head.name, head.vault, head.moment);
    let mut filling = Filling::begin(store.as_ref(), &what, head.store_format).await?;
    let restored = RowId::meta(RESTORED_ROW);
    let mut revision = FIRST_REVISION;
    while let Some((key, row)) = rows.next_row()? {
        // Of a vault that was paused itself.
        if key == restored.to_key() {
            revision = row.revision + 1;
            continue;
        }
        filling.row(key, row).await?;
    }
    if rows.count != whole.rows {
        return Err(RestoreError::Changed);
    }
    let said =
        RestoredRow { moment: head.moment, restored_at: now, told: false, comparing_since: None, compared_at: None };
    let said = serde_json::to_vec(&said).map_err(Error::internal)?;
    let put = Sealed::new(store.clone()).put_plain(&restored, revision, said).map_err(Error::from)?;
    filling.finish(vec![put]).await?;
    Ok(())
}

/// A proof that a backup is a whole vault, on its way.
pub struct Proof {
    head: Head,
    opening: Opening,
}

/// What a proof found.
#[derive(Debug, Default)]
pub struct Proven {
    /// Rows that were opened.
    pub rows: u64,
    /// Entries of logs.
    pub entries: u64,
    /// Logs.
    pub logs: u64,
    /// Customers.
    pub customers: u64,
    /// What is not as it should be, the first of it, in words.
    pub faults: Vec<String>,
    /// How much more.
    pub more_faults: u64,
    /// Files of the archive directory that belong to it.
    pub archives: Vec<String>,
}

impl Proof {
    /// Reads what the keys are opened with.
    ///
    /// # Errors
    ///
    /// It is no backup, or not of an initialised vault.
    pub async fn begin(files: impl IntoIterator<Item = impl BufRead>, identities: &Identities) -> Result<Self> {
        let (head, mut rows) = Counted::begin(files, identities)?;
        let keys = MemoryStore::new();
        while let Some((key, row)) = rows.next_row()? {
            // Rows come in the order of their tables, and these two are the first.
            if !is_of(&key, Table::Meta) && !is_of(&key, Table::Keys) {
                break;
            }
            let put = vec![(key, row)];
            keys.commit(Batch { put, ..Batch::default() }).await.map_err(FillError::from)?;
        }
        let opening = Opening::of(Sealed::new(Arc::new(keys))).await?;
        Ok(Self { head, opening })
    }

    /// What is asked for, and how much of it was given.
    pub fn status(&self) -> claviger_api::wire::SealStatus {
        self.opening.status()
    }

    /// Takes one share, or the passphrase; with the last one that is needed the keys.
    ///
    /// # Errors
    ///
    /// It does not open this backup.
    pub async fn give(&mut self, key: &Secret) -> Result<Option<Keyring>> {
        Ok(self.opening.give(key).await?)
    }

    /// Opens every row, adds up each scope's, and recomputes every log.
    ///
    /// # Errors
    ///
    /// The file cannot be read to its end; what is wrong with its rows is what is found.
    pub fn hold(
        &self,
        files: impl IntoIterator<Item = impl BufRead>,
        identities: &Identities,
        keyring: &Keyring,
    ) -> Result<Proven> {
        let (head, mut rows) = Counted::begin(files, identities)?;
        if head != self.head {
            return Err(RestoreError::Changed);
        }
        let mut checker = Checker::new(&head.name);
        let mut customers = BTreeSet::new();
        while let Some((key, row)) = rows.next_row()? {
            if let Ok(id) = RowId::from_key(&key)
                && let Scope::Customer(customer) = id.scope()
            {
                customers.insert(customer);
            }
            checker.row(keyring, &key, &row);
        }
        let outcome = checker.finish();
        Ok(Proven {
            rows: outcome.found.rows,
            entries: outcome.found.entries,
            logs: outcome.found.logs,
            customers: customers.len() as u64,
            faults: outcome.found.faults.iter().map(Fault::in_words).collect(),
            more_faults: outcome.found.more_faults,
            archives: outcome.archives.into_iter().map(|(_, archive)| archive.file).collect(),
        })
    }
}

fn is_of(key: &StoreKey, table: Table) -> bool {
    key.as_bytes().first() == Some(&table.tag())
}
