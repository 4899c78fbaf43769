//! What people do by hand on a system that no program reaches: each act once or twice, with a crash at it, and with the
//! reminders that nobody heeds.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountState, ApprovalRule, Conditions, CustomerLimits, NewCheckout, NewSystem, RevocationState, Rotation,
    ShownTask, SystemSpec, Task,
};
use claviger_api::{CheckoutId, Scope};
use claviger_core::policy::{CustomerLimit, Permit, Resource, RotationPerform};
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::limits::cara;
use super::world::{FIRST_SECRET, Refused as _, World, key, may, of, part, path, secret, standing, wire_secret};
use crate::error::Result;
use crate::rotation::FoundRotation;
use crate::{Caller, Once, Paging};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn wanted() -> NewCheckout {
    NewCheckout { account: path("acme/router/admin"), ..of("admin") }
}

/// A router whose account was lent, seen and given back: a person is asked.
pub(super) async fn given_back() -> (World, CheckoutId) {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let spec =
        SystemSpec::Manual { address: "rack 3".to_owned(), instructions: "by the console".to_owned(), due_days: 3 };
    let new = NewSystem { name: part("router"), spec, management_account: None };
    open.add_system(acme, &new, &Once::none(), &root, may(&open, &root, Resource::Customer(acme))).await.unwrap();
    world.add_account("acme", "router", standing("admin", FIRST_SECRET)).await.unwrap();
    let tess = world.tess().await;
    let held = world.check_out(&tess, &wanted(), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    world.step().await;
    (world, held.id)
}

async fn tasks(world: &World, overdue: bool) -> Vec<Task> {
    let (open, acme) = (world.open(), world.acme().await);
    open.tasks(acme, overdue, &Paging::new(None, None).unwrap(), |_| true).await.unwrap().items
}

async fn may_perform(world: &World, tess: &Caller) -> Result<(FoundRotation, Permit<RotationPerform>)> {
    let id = tasks(world, false).await.first().unwrap().id;
    let found = world.open().find_rotation(id).await?;
    let permit = world.open().permit::<RotationPerform>(tess, &found.resource()).await?;
    Ok((found, permit))
}

pub(super) async fn show(world: &World) -> Result<ShownTask> {
    let tess = world.tess().await;
    let (found, permit) = may_perform(world, &tess).await?;
    let shown = world.open().show_task(&found, &tess, permit).await?;
    world.holds(shown.receipt.as_ref(), world.acme().await, shown.event_index).await;
    Ok(shown)
}

async fn confirm(world: &World) -> Result<Rotation> {
    let tess = world.tess().await;
    let (found, permit) = may_perform(world, &tess).await?;
    world.open().confirm_task(&found, &tess, permit).await
}

/// What a holder is shown now.
async fn lent(world: &World) -> String {
    let tess = world.tess().await;
    let held = world.check_out(&tess, &wanted(), &Once::none()).await.unwrap();
    wire_secret(world.reveal(&tess, held.id).await.unwrap().secret).expose().to_owned()
}

async fn told(world: &World, kind: EventKind) -> usize {
    world.told(Scope::Customer(world.acme().await), kind).await.len()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByHand {
    Show,
    Confirm,
    Set,
    Refuse,
}

const OWN: &str = "a secret of one's own";

#[tokio::test]
async fn a_crash_at_any_act_of_a_person_loses_nothing() {
    let (world, id) = Box::pin(given_back()).await;
    let moment = world.moment();
    for act in [ByHand::Show, ByHand::Confirm, ByHand::Set, ByHand::Refuse] {
        for fault in [CommitFault::UnknownNotApplied, CommitFault::UnknownApplied] {
            let what = format!("{act:?} {fault:?}");
            let mut world = World::at(&moment, 1).await;
            let tess = world.tess().await;
            let before = wire_secret(show(&world).await.unwrap().secret);
            let (found, permit) = may_perform(&world, &tess).await.unwrap();
            world.store.set_faults(FaultPlan::commits_where(move |count, _| match count.cmp(&1) {
                std::cmp::Ordering::Less => None,
                std::cmp::Ordering::Equal => Some(fault),
                std::cmp::Ordering::Greater => Some(CommitFault::Refused),
            }));
            let open = world.open();
            let failed = match act {
                ByHand::Show => open.show_task(&found, &tess, permit).await.is_err(),
                ByHand::Confirm => open.confirm_task(&found, &tess, permit).await.is_err(),
                ByHand::Set => open.set_task(&found, &secret(OWN), &key("own"), &tess, permit).await.is_err(),
                ByHand::Refuse => open.refuse_task(&found, "too long", &tess, permit).await.is_err(),
            };
            assert!(failed || fault == CommitFault::UnknownApplied, "{what}");
            drop(open);
            world.crash(1).await;
            world.check().await;
            world.step().await;
            // Done, or still to be done: whoever looks at the tasks knows.
            let expected = if tasks(&world, false).await.is_empty() {
                if act == ByHand::Set { OWN.to_owned() } else { before.expose().to_owned() }
            } else {
                let shown = wire_secret(show(&world).await.unwrap().secret);
                let refused = act == ByHand::Refuse && fault == CommitFault::UnknownApplied;
                assert_eq!(shown.expose() == before.expose(), !refused, "{what}");
                confirm(&world).await.unwrap();
                shown.expose().to_owned()
            };
            let told = world.view(id).await.revocation.unwrap();
            assert_eq!((told.state, told.refused_at), (RevocationState::Told, None), "{what}");
            assert!(told.revocation_lag_milliseconds.is_none(), "{what}: nothing was seen refused");
            assert_eq!(lent(&world).await, expected, "{what}");
            world.check().await;
        }
    }
}

#[tokio::test]
async fn a_task_is_due_overdue_and_said_again_each_day() {
    let (world, id) = Box::pin(given_back()).await;
    let task = tasks(&world, false).await.remove(0);
    assert_eq!((task.version, task.shown, task.overdue), (2, false, false));
    assert_eq!(task.due_at, world.now() + DAY * 3);
    assert_eq!((task.address.as_str(), task.instructions.as_str()), ("rack 3", "by the console"));
    assert!(tasks(&world, true).await.is_empty());
    assert_eq!(told(&world, EventKind::RotationAsked).await, 1);
    world.pass(DAY * 3 + SignedDuration::from_mins(1)).await;
    assert_eq!(tasks(&world, true).await.len(), 1);
    assert_eq!(told(&world, EventKind::RotationReminded).await, 1);
    world.pass(DAY * 2).await;
    assert_eq!(told(&world, EventKind::RotationReminded).await, 3, "daily");
    let tess = world.tess().await;
    let refused = world.check_out(&tess, &wanted(), &Once::none()).await;
    assert_eq!(refused.problem(), ProblemType::AccountUnavailable, "not offered before a person has acted");
    assert_eq!(world.view(id).await.revocation.unwrap().state, RevocationState::Pending);
    let shown = show(&world).await.unwrap();
    assert!(shown.task.shown);
    for _ in 0..2 {
        let found = world.open().find_rotation(task.id).await.unwrap();
        let permit = world.open().permit::<RotationPerform>(&tess, &found.resource()).await.unwrap();
        let done = world.open().confirm_task(&found, &tess, permit).await.unwrap();
        assert_eq!(done.new_version, Some(2));
    }
    assert_eq!(told(&world, EventKind::RotationConfirmed).await, 1, "twice is once");
    assert_eq!(told(&world, EventKind::CheckoutRevocationTold).await, 1);
    world.pass(DAY * 3).await;
    assert_eq!(told(&world, EventKind::RotationReminded).await, 3, "no more");
    let found = world.open().find_rotation(task.id).await.unwrap();
    let permit = world.open().permit::<RotationPerform>(&tess, &found.resource()).await.unwrap();
    assert_eq!(
        world.open().show_task(&found, &tess, permit).await.problem(),
        ProblemType::Conflict,
        "shown to nobody any more"
    );
    assert_eq!(lent(&world).await, wire_secret(shown.secret).expose());
    world.check().await;
}

/// Whoever has seen a candidate is known to know it, each of them, until it opens nothing any more.
#[tokio::test]
async fn who_has_seen_a_candidate_is_exposed() {
    let (world, _) = Box::pin(given_back()).await;
    let acme = world.acme().await;
    let known = async || {
        let known = world.open().exposed_since(acme).await.unwrap();
        let place = world.open().place(&path("acme/router/admin")).await.unwrap();
        known.contains_key(&place.account)
    };
    assert!(known().await, "the first secret, which Tess has seen, works");
    show(&world).await.unwrap();
    confirm(&world).await.unwrap();
    assert!(known().await, "she has set the second herself");
}

/// Approvals are asked for at a check-out, which a task is not: no candidate is shown past them, and a secret of one's own is
/// taken.
#[tokio::test]
async fn what_wants_approvals_shows_no_candidate() {
    let (world, _) = Box::pin(given_back()).await;
    let (cara, tess, acme) = (cara(&world).await, world.tess().await, world.acme().await);
    let approvals = Some(ApprovalRule { count: 1, by_customer: false, reuse: false });
    let limits =
        CustomerLimits { conditions: Conditions { approvals, ..Conditions::default() }, ..CustomerLimits::default() };
    let permit = world.open().permit::<CustomerLimit>(&cara, &Resource::Customer(acme)).await.unwrap();
    world.open().limit_customer(acme, &limits, &cara, permit).await.unwrap();
    assert_eq!(show(&world).await.problem(), ProblemType::Forbidden);
    assert!(!tasks(&world, false).await.remove(0).shown);
    let (found, permit) = may_perform(&world, &tess).await.unwrap();
    world.open().set_task(&found, &secret(OWN), &key("own"), &tess, permit).await.unwrap();
    let account = world.open().place(&path("acme/router/admin")).await.unwrap();
    let view = world.open().account_view(account.customer, account.account).await.unwrap();
    assert_eq!((view.state, view.current_version), (AccountState::Available, Some(3)));
    world.check().await;
}
