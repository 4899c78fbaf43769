//! A store on which somebody laid hands while its server was down.

use claviger_store::{Batch, Range, Row, StoreKey, Table};
use claviger_tests::inventory::add_role;
use claviger_tests::people::unseal;
use claviger_tests::server::Launch;

use super::House;

/// The rows of a table, as whoever has the disk sees them.
async fn rows(house: &House, table: Table) -> Vec<(StoreKey, Row)> {
    let store = house.vault.store().await;
    store.scan(&Range::table(table)).await.unwrap()
}

async fn write(house: &House, batch: Batch) {
    let store = house.vault.store().await;
    store.commit(batch).await.unwrap();
}

#[tokio::test]
async fn anvil_tamper_a_store_that_was_changed_behind_the_server_is_found_by_name() {
    let mut house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let clean = ada.run(&["operator", "scrub"]).await;
    assert_eq!((clean.code, clean.json()["outcome"].as_str()), (0, Some("clean")), "{clean:?}");

    // Somebody keeps the rows of accounts' states, and puts them back after the account was checked out.
    house.vault.stop().await;
    let before = rows(&house, Table::AccountStates).await;
    house.vault.restart().await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let words = ["checkout", &account.to_string(), "--for", "10m", "--reason", "a look", "--show"];
    assert_eq!(tina.run(&words).await.code, 0);
    house.vault.stop().await;
    write(&house, Batch { put: before, ..Batch::default() }).await;

    // It opens as well as ever, and is found by the scrub that follows the unsealing.
    house.vault.start_again(&Launch::default()).await;
    unseal(house.vault.address(), &house.vault.people.share).await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let found = ada.run(&["operator", "scrub"]).await;
    assert_eq!(found.code, 1, "{found:?}");
    let told: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let faults = told["faults"].as_array().unwrap();
    assert_eq!(faults.len(), 1, "{told}");
    assert_eq!((&faults[0]["customer"], &faults[0]["kind"]), (&"acme".into(), &"rows_differ".into()));
    let again = ada.run(&["operator", "scrub", "--last", "--output", "table"]).await;
    assert!(
        again.code == 1 && again.stdout.contains("rows_differ") && again.stderr.contains("not as they should be"),
        "{again:?}"
    );
    assert_eq!(ada.run(&["status"]).await.json()["store_faults"], 1);
    let log = ada.run(&["audit", "log", "--customer", "acme", "--kind", "store.freshness_broken"]).await;
    assert!(log.json().as_array().is_some_and(|told| !told.is_empty()), "the customer's own log says so: {log:?}");
    house.vault.stop().await;
}
