//! A vault that is not initialised, or sealed, and the wrong shares.

use claviger_api::ProblemType::{
    AlreadyInitialised, InvalidValue, MalformedRequest, NotInitialised, Sealed, WrongShare,
};
use claviger_api::wire::SealState;
use claviger_tests::people::nobody;
use claviger_tests::raw::Raw;
use claviger_tests::server::{Launch, Server};
use reqwest::Method;
use serde_json::json;

use super::{House, is};

#[tokio::test]
async fn a_sealed_vault_says_so_and_takes_the_right_share_alone() {
    let mut house = House::start().await;
    let before = house.everything().await;
    let again = json!({ "seal": "shamir", "shares": 1, "threshold": 1, "administrator": "eve" });
    let raw = Raw::nobody(house.vault.address());
    is(&raw.ask(Method::POST, "/v1/sys/init", Some(&again)).await, AlreadyInitialised, "Unseal it");

    house.vault.stop().await;
    house.vault.start_again(&Launch::default()).await;
    let (raw, technician) = (Raw::nobody(house.vault.address()), house.technician());
    is(&raw.get("/v1/sys/health").await, Sealed, "operator unseal");
    is(&technician.get("/v1/me").await, Sealed, "operator unseal");
    let body = json!({ "account": house.account, "reason": "x" });
    is(&technician.ask(Method::POST, "/v1/checkouts", Some(&body)).await, Sealed, "operator unseal");
    let login = json!({ "method": "password", "name": "tina", "password": "x" });
    is(&raw.ask(Method::POST, "/v1/auth/login", Some(&login)).await, Sealed, "operator unseal");
    is(&raw.ask(Method::POST, "/v1/sys/init", Some(&again)).await, AlreadyInitialised, "Unseal it");

    let share = house.vault.people.share.expose().to_owned();
    let cut = share[..share.len() - 1].to_owned();
    let other = another_vaults_share().await;
    for wrong in ["x", &cut, &format!("{share}A"), &other] {
        let body = json!({ "key": wrong });
        let reply = raw.ask(Method::POST, "/v1/sys/unseal", Some(&body)).await;
        is(&reply, WrongShare, "");
        assert!(!reply.text().contains(wrong) || wrong == "x", "what was given is not said again");
    }
    is(&raw.ask(Method::POST, "/v1/sys/unseal", Some(&json!({ "key": "" }))).await, MalformedRequest, "not empty");
    let status = nobody(house.vault.address()).sys().seal_status().await.unwrap();
    assert_eq!((status.seal, status.provided), (SealState::Sealed, 0));
    claviger_tests::people::unseal(house.vault.address(), &house.vault.people.share).await;
    assert_eq!(house.everything().await, before, "nothing is lost");
}

#[tokio::test]
async fn a_seal_that_cannot_be() {
    let vault = Server::start(&Launch::default()).await;
    let raw = Raw::nobody(vault.address());
    is(&raw.get("/v1/sys/health").await, NotInitialised, "operator init");
    is(&raw.ask(Method::POST, "/v1/sys/unseal", Some(&json!({ "key": "x" }))).await, NotInitialised, "operator init");
    for (shares, threshold) in [(0, 0), (3, 4), (17, 3), (5, 1), (3, 0)] {
        let body = json!({ "seal": "shamir", "shares": shares, "threshold": threshold, "administrator": "ada" });
        is(&raw.ask(Method::POST, "/v1/sys/init", Some(&body)).await, InvalidValue, "threshold");
    }
    let body = json!({ "seal": "passphrase", "passphrase": "too short", "administrator": "ada" });
    is(&raw.ask(Method::POST, "/v1/sys/init", Some(&body)).await, InvalidValue, "16 characters");
    let status = nobody(vault.address()).sys().seal_status().await.unwrap();
    assert_eq!(status.seal, SealState::NotInitialised, "it can still be initialised");
}

async fn another_vaults_share() -> String {
    let other = claviger_tests::in_process::InProcess::start().await;
    let share = other.people.share.expose().to_owned();
    other.stop().await;
    share
}
