//! Logins that exist for one checkout: none is shown before it is there, none is left behind.

use claviger_api::CheckoutId;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CheckoutState, EndCause, RevocationState};
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::system::Happens;
use super::world::{Refused as _, World, key, may, of, seconds};
use crate::Once;

fn made(world: &World) -> Vec<String> {
    let logins: Vec<String> = world.system.machine().logins.keys().cloned().collect();
    logins.into_iter().filter(|login| login.starts_with("temp_")).collect()
}

async fn only_checkout(world: &World) -> claviger_api::wire::Checkout {
    let paging = crate::Paging::new(None, None).unwrap();
    let page = world.open().checkouts(world.acme().await, None, &paging, |_| true).await.unwrap();
    assert_eq!(page.items.len(), 1);
    page.items.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_login_is_made_extended_and_gone_at_the_end() {
    let world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    let other = world.check_out(&tom, &of("temp"), &Once::none()).await.unwrap();
    let shown = world.reveal(&tess, held.id).await.unwrap();
    assert!(world.system.opens(shown.login.as_str(), shown.secret.secret().expose()));
    assert_ne!(shown.login, world.reveal(&tom, other.id).await.unwrap().login, "one each");
    world.check().await;

    // The system itself ends the login, should the vault be gone.
    world.clock.advance(seconds(3600));
    assert!(!world.system.opens(shown.login.as_str(), shown.secret.secret().expose()));
    world.step().await;
    assert!(made(&world).is_empty());
    let ended = world.view(held.id).await;
    assert_eq!((ended.end_cause, ended.revocation.unwrap().state), (Some(EndCause::Expired), RevocationState::Proven));
    world.check().await;

    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    world.extend(&tess, held.id, 7200).await.unwrap();
    world.clock.advance(seconds(7199));
    let shown = world.reveal(&tess, held.id).await.unwrap();
    assert!(world.system.opens(shown.login.as_str(), shown.secret.secret().expose()), "moved with the end");
    world.check().await;
    world.check_in(&tess, held.id).await.unwrap();
    world.step().await;
    assert!(made(&world).is_empty());
    world.check().await;
}

#[tokio::test]
async fn what_cannot_be_made_ends_the_checkout_and_leaves_nothing() {
    for happens in [Happens::Refused, Happens::Unreachable, Happens::AppliedReplyLost, Happens::NotAppliedReplyLost] {
        let world = World::new().await;
        world.system.next([happens]);
        let answer = world.check_out(&world.tess().await, &of("temp"), &key("once")).await;
        assert_eq!(answer.problem(), ProblemType::SystemFailed, "{happens:?}");
        let ended = only_checkout(&world).await;
        assert_eq!(ended.end_cause, Some(EndCause::Cancelled));
        world.check().await;
        let again = world.check_out(&world.tess().await, &of("temp"), &key("once")).await.unwrap();
        assert_eq!(again.id, ended.id, "the answer to the same request is the truth of today");
        world.pass(seconds(60)).await;
        assert!(made(&world).is_empty(), "{happens:?}");
        let ended = only_checkout(&world).await;
        assert_eq!(ended.revocation.unwrap().state, RevocationState::Proven);
        world.check().await;
    }
}

/// A call that makes the login may still be on its way when the checkout ends: nobody concludes before it is over.
#[tokio::test]
async fn a_login_that_is_made_late_is_removed_all_the_same() {
    let world = World::new().await;
    let (tess, root) = (world.tess().await, world.root().await);
    world.store.set_faults(FaultPlan::commits_where(|n, _| (n == 2).then_some(CommitFault::Refused)));
    assert_eq!(world.check_out(&tess, &of("temp"), &Once::none()).await.problem(), ProblemType::Unavailable);
    let late = world.system.machine().logins.iter().find(|(login, _)| login.starts_with("temp_")).unwrap().1.clone();
    let login = made(&world).remove(0);
    world.system.machine().logins.remove(&login); // not there yet
    let held = only_checkout(&world).await;
    world.revoke(&root, held.id).await.unwrap();
    world.step().await;
    world.check().await;
    assert_ne!(only_checkout(&world).await.revocation.unwrap().state, RevocationState::Proven, "too early to know");
    world.system.machine().logins.insert(login, late);
    world.pass(seconds(10)).await;
    assert!(made(&world).is_empty());
    assert_eq!(only_checkout(&world).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

#[tokio::test]
async fn a_removal_that_fails_is_tried_until_the_login_is_seen_refused() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.system.next([Happens::NotAppliedReplyLost, Happens::Refused, Happens::Unreachable]);
    world.check_in(&tess, held.id).await.unwrap();
    world.step().await;
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Unresolved);
    assert_eq!(made(&world).len(), 1);
    world.check().await;
    // Nobody removes the account from the vault while its login may be on the system.
    let (open, root, place) = (world.open(), world.root().await, world.place("temp").await);
    let removed = open.remove_account(place, &root, may(&open, &root, place.resource())).await;
    assert_eq!(removed.problem(), ProblemType::InUse);
    world.pass(SignedDuration::from_mins(5)).await;
    assert!(made(&world).is_empty());
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
    open.remove_account(place, &root, may(&open, &root, place.resource())).await.unwrap();
    world.check().await;
}

/// A crash after each commit of a whole life, from the check-out to the proof, leaves no login behind.
#[tokio::test]
async fn a_crash_anywhere_leaves_no_orphan() {
    let base = World::new().await;
    let moment = base.moment();
    for n in 1..=6 {
        for fault in [CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
            let mut world = World::at(&moment, n).await;
            let tess = world.tess().await;
            world.store.set_faults(FaultPlan::commits_where(move |count, _| match count.cmp(&n) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(fault),
                std::cmp::Ordering::Greater => Some(CommitFault::Refused),
            }));
            if let Ok(held) = world.check_out(&tess, &of("temp"), &Once::none()).await {
                drop(world.reveal(&tess, held.id).await);
                drop(world.check_in(&tess, held.id).await);
                world.step().await;
            }
            world.crash(n).await;
            world.check().await;
            world.pass(SignedDuration::from_hours(2)).await;
            assert!(made(&world).is_empty(), "{fault:?} at commit {n}");
            world.check().await;
        }
    }
}

#[tokio::test]
async fn nobody_takes_over_what_everybody_has_for_themselves() {
    let world = World::new().await;
    let held = world.check_out(&world.tess().await, &of("temp"), &Once::none()).await.unwrap();
    assert_eq!(world.take_over(&world.tom().await, held.id).await.problem(), ProblemType::InUse);
    assert_eq!(world.view(held.id).await.state, CheckoutState::Active);
    world.check().await;
}

/// One who waits has no login on the system, and whoever's time is over gets none.
#[tokio::test]
async fn a_login_is_made_for_a_seat_and_for_nothing_else() {
    let world = World::new().await;
    let (tess, tom, root) = (world.tess().await, world.tom().await, world.root().await);
    let (open, place) = (world.open(), world.place("temp").await);
    let change = claviger_api::wire::AccountChange { max_holders: Some(1), ..Default::default() };
    open.change_account(place, &change, &root, may(&open, &root, place.resource())).await.unwrap();
    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    let next = world.check_out(&tom, &super::world::waiting("temp"), &Once::none()).await.unwrap();
    assert_eq!((next.state, made(&world).len()), (CheckoutState::Requested, 1));
    assert_eq!(world.reveal(&tom, next.id).await.problem(), ProblemType::CheckoutNotReady);
    world.check().await;
    world.check_in(&tess, held.id).await.unwrap();
    assert!(world.reveal(&tom, next.id).await.is_ok());
    world.step().await;
    assert_eq!(made(&world).len(), 1);
    world.check().await;
    let id: CheckoutId = next.id;
    world.check_in(&tom, id).await.unwrap();
    world.step().await;

    let later = claviger_api::wire::NewCheckout { claim: claviger_api::wire::Claim::Later, ..of("temp") };
    world.system.machine().unreachable = true;
    assert_eq!(world.check_out(&tess, &later, &Once::none()).await.problem(), ProblemType::SystemFailed);
    world.system.machine().unreachable = false;
    world.pass(SignedDuration::from_hours(1)).await;
    assert!(made(&world).is_empty());
    world.check().await;
}
