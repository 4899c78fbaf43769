//! Sensitive verbs in a session whose second factor is older than five minutes, and in one that has proven it again.

use std::collections::BTreeSet;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{Conditions, GrantScope, NewServiceAccount, Role, SecondFactor};
use claviger_core::policy::{
    AccountRemove, Act, Action, AuditExport, CheckoutApprove, CustomerRemove, PrincipalManage, Resource, SysSeal,
    SystemUpdate, Weight,
};

use super::world::{Refused as _, World, may, new_grant, of, part, seconds};
use crate::error::Result;
use crate::{Caller, Once};

/// What was asked, and what came of it.
fn ask<A: Act>(world: &World, caller: &Caller, resource: Resource) -> (Action, Result<()>) {
    (A::ACTION, world.open().permit::<A>(caller, &resource).map(drop))
}

/// Each sensitive verb there is, in a session of each who may.
async fn all(world: &World, root: &Caller, ann: &Caller, requested: Resource) -> Vec<(Action, Result<()>)> {
    let place = world.place("app").await;
    let (acme, system) = (Resource::Customer(place.customer), Resource::System(place.customer, place.system));
    let grant = new_grant("tess", Role::Approver, GrantScope::Customer(part("acme")));
    let made = world.open().make_grant(&grant, &Once::none(), root).await;
    vec![
        ask::<SysSeal>(world, root, Resource::Operator),
        ask::<CustomerRemove>(world, root, acme),
        ask::<SystemUpdate>(world, root, system),
        ask::<AccountRemove>(world, root, place.resource()),
        ask::<CheckoutApprove>(world, ann, requested),
        ask::<PrincipalManage>(world, root, Resource::Operator),
        (Action::GrantMake, made.map(drop)),
        ask::<AuditExport>(world, root, Resource::Operator),
        ask::<AuditExport>(world, root, acme),
    ]
}

#[tokio::test]
async fn anvil_fresh_auth_each_sensitive_verb_is_refused_after_six_minutes_and_given_after_a_step_up() {
    let world = World::new().await;
    world.enrolled("ann").await;
    world.grant("ann", Role::Approver, GrantScope::Customer(part("acme"))).await.unwrap();
    let held = world.check_out(&world.tess().await, &of("app"), &Once::none()).await.unwrap();
    let requested = world.open().find_checkout(held.id).await.unwrap().resource();
    let of_root = world.log_in("root", super::world::PASSWORD).await.unwrap();
    let of_ann = world.log_in("ann", super::world::PASSWORD).await.unwrap();
    world.clock.advance(seconds(6 * 60));
    let (root, ann) = (world.caller(&of_root).await.unwrap(), world.caller(&of_ann).await.unwrap());

    let refused = all(&world, &root, &ann, requested).await;
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

    for name in ["root", "ann"] {
        let caller = if name == "root" { &root } else { &ann };
        let code = SecondFactor::Totp(world.code(name).await.disclose());
        open.step_up(&code, caller).await.unwrap();
    }
    let (root, ann) = (world.caller(&of_root).await.unwrap(), world.caller(&of_ann).await.unwrap());
    for (action, given) in all(&world, &root, &ann, requested).await {
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
    let refused = open.permit::<AuditExport>(&open.acting("siem").await, &acme).unwrap_err();
    assert_eq!(refused.problem, ProblemType::Forbidden);
    assert!(refused.detail.contains("name the verb"), "{}", refused.detail);
    let conditions = Conditions { actions: vec!["audit.export".to_owned()], ..Conditions::default() };
    let named = claviger_api::wire::NewGrant { conditions, ..new_grant("siem", Role::CustomerAuditor, scope()) };
    open.make_grant(&named, &Once::none(), &root).await.unwrap();
    assert!(open.permit::<AuditExport>(&open.acting("siem").await, &acme).is_ok());

    let bot = world.bot().await;
    world.clock.advance(seconds(3600));
    let held = world.check_out(&bot, &of("app"), &Once::none()).await.unwrap();
    assert!(world.reveal(&bot, held.id).await.is_ok());
    world.check_in(&bot, held.id).await.unwrap();
    world.step().await;
    assert!(world.rotate(&bot, "shared").await.is_ok());
}
