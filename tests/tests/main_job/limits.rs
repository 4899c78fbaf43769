//! `claviger customer limit`: a customer's own administrator says what binds everybody who works there.

use claviger_api::wire::Role;
use claviger_client::Exit;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::add_role;

use super::House;

#[tokio::test]
async fn a_customers_own_administrator_sets_limits_by_the_cli_and_nobody_else_lifts_them() {
    let house = House::start().await;
    let (address, ada) = (house.vault.address(), &house.vault.people.administrator);
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await.to_string();
    let role = Some((Role::CustomerAdministrator, "acme"));
    let cara = ada.adds_user_of(address, "cara", Some("acme"), role).await.terminal(address).await;
    let ada = (ada.terminal(address).await, ada.adds_program(address, "robot", Role::Automation, "acme").await);
    let (ada, robot) = (ada.0, Cli::at(address).with("CLAVIGER_TOKEN", ada.1.expose()));
    let take = async |words: &[&str]| {
        let done = robot.run(&[&["checkout", &account, "--reason", "x"], words].concat()).await;
        if done.code == 0 {
            let id = done.json()["id"].as_str().unwrap().to_owned();
            assert_eq!(robot.run(&["checkin", &id]).await.code, 0);
        }
        done
    };
    assert_eq!(take(&["--for", "30m"]).await.code, 0);

    let set =
        ["customer", "limit", "acme", "--max-checkout", "10m", "--ticket", "INC-[0-9]+", "--network", "127.0.0.0/8"];
    let limited = cara.run(&set).await.json();
    assert_eq!(limited["limits"]["max_checkout_seconds"], 600);
    assert_eq!(limited["limits"]["conditions"]["ticket"], "INC-[0-9]+");
    let unticketed = take(&["--for", "10m"]).await;
    assert_eq!(unticketed.code, Exit::Usage as i32, "{unticketed:?}");
    assert!(unticketed.stderr.contains("The customer wants a ticket of the form INC-[0-9]+"), "{}", unticketed.stderr);
    let long = take(&["--for", "30m", "--ticket", "INC-7"]).await;
    assert_ne!(long.code, 0);
    assert!(long.stderr.contains("600"), "{}", long.stderr);
    assert_eq!(take(&["--for", "10m", "--ticket", "INC-7"]).await.code, 0);

    // Everybody may see them; of the MSP nobody lifts them.
    assert_eq!(ada.run(&["customer", "show", "acme"]).await.json()["limits"], limited["limits"]);
    let lifted = ada.run(&["customer", "limit", "acme"]).await;
    assert_eq!(lifted.code, Exit::Forbidden as i32, "{lifted:?}");
    let shown = ada.run(&["access", "show", &account, "--output", "table"]).await;
    assert!(shown.stderr.contains("acme wants of everybody besides: checkouts of 600 s at most"), "{}", shown.stderr);

    // What is not named is not limited any more. What cannot be is refused and changes nothing.
    for (words, exit) in [
        (vec!["--max-checkout", "1s"], Exit::Usage),
        (vec!["--approvals", "4"], Exit::Usage),
        (vec!["--by-customer"], Exit::Usage),
        (vec!["--hours", "always"], Exit::Usage),
    ] {
        let done = cara.run(&[&["customer", "limit", "acme"], words.as_slice()].concat()).await;
        assert_eq!(done.code, exit as i32, "{words:?}: {done:?}");
    }
    assert_eq!(cara.run(&["customer", "show", "acme"]).await.json()["limits"], limited["limits"]);
    let approved = cara.run(&["customer", "limit", "acme", "--approvals", "1", "--by-customer"]).await.json();
    assert_eq!(approved["limits"]["conditions"]["approvals"]["by_customer"], true);
    assert_eq!(approved["limits"]["max_checkout_seconds"], serde_json::Value::Null);
    assert_eq!(take(&["--for", "30m"]).await.code, Exit::ApprovalNeeded as i32);
    assert_eq!(cara.run(&["customer", "limit", "acme"]).await.json()["limits"], serde_json::Value::Null);
}
