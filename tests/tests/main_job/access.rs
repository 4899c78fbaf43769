//! `claviger access what-if` and `inactive`, as an administrator runs them.

use claviger_api::wire::Role;
use claviger_client::Exit;
use claviger_tests::cli::{Cli, Done};
use claviger_tests::in_process::InProcess;
use claviger_tests::inventory::add_role;
use claviger_tests::people::TECHNICIAN;
use serde_json::Value;

use super::House;

const DAY_SECONDS: i64 = 86_400;

fn items(done: &Done) -> Vec<(String, String, String)> {
    let answer = done.json();
    let text = |row: &Value, field: &str| row.get(field).and_then(Value::as_str).unwrap().to_owned();
    let rows = answer.get("items").and_then(Value::as_array).unwrap().iter();
    rows.map(|row| (text(row, "principal"), text(row, "action"), text(row, "after"))).collect()
}

fn row(principal: &str, action: &str, after: &str) -> (String, String, String) {
    (principal.to_owned(), action.to_owned(), after.to_owned())
}

#[tokio::test]
async fn a_change_is_put_to_what_was_done_before_it_is_made() {
    let house = House::start().await;
    let (address, ada) = (house.vault.address(), &house.vault.people.administrator);
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await.to_string();
    let token = ada.adds_program(address, "robot", Role::Automation, "acme").await;
    let robot = Cli::at(address).with("CLAVIGER_TOKEN", token.expose());
    let held = robot.run(&["checkout", &account, "--reason", "patch day", "--ticket", "T-7", "--for", "1h"]).await;
    let id = held.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(robot.run(&["reveal", &id, "--show"]).await.code, 0);
    // Not its to change: refused, and told in the log.
    let refused = robot.run(&["account", "set", &account, "--max-holders", "2"]).await;
    assert_eq!(refused.code, Exit::Forbidden as i32, "{refused:?}");

    let cli = ada.terminal(address).await;
    let told = cli.run(&["audit", "log", "--customer", "acme", "--kind", "access.denied"]).await.json();
    assert_eq!(
        (&told[0]["fields"]["action"], &told[0]["fields"]["account"]),
        (&"account.update".into(), &Value::from(&*account))
    );
    let grants = cli.run(&["grant", "list", "--principal", "robot"]).await.json();
    let grant = grants[0]["id"].as_str().unwrap();
    let what_if =
        async |change: &[&str]| cli.run(&[&["access", "what-if", "--customer", "acme"], change].concat()).await;

    let ended = what_if(&["--end", grant]).await;
    assert_eq!(items(&ended), [row("robot", "checkout.reveal", "refused"), row("robot", "checkout.create", "refused")]);
    let answer = ended.json();
    assert_eq!((&answer["replayed"], &answer["unknown"]), (&3.into(), &0.into()));
    let (first, last) = (&answer["items"][0], &answer["items"][1]);
    assert_eq!((&first["scope"], &first["reason"]), (&Value::from(&*account), &"patch day".into()));
    assert_eq!((&last["ticket"], &last["before"]), (&"T-7".into(), &"allowed".into()));
    assert_eq!(last["source"], "127.0.0.1");

    // A grant with other terms, one more grant, other limits.
    let terms = what_if(&["--terms-of", grant, "--ticket", "INC-[0-9]+"]).await;
    assert_eq!(items(&terms), [row("robot", "checkout.create", "refused")]);
    assert_eq!(terms.json()["items"][0]["why"], "The grant to be added wants a ticket of the form INC-[0-9]+.");
    let same = what_if(&["--terms-of", grant, "--ticket", "T-[0-9]+", "--network", "127.0.0.0/8"]).await;
    assert_eq!(items(&same), []);
    let more = what_if(&["--add", "robot", "--role", "administrator", "--scope", "acme/db01"]).await;
    assert_eq!(items(&more), [row("robot", "account.update", "allowed")]);
    let limits = what_if(&["--limits", "--approvals", "1"]).await;
    assert_eq!(items(&limits)[0], row("robot", "checkout.create", "needs_approval"));
    let shorter = what_if(&["--limits", "--max-checkout", "30m"]).await;
    assert_eq!(items(&shorter), [row("robot", "checkout.create", "shortened")]);

    // For people: a table, and what was looked at.
    let table = what_if(&["--end", grant, "--output", "table"]).await;
    assert!(table.stdout.starts_with("TIME") && table.stdout.contains("No grant would give it."), "{}", table.stdout);
    assert!(
        table.stderr.contains("Of 3 decisions since") && table.stderr.contains("2 would come out"),
        "{}",
        table.stderr
    );
    let nothing = what_if(&["--limits", "--output", "table"]).await;
    assert_eq!((nothing.stdout.as_str(), nothing.code), ("", 0));

    // Nothing was changed.
    assert_eq!(cli.run(&["grant", "list", "--principal", "robot"]).await.json(), grants);
    assert_eq!(robot.run(&["reveal", &id, "--show"]).await.code, 0);

    for (words, exit) in [
        (vec!["access", "what-if", "--customer", "acme"], Exit::Usage),
        (vec!["access", "what-if", "--end", grant], Exit::Usage),
        (vec!["access", "what-if", "--operator", "--limits"], Exit::Usage),
        (vec!["access", "what-if", "--customer", "acme", "--end", grant, "--ticket", "x"], Exit::Usage),
        (vec!["access", "what-if", "--customer", "nobody", "--end", grant], Exit::NotFound),
        (
            vec!["access", "what-if", "--customer", "acme", "--end", "gr_0197a3c2e1f07b1a8c3d4e5f60718293"],
            Exit::NotFound,
        ),
    ] {
        let done = cli.run(&words).await;
        assert_eq!(done.code, exit as i32, "{words:?}: {done:?}");
    }
    let by_robot = robot.run(&["access", "what-if", "--customer", "acme", "--end", grant]).await;
    assert_eq!(by_robot.code, Exit::Forbidden as i32, "{by_robot:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_not_used_is_listed_by_the_cli() {
    let vault = InProcess::start().await;
    let (address, ada) = (vault.address(), &vault.people.administrator);
    let kim = ada.adds_user(&address, "kim", None).await;
    ada.grants_for(&address, &kim.name, Role::Auditor, "*", 100 * 86_400).await;
    vault.advance_seconds(46 * DAY_SECONDS);
    let cli = ada.terminal(&address).await;
    let inactive = async |words: &[&str]| cli.run(&[&["access", "inactive"], words].concat()).await;
    let names = |done: &Done| {
        let rows = done.json();
        let mut names: Vec<String> =
            rows.as_array().unwrap().iter().map(|row| row["principal"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };

    let listed = inactive(&["--days", "45"]).await;
    assert_eq!(names(&listed), ["kim", TECHNICIAN], "ada is here");
    let rows = listed.json();
    let kims = rows.as_array().unwrap().iter().find(|row| row["principal"]["name"] == "kim").unwrap();
    assert_eq!((&kims["unused_days"], &kims["grants"][0]["role"]), (&46.into(), &"auditor".into()));
    assert_eq!(names(&inactive(&[]).await).len(), 2, "30 days, if nobody says");
    assert_eq!(names(&inactive(&["--days", "47"]).await), Vec::<String>::new());
    assert_eq!(names(&inactive(&["--days", "45", "--limit", "1"]).await).len(), 1);
    let table = inactive(&["--days", "45", "--output", "table"]).await;
    assert!(table.stdout.contains("auditor at *") && table.stdout.contains("46"), "{}", table.stdout);
    assert_eq!(inactive(&["--days", "0"]).await.code, Exit::Usage as i32);

    // Whoever comes in again is used from then on; who may not list people is told nothing.
    let tina = vault.people.technician.terminal(&address).await;
    assert_eq!(names(&inactive(&["--days", "45"]).await), ["kim"]);
    let refused = tina.run(&["access", "inactive"]).await;
    assert_eq!(refused.code, Exit::Forbidden as i32, "{refused:?}");
    vault.stop().await;
}
