//! Who can reach what, and why; and what renewing a grant takes.

use claviger_api::Scope;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AuditQuery, Conditions, ExplainQuery, Explained, GrantKind, GrantScope, NewGrant, NewUser, Role,
};
use claviger_core::policy::Resource;

use super::world::{Refused as _, World, may, new_grant, of, part, path, seconds};
use crate::{Caller, Once, Paging};

fn acme() -> GrantScope {
    GrantScope::Customer(part("acme"))
}

fn query(principal: &str, action: &str, scope: &str) -> ExplainQuery {
    ExplainQuery {
        principal: principal.to_owned(),
        action: action.to_owned(),
        scope: scope.to_owned(),
        at: None,
        source: None,
        ticket: None,
        fresh_factor: None,
    }
}

async fn add(world: &World, name: &str, grants: &[NewGrant]) {
    let (open, root) = (world.open(), world.root().await);
    let new = NewUser { name: part(name), customer: None };
    open.add_user(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    for grant in grants {
        open.make_grant(grant, &Once::none(), &root).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_can_check_an_account_out_is_listed_with_the_grant() {
    let world = World::new().await;
    let scope = || GrantScope::Account(path("acme/db1/app"));
    let bound = Conditions { ticket: Some("INC-[0-9]+".parse().unwrap()), ..Conditions::default() };
    let rotates = Conditions { actions: vec!["account.rotate".to_owned()], ..Conditions::default() };
    add(&world, "ina", &[NewGrant { conditions: bound.clone(), ..new_grant("ina", Role::Technician, scope()) }]).await;
    add(&world, "rita", &[NewGrant { conditions: rotates, ..new_grant("rita", Role::Technician, scope()) }]).await;
    add(&world, "aud", &[new_grant("aud", Role::CustomerAuditor, acme())]).await;
    let (open, root, aud) = (world.open(), world.root().await, world.open().acting("aud").await);

    let listed = async |account: &str, by: &Caller| {
        let access = open.account_access(&path(account), by).await.unwrap();
        access.grants.iter().map(|line| line.grant.principal.to_string()).collect::<Vec<_>>()
    };
    let on_app = listed("acme/db1/app", &root).await;
    assert!(on_app.contains(&"tess".to_owned()) && on_app.contains(&"bot".to_owned()), "{on_app:?}");
    assert!(on_app.contains(&"ina".to_owned()));
    for no in ["root", "aud", "rita"] {
        assert!(!on_app.contains(&no.to_owned()), "{no} cannot check out: {on_app:?}");
    }
    assert!(!listed("acme/db1/shared", &root).await.contains(&"ina".to_owned()));
    assert_eq!(listed("acme/db1/app", &aud).await, on_app, "a customer's auditor sees the same");
    let access = open.account_access(&path("acme/db1/app"), &aud).await.unwrap();
    let ina = access.grants.iter().find(|line| line.grant.principal == part("ina")).unwrap();
    assert_eq!(ina.grant.conditions, bound);
    let tess = world.tess().await;
    assert_eq!(open.account_access(&path("acme/db1/app"), &tess).await.problem(), ProblemType::Forbidden);
}

#[tokio::test]
async fn an_explanation_is_the_decision_and_what_it_wants() {
    let world = World::new().await;
    let conditions = Conditions {
        hours: Some("Mon-Fri 08:00-18:00 UTC".parse().unwrap()),
        networks: vec!["192.0.2.0/24".parse().unwrap()],
        ticket: Some("INC-[0-9]+".parse().unwrap()),
        ..Conditions::default()
    };
    let new = NewGrant { conditions, ..new_grant("ina", Role::Technician, acme()) };
    world.enrolled("ina").await;
    add(&world, "aud", &[new, new_grant("aud", Role::CustomerAuditor, acme())]).await;
    let (open, root, aud) = (world.open(), world.root().await, world.open().acting("aud").await);
    let explain =
        async |by: &Caller, query: ExplainQuery| -> Explained { open.explain_access(&query, by).await.unwrap() };

    let asked = query("ina", "checkout.create", "acme/db1/app");
    let no = explain(&root, asked.clone()).await;
    assert!(!no.allowed && no.answer.contains("192.0.2.0/24") && no.answer.contains("INC-[0-9]+"), "{}", no.answer);
    assert_eq!((no.grants.len(), no.grants[0].wants.len()), (1, 2), "the hours are met now");
    let met = ExplainQuery { source: Some("192.0.2.9".to_owned()), ticket: Some("INC-1".to_owned()), ..asked.clone() };
    let yes = explain(&root, met.clone()).await;
    assert!(yes.allowed && yes.answer.starts_with("Yes, by the grant gr_"), "{}", yes.answer);
    let sunday = ExplainQuery { at: Some("2026-11-29T12:00:00Z".parse().unwrap()), ..met };
    assert!(explain(&root, sunday).await.answer.contains("Mon-Fri"), "as if at another time");
    assert_eq!(explain(&aud, asked.clone()).await.answer, no.answer);

    let own = explain(&root, query("tess", "checkout.reveal", "acme/db1/app")).await;
    assert!(own.allowed, "of a checkout of one's own: {}", own.answer);
    let never = explain(&root, query("root", "checkout.create", "acme/db1/app")).await;
    assert_eq!((never.allowed, never.answer.as_str()), (false, "No: no grant gives it."));
    let refused = async |query: ExplainQuery| open.explain_access(&query, &root).await;
    assert_eq!(refused(query("ina", "grant.make", "acme")).await.problem(), ProblemType::InvalidValue);
    assert_eq!(refused(query("ina", "checkout.borrow", "acme")).await.problem(), ProblemType::InvalidValue);
    assert_eq!(refused(query("nobody", "checkout.create", "acme")).await.problem(), ProblemType::NotFound);
}

/// Whoever may not list principals learns of none that has nothing here.
#[tokio::test]
async fn anvil_deny_everywhere_an_explanation_names_no_stranger() {
    let world = World::new().await;
    add(&world, "aud", &[new_grant("aud", Role::CustomerAuditor, acme())]).await;
    add(&world, "stranger", &[]).await;
    let aud = world.open().acting("aud").await;
    let open = world.open();
    let ask = |who: &str| query(who, "checkout.create", "acme/db1/app");
    let stranger = open.explain_access(&ask("stranger"), &aud).await.unwrap_err();
    let nobody = open.explain_access(&ask("nobody"), &aud).await.unwrap_err();
    assert_eq!((stranger.problem, &stranger.detail), (ProblemType::NotFound, &nobody.detail));
    assert!(open.explain_access(&ask("stranger"), &world.root().await).await.is_ok());
    let away = query("tess", "checkout.create", "*");
    assert_eq!(open.explain_access(&away, &aud).await.problem(), ProblemType::Forbidden);
}

#[tokio::test]
async fn a_grant_is_renewed_by_whoever_could_make_it_and_by_nobody_else() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let lead =
        NewGrant { kind: GrantKind::MayGrant, ttl_seconds: 86_400, ..new_grant("tess", Role::Technician, acme()) };
    open.make_grant(&lead, &Once::none(), &root).await.unwrap();
    world.enrolled("ina").await;
    let new = NewGrant { ttl_seconds: 3600, ..new_grant("ina", Role::Technician, acme()) };
    let made = open.make_grant(&new, &Once::none(), &root).await.unwrap();
    let (tess, tom) = (world.tess().await, world.tom().await);
    let renew = async |by: &Caller, seconds| open.renew_grant(made.id, seconds, &Once::none(), by).await;

    assert_eq!(renew(&tom, 7200).await.problem(), ProblemType::Forbidden, "has no may_grant");
    assert_eq!(renew(&tess, 86_401).await.problem(), ProblemType::Forbidden, "outlasts her own");
    assert_eq!(renew(&tess, 59).await.problem(), ProblemType::InvalidValue);
    world.clock.advance(seconds(3000));
    let renewed = renew(&world.tess().await, 7200).await.unwrap();
    assert_eq!(renewed.expires_at, world.now() + seconds(7200));
    world.clock.advance(seconds(3600));
    let ina = open.acting("ina").await;
    assert!(world.check_out(&ina, &of("app"), &Once::none()).await.is_ok(), "past its first end");
    for (scope, home) in [(Scope::Operator, Resource::Operator), acme_home(&world).await] {
        let asked = AuditQuery { kind: Some("grant.renewed".to_owned()), ..AuditQuery::default() };
        let permit = may(&open, &world.root().await, home);
        let told = open.audit_events(scope, &asked, &Paging::new(None, None).unwrap(), &root, permit).await.unwrap();
        assert_eq!(told.items.len(), 1, "in the operator's log and in the customer's");
    }
    world.clock.advance(seconds(3600));
    assert_eq!(renew(&world.root().await, 7200).await.problem(), ProblemType::NotFound, "what has ended is made anew");
}

async fn acme_home(world: &World) -> (Scope, Resource) {
    let acme = world.acme().await;
    (Scope::Customer(acme), Resource::Customer(acme))
}
