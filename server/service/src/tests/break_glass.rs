//! Break-glass: two open it, one has the access, it ends, a third reviews it.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    self, AccountState, ApprovalRule, BreakGlassState, CheckoutState, Conditions, CustomerLimits, EndCause, GrantScope,
    KnownOf, NewBreakGlass, NewCheckout, NewGrant, PrincipalKind, Reach, RevocationState, Role, RotationStep,
};
use claviger_api::{BreakGlassId, CheckoutId, Scope};
use claviger_core::break_glass::{AGREE_WITHIN, REVIEW_WITHIN};
use claviger_core::policy::{
    Act, BreakGlassAgree, BreakGlassClose, BreakGlassReview, BreakGlassView, CustomerLimit, Permit, Resource,
};
use claviger_store::Table;
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::world::{FIRST_SECRET, Refused as _, World, key, may, new_grant, of, part, seconds};
use crate::error::Result;
use crate::{Caller, Once, Paging};

/// The usual world, with `gil`, `gus` and `gwen`, who can break glass at acme, and `rita`, who approves and reviews.
pub(super) async fn world() -> World {
    let world = World::new().await;
    people(&world).await;
    world
}

async fn people(world: &World) {
    for name in ["gil", "gus", "gwen", "rita"] {
        world.enrolled(name).await;
    }
    for name in ["gil", "gus", "gwen"] {
        world.grant(name, Role::BreakGlass, GrantScope::Customer(part("acme"))).await.unwrap();
    }
    world.grant("rita", Role::Approver, GrantScope::Operator).await.unwrap();
}

async fn acting(world: &World, name: &str) -> Caller {
    world.open().acting(name).await
}

fn at(scope: &str) -> NewBreakGlass {
    NewBreakGlass { scope: scope.parse().unwrap(), reason: "the domain is down".to_owned(), ttl_seconds: None }
}

/// As the HTTP layer does it: find, decide, act.
async fn ask(world: &World, who: &str, new: &NewBreakGlass, once: &Once) -> Result<wire::BreakGlass> {
    let (open, caller) = (world.open(), acting(world, who).await);
    let scope = open.target(&new.scope).await?;
    let permit = open.permit(&caller, &scope.into()).await?;
    open.open_break_glass(scope, new, once, &caller, permit).await
}

async fn found<A: Act>(
    world: &World,
    caller: &Caller,
    id: BreakGlassId,
) -> Result<(crate::break_glass::FoundBreakGlass, Permit<A>)> {
    let found = world.open().find_break_glass(id).await?;
    let permit = world.open().permit(caller, &found.resource()).await?;
    Ok((found, permit))
}

async fn agree(world: &World, who: &str, id: BreakGlassId) -> Result<wire::BreakGlass> {
    let caller = acting(world, who).await;
    let (found, permit) = found::<BreakGlassAgree>(world, &caller, id).await?;
    world.open().agree_break_glass(&found, "I see it, too", &Once::none(), &caller, permit).await
}

async fn close(world: &World, who: &str, id: BreakGlassId) -> Result<wire::BreakGlass> {
    let caller = acting(world, who).await;
    let (found, permit) = found::<BreakGlassClose>(world, &caller, id).await?;
    world.open().close_break_glass(&found, &caller, permit).await
}

async fn review(world: &World, who: &str, id: BreakGlassId) -> Result<wire::BreakGlass> {
    let caller = acting(world, who).await;
    let (found, permit) = found::<BreakGlassReview>(world, &caller, id).await?;
    world.open().review_break_glass(&found, "all as it should be", &Once::none(), &caller, permit).await
}

async fn show(world: &World, id: BreakGlassId) -> wire::BreakGlass {
    let root = world.root().await;
    let (found, permit) = found::<BreakGlassView>(world, &root, id).await.unwrap();
    world.open().break_glass(&found, permit).await.unwrap()
}

/// An open glass of gil's, to which gus agreed.
pub(super) async fn open_at(world: &World, scope: &str) -> wire::BreakGlass {
    let asked = ask(world, "gil", &at(scope), &Once::none()).await.unwrap();
    let open = agree(world, "gus", asked.id).await.unwrap();
    assert_eq!(open.state, BreakGlassState::Open);
    open
}

async fn take(world: &World, who: &str, account: &str) -> Result<wire::Checkout> {
    world.check_out(&acting(world, who).await, &of(account), &Once::none()).await
}

pub(super) async fn reveal_unresolved(world: &World, who: &str, account: &str) -> Result<wire::UnresolvedSecrets> {
    let (open, caller) = (world.open(), acting(world, who).await);
    let place = world.place(account).await;
    let permit = open.permit(&caller, &place.resource()).await?;
    let shown = open.reveal_unresolved(place, "to try by hand", &caller, permit).await?;
    world.holds(shown.receipt.as_ref(), world.acme().await, shown.event_index).await;
    Ok(shown)
}

/// How often this was told, in the customer's log and in the operator's.
async fn told(world: &World, kind: EventKind) -> (usize, usize) {
    let own = world.told(Scope::Customer(world.acme().await), kind).await.len();
    (own, world.told(Scope::Operator, kind).await.len())
}

#[tokio::test]
async fn two_open_it_one_uses_it_and_a_third_reviews_it() {
    let world = world().await;
    assert_eq!(take(&world, "gil", "app").await.problem(), ProblemType::Forbidden, "the role sleeps");
    let asked = ask(&world, "gil", &at("acme"), &Once::none()).await.unwrap();
    assert_eq!((asked.state, asked.agree_until), (BreakGlassState::Asked, Some(world.now() + AGREE_WITHIN)));
    assert_eq!(take(&world, "gil", "app").await.problem(), ProblemType::Forbidden, "and one alone wakes nothing");
    assert_eq!(agree(&world, "gil", asked.id).await.problem(), ProblemType::Forbidden, "nor twice the same");
    assert_eq!(
        agree(&world, "tess", asked.id).await.problem(),
        ProblemType::Forbidden,
        "nor somebody without the role"
    );
    world.check().await;

    let open = agree(&world, "gus", asked.id).await.unwrap();
    assert_eq!((open.state, open.ends_at), (BreakGlassState::Open, Some(world.now() + seconds(3600))));
    assert_eq!(agree(&world, "gwen", asked.id).await.problem(), ProblemType::NothingToDecide);
    let held = take(&world, "gil", "app").await.unwrap();
    assert_eq!((held.state, held.break_glass), (CheckoutState::Active, Some(open.id)));
    let gil = acting(&world, "gil").await;
    assert_eq!(world.reveal(&gil, held.id).await.unwrap().secret.secret().expose(), FIRST_SECRET);
    assert_eq!(take(&world, "gus", "shared").await.problem(), ProblemType::Forbidden, "whoever agrees watches");
    let elsewhere = world.open().permit::<claviger_core::policy::SysStatus>(&gil, &Resource::Operator).await;
    assert_eq!(elsewhere.problem(), ProblemType::Forbidden);
    world.check().await;

    let closed = close(&world, "gus", open.id).await.unwrap();
    assert_eq!((closed.state, closed.checkouts.as_slice()), (BreakGlassState::InReview, [held.id].as_slice()));
    assert_eq!(closed.closed_by.as_ref().unwrap().as_str(), "gus");
    assert_eq!(world.view(held.id).await.end_cause, Some(EndCause::Revoked));
    assert_eq!(take(&world, "gil", "shared").await.problem(), ProblemType::Forbidden, "it gives nothing any more");
    assert!(close(&world, "gil", open.id).await.is_ok(), "closed is closed");
    assert!(world.step().await.is_empty());
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven, "what was seen is dead");
    world.check().await;

    for involved in ["gil", "gus"] {
        world.grant(involved, Role::Approver, GrantScope::Operator).await.unwrap();
        assert_eq!(review(&world, involved, open.id).await.problem(), ProblemType::Forbidden, "{involved}");
    }
    assert_eq!(review(&world, "gwen", open.id).await.problem(), ProblemType::Forbidden, "the role does not review");
    let done = review(&world, "rita", open.id).await.unwrap();
    assert_eq!((done.state, done.verdict.as_deref()), (BreakGlassState::Reviewed, Some("all as it should be")));
    assert_eq!(review(&world, "rita", open.id).await.problem(), ProblemType::BreakGlassClosed);
    for kind in [
        EventKind::BreakGlassAsked,
        EventKind::BreakGlassAgreed,
        EventKind::BreakGlassOpened,
        EventKind::BreakGlassClosed,
        EventKind::BreakGlassEnded,
        EventKind::BreakGlassReviewed,
    ] {
        assert_eq!(told(&world, kind).await, (1, 1), "{kind}");
    }
    let acme = Scope::Customer(world.acme().await);
    let revealed = world.told(acme, EventKind::CheckoutRevealed).await;
    assert_eq!(revealed[0].fields["break_glass"], open.id.to_string(), "what was done under it says so");
    world.check().await;
}

#[tokio::test]
async fn it_asks_for_no_ticket_hours_or_approvals_of_the_grant_and_for_all_that_the_customer_wants() {
    let world = world().await;
    world.enrolled_of("cara", Some("acme")).await;
    world.grant("cara", Role::CustomerAdministrator, GrantScope::Customer(part("acme"))).await.unwrap();
    let limit = async |limits: CustomerLimits| {
        let (open, acme, cara) = (world.open(), world.acme().await, acting(&world, "cara").await);
        let permit = open.permit::<CustomerLimit>(&cara, &Resource::Customer(acme)).await.unwrap();
        open.limit_customer(acme, &limits, &cara, permit).await.unwrap();
    };
    // A usual grant of gil's that wants approvals: the glass goes past it.
    let rule = ApprovalRule { count: 1, by_customer: false, reuse: false };
    let conditions = Conditions { approvals: Some(rule), ..Conditions::default() };
    let usual = NewGrant { conditions, ..new_grant("gil", Role::Technician, GrantScope::Customer(part("acme"))) };
    world.open().make_grant(&usual, &Once::none(), &world.root().await).await.unwrap();
    assert_eq!(take(&world, "gil", "app").await.unwrap().state, CheckoutState::Requested);
    let open = open_at(&world, "acme").await;
    let held = take(&world, "gil", "shared").await.unwrap();
    assert_eq!((held.state, held.break_glass), (CheckoutState::Active, Some(open.id)));
    world.check_in(&acting(&world, "gil").await, held.id).await.unwrap();
    world.step().await;

    // The customer wants the yes of two, one of them its own: gus alone is not enough from now on.
    let rule = ApprovalRule { count: 2, by_customer: true, reuse: false };
    let conditions = Conditions { approvals: Some(rule), ..Conditions::default() };
    limit(CustomerLimits { max_checkout_seconds: None, conditions: conditions.clone(), kit: None }).await;
    assert_eq!(take(&world, "gil", "shared").await.unwrap().waits_for, Some(wire::WaitsFor::Approval));
    close(&world, "gwen", open.id).await.unwrap();
    review(&world, "rita", open.id).await.unwrap();
    // Of the next glass it asks that at once.
    world.enrolled_of("cleo", Some("acme")).await;
    world.grant("cleo", Role::BreakGlass, GrantScope::Customer(part("acme"))).await.unwrap();
    let asked = ask(&world, "gil", &at("acme"), &Once::none()).await.unwrap();
    assert_eq!((asked.needed, asked.by_customer), (2, true));
    for name in ["gus", "gwen"] {
        assert_eq!(agree(&world, name, asked.id).await.unwrap().state, BreakGlassState::Asked, "{name}");
    }
    assert_eq!(agree(&world, "cleo", asked.id).await.unwrap().state, BreakGlassState::Open);
    let held = take(&world, "gil", "dba").await.unwrap();
    assert_eq!(held.state, CheckoutState::Active, "those who agreed have said yes to it");
    assert!(held.approvals.is_none());
    world.check().await;
    // Hours and length bind as ever, also what is open.
    let hours = Some("Sat-Sun 00:00-01:00 UTC".parse().unwrap());
    limit(CustomerLimits { max_checkout_seconds: None, conditions: Conditions { hours, ..conditions }, kit: None })
        .await;
    assert_eq!(world.reveal(&acting(&world, "gil").await, held.id).await.problem(), ProblemType::OutOfHours);
    assert_eq!(ask(&world, "gwen", &at("acme"), &Once::none()).await.problem(), ProblemType::OutOfHours);
    // The customer's own people end it whenever they like.
    assert_eq!(close(&world, "cara", asked.id).await.unwrap().state, BreakGlassState::InReview);
    world.check().await;
}

#[tokio::test]
async fn no_use_outlives_it() {
    let world = world().await;
    let open = open_at(&world, "acme/db1").await;
    let gil = acting(&world, "gil").await;
    let ends_at = open.ends_at.unwrap();
    world.clock.advance(seconds(3000));
    let held = take(&world, "gil", "app").await.unwrap();
    assert_eq!(held.expires_at, Some(ends_at), "an hour was asked for");
    assert_eq!(world.extend(&gil, held.id, 3600).await.problem(), ProblemType::InvalidValue);
    world.reveal(&gil, held.id).await.unwrap();
    world.clock.advance(ends_at.duration_since(world.now()) - SignedDuration::from_millis(1));
    world.reveal(&gil, held.id).await.unwrap();
    // No worker has looked yet.
    world.clock.advance(SignedDuration::from_millis(1));
    assert!(world.reveal(&gil, held.id).await.is_err());
    assert_eq!(take(&world, "gil", "shared").await.problem(), ProblemType::Forbidden);
    assert!(world.step().await.is_empty());
    let over = show(&world, open.id).await;
    assert_eq!((over.state, over.closed_at, over.closed_by), (BreakGlassState::InReview, Some(ends_at), None));
    assert_eq!(world.view(held.id).await.end_cause, Some(EndCause::Expired));
    assert_eq!(world.view(held.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

/// Whoever has a usual grant, too, keeps nothing of what was taken under the glass.
#[tokio::test]
async fn a_closed_glass_ends_what_was_taken_under_it_and_nothing_else() {
    let world = world().await;
    // An account that is not rotated on usual days.
    let (service, root, place) = (world.open(), world.root().await, world.place("app").await);
    let kept = wire::AccountChange { rotate_on_end: Some(false), ..wire::AccountChange::default() };
    service.change_account(place, &kept, &root, may(&service, &root, place.resource())).await.unwrap();
    let open = open_at(&world, "acme").await;
    let under = take(&world, "gil", "app").await.unwrap();
    world.reveal(&acting(&world, "gil").await, under.id).await.unwrap();
    world.grant("gil", Role::Technician, GrantScope::Customer(part("acme"))).await.unwrap();
    let usual = take(&world, "gil", "shared").await.unwrap();
    assert_eq!(usual.break_glass, None, "a usual grant comes first");
    let another = take(&world, "tess", "dba").await.unwrap();
    // Closed, and nobody has ended anything yet.
    world.store.set_faults(FaultPlan::commits_where(|commit, _| (commit >= 2).then_some(CommitFault::Refused)));
    assert_eq!(close(&world, "gwen", open.id).await.unwrap().state, BreakGlassState::Closing);
    assert_eq!(review(&world, "rita", open.id).await.problem(), ProblemType::InUse);
    world.store.set_faults(FaultPlan::none());
    world.check().await;
    assert_eq!(world.view(under.id).await.state, CheckoutState::Active);
    let refused = world.reveal(&acting(&world, "gil").await, under.id).await;
    assert_eq!(refused.problem(), ProblemType::CheckoutEnded, "it is over all the same");
    let refused = world.extend(&acting(&world, "gil").await, under.id, 3600).await;
    assert_eq!(refused.problem(), ProblemType::BreakGlassClosed);
    assert!(world.step().await.is_empty());
    assert_eq!(world.view(under.id).await.state, CheckoutState::Ended);
    assert_eq!(world.view(under.id).await.revocation.unwrap().state, RevocationState::Proven, "rotated all the same");
    for other in [usual.id, another.id] {
        assert_eq!(world.view(other).await.state, CheckoutState::Active);
    }
    world.check().await;
}

/// Whatever fails half-way, and wherever the server dies: the glass ends, and all that was taken under it.
#[tokio::test]
async fn what_is_half_closed_when_the_server_dies_is_closed_afterwards() {
    for n in 1..=9 {
        let mut world = world().await;
        let open = open_at(&world, "acme").await;
        let mut held: Vec<CheckoutId> = Vec::new();
        for account in ["app", "shared", "temp"] {
            held.push(take(&world, "gil", account).await.unwrap().id);
        }
        for id in &held {
            world.reveal(&acting(&world, "gil").await, *id).await.unwrap();
        }
        world.clock.advance(seconds(if n % 2 == 0 { 60 } else { 3600 }));
        world
            .store
            .set_faults(FaultPlan::commits_where(move |commit, _| (commit >= n).then_some(CommitFault::Refused)));
        drop(close(&world, "gus", open.id).await);
        world.step().await;
        world.store.set_faults(FaultPlan::none());
        world.check().await;
        world.crash(n).await;
        world.check().await;
        if n == 1 && show(&world, open.id).await.state == BreakGlassState::Open {
            world.clock.advance(seconds(3600));
        }
        assert!(world.step().await.is_empty(), "{n}");
        // A rotation that died while it was sending waits until its sender is surely gone.
        world.pass(seconds(3600)).await;
        let over = show(&world, open.id).await;
        assert_eq!(over.state, BreakGlassState::InReview, "{n}");
        for id in &held {
            assert_eq!(world.view(*id).await.revocation.unwrap().state, RevocationState::Proven, "{n}");
        }
        world.check().await;
    }
}

/// A check-out that was on its way when the glass was closed comes too late: it had read everything before.
#[tokio::test]
async fn a_check_out_under_way_when_it_is_closed_comes_too_late() {
    let (world, store) = World::interrupted().await;
    people(&world).await;
    let open = open_at(&world, "acme").await;
    let (inner, gus) = (world.open(), acting(&world, "gus").await);
    let (found, permit) = found::<BreakGlassClose>(&world, &gus, open.id).await.unwrap();
    let meanwhile = async move {
        inner.close_break_glass(&found, &gus, permit).await.unwrap();
    };
    store.after(Table::AccountStates, meanwhile);
    assert_eq!(take(&world, "gil", "app").await.problem(), ProblemType::BreakGlassClosed);
    assert!(store.has_interrupted());
    world.step().await;
    assert_eq!(world.account("app").await.state, AccountState::Available);
    assert!(show(&world, open.id).await.checkouts.is_empty());
    world.check().await;
}

#[tokio::test]
async fn nobody_agrees_and_it_lapses_or_is_withdrawn() {
    let world = world().await;
    let asked = ask(&world, "gil", &at("acme"), &Once::none()).await.unwrap();
    assert_eq!(ask(&world, "gil", &at("acme/db1"), &Once::none()).await.problem(), ProblemType::InUse, "one at a time");
    let other = ask(&world, "gwen", &at("acme/db1"), &Once::none()).await.unwrap();
    world.clock.advance(AGREE_WITHIN);
    assert_eq!(agree(&world, "gus", asked.id).await.problem(), ProblemType::BreakGlassClosed);
    // One that is over is in nobody's way, whether a worker has seen it or not.
    let again = ask(&world, "gil", &at("acme"), &Once::none()).await.unwrap();
    world.step().await;
    for id in [asked.id, other.id] {
        let lapsed = show(&world, id).await;
        assert_eq!((lapsed.state, lapsed.closed_by), (BreakGlassState::Withdrawn, None));
    }
    let withdrawn = close(&world, "gil", again.id).await.unwrap();
    assert_eq!(withdrawn.state, BreakGlassState::Withdrawn);
    assert_eq!(
        review(&world, "rita", again.id).await.problem(),
        ProblemType::BreakGlassClosed,
        "there is nothing to see"
    );
    assert_eq!(agree(&world, "gus", again.id).await.problem(), ProblemType::BreakGlassClosed);
    assert!(world.open().due().await.unwrap().is_empty());
    world.check().await;
}

#[tokio::test]
async fn a_repeated_request_asks_once_and_agrees_once() {
    let world = world().await;
    let first = ask(&world, "gil", &at("acme"), &key("k")).await.unwrap();
    let again = ask(&world, "gil", &at("acme"), &key("k")).await.unwrap();
    assert_eq!(first.id, again.id);
    let gus = acting(&world, "gus").await;
    for _ in 0..2 {
        let (found, permit) = found::<BreakGlassAgree>(&world, &gus, first.id).await.unwrap();
        let agreed = world.open().agree_break_glass(&found, "yes", &key("y"), &gus, permit).await.unwrap();
        assert_eq!((agreed.state, agreed.agreed.len()), (BreakGlassState::Open, 1));
    }
    assert_eq!(told(&world, EventKind::BreakGlassAgreed).await, (1, 1));
    world.check().await;
}

/// Between asking and agreeing the opener loses the right, or is suspended: nothing opens.
#[tokio::test]
async fn who_may_not_ask_any_more_gets_nothing() {
    let world = world().await;
    let asked = ask(&world, "gil", &at("acme"), &Once::none()).await.unwrap();
    let (open, root) = (world.open(), world.root().await);
    let permit = may(&open, &root, Resource::Operator);
    open.suspend(&part("gil"), PrincipalKind::User, true, &root, permit).await.unwrap();
    assert_eq!(agree(&world, "gus", asked.id).await.problem(), ProblemType::BreakGlassClosed);
    let permit = may(&open, &root, Resource::Operator);
    open.suspend(&part("gil"), PrincipalKind::User, false, &root, permit).await.unwrap();
    let page = open
        .grants(Some(&part("gil")), &Paging::new(None, None).unwrap(), may(&open, &root, Resource::Operator))
        .await
        .unwrap();
    for grant in page.items {
        open.revoke_grant(grant.id, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    }
    assert_eq!(agree(&world, "gus", asked.id).await.problem(), ProblemType::BreakGlassClosed);
    assert_eq!(show(&world, asked.id).await.state, BreakGlassState::Asked);
    world.check().await;
}

#[tokio::test]
async fn a_review_that_is_late_is_told_and_keeps_those_two_from_another() {
    let world = world().await;
    let open = open_at(&world, "acme").await;
    close(&world, "gil", open.id).await.unwrap();
    // Not late yet: an emergency does not wait for papers.
    let second = ask(&world, "gil", &at("acme"), &Once::none()).await.unwrap();
    close(&world, "gil", second.id).await.unwrap();
    world.pass(REVIEW_WITHIN).await;
    assert!(show(&world, open.id).await.review_overdue);
    assert_eq!(told(&world, EventKind::BreakGlassReviewOverdue).await, (1, 1));
    world.pass(REVIEW_WITHIN).await;
    assert_eq!(told(&world, EventKind::BreakGlassReviewOverdue).await, (1, 1), "once");
    let status = world.open().status(&world.vault, may(&world.open(), &world.root().await, Resource::Operator)).await;
    let status = status.unwrap();
    assert_eq!((status.open_break_glass, status.unreviewed_break_glass, status.overdue_break_glass), (0, 1, 1));
    let refused = ask(&world, "gil", &at("acme"), &Once::none()).await.err().unwrap();
    assert_eq!(refused.problem, ProblemType::ReviewOverdue);
    assert!(refused.detail.contains(&open.id.to_string()), "{}", refused.detail);
    let asked = ask(&world, "gwen", &at("acme"), &Once::none()).await.unwrap();
    assert_eq!(agree(&world, "gus", asked.id).await.problem(), ProblemType::ReviewOverdue, "nor to agree");
    review(&world, "rita", open.id).await.unwrap();
    assert_eq!(agree(&world, "gus", asked.id).await.unwrap().state, BreakGlassState::Open);
    world.check().await;
}

/// Everybody who works there sees it; nobody else does.
#[tokio::test]
async fn everybody_who_works_there_sees_it() {
    let world = world().await;
    let open = open_at(&world, "acme").await;
    world.enrolled_of("cora", Some("acme")).await;
    world.grant("cora", Role::CustomerAuditor, GrantScope::Customer(part("acme"))).await.unwrap();
    world.enrolled("nobody").await;
    for (name, sees) in [("tess", true), ("cora", true), ("rita", true), ("gwen", true), ("nobody", false)] {
        let caller = acting(&world, name).await;
        let may = |place: &Resource| world.open().may_see::<BreakGlassView>(&caller, place);
        let page = world.open().break_glasses(None, false, &Paging::new(None, None).unwrap(), may).await.unwrap();
        assert_eq!(page.items.iter().any(|glass| glass.id == open.id), sees, "{name}");
        assert_eq!(found::<BreakGlassView>(&world, &caller, open.id).await.is_ok(), sees, "{name}");
    }
    let nobody = acting(&world, "nobody").await;
    assert_eq!(found::<BreakGlassView>(&world, &nobody, open.id).await.problem(), ProblemType::NotFound);
    // Whoever could open it for an account is listed with it, and so is the glass that is open.
    let access = world.open().account_access(&"acme/db1/app".parse().unwrap(), &world.root().await).await.unwrap();
    let of = |name: &str| access.grants.iter().filter(|line| line.grant.principal.as_str() == name).count();
    assert_eq!((of("gil"), of("gus"), of("rita")), (2, 1, 0));
    world.check().await;
}

/// What a glass gives is not prolonged as a grant, and no grant of a role makes it.
#[tokio::test]
async fn what_it_gives_is_not_renewed() {
    let world = world().await;
    let open = open_at(&world, "acme").await;
    let renewed = world.open().renew_grant(open.grant.unwrap(), 86_400, &Once::none(), &world.root().await).await;
    assert_eq!(renewed.problem(), ProblemType::Forbidden);
    assert_eq!(ask(&world, "gwen", &at("*"), &Once::none()).await.problem(), ProblemType::Forbidden);
    let long = NewBreakGlass { ttl_seconds: Some(8 * 3600 + 1), ..at("acme") };
    assert_eq!(ask(&world, "gwen", &long, &Once::none()).await.problem(), ProblemType::InvalidValue);
    world.check().await;
}

/// A glass opened for one account of tier 0 reaches it only if the role asleep does.
#[tokio::test]
async fn anvil_privilege_closure_a_narrow_glass_reaches_no_further() {
    let world = world().await;
    let (open, root) = (world.open(), world.root().await);
    let place = world.place("app").await;
    let tier = wire::AccountChange { tier: Some(wire::Tier::Zero), ..wire::AccountChange::default() };
    open.change_account(place, &tier, &root, may(&open, &root, place.resource())).await.unwrap();
    let narrow = ask(&world, "gil", &at("acme/db1/app"), &Once::none()).await;
    assert_eq!(narrow.problem(), ProblemType::Forbidden, "the role asleep does not reach it");
    let wide = open_at(&world, "acme").await;
    assert_eq!(take(&world, "gil", "app").await.problem(), ProblemType::Forbidden, "nor does a wider glass");
    close(&world, "gil", wide.id).await.unwrap();
    // One that was opened before the account was marked reaches it no more either.
    let other = world.place("shared").await;
    let early = open_at(&world, "acme/db1/shared").await;
    open.change_account(other, &tier, &root, may(&open, &root, other.resource())).await.unwrap();
    assert_eq!(take(&world, "gil", "shared").await.problem(), ProblemType::Forbidden);
    close(&world, "gil", early.id).await.unwrap();
    for (name, scope, reaches) in [("gwen", "acme", Some(Reach::TierZero)), ("gil", "acme/db1/app", None)] {
        let conditions = Conditions { reaches, ..Conditions::default() };
        let new = NewGrant { conditions, ..new_grant(name, Role::BreakGlass, scope.parse().unwrap()) };
        open.make_grant(&new, &Once::none(), &root).await.unwrap();
    }
    for name in ["gwen", "gil"] {
        let asked = ask(&world, name, &at("acme/db1/app"), &Once::none()).await.unwrap();
        agree(&world, "gus", asked.id).await.unwrap();
        let held = take(&world, name, "app").await.unwrap();
        close(&world, "gus", asked.id).await.unwrap();
        assert_eq!(world.view(held.id).await.state, CheckoutState::Ended);
        world.step().await;
    }
    world.check().await;
}

/// Who changes the others on acme's system.
async fn managed_by(world: &World, name: &str) {
    let (open, root, place) = (world.open(), world.root().await, world.place("app").await);
    let change = wire::SystemChange { management_account: Some(part(name)), spec: None, rotation_policy: None };
    let permit = may(&open, &root, Resource::System(place.customer, place.system));
    open.change_system(place.customer, place.system, &change, &root, permit).await.unwrap();
}

/// A rotation that cannot go on, since the account that should do it is not there.
pub(super) async fn unresolved(world: &World) -> claviger_api::RotationId {
    let (open, root, place) = (world.open(), world.root().await, world.place("app").await);
    managed_by(world, "nobody").await;
    let change = wire::AccountChange { rotate_by: Some(wire::RotateBy::Management), ..wire::AccountChange::default() };
    open.change_account(place, &change, &root, may(&open, &root, place.resource())).await.unwrap();
    let started = world.rotate(&root, "app").await.unwrap();
    world.pass(SignedDuration::from_mins(5)).await;
    assert!(world.rotation(started.id).await.unresolved);
    started.id
}

#[tokio::test]
async fn it_reveals_what_is_unresolved_and_what_was_seen_is_rotated() {
    let world = world().await;
    assert_eq!(reveal_unresolved(&world, "gil", "app").await.problem(), ProblemType::Forbidden);
    let early = open_at(&world, "acme").await;
    assert_eq!(reveal_unresolved(&world, "gil", "app").await.problem(), ProblemType::NotUnresolved);
    close(&world, "gil", early.id).await.unwrap();
    let rotation = Box::pin(unresolved(&world)).await;
    assert_eq!(reveal_unresolved(&world, "gil", "app").await.problem(), ProblemType::Forbidden, "not without a glass");
    let open = open_at(&world, "acme").await;
    assert_eq!(take(&world, "gil", "app").await.problem(), ProblemType::AccountUnavailable);
    assert_eq!(reveal_unresolved(&world, "gus", "app").await.problem(), ProblemType::Forbidden);

    let shown = reveal_unresolved(&world, "gil", "app").await.unwrap();
    let place = world.place("app").await;
    let state = claviger_store::RowId::account_state(place.customer, place.account);
    let state = world.open().load::<crate::records::StateRecord>(&state).await.unwrap().value.0;
    let order = state.secrets.probe_order();
    assert_eq!(shown.candidates.iter().map(|one| one.version).collect::<Vec<_>>(), order, "in the order to try them");
    let current = shown.candidates.iter().find(|one| one.known == KnownOf::Current).unwrap();
    assert_eq!(current.secret.secret().expose(), FIRST_SECRET);
    assert_eq!(shown.checkout.break_glass, Some(open.id));
    world.check().await;
    let again = reveal_unresolved(&world, "gil", "app").await.unwrap();
    assert_eq!(again.checkout.id, shown.checkout.id);
    assert!(again.event_index > shown.event_index);
    assert_eq!(told(&world, EventKind::BreakGlassUnresolvedRevealed).await, (2, 2), "each time is an event");
    world.check().await;

    close(&world, "gus", open.id).await.unwrap();
    assert_eq!(reveal_unresolved(&world, "gil", "app").await.problem(), ProblemType::Forbidden);
    assert_eq!(world.view(shown.checkout.id).await.state, CheckoutState::Ended);
    world.step().await;
    world.check().await;
    // The account that should do it is there again; then what was seen is replaced.
    managed_by(&world, "dba").await;
    world.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(world.rotation(rotation).await.step, RotationStep::Done);
    let seen = world.view(shown.checkout.id).await.revocation.unwrap();
    assert_eq!(seen.state, RevocationState::Proven);
    assert_ne!(world.system.password("app").unwrap(), FIRST_SECRET);
    world.check().await;
}

/// The customer wants the yes of two for every checkout: for what is unresolved, those who agreed must be as many.
#[tokio::test]
async fn what_is_unresolved_goes_past_no_limit() {
    let world = world().await;
    Box::pin(unresolved(&world)).await;
    let open = open_at(&world, "acme").await;
    world.enrolled_of("cara", Some("acme")).await;
    world.grant("cara", Role::CustomerAdministrator, GrantScope::Customer(part("acme"))).await.unwrap();
    let (service, acme, cara) = (world.open(), world.acme().await, acting(&world, "cara").await);
    let rule = ApprovalRule { count: 2, by_customer: false, reuse: false };
    let conditions = Conditions { approvals: Some(rule), ..Conditions::default() };
    let limits = CustomerLimits { max_checkout_seconds: None, conditions, kit: None };
    let permit = service.permit::<CustomerLimit>(&cara, &Resource::Customer(acme)).await.unwrap();
    service.limit_customer(acme, &limits, &cara, permit).await.unwrap();
    assert_eq!(reveal_unresolved(&world, "gil", "app").await.problem(), ProblemType::ApprovalNeeded);
    close(&world, "gil", open.id).await.unwrap();
    let asked = ask(&world, "gil", &at("acme/db1/app"), &Once::none()).await.unwrap();
    for name in ["gus", "gwen"] {
        agree(&world, name, asked.id).await.unwrap();
    }
    assert!(reveal_unresolved(&world, "gil", "app").await.is_ok());
    world.check().await;
}

/// The account is held by somebody who is not there: taken over under the glass, it ends with it.
#[tokio::test]
async fn what_is_taken_over_under_it_ends_with_it() {
    let world = world().await;
    let theirs = take(&world, "tess", "app").await.unwrap();
    world.reveal(&world.tess().await, theirs.id).await.unwrap();
    let open = open_at(&world, "acme").await;
    let gil = acting(&world, "gil").await;
    let taken = world.take_over(&gil, theirs.id).await.unwrap();
    assert_eq!(taken.break_glass, Some(open.id));
    world.step().await;
    assert_eq!(world.view(taken.id).await.state, CheckoutState::Approved, "its turn has come");
    world.check().await;
    let later = NewCheckout { on_conflict: wire::OnConflict::Wait, ..of("app") };
    let waiting = world.check_out(&world.tom().await, &later, &Once::none()).await.unwrap();
    close(&world, "gwen", open.id).await.unwrap();
    assert_eq!(world.view(taken.id).await.state, CheckoutState::Ended);
    world.step().await;
    assert_eq!(world.view(waiting.id).await.state, CheckoutState::Approved, "the next one has it");
    world.check().await;
}
