//! The log as it grows, to whoever may watch it and no longer.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditQuery, Role};
use claviger_client::Follow;
use claviger_tests::audit::events;
use claviger_tests::inventory::{add_role, wanted};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::{House, SOON};

fn of_acme(kind: &str) -> AuditQuery {
    AuditQuery { customer: Some("acme".to_owned()), kind: Some(kind.to_owned()), ..AuditQuery::default() }
}

async fn kinds(following: &mut Follow, how_many: usize) -> Vec<String> {
    let mut kinds = Vec::new();
    for _ in 0..how_many {
        kinds.push(timeout(SOON, following.next()).await.expect("in time").expect("an event").kind);
    }
    kinds
}

#[tokio::test]
async fn what_happens_is_seen_as_it_happens_even_over_a_restart() {
    let mut house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let (ada, tina) = (house.vault.administrator(), house.vault.technician());
    let mut following = ada.audit().follow(of_acme("checkout."), None);
    following.begin().await.unwrap();
    let held = tina.checkouts().create(&wanted(&account, 600)).await.unwrap();
    assert_eq!(kinds(&mut following, 1).await, ["checkout.activated"]);

    // The server goes at once, though somebody watches; what happens meanwhile is not missed by whoever comes back.
    let begun = Instant::now();
    house.vault.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "whoever watches holds nothing up");
    house.vault.restart().await;
    house.vault.technician().checkouts().reveal(held.id).await.unwrap();
    house.vault.technician().checkouts().checkin(held.id).await.unwrap();
    let activated = events(&house.vault.administrator(), "acme").await;
    let seen = activated.iter().rfind(|event| event.kind == "checkout.activated").map(|event| event.index);
    let mut following = house.vault.administrator().audit().follow(of_acme("checkout."), seen);
    let expected = ["checkout.revealed", "checkout.ended", "checkout.revocation_proven"];
    assert_eq!(kinds(&mut following, 3).await, expected);
}

/// Not the token's end counts, nor the next request: within a moment nothing more is heard.
#[tokio::test]
async fn whoever_may_see_no_more_hears_no_more() {
    let house = House::start().await;
    let (vault, root) = (&house.vault, &house.vault.people.administrator);
    let olga =
        root.adds_user(vault.address(), "olga", Some((Role::Auditor, "acme"))).await.patient_client(vault.address());
    let mut following = olga.audit().follow(of_acme("customer."), None);
    following.begin().await.unwrap();
    let grant = vault.administrator().grants().list(Some(&"olga".parse().unwrap())).all().await.unwrap().remove(0);
    vault.administrator().grants().remove(grant.id).await.unwrap();
    let heard = timeout(SOON, following.next()).await.expect("it ends");
    assert_eq!(heard.err().and_then(|error| error.problem_type()), Some(ProblemType::NotFound));
    let past = AuditQuery { until: Some("2026-01-01T00:00:00Z".parse().unwrap()), ..of_acme("customer.") };
    let refused = vault.administrator().audit().follow(past, None).begin().await;
    assert_eq!(refused.err().and_then(|error| error.problem_type()), Some(ProblemType::InvalidValue));
}

#[tokio::test]
async fn the_command_line_goes_on_with_what_comes() {
    let house = House::start().await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let words = ["audit", "log", "--customer", "acme", "--kind", "account.added", "--follow", "--limit", "1"];
    add_role(&house.vault.administrator(), &house.postgres, "acme/db01/before").await;
    let mut watching = ada.command(&words).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut line = async || -> Value {
        let line = timeout(SOON, lines.next_line()).await.expect("in time").unwrap().expect("a line");
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(line().await["fields"]["account"], "acme/db01/before");
    add_role(&house.vault.administrator(), &house.postgres, "acme/db01/after").await;
    assert_eq!(line().await["fields"]["account"], "acme/db01/after");
}

/// By what an auditor has in hand: a ticket, a word, a person; and as a spreadsheet.
#[tokio::test]
async fn the_command_line_finds_events_by_what_an_auditor_knows() {
    let house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await.to_string();
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let words = ["checkout", &account, "--for", "10m", "--reason", "=cmd disk full", "--ticket", "INC-4711", "--show"];
    assert_eq!(tina.run(&words).await.code, 0);
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let log = async |more: &[&str]| {
        let done = ada.run(&[&["audit", "log", "--customer", "acme"], more].concat()).await;
        assert_eq!(done.code, 0, "{done:?}");
        done.stdout
    };
    for more in [["--ticket", "inc-4711"], ["--text", "disk FULL"], ["--principal", "tina"], ["--system", "db01"]] {
        let found: Value = serde_json::from_str(&log(&more).await).unwrap();
        let kinds: Vec<&str> = found.as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
        assert!(kinds.contains(&"checkout.activated"), "{more:?}: {found}");
    }
    let sheet = log(&["--ticket", "INC-4711", "--output", "csv"]).await;
    assert!(sheet.starts_with("index,time,kind,"), "{sheet}");
    assert!(sheet.contains(",'=cmd disk full,"), "no cell is a formula: {sheet}");
    let wrong = ada.run(&["audit", "log", "--customer", "acme", "--kind", "checkout.reveal"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("checkout.revealed"), "it says what to write: {wrong:?}");
}

/// What the advisory's report says was found can be asked for again, by the very command that it names.
#[tokio::test]
async fn each_line_of_the_advisory_says_how_to_ask_again() {
    let house = House::start().await;
    add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let report = ada.run(&["report", "advisory", "--operator"]).await.json();
    let rows = report["rows"].as_array().unwrap();
    let queries: BTreeSet<&str> = rows.iter().filter_map(|row| row["query"].as_str()).collect();
    assert!(queries.len() > 10, "{queries:?}");
    for query in queries {
        let Some(words) = query.strip_prefix("claviger ") else { continue };
        let done = ada.run(&words.split(' ').collect::<Vec<_>>()).await;
        assert_eq!(done.code, 0, "{query}: {done:?}");
    }
    let folder = tempfile::TempDir::new().unwrap();
    let page = folder.path().join("page.html").to_str().unwrap().to_owned();
    let written = ada.run(&["report", "advisory", "--customer", "acme", "--page", &page]).await;
    assert_eq!(written.code, 0, "{written:?}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("Recommendations of AA22-131A"));
    assert_eq!(
        ada.run(&["report", "mfa", "--customer", "acme", "--page", &page]).await.code,
        1,
        "nothing is overwritten"
    );
}
