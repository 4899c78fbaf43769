//! A data directory that was put back as it was before.

use claviger_api::wire::NewRotation;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_role, available};
use claviger_tests::server::{Launch, copy_directory};

use super::{House, SOON};

/// The server says that its store is older than it was, and opens it for a reason alone.
#[tokio::test]
async fn anvil_stale_copy_a_restored_directory_is_refused_at_unseal() {
    let mut house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/app").await;
    house.vault.stop().await;
    let folder = tempfile::TempDir::new().unwrap();
    let backup = folder.path().join("data");
    copy_directory(&house.vault.data_directory(), &backup);
    house.vault.restart().await;
    let rotation = NewRotation { account: Some(account.clone()), customer: None, exposed_to: None, reason: None };
    house.vault.technician().rotations().start(&rotation).await.unwrap();
    available(&house.vault.technician(), &account, SOON).await;
    house.vault.stop().await;

    std::fs::remove_dir_all(house.vault.data_directory()).unwrap();
    copy_directory(&backup, &house.vault.data_directory());
    house.vault.start_again(&Launch::default()).await;
    let (operator, share) = (Cli::at(house.vault.address()), house.vault.people.share.expose().to_owned());
    let refused = operator.run_with(&["operator", "unseal", "--stdin"], &share).await;
    assert_eq!(refused.code, 6, "{refused:?}");
    assert!(refused.stderr.contains("--accept-rollback"), "it says what to do: {refused:?}");
    let words = ["operator", "unseal", "--stdin", "--accept-rollback", "last night's backup"];
    let opened = operator.run_with(&words, &share).await;
    assert_eq!(opened.code, 0, "{opened:?}");

    // A server that is killed and started again has lost nothing, and its anchor says nothing.
    house.vault.kill().await;
    house.vault.restart().await;
}
