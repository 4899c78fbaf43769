//! Where a log's oldest entries are: past their retention they go from the store into files, and are read there as before.
//!
//! An archive holds whole blocks of 256 entries, sealed under a key of its own (`client/api/src/audit/archive.rs` has the form);
//! personal fields are sealed under their subjects' keys in there as they were in the store. What stays is the log's tiles, its
//! index and a row that says where the archive is, so that proofs need no archive, and searches and exports find what they need
//! in it. Each block is held against its tile as it is read.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::audit::archive::sealed_entries;
use claviger_api::audit::hash::Hash;
use claviger_api::problem::ProblemType;
use claviger_api::wire::LogArchive;
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::{AuditRead, Permit};
use claviger_crypto::envelope::{self, Aad};
use claviger_crypto::{ArchiveKey, SubjectKey};
use claviger_store::{Range, RowId, Table, Versioned};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::TILE_WIDTH;
use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::journal::head::LogTile;
use crate::open::Open;
use crate::page::{Page, Paging};

mod fill;

/// Where entries of a log are, from the one in the row's key on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveRecord {
    /// Whose key opens it.
    pub id: Uuid,
    /// The entry after the last.
    pub to: u64,
    /// The file.
    pub file: String,
    /// Where each block begins in it, and where the last one ends.
    pub blocks: Vec<u64>,
    /// Its length in bytes.
    pub bytes: u64,
    /// When its first entry happened.
    pub first_time: Option<Timestamp>,
    /// When its last entry happened.
    pub last_time: Option<Timestamp>,
    /// When it was written.
    pub archived_at: Timestamp,
}

impl ReadBlock {
    /// Whose log it is of.
    pub(crate) const fn scope(&self) -> Scope {
        self.scope
    }
}

/// The block that was read last: a search reads one after the other.
#[derive(Clone)]
pub(crate) struct ReadBlock {
    scope: Scope,
    block: u64,
    leaves: Arc<Vec<StoredLeaf>>,
}

impl Open {
    /// An entry as it is stored, here or in an archive.
    pub(crate) async fn leaf(&self, scope: Scope, index: u64) -> Result<StoredLeaf> {
        match self.read::<StoredLeaf>(&RowId::log_leaf(scope, index)).await? {
            Some(leaf) => Ok(leaf.value),
            None => self.archived_leaf(scope, index).await,
        }
    }

    /// Entries from one on, in order; empty where there are none.
    pub(crate) async fn leaves_from(&self, scope: Scope, from: u64, most: usize) -> Result<Vec<StoredLeaf>> {
        let mut range = Range::scope(Table::LogLeaves, scope).limit(most);
        range.start = RowId::log_leaf(scope, from).to_key();
        let rows = self.list::<StoredLeaf>(&range).await?;
        let first = rows.first().and_then(|row| row.id.number());
        if first == Some(from) || from >= self.head(scope).await?.frontier.size() {
            let in_order =
                |(index, row): (u64, Versioned<StoredLeaf>)| (row.id.number() == Some(index)).then_some(row.value);
            let leaves = (from..).zip(rows).map(in_order).collect::<Option<Vec<_>>>();
            return leaves.ok_or_else(|| Error::internal(format_args!("an entry behind {from} of a log is gone")));
        }
        let leaves = self.block_of(scope, from).await?;
        let place = usize::try_from(from % TILE_WIDTH).unwrap_or(usize::MAX);
        Ok(leaves.iter().skip(place).take(most).cloned().collect())
    }

    /// A log's archives, the oldest first, and whether each is in its place.
    pub async fn log_archives(
        &self,
        scope: Scope,
        paging: &Paging,
        _permit: Permit<AuditRead>,
    ) -> Result<Page<LogArchive>> {
        let page = self.page::<ArchiveRecord>(Range::scope(Table::LogArchives, scope), paging, |_| true).await?;
        page.try_map(async |row| Ok(self.shown_archive(&row).await)).await
    }

    async fn shown_archive(&self, row: &Versioned<ArchiveRecord>) -> LogArchive {
        let (present, record) = (self.has_archive(&row.value).await, row.value.clone());
        LogArchive {
            from: row.id.number().unwrap_or_default(),
            to: record.to,
            first_time: record.first_time,
            last_time: record.last_time,
            file: record.file,
            bytes: record.bytes,
            archived_at: record.archived_at,
            present,
        }
    }

    /// Whether an archive is in its place.
    pub(crate) async fn has_archive(&self, record: &ArchiveRecord) -> bool {
        let (archives, name, bytes) = (self.ground().archives.clone(), record.file.clone(), record.bytes);
        let length = blocking(move || archives.map_or(Ok(None), |archives| archives.length(&name))).await;
        length.is_ok_and(|length| length == Some(bytes))
    }

    /// Where the last archive of a log ends: entries before it are in archives.
    pub(crate) async fn archived_to(&self, scope: Scope) -> Result<u64> {
        let range = Range::scope(Table::LogArchives, scope).reversed().limit(1);
        Ok(self.list::<ArchiveRecord>(&range).await?.pop().map_or(0, |last| last.value.to))
    }

    async fn archived_leaf(&self, scope: Scope, index: u64) -> Result<StoredLeaf> {
        let leaves = self.block_of(scope, index).await?;
        let place = usize::try_from(index % TILE_WIDTH).unwrap_or(usize::MAX);
        leaves.get(place).cloned().ok_or_else(|| Error::internal("a block has 256 entries"))
    }

    /// The block in an archive that has this entry in it.
    async fn block_of(&self, scope: Scope, index: u64) -> Result<Arc<Vec<StoredLeaf>>> {
        let block = index / TILE_WIDTH;
        let last = self.archived_block.lock().clone();
        if let Some(last) = last.filter(|last| last.scope == scope && last.block == block) {
            return Ok(last.leaves);
        }
        let up_to = RowId::log_archive(scope, index.saturating_add(1)).to_key();
        let range = Range::scope(Table::LogArchives, scope).reversed().after(&up_to).limit(1);
        let archive = self.list::<ArchiveRecord>(&range).await?.pop().filter(|archive| index < archive.value.to);
        // An entry in neither place: nobody but whoever changed the store can have taken it.
        let archive = archive.ok_or_else(|| Error::internal(format_args!("entry {index} of a log is gone")))?;
        let leaves = Arc::new(self.read_block(scope, block, &archive).await?);
        *self.archived_block.lock() = Some(ReadBlock { scope, block, leaves: leaves.clone() });
        Ok(leaves)
    }

    async fn read_block(
        &self,
        scope: Scope,
        block: u64,
        archive: &Versioned<ArchiveRecord>,
    ) -> Result<Vec<StoredLeaf>> {
        let (from, record) = (archive.id.number().unwrap_or_default(), &archive.value);
        let first = block * TILE_WIDTH;
        let at = usize::try_from(block.saturating_sub(from / TILE_WIDTH)).unwrap_or(usize::MAX);
        let (Some(start), Some(end)) = (record.blocks.get(at), record.blocks.get(at.saturating_add(1))) else {
            return Err(Error::internal("an archive without the places of its blocks"));
        };
        let (start, length) = (*start, usize::try_from(end.saturating_sub(*start)).unwrap_or(usize::MAX));
        let Some(archives) = self.ground().archives.clone() else { return Err(missing(from, record, None)) };
        let name = record.file.clone();
        let read = blocking(move || archives.read(&name, start, length)).await;
        let text = read.map_err(|error| missing(from, record, Some(&error)))?;
        let key = self.keyring().archive(self.ground().store.as_ref(), scope, record.id).await?;
        let tile = self.read::<LogTile>(&RowId::log_tile(scope, 0, block)).await?;
        let tile = tile.ok_or_else(|| Error::internal(format_args!("tile {block} of a log is gone")))?;
        opened(&text, &key, scope, record.id, first, &tile.value.hashes).map_err(|index| damaged(index, record))
    }
}

/// The entries of a block, each the one whose hash is in the tile; else the first that is not.
fn opened(
    text: &[u8],
    key: &ArchiveKey,
    scope: Scope,
    archive: Uuid,
    first: u64,
    hashes: &[Hash],
) -> std::result::Result<Vec<StoredLeaf>, u64> {
    let sealed = std::str::from_utf8(text).ok().and_then(|text| sealed_entries(text, first)).ok_or(first)?;
    let open = |(index, (sealed, hash)): (u64, (String, &Hash))| {
        let record = place(archive, index);
        let text = envelope::open(key, &aad(scope, &record), &STANDARD.decode(sealed).ok()?).ok()?;
        let leaf: StoredLeaf = serde_json::from_slice(&text).ok()?;
        let entry = leaf.entry(scope, |_| None::<Box<SubjectKey>>).ok()?;
        (entry.hash() == *hash).then_some(leaf)
    };
    (first..).zip(sealed.into_iter().zip(hashes)).map(|(index, leaf)| open((index, leaf)).ok_or(index)).collect()
}

/// What an entry is bound to in its archive.
fn place(archive: Uuid, index: u64) -> [u8; 24] {
    let mut place = [0; 24];
    let (id, number) = place.split_at_mut(16);
    id.copy_from_slice(archive.as_bytes());
    number.copy_from_slice(&index.to_be_bytes());
    place
}

fn aad(scope: Scope, place: &[u8]) -> Aad<'_> {
    Aad { scope, table: Table::LogArchives.tag(), record: place, version: 1 }
}

fn missing(from: u64, record: &ArchiveRecord, error: Option<&io::Error>) -> Error {
    let why = error.map_or_else(|| "no archive_directory is configured".to_owned(), ToString::to_string);
    let detail = format!(
        "Entries {from} to {} are in the archive {}, which is not in its place: put it back, or ask for what is newer.",
        record.to - 1,
        record.file,
    );
    Error::new(ProblemType::ArchiveUnavailable, detail).with_note(why)
}

fn damaged(index: u64, record: &ArchiveRecord) -> Error {
    let detail = format!(
        "Entry {index} in the archive {} is not what was logged: keep the file as it is, and put a copy of it that is whole in its \
         place.",
        record.file
    );
    tracing::error!(file = record.file, index, "an archive of a log was changed");
    Error::new(ProblemType::ArchiveUnavailable, detail)
}

/// Runs what waits on a disk beside the requests, not in their way.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
