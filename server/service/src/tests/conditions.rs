//! The conditions of a grant, met and not met, by those who use it.

use std::net::IpAddr;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{Conditions, GrantScope, NewCheckout, NewGrant, OnConflict, Role};
use claviger_core::policy::Circumstances;
use claviger_store::{Range, Table};

use super::world::{Refused as _, World, new_grant, of, part, seconds};
use crate::error::Result;
use crate::{Caller, Once};

/// 2026-11-24, a Tuesday, 09:00 in UTC.
const OFFICE: &str = "Mon-Fri 08:00-18:00 UTC";

/// A technician with one grant, under these conditions.
async fn ina(world: &World, conditions: Conditions) {
    world.enrolled("ina").await;
    grant(world, conditions).await;
}

async fn grant(world: &World, conditions: Conditions) -> claviger_api::GrantId {
    let new = NewGrant { conditions, ..new_grant("ina", Role::Technician, GrantScope::Customer(part("acme"))) };
    world.open().make_grant(&new, &Once::none(), &world.root().await).await.unwrap().id
}

async fn from(world: &World, source: &str) -> Caller {
    Caller { source: Some(source.parse::<IpAddr>().unwrap()), ..world.open().acting("ina").await }
}

async fn check_out(world: &World, caller: &Caller, new: &NewCheckout) -> Result<claviger_api::wire::Checkout> {
    let open = world.open();
    let place = open.place(&new.account).await?;
    let around = Circumstances { ticket: new.ticket.as_deref(), ..caller.circumstances(open.now()) };
    let permit = open.permit_around(caller, &place.resource(), &around).await?;
    open.check_out(place, new, &Once::none(), caller, permit).await
}

#[tokio::test]
async fn a_grant_gives_only_in_its_hours_and_to_its_networks() {
    let world = World::new().await;
    let conditions = Conditions {
        hours: Some(OFFICE.parse().unwrap()),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        ..Conditions::default()
    };
    ina(&world, conditions).await;
    let (office, away) = (from(&world, "192.0.2.7").await, from(&world, "198.51.100.1").await);

    let refused = check_out(&world, &away, &of("app")).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::WrongNetwork);
    assert!(refused.detail.contains("192.0.2.0/24"), "{}", refused.detail);
    let held = check_out(&world, &office, &of("app")).await.unwrap();
    assert!(world.reveal(&office, held.id).await.is_ok());
    assert_eq!(world.reveal(&away, held.id).await.problem(), ProblemType::WrongNetwork);
    assert_eq!(world.extend(&away, held.id, 7200).await.problem(), ProblemType::WrongNetwork);
    world.extend(&office, held.id, 4 * 3600).await.unwrap();

    world.clock.advance(seconds(3 * 3600));
    assert!(world.reveal(&office, held.id).await.is_ok());
    let nobody = world.open().acting("ina").await;
    assert_eq!(
        world.reveal(&nobody, held.id).await.problem(),
        ProblemType::WrongNetwork,
        "no address is in no network"
    );
    assert!(world.check_in(&away, held.id).await.is_ok(), "giving back is always possible");

    world.clock.advance(seconds(7 * 3600));
    let refused = check_out(&world, &office, &of("shared")).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::OutOfHours);
    assert!(refused.detail.contains(OFFICE), "{}", refused.detail);
    world.check().await;
}

/// Whoever may not know of a thing learns nothing of conditions either.
#[tokio::test]
async fn a_condition_tells_nothing_of_what_is_hidden() {
    let world = World::new().await;
    world.enrolled("ina").await;
    let scope = GrantScope::Account("acme/db1/app".parse().unwrap());
    let conditions = Conditions { hours: Some("Sun 00:00-01:00 UTC".parse().unwrap()), ..Conditions::default() };
    let new = NewGrant { conditions, ..new_grant("ina", Role::Technician, scope) };
    world.open().make_grant(&new, &Once::none(), &world.root().await).await.unwrap();
    let ina = world.open().acting("ina").await;
    assert_eq!(check_out(&world, &ina, &of("app")).await.problem(), ProblemType::OutOfHours);
    assert_eq!(check_out(&world, &ina, &of("shared")).await.problem(), ProblemType::NotFound);
}

#[tokio::test]
async fn a_ticket_is_named_and_of_the_right_form() {
    let world = World::new().await;
    ina(&world, Conditions { ticket: Some("INC-[0-9]+".parse().unwrap()), ..Conditions::default() }).await;
    let ina = world.open().acting("ina").await;
    let with = |ticket: Option<&str>| NewCheckout { ticket: ticket.map(str::to_owned), ..of("app") };
    for wrong in [None, Some("INC"), Some("INC-7 or so")] {
        let refused = check_out(&world, &ina, &with(wrong)).await.unwrap_err();
        assert_eq!(refused.problem, ProblemType::TicketNeeded);
        assert!(refused.detail.contains("INC-[0-9]+"), "{}", refused.detail);
    }
    let held = check_out(&world, &ina, &with(Some("INC-7"))).await.unwrap();
    assert!(world.reveal(&ina, held.id).await.is_ok(), "it was named once, for all of the checkout");
}

#[tokio::test]
async fn a_factor_that_is_not_fresh_is_asked_for() {
    let world = World::new().await;
    ina(&world, Conditions { fresh_factor: true, ..Conditions::default() }).await;
    let fresh = world.open().acting("ina").await;
    let held = check_out(&world, &fresh, &of("app")).await.unwrap();
    world.clock.advance(seconds(299));
    assert!(world.reveal(&fresh, held.id).await.is_ok());
    world.clock.advance(seconds(1));
    assert_eq!(world.reveal(&fresh, held.id).await.problem(), ProblemType::FreshFactorNeeded);
    assert_eq!(check_out(&world, &fresh, &of("shared")).await.problem(), ProblemType::FreshFactorNeeded);
    let again = world.open().acting("ina").await;
    assert!(world.reveal(&again, held.id).await.is_ok());
    let without = Caller { second_factor_at: None, ..again };
    assert_eq!(world.reveal(&without, held.id).await.problem(), ProblemType::SecondFactorNeeded);
}

#[tokio::test]
async fn a_grant_for_some_verbs_gives_those_and_shows_the_rest() {
    let world = World::new().await;
    ina(&world, Conditions { actions: vec!["account.rotate".to_owned()], ..Conditions::default() }).await;
    let ina = world.open().acting("ina").await;
    assert_eq!(check_out(&world, &ina, &of("app")).await.problem(), ProblemType::Forbidden);
    let place = world.open().place(&of("app").account).await.unwrap();
    assert!(world.open().permit::<claviger_core::policy::AccountRotate>(&ina, &place.resource()).await.is_ok());
}

/// The reveals of an hour are counted over all accounts, in the store, and a grant without a budget goes on.
#[tokio::test]
async fn the_reveals_of_an_hour_are_counted_over_all_accounts() {
    let mut world = World::new().await;
    ina(&world, Conditions { reveals_per_hour: Some(2), ..Conditions::default() }).await;
    let ina = world.open().acting("ina").await;
    let long = |account| NewCheckout { ttl_seconds: Some(4 * 3600), ..of(account) };
    let first = check_out(&world, &ina, &long("app")).await.unwrap();
    let second = check_out(&world, &ina, &long("shared")).await.unwrap();
    assert!(world.reveal(&ina, first.id).await.is_ok());
    world.clock.advance(seconds(600));
    assert!(world.reveal(&ina, second.id).await.is_ok());
    let refused = world.reveal(&ina, first.id).await.err().expect("spent");
    assert_eq!((refused.problem, refused.retry_after_seconds), (ProblemType::RevealsSpent, Some(3001)));

    world.clock.advance(seconds(2999));
    assert_eq!(world.reveal(&ina, first.id).await.problem(), ProblemType::RevealsSpent);
    world.clock.advance(seconds(1));
    assert!(world.reveal(&ina, first.id).await.is_ok(), "the first is an hour ago");
    assert_eq!(world.reveal(&ina, first.id).await.problem(), ProblemType::RevealsSpent);
    assert_eq!(world.rows(Table::RevealTimes).await, 1);

    // The count outlasts a crash.
    world.crash(1).await;
    let ina = world.open().acting("ina").await;
    assert_eq!(world.reveal(&ina, first.id).await.problem(), ProblemType::RevealsSpent);

    // Another grant of the same role stands behind the next.
    let other = grant(&world, Conditions::default()).await;
    let ina = world.open().acting("ina").await;
    assert!(world.reveal(&ina, first.id).await.is_ok());
    world
        .open()
        .revoke_grant(
            other,
            &world.root().await,
            super::world::may(&world.open(), &world.root().await, claviger_core::policy::Resource::Operator),
        )
        .await
        .unwrap();
    let ina = world.open().acting("ina").await;
    assert_eq!(world.reveal(&ina, first.id).await.problem(), ProblemType::RevealsSpent);
    world.check().await;
}

/// Two at once do not share the last one.
#[tokio::test]
async fn of_two_reveals_at_once_one_gets_the_last() {
    let world = World::new().await;
    ina(&world, Conditions { reveals_per_hour: Some(1), ..Conditions::default() }).await;
    let ina = world.open().acting("ina").await;
    let first = check_out(&world, &ina, &of("app")).await.unwrap();
    let second = check_out(&world, &ina, &NewCheckout { on_conflict: OnConflict::Fail, ..of("shared") }).await.unwrap();
    let (one, two) = futures::join!(world.reveal(&ina, first.id), world.reveal(&ina, second.id));
    assert_eq!(u8::from(one.is_ok()) + u8::from(two.is_ok()), 1);
}

impl World {
    async fn rows(&self, table: Table) -> usize {
        let range = Range::scope(table, claviger_api::Scope::Operator);
        claviger_store::Store::scan(&self.store, &range).await.unwrap().len()
    }
}
