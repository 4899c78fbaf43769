//! A customer's limits, set by its own administrator, on everybody who works there.

use std::collections::BTreeSet;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{Conditions, CustomerLimits, ExplainQuery, GrantScope, NewCheckout, NewUser, Role};
use claviger_core::policy::{CustomerLimit, PrincipalManage, PrincipalView, Resource};

use super::world::{Refused as _, World, may, of, part};
use crate::{Caller, Once, Paging};

/// Acme's own administrator.
pub async fn cara(world: &World) -> Caller {
    world.enrolled_of("cara", Some("acme")).await;
    world.grant("cara", Role::CustomerAdministrator, GrantScope::Customer(part("acme"))).await.unwrap();
    world.open().acting("cara").await
}

async fn limit(world: &World, cara: &Caller, limits: CustomerLimits) {
    let (open, acme) = (world.open(), world.acme().await);
    let permit = open.permit::<CustomerLimit>(cara, &Resource::Customer(acme)).await.unwrap();
    open.limit_customer(acme, &limits, cara, permit).await.unwrap();
}

fn for_an_hour() -> CustomerLimits {
    CustomerLimits {
        max_checkout_seconds: Some(3600),
        conditions: Conditions { hours: Some("Mon-Fri 08:00-10:00 UTC".parse().unwrap()), ..Conditions::default() },
        kit: None,
    }
}

#[tokio::test]
async fn limits_bind_whatever_was_granted_from_the_moment_they_are_set() {
    let world = World::new().await;
    let (cara, tess, bot) = (cara(&world).await, world.tess().await, world.bot().await);
    let long = NewCheckout { ttl_seconds: Some(2 * 3600), ..of("app") };
    let held = world.check_out(&tess, &long, &Once::none()).await.unwrap();
    limit(&world, &cara, for_an_hour()).await;
    let longer = NewCheckout { ttl_seconds: Some(3601), ..of("shared") };
    assert_eq!(world.check_out(&bot, &longer, &Once::none()).await.problem(), ProblemType::InvalidValue);
    assert!(world.check_out(&bot, &of("shared"), &Once::none()).await.is_ok());
    assert!(world.reveal(&tess, held.id).await.is_ok(), "in the customer's hours");
    world.clock.advance(super::world::seconds(3600));
    let refused = world.reveal(&tess, held.id).await.err().unwrap();
    assert_eq!(refused.problem, ProblemType::OutOfHours);
    assert!(refused.detail.starts_with("The customer wants the hours Mon-Fri 08:00-10:00"), "{}", refused.detail);

    // What stops something goes on, and whoever asks why is told.
    let (open, root) = (world.open(), world.root().await);
    let query = ExplainQuery {
        principal: "tess".to_owned(),
        action: "checkout.reveal".to_owned(),
        scope: "acme/db1/app".to_owned(),
        at: None,
        source: None,
        ticket: None,
        fresh_factor: None,
    };
    let why = open.explain_access(&query, &root).await.unwrap();
    assert!(!why.allowed && why.answer.contains("the customer wants the hours"), "{}", why.answer);
    assert_eq!(why.customer_wants.len(), 1);
    let access = open.account_access(&"acme/db1/app".parse().unwrap(), &root).await.unwrap();
    assert_eq!(access.limits, for_an_hour());
    assert!(world.revoke(&root, held.id).await.is_ok());

    // Only its own administrator lifts them: also when the hours are over.
    for caller in [&root, &tess] {
        let refused = open.permit::<CustomerLimit>(caller, &Resource::Customer(world.acme().await)).await;
        assert_eq!(refused.problem(), ProblemType::Forbidden, "{}", caller.name);
    }
    limit(&world, &open.acting("cara").await, CustomerLimits::default()).await;
    world.step().await;
    assert!(world.check_out(&tess, &of("app"), &Once::none()).await.is_ok());
    world.check().await;
}

/// A customer can want that one of its own says yes to each checkout.
#[tokio::test]
async fn a_customer_wants_a_yes_of_its_own() {
    let world = World::new().await;
    let cara = cara(&world).await;
    let rule = claviger_api::wire::ApprovalRule { count: 1, by_customer: true, reuse: false };
    let conditions = Conditions { approvals: Some(rule), ..Conditions::default() };
    limit(&world, &cara, CustomerLimits { max_checkout_seconds: None, conditions, kit: None }).await;
    let asked = world.check_out(&world.tess().await, &of("app"), &Once::none()).await.unwrap();
    let approvals = asked.approvals.expect("it waits for a yes");
    assert!(approvals.by_customer && approvals.needed == 1 && approvals.given.is_empty());
    assert_eq!(world.reveal(&world.tess().await, asked.id).await.problem(), ProblemType::ApprovalNeeded);
    world.check().await;
}

#[tokio::test]
async fn a_customers_administrator_manages_its_own_users_and_nobody_elses() {
    let world = World::new().await;
    let (open, cara) = (world.open(), cara(&world).await);
    let acme = world.acme().await;
    let own = NewUser { name: part("carl"), customer: Some(part("acme")) };
    let permit = open.permit_for_users::<PrincipalManage>(Some(acme), &cara).await.unwrap();
    open.add_user(&own, &Once::none(), &cara, permit).await.unwrap();
    let permit = open.permit_for_users::<PrincipalManage>(Some(acme), &cara).await.unwrap();
    let theirs = NewUser { name: part("mole"), customer: None };
    assert_eq!(open.add_user(&theirs, &Once::none(), &cara, permit).await.problem(), ProblemType::Forbidden);
    assert!(open.permit_for_user::<PrincipalManage>(&part("carl"), &cara).await.is_ok());
    for other in ["tess", "root", "bot", "nobody-at-all"] {
        let refused = open.permit_for_user::<PrincipalManage>(&part(other), &cara).await;
        assert_eq!(refused.problem(), ProblemType::Forbidden, "{other}");
    }
    let permit = open.permit_for_users::<PrincipalView>(cara.customer, &cara).await.unwrap();
    let kind = claviger_api::wire::PrincipalKind::User;
    let listed = open.principals(kind, &Paging::new(None, None).unwrap(), permit).await.unwrap();
    let names: BTreeSet<String> = listed.items.iter().map(|user| user.name.to_string()).collect();
    assert_eq!(names, BTreeSet::from(["cara", "carl"].map(str::to_owned)));
    let root = world.root().await;
    assert!(open.permit_for_user::<PrincipalManage>(&part("carl"), &root).await.is_ok());
    let all = open.principals(kind, &Paging::new(None, None).unwrap(), may(&open, &root, Resource::Operator)).await;
    assert!(all.unwrap().items.len() > 4);
    world.check().await;
}
