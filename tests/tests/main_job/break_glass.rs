//! Break-glass on a real system, by the command line: two open it, one uses it, everybody sees it, it ends, a third
//! reviews it.

use claviger_api::wire::{
    AuditQuery, BreakGlassState, Checkout, CheckoutState, EndCause, NewBreakGlass, NewRotation, RevocationState, Role,
    SystemChange, WithComment,
};
use claviger_client::Exit;
use claviger_tests::cli::{Cli, Done};
use claviger_tests::inventory::{add_role, checkout_until, part, wanted};
use claviger_tests::people::Person;
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;
use claviger_tests::server::Launch;
use serde_json::Value;

use super::{House, SOON};

/// Somebody who is logged in at a terminal.
struct Somebody(Cli);

impl Somebody {
    async fn with(house: &House, name: &str, role: Role) -> Self {
        let address = house.vault.address();
        let person = house.vault.people.administrator.adds_user(address, name, Some((role, "acme"))).await;
        Self::logged_in(house, &person).await
    }

    async fn logged_in(house: &House, person: &Person) -> Self {
        let cli = Cli::at(house.vault.address());
        let now = person.client(house.vault.address()).auth().factors().await.unwrap().server_time;
        let code = person.app.code(now).await;
        let input = format!("{}\n{}\n", person.password.expose(), code.expose());
        let done = cli.run_with(&["login", person.name.as_str(), "--stdin"], &input).await;
        assert_eq!(done.code, 0, "{}", done.stderr);
        Self(cli)
    }

    async fn json(&self, words: &[&str]) -> Value {
        let done = self.0.run(words).await;
        assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap()
    }

    async fn refused(&self, words: &[&str], exit: Exit) -> Done {
        let done = self.0.run(words).await;
        assert_eq!(done.code, exit as i32, "{words:?}: {done:?}");
        done
    }
}

fn is_proven(checkout: &Checkout) -> bool {
    checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
}

#[tokio::test]
async fn two_break_glass_and_a_third_reviews_it_by_the_cli() {
    let house = House::start().await;
    add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let gil = Somebody::with(&house, "gil", Role::BreakGlass).await;
    let gus = Somebody::with(&house, "gus", Role::BreakGlass).await;
    let rita = Somebody::with(&house, "rita", Role::Approver).await;
    let tina = Somebody::logged_in(&house, &house.vault.people.technician).await;
    let take = ["checkout", "acme/db01/app", "--for", "30m", "--reason", "an outage", "--show"];

    // Asleep it gives nothing, and one alone wakes nothing.
    gil.refused(&take, Exit::Forbidden).await;
    let asked = gil.0.run(&["break-glass", "open", "acme", "--for", "2h", "--reason", "the domain is down"]).await;
    assert!(asked.stderr.contains("claviger break-glass agree bg_"), "{asked:?}");
    let asked: Value = serde_json::from_str(&asked.stdout).unwrap();
    let id = asked["id"].as_str().unwrap();
    assert_eq!((asked["state"].as_str(), asked["needed"].as_u64()), (Some("asked"), Some(1)));
    let agree = ["break-glass", "agree", id, "--comment", "I see it, too"];
    gil.refused(&agree, Exit::Forbidden).await;
    gil.refused(&take, Exit::Forbidden).await;
    tina.refused(&agree, Exit::Forbidden).await;

    // Another agrees; everybody who works there sees it.
    let open = gus.json(&agree).await;
    assert_eq!((open["state"].as_str(), open["opener"].as_str()), (Some("open"), Some("gil")));
    gus.refused(&take, Exit::Forbidden).await;
    let status = tina.refused(&["status"], Exit::Forbidden).await;
    assert!(status.stderr.contains("Break-glass at acme is open for gil until"), "{status:?}");
    let access = house.vault.administrator().access().show(&"acme/db01/app".parse().unwrap()).await.unwrap();
    let lines = access.grants.iter().filter(|line| line.grant.role == Role::BreakGlass);
    let lines: Vec<(&str, bool)> =
        lines.map(|line| (line.grant.principal.as_str(), line.grant.break_glass.is_some())).collect();
    assert_eq!(lines, [("gil", false), ("gus", false), ("gil", true)], "asleep and open");
    let revealed = gil.json(&take).await;
    assert_eq!(revealed["checkout"]["break_glass"], id);
    let secret = revealed["secret"].as_str().unwrap();
    assert!(house.postgres.can_login("app", secret).await);

    // It is closed, and what was seen is dead.
    let closed = gus.json(&["break-glass", "close", id]).await;
    assert_eq!((closed["state"].as_str(), closed["closed_by"].as_str()), (Some("in_review"), Some("gus")));
    assert_eq!(closed["checkouts"][0], revealed["checkout"]["id"]);
    gil.refused(&take, Exit::Forbidden).await;
    let administrator = house.vault.administrator();
    let held =
        administrator.checkouts().show(revealed["checkout"]["id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    assert_eq!((held.state, held.end_cause), (CheckoutState::Ended, Some(EndCause::Revoked)));
    checkout_until(&administrator, &held, "is proven", SOON, is_proven).await;
    assert!(!house.postgres.can_login("app", secret).await, "what was seen is dead");

    // The review is closed by somebody who had no part in it.
    let verdict = ["break-glass", "review", id, "--verdict", "rightly used"];
    gil.refused(&verdict, Exit::Forbidden).await;
    let status = tina.refused(&["status"], Exit::Forbidden).await;
    assert!(status.stderr.contains("waits for its review"), "{status:?}");
    let listed = rita.json(&["break-glass", "list", "--customer", "acme"]).await;
    assert_eq!(listed[0]["id"], id);
    let done = rita.json(&verdict).await;
    assert_eq!((done["state"].as_str(), done["verdict"].as_str()), (Some("reviewed"), Some("rightly used")));
    assert_eq!(rita.json(&["break-glass", "list"]).await, Value::Array(Vec::new()), "there is nothing left to do");
    assert_eq!(rita.json(&["break-glass", "list", "--closed"]).await[0]["reviewed_by"], "rita");
    rita.refused(&verdict, Exit::Conflict).await;

    // Both logs tell it, loudly.
    for customer in [Some("acme".to_owned()), None] {
        let query = AuditQuery { kind: Some("break_glass.".to_owned()), customer, ..AuditQuery::default() };
        let mut kinds: Vec<String> =
            administrator.audit().events(query).all().await.unwrap().into_iter().map(|event| event.kind).collect();
        kinds.sort();
        let all = ["agreed", "asked", "closed", "ended", "opened", "reviewed"];
        assert_eq!(kinds, all.map(|kind| format!("break_glass.{kind}")));
    }
}

#[tokio::test]
async fn what_is_unresolved_is_revealed_in_the_order_to_try_it() {
    let house = House::start().await;
    let administrator = house.vault.administrator();
    let account = add_role(&administrator, &house.postgres, "acme/db01/app").await;
    let gil = Somebody::with(&house, "gil", Role::BreakGlass).await;
    let gus = Somebody::with(&house, "gus", Role::BreakGlass).await;
    let held = house.vault.technician().checkouts().hold(&wanted(&account, 600)).await.unwrap();
    let before = held.reveal().await.unwrap().secret.into_secret();
    held.checkin().await.unwrap();
    claviger_tests::inventory::available(&house.vault.technician(), &account, SOON).await;

    // Somebody changes the password by hand, and nobody else may: the next rotation does not find out what opens it.
    let nobody = SystemChange { management_account: Some(part("nobody")), ..SystemChange::default() };
    administrator.systems(&part("acme")).set(&part("db01"), &nobody).await.unwrap();
    let by_hand = random_text();
    house.postgres.run_sql(&format!("ALTER ROLE app PASSWORD '{by_hand}'")).await;
    let rotate = NewRotation { account: Some(account.clone()), ..NewRotation::default() };
    let rotation = house.vault.technician().rotations().start(&rotate).await.unwrap().rotations.remove(0).id;
    until("the rotation is unresolved", SOON, async || {
        administrator.rotations().show(rotation).await.unwrap().unresolved.then_some(())
    })
    .await;

    let reveal = ["break-glass", "reveal", "acme/db01/app", "--reason", "to try by hand", "--show"];
    gil.refused(&reveal, Exit::Forbidden).await;
    let asked = gil.json(&["break-glass", "open", "acme/db01", "--reason", "the database is down"]).await;
    let id = asked["id"].as_str().unwrap();
    gus.json(&["break-glass", "agree", id, "--comment", "yes"]).await;
    gil.refused(&reveal[..5], Exit::Usage).await;
    let shown = gil.json(&reveal).await;
    let candidates = shown["candidates"].as_array().unwrap();
    let known: Vec<&str> = candidates.iter().map(|one| one["known"].as_str().unwrap()).collect();
    assert_eq!(known.iter().rev().take(2).rev().copied().collect::<Vec<_>>(), ["current", "previous"], "{known:?}");
    assert!(candidates.iter().any(|one| one["secret"] == before.expose()), "what opened it once is among them");
    assert_eq!(shown["checkout"]["break_glass"], id);
    assert_eq!(gil.json(&reveal).await["checkout"]["id"], shown["checkout"]["id"]);
    let closed = gil.json(&["break-glass", "close", id]).await;
    assert_eq!(closed["state"], "in_review");
    gil.refused(&reveal, Exit::Forbidden).await;
    assert!(!house.vault.log().contains(before.expose()));
}

/// The server dies in the moment in which it is closed: it is closed, and what was taken under it ends.
#[tokio::test]
async fn a_server_that_dies_while_it_is_closed_ends_what_was_taken_under_it() {
    let launch = Launch { crash: Some("after:break_glass.closed".to_owned()), ..Launch::default() };
    let mut house = House::start_with(&launch).await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let people = &house.vault.people.administrator;
    let address = house.vault.address().to_owned();
    let role = Some((Role::BreakGlass, "acme"));
    let (gil, gus) = (people.adds_user(&address, "gil", role).await, people.adds_user(&address, "gus", role).await);
    let new = NewBreakGlass { scope: "acme".parse().unwrap(), reason: "down".to_owned(), ttl_seconds: Some(3600) };
    let id = gil.client(&address).break_glass().open(&new).await.unwrap().id;
    let yes = WithComment { comment: "yes".to_owned() };
    gus.client(&address).break_glass().agree(id, &yes).await.unwrap();
    let held = gil.client(&address).checkouts().create(&wanted(&account, 600)).await.unwrap();
    let secret = gil.client(&address).checkouts().reveal(held.id).await.unwrap().secret.into_secret();
    assert!(house.postgres.can_login("app", secret.expose()).await);

    assert!(gus.client(&address).break_glass().close(id).await.is_err(), "nobody was told");
    until("the crash", SOON, async || house.vault.has_ended().then_some(())).await;
    house.vault.restart().await;
    let gil = gil.client(house.vault.address());
    assert!(gil.checkouts().reveal(held.id).await.is_err(), "it gives nothing any more");
    let administrator = house.vault.administrator();
    checkout_until(&administrator, &held, "is proven", SOON, is_proven).await;
    assert!(!house.postgres.can_login("app", secret.expose()).await, "what was seen is dead");
    let glass = until("the glass waits for its review", SOON, async || {
        let glass = administrator.break_glass().show(id).await.unwrap();
        (glass.state == BreakGlassState::InReview).then_some(glass)
    });
    assert_eq!(glass.await.closed_by.as_ref().map(ToString::to_string).as_deref(), Some("gus"));
}
