//! The oldest entries of a log in archives: found, exported and proven from there, and erased there too.

use std::io;
use std::sync::Arc;

use claviger_api::audit::archive::verify_archive;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::note::VerifierKey;
use claviger_api::audit::verify::{Report, verify_export};
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditQuery, LogArchive, NewErasure, PrincipalKind, ProofQuery, ScrubFaultKind};
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{RowId, Table};

use super::shelf::Memory;
use super::world::{Refused as _, World, may, of, part, seconds};
use crate::error::Result;
use crate::shelf::Shelf;
use crate::{Ground, Once, Paging, Settings, Vault};

const DAY: i64 = 86_400;
const RETENTION_DAYS: u32 = 2;

/// A vault with a shelf, and a log of which three blocks and a bit are past their retention.
struct Case {
    world: World,
    shelf: Memory,
    scope: Scope,
}

impl Case {
    async fn new() -> Self {
        let mut world = World::new().await;
        let shelf = Memory::default();
        let archives: Option<Arc<dyn Shelf>> = Some(Arc::new(shelf.clone()));
        let ground = world.vault.ground().clone();
        let settings = Settings { audit_retention_days: RETENTION_DAYS, ..ground.settings.clone() };
        world.vault = Vault::new(Ground { archives, settings, ..ground }).into();
        world.unseal().await;
        let scope = Scope::Customer(world.acme().await);
        let case = Self { world, shelf, scope };
        while case.size().await < 3 * 256 + 40 {
            case.work("a look at the disks").await;
        }
        case
    }

    async fn work(&self, reason: &str) {
        let (world, tess) = (&self.world, self.world.tess().await);
        let new = claviger_api::wire::NewCheckout { reason: reason.to_owned(), ..of("app") };
        let held = world.check_out(&tess, &new, &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.clock.advance(seconds(60));
        world.step().await;
    }

    async fn size(&self) -> u64 {
        self.world.open().head(self.scope).await.unwrap().frontier.size()
    }

    /// What a month and more does.
    async fn age(&self, days: i64) {
        self.world.clock.advance(seconds(days * DAY));
        self.world.step().await;
        let open = self.world.open();
        while open.index_a_block().await.unwrap() {}
    }

    async fn archive(&self) -> Result<()> {
        while self.world.open().archive_a_piece().await? {}
        Ok(())
    }

    fn leaves_in_store(&self) -> usize {
        let of_log = |id: &RowId| id.table() == Table::LogLeaves && id.scope() == self.scope;
        let rows = self.world.store.snapshot();
        rows.rows().filter(|(key, _)| of_log(&RowId::from_key(key).unwrap())).count()
    }

    async fn list(&self) -> Vec<LogArchive> {
        let (open, root) = (self.world.open(), self.world.root().await);
        let Scope::Customer(acme) = self.scope else { panic!("a customer's log") };
        let permit = may(&open, &root, Resource::Customer(acme));
        open.log_archives(self.scope, &Paging::new(None, None).unwrap(), permit).await.unwrap().items
    }

    async fn find(&self, query: &AuditQuery) -> Result<Vec<u64>> {
        let (open, root) = (self.world.open(), self.world.root().await);
        let Scope::Customer(acme) = self.scope else { panic!("a customer's log") };
        let permit = may(&open, &root, Resource::Customer(acme));
        let paging = Paging::new(Some(1000), None).unwrap();
        let page = open.audit_events(self.scope, query, &paging, &root, permit).await?;
        Ok(page.items.into_iter().map(|event| event.index).collect())
    }

    async fn key(&self) -> VerifierKey {
        let (open, root) = (self.world.open(), self.world.root().await);
        let Scope::Customer(acme) = self.scope else { panic!("a customer's log") };
        let permit = may(&open, &root, Resource::Customer(acme));
        open.checkpoint(self.scope, permit).await.unwrap().verifier_key.parse().unwrap()
    }

    async fn export(&self, from: u64) -> Result<String> {
        let (open, root) = (self.world.open(), self.world.root().await);
        let Scope::Customer(acme) = self.scope else { panic!("a customer's log") };
        let permit = may(&open, &root, Resource::Customer(acme));
        Ok(open.export(self.scope, from, &root, permit).await?.concat())
    }

    async fn verified(&self, from: u64) -> Report {
        let (file, key) = (self.export(from).await.unwrap(), self.key().await);
        verify_export(file.lines().map(|line| Ok::<_, io::Error>(line.to_owned())), Some(&key)).unwrap()
    }
}

fn about(text: &str) -> AuditQuery {
    AuditQuery { text: Some(text.to_owned()), ..AuditQuery::default() }
}

#[tokio::test]
async fn what_is_past_its_retention_is_in_an_archive_and_read_as_before() {
    let case = Box::pin(Case::new()).await;
    case.age(0).await;
    case.archive().await.unwrap();
    assert_eq!(case.list().await, [], "nothing is old yet");
    case.age(20).await;
    case.archive().await.unwrap();
    assert_eq!(case.list().await, [], "what would not fill an archive waits a month");

    case.age(11).await;
    case.archive().await.unwrap();
    assert_eq!(case.list().await, [], "a month after the retention, not after the entries");

    // What is newer stays, though it would fill a block.
    let (open, root) = (case.world.open(), case.world.root().await);
    while case.size().await < 4 * 256 + 40 {
        open.commit(open.change(open.event(case.scope, EventKind::LogRead, &root))).await.unwrap();
    }
    let before = case.find(&about("disks")).await.unwrap();
    case.age(1).await;
    case.archive().await.unwrap();
    let [archive] = &*case.list().await else { panic!("one archive") };
    assert_eq!((archive.from, archive.to, archive.present), (0, 768, true));
    assert!(archive.first_time < archive.last_time);
    assert_eq!(case.leaves_in_store() as u64, case.size().await - 768, "they are in one place");

    let scrubbed = crate::scrub::findings(&case.world.vault).await.unwrap();
    assert_eq!(scrubbed.faults, [], "the scrub knows where they are");
    assert_eq!(case.find(&about("disks")).await.unwrap(), before, "searches find what they found");
    let report = case.verified(0).await;
    assert!(report.is_whole() && report.completeness.as_ref().unwrap().faults.is_empty(), "{report:?}");
    let Scope::Customer(acme) = case.scope else { panic!("a customer's log") };
    for index in [0, 255, 256, 767] {
        let query = ProofQuery { index: Some(index), size: Some(790), ..ProofQuery::default() };
        open.proof(case.scope, &query, may(&open, &root, Resource::Customer(acme))).await.unwrap();
    }
    case.archive().await.unwrap();
    assert_eq!(case.list().await.len(), 1, "and that is all");
}

/// The file can leave the house: it shows that it is whole, and nothing of what it says.
#[tokio::test]
async fn an_archive_proves_its_hashes_and_tells_nothing() {
    let case = Box::pin(Case::new()).await;
    case.age(34).await;
    case.archive().await.unwrap();
    let key = case.key().await;
    let file = case.shelf.files.lock().values().next().unwrap().clone();
    let text = String::from_utf8(file).unwrap();
    for word in ["acme/", "look at the disks", "checkout.", "system/rotation", "\"actor\""] {
        assert!(!text.contains(word), "{word}");
    }
    let report = verify_archive(text.lines().map(|line| Ok::<_, io::Error>(line.to_owned())), Some(&key)).unwrap();
    assert_eq!((report.from, report.entries), (0, 768));
}

#[tokio::test]
async fn an_archive_that_is_gone_or_changed_is_named_and_what_is_newer_can_be_had() {
    let case = Box::pin(Case::new()).await;
    case.age(34).await;
    case.archive().await.unwrap();
    let (name, whole) = case.shelf.files.lock().pop_first().unwrap();
    let refused = case.export(0).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::ArchiveUnavailable);
    assert!(refused.detail.contains(&name) && refused.detail.contains("0 to 767"), "{}", refused.detail);
    assert_eq!(case.find(&about("disks")).await.unwrap_err().problem, ProblemType::ArchiveUnavailable);
    assert!(!case.list().await[0].present);
    let scrubbed = crate::scrub::findings(&case.world.vault).await.unwrap();
    assert_eq!(scrubbed.faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [ScrubFaultKind::ArchiveMissing]);
    let report = case.verified(768).await;
    assert_eq!((report.from, report.entries), (768, case.size().await - 768));
    let since: Timestamp = case.world.now() - seconds(DAY);
    assert!(!case.find(&AuditQuery { since: Some(since), ..AuditQuery::default() }).await.unwrap().is_empty());

    // One character of each of two entries; the second block still reads.
    let mut changed = whole.clone();
    let text = String::from_utf8(whole.clone()).unwrap();
    let at = text.find("{\"index\":3,").unwrap() + 40;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    case.shelf.files.lock().insert(name.clone(), changed);
    let refused = case.export(0).await.unwrap_err();
    assert!(refused.detail.starts_with("Entry 3 in the archive"), "{}", refused.detail);
    case.verified(256).await;
    // Another block in its place.
    let (first, second) = (text.find("{\"block\":0").unwrap(), text.find("{\"block\":1").unwrap());
    let third = text.find("{\"block\":2").unwrap();
    let swapped = [&text[..first], &text[second..third], &text[first..second], &text[third..]].concat();
    case.shelf.files.lock().insert(name.clone(), swapped.into_bytes());
    assert_eq!(case.export(0).await.problem(), ProblemType::ArchiveUnavailable);
    // Whole again.
    case.shelf.files.lock().insert(name, whole);
    assert!(case.verified(0).await.is_whole());
}

/// No fault loses an entry: it is in the store until an archive that was read again is told of.
#[tokio::test]
async fn nothing_leaves_the_store_before_its_archive_is_proven_and_told_of() {
    let case = Box::pin(Case::new()).await;
    case.age(34).await;
    let all = case.leaves_in_store();
    *case.shelf.full.lock() = true;
    assert_eq!(case.archive().await.unwrap_err().problem, ProblemType::Unavailable);
    *case.shelf.full.lock() = false;
    case.world.store.set_faults(FaultPlan::every_commit(CommitFault::Refused));
    case.archive().await.unwrap_err();
    assert_eq!((case.leaves_in_store(), case.list().await.len()), (all, 0));
    assert_eq!(case.shelf.files.lock().len(), 1, "the file is there, and nothing says so: it is written again");
    case.world.store.set_faults(FaultPlan::none());
    // Taken from the store in pieces: between two of them an entry is in both.
    assert!(case.world.open().archive_a_piece().await.unwrap());
    assert_eq!((case.leaves_in_store(), case.list().await.len()), (all + 1, 1));
    assert!(case.verified(0).await.is_whole());
    case.archive().await.unwrap();
    assert!(case.leaves_in_store() < 256);
    assert!(case.verified(0).await.is_whole());
}

#[tokio::test]
async fn erasing_a_person_erases_in_archives_too() {
    let case = Box::pin(Case::new()).await;
    case.age(34).await;
    case.archive().await.unwrap();
    let (open, root) = (case.world.open(), case.world.root().await);
    open.remove_principal(&part("tess"), PrincipalKind::User, &root, may(&open, &root, Resource::Operator))
        .await
        .unwrap();
    case.world.step().await;
    assert!(case.export(0).await.unwrap().contains("a look at the disks"));
    let erasure = NewErasure { principal: "tess".to_owned(), reason: "asked for".to_owned() };
    // Words of it may be in an archive that is elsewhere: then nothing is erased.
    let (name, file) = case.shelf.files.lock().pop_first().unwrap();
    let refused =
        open.erase_principal(&erasure, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.problem();
    assert_eq!(refused, ProblemType::ArchiveUnavailable);
    case.shelf.files.lock().insert(name, file);
    assert!(case.export(0).await.unwrap().contains("a look at the disks"));
    open.erase_principal(&erasure, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let file = case.export(0).await.unwrap();
    assert!(!file.contains("a look at the disks") && !file.contains("\"tess\""));
    assert!(case.verified(0).await.is_whole());
    while open.index_a_block().await.unwrap() {}
    assert_eq!(case.find(&about("disks")).await.unwrap(), [0; 0]);
}
