//! A customer that is locked, and in the end offboarded.

use claviger_api::ProblemType;
use claviger_tests::inventory::{add_customer, add_role};

use super::House;

#[tokio::test]
async fn a_customer_is_locked_over_a_kill_unlocked_and_offboarded_with_a_receipt() {
    let mut house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await.to_string();
    add_customer(&house.vault.administrator(), "globex").await;
    let administrator = house.vault.people.administrator.duplicate();
    let address = house.vault.address().to_owned();
    let stranger = administrator.adds_user(&address, "stranger", None).await;
    let ada = administrator.terminal(&address).await;
    let tina = house.vault.people.technician.terminal(&address).await;
    let words = ["checkout", &account, "--for", "10m", "--reason", "a look", "--show"];
    let shown = tina.run(&words).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let seen = shown.json()["secret"].as_str().unwrap().to_owned();
    assert!(house.postgres.can_login("app", &seen).await);

    // It ends and is rotated first; then it is out of reach for those who know of it, and not there for others.
    let locked = ada.run(&["customer", "lock", "acme", "--reason", "a suspicion"]).await;
    assert_eq!((locked.code, locked.json()["lock"]["state"].as_str()), (0, Some("locked")), "{locked:?}");
    assert!(!house.postgres.can_login("app", &seen).await);
    let refused = tina.run(&words).await;
    assert!(refused.code == 8 && refused.stderr.contains("customer unlock"), "{refused:?}");
    let listed = tina.run(&["account", "list", "--customer", "acme"]).await;
    assert_eq!(listed.code, 8, "{listed:?}");
    let unknown = stranger.client(&address).accounts().show(&account.parse().unwrap()).await.err().unwrap();
    assert_eq!(unknown.problem_type(), Some(ProblemType::NotFound));
    assert_eq!(ada.run(&["status"]).await.json()["locked_customers"], 1);

    // A kill and an unseal leave it locked.
    house.vault.kill().await;
    house.vault.restart().await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    assert_eq!(tina.run(&words).await.code, 8);
    let early = ada.run(&["customer", "offboard", "globex", "--reason", "x", "--confirm", "globex"]).await;
    assert!(early.code == 6 && early.stderr.contains("lock it first"), "{early:?}");
    let unlocked = ada.run(&["customer", "unlock", "acme", "--reason", "it was nothing"]).await;
    assert_eq!(unlocked.code, 0, "{unlocked:?}");
    let shown = tina.run(&words).await;
    assert!(house.postgres.can_login("app", shown.json()["secret"].as_str().unwrap()).await, "{shown:?}");

    // The contract is over.
    assert_eq!(ada.run(&["customer", "lock", "acme", "--reason", "the contract is over"]).await.code, 0);
    let wrong = ada.run(&["customer", "offboard", "acme", "--reason", "x", "--confirm", "globex"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let done =
        ada.run(&["customer", "offboard", "acme", "--reason", "the contract is over", "--confirm", "acme"]).await;
    assert!(done.code == 1 && done.stderr.contains("Nothing could be handed over"), "{done:?}");
    let words = [
        "customer",
        "offboard",
        "acme",
        "--reason",
        "the contract is over",
        "--confirm",
        "acme",
        "--without-hand-over",
    ];
    let done = ada.run(&words).await;
    assert_eq!(done.code, 0, "{done:?}");
    let done = done.json();
    let receipt = done["receipt"].as_str().unwrap();
    assert!(receipt.contains("key destroyed") && receipt.contains("until the vault is rekeyed"), "{receipt}");
    let id = done["customer"].as_str().unwrap();
    assert_eq!(ada.run(&["customer", "offboarded", id]).await.json()["receipt"], receipt);
    assert_eq!(ada.run(&["customer", "offboarded"]).await.json().as_array().unwrap().len(), 1);
    assert_eq!(ada.run(&["customer", "show", "acme"]).await.code, 5);
    assert_eq!(ada.run(&["customer", "show", "globex"]).await.code, 0);
    let clean = ada.run(&["operator", "scrub"]).await;
    assert_eq!((clean.code, clean.json()["outcome"].as_str()), (0, Some("clean")), "{clean:?}");
    house.vault.kill().await;
    house.vault.restart().await;
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    assert_eq!(ada.run(&["customer", "show", "globex"]).await.code, 0);
    house.vault.stop().await;
}
