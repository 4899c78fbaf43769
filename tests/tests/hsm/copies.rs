//! A backup of a vault that an HSM has sealed: the recovery shares of that time open it, wherever it is.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use age::secrecy::ExposeSecret as _;
use claviger_api::wire::HsmState;
use claviger_tests::cli::Cli;
use claviger_tests::server::{Launch, Server};

use super::{Sealed, opens, stays_sealed};

fn key() -> age::x25519::Identity {
    age::x25519::Identity::generate()
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a key of the test's own, which opens nothing else")]
async fn the_recovery_shares_of_that_time_prove_and_restore_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let (identity, backups) = (key(), folder.path().join("backups"));
    let keys = folder.path().join("identity");
    fs::write(&keys, format!("{}\n", identity.to_string().expose_secret())).unwrap();
    fs::set_permissions(&keys, Permissions::from_mode(0o600)).unwrap();
    let more = format!(
        "[backup]\ndirectory = '{}'\nrecipients = ['{}']\nevery_hours = 0\n",
        backups.display(),
        identity.to_public()
    );
    let mut vault = Sealed::start_with(&more).await;
    let ada = vault.ada.terminal(vault.server.address()).await;
    let taken = ada.run(&["operator", "backup", "--output", "json"]).await.json();
    let file = backups.join(taken["file"].as_str().unwrap());
    vault.server.kill().await;

    // The HSM has no part in a drill.
    vault.soft.take_away();
    let (file, keys) = (file.to_str().unwrap(), keys.to_str().unwrap());
    let proving = ["check-backup", file, "--identity", keys, "--verify", "--stdin"];
    let (code, said) = Server::tool(&proving, vault.recovery[1].expose()).await;
    assert!(code == 1 && said.contains("not proven: 1 of 2"), "{said}");
    let (code, said) = Server::tool(&proving, &vault.two_shares()).await;
    assert!(code == 0 && said.contains("proven:"), "{said}");

    // On another machine, without an HSM.
    let alone = Launch { audit: more, ..Launch::default() };
    let mut server = Server::nowhere(&alone).await;
    let config = server.config_file().to_str().unwrap().to_owned();
    let (code, said) = Server::tool(&["restore", file, "--identity", keys, "--config", &config], "").await;
    assert!(code == 0 && said.contains("restored."), "{said}");
    server.start_again(&alone).await;
    stays_sealed(&server, HsmState::NotConfigured).await;
    let opened = Cli::at(server.address()).run_with(&["operator", "unseal", "--stdin"], &vault.two_shares()).await;
    assert_eq!(opened.code, 0, "{opened:?}");

    // And with it, by itself.
    vault.soft.put_back();
    server.stop().await;
    server.start_again(&vault.launch).await;
    opens(&server).await;
}
