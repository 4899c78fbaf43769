//! Servers on one database, each with the HSM.

use claviger_api::Secret;
use claviger_api::wire::{HsmState, SealState};
use claviger_tests::cli::Cli;
use claviger_tests::database::Database;
use claviger_tests::poll::until;
use claviger_tests::server::Server;
use claviger_tests::softhsm::SoftHsm;

use super::{PIN, SOON, initialise, launch_on, opens, status, stays_sealed};

#[tokio::test]
async fn each_node_opens_by_itself_and_a_seal_seals_all() {
    let soft = SoftHsm::new(PIN);
    let launch = launch_on(&soft, "");
    let database = Database::start().await;
    let mut first = Server::on(&database, None, &launch).await;
    let (recovery, ada) = initialise(&first).await;
    let mut second = Server::on(&database, None, &launch).await;
    opens(&second).await;

    // What opens the vault is changed on one: the other takes it up by itself.
    let terminal = ada.terminal(first.address()).await;
    let words = ["operator", "rekey", "begin", "--pkcs11", "--shares", "1", "--threshold", "1", "--output", "json"];
    let begun = terminal.run(&words).await.json();
    let (id, newer) = (begun["rekey"]["id"].as_str().unwrap(), begun["shares"][0].as_str().unwrap());
    let keys = format!("{newer}\n{}\n{}", recovery[0].expose(), recovery[1].expose());
    let given = Cli::at(first.address()).run_with(&["operator", "rekey", "give", id, "--stdin"], &keys).await;
    assert_eq!(given.code, 0, "{given:?}");
    until("the other node hears of it", SOON, async || {
        second.log().contains("what opens the vault was changed on another node").then_some(())
    })
    .await;
    opens(&second).await;

    // An operator's seal is another matter.
    let terminal = ada.terminal(second.address()).await;
    assert_eq!(terminal.run(&["operator", "seal"]).await.code, 0);
    until("the other node is sealed, too", SOON, async || {
        (status(&first).await.seal == SealState::Sealed).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    for node in [&first, &second] {
        stays_sealed(node, HsmState::Answers).await;
    }
    for node in [&mut first, &mut second] {
        node.stop().await;
        node.start_again(&launch).await;
        opens(node).await;
    }
    drop(recovery.into_iter().map(Secret::disclose));
}
