//! Logins that a system has beside the accounts of the vault: what a look finds, what it tells, and when there is one.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    DiscoveredLogin, Discovery, LoginStanding, MarkKnown, MarkUnknown, NewAccount, NewSystem, ProbeResult, SystemSpec,
};
use claviger_core::discovery::{AGAIN_AFTER, LOOKS_A_ROUND, LOOKS_AT_ONCE, TOLD_AT_ONCE};
use claviger_core::policy::{AccessView, Resource};
use jiff::SignedDuration;

use super::world::{Refused as _, World, may, of, part, seconds, secret, spec, standing};
use crate::error::Result;
use crate::{Once, Paging};

const DAY: SignedDuration = SignedDuration::from_hours(24);

impl World {
    async fn discover(&self) -> Discovery {
        let (open, root, place) = (self.open(), self.root().await, self.place("app").await);
        let on = Resource::System(place.customer, place.system);
        open.discover_logins(place.customer, place.system, &root, may(&open, &root, on)).await.unwrap()
    }

    async fn discovered(&self) -> Discovery {
        let (open, root, place) = (self.open(), self.root().await, self.place("app").await);
        let on = Resource::System(place.customer, place.system);
        open.discovery(place.customer, place.system, may(&open, &root, on)).await.unwrap()
    }

    async fn mark_known(&self, login: &str) -> Result<Discovery> {
        let (open, root, place) = (self.open(), self.root().await, self.place("app").await);
        let on = Resource::System(place.customer, place.system);
        let mark = MarkKnown { login: login.to_owned(), reason: "the backup's own".to_owned() };
        open.mark_known(place.customer, place.system, &mark, &root, may(&open, &root, on)).await
    }

    async fn mark_unknown(&self, login: &str) -> Result<Discovery> {
        let (open, root, place) = (self.open(), self.root().await, self.place("app").await);
        let on = Resource::System(place.customer, place.system);
        let mark = MarkUnknown { login: login.to_owned() };
        open.mark_unknown(place.customer, place.system, &mark, &root, may(&open, &root, on)).await
    }

    async fn discoveries(&self, attention: bool) -> Vec<Discovery> {
        let (open, root) = (self.open(), self.root().await);
        let visible = |id| open.may_see::<AccessView>(&root, &Resource::Customer(id));
        open.discoveries(None, attention, &Paging::new(None, None).unwrap(), visible).await.unwrap().items
    }

    /// Somebody at the system gives a login power.
    fn empower(&self, login: &str, powers: &[&str]) {
        self.system.add(login, "known to somebody");
        let powers = powers.iter().map(|power| (*power).to_owned()).collect();
        self.system.machine().powers.insert(login.to_owned(), powers);
    }

    async fn round(&self) {
        self.open().look_for_logins().await;
    }

    fn looks(&self) -> usize {
        self.system.machine().listed.len()
    }

    async fn found_events(&self) -> usize {
        self.told_at_acme(EventKind::SystemLoginFound).await.len()
    }

    /// A further system with a management account, at a host of its own.
    async fn add_host(&self, name: &str) {
        let (open, root, customer) = (self.open(), self.root().await, self.acme().await);
        let SystemSpec::Postgresql { port, database, tls, .. } = spec() else { unreachable!() };
        let spec = SystemSpec::Postgresql { host: name.to_owned(), port, database, tls, ca_certificate: None };
        let new = NewSystem { name: part(name), spec, management_account: Some(part("dba")) };
        let permit = may(&open, &root, Resource::Customer(customer));
        open.add_system(customer, &new, &Once::none(), &root, permit).await.unwrap();
        self.add_account("acme", name, standing("dba", "of the dba")).await.unwrap();
    }
}

fn of_name<'d>(found: &'d Discovery, login: &str) -> &'d DiscoveredLogin {
    found
        .logins
        .iter()
        .find(|it| it.login == login)
        .unwrap_or_else(|| panic!("{login} is not among {:?}", found.logins))
}

#[tokio::test]
async fn what_a_system_has_is_compared_with_the_accounts_of_now() {
    let world = World::new().await;
    world.empower("etl", &["superuser"]);
    world.system.add("plain", "x");
    world.system.add("nobody\n", "x");
    world.system.machine().barred.insert("plain".to_owned());
    world.add_account("acme", "db1", standing("gone", "of nobody")).await.unwrap();
    let found = world.discover().await;
    let standings = ["etl", "plain", "app", "dba"].map(|login| of_name(&found, login).standing);
    let (out, here) = (LoginStanding::Unmanaged, LoginStanding::InVault);
    assert_eq!(standings, [out, out, here, here]);
    assert_eq!(found.logins.first().unwrap().login, "etl", "what has power comes first");
    assert_eq!(of_name(&found, "app").account.as_ref().unwrap().to_string(), "acme/db1/app");
    assert!(of_name(&found, "nobody\\u{a}").unnameable, "a name that no account can have is shown all the same");
    assert_eq!(found.missing.iter().map(ToString::to_string).collect::<Vec<_>>(), ["acme/db1/gone"]);
    let counts = found.counts;
    assert_eq!((counts.logins, counts.in_vault, counts.unmanaged, counts.unmanaged_privileged), (6, 3, 2, 1));
    assert_eq!((found.looked_at, found.failure.clone()), (Some(world.now()), None));

    // No other look is needed to see that somebody took it in, nor that what was cut may be there.
    world.clock.advance(seconds(1));
    for (name, password) in [("etl", "known to somebody"), ("later", "of nobody")] {
        world.add_account("acme", "db1", standing(name, password)).await.unwrap();
    }
    let found = world.discovered().await;
    assert_eq!(found.counts.missing, 1, "what was added after the look may be there");
    assert_eq!(of_name(&found, "etl").standing, LoginStanding::InVault);
    world.system.machine().cuts = true;
    let found = world.discover().await;
    assert!(found.cut && found.missing.is_empty(), "of what was not listed nothing is known");
    world.check().await;
}

#[tokio::test]
async fn names_are_compared_as_the_system_compares_them() {
    let world = World::new().await;
    world.system.machine().ignores_case = true;
    world.empower("APP2", &["superuser"]);
    let account = NewAccount { login: Some("App2".parse().unwrap()), ..standing("app2", "x") };
    world.add_account("acme", "db1", account).await.unwrap();
    assert_eq!(of_name(&world.discover().await, "APP2").standing, LoginStanding::InVault);
    world.system.machine().ignores_case = false;
    let found = world.discover().await;
    assert_eq!(of_name(&found, "APP2").standing, LoginStanding::Unmanaged);
    assert_eq!(found.counts.missing, 1);
}

#[tokio::test]
async fn a_login_of_a_checkout_is_the_vaults_own_and_a_forged_mark_is_not() {
    let world = World::new().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("temp"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.empower("hidden", &["superuser"]);
    world.system.machine().marked.insert("hidden".to_owned());
    let found = world.discover().await;
    let lent: Vec<_> = found.logins.iter().filter(|it| it.standing == LoginStanding::OfCheckout).collect();
    assert!(matches!(lent.as_slice(), [one] if one.login.starts_with("temp_")), "{lent:?}");
    let hidden = of_name(&found, "hidden");
    assert_eq!(hidden.standing, LoginStanding::Unmanaged, "whoever has power there can put a mark there");
    assert_eq!(hidden.notes, ["bears the vault's mark, and no checkout has it"]);
    assert_eq!(world.found_events().await, 1);
    world.check_in(&tess, held.id).await.unwrap();
    world.pass(seconds(30)).await;
    assert_eq!(world.discover().await.counts.of_checkouts, 0);
    world.check().await;
}

#[tokio::test]
async fn a_login_with_power_is_told_once_and_again_when_it_has_more() {
    let world = World::new().await;
    world.empower("etl", &["CREATEROLE"]);
    world.empower("barred", &["superuser"]);
    world.system.machine().barred.insert("barred".to_owned());
    for _ in 0..2 {
        world.discover().await;
    }
    assert_eq!(world.found_events().await, 1, "once, and nothing of what cannot log in");
    world.empower("etl", &["CREATEROLE", "superuser"]);
    world.discover().await;
    assert_eq!(world.found_events().await, 2);
    world.system.machine().barred.clear();
    world.discover().await;
    assert_eq!(world.found_events().await, 3, "now it may");
    world.system.machine().powers.remove("etl");
    world.discover().await;
    world.empower("etl", &["CREATEROLE"]);
    world.discover().await;
    assert_eq!(world.found_events().await, 4, "it has got it again");
    let told = world.told_at_acme(EventKind::SystemDiscovered).await;
    assert_eq!(told.len(), 6, "each look");
    world.check().await;
}

#[tokio::test]
async fn many_new_ones_are_told_by_and_by_and_none_is_forgotten() {
    let world = World::new().await;
    let many = TOLD_AT_ONCE + 7;
    for at in 0..many {
        world.empower(&format!("many{at}"), &["superuser"]);
    }
    world.discover().await;
    assert_eq!(world.found_events().await, TOLD_AT_ONCE);
    for _ in 0..2 {
        world.discover().await;
    }
    assert_eq!(world.found_events().await, many);
}

#[tokio::test]
async fn a_known_login_leaves_the_attention_until_it_has_more_power_than_was_known() {
    let world = World::new().await;
    world.empower("backup", &["REPLICATION"]);
    assert_eq!(world.mark_known("backup").await.problem(), ProblemType::InvalidValue, "nothing was found yet");
    world.discover().await;
    assert_eq!(world.discoveries(true).await.len(), 1);
    let found = world.mark_known("backup").await.unwrap();
    let known = of_name(&found, "backup").known.as_ref().unwrap();
    assert_eq!((known.reason.as_str(), known.by.as_str(), known.outgrown), ("the backup's own", "root", false));
    assert!(world.discoveries(true).await.is_empty());
    let shown = world.discoveries(false).await;
    assert_eq!(of_name(shown.first().unwrap(), "backup").standing, LoginStanding::Known, "and stays shown");

    world.empower("backup", &["REPLICATION", "superuser"]);
    let found = world.discover().await;
    assert_eq!(of_name(&found, "backup").standing, LoginStanding::Unmanaged);
    assert!(of_name(&found, "backup").known.as_ref().unwrap().outgrown);
    assert_eq!((world.discoveries(true).await.len(), world.found_events().await), (1, 2));
    world.mark_known("backup").await.unwrap();
    assert!(world.discoveries(true).await.is_empty());

    assert!(of_name(&world.mark_unknown("backup").await.unwrap(), "backup").known.is_none());
    assert_eq!(world.mark_unknown("backup").await.problem(), ProblemType::InvalidValue);
    assert_eq!(world.discoveries(true).await.len(), 1);
    for (wrong, why) in [("app", "it is in the vault"), ("not-there", "no look has shown it")] {
        assert_eq!(world.mark_known(wrong).await.problem(), ProblemType::InvalidValue, "{why}");
    }
    assert_eq!(world.told_at_acme(EventKind::SystemLoginKnown).await.len(), 2);
    assert_eq!(world.told_at_acme(EventKind::SystemLoginUnknown).await.len(), 1);
    world.check().await;
}

#[tokio::test]
async fn a_look_that_fails_says_why_and_keeps_what_the_last_one_found() {
    let world = World::new().await;
    world.empower("etl", &["superuser"]);
    world.discover().await;
    let before = world.now();
    world.clock.advance(DAY);
    world.system.machine().unreachable = true;
    let found = world.discover().await;
    assert_eq!(found.failure.clone().unwrap().result, ProbeResult::Unreachable);
    assert_eq!((found.looked_at, found.tried_at), (Some(before), Some(world.now())));
    assert_eq!(of_name(&found, "etl").standing, LoginStanding::Unmanaged);
    assert_eq!(world.told_at_acme(EventKind::SystemDiscoveryFailed).await.len(), 1);
    world.system.machine().unreachable = false;
    assert_eq!(world.discover().await.failure, None);
    world.check().await;
}

#[tokio::test]
async fn a_system_without_a_management_account_is_reported_and_never_asked() {
    let world = World::new().await;
    let (open, root, customer) = (world.open(), world.root().await, world.acme().await);
    let new = NewSystem { name: part("bare"), spec: spec(), management_account: None };
    let permit = may(&open, &root, Resource::Customer(customer));
    let id = open.add_system(customer, &new, &Once::none(), &root, permit).await.unwrap().id;
    let on = Resource::System(customer, id);
    let found = open.discover_logins(customer, id, &root, may(&open, &root, on)).await.unwrap();
    assert!(found.failure.unwrap().detail.contains("no management account"));
    world.clock.advance(DAY * 2);
    world.round().await;
    assert_eq!(world.looks(), 1, "only the other");
    let reported = world.discoveries(true).await;
    assert_eq!(reported.iter().map(|it| it.system.as_str()).collect::<Vec<_>>(), ["bare"]);
}

#[tokio::test]
async fn each_system_is_looked_at_once_a_day_and_a_silent_one_sooner() {
    let world = World::new().await;
    world.clock.advance(DAY);
    for _ in 0..3 {
        world.round().await;
    }
    assert_eq!(world.looks(), 1);
    world.clock.advance(DAY);
    world.system.machine().unreachable = true;
    for _ in 0..3 {
        world.round().await;
    }
    assert_eq!(world.looks(), 2);
    // Within the same day: the day after the last look may have begun otherwise.
    world.clock.advance(AGAIN_AFTER);
    world.round().await;
    assert_eq!(world.looks(), 3);
    world.system.machine().unreachable = false;
    world.clock.advance(AGAIN_AFTER);
    world.round().await;
    assert_eq!(world.looks(), 4);
    world.clock.advance(seconds(60));
    world.round().await;
    assert_eq!(world.looks(), 4, "it answered");
    world.check().await;
}

#[tokio::test]
async fn no_look_spends_a_login_while_the_secret_is_being_replaced() {
    let world = World::new().await;
    world.clock.advance(DAY);
    world.system.machine().unreachable = true;
    world.rotate(&world.root().await, "dba").await.unwrap();
    world.step().await;
    world.round().await;
    assert_eq!(world.looks(), 0, "nobody knows which secret it is");
    world.system.machine().unreachable = false;
    world.pass(SignedDuration::from_mins(20)).await;
    world.round().await;
    assert_eq!(world.looks(), 1);
}

#[tokio::test]
async fn nobody_is_asked_in_an_emergency() {
    let world = World::new().await;
    world.clock.advance(DAY);
    let (open, root, id) = (world.open(), world.root().await, world.acme().await);
    let customer = Resource::Customer(id);
    let permits = (may(&open, &root, customer), may(&open, &root, customer));
    open.start_emergency(id, "theft", &Once::none(), &root, permits).await.unwrap();
    world.round().await;
    assert_eq!(world.looks(), 0);
}

/// What a system learns at a login, it might show to whoever may read what was found and may see no secret.
#[tokio::test]
async fn anvil_hostile_system_cannot_have_the_management_secret_shown() {
    let world = World::new().await;
    let long = "a secret of the vault's own";
    world.system.add("dba", long);
    let (open, root, place) = (world.open(), world.root().await, world.place("dba").await);
    let permit = may(&open, &root, place.resource());
    open.set_secret(place, &secret(long), &Once::none(), &root, permit).await.unwrap();
    world.empower(&format!("x {long}"), &[&format!("superuser {long}")]);
    let found = world.discover().await;
    let shown = of_name(&found, "x …");
    assert_eq!(shown.privileges, ["superuser …"]);
    let told = world.told_at_acme(EventKind::SystemLoginFound).await;
    assert!(!serde_json::to_string(&(found, told)).unwrap().contains(long));
}

#[tokio::test]
async fn a_few_are_looked_at_at_once_and_the_others_wait_for_the_next_round() {
    let world = World::new().await;
    for at in 0..LOOKS_A_ROUND + 3 {
        world.add_host(&format!("host{at}")).await;
    }
    world.clock.advance(DAY);
    world.round().await;
    assert_eq!((world.looks(), world.system.machine().listing_most), (LOOKS_A_ROUND, LOOKS_AT_ONCE));
    world.round().await;
    assert_eq!(world.looks(), LOOKS_A_ROUND + 4, "each of them, once");
}

#[tokio::test]
async fn nobody_waits_behind_a_system_that_does_not_answer() {
    let world = World::new().await;
    for at in 0..LOOKS_AT_ONCE + 4 {
        world.add_host(&format!("host{at}")).await;
    }
    // All places but one are taken for good.
    let hanging = (1..LOOKS_AT_ONCE).map(|at| format!("host{at}"));
    world.system.machine().hangs.extend(hanging);
    world.clock.advance(DAY);
    let others = async {
        while world.told_at_acme(EventKind::SystemDiscovered).await.len() < 6 {
            tokio::task::yield_now().await;
        }
    };
    let within = std::time::Duration::from_secs(20);
    tokio::select! {
        () = world.round() => panic!("one of them never answers"),
        done = tokio::time::timeout(within, others) => done.expect("all the others are looked at meanwhile"),
    }
}
