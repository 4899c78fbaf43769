//! Emergency rotations on a simulated system: everything ends, everything is rotated once, and the report is the truth,
//! whatever dies on the way.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_api::emergency::{VerifiedReport, verify_report};
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountSettings, AccountState, CheckoutState, Emergency, EmergencyAct, EmergencyResult, EmergencyState,
    ImportRequest, ImportRow, NewAccount, RevocationState, Tier,
};
use claviger_api::{EmergencyId, Scope};
use claviger_core::policy::Resource;
use claviger_store::RowId;
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::world::{FIRST_SECRET, Refused as _, World, key, may, of, part, path, seconds, secret, standing, waiting};
use crate::error::Result;
use crate::records::StateRecord;
use crate::{Caller, Once};

/// Accounts of the emergency that is killed three times, in the suite; `make emergency` does the whole of it.
const ACCOUNTS: usize = 600;
const ACCOUNTS_WHOLE: usize = 10_000;
/// Accounts of one system.
const PER_SYSTEM: usize = 20;

async fn start(world: &World, caller: &Caller, once: &Once) -> Result<Emergency> {
    let (open, acme) = (world.open(), world.acme().await);
    let at = Resource::Customer(acme);
    let permits = (open.permit(caller, &at).await?, open.permit(caller, &at).await?);
    open.start_emergency(acme, "a stolen laptop", once, caller, permits).await
}

async fn show(world: &World, id: EmergencyId) -> Emergency {
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    open.emergency(acme, id, may(&open, &root, Resource::Customer(acme))).await.unwrap()
}

/// The report, verified as an auditor would.
async fn report(world: &World, id: EmergencyId) -> VerifiedReport {
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let text = open.emergency_report(acme, id, may(&open, &root, Resource::Customer(acme))).await.unwrap().concat();
    let known = open.checkpoint(Scope::Customer(acme), may(&open, &root, Resource::Customer(acme))).await.unwrap();
    verify_report(&text, Some(&known.verifier_key.parse().unwrap())).unwrap()
}

fn results(report: &VerifiedReport) -> BTreeMap<String, EmergencyResult> {
    report.lines.iter().map(|line| (line.account.account.to_string(), line.result)).collect()
}

#[tokio::test]
async fn an_emergency_freezes_ends_rotates_reports_and_thaws() {
    let world = World::new().await;
    let (root, tess, tom) = (world.root().await, world.tess().await, world.tom().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let waits = world.check_out(&tom, &waiting("app"), &Once::none()).await.unwrap();
    let own = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    world.reveal(&tess, own.id).await.unwrap();
    let started = start(&world, &root, &key("theft")).await.unwrap();
    assert!(started.frozen);
    assert_eq!((started.state, started.counts.accounts, started.counts.waiting), (EmergencyState::Ending, 3, 3));
    assert_eq!(start(&world, &root, &key("theft")).await.unwrap().id, started.id, "a repeated request is the same one");
    assert_eq!(start(&world, &root, &Once::none()).await.problem(), ProblemType::InUse);
    world.check().await;
    for account in ["app", "shared", "temp"] {
        let refused = world.check_out(&tom, &of(account), &Once::none()).await;
        assert_eq!(refused.problem(), ProblemType::CustomerFrozen, "{account}");
    }
    assert_eq!(world.take_over(&tom, held.id).await.problem(), ProblemType::CustomerFrozen);

    assert!(world.step().await.is_empty());
    let done = show(&world, started.id).await;
    assert_eq!((done.state, done.frozen, done.counts.rotated), (EmergencyState::Done, false, 3));
    for id in [held.id, waits.id, own.id] {
        assert_eq!(world.view(id).await.state, CheckoutState::Ended);
    }
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven);
    assert!(!world.system.opens("app", FIRST_SECRET) && !world.system.opens("dba", "of the dba"));
    assert_eq!(world.system.machine().logins.len(), 3, "the login of a check-out's own is gone");
    let report = report(&world, started.id).await;
    assert!(report.lines.iter().all(|line| line.verified && line.old_refused && line.rotation.is_some()));
    assert_eq!(report.header.counts, done.counts);
    world.check().await;
    world.check_out(&tom, &of("app"), &Once::none()).await.unwrap();
    let again = start(&world, &root, &Once::none()).await.unwrap();
    assert_ne!(again.id, started.id, "the next one is another");
}

/// What is seen under a setting that keeps it is rotated in an emergency, and so is each account exactly once, however its
/// rotation came about.
#[tokio::test]
async fn nothing_is_rotated_twice_for_one_exposure() {
    let world = World::new().await;
    let (root, tess) = (world.root().await, world.tess().await);
    world.system.add("kept", "kept");
    let settings = AccountSettings { rotate_on_end: false, ..AccountSettings::default() };
    world.add_account("acme", "db1", NewAccount { settings, ..standing("kept", "kept") }).await.unwrap();
    for account in ["kept", "app"] {
        let held = world.check_out(&tess, &of(account), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
    }
    // Given back just before: its rotation is under way, and counts.
    let held = world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    let id = start(&world, &root, &Once::none()).await.unwrap().id;
    world.pass(SignedDuration::from_mins(1)).await;
    let done = show(&world, id).await;
    assert_eq!((done.state, done.counts.rotated, done.counts.accounts), (EmergencyState::Done, 4, 4));
    assert_eq!(world.system.machine().sets, 4, "one change an account");
    assert!(!world.system.opens("kept", "kept"));
    world.check().await;
}

/// Tier by tier; and `--dry-run` says so before.
#[tokio::test]
async fn tiers_come_in_their_order_and_the_plan_says_so() {
    let world = World::new().await;
    let root = world.root().await;
    for (name, tier) in [("last", Tier::Two), ("first", Tier::Zero), ("second", Tier::One)] {
        world.system.add(name, name);
        let settings = AccountSettings { tier: Some(tier), ..AccountSettings::default() };
        world.add_account("acme", "db1", NewAccount { settings, ..standing(name, name) }).await.unwrap();
    }
    let empty = NewAccount::standing(part("empty"), None);
    world.add_account("acme", "db1", empty).await.unwrap();
    let (open, acme) = (world.open(), world.acme().await);
    let before = world.store.commits();
    let plan = open.emergency_plan(acme, may(&open, &root, Resource::Customer(acme))).await.unwrap();
    assert_eq!(world.store.commits(), before, "a plan changes nothing");
    let order: Vec<&str> = plan.steps.iter().map(|step| step.account.account.as_str()).collect();
    assert_eq!((order.len(), &order[..3]), (7, ["first", "second", "last"].as_slice()));
    let empty = plan.steps.iter().find(|step| step.account.account.as_str() == "empty").unwrap();
    assert_eq!(empty.act, EmergencyAct::Skip);
    let id = start(&world, &root, &Once::none()).await.unwrap().id;
    world.step().await;
    let report = report(&world, id).await;
    let told: Vec<&str> = report.lines.iter().map(|line| line.account.account.as_str()).collect();
    assert_eq!(told, order);
    let changed = world.system.machine().changed.clone();
    assert_eq!(changed[..3], ["first", "second", "last"], "in this order on the system");
    assert_eq!(results(&report)["empty"], EmergencyResult::Skipped);
}

#[tokio::test]
async fn a_thaw_lets_check_outs_go_on_before_it_is_done() {
    let world = World::new().await;
    let (root, tom) = (world.root().await, world.tom().await);
    let id = start(&world, &root, &Once::none()).await.unwrap().id;
    let (open, acme) = (world.open(), world.acme().await);
    let at = Resource::Customer(acme);
    let permits = (may(&open, &root, at), may(&open, &root, at));
    let thawed = open.thaw(acme, id, "the shift must go on", &root, permits).await.unwrap();
    assert!(!thawed.frozen && thawed.thawed_by == Some(part("root")) && thawed.state != EmergencyState::Done);
    world.check().await;
    let held = world.check_out(&tom, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tom, held.id).await.unwrap();
    world.check_in(&tom, held.id).await.unwrap();
    world.pass(SignedDuration::from_mins(1)).await;
    assert_eq!(show(&world, id).await.counts.rotated, 3);
    assert_eq!(world.system.machine().sets, 3);
    world.check().await;
}

/// A technician rotates, but ends nobody else's checkout: to stop a whole customer is not theirs.
#[tokio::test]
async fn whoever_may_not_end_checkouts_starts_no_emergency() {
    let world = World::new().await;
    let tess = world.tess().await;
    assert_eq!(start(&world, &tess, &Once::none()).await.problem(), ProblemType::Forbidden);
    world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
}

/// Many accounts on many systems, one in twenty of which does not answer.
async fn many(accounts: usize) -> World {
    let world = World::new().await;
    let (root, open) = (world.root().await, world.open());
    let acme = world.acme().await;
    for system in 0..accounts / PER_SYSTEM {
        world.add_system("acme", &format!("s{system}")).await;
    }
    let numbers: Vec<usize> = (0..accounts).collect();
    for chunk in numbers.chunks(2000) {
        let row = |number: &usize| ImportRow {
            line: u32::try_from(*number).unwrap(),
            system: part(&format!("s{}", number / PER_SYSTEM)),
            account: part(&name(*number)),
            login: None,
            secret: secret(&first(*number)).disclose(),
            sensitive: false,
            tier: [Some(Tier::Zero), Some(Tier::One), None][number % 3],
        };
        let request = ImportRequest { rows: chunk.iter().map(row).collect() };
        let permit = may(&open, &root, Resource::Customer(acme));
        open.import(acme, &request, &Once::none(), &root, permit).await.unwrap();
    }
    for number in numbers {
        world.system.add(&name(number), &first(number));
        if is_dead(number) {
            world.system.machine().dead.insert(name(number));
        }
    }
    world
}

fn name(number: usize) -> String {
    format!("a{number}")
}

fn first(number: usize) -> String {
    format!("as found {number}")
}

/// Of a system in twenty nobody answers.
fn is_dead(number: usize) -> bool {
    (number / PER_SYSTEM) % 20 == 7
}

/// Once so many logins were changed, the next commit fails in this way, nothing more gets through, and the process is gone.
async fn kill_after(world: &mut World, changed: usize, fault: CommitFault) {
    let system = world.system.clone();
    let killed = AtomicBool::new(false);
    world.store.set_faults(FaultPlan::commits_where(move |_, _| {
        if system.machine().changed.len() < changed {
            return None;
        }
        Some(if killed.swap(true, Ordering::SeqCst) { CommitFault::Refused } else { fault })
    }));
    world.step().await;
    world.crash(changed as u64).await;
}

/// What the report says is what is so, of each account: asked of the simulated system itself.
async fn assert_true(world: &World, id: EmergencyId, accounts: usize) {
    let report = report(world, id).await;
    let told: BTreeMap<String, _> = report.lines.iter().map(|line| (line.account.account.to_string(), line)).collect();
    let (open, acme) = (world.open(), world.acme().await);
    for number in 0..accounts {
        let name = name(number);
        let line = told[&name];
        let place = open.place(&path(&format!("acme/s{}/{name}", number / PER_SYSTEM))).await.unwrap();
        let state = open.load::<StateRecord>(&RowId::account_state(acme, place.account)).await.unwrap().value.0;
        let view = open.account_view(acme, place.account).await.unwrap();
        let current = open.secret(acme, place.account, state.secrets.current.unwrap()).await.unwrap();
        assert!(world.system.opens(&name, current.expose()), "{name} is lost");
        let changes = world.system.machine().changes.get(&name).copied().unwrap_or(0);
        if is_dead(number) {
            assert_eq!(
                (line.result, line.verified, line.old_refused),
                (EmergencyResult::Unresolved, false, false),
                "{name}"
            );
            assert!(line.why.as_ref().is_some_and(|why| !why.is_empty()));
            assert_eq!((changes, view.state), (0, AccountState::Unresolved), "{name}");
            assert!(world.system.opens(&name, &first(number)), "{name}");
        } else {
            assert_eq!(
                (line.result, line.verified, line.old_refused),
                (EmergencyResult::Rotated, true, true),
                "{name}"
            );
            assert_eq!((changes, view.state), (1, AccountState::Available), "{name} was changed {changes} times");
            assert!(!world.system.opens(&name, &first(number)), "{name}");
        }
    }
    let dead = u64::try_from((0..accounts).filter(|number| is_dead(*number)).count()).unwrap();
    let all = u64::try_from(accounts).unwrap() + 3;
    let counts = report.header.counts;
    assert_eq!((counts.accounts, counts.rotated, counts.unresolved), (all, all - dead, dead));
}

async fn killed_three_times(accounts: usize) {
    let mut world = many(accounts).await;
    let (root, tess) = (world.root().await, world.tess().await);
    for number in [1, 4, 7] {
        let new = claviger_api::wire::NewCheckout { account: path(&format!("acme/s0/a{number}")), ..of("app") };
        let held = world.check_out(&tess, &new, &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
    }
    let id = start(&world, &root, &Once::none()).await.unwrap().id;
    let kills = [CommitFault::UnknownApplied, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied];
    for (quarters, fault) in (1..).zip(kills) {
        kill_after(&mut world, accounts * quarters / 4, fault).await;
        let now = show(&world, id).await;
        assert!(now.state != EmergencyState::Done && now.frozen, "it was killed half-way: {:?}", now.counts);
    }
    world.pass(seconds(45)).await;
    let done = show(&world, id).await;
    assert_eq!((done.state, done.frozen), (EmergencyState::Done, false), "{:?}", done.counts);
    assert_true(&world, id, accounts).await;
    world.check().await;
    // What did not answer goes on by itself when it does, and the next report says so.
    world.system.machine().dead.clear();
    world.pass(SignedDuration::from_hours(1)).await;
    let later = report(&world, id).await.header.counts;
    assert_eq!((later.rotated, later.unresolved), (later.accounts, 0));
    assert!(world.system.machine().changes.values().all(|changes| *changes == 1), "each was changed once");
}

#[tokio::test]
async fn an_emergency_that_is_killed_three_times_loses_nothing_and_tells_the_truth() {
    Box::pin(killed_three_times(ACCOUNTS)).await;
}

#[tokio::test]
#[ignore = "the same with 10,000 accounts takes minutes: make emergency"]
async fn an_emergency_of_ten_thousand_accounts_that_is_killed_three_times_loses_nothing_and_tells_the_truth() {
    Box::pin(killed_three_times(ACCOUNTS_WHOLE)).await;
}

/// A system that does not answer is asked about a few accounts, not about each.
#[tokio::test]
async fn a_silent_system_holds_up_nobody() {
    let world = many(400).await;
    let id = start(&world, &world.root().await, &Once::none()).await.unwrap().id;
    world.step().await;
    let done = show(&world, id).await;
    assert_eq!((done.state, done.counts.unresolved), (EmergencyState::Done, 20));
    assert!(world.system.machine().unanswered <= 6, "two a tier: {}", world.system.machine().unanswered);
    world.check().await;
}
