//! Emergency kits: for several people together, of one moment, and of no use once they were opened.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, CustomerLimits, EmergencyState, KitRule, KitState, PrincipalKind};
use claviger_api::{KitId, Scope, Secret};
use claviger_core::policy::{CustomerLimit, Resource};
use claviger_crypto::kit::KitShares;
use claviger_crypto::recipients::{Identities, Reading, Recipient};
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{RowId, Table};
use jiff::SignedDuration;
use serde_json::Value;
use uuid::Uuid;

use super::limits::cara;
use super::shelf::Memory;
use super::system::Happens;
use super::world::{FIRST_SECRET, Refused as _, World, key, may, part, secret};
use crate::error::Result;
use crate::kit::Kits;
use crate::shelf::Shelf as _;
use crate::{Ground, Once, Paging, Vault};

/// Somebody with a private key.
pub struct Holder {
    identity: Secret,
    pub recipient: Recipient,
}

impl Holder {
    #[expect(clippy::disallowed_methods, reason = "a key of the test's own, which opens nothing else")]
    fn new() -> Self {
        let identity = age::x25519::Identity::generate();
        let recipient = identity.to_public().to_string().parse().unwrap();
        Self { identity: Secret::new(identity.to_string().expose_secret().to_owned()).unwrap(), recipient }
    }

    /// What was written for this one.
    pub fn read(&self, file: &[u8]) -> Option<String> {
        opened(&self.identity, file)
    }
}

fn opened(identity: &Secret, file: &[u8]) -> Option<String> {
    let identities = Identities::parse(identity.expose()).unwrap();
    let mut text = String::new();
    Reading::begin(&identities, file).ok()?.read_to_string(&mut text).unwrap();
    Some(text)
}

/// The parts of a kit's file, by their names.
fn parts(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    });
    entries.collect()
}

/// A world that makes kits: two people of the customer's, one of the MSP's.
pub struct Case {
    pub world: World,
    pub shelf: Memory,
    pub own: [Holder; 2],
    pub msp: Holder,
}

impl Case {
    pub async fn new(keep: usize) -> Self {
        let (world, shelf) = (Box::pin(World::new()).await, Memory::default());
        cara(&world).await;
        let mut case = Self { world, shelf, own: [Holder::new(), Holder::new()], msp: Holder::new() };
        let msp = vec![case.msp.recipient.clone()];
        case.configure(msp, keep).await;
        case
    }

    /// Starts again with these recipients of the MSP's.
    pub async fn configure(&mut self, recipients: Vec<Recipient>, keep: usize) {
        let every = Some(SignedDuration::from_hours(24));
        let kits = Kits { shelf: Arc::new(self.shelf.clone()), recipients, every, keep };
        let ground = Ground { kits: Some(Arc::new(kits)), ..self.world.vault.ground().clone() };
        self.world.vault = Vault::new(ground).into();
        self.world.unseal().await;
    }

    pub fn rule(&self, threshold: u8) -> KitRule {
        KitRule { recipients: self.own.iter().map(|holder| holder.recipient.to_string()).collect(), threshold }
    }

    pub async fn limit(&self, kit: Option<KitRule>) -> Result<wire::Customer> {
        let (open, acme) = (self.world.open(), self.world.acme().await);
        let cara = open.acting("cara").await;
        let permit = open.permit::<CustomerLimit>(&cara, &Resource::Customer(acme)).await.unwrap();
        open.limit_customer(acme, &CustomerLimits { kit, ..CustomerLimits::default() }, &cara, permit).await
    }

    async fn ask(&self, once: &Once) -> Result<wire::Kit> {
        let (open, root, acme) = (self.world.open(), self.world.root().await, self.world.acme().await);
        open.ask_for_kit(acme, once, &root, may(&open, &root, Resource::Customer(acme))).await
    }

    async fn show(&self, id: KitId) -> wire::Kit {
        let (open, root, acme) = (self.world.open(), self.world.root().await, self.world.acme().await);
        open.kit(acme, id, may(&open, &root, Resource::Customer(acme))).await.unwrap()
    }

    async fn list(&self) -> Vec<wire::Kit> {
        let (open, root, acme) = (self.world.open(), self.world.root().await, self.world.acme().await);
        let paging = Paging::new(None, None).unwrap();
        open.kits(acme, &paging, may(&open, &root, Resource::Customer(acme))).await.unwrap().items
    }

    async fn download(&self, id: KitId) -> Result<Vec<u8>> {
        let (open, root, acme) = (self.world.open(), self.world.root().await, self.world.acme().await);
        open.kit_file(acme, id, &root, may(&open, &root, Resource::Customer(acme))).await
    }

    async fn opened(&self, id: KitId, once: &Once) -> Result<wire::Kit> {
        let (open, root, acme) = (self.world.open(), self.world.root().await, self.world.acme().await);
        let at = Resource::Customer(acme);
        let permits = (open.permit(&root, &at).await?, open.permit(&root, &at).await?);
        open.kit_was_opened(acme, id, "the server burned down", once, &root, permits).await
    }

    /// Acme has no people of its own in the vault any more.
    pub async fn without_cara(&self) {
        let (open, root) = (self.world.open(), self.world.root().await);
        let permit = may(&open, &root, Resource::Operator);
        open.remove_principal(&part("cara"), PrincipalKind::User, &root, permit).await.unwrap();
        drop(open);
        self.world.step().await;
    }

    /// One that is made now.
    async fn made(&self) -> wire::Kit {
        let asked = self.ask(&Once::none()).await.unwrap();
        assert_eq!(asked.state, KitState::Asked);
        assert!(self.world.step().await.is_empty());
        self.show(asked.id).await
    }

    pub fn names(&self) -> Vec<String> {
        self.shelf.names().unwrap()
    }

    pub fn file(&self, name: &str) -> Vec<u8> {
        self.shelf.files.lock()[name].clone()
    }

    /// What these people read in a kit, if they are enough.
    fn read(&self, kit: &wire::Kit, people: &[&Holder]) -> Option<Value> {
        let parts = parts(&self.file(kit.file.as_ref().unwrap()));
        let mut shares = KitShares::default();
        for person in people {
            let texts = parts.iter().filter(|(name, _)| name.starts_with("share-"));
            let mut own = texts.filter_map(|(_, content)| person.read(content));
            let (text, more) = (own.next().unwrap(), own.next());
            assert!(more.is_none(), "one share each");
            shares.add(&secret(text.lines().find(|line| !line.starts_with('#')).unwrap())).unwrap();
        }
        assert_eq!(shares.kit(), Some(kit.id.uuid()));
        let key = shares.combine().ok()?;
        Some(serde_json::from_str(&opened(&key.identity(), &parts["kit.age"]).unwrap()).unwrap())
    }
}

/// The secrets of an account in a body, with what they are.
pub fn secrets(body: &Value, account: &str) -> Vec<(String, String)> {
    let systems = body["systems"].as_array().unwrap();
    let accounts = systems.iter().flat_map(|system| system["accounts"].as_array().unwrap());
    let account = accounts.into_iter().find(|one| one["path"] == format!("acme/db1/{account}")).unwrap();
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let secrets = account["secrets"].as_array().unwrap().iter();
    secrets.map(|one| (word(&one["is"]), word(&one["secret"]))).collect()
}

fn is_in(what: &str, bytes: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

#[tokio::test]
async fn a_kit_is_opened_by_enough_of_its_people_and_by_no_fewer() {
    let case = Case::new(3).await;
    case.limit(Some(case.rule(2))).await.unwrap();
    let kit = case.made().await;
    assert_eq!((kit.state, kit.accounts, kit.threshold), (KitState::Made, 4, Some(2)));
    let all: Vec<String> = [&case.own[0], &case.own[1], &case.msp].map(|holder| holder.recipient.to_string()).into();
    assert_eq!(kit.recipients, all, "the customer's own come first");

    for people in [[&case.own[0], &case.own[1]], [&case.msp, &case.own[0]], [&case.own[1], &case.msp]] {
        let body = case.read(&kit, &people).unwrap();
        assert_eq!(
            (body["format"].as_str(), body["vault"].as_str()),
            (Some("claviger-kit/1"), Some("vault.msp.example"))
        );
        assert_eq!(
            (body["kit"].as_str(), body["customer"]["slug"].as_str()),
            (Some(&*kit.id.to_string()), Some("acme"))
        );
        assert_eq!(body["systems"][0]["reached_by"]["host"], "db1.acme.example");
        assert_eq!(body["systems"][0]["management_account"], "dba");
        assert_eq!(secrets(&body, "app"), [("current".to_owned(), FIRST_SECRET.to_owned())]);
        assert_eq!(secrets(&body, "dba"), [("current".to_owned(), "of the dba".to_owned())]);
        assert!(secrets(&body, "temp").is_empty(), "of an ephemeral one nothing is stored");
    }
    assert!(case.read(&kit, &[&case.msp]).is_none() && case.read(&kit, &[&case.own[0]]).is_none());

    // Whoever has the file alone learns what it is, and how it is opened.
    let file = case.file(kit.file.as_ref().unwrap());
    assert!(!is_in(FIRST_SECRET, &file) && !is_in("of the dba", &file) && !is_in("cek1-", &file.replace_readme()));
    let readme = String::from_utf8(parts(&file)["README.txt"].clone()).unwrap();
    for said in [
        &kit.id.to_string(),
        "acme (Acme)",
        "any 2 of the 3 people",
        "combine-kit | age -d -i - kit.age",
        all[2].as_str(),
    ] {
        assert!(readme.contains(said), "{said}: {readme}");
    }
    let names: Vec<String> = parts(&file).into_keys().collect();
    let share = |number: usize, text: &str| format!("share-{number}-{}.age", &text[..12]);
    assert_eq!(names, ["README.txt", "kit.age", &share(1, &all[0]), &share(2, &all[1]), &share(3, &all[2])]);

    // Both logs tell of it, and of whoever gets it; a request that is repeated is the same kit.
    assert_eq!(case.download(kit.id).await.unwrap(), file);
    let again = case.ask(&key("once")).await.unwrap();
    assert_eq!(case.ask(&key("once")).await.unwrap().id, again.id);
    assert_eq!(case.download(again.id).await.problem(), ProblemType::KitUnavailable, "it is not made yet");
    let acme = case.world.acme().await;
    for scope in [Scope::Operator, Scope::Customer(acme)] {
        for (kind, times) in [(EventKind::KitAsked, 2), (EventKind::KitMade, 1), (EventKind::KitDownloaded, 1)] {
            let told = case.world.told(scope, kind).await;
            assert!(told.len() == times && told[0].fields["detail"].starts_with("ki_"), "{kind}: {told:?}");
        }
    }
    let told = case.world.told(Scope::Operator, EventKind::KitMade).await;
    assert!(
        told[0].fields["detail"].contains(kit.sha256.as_ref().unwrap()) && told[0].fields["detail"].contains(&all[2])
    );
    case.world.check().await;

    // A file that was altered is not given out.
    case.shelf.files.lock().get_mut(kit.file.as_ref().unwrap()).unwrap()[600] ^= 1;
    assert_eq!(case.download(kit.id).await.problem(), ProblemType::KitUnavailable);
}

/// The file without its text for people, which says what a share begins with.
trait Encrypted {
    fn replace_readme(&self) -> Vec<u8>;
}

impl Encrypted for Vec<u8> {
    fn replace_readme(&self) -> Vec<u8> {
        parts(self).into_iter().filter(|(name, _)| name != "README.txt").flat_map(|(_, content)| content).collect()
    }
}

#[tokio::test]
async fn kits_are_made_by_themselves_and_the_oldest_go() {
    let case = Case::new(2).await;
    let look = async || {
        for _ in 0..2 {
            case.world.open().ask_for_kits_due().await.unwrap();
        }
        case.world.step().await
    };
    assert!(look().await.is_empty() && case.names().is_empty(), "the customer has not said who opens it");
    assert_eq!(case.ask(&Once::none()).await.problem(), ProblemType::KitsOff);
    case.limit(Some(case.rule(3))).await.unwrap();
    for day in 1..=3 {
        look().await;
        look().await;
        assert_eq!(case.names().len(), day.min(2), "one a day, and two are kept");
        case.world.clock.advance(SignedDuration::from_hours(24));
    }
    assert_eq!(case.list().await.len(), 2, "what has no file any more is not listed");

    // A disk that is full is told of, in the log and in numbers; it is tried again an hour later.
    *case.shelf.full.lock() = true;
    look().await;
    look().await;
    let failed = case.list().await.remove(0);
    assert!(failed.state == KitState::Failed && failed.trouble.as_ref().unwrap().contains("directory"), "{failed:?}");
    assert_eq!(case.download(failed.id).await.problem(), ProblemType::KitUnavailable);
    assert_eq!(case.world.open().kits_seen().unwrap().failing, 1);
    assert_eq!(case.world.told(Scope::Operator, EventKind::KitFailed).await.len(), 1);
    *case.shelf.full.lock() = false;
    look().await;
    assert_eq!(case.list().await.remove(0).state, KitState::Failed, "not at once");
    case.world.clock.advance(SignedDuration::from_hours(1));
    look().await;
    let kits = case.list().await;
    assert!(kits.len() == 2 && kits.iter().all(|kit| kit.state == KitState::Made), "{kits:?}");
    look().await;
    assert_eq!(case.world.open().kits_seen().unwrap().failing, 0);
    case.world.check().await;
}

/// A kit from before a rotation would not open the account: nobody waits a day for another.
#[tokio::test]
async fn where_a_secret_has_changed_another_is_made_within_the_hour() {
    let case = Case::new(10).await;
    let (tess, minutes) = (case.world.tess().await, SignedDuration::from_mins);
    let kits_after = async |pause| {
        case.world.clock.advance(pause);
        for _ in 0..2 {
            case.world.open().ask_for_kits_due().await.unwrap();
            case.world.step().await;
        }
        case.names().len()
    };
    case.limit(Some(case.rule(3))).await.unwrap();
    assert_eq!(kits_after(minutes(0)).await, 1);
    assert_eq!(kits_after(minutes(90)).await, 1, "nothing has changed");
    case.world.rotate(&tess, "app").await.unwrap();
    assert_eq!(kits_after(minutes(1)).await, 2, "the last is old enough");
    case.world.rotate(&tess, "app").await.unwrap();
    assert_eq!(kits_after(minutes(58)).await, 2, "not with each change");
    assert_eq!(kits_after(minutes(2)).await, 3);
    assert_eq!(kits_after(minutes(90)).await, 3);
}

#[tokio::test]
async fn a_kit_that_the_msp_alone_could_open_is_not_made() {
    let mut case = Case::new(3).await;
    let bad = |recipients: Vec<String>, threshold| KitRule { recipients, threshold };
    let own = case.rule(2).recipients;
    for (rule, at, why) in [
        (bad(own.clone(), 1), "kit.threshold", "who would open it alone"),
        (bad(own.clone(), 0), "kit.threshold", "who would open it alone"),
        (bad(own.clone(), 4), "kit.threshold", "at most 3"),
        (bad(Vec::new(), 2), "kit.recipients", "age public keys"),
        (bad(vec!["age1".to_owned()], 2), "kit.recipients[0]", "not an age recipient"),
        (bad(vec![own[0].clone(), own[0].clone()], 2), "kit.recipients[1]", "twice"),
        (bad(vec![own[0].clone(), case.msp.recipient.to_string()], 2), "kit.recipients[1]", "the MSP's"),
    ] {
        let refused = case.limit(Some(rule)).await.err().unwrap();
        let error = &refused.errors[0];
        assert!(error.at == at && error.message.contains(why), "{error:?}");
    }
    case.limit(Some(case.rule(2))).await.unwrap();

    // Nobody of the MSP's says whose keys they are.
    let (open, root, acme) = (case.world.open(), case.world.root().await, case.world.acme().await);
    let refused = open.permit::<CustomerLimit>(&root, &Resource::Customer(acme)).await;
    assert_eq!(refused.problem(), ProblemType::Forbidden);
    drop(open);

    // The MSP takes up another recipient: two of them would open it alone.
    let more = vec![case.msp.recipient.clone(), Holder::new().recipient];
    case.configure(more, 3).await;
    let kit = case.made().await;
    assert!(kit.state == KitState::Failed && kit.trouble.as_ref().unwrap().contains("threshold"), "{kit:?}");
    assert!(case.names().is_empty());
    case.limit(Some(case.rule(3))).await.unwrap();
    assert_eq!(case.made().await.state, KitState::Made);
    case.world.check().await;
}

/// Whatever came of a change whose answer was lost, what opens the account is in the kit.
#[tokio::test]
async fn a_rotation_under_way_is_in_the_kit() {
    for happens in [Happens::AppliedReplyLost, Happens::NotAppliedReplyLost] {
        let case = Case::new(3).await;
        case.limit(Some(case.rule(2))).await.unwrap();
        case.world.system.next([happens]);
        let root = case.world.root().await;
        case.world.rotate(&root, "app").await.unwrap();
        // The candidate is stored, then told of, then sent; what came of that is not.
        case.world.store.set_faults(FaultPlan::nth_commit(3, CommitFault::Refused));
        assert_eq!(case.world.step().await.len(), 1);
        case.world.store.set_faults(FaultPlan::none());
        let kit = case.made().await;
        let body = case.read(&kit, &[&case.own[0], &case.own[1]]).unwrap();
        let found = secrets(&body, "app");
        let are: Vec<&str> = found.iter().map(|(is, _)| is.as_str()).collect();
        assert_eq!(are, ["current", "sent"], "{happens:?}");
        let opens: Vec<bool> = found.iter().map(|(_, secret)| case.world.system.opens("app", secret)).collect();
        assert_eq!(opens, [happens == Happens::NotAppliedReplyLost, happens == Happens::AppliedReplyLost]);

        // It is in the kit: so the rotation that brought it is not enough when the kit is opened.
        let opened = case.opened(kit.id, &Once::none()).await.unwrap().opened.unwrap();
        case.world.pass(SignedDuration::from_mins(5)).await;
        for (_, secret) in found {
            assert!(!case.world.system.opens("app", &secret), "{happens:?}");
        }
        let (open, acme) = (case.world.open(), case.world.acme().await);
        let permit = may(&open, &root, Resource::Customer(acme));
        let done = open.emergency(acme, opened.emergency, permit).await.unwrap();
        assert_eq!((done.state, done.counts.rotated), (EmergencyState::Done, 3));
        case.world.check().await;
    }
}

#[tokio::test]
async fn what_is_in_an_opened_kit_opens_nothing_any_more() {
    let case = Case::new(3).await;
    case.limit(Some(case.rule(2))).await.unwrap();
    let kit = case.made().await;
    let opened = case.opened(kit.id, &key("once")).await.unwrap().opened.unwrap();
    assert_eq!(opened.by, part("root"));
    for once in [key("once"), Once::none()] {
        assert_eq!(case.opened(kit.id, &once).await.unwrap().opened.unwrap(), opened, "said again it is the same");
    }
    // Of another one it may not be known whether what is under way began before it was made.
    let unknown = KitId::from_uuid(Uuid::from_u128(7));
    let refused = case.opened(unknown, &Once::none()).await.err().unwrap();
    assert!(refused.problem == ProblemType::InUse && refused.detail.contains("say it again"), "{}", refused.detail);
    case.world.step().await;
    let body = case.read(&kit, &[&case.own[0], &case.msp]).unwrap();
    for account in ["app", "dba", "shared"] {
        for (_, secret) in secrets(&body, account) {
            assert!(!case.world.system.opens(account, &secret), "{account}");
        }
    }
    // A vault that was restored from a backup does not know the kits that came after it.
    let noted = case.opened(unknown, &Once::none()).await.unwrap();
    assert_eq!(
        (noted.state, noted.opened.as_ref().map(|opened| opened.by.as_str())),
        (KitState::Unknown, Some("root"))
    );
    assert_ne!(noted.opened.unwrap().emergency, opened.emergency);
    assert_eq!(case.download(unknown).await.problem(), ProblemType::KitUnavailable);
    case.world.step().await;
    let acme = case.world.acme().await;
    for scope in [Scope::Operator, Scope::Customer(acme)] {
        let told = case.world.told(scope, EventKind::KitOpened).await;
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|event| event.fields.contains_key("emergency")), "{told:?}");
    }
    // What was opened is kept in the list when its file goes.
    for _ in 0..4 {
        case.world.clock.advance(SignedDuration::from_secs(1));
        case.made().await;
    }
    assert_eq!(case.list().await.len(), 5);
    assert_eq!(case.names().len(), 3);
    case.world.check().await;
}

#[tokio::test]
async fn a_crash_at_any_commit_leaves_a_kit_that_is_made_or_is_made_later() {
    for n in 1..=3 {
        for fault in [CommitFault::Refused, CommitFault::UnknownApplied] {
            let mut case = Case::new(5).await;
            case.limit(Some(case.rule(2))).await.unwrap();
            case.ask(&Once::none()).await.unwrap();
            case.world.store.set_faults(FaultPlan::nth_commit(n, fault));
            case.world.step().await;
            case.world.crash(n).await;
            let shelf = case.shelf.clone();
            case.configure(vec![case.msp.recipient.clone()], 5).await;
            case.world.step().await;
            let [kit] = case.list().await.try_into().unwrap();
            assert_eq!(kit.state, KitState::Made);
            assert_eq!(case.names().len(), 1, "what nobody knows of is not left behind, at commit {n} {fault:?}");
            assert!(shelf.names().unwrap().contains(kit.file.as_ref().unwrap()));
            assert!(case.read(&kit, &[&case.own[0], &case.msp]).is_some());
            case.world.check().await;
        }
    }
}

#[tokio::test]
async fn a_locked_customer_has_no_kit_made_and_one_that_is_gone_leaves_none() {
    let case = Case::new(3).await;
    case.limit(Some(case.rule(2))).await.unwrap();
    let kit = case.made().await;
    let acme = case.world.acme().await;
    case.without_cara().await;
    case.world.lock(acme, true).await.unwrap();
    case.world.step().await;
    assert_eq!(case.ask(&Once::none()).await.problem(), ProblemType::CustomerLocked);
    case.world.clock.advance(SignedDuration::from_hours(48));
    case.world.open().ask_for_kits_due().await.unwrap();
    case.world.step().await;
    assert_eq!((case.list().await.len(), case.show(kit.id).await.state), (1, KitState::Made), "it is listed");
    let unknown = case.shelf.files.lock().insert("claviger-kit-of-another.tar".to_owned(), Vec::new());
    assert!(unknown.is_none());
    case.world.offboard(acme, "acme").await.unwrap();
    case.world.step().await;
    assert_eq!(case.names(), ["claviger-kit-of-another.tar"], "of others nothing goes");
    let rows = case.world.store.snapshot();
    let left = rows.rows().filter_map(|(key, _)| RowId::from_key(key).ok()).filter(|id| id.table() == Table::Kits);
    assert_eq!(left.count(), 0);
    let (open, root) = (case.world.open(), case.world.root().await);
    let done = open.offboarding(acme, may(&open, &root, Resource::Operator)).await.unwrap();
    let copy = format!("copy of secrets {} of", kit.file.unwrap());
    assert!(done.receipt.contains(&copy) && done.receipt.contains("2 of its 3 recipients"), "{}", done.receipt);
    assert!(done.hand_over.is_none() && done.receipt.contains("handed over nothing"), "{}", done.receipt);
    let found = crate::scrub::findings(&case.world.vault).await.unwrap();
    assert!(found.faults.is_empty(), "{:?}", found.faults);
}
