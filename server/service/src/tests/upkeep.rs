//! Rotation by policy, the heartbeat, and what each account's upkeep tells.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    AccountChange, AccountUpkeep, CustomerChange, OnDrift, ProbeResult, RotationPolicy, SystemChange, Waiting,
};
use claviger_core::policy::{AccessView, Resource};
use claviger_core::upkeep::{AT_ONCE_PER_SYSTEM, SILENT_AFTER};
use claviger_store::memory::{CommitFault, FaultPlan};
use jiff::SignedDuration;

use super::world::{FIRST_SECRET, Refused as _, World, may, of, seconds, secret, standing};
use crate::records::StateRecord;
use crate::{Once, Paging};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn every(days: u32) -> RotationPolicy {
    RotationPolicy { every_days: Some(days), ..RotationPolicy::default() }
}

fn heartbeat(on_drift: OnDrift) -> RotationPolicy {
    RotationPolicy { heartbeat_hours: Some(24), on_drift: Some(on_drift), ..RotationPolicy::default() }
}

impl World {
    async fn of_customer(&self, policy: RotationPolicy) {
        let (open, root, id) = (self.open(), self.root().await, self.acme().await);
        let change = CustomerChange { rotation_policy: Some(policy), ..CustomerChange::default() };
        open.change_customer(id, &change, &root, may(&open, &root, Resource::Customer(id))).await.unwrap();
    }

    async fn of_account(&self, account: &str, policy: RotationPolicy) {
        let (open, root, place) = (self.open(), self.root().await, self.place(account).await);
        let change = AccountChange { rotation_policy: Some(policy), ..AccountChange::default() };
        open.change_account(place, &change, &root, may(&open, &root, place.resource())).await.unwrap();
    }

    pub async fn report(&self, attention: bool) -> Vec<AccountUpkeep> {
        let (open, root) = (self.open(), self.root().await);
        let visible = |id| open.may_see::<AccessView>(&root, &Resource::Customer(id));
        open.upkeep(None, attention, &Paging::new(None, None).unwrap(), visible).await.unwrap().items
    }

    async fn upkeep_of(&self, account: &str) -> AccountUpkeep {
        let all = self.report(false).await;
        all.into_iter().find(|one| one.account.account.as_str() == account).expect(account)
    }

    /// One look, and whatever it began.
    pub async fn look(&self) {
        self.open().look_after_secrets().await.unwrap();
        self.pass(seconds(30)).await;
    }

    fn changes_of(&self, login: &str) -> u32 {
        self.system.machine().changes.get(login).copied().unwrap_or(0)
    }

    fn probes(&self) -> u32 {
        self.system.machine().probes
    }

    async fn verify(&self, account: &str) -> ProbeResult {
        let (open, root, place) = (self.open(), self.root().await, self.place(account).await);
        open.verify_account(place, &root, may(&open, &root, place.resource())).await.unwrap().result
    }
}

#[tokio::test]
async fn a_secret_is_replaced_when_it_is_as_old_as_its_policy_says_and_not_before() {
    let world = World::new().await;
    world.look().await;
    assert_eq!(world.report(false).await.len(), 0, "nobody said anything");
    world.of_customer(every(10)).await;
    world.of_account("shared", every(0)).await;
    let due = world.upkeep_of("app").await.due_at.unwrap();
    assert!(due <= world.upkeep_of("app").await.secret_since + DAY * 10);
    world.clock.advance(due.duration_since(world.now()) - seconds(31));
    world.look().await;
    assert_eq!(world.changes_of("app"), 0);
    world.clock.advance(seconds(1));
    world.look().await;
    assert_eq!(world.changes_of("app"), 1);
    let after = world.upkeep_of("app").await;
    assert!(after.secret_since >= due && after.due_at.unwrap() > due + DAY * 8, "it counts from the rotation on");
    world.look().await;
    assert_eq!(world.changes_of("app"), 1);
    world.clock.advance(DAY * 2);
    world.look().await;
    assert_eq!((world.changes_of("dba"), world.changes_of("shared")), (1, 0), "shared is exempt by its own word");
    world.check().await;
}

#[tokio::test]
async fn what_somebody_has_seen_is_replaced_so_long_after_it_was_given_back() {
    let world = World::new().await;
    let tess = world.tess().await;
    world.of_account("app", RotationPolicy { after_exposure_hours: Some(8), ..RotationPolicy::default() }).await;
    let (open, root, place) = (world.open(), world.root().await, world.place("app").await);
    let stays = AccountChange { rotate_on_end: Some(false), ..AccountChange::default() };
    open.change_account(place, &stays, &root, may(&open, &root, place.resource())).await.unwrap();
    // It was brought by root, who knows it.
    world.look().await;
    world.clock.advance(SignedDuration::from_hours(8));
    world.look().await;
    assert_eq!(world.changes_of("app"), 1, "whoever brought it has seen it");

    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.look().await;
    assert_eq!(world.upkeep_of("app").await.due_at, None, "its holder may know it");
    world.check_in(&tess, held.id).await.unwrap();
    world.clock.advance(SignedDuration::from_hours(7));
    world.look().await;
    assert_eq!(world.changes_of("app"), 1);
    world.clock.advance(SignedDuration::from_hours(1));
    world.look().await;
    assert_eq!(world.changes_of("app"), 2);
    assert_eq!(world.upkeep_of("app").await.due_at, None);
    world.check().await;
}

#[tokio::test]
async fn what_is_held_is_rotated_by_its_end_and_not_under_its_holder() {
    let world = World::new().await;
    let tess = world.tess().await;
    world.of_account("app", every(1)).await;
    world.clock.advance(DAY - SignedDuration::from_hours(1));
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    let due = world.upkeep_of("app").await.due_at.unwrap();
    world.clock.advance(due.duration_since(world.now()).max(seconds(0)));
    world.look().await;
    assert_eq!((world.upkeep_of("app").await.waits_for, world.changes_of("app")), (Some(Waiting::Held), 0));
    world.check_in(&tess, held.id).await.unwrap();
    world.look().await;
    assert_eq!((world.upkeep_of("app").await.waits_for, world.changes_of("app")), (None, 1), "once, not twice");
    world.check().await;
}

#[tokio::test]
async fn what_could_not_be_rotated_for_a_day_is_told_as_overdue_once() {
    let world = World::new().await;
    world.of_account("app", every(1)).await;
    world.system.machine().unreachable = true;
    world.clock.advance(DAY);
    world.look().await;
    let waits = world.upkeep_of("app").await;
    assert_eq!((waits.waits_for, waits.overdue), (Some(Waiting::Unresolved), false));
    assert!(world.report(true).await.is_empty());
    world.clock.advance(DAY);
    for _ in 0..3 {
        world.look().await;
    }
    assert!(world.upkeep_of("app").await.overdue);
    assert_eq!(world.report(true).await.len(), 1);
    let seen = world.open().seen_in_upkeep().unwrap();
    assert_eq!((seen.overdue, seen.owed.unresolved, seen.drifted), (1, 1, 0), "for whoever scrapes");
    assert_eq!(world.told_at_acme(EventKind::AccountOverdue).await.len(), 1, "once");
    world.system.machine().unreachable = false;
    world.pass(SignedDuration::from_mins(20)).await;
    world.look().await;
    assert!(world.report(true).await.is_empty());
    world.check().await;
}

#[tokio::test]
async fn few_are_rotated_at_once_and_none_behind_a_system_that_is_silent() {
    let world = World::new().await;
    for at in 0..10 {
        let name = format!("many{at}");
        world.system.add(&name, &name);
        world.add_account("acme", "db1", standing(&name, &name)).await.unwrap();
    }
    world.of_customer(every(1)).await;
    world.clock.advance(DAY);
    world.system.machine().unreachable = true;
    world.open().look_after_secrets().await.unwrap();
    let running = world.accounts_rotating().await;
    assert_eq!(running, AT_ONCE_PER_SYSTEM);
    world.pass(seconds(30)).await;
    for _ in 0..5 {
        world.look().await;
    }
    assert_eq!(world.accounts_rotating().await, AT_ONCE_PER_SYSTEM, "{SILENT_AFTER} unresolved are enough to see it");
    let waits = world.report(false).await.into_iter().filter(|one| one.waits_for == Some(Waiting::SilentSystem));
    assert_eq!(waits.count(), 13 - AT_ONCE_PER_SYSTEM);
    world.system.machine().unreachable = false;
    world.pass(SignedDuration::from_mins(20)).await;
    for _ in 0..5 {
        world.look().await;
    }
    assert!(world.report(false).await.iter().all(|one| one.due_at.unwrap() > world.now()), "all were rotated at last");
    world.check().await;
}

#[tokio::test]
async fn nothing_is_rotated_by_policy_during_an_emergency() {
    let world = World::new().await;
    world.of_customer(RotationPolicy { heartbeat_hours: Some(1), ..every(1) }).await;
    world.clock.advance(DAY);
    let (open, root, id) = (world.open(), world.root().await, world.acme().await);
    world.system.machine().unreachable = true;
    let customer = Resource::Customer(id);
    let permits = (may(&open, &root, customer), may(&open, &root, customer));
    open.start_emergency(id, "theft", &Once::none(), &root, permits).await.unwrap();
    let probes = world.probes();
    world.open().look_after_secrets().await.unwrap();
    assert_eq!((world.accounts_rotating().await, world.probes()), (0, probes), "and nothing is tried");
    assert_eq!(world.upkeep_of("app").await.waits_for, Some(Waiting::Emergency));
}

#[tokio::test]
async fn a_secret_that_was_changed_by_hand_is_found_reported_and_adopted() {
    let world = World::new().await;
    world.of_customer(heartbeat(OnDrift::Report)).await;
    world.look().await;
    let good = world.upkeep_of("app").await;
    assert_eq!((good.result, good.drifted_since), (Some(ProbeResult::Accepted), None));
    assert_eq!((good.tried_at, good.verified_at.is_some()), (good.verified_at, true));
    let probes = world.probes();
    world.look().await;
    assert_eq!(world.probes(), probes, "not before its time");

    world.system.add("app", "changed by hand");
    world.clock.advance(DAY);
    world.look().await;
    let drifted = world.upkeep_of("app").await;
    assert!(drifted.drifted_since.is_some() && drifted.verified_at == good.verified_at, "{drifted:?}");
    let attention = world.report(true).await;
    assert_eq!(attention.iter().map(|one| one.account.account.as_str()).collect::<Vec<_>>(), ["app"]);
    assert_eq!(world.told_at_acme(EventKind::AccountDrifted).await.len(), 1);
    assert_eq!(world.changes_of("app"), 0, "it is only reported");
    let probes = world.probes();
    world.clock.advance(DAY * 3);
    world.look().await;
    let tries = world.probes() - probes;
    assert_eq!(tries, 2, "dba and shared; what was refused is not tried again by itself");

    let (open, root, place) = (world.open(), world.root().await, world.place("app").await);
    let new = secret("changed by hand");
    open.set_secret(place, &new, &Once::none(), &root, may(&open, &root, place.resource())).await.unwrap();
    assert!(world.report(true).await.is_empty(), "another version is another question");
    world.look().await;
    assert_eq!(world.upkeep_of("app").await.result, Some(ProbeResult::Accepted));
    world.check().await;
}

#[tokio::test]
async fn drift_is_reconciled_by_the_management_account_where_the_policy_says_so() {
    let world = World::new().await;
    world.of_customer(heartbeat(OnDrift::Reconcile)).await;
    world.system.add("app", "changed by hand");
    world.system.add("dba", "changed too");
    world.look().await;
    assert!(world.upkeep_of("app").await.drifted_since.is_some() || world.changes_of("app") > 0);
    assert!(world.upkeep_of("dba").await.drifted_since.is_some());
    assert_eq!(world.account("dba").await.rotation, None, "nobody could change the management account");
    world.system.add("dba", "of the dba");
    world.pass(SignedDuration::from_hours(1)).await;
    assert_eq!(world.changes_of("app"), 1);
    assert!(!world.system.opens("app", "changed by hand") && !world.system.opens("app", FIRST_SECRET));
    assert_eq!(world.upkeep_of("app").await.drifted_since, None);
    world.check().await;
}

#[tokio::test]
async fn a_persons_own_try_tells_of_drift_and_of_its_end() {
    let world = World::new().await;
    world.of_customer(heartbeat(OnDrift::Report)).await;
    world.system.add("app", "changed by hand");
    assert_eq!(world.verify("app").await, ProbeResult::Refused);
    assert!(world.upkeep_of("app").await.drifted_since.is_some());
    assert_eq!(world.told_at_acme(EventKind::AccountDrifted).await.len(), 1);
    assert_eq!(world.verify("app").await, ProbeResult::Refused);
    assert_eq!(world.told_at_acme(EventKind::AccountDrifted).await.len(), 1, "told once");
    world.system.add("app", FIRST_SECRET);
    assert_eq!(world.verify("app").await, ProbeResult::Accepted);
    assert!(world.report(true).await.is_empty());
    world.check().await;
}

#[tokio::test]
async fn a_heartbeat_tries_nothing_that_is_being_rotated_and_no_system_that_is_silent() {
    let world = World::new().await;
    for at in 0..10 {
        let name = format!("many{at}");
        world.system.add(&name, &name);
        world.add_account("acme", "db1", standing(&name, &name)).await.unwrap();
    }
    let root = world.root().await;
    world.of_customer(heartbeat(OnDrift::Report)).await;
    world.system.machine().unreachable = true;
    world.rotate(&root, "app").await.unwrap();
    world.step().await;
    let probes = world.probes();
    world.open().look_after_secrets().await.unwrap();
    assert_eq!(world.probes() - probes, u32::try_from(SILENT_AFTER).unwrap());
    assert!(world.report(true).await.is_empty(), "nobody learned anything of a secret");
    assert_eq!(world.upkeep_of("app").await.tried_at, None);
    world.check().await;
}

#[tokio::test]
async fn an_attempt_is_counted_before_it_is_made() {
    let mut world = World::new().await;
    world.system.machine().traits.lockout_threshold = Some(5);
    world.of_account("app", heartbeat(OnDrift::Report)).await;
    world.system.add("app", "changed by hand");
    // The server dies between the try and its outcome.
    world.store.set_faults(FaultPlan::commits_where(|commit, _| (commit >= 2).then_some(CommitFault::Refused)));
    assert!(world.open().look_after_secrets().await.is_err());
    world.store.set_faults(FaultPlan::none());
    let probes = world.probes();
    world.crash(7).await;
    for _ in 0..5 {
        world.look().await;
    }
    assert_eq!(world.probes(), probes, "no second failed login before its time");
}

#[tokio::test]
async fn what_a_policy_cannot_be_is_refused_by_name() {
    let world = World::new().await;
    let (open, root, id) = (world.open(), world.root().await, world.acme().await);
    let wrong = RotationPolicy { at_hour: Some(24), ..every(4000) };
    let change = CustomerChange {
        rotation_policy: Some(wrong.clone()),
        time_zone: Some("Europe/Nowhere".to_owned()),
        ..CustomerChange::default()
    };
    let customer = Resource::Customer(id);
    let refused = open.change_customer(id, &change, &root, may(&open, &root, customer)).await.err().unwrap();
    let at: Vec<&str> = refused.errors.iter().map(|error| error.at.as_str()).collect();
    assert_eq!(at, ["rotation_policy.every_days", "rotation_policy.at_hour"]);
    let change = CustomerChange { time_zone: Some("Europe/Nowhere".to_owned()), ..CustomerChange::default() };
    let refused = open.change_customer(id, &change, &root, may(&open, &root, customer)).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue);
    let place = world.place("app").await;
    let system = Resource::System(id, place.system);
    let change = SystemChange { rotation_policy: Some(wrong.clone()), ..SystemChange::default() };
    let refused = open.change_system(id, place.system, &change, &root, may(&open, &root, system)).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue);
    let change = AccountChange { rotation_policy: Some(wrong), ..AccountChange::default() };
    let refused = open.change_account(place, &change, &root, may(&open, &root, place.resource())).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue);
}

impl World {
    pub async fn told_at_acme(&self, kind: EventKind) -> Vec<claviger_api::wire::AuditEvent> {
        self.told(claviger_api::Scope::Customer(self.acme().await), kind).await
    }

    /// How many accounts have a rotation that is not settled.
    async fn accounts_rotating(&self) -> usize {
        let open = self.open();
        let scope = claviger_api::Scope::Customer(self.acme().await);
        let range = claviger_store::Range::scope(claviger_store::Table::AccountStates, scope);
        let states = open.all::<StateRecord>(&range).await.unwrap();
        let unsettled = |row: &&claviger_store::Versioned<StateRecord>| {
            row.value.0.rotation.is_some_and(|running| !running.settled)
        };
        states.iter().filter(unsettled).count()
    }
}
