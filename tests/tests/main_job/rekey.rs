//! What opens the vault is changed while it serves, by those who hold the old keys and those who will hold the new ones.

use claviger_tests::cli::Cli;
use claviger_tests::server::Launch;

use super::House;

#[tokio::test]
async fn the_vault_is_opened_by_the_new_shares_and_no_more_by_the_old() {
    let mut house = House::start().await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let begun = ada.run(&["operator", "rekey", "begin", "--shares", "3", "--threshold", "2", "--output", "json"]).await;
    assert_eq!(begun.code, 0, "{begun:?}");
    let shares: Vec<String> = serde_json::from_value(begun.json()["shares"].clone()).unwrap();
    let id = begun.json()["rekey"]["id"].as_str().unwrap().to_owned();
    assert!(begun.stderr.contains(&format!("claviger operator rekey give {id}")), "it says what comes next: {begun:?}");
    let again = ada.run(&["operator", "rekey", "begin", "--shares", "1", "--threshold", "1"]).await;
    assert_eq!(again.code, 6, "{again:?}");

    // The holders sit elsewhere, and need no login.
    let (holder, old) = (Cli::at(house.vault.address()), house.vault.people.share.expose().to_owned());
    let give = ["operator", "rekey", "give", &id, "--stdin"];
    let wrong = holder.run_with(&give, "cvk1-nonsense").await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let half = holder.run_with(&give, &format!("{}\n{old}\n", shares[0])).await;
    assert_eq!(half.code, 0, "{half:?}");
    assert!(half.stderr.contains("1 more of the new keys"), "{half:?}");
    let done = holder.run_with(&give, &shares[2]).await;
    assert!(done.code == 0 && done.stderr.contains("Destroy the old ones"), "{done:?}");
    let rotated = ada.run(&["operator", "rotate-root"]).await;
    assert_eq!(rotated.code, 0, "{rotated:?}");

    house.vault.kill().await;
    house.vault.start_again(&Launch::default()).await;
    let operator = Cli::at(house.vault.address());
    let refused = operator.run_with(&["operator", "unseal", "--stdin"], &old).await;
    assert!(refused.code != 0 && refused.stderr.contains("take the shares of the last rekey"), "{refused:?}");
    let opened = operator.run_with(&["operator", "unseal", "--stdin"], &format!("{}\n{}", shares[1], shares[0])).await;
    assert_eq!(opened.code, 0, "{opened:?}");
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let told = ada.run(&["audit", "log", "--operator", "--kind", "vault.rekeyed", "--output", "json"]).await;
    assert_eq!(told.json().as_array().map(Vec::len), Some(1), "{told:?}");
}
