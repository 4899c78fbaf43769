//! The life of a checkout, from its request to the proof of its end.

use claviger_api::problem::ProblemType;
use claviger_api::wire::{AccountChange, CheckoutState, Claim, EndCause, NewCheckout, OnConflict, RevocationState};
use claviger_core::checkout::CLAIM_WINDOW;
use claviger_core::policy::Resource;
use claviger_store::RowId;
use futures::future::join_all;
use jiff::SignedDuration;

use super::world::{FIRST_SECRET, Refused as _, World, key, may, of, seconds, waiting};
use crate::Once;
use crate::records::{CheckoutRecord, StateRecord};
use crate::workers::TimerKind;

#[tokio::test]
async fn a_secret_is_shown_to_its_holder_and_dead_after_the_end() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert_eq!(held.state, CheckoutState::Active);
    let first = world.reveal(&tess, held.id).await.unwrap();
    let again = world.reveal(&tess, held.id).await.unwrap();
    assert_eq!(first.secret.secret().expose(), FIRST_SECRET);
    assert_eq!(again.event_index, first.event_index + 1, "each reveal is an event");
    assert_eq!(world.rotate(&world.root().await, "app").await.problem(), ProblemType::InUse);
    world.check().await;

    let ended = world.check_in(&tess, held.id).await.unwrap();
    assert_eq!((ended.state, ended.end_cause), (CheckoutState::Ended, Some(EndCause::CheckedIn)));
    assert_eq!(ended.revocation.unwrap().state, RevocationState::Pending);
    assert_eq!(world.check_out(&tess, &of("app"), &Once::none()).await.problem(), ProblemType::AccountUnavailable);
    world.check().await;

    world.clock.advance(seconds(2));
    assert!(world.step().await.is_empty());
    let revocation = world.view(held.id).await.revocation.unwrap();
    assert_eq!((revocation.state, revocation.revocation_lag_milliseconds), (RevocationState::Proven, Some(2000)));
    assert!(!world.system.opens("app", FIRST_SECRET));
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    world.check().await;
    assert_eq!(world.check_out(&tess, &of("app"), &Once::none()).await.unwrap().state, CheckoutState::Active);
}

#[tokio::test]
async fn a_check_in_happens_once() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    let (found, permit) = world.found(&tess, held.id).await.unwrap();
    world.open().check_in(&found, &key("once"), &tess, permit).await.unwrap();
    let (found, permit) = world.found(&tess, held.id).await.unwrap();
    let again = world.open().check_in(&found, &key("once"), &tess, permit).await.unwrap();
    assert_eq!(again.end_cause, Some(EndCause::CheckedIn));
    assert_eq!(world.check_in(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    world.check().await;
}

#[tokio::test]
async fn what_nobody_saw_is_not_rotated_and_neither_is_what_shall_not_be() {
    let world = World::new().await;
    let (tess, root) = (world.tess().await, world.root().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    let ended = world.check_in(&tess, held.id).await.unwrap();
    assert_eq!(ended.revocation.unwrap().state, RevocationState::NotNeeded);
    let place = world.place("app").await;
    let change = AccountChange { rotate_on_end: Some(false), ..AccountChange::default() };
    let open = world.open();
    open.change_account(place, &change, &root, may(&open, &root, place.resource())).await.unwrap();
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let ended = world.check_in(&tess, held.id).await.unwrap();
    assert_eq!(ended.revocation.unwrap().state, RevocationState::NotRequested);
    world.step().await;
    assert!(world.system.opens("app", FIRST_SECRET));
    world.check().await;
}

/// A right ends when it was said to, to the microsecond, whatever the workers do.
#[tokio::test]
async fn anvil_lease_edges_nothing_is_shown_at_or_after_the_end() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(3600) - SignedDuration::from_micros(1));
    world.step().await;
    assert!(world.reveal(&tess, held.id).await.is_ok(), "the last microsecond is the holder's");
    world.clock.advance(SignedDuration::from_micros(1));
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded, "no worker ran");
    assert_eq!(world.extend(&tess, held.id, 7200).await.problem(), ProblemType::CheckoutEnded);
    assert_eq!(world.view(held.id).await.state, CheckoutState::Active);
    world.clock.advance(SignedDuration::from_millis(250));
    world.step().await;
    let ended = world.view(held.id).await;
    assert_eq!((ended.end_cause, ended.ended_at), (Some(EndCause::Expired), held.expires_at));
    let revocation = ended.revocation.unwrap();
    assert_eq!(revocation.revocation_lag_milliseconds, Some(250), "counted from the end, not from its discovery");
    world.check().await;

    // Whoever comes to end it after its time finds it expired.
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(SignedDuration::from_hours(24));
    let ended = world.check_in(&tess, held.id).await.unwrap();
    assert_eq!((ended.end_cause, ended.ended_at), (Some(EndCause::Expired), held.expires_at));
    world.check().await;
}

#[tokio::test]
async fn a_length_is_within_what_the_grant_allows() {
    let world = World::new().await;
    let tess = world.tess().await;
    for ttl in [0, 59, 4 * 3600 + 1, u64::MAX] {
        let wanted = NewCheckout { ttl_seconds: Some(ttl), ..of("app") };
        assert_eq!(world.check_out(&tess, &wanted, &Once::none()).await.problem(), ProblemType::InvalidValue, "{ttl}");
    }
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(600));
    for ttl in [59, 600, 4 * 3600 + 1, u64::MAX] {
        assert_eq!(world.extend(&tess, held.id, ttl).await.problem(), ProblemType::InvalidValue, "{ttl}");
    }
    let longer = world.extend(&tess, held.id, 4 * 3600).await.unwrap();
    assert_eq!(longer.expires_at, longer.started_at.map(|start| start + seconds(4 * 3600)));
    world.check().await;
    world.clock.advance(seconds(4 * 3600 - 600));
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    world.step().await;
    assert_eq!(world.view(held.id).await.ended_at, longer.expires_at);
    world.check().await;
}

#[tokio::test]
async fn a_claim_may_come_later_or_never() {
    let world = World::new().await;
    let tess = world.tess().await;
    let later = NewCheckout { claim: Claim::Later, ..of("app") };
    let held = world.check_out(&tess, &later, &Once::none()).await.unwrap();
    assert_eq!((held.state, held.expires_at), (CheckoutState::Approved, None));
    world.clock.advance(CLAIM_WINDOW - SignedDuration::from_micros(1));
    let used = world.reveal(&tess, held.id).await.unwrap().checkout;
    assert_eq!(used.expires_at, Some(world.now() + seconds(3600)), "the time of use starts at the first reveal");
    world.check().await;
    world.check_in(&tess, held.id).await.unwrap();
    world.clock.advance(seconds(1));
    world.step().await;

    let held = world.check_out(&tess, &later, &Once::none()).await.unwrap();
    world.clock.advance(CLAIM_WINDOW);
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    world.clock.advance(seconds(1));
    world.step().await;
    let ended = world.view(held.id).await;
    assert_eq!(
        (ended.end_cause, ended.revocation.unwrap().state),
        (Some(EndCause::Lapsed), RevocationState::NotNeeded)
    );
    world.check().await;
}

#[tokio::test]
async fn those_who_wait_have_their_turn_in_order() {
    let world = World::new().await;
    let (tess, tom, bot) = (world.tess().await, world.tom().await, world.bot().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    assert_eq!(world.check_out(&tom, &of("app"), &Once::none()).await.problem(), ProblemType::AccountHeld);
    let first = world.check_out(&tom, &waiting("app"), &Once::none()).await.unwrap();
    let second = world.check_out(&bot, &waiting("app"), &Once::none()).await.unwrap();
    assert_eq!((first.waiting_behind, second.waiting_behind), (Some(0), Some(1)));
    assert_eq!(world.reveal(&tom, first.id).await.problem(), ProblemType::CheckoutNotReady);
    world.check().await;

    world.check_in(&tess, held.id).await.unwrap();
    assert_eq!(world.view(first.id).await.state, CheckoutState::Requested, "not before the old secret is dead");
    world.check().await;
    world.step().await;
    assert_eq!(world.view(first.id).await.state, CheckoutState::Approved);
    assert_eq!(world.view(second.id).await.waiting_behind, Some(0));
    // Nobody passes those who wait.
    assert_eq!(world.check_out(&tess, &of("app"), &Once::none()).await.problem(), ProblemType::AccountHeld);
    world.clock.advance(CLAIM_WINDOW);
    world.step().await;
    assert_eq!(world.view(first.id).await.end_cause, Some(EndCause::Lapsed));
    assert_eq!(world.view(second.id).await.state, CheckoutState::Approved);
    assert_ne!(world.reveal(&bot, second.id).await.unwrap().secret.secret().expose(), FIRST_SECRET);
    world.check().await;
}

#[tokio::test]
async fn whoever_gives_up_waiting_or_waits_too_long_leaves_the_queue() {
    let world = World::new().await;
    let (tess, tom, bot) = (world.tess().await, world.tom().await, world.bot().await);
    let long = NewCheckout { ttl_seconds: Some(4 * 3600), ..of("app") };
    let held = world.check_out(&tess, &long, &Once::none()).await.unwrap();
    let (first, second) = (
        world.check_out(&tom, &waiting("app"), &Once::none()).await.unwrap(),
        world.check_out(&bot, &waiting("app"), &Once::none()).await.unwrap(),
    );
    let left = world.check_in(&tom, first.id).await.unwrap();
    assert_eq!(left.end_cause, Some(EndCause::Cancelled));
    assert_eq!(world.view(second.id).await.waiting_behind, Some(0));
    world.check().await;
    world.check_in(&tess, held.id).await.unwrap();
    assert_eq!(world.view(second.id).await.state, CheckoutState::Approved, "unseen: the turn comes at once");
    world.check().await;
}

/// Each state that a random crowd leaves behind is whole.
#[tokio::test]
async fn a_crowd_at_once_gets_one_seat_and_one_queue() {
    let world = World::new().await;
    let (tess, tom, bot) = (world.tess().await, world.tom().await, world.bot().await);
    let (now, later) = (of("app"), waiting("app"));
    let none = Once::none();
    let asked = join_all(
        [&tess, &tom, &bot]
            .into_iter()
            .flat_map(|who| [&now, &later].map(|new| Box::pin(world.check_out(who, new, &none)))),
    );
    let made: Vec<_> = asked.await.into_iter().filter_map(Result::ok).collect();
    let seated = made.iter().filter(|checkout| checkout.state == CheckoutState::Active).count();
    assert_eq!(seated, 1, "exclusive");
    assert!(made.len() >= 3, "those who wait have a place");
    world.check().await;
}

#[tokio::test]
async fn reuse_answers_the_callers_own_checkout_and_nobody_elses() {
    let world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let reuse = NewCheckout { on_conflict: OnConflict::Reuse, ..of("app") };
    let held = world.check_out(&tess, &reuse, &Once::none()).await.unwrap();
    assert_eq!(world.check_out(&tess, &reuse, &Once::none()).await.unwrap().id, held.id);
    assert_eq!(world.check_out(&tom, &reuse, &Once::none()).await.problem(), ProblemType::AccountHeld);
    world.check().await;
}

#[tokio::test]
async fn a_take_over_ends_the_others_rotates_and_tells_the_holder() {
    let world = World::new().await;
    let (tess, tom, bot) = (world.tess().await, world.tom().await, world.bot().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let queued = world.check_out(&bot, &waiting("app"), &Once::none()).await.unwrap();
    assert_eq!(world.take_over(&tess, held.id).await.problem(), ProblemType::InUse, "one's own");
    let taken = world.take_over(&tom, held.id).await.unwrap();
    assert_eq!(taken.state, CheckoutState::Requested);
    assert_eq!(world.view(held.id).await.end_cause, Some(EndCause::TakenOver));
    world.check().await;
    let failed = world.step().await;
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(world.view(taken.id).await.state, CheckoutState::Approved, "before those who wait");
    assert_eq!(world.view(queued.id).await.state, CheckoutState::Requested);
    assert_ne!(world.reveal(&tom, taken.id).await.unwrap().secret.secret().expose(), FIRST_SECRET);
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    world.check().await;
}

#[tokio::test]
async fn a_revocation_ends_anothers_at_once() {
    let world = World::new().await;
    let (tess, tom, root) = (world.tess().await, world.tom().await, world.root().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    assert_eq!(world.revoke(&tom, held.id).await.problem(), ProblemType::Forbidden);
    assert_eq!(world.reveal(&tom, held.id).await.problem(), ProblemType::Forbidden, "nobody but the holder");
    world.revoke(&root, held.id).await.unwrap();
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    world.step().await;
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

#[tokio::test]
async fn a_shared_account_is_rotated_when_each_of_its_holders_ends() {
    let world = World::new().await;
    let (tess, tom, bot) = (world.tess().await, world.tom().await, world.bot().await);
    let first = world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
    let second = world.check_out(&tom, &of("shared"), &Once::none()).await.unwrap();
    assert_eq!(world.check_out(&bot, &of("shared"), &Once::none()).await.problem(), ProblemType::AccountHeld);
    let old = world.reveal(&tess, first.id).await.unwrap();
    world.reveal(&tom, second.id).await.unwrap();
    world.check_in(&tess, first.id).await.unwrap();
    assert_eq!(world.reveal(&tom, second.id).await.problem(), ProblemType::AccountUnavailable, "between two secrets");
    world.check().await;
    world.step().await;
    let new = world.reveal(&tom, second.id).await.unwrap();
    assert_ne!(new.secret.secret().expose(), old.secret.secret().expose());
    assert!(world.system.opens("shared", new.secret.secret().expose()));
    world.check_in(&tom, second.id).await.unwrap();
    world.step().await;
    for id in [first.id, second.id] {
        assert_eq!(world.view(id).await.revocation.unwrap().state, RevocationState::Proven);
    }
    assert!(!world.system.opens("shared", new.secret.secret().expose()));
    world.check().await;
}

/// Two ends while the same rotation is under way: the second waits for one of its own.
#[tokio::test]
async fn an_end_during_a_rotation_is_revoked_by_the_next() {
    let world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let first = world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
    let second = world.check_out(&tom, &of("shared"), &Once::none()).await.unwrap();
    for (who, id) in [(&tess, first.id), (&tom, second.id)] {
        world.reveal(who, id).await.unwrap();
    }
    for (who, id) in [(&tess, first.id), (&tom, second.id)] {
        world.check_in(who, id).await.unwrap();
        world.check().await;
    }
    world.step().await;
    let [a, b] = [world.view(first.id).await, world.view(second.id).await];
    assert!(a.rotation.is_some() && b.rotation.is_some() && a.rotation != b.rotation);
    for ended in [a, b] {
        assert_eq!(ended.revocation.unwrap().state, RevocationState::Proven);
    }
    world.check().await;
}

/// A late expiry of the last holder never touches the next one.
#[tokio::test]
async fn anvil_stale_expiry() {
    let world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let (open, acme) = (world.open(), world.acme().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(3599));
    world.check_in(&tess, held.id).await.unwrap();
    let next = world.check_out(&tom, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(1));
    // The worker that read the timer before the check-in wakes up only now; and the end of `held` has come.
    open.expire(acme, held.id).await.unwrap();
    assert_eq!(world.view(held.id).await.end_cause, Some(EndCause::CheckedIn));
    assert!(world.reveal(&tom, next.id).await.is_ok());
    // An expiry that comes early, for whatever reason, ends nothing.
    open.expire(acme, next.id).await.unwrap();
    assert_eq!(world.view(next.id).await.state, CheckoutState::Active);
    // Nor does one that was overtaken by an extension.
    world.extend(&tom, next.id, 7200).await.unwrap();
    world.clock.advance(seconds(3600));
    world.step().await;
    open.expire(acme, next.id).await.unwrap();
    assert_eq!(world.view(next.id).await.state, CheckoutState::Active);
    world.check().await;
}

/// There is no moment with a seat and no end: each commit that gives a seat holds the timer of its end.
#[tokio::test]
async fn anvil_lock_without_end() {
    let world = World::new().await;
    let (tess, acme) = (world.tess().await, world.acme().await);
    let mut batches = Vec::new();
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    for (key, _) in world.store.snapshot().rows() {
        batches.push(RowId::from_key(key).unwrap());
    }
    let timer = TimerKind::CheckoutDue.row(held.expires_at.unwrap(), acme, held.id.uuid());
    assert!(batches.contains(&timer));
    // Without its timer, the same batch would be found by the checker that runs after everything.
    let place = world.place("app").await;
    let open = world.open();
    let state = open.load::<StateRecord>(&RowId::account_state(acme, place.account)).await.unwrap().value.0;
    let row = open.load::<CheckoutRecord>(&RowId::checkout(acme, held.id)).await.unwrap();
    assert_eq!(state.seats.len(), 1);
    assert_eq!(row.value.0.due(), held.expires_at);
    world.check().await;
    let whole = world.store.snapshot();
    world.store.restore(whole.with(timer.to_key(), None));
    let broken = std::panic::AssertUnwindSafe(world.check());
    assert!(futures::FutureExt::catch_unwind(broken).await.is_err(), "the checker sees a lock without an end");
}

#[tokio::test]
async fn the_history_of_what_was_removed_can_still_be_read() {
    let world = World::new().await;
    let (tess, root, acme) = (world.tess().await, world.root().await, world.acme().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    let (open, place) = (world.open(), world.place("app").await);
    let remove = async || open.remove_account(place, &root, may(&open, &root, place.resource())).await;
    assert_eq!(remove().await.problem(), ProblemType::InUse, "its rotation is under way");
    world.step().await;
    remove().await.unwrap();
    world.check().await;
    let paging = crate::Paging::new(None, None).unwrap();
    let all = open.checkouts(acme, None, &paging, |_| true).await.unwrap();
    assert_eq!(all.items[0].account.to_string(), "acme/db1/removed");
    assert_eq!(open.rotations(acme, false, &paging, |_| true).await.unwrap().items.len(), 1);
    let found = open.find_checkout(held.id).await.unwrap();
    assert_eq!(open.checkout(&found, may(&open, &root, found.resource())).await.unwrap().account_id, place.account);
    assert_eq!(world.check_out(&tess, &of("app"), &Once::none()).await.problem(), ProblemType::NotFound);
    // The path may be given to another account: it is a new one.
    world.system.add("app", "another");
    world.add_account("acme", "db1", super::world::standing("app", "another")).await.unwrap();
    assert_ne!(world.place("app").await, place);
    assert!(matches!(found.resource(), Resource::Checkout { account, .. } if account == place.account));
    world.check().await;
}
