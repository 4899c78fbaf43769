//! Rotations by the driver, on a simulated system: every outcome, every order of failures, a crash after each commit.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AccountState, ProbeResult, RevocationState, RotationStep};
use claviger_api::{RotationId, Scope, Secret};
use claviger_core::policy::Permit;
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::system::Happens;
use super::world::{FIRST_SECRET, Moment, Refused as _, World, by_management, may, of, seconds, standing, waiting};
use crate::Once;
use crate::upkeep::Owed;

/// A world in which `app` was checked out, seen and given back: its rotation is due.
async fn given_back() -> (World, claviger_api::CheckoutId) {
    let world = World::new().await;
    let id = use_of(&world, "app").await;
    (world, id)
}

/// The end is proven: the old secret is refused, the new one stored, the account to be had.
async fn assert_proven(world: &World, id: claviger_api::CheckoutId, what: &str) {
    let revocation = world.view(id).await.revocation.unwrap();
    assert_eq!(revocation.state, RevocationState::Proven, "{what}");
    assert!(revocation.revocation_lag_milliseconds.is_some());
    assert_eq!(world.account("app").await.state, AccountState::Available, "{what}");
    assert!(!world.system.opens("app", FIRST_SECRET), "{what}");
    let held = world.check_out(&world.tess().await, &of("app"), &Once::none()).await.unwrap();
    let shown = world.reveal(&world.tess().await, held.id).await.unwrap();
    assert!(world.system.opens("app", shown.secret.secret().expose()), "{what}");
    world.check().await;
}

const ALL: [Happens; 7] = [
    Happens::Applied,
    Happens::AppliedReplyLost,
    Happens::NotAppliedReplyLost,
    Happens::RefusedByPolicy,
    Happens::Refused,
    Happens::Unreachable,
    Happens::OtherHost,
];

#[tokio::test]
async fn anvil_lost_ack_every_pair_of_outcomes_ends_proven() {
    let (world, id) = given_back().await;
    let moment = world.moment();
    for first in ALL {
        for second in ALL {
            let world = World::at(&moment, 1).await;
            world.system.next([first, second]);
            world.step().await;
            world.check().await;
            world.pass(SignedDuration::from_hours(2)).await;
            assert_proven(&world, id, &format!("{first:?} {second:?}")).await;
        }
    }
}

/// The vault dies after each commit in turn, with each outcome of the call to the system, and begins again from what is
/// stored.
#[tokio::test]
async fn anvil_restart_rotates_a_crash_after_any_commit_loses_nothing() {
    let (world, id) = given_back().await;
    let moment = world.moment();
    for happens in ALL {
        let commits = commits_of(&moment, happens).await;
        assert!(commits >= 5, "{commits} commits for {happens:?}");
        for n in 1..=commits {
            for fault in [CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
                let mut world = World::at(&moment, n).await;
                world.system.next([happens]);
                // From the nth commit on nothing gets through, and the process is gone: what a crash at that moment is.
                world.store.set_faults(FaultPlan::commits_where(move |count, _| match count.cmp(&n) {
                    std::cmp::Ordering::Less => None,
                    std::cmp::Ordering::Equal => Some(fault),
                    std::cmp::Ordering::Greater => Some(CommitFault::Refused),
                }));
                world.step().await;
                world.crash(n).await;
                world.check().await;
                world.pass(SignedDuration::from_hours(2)).await;
                assert_proven(&world, id, &format!("{happens:?}, {fault:?} at commit {n}")).await;
            }
        }
    }
}

async fn commits_of(moment: &Moment, happens: Happens) -> u64 {
    let world = World::at(moment, 0).await;
    world.system.next([happens]);
    world.store.set_faults(FaultPlan::none());
    world.pass(SignedDuration::from_mins(10)).await;
    world.store.commits()
}

/// One commit fails, and the process lives on.
#[tokio::test]
async fn a_failing_commit_anywhere_delays_a_rotation_and_no_more() {
    let (world, id) = given_back().await;
    let moment = world.moment();
    for happens in [Happens::Applied, Happens::AppliedReplyLost] {
        for n in 1..=commits_of(&moment, happens).await {
            for fault in [CommitFault::Refused, CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
                let world = World::at(&moment, n).await;
                world.system.next([happens]);
                world.store.set_faults(FaultPlan::nth_commit(n, fault));
                world.step().await;
                world.check().await;
                world.pass(SignedDuration::from_hours(1)).await;
                assert_proven(&world, id, &format!("{happens:?}, {fault:?} at commit {n}")).await;
            }
        }
    }
}

#[tokio::test]
async fn anvil_unreachable_is_not_wrong() {
    let (world, id) = given_back().await;
    world.system.machine().unreachable = true;
    world.pass(SignedDuration::from_hours(3)).await;
    let account = world.account("app").await;
    assert_eq!(account.state, AccountState::Unresolved);
    let rotation = world.rotation(account.rotation.unwrap()).await;
    assert_eq!(rotation.candidates.len(), 1, "no candidate is thrown away, none is made for nothing");
    let refused = world.check_out(&world.tess().await, &of("app"), &Once::none()).await;
    assert_eq!(refused.problem(), ProblemType::AccountUnavailable);
    assert_eq!(world.view(id).await.revocation.unwrap().state, RevocationState::Pending);
    world.check().await;
    world.system.machine().unreachable = false;
    world.pass(SignedDuration::from_hours(1)).await;
    assert_proven(&world, id, "it answers again").await;
}

#[tokio::test]
async fn anvil_endless_refusal() {
    let (world, id) = given_back().await;
    world.system.next([Happens::RefusedByPolicy; 40]);
    world.pass(SignedDuration::from_hours(3)).await;
    assert_eq!(world.account("app").await.state, AccountState::Unresolved);
    assert!(world.system.machine().sets < 20, "{} tries in three hours", world.system.machine().sets);
    assert!(world.system.opens("app", FIRST_SECRET));
    world.check().await;
    world.system.machine().script.clear();
    world.pass(SignedDuration::from_hours(1)).await;
    assert_proven(&world, id, "the policy was changed").await;
}

#[tokio::test]
async fn anvil_verify_lag() {
    let (world, id) = given_back().await;
    world.system.machine().lag = seconds(2);
    world.pass(seconds(10)).await;
    assert_eq!(world.system.machine().sets, 1, "a good change that lagged is not changed again");
    assert_proven(&world, id, "after the lag").await;
}

#[tokio::test]
async fn an_old_secret_that_is_honoured_for_a_while_is_tried_until_it_is_refused() {
    let (world, id) = given_back().await;
    {
        let mut machine = world.system.machine();
        machine.grace = SignedDuration::from_mins(60);
        machine.traits.grace = std::time::Duration::from_hours(1);
    }
    world.pass(seconds(10)).await;
    assert_eq!(world.account("app").await.state, AccountState::Available, "the new one is verified");
    assert_eq!(world.view(id).await.revocation.unwrap().state, RevocationState::StillAccepted);
    let ended_at = world.view(id).await.ended_at;
    let owed = owed(&world).await;
    assert_eq!((owed.unproven, owed.unproven_since, owed.still_accepted), (1, ended_at, 0), "within its grace");
    world.check().await;
    world.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(self::owed(&world).await, Owed::default());
    let revocation = world.view(id).await.revocation.unwrap();
    assert_eq!(revocation.state, RevocationState::Proven);
    assert!(revocation.revocation_lag_milliseconds.unwrap() >= 3_600_000);
    world.check().await;
}

#[tokio::test]
async fn an_old_secret_that_is_honoured_past_the_grace_is_counted() {
    let (world, id) = given_back().await;
    assert_eq!(world.open().due_since().await.unwrap(), Some(world.now()), "the rotation waits for a worker");
    world.system.machine().grace = SignedDuration::from_hours(2);
    world.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(world.view(id).await.revocation.unwrap().state, RevocationState::StillAccepted);
    let owed = owed(&world).await;
    assert_eq!((owed.unproven, owed.still_accepted, owed.unresolved), (1, 1, 0));
    world.pass(SignedDuration::from_hours(2)).await;
    assert_eq!(self::owed(&world).await, Owed::default());
    world.check().await;
}

/// What a look finds that is owed, though no policy is about any account.
async fn owed(world: &World) -> Owed {
    world.open().look_after_secrets().await.unwrap();
    world.open().seen_in_upkeep().unwrap().owed
}

/// What was seen of a grace is kept at the system, and the next rotation looks when it is over and not before.
#[tokio::test]
async fn a_systems_grace_is_measured_and_kept() {
    let (world, first) = given_back().await;
    {
        let mut machine = world.system.machine();
        machine.grace = SignedDuration::from_mins(10);
        machine.traits.grace = std::time::Duration::from_hours(1);
    }
    world.pass(SignedDuration::from_mins(30)).await;
    assert_eq!(world.view(first).await.revocation.unwrap().state, RevocationState::Proven);
    let measured = measured_grace(&world).await.unwrap();
    assert!((600..=1200).contains(&measured.seconds), "{measured:?}");
    world.check().await;

    let before = world.system.machine().probes;
    let second = use_of(&world, "app").await;
    world.pass(SignedDuration::from_mins(30)).await;
    assert_eq!(world.view(second).await.revocation.unwrap().state, RevocationState::Proven);
    assert_eq!(world.system.machine().probes - before, 3, "the new one, the old one at once, and when it is over");

    world.system.machine().grace = SignedDuration::ZERO;
    use_of(&world, "app").await;
    world.pass(seconds(10)).await;
    assert_eq!(measured_grace(&world).await.unwrap().seconds, 0, "an administrator has ended it");
    world.check().await;
}

/// A directory honours only the last old secret: a second change ends that, where the system is told to make one.
#[tokio::test]
async fn a_second_change_ends_the_grace_where_the_system_says_so() {
    let world = World::new().await;
    let new = claviger_api::wire::NewAccount { settings: by_management(), ..standing("managed", "seen by tess") };
    world.system.add("managed", "seen by tess");
    world.add_account("acme", "db1", new).await.unwrap();
    {
        let mut machine = world.system.machine();
        machine.grace = SignedDuration::from_mins(60);
        machine.traits.grace = std::time::Duration::from_hours(1);
        machine.traits.changes_twice = true;
    }
    let id = use_of(&world, "managed").await;
    world.pass(seconds(40)).await;
    assert_eq!(world.system.machine().sets, 2, "once more, and no third time");
    let revocation = world.view(id).await.revocation.unwrap();
    assert_eq!(revocation.state, RevocationState::Proven);
    assert!(revocation.revocation_lag_milliseconds.unwrap() < 40_000, "{revocation:?}");
    assert_eq!(world.account("managed").await.state, AccountState::Available);
    assert!(measured_grace(&world).await.is_none(), "what a second change ended says nothing of the grace");
    world.check().await;
    world.pass(SignedDuration::from_hours(2)).await;
    assert_eq!(world.system.machine().sets, 2);
    world.check().await;
}

async fn use_of(world: &World, account: &str) -> claviger_api::CheckoutId {
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of(account), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    held.id
}

async fn measured_grace(world: &World) -> Option<claviger_api::wire::MeasuredGrace> {
    let systems =
        world.open().systems(world.acme().await, &crate::Paging::new(None, None).unwrap(), |_| true).await.unwrap();
    systems.items.into_iter().find(|system| system.name.as_str() == "db1").unwrap().measured_grace
}

/// A directory honours the old secret for an hour, and the account is used seven times in that hour: what has still to be
/// tried is kept until it was, and nobody removes the account before.
#[tokio::test]
async fn what_is_still_to_be_proven_is_kept_however_often_the_account_is_used() {
    let (world, first) = given_back().await;
    {
        let mut machine = world.system.machine();
        machine.traits.grace = std::time::Duration::from_hours(1);
    }
    // A system that honours every old secret for an hour; the simulated one only knows the last, so it says so itself.
    world.system.machine().grace = SignedDuration::from_mins(60);
    world.pass(seconds(10)).await;
    let (tess, root) = (world.tess().await, world.root().await);
    for _ in 0..7 {
        let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.pass(seconds(20)).await;
        world.check().await;
    }
    let (open, place) = (world.open(), world.place("app").await);
    let removed = open.remove_account(place, &root, may(&open, &root, place.resource())).await;
    assert_eq!(removed.problem(), ProblemType::InUse);
    world.pass(SignedDuration::from_hours(3)).await;
    assert_eq!(world.view(first).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
    open.remove_account(place, &root, may(&open, &root, place.resource())).await.unwrap();
    world.check().await;
    assert!(world.step().await.is_empty());
}

/// The system counts itself, and tells: what others have spent is spent, whatever an administrator said of the threshold.
#[tokio::test]
async fn anvil_lockout_spent_by_others_is_asked_of_the_system() {
    let (world, id) = given_back().await;
    let window = std::time::Duration::from_mins(10);
    let told = |failed| Some(claviger_connectors::Lockout { threshold: Some(5), window, failed });
    {
        let mut machine = world.system.machine();
        machine.script.push_back(Happens::AppliedReplyLost);
        machine.lockout = told(4);
    }
    world.pass(SignedDuration::from_mins(5)).await;
    assert_eq!(world.system.machine().probes, 0, "one more, and the account is locked");
    world.check().await;
    world.system.machine().lockout = told(0);
    world.pass(SignedDuration::from_mins(6)).await;
    assert_proven(&world, id, "when the system has forgotten them").await;
}

#[tokio::test]
async fn anvil_lockout_spent() {
    let (world, id) = given_back().await;
    {
        let mut machine = world.system.machine();
        machine.locks_after = Some(5);
        machine.traits.lockout_threshold = Some(5);
    }
    // Whatever the vault asks, somebody queueing up meanwhile makes it lose commits.
    world.system.next([Happens::NotAppliedReplyLost, Happens::AppliedReplyLost, Happens::NotAppliedReplyLost]);
    for _ in 0..40 {
        world.pass(SignedDuration::from_mins(3)).await;
        let failures = world.system.machine().logins["app"].failures;
        assert!(failures < 5, "the vault has locked the account");
    }
    assert_proven(&world, id, "within the threshold").await;
}

/// On a system that locks accounts each login is counted, durably, before it is tried; elsewhere there is nothing to count.
#[tokio::test]
async fn anvil_lockout_spent_a_login_is_counted_before_it_is_tried() {
    for locks_after in [Some(5), None] {
        let (world, id) = given_back().await;
        world.system.machine().traits.lockout_threshold = locks_after;
        world.pass(SignedDuration::from_mins(1)).await;
        let acme = world.acme().await;
        let places = async |kind| -> Vec<u64> {
            world.told(Scope::Customer(acme), kind).await.into_iter().map(|event| event.index).collect()
        };
        let (mut tried, mut came_of_it) =
            (places(EventKind::RotationTrying).await, places(EventKind::RotationPromoted).await);
        came_of_it.extend(places(EventKind::RotationOldRefused).await);
        tried.sort_unstable();
        came_of_it.sort_unstable();
        assert_eq!(came_of_it.len(), 2, "the new one is accepted, the old one refused");
        assert_eq!(tried.len(), if locks_after.is_some() { 2 } else { 0 });
        assert!(tried.iter().zip(&came_of_it).all(|(tried, came_of_it)| tried < came_of_it));
        assert_proven(&world, id, "counted").await;
    }
}

/// Somebody who queues up while the system is asked changes the account's row; the answer is stored all the same.
#[tokio::test]
async fn a_queue_that_grows_meanwhile_does_not_cost_the_answer() {
    let (world, id) = given_back().await;
    let tom = world.tom().await;
    let open = world.open();
    let rotation = world.view(id).await.rotation.unwrap();
    let acme = world.acme().await;
    let later = waiting("app");
    let none = Once::none();
    let (driven, queued) = tokio::join!(open.drive(acme, rotation), async {
        let mut queued = Vec::new();
        for _ in 0..20 {
            queued.push(world.check_out(&tom, &later, &none).await.is_ok());
            tokio::task::yield_now().await;
        }
        queued
    });
    driven.unwrap();
    assert!(queued.into_iter().all(|queued| queued));
    assert_eq!(world.system.machine().sets, 1);
    assert!(matches!(world.rotation(rotation).await.step, RotationStep::Done), "no recovery, no waiting for a lease");
    assert_eq!(world.system.machine().probes, 2, "one login each for the new and the old");
    world.check().await;
}

#[tokio::test]
async fn the_management_account_changes_what_cannot_change_itself() {
    let world = World::new().await;
    let new = claviger_api::wire::NewAccount { settings: by_management(), ..standing("report", "unknown to all") };
    world.system.add("report", "what it really is");
    world.add_account("acme", "db1", new).await.unwrap();
    let started = world.rotate(&world.root().await, "report").await.unwrap();
    world.step().await;
    assert_eq!(world.rotation(started.id).await.step, RotationStep::Done);
    assert!(!world.system.opens("report", "what it really is"));
    world.check().await;

    // And it comes to the rescue of one that should change itself, when no stored secret opens it.
    world.system.add("app", "changed by somebody else");
    let started = world.rotate(&world.root().await, "app").await.unwrap();
    world.pass(SignedDuration::from_mins(5)).await;
    assert_eq!(world.rotation(started.id).await.step, RotationStep::Done);
    world.check().await;
}

#[tokio::test]
async fn without_a_stored_secret_of_the_management_account_a_rotation_waits_and_says_so() {
    let world = World::new().await;
    let root = world.root().await;
    let (open, place) = (world.open(), world.place("app").await);
    let change = claviger_api::wire::SystemChange {
        management_account: Some(super::world::part("nobody")),
        spec: None,
        rotation_policy: None,
    };
    let permit = may(&open, &root, claviger_core::policy::Resource::System(place.customer, place.system));
    open.change_system(place.customer, place.system, &change, &root, permit).await.unwrap();
    let settings = claviger_api::wire::AccountChange {
        rotate_by: Some(claviger_api::wire::RotateBy::Management),
        ..Default::default()
    };
    open.change_account(place, &settings, &root, may(&open, &root, place.resource())).await.unwrap();
    let started = world.rotate(&root, "app").await.unwrap();
    world.pass(SignedDuration::from_mins(5)).await;
    let rotation = world.rotation(started.id).await;
    assert!(rotation.unresolved && rotation.message.contains("no stored secret"), "{}", rotation.message);
    assert_eq!(world.system.machine().sets, 0);
    world.check().await;
    let change = claviger_api::wire::SystemChange {
        management_account: Some(super::world::part("dba")),
        spec: None,
        rotation_policy: None,
    };
    let permit = may(&open, &root, claviger_core::policy::Resource::System(place.customer, place.system));
    open.change_system(place.customer, place.system, &change, &root, permit).await.unwrap();
    world.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(world.rotation(started.id).await.step, RotationStep::Done);
    world.check().await;
}

#[tokio::test]
async fn anvil_cancel_erases_nothing_and_never_what_revokes() {
    let (world, id) = given_back().await;
    let root = world.root().await;
    let rotation = world.view(id).await.rotation.unwrap();
    assert_eq!(cancel(&world, rotation).await.problem(), ProblemType::RotationRunning, "it is the end of a right");
    world.step().await;
    assert_proven(&world, id, "it went on").await;
    let tess = world.tess().await;
    let open = world.account("app").await.holders[0];
    world.check_in(&tess, open).await.unwrap();
    world.step().await;

    let started = world.rotate(&root, "app").await.unwrap();
    let before = world.store.snapshot().rows().count();
    assert!(cancel(&world, started.id).await.is_ok());
    assert!(world.store.snapshot().rows().count() >= before, "nothing is erased but the timer, and an event is told");
    assert_eq!(world.account("app").await.state, AccountState::Available);
    world.check().await;
    assert_eq!(cancel(&world, started.id).await.problem(), ProblemType::Conflict);

    let started = world.rotate(&root, "app").await.unwrap();
    world.system.next([Happens::AppliedReplyLost]);
    world.store.set_faults(FaultPlan::commits_where(|n, _| (n > 2).then_some(CommitFault::Refused)));
    world.step().await;
    world.store.set_faults(FaultPlan::none());
    assert_eq!(world.rotation(started.id).await.step, RotationStep::Sending);
    assert_eq!(
        cancel(&world, started.id).await.problem(),
        ProblemType::RotationRunning,
        "the system may have been told"
    );
    world.pass(SignedDuration::from_mins(5)).await;
    assert_eq!(world.rotation(started.id).await.step, RotationStep::Done);
    world.check().await;
}

async fn cancel(world: &World, id: RotationId) -> crate::Result<claviger_api::wire::Rotation> {
    let (open, root) = (world.open(), world.root().await);
    let found = open.find_rotation(id).await?;
    let permit: Permit<_> = open.permit(&root, &found.resource()).await?;
    open.cancel_rotation(&found, &root, permit).await
}

/// A paused send wakes up after its successor has set another secret, and its answer is about neither.
#[tokio::test]
async fn anvil_late_writer_what_a_latecomer_was_told_is_dropped() {
    let (world, id) = given_back().await;
    let moment = world.moment();
    // The first node stored `sending`, told the system, and pauses before it stores the answer.
    let world = World::at(&moment, 7).await;
    world.system.next([Happens::Applied]);
    world.store.set_faults(FaultPlan::commits_where(|n, _| (n > 2).then_some(CommitFault::Refused)));
    let rotation = world.view(id).await.rotation.unwrap();
    let acme = world.acme().await;
    assert!(world.open().drive(acme, rotation).await.is_err());
    world.store.set_faults(FaultPlan::none());
    let paused = world.open().turn(acme, rotation).await.unwrap();
    world.pass(SignedDuration::from_mins(5)).await;
    assert_proven(&world, id, "the successor has finished").await;
    let before = world.store.snapshot();
    world.open().late_answer(&paused).await.unwrap();
    assert_eq!(world.store.snapshot(), before);
    world.check().await;
}

#[tokio::test]
async fn a_secret_set_by_hand_is_taken_over_and_none_is_erased() {
    let world = World::new().await;
    let (root, bot) = (world.root().await, world.bot().await);
    world.system.add("app", "set by a person");
    let (open, place) = (world.open(), world.place("app").await);
    let set = async |text: &str, once: &Once| {
        let new: Secret = super::world::secret(text);
        open.set_secret(place, &new, once, &root, may(&open, &root, place.resource())).await
    };
    let once = super::world::key("once");
    assert_eq!(set("set by a person", &once).await.unwrap().current_version, Some(2));
    assert_eq!(set("set by a person", &once).await.unwrap().current_version, Some(2), "once");
    let verified = open.verify_account(place, &bot, may(&open, &bot, place.resource())).await.unwrap();
    assert_eq!((verified.result, verified.version), (ProbeResult::Accepted, 2));
    world.check().await;
    world.system.add("app", "and again");
    let verified = open.verify_account(place, &bot, may(&open, &bot, place.resource())).await.unwrap();
    assert_eq!(verified.result, ProbeResult::Refused);

    // While a rotation is not settled, the secret by hand helps it on.
    let started = world.rotate(&root, "app").await.unwrap();
    world.system.machine().unreachable = true;
    world.pass(seconds(30)).await;
    set("and again", &Once::none()).await.unwrap();
    world.check().await;
    world.system.machine().unreachable = false;
    world.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(world.rotation(started.id).await.step, RotationStep::Done);
    world.check().await;
}

#[tokio::test]
async fn a_customers_accounts_are_rotated_and_what_cannot_be_is_told() {
    let world = World::new().await;
    let (root, tess, acme) = (world.root().await, world.tess().await, world.acme().await);
    world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    let open = world.open();
    let permit = async |place: crate::Place| open.permit(&root, &place.resource()).await.ok();
    let started = open.rotate_customer(acme, Some("a scare"), &Once::none(), &root, permit).await.unwrap();
    let names: Vec<String> = started.skipped.iter().map(|skipped| skipped.account.to_string()).collect();
    assert_eq!((started.rotations.len(), names), (2, vec!["acme/db1/app".to_owned()]));
    world.pass(SignedDuration::from_mins(5)).await;
    for rotation in started.rotations {
        assert_eq!(world.rotation(rotation.id).await.step, RotationStep::Done);
    }
    world.check().await;
}
