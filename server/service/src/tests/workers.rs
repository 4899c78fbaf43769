//! What the vault does by itself, as the workers start it.

use std::sync::Arc;

use claviger_api::wire::{CheckoutState, RevocationState};
use tokio::sync::Semaphore;

use super::world::{World, of, seconds};
use crate::Once;
use crate::workers::act_on_due;

/// Starts what is due, and waits until nobody has anything in hand.
async fn work(world: &World, turns: &Arc<Semaphore>) {
    act_on_due(&world.open(), turns).await.unwrap();
    while !world.open().in_hand.is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Every turn is taken by systems that hang: rights end all the same, and what has to wait for a turn is not forgotten.
#[tokio::test]
async fn anvil_hostile_system_an_end_does_not_wait_behind_systems_that_hang() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.clock.advance(seconds(3600));
    let none = Arc::new(Semaphore::new(0));
    work(&world, &none).await;
    assert_eq!(world.view(held.id).await.state, CheckoutState::Ended);
    work(&world, &none).await;
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Pending);
    work(&world, &Arc::new(Semaphore::new(1))).await;
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

/// Nothing is started twice, however often the workers look.
#[tokio::test]
async fn what_is_in_hand_is_not_started_again() {
    let world = World::new().await;
    world.rotate(&world.root().await, "app").await.unwrap();
    let turns = Arc::new(Semaphore::new(8));
    for _ in 0..5 {
        act_on_due(&world.open(), &turns).await.unwrap();
    }
    assert_eq!(turns.available_permits(), 7);
    work(&world, &turns).await;
    assert_eq!(world.system.machine().sets, 1);
    world.check().await;
}
