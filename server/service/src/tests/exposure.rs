//! Who has seen a secret that still works, and the rotation of exactly that.

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountSettings, Exposure, GrantScope, NewAccount, NewCustomer, Role, RotationsStarted, SeenHow,
};
use claviger_core::policy::{AccessView, Resource};

use super::world::{Refused as _, World, may, of, part, seconds, secret, standing};
use crate::error::Result;
use crate::{Caller, Once, Paging, Place};

async fn exposures(world: &World, caller: &Caller, principal: Option<&str>) -> Result<Vec<Exposure>> {
    let open = world.open();
    let paging = Paging::new(None, None).unwrap();
    let visible = |id| open.may_see::<AccessView>(caller, &Resource::Customer(id));
    open.exposures(None, principal, &paging, caller, visible).await.map(|page| page.items)
}

async fn rotate_exposed(world: &World, caller: &Caller, to: &str, once: &Once) -> Result<RotationsStarted> {
    let open = world.open();
    let permit = async |place: Place| open.permit_untold(caller, &place.resource()).await.ok();
    open.rotate_exposed(to, None, Some("has left"), once, caller, permit).await
}

fn accounts(exposures: &[Exposure]) -> Vec<String> {
    let mut accounts: Vec<String> = exposures.iter().map(|one| one.account.account.to_string()).collect();
    accounts.sort();
    accounts
}

async fn sees(world: &World, caller: &Caller, account: &str) {
    let held = world.check_out(caller, &of(account), &Once::none()).await.unwrap();
    world.reveal(caller, held.id).await.unwrap();
    world.check_in(caller, held.id).await.unwrap();
}

/// A world in which seen accounts keep their secret: `kept` and `other` are not rotated at a checkout's end.
async fn lasting() -> World {
    let world = World::new().await;
    for login in ["kept", "other"] {
        world.system.add(login, login);
        let settings = AccountSettings { rotate_on_end: false, ..AccountSettings::default() };
        world.add_account("acme", "db1", NewAccount { settings, ..standing(login, login) }).await.unwrap();
    }
    world
}

#[tokio::test]
async fn what_was_seen_is_exposed_until_it_is_rotated_and_no_longer() {
    let world = lasting().await;
    let (tess, tom, root) = (world.tess().await, world.tom().await, world.root().await);
    sees(&world, &tess, "kept").await;
    sees(&world, &tom, "other").await;
    sees(&world, &tess, "app").await;
    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    assert_eq!(accounts(&exposures(&world, &root, Some("tess")).await.unwrap()), ["app", "kept", "temp"]);
    world.pass(seconds(30)).await;
    assert_eq!(accounts(&exposures(&world, &root, Some("tess")).await.unwrap()), ["kept", "temp"], "app was rotated");
    world.check_in(&tess, held.id).await.unwrap();
    world.pass(seconds(30)).await;
    let left = exposures(&world, &root, Some("tess")).await.unwrap();
    assert_eq!(accounts(&left), ["kept"], "the login of its own is removed");
    let seen = &left[0].seen_by[..];
    assert_eq!((seen.len(), seen[0].version, seen[0].how, seen[0].holds), (1, 1, SeenHow::Revealed, false));

    let started = rotate_exposed(&world, &root, "tess", &Once::none()).await.unwrap();
    assert_eq!(started.rotations.iter().map(|r| r.account.account.as_str()).collect::<Vec<_>>(), ["kept"]);
    assert!(started.skipped.is_empty());
    let again = rotate_exposed(&world, &root, "tess", &Once::none()).await.unwrap();
    assert_eq!((again.rotations.len(), again.skipped.len()), (0, 1), "it is under way already");
    world.pass(seconds(30)).await;
    assert!(exposures(&world, &root, Some("tess")).await.unwrap().is_empty());
    let none = rotate_exposed(&world, &root, "tess", &Once::none()).await.unwrap();
    assert!(none.rotations.is_empty() && none.skipped.is_empty());
    assert_eq!(accounts(&exposures(&world, &root, Some("tom")).await.unwrap()), ["other"], "nobody else's was rotated");
    assert!(!world.system.opens("kept", "kept") && world.system.opens("other", "other"));
    world.check().await;
}

#[tokio::test]
async fn whoever_brought_a_secret_knows_it() {
    let world = World::new().await;
    let (root, bot) = (world.root().await, world.bot().await);
    let all = exposures(&world, &root, Some("root")).await.unwrap();
    assert_eq!(accounts(&all), ["app", "dba", "shared"], "root added them with their secrets");
    assert!(
        all.iter().flat_map(|one| &one.seen_by).all(|seen| seen.how == SeenHow::Brought && seen.checkout.is_none())
    );
    let (open, place) = (world.open(), world.place("app").await);
    let permit = open.permit(&bot, &place.resource()).await.unwrap();
    open.set_secret(place, &secret("set by a script"), &Once::none(), &bot, permit).await.unwrap();
    assert_eq!(accounts(&exposures(&world, &root, Some("bot")).await.unwrap()), ["app"]);
    assert_eq!(accounts(&exposures(&world, &root, Some("root")).await.unwrap()), ["dba", "shared"]);
}

#[tokio::test]
async fn a_secret_that_is_still_accepted_after_its_rotation_is_still_exposed() {
    let world = World::new().await;
    let (tess, root) = (world.tess().await, world.root().await);
    world.system.machine().grace = jiff::SignedDuration::from_mins(60);
    world.system.machine().traits.grace = std::time::Duration::from_hours(1);
    sees(&world, &tess, "app").await;
    world.pass(seconds(30)).await;
    assert_eq!(accounts(&exposures(&world, &root, Some("tess")).await.unwrap()), ["app"]);
    world.pass(jiff::SignedDuration::from_hours(2)).await;
    assert!(exposures(&world, &root, Some("tess")).await.unwrap().is_empty());
}

/// Of one that is held, nothing is broken: it is passed over, with the reason.
#[tokio::test]
async fn what_is_held_is_passed_over_with_its_reason() {
    let world = World::new().await;
    let (tess, root) = (world.tess().await, world.root().await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let started = rotate_exposed(&world, &root, "tess", &Once::none()).await.unwrap();
    assert!(started.rotations.is_empty());
    assert!(started.skipped[0].why.contains("checked out"), "{}", started.skipped[0].why);
    assert!(exposures(&world, &root, Some("tess")).await.unwrap()[0].seen_by[0].holds);
}

/// Whoever was removed is still meant by the name, and by the id; and a repeated request does nothing twice.
#[tokio::test]
async fn what_somebody_has_seen_who_was_removed_is_still_found() {
    let world = lasting().await;
    let (tess, root, open) = (world.tess().await, world.root().await, world.open());
    sees(&world, &tess, "kept").await;
    let permit = may(&open, &root, Resource::Operator);
    open.remove_principal(&part("tess"), claviger_api::wire::PrincipalKind::User, &root, permit).await.unwrap();
    for name in ["tess", &tess.id.to_string()] {
        assert_eq!(accounts(&exposures(&world, &root, Some(name)).await.unwrap()), ["kept"], "{name}");
    }
    let once = super::world::key("rotate-what-tess-has-seen");
    let first = rotate_exposed(&world, &root, "tess", &once).await.unwrap();
    world.pass(seconds(30)).await;
    assert!(rotate_exposed(&world, &root, "tess", &once).await.unwrap().rotations.is_empty());
    assert_eq!(first.rotations.len(), 1);
    assert_eq!(world.system.machine().sets, 1);
}

/// Each account is rotated only by whoever may, and whoever may not list people learns nothing of who there is.
#[tokio::test]
async fn anvil_cross_customer_what_is_exposed_elsewhere_is_neither_rotated_nor_told() {
    let world = lasting().await;
    let (root, open) = (world.root().await, world.open());
    let umbra = NewCustomer { slug: part("umbra"), display_name: "Umbra".to_owned() };
    open.add_customer(&umbra, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    world.enrolled("una").await;
    world.grant("una", Role::Technician, GrantScope::Customer(part("umbra"))).await.unwrap();
    world.grant("una", Role::CustomerAuditor, GrantScope::Customer(part("umbra"))).await.unwrap();
    let (tess, una) = (world.tess().await, open.acting("una").await);
    sees(&world, &tess, "kept").await;
    for name in ["tess", "nobody-of-this-name"] {
        assert_eq!(exposures(&world, &una, Some(name)).await.problem(), ProblemType::NotFound, "{name}");
        assert_eq!(rotate_exposed(&world, &una, name, &Once::none()).await.problem(), ProblemType::NotFound, "{name}");
    }
    assert!(exposures(&world, &una, None).await.unwrap().is_empty());
    assert_eq!(exposures(&world, &root, Some("nobody")).await.problem(), ProblemType::NotFound);
    assert!(exposures(&world, &root, Some("tom")).await.unwrap().is_empty(), "who may list people is told: nothing");
    assert_eq!(rotate_exposed(&world, &root, "not a name", &Once::none()).await.problem(), ProblemType::InvalidValue);
    assert!(world.system.opens("kept", "kept"));
}
