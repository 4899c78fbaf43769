//! `claviger review`: who reaches a customer, confirmed or cut by two administrators, who do not confirm themselves.

use claviger_api::wire::Role;
use claviger_client::Exit;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::add_role;
use claviger_tests::people::ADMINISTRATOR;
use serde_json::Value;

use super::House;

#[tokio::test]
async fn a_review_by_the_cli_confirms_cuts_and_closes_once_all_is_decided() {
    let house = House::start().await;
    let (address, ada_herself) = (house.vault.address(), &house.vault.people.administrator);
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await.to_string();
    let token = ada_herself.adds_program(address, "robot", Role::Automation, "acme").await;
    let robot = Cli::at(address).with("CLAVIGER_TOKEN", token.expose());
    let bea = ada_herself.adds_user(address, "bea", Some((Role::Administrator, "*"))).await.terminal(address).await;
    let ada = ada_herself.terminal(address).await;
    let lines_of = async |who: &str| -> Vec<String> {
        let lines = ada.run(&["review", "show", "acme"]).await.json();
        let of = |line: &&Value| line["grant"]["principal"] == who && line["verdict"].is_null();
        let id = |line: &Value| line["grant"]["id"].as_str().unwrap().to_owned();
        lines.as_array().unwrap().iter().filter(of).map(id).collect()
    };
    let decide = async |cli: &Cli, verb: &[&str], grants: &[String]| {
        let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
        cli.run(&[&["review"], verb, &grants].concat()).await
    };

    let none = ada.run(&["review", "show", "acme"]).await;
    assert_eq!(none.code, Exit::NotFound as i32, "{none:?}");
    assert!(none.stderr.contains("claviger review start"), "{}", none.stderr);
    assert_eq!(robot.run(&["review", "start", "acme"]).await.code, Exit::Forbidden as i32);
    assert_eq!(ada.run(&["review", "start", "acme", "--for", "1m"]).await.code, Exit::Usage as i32);
    let started = ada.run(&["review", "start", "acme", "--for", "14d"]).await.json();
    let lines = started["counts"]["lines"].as_u64().unwrap();
    assert_eq!(started["counts"]["undecided"], lines);
    assert_eq!(ada.run(&["review", "start", "acme"]).await.code, Exit::Conflict as i32, "one at a time");
    assert_eq!(ada.run(&["status"]).await.json()["open_reviews"], 1);

    // Nothing is closed over what nobody has looked at.
    let early = ada.run(&["review", "close", "acme"]).await;
    assert_eq!(early.code, Exit::Conflict as i32, "{early:?}");
    assert!(early.stderr.contains("not decided"), "{}", early.stderr);
    let own = lines_of(ADMINISTRATOR).await;
    assert_eq!(decide(&ada, &["confirm", "acme"], &own).await.code, Exit::Forbidden as i32, "her own");
    assert_eq!(lines_of(ADMINISTRATOR).await, own);
    assert_eq!(decide(&bea, &["confirm", "acme"], &own).await.code, 0);
    assert_eq!(decide(&ada, &["confirm", "acme"], &lines_of("bea").await).await.code, 0);
    assert_eq!(decide(&ada, &["confirm", "acme"], &lines_of("tina").await).await.code, 0);
    assert_eq!(ada.run(&["review", "close", "acme"]).await.code, Exit::Conflict as i32, "one is left");

    // Cut, it ends at once.
    let take = ["checkout", &account, "--reason", "patch day", "--for", "10m"];
    let held = robot.run(&take).await.json();
    assert_eq!(robot.run(&["checkin", held["id"].as_str().unwrap()]).await.code, 0);
    let robots = lines_of("robot").await;
    assert_eq!(decide(&bea, &["cut", "acme"], &robots).await.code, Exit::Usage as i32, "without a reason");
    let cut = decide(&bea, &["cut", "acme", "--reason", "not used any more"], &robots).await.json();
    assert_eq!((&cut[0]["verdict"], &cut[0]["ended"]), (&"cut".into(), &true.into()));
    assert_eq!(robot.run(&take).await.code, Exit::NotFound as i32, "it sees nothing there any more");

    let closed = bea.run(&["review", "close", "acme"]).await.json();
    assert_eq!((&closed["closed_by"], &closed["counts"]["cut"]), (&"bea".into(), &1.into()));
    assert_eq!((&closed["counts"]["confirmed"], &closed["counts"]["undecided"]), (&(lines - 1).into(), &0.into()));
    assert_eq!(ada.run(&["review", "list"]).await.json(), Value::Array(vec![]));
    let listed = ada.run(&["review", "list", "--closed", "--customer", "acme", "--output", "table"]).await;
    assert!(listed.stdout.contains("acme") && listed.stdout.contains("UNDECIDED"), "{}", listed.stdout);
    let id = closed["id"].as_str().unwrap();
    let shown = ada.run(&["review", "show", "acme", "--review", id]).await.json();
    assert_eq!(shown.as_array().unwrap().len() as u64, lines, "it stays readable");
    let told = ada.run(&["audit", "log", "--customer", "acme", "--kind", "review."]).await.json();
    assert_eq!(told.as_array().unwrap().len() as u64, lines + 2);
    assert_eq!(told[1]["fields"]["reason"], "not used any more");
}
