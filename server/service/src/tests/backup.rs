//! Backups: whole or not there, of one moment, for their recipients alone.

use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, BackupState};
use claviger_api::{BackupId, Scope, Timestamp};
use claviger_core::policy::Resource;
use claviger_crypto::recipients::{Identities, Reading, Recipient};
use claviger_store::{Batch, FORMAT, Row, RowId, Store as _, StoreKey};
use jiff::SignedDuration;

use super::shelf::Memory;
use super::world::{Refused as _, World, key, may, of};
use crate::backup::chain::Rows;
use crate::backup::file::Head;
use crate::backup::{Backups, back_up};
use crate::records::{BackupRecord, BackupStep};
use crate::scrub::check::Checker;
use crate::shelf::Shelf;
use crate::{Caller, Ground, Once, Paging, Vault};

/// A world that takes backups, and who reads them.
pub struct Case {
    pub world: World,
    pub shelf: Memory,
    pub identity: Identities,
    pub recipients: Vec<Recipient>,
}

impl Case {
    pub async fn new(keep: usize) -> Self {
        Self::with_increments(keep, 0).await
    }

    /// The same, with so many increments upon each whole backup.
    #[expect(clippy::disallowed_methods, reason = "a key of the test's own, which opens nothing else")]
    pub async fn with_increments(keep: usize, increments: usize) -> Self {
        let (mut world, shelf) = (Box::pin(World::new()).await, Memory::default());
        let identity = age::x25519::Identity::generate();
        let recipients: Vec<Recipient> = vec![identity.to_public().to_string().parse().unwrap()];
        let format = Row { revision: 1, value: FORMAT.to_be_bytes().to_vec().into() };
        let put = vec![(RowId::meta("format").to_key(), format)];
        world.store.commit(Batch { put, ..Batch::default() }).await.unwrap();
        let every = Some(SignedDuration::from_hours(24));
        let kept: Arc<dyn Shelf> = Arc::new(shelf.clone());
        let backups = Backups { shelf: kept, recipients: recipients.clone(), every, increments, keep };
        let ground = Ground { backups: Some(Arc::new(backups)), ..world.vault.ground().clone() };
        world.vault = Vault::new(ground).into();
        world.unseal().await;
        let identity = Identities::parse(identity.to_string().expose_secret()).unwrap();
        Self { world, shelf, identity, recipients }
    }

    async fn root(&self) -> Caller {
        self.world.root().await
    }

    pub async fn ask(&self, once: &Once) -> wire::Backup {
        let (open, root) = (self.world.open(), self.root().await);
        let permit = may(&open, &root, Resource::Operator);
        open.ask_for_backup(once, &root, permit).await.unwrap()
    }

    async fn list(&self) -> Vec<wire::Backup> {
        let (open, root) = (self.world.open(), self.root().await);
        let permit = may(&open, &root, Resource::Operator);
        open.backups(&Paging::new(None, None).unwrap(), permit).await.unwrap().items
    }

    /// Does what workers do, if it is time.
    pub async fn work(&self) -> bool {
        let due = self.world.open().backup_is_due();
        if due {
            back_up(&self.world.vault).await.unwrap();
        }
        due
    }

    pub fn names(&self) -> Vec<String> {
        self.shelf.names().unwrap()
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        self.shelf.files.lock()[name].clone()
    }

    pub fn read(&self, name: &str) -> (Head, Vec<(StoreKey, Row)>) {
        self.read_of(&[name])
    }

    /// A whole backup with the increments upon it.
    pub fn read_of(&self, names: &[&str]) -> (Head, Vec<(StoreKey, Row)>) {
        let files: Vec<Vec<u8>> = names.iter().map(|name| self.file(name)).collect();
        let opened = files.iter().map(|file| Reading::begin(&self.identity, file.as_slice()).unwrap());
        let (head, mut reader) = Rows::begin(opened).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row().unwrap() {
            rows.push(row);
        }
        (head, rows)
    }

    /// Something happens, a day passes, and a backup is taken by itself. Its file, the file that it goes upon, and what was stored.
    async fn next_day(&self) -> (String, Option<String>, Vec<(StoreKey, Row)>) {
        let tess = self.world.tess().await;
        self.world.rotate(&tess, "app").await.unwrap();
        self.world.step().await;
        self.world.clock.advance(SignedDuration::from_hours(24));
        let stored = self.world.store.snapshot();
        assert!(self.work().await);
        let taken = self.list().await.remove(0);
        let rows = stored.rows().map(|(key, row)| (key.clone(), row.clone())).collect();
        (taken.file.unwrap(), taken.upon, rows)
    }
}

#[tokio::test]
async fn a_backup_is_taken_by_itself_and_when_somebody_asks_and_is_what_was_stored() {
    let case = Case::new(10).await;
    let before = case.world.store.snapshot();
    assert!(case.work().await, "there is none yet");
    let names = case.names();
    let (head, rows) = case.read(&names[0]);
    assert_eq!((head.name.as_str(), head.moment), ("vault.msp.example", case.world.now()));
    assert!(rows.iter().map(|(key, row)| (key, row)).eq(before.rows()), "it is every row, and in order");
    let taken = &case.list().await[0];
    assert_eq!(
        (taken.state, taken.file.as_ref(), taken.rows),
        (BackupState::Taken, Some(&names[0]), rows.len() as u64)
    );
    assert_eq!(taken.bytes, case.file(&names[0]).len() as u64);
    let told = case.world.told(Scope::Operator, EventKind::BackupTaken).await;
    assert!(told.len() == 1 && told[0].fields["detail"].starts_with(&names[0]), "{told:?}");
    assert!(!case.work().await, "and tomorrow again");

    let asked = case.ask(&key("once")).await;
    assert_eq!(case.ask(&key("once")).await.id, asked.id, "a repeated request is the same backup");
    assert_eq!(asked.state, BackupState::Asked);
    assert!(case.work().await && !case.work().await);
    assert_eq!((case.names().len(), case.list().await[0].state), (2, BackupState::Taken));
    let root = case.root().await;
    let open = case.world.open();
    let status = open.status(&case.world.vault, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!((status.last_backup_at, status.backup_trouble), (Some(case.world.now()), None));

    // What was asked for and not taken is taken after a restart, and none that is not due.
    case.ask(&Once::none()).await;
    case.world.vault.close();
    case.world.unseal().await;
    assert!(case.work().await && !case.work().await);
    assert_eq!(case.names().len(), 3);
    case.world.clock.advance(SignedDuration::from_hours(24));
    assert!(case.work().await);
    assert_eq!(case.names().len(), 4);

    let open = World::new().await;
    let root = open.root().await;
    let permit = may(&open.open(), &root, Resource::Operator);
    assert_eq!(open.open().ask_for_backup(&Once::none(), &root, permit).await.problem(), ProblemType::BackupsOff);
}

/// What is written meanwhile is in it whole or not at all: the file passes the same check as the store.
#[tokio::test]
async fn a_backup_is_of_one_moment_whatever_is_written_meanwhile() {
    let case = Case::new(100).await;
    let (world, done) = (&case.world, std::cell::Cell::new(false));
    let tess = world.tess().await;
    let writing = async {
        while !done.get() {
            let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
            world.reveal(&tess, held.id).await.unwrap();
            world.check_in(&tess, held.id).await.unwrap();
            world.step().await;
        }
    };
    let taking = async {
        for _ in 0..8 {
            case.ask(&Once::none()).await;
            case.work().await;
        }
        done.set(true);
    };
    tokio::join!(writing, taking);
    let mut sizes = std::collections::BTreeSet::new();
    for name in case.names() {
        let (_, rows) = case.read(&name);
        let mut checker = Checker::new("vault.msp.example");
        for (key, row) in &rows {
            checker.row(world.open().keyring(), key, row);
        }
        assert_eq!(checker.finish().found.faults, []);
        sizes.insert(rows.len());
    }
    assert!(sizes.len() > 4, "it was written meanwhile: {sizes:?}");
}

#[tokio::test]
async fn only_as_many_are_kept_and_nothing_of_anybody_elses_goes() {
    let case = Case::new(2).await;
    case.shelf.files.lock().insert("notes.txt".to_owned(), Vec::new());
    for _ in 0..4 {
        case.world.clock.advance(SignedDuration::from_secs(7));
        case.ask(&Once::none()).await;
        case.work().await;
    }
    let names = case.names();
    assert_eq!((names.len(), names[2].as_str()), (3, "notes.txt"));
    let listed: Vec<String> = case.list().await.into_iter().filter_map(|backup| backup.file).collect();
    assert_eq!(listed, [names[1].clone(), names[0].clone()], "what is listed is there");
}

#[tokio::test]
async fn anvil_disk_full_a_backup_that_fails_leaves_nothing_behind_and_an_alarm() {
    let case = Case::new(1).await;
    case.work().await;
    let good = case.names();
    *case.shelf.full.lock() = true;
    let asked = case.ask(&Once::none()).await;
    assert!(case.work().await);
    assert_eq!(case.names(), good, "the last good one stays");
    let failed = case.list().await.into_iter().find(|backup| backup.id == asked.id).unwrap();
    assert_eq!(failed.state, BackupState::Failed);
    assert!(failed.trouble.unwrap().contains("the disk is full"));
    assert_eq!(case.world.told(Scope::Operator, EventKind::BackupFailed).await.len(), 1);
    assert!(!case.work().await, "nobody asks, and it is not time");
    case.world.clock.advance(SignedDuration::from_hours(24));
    assert!(case.work().await && !case.work().await, "one that is due and fails is tried again in an hour");
    *case.shelf.full.lock() = false;
    case.world.clock.advance(SignedDuration::from_hours(1));
    assert!(case.work().await);
    assert_eq!(case.world.open().backup_trouble(), None);
    assert_eq!((case.names().len(), case.list().await.len()), (1, 1), "what failed before is forgotten");
    let _: Timestamp = case.world.now();
}

#[tokio::test]
async fn increments_say_what_has_changed_and_are_read_over_what_they_go_upon() {
    let case = Case::with_increments(10, 2).await;
    let mut days = Vec::new();
    for _ in 0..3 {
        days.push(case.next_day().await);
    }
    let bytes: Vec<Vec<u8>> = case.names().iter().map(|file| case.file(file)).collect();
    let chain: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
    let proven = case.proven_of(&chain).await;
    assert!(proven.faults.is_empty() && proven.rows > 0, "{proven:?}");
    case.restored_of(&chain).await.check().await;

    days.push(case.next_day().await);
    let files: Vec<&str> = days.iter().map(|(file, ..)| file.as_str()).collect();
    let upon: Vec<Option<&str>> = days.iter().map(|(_, upon, _)| upon.as_deref()).collect();
    assert_eq!(upon, [None, Some(files[0]), Some(files[1]), None], "a whole one after two increments");
    assert_eq!(case.names(), files, "in the order in which they were taken");
    for until in 1..=3 {
        let (head, rows) = case.read_of(&files[..until]);
        assert_eq!((head.name.as_str(), &rows), ("vault.msp.example", &days[until - 1].2));
    }
    assert_eq!(case.read(files[3]).1, days[3].2);
    let told = case.world.told(Scope::Operator, EventKind::BackupTaken).await;
    assert!(told[2].fields["detail"].contains(&format!(", upon {}", files[0])), "the newest is the first: {told:?}");
}

/// Without what it goes upon an increment is nothing.
#[tokio::test]
async fn a_whole_backup_is_taken_where_an_increment_would_go_upon_nothing() {
    let case = Case::with_increments(10, 100).await;
    let is_whole = async || case.next_day().await.1.is_none();
    assert!(is_whole().await && !is_whole().await);

    case.world.clock.advance(SignedDuration::from_secs(1));
    case.ask(&Once::none()).await;
    assert!(case.work().await);
    assert_eq!(case.list().await[0].upon, None, "who asks gets one that needs no other");
    assert!(!is_whole().await, "and the next goes upon that");

    case.world.vault.close();
    case.world.unseal().await;
    assert!(is_whole().await && !is_whole().await, "after a start nobody knows what the last one holds");

    let last = case.names().pop().unwrap();
    case.shelf.files.lock().remove(&last);
    assert!(is_whole().await && !is_whole().await, "the last one is gone");

    let chain = case.names().into_iter().rev().nth(1).unwrap();
    assert!(!chain.contains("increment"));
    case.shelf.files.lock().remove(&chain);
    assert!(is_whole().await && !is_whole().await, "what the last one goes upon is gone");

    // Another node took the last.
    case.world.clock.advance(SignedDuration::from_secs(1));
    let open = case.world.open();
    let (file, moment) = ("another node's".to_owned(), case.world.now());
    let state = BackupStep::Taken { moment, file, rows: 0, bytes: 0, sha256: String::new(), upon: None };
    let (id, record) = (open.new_uuid(), BackupRecord { asked_at: moment, state });
    let change = open.change(open.automatic(Scope::Operator, EventKind::BackupTaken, "system/backup"));
    open.commit(change.create(RowId::backup(BackupId::from_uuid(id)), &record).unwrap()).await.unwrap();
    drop(open);
    assert!(is_whole().await && !is_whole().await);
}

#[tokio::test]
async fn increments_go_with_what_they_go_upon() {
    let case = Case::with_increments(1, 2).await;
    let mut days = Vec::new();
    for _ in 0..4 {
        days.push(case.next_day().await.0);
    }
    assert_eq!(case.names(), days[3..], "a newer whole one is safe");
    days.push(case.next_day().await.0);
    assert_eq!(case.names(), days[3..]);
    assert_eq!(case.list().await.len(), 2);
}
