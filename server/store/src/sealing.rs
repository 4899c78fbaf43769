//! The sealing layer: records in, sealed rows out, and back. Everything the service stores goes through it.
//!
//! A record is bound to its row by the envelope's AAD: scope, table, id and the row's revision. A row that was moved,
//! swapped with another or altered does not open; that an *old* row was put back with its old revision is found by the
//! freshness digest ([`Keyring::freshness_term`]).

use std::sync::Arc;

use claviger_api::{CustomerId, Secret};
use claviger_crypto::Random;
use claviger_crypto::envelope::OpenError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::catalogue::{SealedBy, Table};
use crate::engine::{Range, ReadError, Row, Store, StoreKey};
use crate::keyring::{FIRST_REVISION, Keyring, WrappedKey};
use crate::row::{BadKey, RowId};

/// The first byte of what is sealed: how the rest is written. Append only (`docs/formats.md`, "Record bytes").
const JSON: u8 = 1;
const BYTES: u8 = 2;
/// The newest of them.
const NEWEST: u8 = BYTES;
/// Room for most records: one that grows is copied, and wiped, each time.
const USUAL_BYTES: usize = 2048;

/// What is stored as a record: JSON inside the envelope. It never holds a secret; [`Secret`] cannot be serialized.
///
/// A field that is added later needs a `#[serde(default)]`, so that the rows that are there stay readable.
pub trait Record: Serialize + DeserializeOwned {
    /// The table its rows are in.
    const TABLE: Table;
}

/// A value as it was read: which row, at which revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The row.
    pub id: RowId,
    /// Its revision: what a change of it expects, and one less than the change's own.
    pub revision: u64,
    /// What it holds.
    pub value: T,
}

/// A row that was sealed and can be put into a [`Batch`](crate::Batch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPut {
    /// Where it goes.
    pub key: StoreKey,
    /// The sealed row.
    pub row: Row,
    /// Which row it is.
    pub id: RowId,
    /// What tells the customer's key that it was sealed under from others ([`Keyring::is_current`]); 0 where that is not known.
    pub(crate) mark: u64,
}

/// A wrapped key, at the revision it was wrapped for.
impl From<WrappedKey> for SealedPut {
    fn from((id, value): WrappedKey) -> Self {
        Self { key: id.to_key(), row: Row { revision: FIRST_REVISION, value: value.into() }, id, mark: 0 }
    }
}

/// Why a record could not be read or sealed. It names the row, and nothing of what is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// The engine failed.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The customer's key is not in memory.
    #[error("customer {0} is locked: its records open again when it is unlocked")]
    Locked(CustomerId),
    /// The row was altered, moved from another place, or sealed under another key.
    #[error("the row {row} was tampered with or moved here ({why}): keep the store as it is, and restore the row")]
    Tampered {
        /// The row.
        row: RowId,
        /// How far opening came.
        why: OpenError,
    },
    /// A newer program has written it.
    #[error("the row {row} has the format {found}, newer than this program knows: start the newer program")]
    NewerFormat {
        /// The row.
        row: RowId,
        /// The format found: the envelope's, or the record's.
        found: u8,
    },
    /// It opened, and is not what this table holds: a program's fault, not an attacker's.
    #[error("the row {0} opened but cannot be understood")]
    Malformed(RowId),
    /// A key row that must be there is not.
    #[error("the row {0} is missing: keep the store as it is, and restore the row from a backup")]
    Missing(RowId),
    /// A key that is no row's.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// A program's fault: the row is not of the record's table.
    #[error("the row {row} is not of the table {table:?}")]
    OtherTable {
        /// The row.
        row: RowId,
        /// The table of the record's type.
        table: Table,
    },
    /// A program's fault: the record cannot be written as JSON.
    #[error("the record for the row {0} cannot be written")]
    Unwritable(RowId),
    /// A program's fault: this table's rows are not sealed as records are (Meta is plain, keys are wrapped).
    #[error("the row {0} is not sealed as a record")]
    NotSealed(RowId),
    /// A program's fault: only rows of Meta are plain.
    #[error("the row {0} is not a plain row")]
    NotPlain(RowId),
}

impl SealedError {
    /// What an envelope's refusal means for the row it was found in.
    pub(crate) fn of(row: &RowId, error: OpenError) -> Self {
        match error {
            OpenError::NewerFormat { format } => Self::NewerFormat { row: row.clone(), found: format },
            OpenError::NotAnEnvelope | OpenError::WrongKeyOrPlace | OpenError::Damaged => {
                Self::Tampered { row: row.clone(), why: error }
            }
        }
    }
}

/// A store seen through the sealing layer. What is to be written is sealed here and committed by the journal.
#[derive(Clone)]
pub struct Sealed {
    store: Arc<dyn Store>,
}

impl Sealed {
    /// This store, through the sealing layer.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The store below.
    pub const fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The record of this row.
    pub async fn read<T: Record>(&self, keyring: &Keyring, id: &RowId) -> Result<Option<Versioned<T>>, SealedError> {
        in_table::<T>(id)?;
        let row = self.store.get(&id.to_key()).await?;
        row.map(|row| open_record(keyring, id.clone(), &row)).transpose()
    }

    /// The records of a range; the first that does not open fails it. For ranges across customers, see
    /// [`Sealed::list_each`].
    pub async fn list<T: Record>(&self, keyring: &Keyring, range: &Range) -> Result<Vec<Versioned<T>>, SealedError> {
        self.list_each(keyring, range).await?.into_iter().collect()
    }

    /// The records of a range, each with its own outcome, so that a locked customer or a damaged row hides nobody
    /// else's: timers that are due, the scrub.
    pub async fn list_each<T: Record>(
        &self,
        keyring: &Keyring,
        range: &Range,
    ) -> Result<Vec<Result<Versioned<T>, SealedError>>, ReadError> {
        let rows = self.store.scan(range).await?;
        let open = |(key, row)| {
            let id = RowId::from_key(&key)?;
            in_table::<T>(&id)?;
            open_record(keyring, id, &row)
        };
        Ok(rows.into_iter().map(open).collect())
    }

    /// The secret of a row of the Secrets table.
    pub async fn read_secret(&self, keyring: &Keyring, id: &RowId) -> Result<Option<Versioned<Secret>>, SealedError> {
        must_be(id, Table::Secrets)?;
        let Some(row) = self.store.get(&id.to_key()).await? else { return Ok(None) };
        let value = open_secret(keyring, id, &row)?;
        Ok(Some(Versioned { id: id.clone(), revision: row.revision, value }))
    }

    /// The bytes of a row that is sealed without JSON, such as a hash tile. They are wiped when dropped.
    pub async fn read_bytes(
        &self,
        keyring: &Keyring,
        id: &RowId,
    ) -> Result<Option<Versioned<Zeroizing<Vec<u8>>>>, SealedError> {
        let Some(row) = self.store.get(&id.to_key()).await? else { return Ok(None) };
        let plaintext = open(keyring, id, &row)?;
        let value = Zeroizing::new(body(id, BYTES, &plaintext)?.to_vec());
        Ok(Some(Versioned { id: id.clone(), revision: row.revision, value }))
    }

    /// The bytes of a plain row of Meta, readable while sealed: anyone at the disk can read and change it.
    pub async fn read_plain(&self, id: &RowId) -> Result<Option<Versioned<Vec<u8>>>, SealedError> {
        plain(id)?;
        let row = self.store.get(&id.to_key()).await?;
        Ok(row.map(|row| Versioned { id: id.clone(), revision: row.revision, value: row.value.to_vec() }))
    }
}

/// Sealing needs no store, but what is read through a door is written through it.
impl Sealed {
    /// Seals a record for this row at this revision: 1 for a new row, else one more than what was read.
    pub fn put<T: Record>(
        &self,
        keyring: &Keyring,
        id: &RowId,
        next_revision: u64,
        record: &T,
        random: &dyn Random,
    ) -> Result<SealedPut, SealedError> {
        in_table::<T>(id)?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(USUAL_BYTES));
        plaintext.push(JSON);
        serde_json::to_writer(&mut *plaintext, record).map_err(|_| SealedError::Unwritable(id.clone()))?;
        seal(keyring, id, next_revision, &plaintext, random)
    }

    /// Seals a secret for a row of the Secrets table at this revision. No copy of it is left behind.
    pub fn put_secret(
        &self,
        keyring: &Keyring,
        id: &RowId,
        next_revision: u64,
        secret: &Secret,
        random: &dyn Random,
    ) -> Result<SealedPut, SealedError> {
        must_be(id, Table::Secrets)?;
        self.put_bytes(keyring, id, next_revision, secret.expose().as_bytes(), random)
    }

    /// Seals bytes for this row at this revision, without JSON. No copy of them is left behind.
    pub fn put_bytes(
        &self,
        keyring: &Keyring,
        id: &RowId,
        next_revision: u64,
        bytes: &[u8],
        random: &dyn Random,
    ) -> Result<SealedPut, SealedError> {
        // One exact allocation: a vector that grows leaves its old place unwiped.
        let mut plaintext = Zeroizing::new(Vec::with_capacity(1 + bytes.len()));
        plaintext.push(BYTES);
        plaintext.extend_from_slice(bytes);
        seal(keyring, id, next_revision, &plaintext, random)
    }

    /// A plain row of Meta at this revision.
    pub fn put_plain(&self, id: &RowId, next_revision: u64, value: Vec<u8>) -> Result<SealedPut, SealedError> {
        plain(id)?;
        let row = Row { revision: next_revision, value: value.into() };
        Ok(SealedPut { key: id.to_key(), row, id: id.clone(), mark: 0 })
    }
}

/// Opens a row that was read elsewhere, in a scan of one's own.
pub fn open_record<T: Record>(keyring: &Keyring, id: RowId, row: &Row) -> Result<Versioned<T>, SealedError> {
    let plaintext = open(keyring, &id, row)?;
    let json = body(&id, JSON, &plaintext)?;
    // serde_json's own message quotes the content: it stays here.
    let value = serde_json::from_slice(json).map_err(|_| SealedError::Malformed(id.clone()))?;
    Ok(Versioned { id, revision: row.revision, value })
}

/// The same of a row of the Secrets table.
pub fn open_secret(keyring: &Keyring, id: &RowId, row: &Row) -> Result<Secret, SealedError> {
    must_be(id, Table::Secrets)?;
    let plaintext = open(keyring, id, row)?;
    let malformed = || SealedError::Malformed(id.clone());
    let text = std::str::from_utf8(body(id, BYTES, &plaintext)?).map_err(|_| malformed())?;
    // `Secret::new` takes the copy over and wipes it.
    Secret::new(text.to_owned()).map_err(|_| malformed())
}

/// Whether a row opens in its place, whatever it holds: a record, bytes, a wrapped key. A plain row always does.
pub fn opens(keyring: &Keyring, id: &RowId, row: &Row) -> Result<(), SealedError> {
    match id.table().sealed_by() {
        SealedBy::Nobody => Ok(()),
        SealedBy::Wrapped => keyring.unwraps(id, row),
        SealedBy::Operator | SealedBy::Owner => match open(keyring, id, row)?.first() {
            Some(&(JSON | BYTES)) => Ok(()),
            Some(found) if *found > NEWEST => Err(SealedError::NewerFormat { row: id.clone(), found: *found }),
            Some(_) | None => Err(SealedError::Malformed(id.clone())),
        },
    }
}

fn open(keyring: &Keyring, id: &RowId, row: &Row) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    keyring.sealer(id)?.open(id, row).map_err(|error| SealedError::of(id, error))
}

fn seal(
    keyring: &Keyring,
    id: &RowId,
    revision: u64,
    plaintext: &[u8],
    random: &dyn Random,
) -> Result<SealedPut, SealedError> {
    let sealer = keyring.sealer(id)?;
    let row = Row { revision, value: sealer.seal(id, revision, plaintext, random).into() };
    Ok(SealedPut { key: id.to_key(), row, id: id.clone(), mark: sealer.mark() })
}

/// What follows the format byte, if that is the one expected.
fn body<'a>(id: &RowId, format: u8, plaintext: &'a [u8]) -> Result<&'a [u8], SealedError> {
    match plaintext.split_first() {
        Some((found, body)) if *found == format => Ok(body),
        Some((found, _)) if *found > NEWEST => Err(SealedError::NewerFormat { row: id.clone(), found: *found }),
        Some(_) | None => Err(SealedError::Malformed(id.clone())),
    }
}

fn in_table<T: Record>(id: &RowId) -> Result<(), SealedError> {
    must_be(id, T::TABLE)
}

fn must_be(id: &RowId, table: Table) -> Result<(), SealedError> {
    if id.table() == table { Ok(()) } else { Err(SealedError::OtherTable { row: id.clone(), table }) }
}

fn plain(id: &RowId) -> Result<(), SealedError> {
    match id.table().sealed_by() {
        SealedBy::Nobody => Ok(()),
        SealedBy::Wrapped | SealedBy::Operator | SealedBy::Owner => Err(SealedError::NotPlain(id.clone())),
    }
}

#[cfg(test)]
mod tests;
