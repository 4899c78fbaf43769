//! Accounts that nobody uses, from what the vault knows.

use claviger_api::problem::ProblemType;
use claviger_api::wire::UnusedAccount;
use claviger_core::policy::{AccessView, Resource};
use jiff::SignedDuration;

use super::world::{Refused as _, World, of};
use crate::error::Result;
use crate::{Caller, Once, Paging};

async fn unused(world: &World, caller: &Caller, days: u32) -> Result<Vec<UnusedAccount>> {
    let open = world.open();
    let visible = |id| open.may_see::<AccessView>(caller, &Resource::Customer(id));
    let paging = Paging::new(None, None).unwrap();
    open.unused_accounts(None, Some(days), &paging, visible).await.map(|page| page.items)
}

fn names(accounts: &[UnusedAccount]) -> Vec<&str> {
    let mut names: Vec<&str> = accounts.iter().map(|one| one.account.account.as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn an_account_is_unused_for_whole_days_since_its_last_use() {
    let world = World::new().await;
    let (tess, tom) = (world.tess().await, world.tom().await);
    world.pass(SignedDuration::from_hours(10 * 24)).await;
    let (tess, tom) = (world.open().acting(tess.name.as_str()).await, world.open().acting(tom.name.as_str()).await);
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    // Checked out and never seen: that is no use.
    let unseen = world.check_out(&tom, &of("shared"), &Once::none()).await.unwrap();
    world.check_in(&tom, unseen.id).await.unwrap();
    world.pass(SignedDuration::from_hours(20 * 24) - SignedDuration::from_secs(1)).await;
    let root = world.root().await;
    assert!(unused(&world, &root, 30).await.unwrap().is_empty());
    world.pass(SignedDuration::from_secs(1)).await;
    let found = unused(&world, &root, 30).await.unwrap();
    assert_eq!(names(&found), ["dba", "shared", "temp"]);
    assert!(found.iter().all(|one| one.last_used_at.is_none() && one.unused_days == 30));
    world.pass(SignedDuration::from_hours(10 * 24)).await;
    let root = world.root().await;
    let found = unused(&world, &root, 30).await.unwrap();
    assert_eq!(names(&found), ["app", "dba", "shared", "temp"]);
    let app = found.iter().find(|one| one.account.account.as_str() == "app").unwrap();
    assert_eq!((app.unused_days, app.last_used_at), (30, Some(app.unused_since)));
    assert_eq!(names(&unused(&world, &root, 40).await.unwrap()), ["dba", "shared", "temp"]);
    assert_eq!(unused(&world, &root, 0).await.problem(), ProblemType::InvalidValue);
    assert!(unused(&world, &world.open().acting("tess").await, 30).await.unwrap().is_empty(), "not theirs to see");
}
