//! The same secret used twice: found whosever it is, told to the operator alone.

use std::collections::BTreeSet;

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{ImportRequest, ImportRow, NewCustomer, ReusedSecret, RotationCause};
use claviger_api::{Scope, Secret};
use claviger_core::policy::Resource;
use claviger_store::{Range, RowId, Table};

use super::world::{World, may, part, path, secret, standing};
use crate::error::Result;
use crate::records::RotationRecord;
use crate::{Caller, Once, Paging};

/// Accounts of each of the two customers.
const EACH: usize = 5_000;
/// Secrets of the one that the other uses, too.
const PLANTED: usize = 12;

async fn reused(world: &World) -> Vec<ReusedSecret> {
    let (open, root) = (world.open(), world.root().await);
    let paging = Paging::new(Some(1000), None).unwrap();
    open.reused(&paging, may(&open, &root, Resource::Operator)).await.unwrap().items
}

/// The accounts that share a secret, as sets.
async fn sharing(world: &World) -> BTreeSet<BTreeSet<String>> {
    let of = |group: ReusedSecret| group.accounts.into_iter().map(|one| one.account.to_string()).collect();
    reused(world).await.into_iter().map(of).collect()
}

async fn set(world: &World, caller: &Caller, account: &str, new: &Secret) -> Result<claviger_api::wire::Account> {
    let (open, place) = (world.open(), world.place(account).await);
    let permit = open.permit(caller, &place.resource()).await?;
    open.set_secret(place, new, &Once::none(), caller, permit).await
}

/// Imports accounts `prefix0`, `prefix1`, … which are on the system, too.
async fn import(world: &World, customer: &str, prefix: &str, secrets: &[String]) {
    let (open, root) = (world.open(), world.root().await);
    let id = open.customer_named(&part(customer)).await.unwrap();
    let row = |(number, text): (usize, &String)| ImportRow {
        line: u32::try_from(number).unwrap(),
        system: part("db1"),
        account: part(&format!("{prefix}{number}")),
        login: None,
        secret: secret(text).disclose(),
        sensitive: false,
        tier: None,
    };
    for (number, text) in secrets.iter().enumerate() {
        world.system.add(&format!("{prefix}{number}"), text);
    }
    let request = ImportRequest { rows: secrets.iter().enumerate().map(row).collect() };
    let permit = may(&open, &root, Resource::Customer(id));
    open.import(id, &request, &Once::none(), &root, permit).await.unwrap();
}

async fn with_umbra() -> World {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let umbra = NewCustomer { slug: part("umbra"), display_name: "Umbra".to_owned() };
    open.add_customer(&umbra, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    world.add_system("umbra", "db1").await;
    world
}

/// Which accounts of a customer are rotated because of it.
async fn rotated_for_it(world: &World, customer: &str) -> BTreeSet<String> {
    let open = world.open();
    let id = open.customer_named(&part(customer)).await.unwrap();
    let mut paths = BTreeSet::new();
    for row in open.all::<RotationRecord>(&Range::scope(Table::Rotations, Scope::Customer(id))).await.unwrap() {
        let rotation = row.value.rotation;
        if rotation.cause == RotationCause::Reuse {
            paths.insert(open.path_or_removed(id, rotation.system, rotation.account).await.unwrap().to_string());
        }
    }
    paths
}

#[tokio::test]
async fn twelve_planted_duplicates_among_ten_thousand_are_found_and_no_other() {
    let world = with_umbra().await;
    let ours: Vec<String> = (0..EACH).map(|number| format!("of acme {number}")).collect();
    let mut theirs: Vec<String> = (0..EACH).map(|number| format!("of umbra {number}")).collect();
    // Ten are acme's, two are twice in the file.
    let mut wanted = BTreeSet::new();
    for planted in 0..PLANTED - 2 {
        let (mine, theirs_at) = (planted * 401, planted * 397 + 5);
        theirs[theirs_at].clone_from(&ours[mine]);
        wanted.insert(BTreeSet::from([format!("acme/db1/a{mine}"), format!("umbra/db1/u{theirs_at}")]));
    }
    for planted in 0..2 {
        let (one, other) = (4_500 + planted, 4_700 + planted);
        theirs[other] = theirs[one].clone();
        wanted.insert(BTreeSet::from([format!("umbra/db1/u{one}"), format!("umbra/db1/u{other}")]));
    }
    import(&world, "acme", "a", &ours).await;
    assert!(sharing(&world).await.is_empty());
    import(&world, "umbra", "u", &theirs).await;
    assert_eq!(sharing(&world).await, wanted, "twelve, and none that is none");
    let rotated: BTreeSet<String> = wanted.iter().map(|pair| pair.iter().max().unwrap().clone()).collect();
    assert_eq!(rotated_for_it(&world, "umbra").await, rotated, "what was imported is rotated at once");
    assert!(rotated_for_it(&world, "acme").await.is_empty(), "what was there before is not touched");
    assert!(world.step().await.is_empty());
    assert!(sharing(&world).await.is_empty(), "and then nobody shares anything");
    assert_eq!(world.system.machine().changed.len(), PLANTED);
}

/// The list comes in pages.
#[tokio::test]
async fn the_report_comes_in_pages_and_tells_no_secret() {
    let world = with_umbra().await;
    let root = world.root().await;
    for (account, text) in [("app", "of the dba"), ("shared", "of the dba")] {
        set(&world, &root, account, &secret(text)).await.unwrap();
    }
    world.add_account("umbra", "db1", standing("x", "twice")).await.unwrap();
    world.add_account("umbra", "db1", standing("y", "twice")).await.unwrap();
    let (open, all) = (world.open(), sharing(&world).await);
    assert_eq!(all.iter().map(BTreeSet::len).collect::<BTreeSet<_>>(), BTreeSet::from([2, 3]));
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let paging = Paging::new(Some(1), cursor.as_deref()).unwrap();
        let page = open.reused(&paging, may(&open, &root, Resource::Operator)).await.unwrap();
        assert_eq!(page.items.len(), 1);
        found.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 2);
    let text = serde_json::to_string(&found).unwrap();
    assert!(!text.contains("twice") && !text.contains("of the dba"));
    world.check().await;
}

/// Whoever guesses at another's secret by setting it learns nothing: the same answer, the same commits, the same events.
#[tokio::test]
async fn a_secret_set_by_hand_is_answered_alike_whoever_uses_it() {
    let world = with_umbra().await;
    world.add_account("umbra", "db1", standing("theirs", "what they use")).await.unwrap();
    let moment = world.moment();
    let mut told = Vec::new();
    for text in ["what they use", "what nobody uses"] {
        let world = World::at(&moment, 1).await;
        let bot = world.bot().await;
        let acme = world.acme().await;
        let events = |world: &World| {
            let leaves = Range::scope(Table::LogLeaves, Scope::Customer(acme));
            let rows = world.store.snapshot();
            let within = |key: &&claviger_store::StoreKey| (&leaves.start..&leaves.end).contains(key);
            rows.rows().map(|(key, _)| key).filter(within).count()
        };
        let (commits, before) = (world.store.commits(), events(&world));
        let answer = set(&world, &bot, "app", &secret(text)).await.unwrap();
        told.push((serde_json::to_string(&answer).unwrap(), world.store.commits() - commits, events(&world) - before));
        assert!(world.account("app").await.rotation.is_none());
        world.check().await;
        let shared = sharing(&world).await;
        assert_eq!(shared.len(), usize::from(text == "what they use"), "the operator's report names it");
    }
    assert_eq!(told[0], told[1]);
}

/// The same secret again, a new one, a rotation, a removal: what may open an account has its row, and nothing else has.
#[tokio::test]
async fn the_index_follows_what_is_in_use() {
    let world = World::new().await;
    let root = world.root().await;
    for text in ["one", "one", "two", "one"] {
        set(&world, &root, "app", &secret(text)).await.unwrap();
        world.check().await;
    }
    world.system.add("app", "one");
    world.rotate(&root, "app").await.unwrap();
    world.check().await;
    world.step().await;
    world.check().await;
    let (open, place) = (world.open(), world.place("app").await);
    open.remove_account(place, &root, may(&open, &root, place.resource())).await.unwrap();
    world.check().await;
    let fingerprint = open.keyring().fingerprint().of(&secret("one"));
    let row = RowId::fingerprint(Scope::Operator, &fingerprint, place.account).to_key();
    assert!(!world.store.snapshot().rows().any(|(key, _)| *key == row));
}

#[tokio::test]
async fn a_rotation_never_makes_a_secret_that_is_in_use() {
    let world = World::new().await;
    world.add_account("acme", "db1", standing("spare", "spare")).await.unwrap();
    let moment = world.moment();
    let rotated = async |moment| {
        let world = World::at(moment, 5).await;
        world.rotate(&world.root().await, "app").await.unwrap();
        world.step().await;
        world.system.password("app").unwrap()
    };
    let made = rotated(&moment).await;
    assert_eq!(rotated(&moment).await, made, "the same randomness makes the same secret");
    let planted = World::at(&moment, 9).await;
    set(&planted, &planted.root().await, "spare", &secret(&made)).await.unwrap();
    assert_ne!(rotated(&planted.moment()).await, made);
}

#[tokio::test]
async fn guesses_by_hand_are_not_free() {
    let world = World::new().await;
    let (bot, root) = (world.bot().await, world.root().await);
    for number in 0..100 {
        set(&world, &bot, "app", &secret(&format!("guess {number}"))).await.unwrap();
    }
    let refused = set(&world, &bot, "app", &secret("one more")).await.err().unwrap();
    assert_eq!(refused.problem, ProblemType::TooManyRequests);
    assert!(refused.retry_after_seconds.is_some_and(|wait| (1..=3601).contains(&wait)));
    set(&world, &root, "app", &secret("of another")).await.unwrap();
    assert_eq!(
        world.add_account("acme", "db1", standing("n1", "x1")).await.map(|made| made.path).unwrap(),
        path("acme/db1/n1")
    );
    world.clock.advance(jiff::SignedDuration::from_hours(1));
    let bot = world.bot().await;
    set(&world, &bot, "app", &secret("an hour later")).await.unwrap();
}

/// A store from before there were fingerprints has none; the daily look enters them.
#[tokio::test]
async fn the_secrets_of_an_older_store_are_entered_by_the_daily_look() {
    let world = World::new().await;
    set(&world, &world.root().await, "app", &secret("of the dba")).await.unwrap();
    let open = world.open();
    let event = open.automatic(Scope::Operator, EventKind::VaultLookedAfter, "system/test");
    let mut change = open.change(event);
    for (key, _) in world.store.snapshot().rows() {
        let id = RowId::from_key(key).unwrap();
        if id.table() == Table::Fingerprints {
            change = change.erase(id);
        }
    }
    open.commit(change).await.unwrap();
    assert!(sharing(&world).await.is_empty());
    world.pass(jiff::SignedDuration::from_hours(25)).await;
    assert_eq!(sharing(&world).await.len(), 1);
    world.check().await;
}
