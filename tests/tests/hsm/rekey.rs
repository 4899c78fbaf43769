//! New recovery shares, another key of the HSM, and a change of what seals, while the vault serves.

use claviger_api::Secret;
use claviger_api::wire::{HsmState, SealKind, SealState};
use claviger_store::{Batch, RowId};
use claviger_tests::cli::Cli;
use claviger_tests::people::{Person, unseal};
use claviger_tests::server::{Launch, Server};
use claviger_tests::vault::Vault;

use super::{PIN, Sealed, launch_on, opens, status, stays_sealed};
use claviger_tests::softhsm::SoftHsm;

/// Begins a rekey: its id, and the new shares.
async fn begin(ada: &Person, server: &Server, words: &[&str]) -> (String, Vec<String>) {
    let terminal = ada.terminal(server.address()).await;
    let begun = terminal.run(&[&["operator", "rekey", "begin", "--output", "json"], words].concat()).await;
    let begun = begun.json();
    let shares = serde_json::from_value(begun["shares"].clone()).unwrap();
    (begun["rekey"]["id"].as_str().unwrap().to_owned(), shares)
}

/// Gives keys to it, and finds it done or not.
async fn give(server: &Server, id: &str, keys: &[&str]) -> bool {
    let give = ["operator", "rekey", "give", id, "--stdin", "--output", "json"];
    let given = Cli::at(server.address()).run_with(&give, &keys.join("\n")).await;
    given.json()["done"].as_bool().unwrap()
}

#[tokio::test]
async fn a_rekey_makes_old_recovery_shares_and_an_old_row_good_for_nothing() {
    let mut vault = Sealed::start().await;
    vault.server.stop().await;
    let key = RowId::meta("seal").to_key();
    let before = vault.server.store().await.get(&key).await.unwrap().unwrap();
    vault.server.start_again(&vault.launch).await;
    opens(&vault.server).await;

    let words = ["--pkcs11", "--shares", "2", "--threshold", "2", "--new-hsm-key"];
    let (id, newer) = begin(&vault.ada, &vault.server, &words).await;
    assert!(!give(&vault.server, &id, &[&newer[0], &newer[1]]).await, "the HSM and new shares agree to nothing");
    let old: Vec<&str> = vault.recovery.iter().map(Secret::expose).collect();
    assert!(give(&vault.server, &id, &old[..2]).await);

    vault.soft.take_away();
    vault.restart().await;
    stays_sealed(&vault.server, HsmState::Unreachable).await;
    let operator = Cli::at(vault.server.address());
    let refused = operator.run_with(&["operator", "unseal", "--stdin"], &vault.two_shares()).await;
    assert!(refused.code != 0 && refused.stderr.contains("take the shares of the last rekey"), "{refused:?}");
    let opened = operator.run_with(&["operator", "unseal", "--stdin"], &newer.join("\n")).await;
    assert_eq!(opened.code, 0, "{opened:?}");
    vault.soft.put_back();
    vault.restart().await;
    opens(&vault.server).await;

    // Whoever has the disk puts the old row back, which the HSM still opens: it gives a root key that opens nothing.
    vault.server.stop().await;
    let store = vault.server.store().await;
    store.commit(Batch { put: vec![(key, before)], ..Batch::default() }).await.unwrap();
    drop(store);
    vault.server.start_again(&vault.launch).await;
    stays_sealed(&vault.server, HsmState::NotOpened).await;
    vault.says_no_secret();
}

#[tokio::test]
async fn the_seal_goes_from_shares_to_the_hsm_to_a_passphrase_while_the_vault_serves() {
    let soft = SoftHsm::new(PIN);
    let launch = launch_on(&soft, "");
    let mut vault = Vault::start_with(&launch).await;
    let ada = vault.people.administrator.duplicate();
    let old = vault.people.share.expose().to_owned();
    let (id, recovery) = begin(&ada, &vault, &["--pkcs11", "--shares", "3", "--threshold", "2"]).await;
    assert!(give(&vault, &id, &[&recovery[0], &old, &recovery[1]]).await);
    assert_eq!(status(&vault).await.seal, SealState::Unsealed, "it serves all the while");
    vault.stop().await;
    vault.start_again(&launch).await;
    opens(&vault).await;

    let phrase = "brisk walnut under gravel, again";
    let terminal = ada.terminal(vault.address()).await;
    let begun = terminal
        .run_with(&["operator", "rekey", "begin", "--passphrase", "--stdin", "--output", "json"], phrase)
        .await
        .json();
    let id = begun["rekey"]["id"].as_str().unwrap();
    assert!(give(&vault, id, &[&recovery[2], phrase, &recovery[0]]).await);
    vault.stop().await;
    vault.start_again(&Launch::default()).await;
    let sealed = status(&vault).await;
    assert_eq!((sealed.kind, sealed.hsm), (Some(SealKind::Passphrase), None), "the HSM has no part in it any more");
    unseal(vault.address(), &Secret::new(phrase.to_owned()).unwrap()).await;
}
