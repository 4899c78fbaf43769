//! Sensitive verbs in a session whose second factor is older than five minutes, and in one that has proven it again.

use std::collections::BTreeSet;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountChange, Conditions, GrantScope, NewGrant, NewServiceAccount, Reach, Role, SecondFactor, Tier,
};
use claviger_core::policy::{
    AccountRemove, AccountRevealUnresolved, AccountUpdate, Act, Action, AuditExport, BreakGlassAgree, BreakGlassOpen,
    BreakGlassReview, CheckoutApprove, CustomerLimit, CustomerOffboard, CustomerRemove, CustomerUnlock,
    PrincipalManage, Resource, SysRekey, SysRestore, SysSeal, SystemUpdate, Weight,
};

use super::world::{Refused as _, World, may, new_grant, of, part, seconds};
use crate::error::Result;
use crate::{Caller, Once};

/// What was asked, and what came of it.
async fn ask<A: Act>(world: &World, caller: &Caller, resource: Resource) -> (Action, Result<()>) {
    (A::ACTION, world.open().permit::<A>(caller, &resource).await.map(drop))
}

/// Each sensitive verb there is, in a session of each who may.
async fn all(world: &World, [root, ann, cara, gil]: [&Caller; 4], requested: Resource) -> Vec<(Action, Result<()>)> {
    let place = world.place("app").await;
    let (acme, system) = (Resource::Customer(place.customer), Resource::System(place.customer, place.system));
    let grant = new_grant("tess", Role::Approver, GrantScope::Customer(part("acme")));
    let made = world.open().make_grant(&grant, &Once::none(), root).await;
    vec![
        ask::<SysSeal>(world, root, Resource::Operator).await,
        ask::<SysRekey>(world, root, Resource::Operator).await,
        ask::<SysRestore>(world, root, Resource::Operator).await,
        ask::<CustomerRemove>(world, root, acme).await,
        ask::<CustomerUnlock>(world, root, acme).await,
        ask::<CustomerOffboard>(world, root, acme).await,
        ask::<CustomerLimit>(world, cara, acme).await,
        ask::<SystemUpdate>(world, root, system).await,
        ask::<AccountRemove>(world, root, place.resource()).await,
        ask::<CheckoutApprove>(world, ann, requested).await,
        ask::<PrincipalManage>(world, root, Resource::Operator).await,
        (Action::GrantMake, made.map(drop)),
        ask::<AuditExport>(world, root, Resource::Operator).await,
        ask::<AuditExport>(world, root, acme).await,
        ask::<BreakGlassOpen>(world, gil, acme).await,
        ask::<BreakGlassAgree>(world, gil, acme).await,
        ask::<BreakGlassReview>(world, ann, acme).await,
        ask::<AccountRevealUnresolved>(world, gil, place.resource()).await,
    ]
}

#[tokio::test]
async fn anvil_fresh_auth_each_sensitive_verb_is_refused_after_six_minutes_and_given_after_a_step_up() {
    let world = World::new().await;
    world.enrolled("ann").await;
    world.grant("ann", Role::Approver, GrantScope::Customer(part("acme"))).await.unwrap();
    world.enrolled_of("cara", Some("acme")).await;
    world.grant("cara", Role::CustomerAdministrator, GrantScope::Customer(part("acme"))).await.unwrap();
    let held = world.check_out(&world.tess().await, &of("app"), &Once::none()).await.unwrap();
    let requested = world.open().find_checkout(held.id).await.unwrap().resource();
    let of_root = world.log_in("root", super::world::PASSWORD).await.unwrap();
    let of_ann = world.log_in("ann", super::world::PASSWORD).await.unwrap();
    let of_cara = world.log_in("cara", super::world::PASSWORD).await.unwrap();
    for name in ["gil", "gus"] {
        world.enrolled(name).await;
        world.grant(name, Role::BreakGlass, GrantScope::Customer(part("acme"))).await.unwrap();
    }
    let of_gil = world.log_in("gil", super::world::PASSWORD).await.unwrap();
    super::break_glass::open_at(&world, "acme").await;
    world.clock.advance(seconds(6 * 60));
    let (root, ann) = (world.caller(&of_root).await.unwrap(), world.caller(&of_ann).await.unwrap());
    let (cara, gil) = (world.caller(&of_cara).await.unwrap(), world.caller(&of_gil).await.unwrap());

    let refused = all(&world, [&root, &ann, &cara, &gil], requested).await;
    let sensitive = Action::ALL.iter().copied().filter(|action| action.weight() == Weight::Sensitive);
    let asked: BTreeSet<Action> = refused.iter().map(|(action, _)| *action).collect();
    assert_eq!(asked, sensitive.collect(), "each of the list is tried here");
    for (action, refusal) in refused {
        let refusal = refusal.expect_err(action.as_str());
        assert_eq!(refusal.problem, ProblemType::FreshFactorNeeded, "{action}");
    }
    let grant = world.open().me(&world.tess().await).await.unwrap().grants.remove(0).id;
    let renewed = world.open().renew_grant(grant, 86_400, &Once::none(), &root).await;
    assert_eq!(renewed.problem(), ProblemType::FreshFactorNeeded);
    // What stops something is never made harder.
    let open = world.open();
    assert!(open.revoke_grant(grant, &root, may(&open, &root, Resource::Operator)).await.is_ok());
    assert!(world.revoke(&root, held.id).await.is_ok());

    for (name, caller) in [("root", &root), ("ann", &ann), ("cara", &cara), ("gil", &gil)] {
        let code = SecondFactor::Totp(world.code(name).await.disclose());
        open.step_up(&code, caller).await.unwrap();
    }
    let (root, ann) = (world.caller(&of_root).await.unwrap(), world.caller(&of_ann).await.unwrap());
    let (cara, gil) = (world.caller(&of_cara).await.unwrap(), world.caller(&of_gil).await.unwrap());
    for (action, given) in all(&world, [&root, &ann, &cara, &gil], requested).await {
        assert!(given.is_ok(), "{action}: {:?}", given.err());
    }
    world.check().await;
}

/// A program that ships the log needs a grant that says so, and does what it does at night without.
#[tokio::test]
async fn a_program_exports_by_name_and_works_unattended() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let siem = NewServiceAccount::with_token(part("siem"), 86_400);
    open.add_service_account(&siem, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let acme = Resource::Customer(world.acme().await);
    let scope = || GrantScope::Customer(part("acme"));
    world.grant("siem", Role::CustomerAuditor, scope()).await.unwrap();
    let refused = open.permit::<AuditExport>(&open.acting("siem").await, &acme).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::Forbidden);
    assert!(refused.detail.contains("name the verb"), "{}", refused.detail);
    let conditions = Conditions { actions: vec!["audit.export".to_owned()], ..Conditions::default() };
    let named = NewGrant { conditions, ..new_grant("siem", Role::CustomerAuditor, scope()) };
    open.make_grant(&named, &Once::none(), &root).await.unwrap();
    assert!(open.permit::<AuditExport>(&open.acting("siem").await, &acme).await.is_ok());

    let bot = world.bot().await;
    world.clock.advance(seconds(3600));
    let held = world.check_out(&bot, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&bot, held.id).await.is_ok());
    world.check_in(&bot, held.id).await.unwrap();
    world.step().await;
    assert!(world.rotate(&bot, "shared").await.is_ok());
}

/// The mark counts from the moment it is set, for the checkout that there is, too.
#[tokio::test]
async fn anvil_fresh_auth_the_secret_of_a_sensitive_account_wants_a_fresh_factor() {
    let world = World::new().await;
    let tokens = world.log_in("tess", super::world::PASSWORD).await.unwrap();
    world.clock.advance(seconds(6 * 60));
    let tess = world.caller(&tokens).await.unwrap();
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&tess, held.id).await.is_ok(), "a usual account");
    mark(&world, "app", AccountChange { sensitive: Some(true), ..AccountChange::default() }).await;
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::FreshFactorNeeded);
    world.open().step_up(&SecondFactor::Totp(world.code("tess").await.disclose()), &tess).await.unwrap();
    let again = world.caller(&tokens).await.unwrap();
    assert!(world.reveal(&again, held.id).await.is_ok());

    // Whoever would take the mark off proves a factor, too.
    let of_root = world.log_in("root", super::world::PASSWORD).await.unwrap();
    world.clock.advance(seconds(6 * 60));
    let root = world.caller(&of_root).await.unwrap();
    let place = world.place("app").await;
    let refused = world.open().permit::<AccountUpdate>(&root, &place.resource()).await;
    assert_eq!(refused.problem(), ProblemType::FreshFactorNeeded);
    let usual = world.place("shared").await;
    assert!(world.open().permit::<AccountUpdate>(&root, &usual.resource()).await.is_ok());
    world.check().await;
}

/// Programs read and rotate unattended what is not marked; of what is, only what their grant reaches.
#[tokio::test]
async fn a_program_comes_to_a_sensitive_secret_only_where_its_grant_says_so() {
    let world = World::new().await;
    mark(&world, "app", AccountChange { sensitive: Some(true), ..AccountChange::default() }).await;
    let bot = world.bot().await;
    let refused = world.check_out(&bot, &of("app"), &Once::none()).await.unwrap_err();
    assert_eq!(refused.problem, ProblemType::Forbidden);
    assert!(refused.detail.contains("that very account"), "{}", refused.detail);
    assert!(world.rotate(&bot, "app").await.is_ok(), "to rotate shows nothing");
    world.step().await;
    world.grant("bot", Role::Automation, GrantScope::Account("acme/db1/app".parse().unwrap())).await.unwrap();
    let bot = world.bot().await;
    let held = world.check_out(&bot, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&bot, held.id).await.is_ok());
    world.check().await;
}

/// What controls everything is not in a technician's grant for the whole customer.
#[tokio::test]
async fn an_account_of_tier_0_is_reached_by_a_grant_that_says_so() {
    let world = World::new().await;
    mark(&world, "app", AccountChange { tier: Some(Tier::Zero), ..AccountChange::default() }).await;
    let tess = world.tess().await;
    assert_eq!(world.check_out(&tess, &of("app"), &Once::none()).await.problem(), ProblemType::Forbidden);
    assert!(world.check_out(&tess, &of("shared"), &Once::none()).await.is_ok());
    let reach = Conditions { reaches: Some(Reach::TierZero), ..Conditions::default() };
    let scope = GrantScope::Customer(part("acme"));
    let new = NewGrant { conditions: reach, ..new_grant("tess", Role::Technician, scope) };
    world.open().make_grant(&new, &Once::none(), &world.root().await).await.unwrap();
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&tess, held.id).await.is_ok());
    let access = world.open().account_access(&"acme/db1/app".parse().unwrap(), &world.root().await).await.unwrap();
    let names: Vec<String> = access.grants.iter().map(|line| line.grant.principal.to_string()).collect();
    assert_eq!(names, ["tess"], "the page of who can reach it has those who can");
    world.check().await;
}

async fn mark(world: &World, account: &str, change: AccountChange) {
    let (open, root, place) = (world.open(), world.root().await, world.place(account).await);
    open.change_account(place, &change, &root, may(&open, &root, place.resource())).await.unwrap();
}
