//! Several holders, and the order of those who wait.

use claviger_api::wire::{
    AccountChange, Checkout, CheckoutState, EndCause, NewCheckout, OnConflict, RevocationState, Role, WithReason,
};
use claviger_api::{AccountPath, ProblemType};
use claviger_client::Client;
use claviger_tests::inventory::{add_role, available, checkout_until, wanted};
use claviger_tests::people::Person;

use super::{House, SOON};

#[tokio::test]
async fn a_shared_account_rotates_when_each_holder_has_left_it() {
    let house = House::start().await;
    let [_, zoe] = technicians(&house, ["max", "zoe"]).await.map(|person| person.client(house.vault.address()));
    let tina = house.vault.technician();
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/shared").await;
    let change = AccountChange { max_holders: Some(2), ..AccountChange::default() };
    house.vault.administrator().accounts().set(&account, &change).await.unwrap();

    let (first, second) = (hold(&tina, &account).await, hold(&zoe, &account).await);
    let secret = reveal(&tina, &first).await;
    assert_eq!(reveal(&zoe, &second).await, secret, "both hold the same");
    let third =
        house.vault.people.administrator.adds_user(house.vault.address(), "kim", Some((Role::Technician, "acme")));
    let third = third.await.client(house.vault.address());
    let refused = third.checkouts().create(&wanted(&account, 60)).await.unwrap_err();
    assert_eq!(refused.problem_type(), Some(ProblemType::AccountHeld));

    tina.checkouts().checkin(first.id).await.unwrap();
    let proven = checkout_until(&tina, &first, "is proven", SOON, is_proven).await;
    assert_eq!(proven.end_cause, Some(EndCause::CheckedIn));
    assert!(!house.postgres.can_login("shared", &secret).await, "what the first has seen is dead");
    let again = reveal(&zoe, &second).await;
    assert_ne!(again, secret);
    assert!(house.postgres.can_login("shared", &again).await, "the second, who holds it still, has what works");
    zoe.checkouts().checkin(second.id).await.unwrap();
    checkout_until(&zoe, &second, "is proven", SOON, is_proven).await;
    assert!(!house.postgres.can_login("shared", &again).await);
}

#[tokio::test]
async fn those_who_wait_get_their_turn_in_order_and_a_taker_comes_first() {
    let mut house = House::start().await;
    let [max, zoe_herself] = technicians(&house, ["max", "zoe"]).await;
    let (max, zoe) = (max.client(house.vault.address()), zoe_herself.client(house.vault.address()));
    let tina = house.vault.technician();
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await;

    let held = hold(&tina, &account).await;
    let seen = reveal(&tina, &held).await;
    let second = wait_for(&max, &account).await;
    let third = wait_for(&zoe, &account).await;
    assert_eq!((second.waiting_behind, third.waiting_behind), (Some(0), Some(1)));

    tina.checkouts().checkin(held.id).await.unwrap();
    let turn = checkout_until(&max, &second, "has its turn", SOON, |c| c.state != CheckoutState::Requested).await;
    assert_eq!(zoe.checkouts().show(third.id).await.unwrap().state, CheckoutState::Requested, "one at a time");
    let next = reveal(&max, &turn).await;
    assert_ne!(next, seen, "nobody gets what the one before has seen");
    assert!(house.postgres.can_login("admin", &next).await);

    // Tina takes over: Max's ends, what he saw dies, and she comes before Zoe.
    let reason = WithReason { reason: "an outage".to_owned() };
    let taken = tina.checkouts().take_over(second.id, &reason).await.unwrap();
    let ended = max.checkouts().show(second.id).await.unwrap();
    assert_eq!((ended.state, ended.end_cause), (CheckoutState::Ended, Some(EndCause::TakenOver)));
    let refused = max.checkouts().reveal(second.id).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::CheckoutEnded));
    let taken = checkout_until(&tina, &taken, "has its turn", SOON, |c| c.state != CheckoutState::Requested).await;
    let latest = reveal(&tina, &taken).await;
    assert!(!house.postgres.can_login("admin", &next).await, "what Max saw is dead");
    assert!(house.postgres.can_login("admin", &latest).await);
    assert_eq!(zoe.checkouts().show(third.id).await.unwrap().state, CheckoutState::Requested);

    // The queue survives a restart.
    house.vault.stop().await;
    house.vault.restart().await;
    let (tina, zoe) = (house.vault.technician(), zoe_herself.client(house.vault.address()));
    tina.checkouts().checkin(taken.id).await.unwrap();
    let turn = checkout_until(&zoe, &third, "has its turn", SOON, |c| c.state != CheckoutState::Requested).await;
    assert!(house.postgres.can_login("admin", &reveal(&zoe, &turn).await).await);
    zoe.checkouts().checkin(third.id).await.unwrap();
    available(&zoe, &account, SOON).await;
}

/// Waits end when whoever waits withdraws, and the next one moves up.
#[tokio::test]
async fn a_place_in_the_queue_can_be_given_up() {
    let house = House::start().await;
    let [max, zoe] = technicians(&house, ["max", "zoe"]).await.map(|person| person.client(house.vault.address()));
    let tina = house.vault.technician();
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await;
    let held = hold(&tina, &account).await;
    let (second, third) = (wait_for(&max, &account).await, wait_for(&zoe, &account).await);
    let withdrawn = max.checkouts().checkin(second.id).await.unwrap();
    assert_eq!(withdrawn.end_cause, Some(EndCause::Cancelled));
    assert_eq!(withdrawn.revocation.unwrap().state, RevocationState::NotNeeded);
    assert_eq!(zoe.checkouts().show(third.id).await.unwrap().waiting_behind, Some(0));
    tina.checkouts().checkin(held.id).await.unwrap();
    checkout_until(&zoe, &third, "has its turn", SOON, |c| c.state == CheckoutState::Approved).await;
}

async fn technicians<const N: usize>(house: &House, names: [&str; N]) -> [Person; N] {
    let mut people = Vec::new();
    for name in names {
        let role = Some((Role::Technician, "acme"));
        people.push(house.vault.people.administrator.adds_user(house.vault.address(), name, role).await);
    }
    people.try_into().ok().unwrap()
}

async fn hold(client: &Client, account: &AccountPath) -> Checkout {
    let held = client.checkouts().create(&wanted(account, 600)).await.unwrap();
    assert_eq!(held.state, CheckoutState::Active);
    held
}

async fn wait_for(client: &Client, account: &AccountPath) -> Checkout {
    let new = NewCheckout { on_conflict: OnConflict::Wait, ..wanted(account, 600) };
    let queued = client.checkouts().create(&new).await.unwrap();
    assert_eq!(queued.state, CheckoutState::Requested);
    queued
}

async fn reveal(client: &Client, checkout: &Checkout) -> String {
    client.checkouts().reveal(checkout.id).await.unwrap().secret.secret().expose().to_owned()
}

fn is_proven(checkout: &Checkout) -> bool {
    checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
}
