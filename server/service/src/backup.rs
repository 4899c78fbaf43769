//! Backups: the whole store as of one moment, in a file that only the recipients' private keys open.
//!
//! Rows go into it as they lie in the store, sealed: the root key is not in it, and whoever opens the file still needs the shares or
//! the passphrase. What the file adds is that it tells nobody else how many rows there are, and when what is due. Requests are served
//! and written meanwhile; a view of the store stays as it was.
//!
//! One is taken when somebody asks, and by itself when the last is old enough; that is read from the store, so that no restart forgets
//! it. A file is whole or not there, never overwrites one, and older ones go only once a newer one is safe.
//!
//! Those that are taken by themselves may be increments upon the last one, which say what has changed since. What that one holds is known
//! in memory alone, and as a digest a piece: after a start, and where another node took the last, a whole one is taken.

use std::io;
use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire;
use claviger_api::{BackupId, Scope, Timestamp};
use claviger_core::policy::{Permit, SysBackup, SysStatus};
use claviger_crypto::recipients::Recipient;
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::SignedDuration;
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{BackupRecord, BackupStep};
use crate::shelf::Shelf;
use crate::vault::Vault;

pub mod chain;
pub mod file;
mod index;
mod name;
mod take;

use name::Names;
use take::{Base, Written, write};

/// Who takes them.
const ACTOR: &str = "system/backup";
/// After one that could not be taken by itself.
const RETRY_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// How backups are taken.
pub struct Backups {
    /// Where they go.
    pub shelf: Arc<dyn Shelf>,
    /// For whom they are.
    pub recipients: Vec<Recipient>,
    /// How old the last may be before another is taken by itself.
    pub every: Option<SignedDuration>,
    /// How many increments follow a whole one before the next whole one.
    pub increments: usize,
    /// How many whole ones are kept, 1 or more, each with the increments upon it.
    pub keep: usize,
}

/// What is known of backups since the vault was opened.
#[derive(Default)]
pub(crate) struct BackingUp(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether what the store knows was read.
    known: bool,
    /// Whether somebody waits for one.
    wanted: bool,
    last: Option<BackedUp>,
    failed: Option<(Timestamp, String)>,
    /// The last that this node has taken.
    base: Option<Base>,
}

/// The newest backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// Of which moment it tells.
    pub at: Timestamp,
}

impl Open {
    /// Has a backup taken, beside all else.
    pub async fn ask_for_backup(
        &self,
        once: &Once,
        caller: &Caller,
        _permit: Permit<SysBackup>,
    ) -> Result<wire::Backup> {
        if self.ground().backups.is_none() {
            return Err(Error::new(ProblemType::BackupsOff, ""));
        }
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(Scope::Operator, once, caller).await? {
                return Ok(BackupId::from_uuid(done));
            }
            let id = BackupId::from_uuid(self.new_uuid());
            let record = BackupRecord { asked_at: self.now(), state: BackupStep::Asked };
            let event = self.event(Scope::Operator, EventKind::BackupAsked, caller);
            let change = self.change(event.with(FieldName::Detail, id)).create(RowId::backup(id), &record)?;
            self.commit(self.remember(change, Scope::Operator, once, caller, id.uuid())?).await?;
            Ok(id)
        })
        .await?;
        self.backing_up.0.lock().wanted = true;
        self.ground().wake.notify_waiters();
        self.backup_view(id).await
    }

    /// Backups that are there, were asked for or failed, the newest first.
    pub async fn backups(&self, paging: &Paging, _permit: Permit<SysStatus>) -> Result<Page<wire::Backup>> {
        let rows = self.page::<BackupRecord>(Range::table(Table::Backups).reversed(), paging, |_| true).await?;
        rows.try_map(async |row| view(&row)).await
    }

    /// One of them.
    pub async fn backup(&self, id: BackupId, _permit: Permit<SysStatus>) -> Result<wire::Backup> {
        self.backup_view(id).await
    }

    async fn backup_view(&self, id: BackupId) -> Result<wire::Backup> {
        view(&self.load::<BackupRecord>(&RowId::backup(id)).await?)
    }

    /// The newest one that was taken.
    pub fn last_backup(&self) -> Option<BackedUp> {
        self.backing_up.0.lock().last
    }

    /// Why the last try failed.
    pub fn backup_trouble(&self) -> Option<String> {
        self.backing_up.0.lock().failed.as_ref().map(|(_, trouble)| trouble.clone())
    }

    /// Whether it is time for one, or to see what the store knows of them.
    pub(crate) fn backup_is_due(&self) -> bool {
        let state = self.backing_up.0.lock();
        let Some(backups) = &self.ground().backups else { return !state.known };
        !state.known || state.wanted || self.is_old_enough(&state, backups)
    }

    fn is_old_enough(&self, state: &State, backups: &Backups) -> bool {
        let Some(every) = backups.every else { return false };
        let since = |at: Timestamp| self.now().duration_since(at);
        let rested = state.failed.as_ref().is_none_or(|(at, _)| since(*at) >= RETRY_AFTER.min(every));
        rested && state.last.is_none_or(|last| since(last.at) >= every)
    }

    /// What the store knows: the newest that was taken, and what was asked for.
    async fn read_backups(&self) -> Result<Vec<Versioned<BackupRecord>>> {
        let rows = self.all::<BackupRecord>(&Range::table(Table::Backups)).await?;
        let taken = rows.iter().filter_map(|row| match &row.value.state {
            BackupStep::Taken { moment, .. } => Some(BackedUp { at: *moment }),
            BackupStep::Asked | BackupStep::Failed { .. } => None,
        });
        let last = taken.max_by_key(|taken| taken.at);
        let mut state = self.backing_up.0.lock();
        (state.known, state.wanted, state.last) = (true, false, last);
        Ok(rows)
    }

    /// Tells of a backup, and forgets those whose files are past what is kept.
    async fn note_taken(&self, id: BackupId, asked_at: Timestamp, written: &Written, gone: &[String]) -> Result<()> {
        let Written { moment, file, rows, bytes, sha256, upon, base } = written;
        let goes_upon = upon.as_ref().map(|upon| format!(", upon {upon}")).unwrap_or_default();
        let removed = gone.len();
        let detail =
            format!("{file}, {rows} rows, {bytes} bytes, SHA-256 {sha256}{goes_upon}, {removed} older ones removed");
        let taken = BackupStep::Taken {
            moment: *moment,
            file: file.clone(),
            rows: *rows,
            bytes: *bytes,
            sha256: sha256.clone(),
            upon: upon.clone(),
        };
        let record = BackupRecord { asked_at, state: taken };
        deciding(|| async {
            let event = self.automatic(Scope::Operator, EventKind::BackupTaken, ACTOR).with(FieldName::Detail, &detail);
            let mut change = self.written(self.change(event), id, &record).await?;
            for row in self.all::<BackupRecord>(&Range::table(Table::Backups)).await? {
                if row.id != RowId::backup(id) && row.value.is_past(gone, *moment) {
                    change = change.remove(&row);
                }
            }
            self.commit(change).await.map(drop)
        })
        .await?;
        let mut state = self.backing_up.0.lock();
        (state.last, state.failed) = (Some(BackedUp { at: *moment }), None);
        let goes_on = self.ground().backups.as_ref().is_some_and(|backups| backups.increments > 0);
        state.base = goes_on.then(|| base.clone());
        Ok(())
    }

    /// What the next one may go upon: the last that was taken, by this node, while all that it goes upon is in its place.
    fn base_of(&self, backups: &Backups, rows: &[Versioned<BackupRecord>]) -> Option<Base> {
        let base = self.backing_up.0.lock().base.clone()?;
        let taken = rows.iter().filter_map(|row| match &row.value.state {
            BackupStep::Taken { moment, file, .. } => Some((*moment, file)),
            BackupStep::Asked | BackupStep::Failed { .. } => None,
        });
        let last = taken.max_by_key(|(moment, _)| *moment).map(|(_, file)| file);
        let is_there = |file: &String| backups.shelf.length(file).is_ok_and(|length| length.is_some());
        let goes_on = base.files.len() <= backups.increments && last == base.file() && base.files.iter().all(is_there);
        goes_on.then_some(base)
    }

    /// Tells that one could not be taken.
    async fn note_failed(&self, id: BackupId, asked_at: Timestamp, asked: bool, trouble: &str) -> Result<()> {
        self.backing_up.0.lock().failed = Some((self.now(), trouble.to_owned()));
        let record = BackupRecord { asked_at, state: BackupStep::Failed { trouble: trouble.to_owned() } };
        deciding(|| async {
            let event = self.automatic(Scope::Operator, EventKind::BackupFailed, ACTOR);
            let change = self.change(event.with(FieldName::Detail, trouble));
            let change = if asked { self.written(change, id, &record).await? } else { change };
            self.commit(change).await.map(drop)
        })
        .await
    }

    async fn written<'c>(
        &self,
        change: crate::journal::Change<'c>,
        id: BackupId,
        record: &BackupRecord,
    ) -> Result<crate::journal::Change<'c>> {
        match self.read::<BackupRecord>(&RowId::backup(id)).await? {
            Some(row) => change.update(&row, record),
            None => change.create(RowId::backup(id), record),
        }
    }
}

impl BackupRecord {
    /// Whether nobody needs it any more: its file goes, or it failed before the backup of this moment.
    fn is_past(&self, gone: &[String], moment: Timestamp) -> bool {
        match &self.state {
            BackupStep::Asked => false,
            BackupStep::Taken { file, .. } => gone.contains(file),
            BackupStep::Failed { .. } => self.asked_at < moment,
        }
    }
}

fn view(row: &Versioned<BackupRecord>) -> Result<wire::Backup> {
    let id = row.id.uuid().map(BackupId::from_uuid).ok_or_else(|| Error::internal("a backup without an id"))?;
    let asked_at = row.value.asked_at;
    let nothing = wire::Backup {
        id,
        state: wire::BackupState::Asked,
        asked_at,
        moment: None,
        file: None,
        rows: 0,
        bytes: 0,
        sha256: None,
        upon: None,
        trouble: None,
    };
    Ok(match row.value.state.clone() {
        BackupStep::Asked => nothing,
        BackupStep::Taken { moment, file, rows, bytes, sha256, upon } => wire::Backup {
            state: wire::BackupState::Taken,
            moment: Some(moment),
            file: Some(file),
            rows,
            bytes,
            sha256: Some(sha256),
            upon,
            ..nothing
        },
        BackupStep::Failed { trouble } => {
            wire::Backup { state: wire::BackupState::Failed, trouble: Some(trouble), ..nothing }
        }
    })
}

/// Takes the backup that was asked for first, or the one that is due. One at a time.
pub(crate) async fn back_up(vault: &Vault) -> Result<()> {
    let open = vault.open()?;
    let rows = open.read_backups().await?;
    let Some(backups) = open.ground().backups.clone() else { return Ok(()) };
    let base = open.base_of(&backups, &rows);
    let mut asked = rows.into_iter().filter(|row| row.value.state == BackupStep::Asked);
    let (first, more) = (asked.next(), asked.next().is_some());
    // Whoever asks gets one that needs no other.
    let base = base.filter(|_| first.is_none());
    open.backing_up.0.lock().wanted = more;
    let (id, asked_at) = match first.as_ref().map(|row| (row.id.uuid(), row.value.asked_at)) {
        Some((Some(id), asked_at)) => (BackupId::from_uuid(id), asked_at),
        Some((None, _)) => return Err(Error::internal("a backup without an id")),
        None if !open.is_old_enough(&open.backing_up.0.lock(), &backups) => return Ok(()),
        None => (BackupId::from_uuid(open.new_uuid()), open.now()),
    };
    let names = Names::of(vault.vault_id().await?);
    let run = crate::scrub::Run::of(vault, &open);
    drop(open);
    let written = write(&run, &backups, &names, id, base).await;
    let open = run.open()?;
    match written {
        Ok(written) => {
            let gone = names.past(&backups.shelf.names().map_err(on_shelf)?, backups.keep);
            open.note_taken(id, asked_at, &written, &gone).await?;
            for name in &gone {
                if let Err(error) = backups.shelf.remove(name) {
                    tracing::warn!(%error, name, "an older backup could not be removed; it is tried again after the next");
                }
            }
            Ok(())
        }
        Err(error) => {
            let trouble = error.operator.as_ref().map_or(&error.detail, |note| &note.0);
            tracing::error!(trouble, "a backup could not be taken");
            open.note_failed(id, asked_at, first.is_some(), trouble).await
        }
    }
}

fn on_shelf(error: io::Error) -> Error {
    Error::unavailable("The directory of the backups cannot be used; the operator's log says why.", error)
}
