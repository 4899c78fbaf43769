//! What keeps a customer's secrets clean, by the command line: who has seen one, everything at once, a secret used twice,
//! and rotation by policy.

#![expect(clippy::indexing_slicing, reason = "answers as JSON")]

use std::fs;

use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_managed_role, add_role};
use claviger_tests::people::TECHNICIAN;
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;
use serde_json::Value;

use super::{House, SOON};

async fn ok(cli: &Cli, words: &[&str]) -> Value {
    let done = cli.run(words).await;
    assert_eq!(done.code, 0, "{words:?}: {done:?}");
    done.json()
}

async fn seen(cli: &Cli, account: &str) -> (String, String) {
    let held = ok(cli, &["checkout", account, "--for", "30m", "--reason", "a test", "--show"]).await;
    (held["checkout"]["id"].as_str().unwrap().to_owned(), held["secret"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_somebody_has_seen_is_listed_and_exactly_that_is_rotated() {
    let house = House::start().await;
    let administrator = house.vault.administrator();
    let (app, _other) = (
        add_role(&administrator, &house.postgres, "acme/db01/app").await,
        add_role(&administrator, &house.postgres, "acme/db01/other").await,
    );
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    ok(&ada, &["account", "set", "acme/db01/app", "--rotate-on-end", "false"]).await;
    let (id, secret) = seen(&tina, "acme/db01/app").await;
    ok(&tina, &["checkin", &id]).await;
    assert!(house.postgres.can_login("app", &secret).await, "it was set not to rotate");

    let listed = ok(&ada, &["exposure", "list", "--principal", TECHNICIAN, "--customer", "acme"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed[0]["account"], app.to_string(), "{listed}");
    let rotated = ok(&ada, &["rotate", "--exposed-to", TECHNICIAN, "--reason", "left the firm", "--wait=1m"]).await;
    assert_eq!(rotated["rotations"].as_array().unwrap().len(), 1, "and no other: {rotated}");
    assert!(!house.postgres.can_login("app", &secret).await);
    let listed = ok(&ada, &["exposure", "list", "--principal", TECHNICIAN]).await;
    assert_eq!(listed, Value::Array(Vec::new()), "nothing that works");
}

#[tokio::test]
async fn everything_of_a_customer_is_rotated_and_the_report_proves_itself() {
    let house = House::start().await;
    let administrator = house.vault.administrator();
    add_role(&administrator, &house.postgres, "acme/db01/app").await;
    add_managed_role(&administrator, &house.postgres, "acme/db01/managed").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let (_held, secret) = seen(&tina, "acme/db01/app").await;

    let plan = ok(&ada, &["rotate", "--customer", "acme", "--all", "--dry-run"]).await;
    assert_eq!((plan["steps"].as_array().unwrap().len(), &plan["checkouts"]), (3, &1.into()), "{plan}");
    assert!(house.postgres.can_login("app", &secret).await, "nothing was changed");
    assert_eq!(ada.run(&["rotate", "--customer", "acme", "--all"]).await.code, 2, "it wants a reason");

    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("report.jsonl").display().to_string();
    let words = ["rotate", "--customer", "acme", "--all", "--reason", "stolen laptop", "--report", &file];
    let done = ada.run(&words).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!house.postgres.can_login("app", &secret).await, "what was held is of no use");
    let listed = ok(&ada, &["emergency", "list", "acme"]).await;
    assert_eq!((&listed[0]["state"], &listed[0]["counts"]["rotated"]), (&"done".into(), &3.into()), "{listed}");

    // Offline: by somebody who has no vault.
    let auditor = Cli::at("http://127.0.0.1:1");
    let verified = auditor.run(&["emergency", "verify", &file]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.stderr.contains("name the one you know"), "the key was only found in it: {verified:?}");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"rotated\"", "\"skipped\"", 1)).unwrap();
    let refused = auditor.run(&["emergency", "verify", &file]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("NOT VERIFIED"), "{refused:?}");
}

#[tokio::test]
async fn a_secret_that_is_in_use_already_is_replaced_as_soon_as_it_is_imported() {
    let house = House::start().await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let shared = random_text();
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("accounts.csv");
    for name in ["one", "two"] {
        house.postgres.create_role(name, &shared).await;
    }
    fs::write(&file, format!("system,account,login,secret\ndb01,one,,{shared}\ndb01,two,,{shared}\n")).unwrap();
    ok(&ada, &["import", &file.display().to_string(), "--customer", "acme"]).await;
    until("the second one has another", SOON, async || (!house.postgres.can_login("two", &shared).await).then_some(()))
        .await;
    assert!(house.postgres.can_login("one", &shared).await, "which is the only one then, and is let be");
    until("no secret is used twice", SOON, async || {
        (ok(&ada, &["report", "reuse"]).await == Value::Array(Vec::new())).then_some(())
    })
    .await;
    let unused = ok(&ada, &["report", "unused", "--days", "30", "--customer", "acme"]).await;
    assert_eq!(unused, Value::Array(Vec::new()), "they are younger");
}

#[tokio::test]
async fn policies_are_set_where_they_hold_and_the_report_says_what_is_due() {
    let house = House::start().await;
    let administrator = house.vault.administrator();
    add_role(&administrator, &house.postgres, "acme/db01/app").await;
    add_role(&administrator, &house.postgres, "acme/db01/exempt").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let set = ["customer", "set", "acme", "--time-zone", "Europe/Vienna", "--rotate-every-days", "30"];
    ok(&ada, &[&set[..], &["--rotate-at-hour", "2", "--heartbeat-hours", "24"]].concat()).await;
    ok(&ada, &["account", "set", "acme/db01/exempt", "--rotate-every-days", "0"]).await;
    ok(&ada, &["system", "set", "acme/db01", "--on-drift", "reconcile"]).await;

    let report = ok(&ada, &["report", "rotation", "--customer", "acme"]).await;
    let of = |name: &str| {
        let path = format!("acme/db01/{name}");
        report.as_array().unwrap().iter().find(|row| row["account"] == path.as_str()).cloned().unwrap()
    };
    assert_eq!(
        (&of("app")["policy"]["every_days"], &of("app")["due_by"]),
        (&30.into(), &"scheduled".into()),
        "{report}"
    );
    assert!(of("app")["due_at"].is_string() && of("exempt")["due_at"].is_null(), "{report}");
    assert_eq!(of("exempt")["policy"]["on_drift"], "reconcile", "each value is the innermost's: {report}");
    assert_eq!(ok(&ada, &["report", "rotation", "--attention"]).await, Value::Array(Vec::new()));
    let wrong = ada.run(&["customer", "set", "acme", "--time-zone", "Vienna"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("Europe/Vienna"), "it says what one looks like: {wrong:?}");
}
