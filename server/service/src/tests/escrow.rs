//! The escrow stream: no secret is stored, and none sent, that is not written elsewhere; and a lost disk loses none.

use std::io::{self, Read as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    NewCheckout, NewSystem, RecoverSecret, RecoverSecrets, RecoveredAs, RotationStep, Status, SystemSpec,
};
use claviger_core::policy::Resource;
use claviger_crypto::recipients::{Identities, Reading};
use parking_lot::Mutex;
use uuid::Uuid;

use super::backup::Case;
use super::world::{FIRST_SECRET, Refused as _, World, may, of, part, path, seconds, secret, standing};
use crate::error::Result;
use crate::escrow::file::{Files, NotRead, Opened, Summary};
use crate::escrow::{Elsewhere, Escrow};
use crate::{Ground, Once, Place, Vault};

/// A volume, as it is told what to do.
#[derive(Default)]
struct Volume {
    file: Vec<u8>,
    fails: Option<&'static str>,
    /// It goes away once so much was appended.
    goes_after: Option<u32>,
    appended: u32,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Volume>>);

impl Elsewhere for Shared {
    fn append(&mut self, head: &[u8], lines: &[u8]) -> io::Result<()> {
        let mut volume = self.0.lock();
        let gone = volume.goes_after.is_some_and(|after| volume.appended >= after).then_some("it went away");
        if let Some(why) = volume.fails.or(gone) {
            return Err(io::Error::other(why));
        }
        if volume.file.is_empty() {
            volume.file.extend(head);
        }
        volume.file.extend(lines);
        volume.appended += 1;
        Ok(())
    }
}

/// A world that takes backups, and writes each secret elsewhere.
struct Escrowed {
    case: Case,
    volume: Shared,
}

impl Escrowed {
    async fn new() -> Self {
        let mut case = Case::new(10).await;
        let volume = Shared::default();
        let run = Uuid::from_u128(7);
        let escrow = Escrow::begin(case.recipients.clone(), Box::new(volume.clone()), run).unwrap();
        case.world.vault = Vault::new(Ground { escrow: Some(escrow), ..case.world.vault.ground().clone() }).into();
        case.world.unseal().await;
        Self { case, volume }
    }

    fn world(&self) -> &World {
        &self.case.world
    }

    fn file(&self) -> Vec<u8> {
        self.volume.0.lock().file.clone()
    }

    fn fails(&self, why: Option<&'static str>) {
        self.volume.0.lock().fails = why;
    }

    /// What is there of this account: each version with its secret, or the news that it opens.
    fn of(&self, account: &str) -> Vec<(u64, Option<String>)> {
        let (entries, summary) = read(&self.file(), &self.case.identity);
        assert_eq!(summary.faults, [] as [&str; 0]);
        let entries = entries.into_iter().filter(|entry| entry.path.account.as_str() == account);
        entries.map(|entry| (entry.version, entry.secret.map(|secret| secret.expose().to_owned()))).collect()
    }

    /// What a person gives a restored vault.
    fn found(&self) -> RecoverSecrets {
        let (entries, _) = read(&self.file(), &self.case.identity);
        let mut secrets: Vec<RecoverSecret> = entries.into_iter().filter_map(given).collect();
        secrets.sort_by_key(|secret| (secret.account, secret.version));
        RecoverSecrets { secrets }
    }
}

fn given(entry: Opened) -> Option<RecoverSecret> {
    let Opened { customer, account, path, login, version, at, secret, .. } = entry;
    let secret = secret?.disclose();
    Some(RecoverSecret { customer, account, path, login, version, at, opened: false, secret })
}

fn read(file: &[u8], identity: &Identities) -> (Vec<Opened>, Summary) {
    let (mut files, mut entries) = (Files::default(), Vec::new());
    let keep = |entry| {
        entries.push(entry);
        Ok(())
    };
    files.read("it", file, identity, keep).unwrap();
    (entries, files.finish())
}

impl World {
    async fn recover(&self, secrets: &RecoverSecrets) -> Result<Vec<RecoveredAs>> {
        let (open, root) = (self.open(), self.root().await);
        let recovered = open.recover_secrets(secrets, &root, may(&open, &root, Resource::Operator)).await?;
        Ok(recovered.secrets.into_iter().map(|secret| secret.outcome).collect())
    }

    /// The stored secret of an account, as whoever checks it out sees it; nothing where it is not offered.
    async fn shown(&self, account: &NewCheckout) -> Option<String> {
        let tess = self.tess().await;
        let held = self.check_out(&tess, account, &Once::none()).await.ok()?;
        Some(self.reveal(&tess, held.id).await.unwrap().secret.secret().expose().to_owned())
    }

    async fn status(&self) -> Status {
        let (open, root) = (self.open(), self.root().await);
        open.status(&self.vault, may(&open, &root, Resource::Operator)).await.unwrap()
    }

    async fn set(&self, system: &str, account: &str, value: &str) {
        let (open, root, acme) = (self.open(), self.root().await, self.acme().await);
        let system = open.system_named(acme, &part(system)).await.unwrap();
        let account = open.account_named(acme, system, &part(account)).await.unwrap();
        let place = Place { customer: acme, system, account };
        let permit = may(&open, &root, Resource::Account(acme, system, account));
        open.set_secret(place, &secret(value), &Once::none(), &root, permit).await.unwrap();
    }
}

#[tokio::test]
async fn every_secret_is_written_elsewhere_and_so_is_which_one_opens() {
    let escrowed = Escrowed::new().await;
    let world = escrowed.world();
    let tess = world.tess().await;
    world.rotate(&tess, "app").await.unwrap();
    world.step().await;
    let now = world.system.password("app");
    assert_eq!(escrowed.of("app"), [(2, now), (2, None)]);

    world.system.add("new", "as it was brought");
    world.add_account("acme", "db1", standing("new", "as it was brought")).await.unwrap();
    assert_eq!(escrowed.of("new"), [(1, Some("as it was brought".to_owned()))]);

    // The login of one checkout: somebody must find it, should nobody end it.
    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    let shown = world.reveal(&tess, held.id).await.unwrap();
    let (entries, _) = read(&escrowed.file(), &escrowed.case.identity);
    let lent = entries.iter().find(|entry| entry.path.account.as_str() == "temp").unwrap();
    assert_eq!((&lent.login, lent.secret.as_ref().unwrap().expose()), (&shown.login, shown.secret.secret().expose()));

    // Whoever has the file has no name and no secret, and learns of no length.
    let text = String::from_utf8(escrowed.file()).unwrap();
    assert!(!text.contains("app") && !text.contains("acme"), "names in clear");
    for line in text.lines().skip(1) {
        let (sealed, mut entry) = (STANDARD.decode(line).unwrap(), Vec::new());
        let mut reading = Reading::begin(&escrowed.case.identity, sealed.as_slice()).unwrap();
        assert_eq!(reading.read_to_end(&mut entry).unwrap() % 512, 0);
    }
    let status = world.status().await;
    assert!(!status.single_copy);
    assert_eq!(status.escrow.unwrap().last_at, Some(world.now()));
}

#[tokio::test]
async fn what_is_not_elsewhere_is_neither_stored_nor_sent() {
    let escrowed = Escrowed::new().await;
    let world = escrowed.world();
    let tess = world.tess().await;
    escrowed.fails(Some("the volume is full"));

    world.system.add("new", "as it was brought");
    let refused = world.add_account("acme", "db1", standing("new", "as it was brought")).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::Unavailable);
    assert!(refused.detail.contains("escrow stream"), "{}", refused.detail);
    assert_eq!(world.check_out(&tess, &of("temp"), &Once::none()).await.problem(), ProblemType::Unavailable);

    let sets = world.system.machine().sets;
    let rotation = world.rotate(&tess, "app").await.unwrap();
    world.step().await;
    world.pass(seconds(60)).await;
    assert_eq!(world.system.machine().sets, sets, "no system is told of a secret that is nowhere else");
    assert_eq!(world.rotation(rotation.id).await.step, RotationStep::Preparing);
    assert_eq!(world.status().await.escrow.unwrap().trouble.as_deref(), Some("the volume is full"));
    assert_eq!(escrowed.file(), b"", "nothing is there");

    escrowed.fails(None);
    world.pass(seconds(3600)).await;
    assert_eq!(world.rotation(rotation.id).await.step, RotationStep::Done);
    assert_eq!(world.status().await.escrow.unwrap().trouble, None);
    assert_eq!(escrowed.of("app"), [(2, world.system.password("app")), (2, None)]);
    world.check().await;
}

#[tokio::test]
async fn news_that_does_not_get_there_holds_nothing_up() {
    let escrowed = Escrowed::new().await;
    let world = escrowed.world();
    let tess = world.tess().await;
    // The candidate gets there; which one opens the account does not.
    let rotation = world.rotate(&tess, "app").await.unwrap();
    escrowed.volume.0.lock().goes_after = Some(1);
    world.step().await;
    assert_eq!(world.rotation(rotation.id).await.step, RotationStep::Done);
    assert_eq!(escrowed.of("app"), [(2, world.system.password("app"))]);
    assert!(world.status().await.escrow.unwrap().trouble.is_some());
}

#[tokio::test]
async fn a_lost_disk_loses_no_password() {
    let escrowed = Escrowed::new().await;
    let world = escrowed.world();
    let tess = world.tess().await;
    for name in ["own", "late"] {
        world.system.add(name, FIRST_SECRET);
    }
    world.add_account("acme", "db1", standing("own", FIRST_SECRET)).await.unwrap();
    let file = escrowed.case.backed_up().await;
    // All that can help is changed after the backup, more than once: the management account too.
    for account in ["own", "app", "dba", "own", "dba"] {
        world.rotate(&tess, account).await.unwrap();
        world.step().await;
        world.pass(seconds(3600)).await;
    }
    world.add_account("acme", "db1", standing("late", FIRST_SECRET)).await.unwrap();
    let current = |account: &str| world.system.password(account).unwrap();
    let expected: Vec<String> = ["own", "app", "dba"].map(current).into();

    // Without the stream nobody opens them again: this test could fail.
    let without = escrowed.case.restored(&file).await;
    without.resume(true).await.unwrap();
    let tess = without.tess().await;
    without.rotate(&tess, "dba").await.unwrap();
    without.step().await;
    without.pass(seconds(7200)).await;
    assert_eq!(without.shown(&of("dba")).await, None, "lost, and known to be");

    let restored = escrowed.case.restored(&file).await;
    let outcomes = restored.recover(&escrowed.found()).await.unwrap();
    let count = |outcome: RecoveredAs| outcomes.iter().filter(|one| **one == outcome).count();
    // The one of `own` before the backup was there, `late` was added after it.
    assert_eq!((count(RecoveredAs::Added), count(RecoveredAs::Known), count(RecoveredAs::NoAccount)), (5, 1, 1));
    let again = restored.recover(&escrowed.found()).await.unwrap();
    assert!(!again.contains(&RecoveredAs::Added), "given again, nothing is added again");
    let acme = Scope::Customer(restored.acme().await);
    assert_eq!(restored.told(acme, EventKind::AccountSecretRecovered).await.len(), 5);
    let sets = restored.system.machine().sets;
    restored.step().await;
    assert_eq!(restored.system.machine().sets, sets, "a paused vault acts on no system");
    restored.resume(true).await.unwrap();
    restored.step().await;
    restored.pass(seconds(7200)).await;
    for (account, expected) in ["own", "app", "dba"].into_iter().zip(expected) {
        assert_eq!(restored.shown(&of(account)).await, Some(expected), "{account} opens with what was last set");
    }
    assert_eq!(restored.recover(&escrowed.found()).await.problem(), ProblemType::NotPaused);
    restored.check().await;
}

#[tokio::test]
async fn where_only_a_person_can_try_it_the_newest_is_taken_and_those_before_are_kept() {
    let escrowed = Escrowed::new().await;
    let world = escrowed.world();
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let spec = SystemSpec::Manual { address: "the door".to_owned(), instructions: String::new(), due_days: 3 };
    let new = NewSystem { name: part("door"), spec, management_account: None };
    open.add_system(acme, &new, &Once::none(), &root, may(&open, &root, Resource::Customer(acme))).await.unwrap();
    world.add_account("acme", "door", standing("code", "the first")).await.unwrap();
    let file = escrowed.case.backed_up().await;
    world.set("door", "code", "the second").await;
    world.set("door", "code", "the third").await;
    let restored = escrowed.case.restored(&file).await;
    let outcomes = restored.recover(&escrowed.found()).await.unwrap();
    assert_eq!(outcomes, [RecoveredAs::Known, RecoveredAs::Added, RecoveredAs::Added]);
    restored.resume(true).await.unwrap();
    let code = NewCheckout { account: path("acme/door/code"), ..of("code") };
    assert_eq!(restored.shown(&code).await.as_deref(), Some("the third"));
}

#[tokio::test]
async fn a_stream_says_what_is_not_as_it_should_be_and_opens_what_is() {
    let escrowed = Escrowed::new().await;
    let tess = escrowed.world().tess().await;
    for account in ["app", "dba", "app"] {
        escrowed.world().rotate(&tess, account).await.unwrap();
        escrowed.world().step().await;
    }
    let file = escrowed.file();
    let identity = &escrowed.case.identity;
    let all = read(&file, identity).0.len();
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), all + 1);

    // What was not written to its end was never acknowledged.
    let torn = &file[..file.len() - 100];
    let (entries, summary) = read(torn, identity);
    assert_eq!((entries.len(), summary.faults), (all - 1, vec![]));

    let mut less = lines.clone();
    less.remove(3);
    let (entries, summary) = read(&less.concat(), identity);
    assert_eq!(entries.len(), all - 1);
    assert!(summary.faults.len() == 1 && summary.faults[0].contains("1 entries of the run"), "{:?}", summary.faults);

    let mut altered = file.clone();
    let at = lines[..3].concat().len() + 200;
    altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
    let (entries, summary) = read(&altered, identity);
    assert_eq!(entries.len(), all - 1);
    assert!(summary.faults[0].contains("line 4: it is damaged"), "{:?}", summary.faults);

    let strange = Case::new(1).await.identity;
    let refused =
        |file: &[u8], identity: &Identities| Files::default().read("it", file, identity, |_| Ok(())).unwrap_err();
    assert!(matches!(refused(&file, &strange), NotRead::ForOthers));
    assert!(matches!(refused(b"something else\n", identity), NotRead::NoStream));
    let newer = b"{\"claviger_escrow\":2,\"vault\":\"00000000-0000-0000-0000-000000000000\"}\n";
    assert!(matches!(refused(newer, identity), NotRead::Newer(2)));
}
