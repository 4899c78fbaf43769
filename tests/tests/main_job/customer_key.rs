//! Another key for a customer, while people and rotations go on and the server is killed in the midst of it.

use std::time::Duration;

use claviger_tests::inventory::add_role;
use claviger_tests::poll::until;
use serde_json::Value;

use super::House;

/// The old key waits 10 s for the last look, and a little for a busy machine.
const SOON: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_customers_key_is_replaced_while_it_is_served_and_over_a_kill() {
    let mut house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await.to_string();
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let words = ["checkout", &account, "--for", "10m", "--reason", "a look", "--show"];
    let (rotate, show) =
        (["operator", "rotate-key", "--customer", "acme"], ["operator", "rotate-key", "--customer", "acme", "--show"]);
    let none = ada.run(&show).await;
    assert!(none.code == 0 && none.stdout.is_empty(), "none yet: {none:?}");
    assert_eq!(tina.run(&show).await.code, 4);
    assert_eq!(tina.run(&rotate).await.code, 4, "not for everybody");
    assert_eq!(ada.run(&["operator", "rotate-key", "--customer", "nobody"]).await.code, 5);
    let before = tina.run(&words).await;
    assert_eq!(before.code, 0, "{before:?}");

    let begun = ada.run(&rotate).await;
    assert_eq!((begun.code, begun.json()["customer"].as_str()), (0, Some("acme")), "{begun:?}");
    let again = ada.run(&rotate).await;
    assert_eq!(again.json()["begun_at"], begun.json()["begun_at"], "asked again it is the same: {again:?}");
    assert_eq!(ada.run(&["status"]).await.json()["key_rotations"], 1);
    // What is held is given back, rotated and taken again under the new key.
    let id = before.json()["checkout"]["id"].as_str().map_or_else(|| before.json()["id"].clone(), Value::from);
    let given_back = tina.run(&["checkin", id.as_str().unwrap()]).await;
    assert_eq!(given_back.code, 0, "{given_back:?}");

    house.vault.kill().await;
    house.vault.restart().await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let shown = until("the account is free", SOON, async || {
        let shown = tina.run(&words).await;
        (shown.code == 0).then_some(shown)
    })
    .await;
    assert!(house.postgres.can_login("app", shown.json()["secret"].as_str().unwrap()).await, "{shown:?}");
    let ended = ada.run(&["operator", "rotate-key", "--customer", "acme", "--wait"]).await;
    let ended = ended.json();
    assert_eq!(ended["state"], "ended", "{ended}");
    assert!(ended["rows"].as_u64().unwrap() > 20 && ended["rows"] == ended["rows_done"], "{ended}");

    // The log tells of it, and is whole; so is the store.
    for log in [["--customer", "acme"].as_slice(), &["--operator"]] {
        for kind in ["customer.key_rotating", "customer.key_switched", "customer.key_rotated"] {
            let told = ada.run(&[["audit", "log", "--kind", kind, "--output", "json"].as_slice(), log].concat()).await;
            assert!(!told.json().as_array().unwrap().is_empty(), "{kind}: {told:?}");
        }
    }
    let clean = ada.run(&["operator", "scrub"]).await;
    assert_eq!((clean.code, clean.json()["outcome"].as_str()), (0, Some("clean")), "{clean:?}");
    house.vault.kill().await;
    house.vault.restart().await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let held = tina.run(&["account", "show", &account]).await;
    assert_eq!(held.code, 0, "{held:?}");
    house.vault.stop().await;
}
