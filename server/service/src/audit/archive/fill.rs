//! Moving what is past its retention into archives, behind the log and never in its way.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::audit::archive::ArchiveWriter;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::{Scope, Timestamp};
use claviger_crypto::{ArchiveKey, envelope};
use claviger_store::{Batch, Range, RowId, Table};
use jiff::SignedDuration;
use uuid::Uuid;

use super::{ArchiveRecord, aad, blocking, opened, place};
use crate::audit::index::WIDTH;
use crate::audit::{Leaves, TILE_LEAVES, TILE_WIDTH};
use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::open::{Open, wrapped_put};
use crate::shelf::{NewFile, Shelf};

/// Who moves them.
const ACTOR: &str = "system/retention";
/// The most blocks in an archive: 65,536 entries.
const BLOCKS_MOST: u64 = 256;
/// An archive that would not be full waits until its first entry is past the retention by so much: a log has at most one such
/// archive a month.
const PATIENCE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The hours of a day.
const DAY_HOURS: i64 = 24;
/// The most rows that are taken from the store at once.
const REMOVED_AT_ONCE: usize = 1000;

impl Open {
    /// Writes the archive of one log that has enough past the retention, or takes a piece of what is archived from the store.
    /// Whether there was one.
    pub(crate) async fn archive_a_piece(&self) -> Result<bool> {
        if self.ground().archives.is_none() {
            return Ok(false);
        }
        let customers = self.keyring().customers().into_iter().map(Scope::Customer);
        for scope in std::iter::once(Scope::Operator).chain(customers) {
            let from = self.archived_to(scope).await?;
            if self.remove_archived(scope, from).await? {
                return Ok(true);
            }
            let to = self.past_retention(scope, from).await?;
            if from < to {
                self.write_archive(scope, from, to).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The entry after the last that is to be in the next archive; `from` where there is none to be yet.
    async fn past_retention(&self, scope: Scope, from: u64) -> Result<u64> {
        let indexed = self.indexed_blocks(scope).await? * WIDTH;
        let most = (indexed / TILE_WIDTH).min(from / TILE_WIDTH + BLOCKS_MOST);
        let days = i64::from(self.ground().settings.audit_retention_days);
        let kept_since = self.now() - SignedDuration::from_hours(days * DAY_HOURS);
        let is_over = async |index: u64, since: Timestamp| {
            let leaf = self.leaf(scope, index).await?;
            let time = leaf.value(FieldName::Time).and_then(|time| time.parse::<Timestamp>().ok());
            Ok::<bool, Error>(time.is_some_and(|time| time < since))
        };
        let mut blocks = from / TILE_WIDTH;
        while blocks < most && is_over((blocks + 1) * TILE_WIDTH - 1, kept_since).await? {
            blocks += 1;
        }
        let to = blocks * TILE_WIDTH;
        let is_full = (to - from) / TILE_WIDTH == BLOCKS_MOST;
        let is_due = from < to && (is_full || is_over(from, kept_since - PATIENCE).await?);
        Ok(if is_due { to } else { from })
    }

    /// Writes an archive, reads it again, and then says that it is where the entries are.
    async fn write_archive(&self, scope: Scope, from: u64, to: u64) -> Result<()> {
        let Some(archives) = self.ground().archives.clone() else { return Ok(()) };
        let id = self.new_uuid();
        let (key, wrapped) = self.keyring().new_archive(scope, id, self.random())?;
        let file = file_name(scope, from, to);
        let head = self.head(scope).await?;
        let leaves = self.leaves(scope, head.frontier.size()).await?;
        let note = self.signed(&self.checkpoint_of(scope, &head));
        let (mut writer, header) =
            ArchiveWriter::begin(&note, &self.verifier_key(scope)?, from, to).map_err(Error::internal)?;

        let (creating, name) = (archives.clone(), file.clone());
        let mut new = blocking(move || begin(creating.as_ref(), &name)).await.map_err(unwritable)?;
        let (mut bytes, mut blocks) = (0, Vec::new());
        new = append(new, header, &mut bytes).await?;
        let (mut first_time, mut last_time) = (None, None);
        for first in (from..to).step_by(TILE_LEAVES) {
            let block = self.leaves_from(scope, first, TILE_LEAVES).await?;
            let sealed = (first..)
                .zip(&block)
                .map(|(index, leaf)| self.sealed_leaf(&key, scope, id, index, leaf))
                .collect::<Result<Vec<String>>>()?;
            let text = writer.block(&sealed, &leaves).map_err(Error::internal)?;
            blocks.push(bytes);
            new = append(new, text, &mut bytes).await?;
            let time = |leaf: &StoredLeaf| leaf.value(FieldName::Time).and_then(|time| time.parse().ok());
            first_time = first_time.or_else(|| block.first().and_then(time));
            last_time = block.last().and_then(time).or(last_time);
            // Others have their turn.
            tokio::task::yield_now().await;
        }
        blocks.push(bytes);
        new = append(new, writer.end().map_err(Error::internal)?, &mut bytes).await?;
        blocking(move || new.keep()).await.map_err(unwritable)?;

        let record = ArchiveRecord { id, to, file, blocks, bytes, first_time, last_time, archived_at: self.now() };
        self.prove_archive(&key, scope, from, &record, &leaves).await?;
        let event = self
            .automatic(scope, EventKind::LogArchived, ACTOR)
            .with(FieldName::LogSize, to)
            .with(FieldName::Detail, format!("entries {from} to {} are in {}", to - 1, record.file));
        let change = self.change(event).create_sealed(wrapped_put(wrapped));
        self.commit(change.create(RowId::log_archive(scope, from), &record)?).await?;
        Ok(())
    }

    /// Reads what was written, and opens every entry of it: only then do others go.
    async fn prove_archive(
        &self,
        key: &ArchiveKey,
        scope: Scope,
        from: u64,
        record: &ArchiveRecord,
        leaves: &Leaves,
    ) -> Result<()> {
        let Some(archives) = self.ground().archives.clone() else { return Ok(()) };
        for (first, edges) in (from..).step_by(TILE_LEAVES).zip(record.blocks.windows(2)) {
            let [start, end] = *edges else { continue };
            let (archives, name) = (archives.clone(), record.file.clone());
            let length = usize::try_from(end - start).unwrap_or(usize::MAX);
            let text = blocking(move || archives.read(&name, start, length)).await.map_err(unwritable)?;
            opened(&text, key, scope, record.id, first, leaves.of_block(first / TILE_WIDTH)).map_err(|index| {
                Error::unavailable("An archive was not written as it should be.", format_args!("entry {index}"))
            })?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn sealed_leaf(
        &self,
        key: &ArchiveKey,
        scope: Scope,
        archive: Uuid,
        index: u64,
        leaf: &StoredLeaf,
    ) -> Result<String> {
        let text = zeroize::Zeroizing::new(serde_json::to_vec(leaf).map_err(Error::internal)?);
        let record = place(archive, index);
        Ok(STANDARD.encode(envelope::seal(key, &aad(scope, &record), &text, self.random())))
    }

    /// Takes a piece of the entries before this one from the store: they are in an archive. Whether there were any.
    async fn remove_archived(&self, scope: Scope, before: u64) -> Result<bool> {
        let mut range = Range::scope(Table::LogLeaves, scope).limit(REMOVED_AT_ONCE);
        range.end = RowId::log_leaf(scope, before).to_key();
        let rows = self.sealed().store().scan(&range).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        // No change of the vault's state, and so without an event: `log.archived` has said that they are elsewhere.
        let delete = rows.into_iter().map(|(key, _)| key).collect();
        self.sealed().store().commit(Batch { delete, ..Batch::default() }).await?;
        Ok(true)
    }
}

/// Whose log it is, and which entries: ids and numbers.
fn file_name(scope: Scope, from: u64, to: u64) -> String {
    let log = match scope {
        Scope::Operator => "operator".to_owned(),
        Scope::Customer(customer) => customer.to_string(),
    };
    format!("{log}-{from:012}-{:012}.jsonl", to - 1)
}

/// A new file. One that is there already was written before a crash, and nothing says that entries are in it.
fn begin(shelf: &dyn Shelf, name: &str) -> std::io::Result<Box<dyn NewFile>> {
    if shelf.length(name)?.is_some() {
        shelf.remove(name)?;
    }
    shelf.begin(name)
}

async fn append(mut new: Box<dyn NewFile>, text: String, bytes: &mut u64) -> Result<Box<dyn NewFile>> {
    *bytes += text.len() as u64;
    let appended = blocking(move || {
        new.write_all(text.as_bytes())?;
        Ok(new)
    });
    appended.await.map_err(unwritable)
}

fn unwritable(error: std::io::Error) -> Error {
    Error::unavailable("An archive of a log cannot be written; its entries stay in the store.", error)
}
