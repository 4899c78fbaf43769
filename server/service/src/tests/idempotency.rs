//! Idempotency-Key: one effect, for one principal, of one request.

use claviger_api::problem::ProblemType;
use claviger_api::wire::NewUser;
use claviger_core::policy::Resource;
use claviger_store::Table;
use futures::future::join_all;

use super::world::{Refused as _, World, key, may, of, part, waiting};
use crate::Once;

#[test]
fn a_key_is_short_and_visible() {
    for bad in ["", " ", "a b", "ä", "a\n", &"x".repeat(129)] {
        assert_eq!(Once::new(bad, &[]).problem(), ProblemType::InvalidValue, "{bad:?}");
    }
    assert!(Once::new(&"x".repeat(128), &[]).is_ok());
}

#[tokio::test]
async fn the_same_request_has_one_effect_and_another_is_a_mismatch() {
    let world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    let once = Once::new("k", &[b"POST", b"body"]).unwrap();
    let first = world.check_out(&tess, &of("app"), &once).await.unwrap();
    assert_eq!(world.check_out(&tess, &of("app"), &once).await.unwrap().id, first.id);
    for other in [Once::new("k", &[b"POST", b"other"]), Once::new("k", &[b"POSTb", b"ody"]), Once::new("k", &[])] {
        let answer = world.check_out(&tess, &of("app"), &other.unwrap()).await;
        assert_eq!(answer.problem(), ProblemType::IdempotencyMismatch);
    }
    // The key is the principal's own.
    let theirs = world.check_out(&tom, &waiting("app"), &once).await.unwrap();
    assert_ne!(theirs.id, first.id);
    world.check().await;
}

/// The answer is today's, not the first one's.
#[tokio::test]
async fn a_repeat_is_answered_with_what_is() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &key("k")).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    let again = world.check_out(&tess, &of("app"), &key("k")).await.unwrap();
    assert_eq!((again.id, again.state), (held.id, claviger_api::wire::CheckoutState::Ended));
}

#[tokio::test]
async fn a_crowd_of_the_same_request_has_one_effect() {
    let world = World::new().await;
    let tess = world.tess().await;
    let (new, once) = (of("app"), key("k"));
    let answers = join_all((0..20).map(|_| world.check_out(&tess, &new, &once))).await;
    let mut ids: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    world.check().await;
}

/// The first is committed between the repeat's look for it and its decision: what refuses the repeat is the first.
#[tokio::test]
async fn a_repeat_that_comes_while_the_first_is_committed_is_answered_as_it_was() {
    let (world, store) = World::interrupted().await;
    let (open, tess) = (world.open(), world.tess().await);
    let place = world.place("app").await;
    let (first, by) = (open.clone(), tess.clone());
    let meanwhile = async move {
        let permit = first.permit(&by, &place.resource()).await.unwrap();
        first.check_out(place, &of("app"), &key("k"), &by, permit).await.unwrap();
    };
    store.after(Table::Idempotency, meanwhile);
    let repeat = world.check_out(&tess, &of("app"), &key("k")).await.unwrap();
    assert!(store.has_interrupted());
    assert_eq!(world.account("app").await.holders, [repeat.id]);
    world.check().await;

    let (last, by) = (open.clone(), tess.clone());
    let meanwhile = async move {
        let found = last.find_checkout(repeat.id).await.unwrap();
        let permit = last.permit(&by, &found.resource()).await.unwrap();
        last.check_in(&found, &key("end"), &by, permit).await.unwrap();
    };
    store.after(Table::Idempotency, meanwhile);
    let (found, permit) = world.found(&tess, repeat.id).await.unwrap();
    let ended = open.check_in(&found, &key("end"), &tess, permit).await.unwrap();
    assert!(store.has_interrupted());
    assert_eq!(ended.state, claviger_api::wire::CheckoutState::Ended);
    world.check().await;
}

#[tokio::test]
async fn a_secret_that_was_shown_once_is_not_shown_again() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let new = NewUser { name: part("eve"), customer: None };
    let add = async || open.add_user(&new, &key("k"), &root, may(&open, &root, Resource::Operator)).await;
    add().await.unwrap();
    let again = add().await.err().unwrap();
    assert_eq!(again.problem, ProblemType::AlreadyIssued);
    assert!(again.detail.contains("re-enrol"), "and it says how to get another: {}", again.detail);
    world.check().await;
}
