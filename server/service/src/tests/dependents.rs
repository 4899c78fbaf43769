//! Those who depend on a secret: told and given copies in their order, tried until they have it, never forgotten.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Dependent, DependentState, Dependents, SkipDependent};
use claviger_core::policy::Resource;
use claviger_store::memory::{CommitFault, FaultPlan};

use super::system::Happens;
use super::world::{Refused as _, World, may, part, path, seconds, secret, standing};
use crate::{Once, Result};

fn file(system: &str, name: &str) -> Dependent {
    Dependent::File {
        system: part(system),
        path: format!("/etc/app/{name}").parse().unwrap(),
        owner: "app".parse().unwrap(),
        group: "app".parse().unwrap(),
        mode: "0640".parse().unwrap(),
    }
}

/// Nobody answers at any address in these tests.
fn webhook() -> Dependent {
    Dependent::Webhook { url: "https://192.0.2.7/rotated".parse().unwrap(), ca_certificate: None }
}

impl World {
    async fn depend(&self, account: &str, dependents: &[Dependent]) -> Result<Dependents> {
        let (open, root, place) = (self.open(), self.root().await, self.place(account).await);
        open.set_dependents(place, dependents, &root, may(&open, &root, place.resource())).await
    }

    async fn dependents(&self, account: &str) -> Dependents {
        let (open, root, place) = (self.open(), self.root().await, self.place(account).await);
        open.dependents(place, may(&open, &root, place.resource())).await.unwrap()
    }

    async fn states(&self, account: &str) -> Vec<DependentState> {
        self.dependents(account).await.dependents.iter().map(|step| step.state).collect()
    }

    async fn hurry(&self, account: &str) -> Dependents {
        let (open, root, place) = (self.open(), self.root().await, self.place(account).await);
        open.hurry_dependents(place, &root, may(&open, &root, place.resource())).await.unwrap()
    }

    async fn skip(&self, account: &str, number: u32) -> Result<Dependents> {
        let (open, root, place) = (self.open(), self.root().await, self.place(account).await);
        let skip = SkipDependent { number, reason: "it is gone".to_owned() };
        open.skip_dependent(place, &skip, &root, may(&open, &root, place.resource())).await
    }

    async fn rotated(&self, account: &str) {
        let root = self.root().await;
        self.rotate(&root, account).await.unwrap();
        self.pass(seconds(2)).await;
    }

    fn copy(&self, name: &str) -> Option<String> {
        self.system.machine().files.get(&format!("/etc/app/{name}")).cloned()
    }
}

#[tokio::test]
async fn a_copy_follows_each_rotation_and_a_secret_that_a_person_brought() {
    let world = World::new().await;
    world.depend("app", &[file("db1", "one"), file("db1", "two")]).await.unwrap();
    world.pass(seconds(60)).await;
    assert_eq!((world.copy("one"), world.states("app").await), (None, vec![DependentState::Idle; 2]), "nothing is new");

    world.rotated("app").await;
    assert_eq!((world.copy("one"), world.copy("two")), (world.system.password("app"), world.system.password("app")));
    assert_eq!(world.states("app").await, [DependentState::Updated; 2]);
    let told = world.told_at_acme(EventKind::DependentUpdated).await;
    assert_eq!(told.len(), 2);
    assert!(format!("{told:?}").contains("file db1:/etc/app/one"), "{told:?}");

    let (open, root, place) = (world.open(), world.root().await, world.place("app").await);
    let permit = may(&open, &root, place.resource());
    open.set_secret(place, &secret("brought by hand"), &Once::none(), &root, permit).await.unwrap();
    world.pass(seconds(2)).await;
    assert_eq!(world.copy("two").as_deref(), Some("brought by hand"));
    world.check().await;
}

#[tokio::test]
async fn whoever_cannot_be_reached_is_tried_until_it_can_and_holds_up_those_behind_it() {
    let world = World::new().await;
    let view = world.depend("app", &[webhook(), file("db1", "one")]).await.unwrap();
    assert!(view.webhook_key.is_some_and(|key| key.starts_with("whpk_")), "whoever verifies needs the key");
    world.rotated("app").await;
    world.pass(seconds(3600)).await;
    let view = world.dependents("app").await;
    assert_eq!(world.states("app").await, [DependentState::Waiting; 2]);
    assert!(view.failures >= 5 && view.trouble.is_some() && view.next_at > Some(world.now()), "{view:?}");
    assert!(view.behind_since.is_some());
    assert_eq!(world.copy("one"), None, "it is not its turn");
    world.look().await;
    assert_eq!(world.open().seen_in_upkeep().map(|seen| seen.behind), Some(1), "for whoever scrapes");
    let wants = world.report(true).await;
    assert_eq!(wants.len(), 1, "without any policy");
    assert_eq!((wants[0].account.account.as_str(), &wants[0].dependents_trouble), ("app", &view.trouble));

    let place = world.place("app").await;
    let (open, root) = (world.open(), world.root().await);
    let removed = open.remove_account(place, &root, may(&open, &root, place.resource())).await;
    assert_eq!(removed.problem(), ProblemType::InUse, "nobody is forgotten with the account");

    world.skip("app", 1).await.unwrap();
    world.pass(seconds(2)).await;
    assert_eq!(world.states("app").await, [DependentState::Skipped, DependentState::Updated]);
    assert_eq!(world.copy("one"), world.system.password("app"));
    assert_eq!(world.skip("app", 2).await.problem(), ProblemType::InvalidValue, "it does not wait");
    assert_eq!(world.skip("app", 3).await.problem(), ProblemType::InvalidValue, "there is none");
    assert_eq!(world.report(true).await.len(), 0);
    open.remove_account(place, &root, may(&open, &root, place.resource())).await.unwrap();
    world.check().await;
}

#[tokio::test]
async fn what_was_refused_can_be_hurried_once_it_is_mended() {
    let world = World::new().await;
    world.depend("app", &[file("db1", "one")]).await.unwrap();
    world.system.next([Happens::Applied, Happens::Refused]);
    world.rotated("app").await;
    assert_eq!(world.dependents("app").await.trouble.as_deref(), Some("no"));
    world.hurry("app").await;
    world.step().await;
    assert_eq!(world.copy("one"), world.system.password("app"));

    // Somebody wrote over the file; nobody waits, so all are brought up to date anew.
    world.system.machine().files.clear();
    world.hurry("app").await;
    world.step().await;
    assert_eq!(world.copy("one"), world.system.password("app"));
    world.check().await;
}

#[tokio::test]
async fn a_host_that_refuses_its_management_account_is_not_asked_again_soon() {
    let world = World::new().await;
    world.system.machine().locks_after = Some(3);
    world.depend("app", &[file("db1", "one")]).await.unwrap();
    world.system.add("dba", "changed by hand");
    world.rotated("app").await;
    world.pass(seconds(3500)).await;
    let failures = world.system.machine().logins["dba"].failures;
    assert_eq!((world.dependents("app").await.failures, failures), (1, 1), "each attempt is a failed login");
    world.system.add("dba", "of the dba");
    world.hurry("app").await;
    world.step().await;
    assert_eq!(world.copy("one"), world.system.password("app"), "mended");
    world.check().await;
}

#[tokio::test]
async fn a_newer_secret_takes_the_place_of_one_that_nobody_has_got_yet() {
    let world = World::new().await;
    world.depend("app", &[file("db1", "one")]).await.unwrap();
    world.system.next([Happens::Applied, Happens::Refused]);
    world.rotated("app").await;
    let first = world.system.password("app");
    world.rotated("app").await;
    assert!(world.copy("one").is_some() && world.copy("one") != first);
    assert_eq!(world.copy("one"), world.system.password("app"));
    world.check().await;
}

#[tokio::test]
async fn a_crash_at_any_commit_forgets_no_dependent() {
    let mut crashes = 0;
    for nth in 1.. {
        let mut world = World::new().await;
        world.depend("app", &[file("db1", "one"), file("db1", "two")]).await.unwrap();
        let root = world.root().await;
        world.rotate(&root, "app").await.unwrap();
        world.store.set_faults(FaultPlan::commits_where(move |commit, _| {
            (commit >= nth).then_some(CommitFault::UnknownNotApplied)
        }));
        world.pass(seconds(2)).await;
        world.store.set_faults(FaultPlan::none());
        let whole = world.copy("two").is_some() && world.states("app").await == [DependentState::Updated; 2];
        crashes += 1;
        world.crash(nth).await;
        world.pass(seconds(600)).await;
        assert_eq!(world.copy("one"), world.system.password("app"), "after a crash at commit {nth}");
        assert_eq!(world.copy("two"), world.system.password("app"), "after a crash at commit {nth}");
        assert_eq!(world.states("app").await, [DependentState::Updated; 2]);
        world.check().await;
        if whole {
            break;
        }
    }
    assert!(crashes > 6, "each step of the rotation and of both copies: {crashes}");
}

#[tokio::test]
async fn what_cannot_be_a_dependent_is_refused_with_its_place() {
    let world = World::new().await;
    let refused = world.depend("app", &[file("db1", "one"), file("db1", "one")]).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue, "twice the same");
    let many: Vec<Dependent> = (0..11).map(|n| file("db1", &n.to_string())).collect();
    assert_eq!(world.depend("app", &many).await.problem(), ProblemType::InvalidValue);
    let refused = world.depend("temp", &[file("db1", "one")]).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue, "an ephemeral account has no secret");
    assert_eq!(world.depend("app", &[file("nowhere", "one")]).await.problem(), ProblemType::NotFound);
    let bad = Dependent::Webhook {
        url: "https://192.0.2.7/".parse().unwrap(),
        ca_certificate: Some("no certificate".to_owned()),
    };
    assert_eq!(world.depend("app", &[bad]).await.problem(), ProblemType::InvalidValue);

    // Whoever may change an account may not thereby write files on a host.
    let open = world.open();
    let (tess, place) = (world.tess().await, world.place("app").await);
    let root = world.root().await;
    let permit = may(&open, &root, place.resource());
    let refused = open.set_dependents(place, &[file("db1", "one")], &tess, permit).await;
    assert_eq!(refused.problem(), ProblemType::Forbidden);
    world.check().await;
}

#[tokio::test]
async fn a_host_with_a_copy_is_not_removed_and_a_copy_that_is_taken_away_is_let_be() {
    let world = World::new().await;
    world.add_system("acme", "web1").await;
    world.depend("app", &[file("web1", "one")]).await.unwrap();
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    let web1 = open.system_named(acme, &part("web1")).await.unwrap();
    let remove = async || {
        let permit = may(&open, &root, Resource::System(acme, web1));
        open.remove_system(acme, web1, &root, permit).await
    };
    assert_eq!(remove().await.problem(), ProblemType::InUse);
    world.rotated("app").await;
    let trouble = world.dependents("app").await.trouble.unwrap();
    assert!(trouble.contains("web1 has no management account"), "{trouble}");
    world.depend("app", &[]).await.unwrap();
    world.check().await;
    remove().await.unwrap();
    assert_eq!(world.depend("app", &[]).await.unwrap().dependents.len(), 0, "twice is once");
    assert_eq!(open.place(&path("acme/db1/app")).await.unwrap(), world.place("app").await);
    world.add_account("acme", "db1", standing("other", "of the other")).await.unwrap();
    world.check().await;
}
