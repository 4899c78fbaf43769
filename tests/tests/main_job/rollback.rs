//! A data directory that was put back as it was before.

use std::path::Path;

use claviger_api::wire::NewRotation;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_role, available};
use claviger_tests::server::Launch;

use super::{House, SOON};

/// Exports the customer's log, and verifies it without the vault, by the receipts that somebody kept.
async fn verified(house: &House, folder: &Path, receipts: &Path, name: &str) -> (i32, String) {
    let file = folder.join(name).to_str().unwrap().to_owned();
    let ada = house.vault.people.administrator.terminal(house.vault.address()).await;
    let exported = ada.run(&["audit", "export", "--customer", "acme", "--to", &file]).await;
    assert_eq!(exported.code, 0, "{exported:?}");
    let nobody = Cli::at("http://127.0.0.1:1");
    let done = nobody.run(&["audit", "verify", &file, "--receipts", receipts.to_str().unwrap()]).await;
    (done.code, done.stderr)
}

/// The server says that its store is older than it was, and opens it for a reason alone.
#[tokio::test]
async fn anvil_stale_copy_a_restored_directory_is_refused_at_unseal() {
    let mut house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    house.vault.stop().await;
    let folder = tempfile::TempDir::new().unwrap();
    let backup = house.vault.keep().await;
    house.vault.restart().await;
    let rotation = NewRotation { account: Some(account.clone()), customer: None, exposed_to: None, reason: None };
    house.vault.technician().rotations().start(&rotation).await.unwrap();
    available(&house.vault.technician(), &account, SOON).await;
    let tina = house.vault.people.technician.terminal(house.vault.address()).await;
    let name = account.to_string();
    let shown = tina.run(&["checkout", &name, "--for", "10m", "--reason", "a look", "--show"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    let receipts = tina.home().join(".local/state/claviger/receipts.jsonl");
    let (code, said) = verified(&house, folder.path(), &receipts, "before").await;
    assert!(code == 0 && said.contains("1 receipts are in the log as they say; 0 are of other logs"), "{said}");
    house.vault.stop().await;

    house.vault.put_back(&backup).await;
    house.vault.start_again(&Launch::default()).await;
    let (operator, share) = (Cli::at(house.vault.address()), house.vault.people.share.expose().to_owned());
    let refused = operator.run_with(&["operator", "unseal", "--stdin"], &share).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("--accept-rollback"), "it says what to do: {refused:?}");
    let words = ["operator", "unseal", "--stdin", "--accept-rollback", "last night's backup"];
    let opened = operator.run_with(&words, &share).await;
    assert_eq!(opened.code, 0, "{opened:?}");

    // Whoever was shown something since can prove it, to an auditor who has nothing but the two files.
    let (code, said) = verified(&house, folder.path(), &receipts, "after").await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("NOT VERIFIED") && said.contains("rolled back"), "{said}");

    // A server that is killed and started again has lost nothing, and its anchor says nothing.
    house.vault.kill().await;
    house.vault.restart().await;
}
