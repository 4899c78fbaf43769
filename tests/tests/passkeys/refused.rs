//! What a browser can be made to say, and the vault does not take. Each answer is a real one, of a real browser.

use claviger_api::wire::AuditQuery;
use claviger_tests::server::{Launch, Server};
use serde_json::{Value, json};

use super::House;

impl House {
    /// What a page at this address gets for these options.
    async fn at(&self, url: &str, options: &Value) -> Value {
        self.browser.open(url).await;
        self.browser.assertion(options).await.unwrap()
    }
}

#[tokio::test]
async fn an_authenticator_that_does_not_verify_its_user_is_refused_by_the_vault_too() {
    let house = House::start().await;
    let authenticator = house.browser.plug_in().await;
    let technician = house.vault.people.technician.duplicate();
    house.gives_passkey(&technician).await;
    let ceremony = house.asked(&technician).await;
    let mut options = house.options(&ceremony).await;
    assert_eq!(options["userVerification"], "required");
    house.browser.recognises(&authenticator, false).await;
    house.browser.open(&format!("{}/passkey", house.site())).await;
    assert!(house.browser.assertion(&options).await.is_err(), "the browser itself keeps to what it is asked");
    options["userVerification"] = json!("discouraged");
    let unverified = house.browser.assertion(&options).await.unwrap();
    house.refuses(&ceremony, &unverified, "did not verify its user").await;
    house.browser.close().await;
}

#[tokio::test]
async fn an_answer_from_another_origin_or_for_another_site_is_refused() {
    let house = House::start().await;
    house.browser.plug_in().await;
    let technician = house.vault.people.technician.duplicate();
    house.gives_passkey(&technician).await;
    // Another server on the same host: its pages may ask for the host's passkeys, from another port.
    let other = Server::start(&Launch { for_browsers: true, ..Launch::default() }).await;
    let elsewhere = format!("{}/passkey", other.address().replace("127.0.0.1", "localhost"));
    let ceremony = house.asked(&technician).await;
    let options = house.options(&ceremony).await;
    let from_elsewhere = house.at(&elsewhere, &options).await;
    house.refuses(&ceremony, &from_elsewhere, "another site").await;
    // The same server under another name: no browser gives the passkey away there.
    let renamed = format!("{}/passkey", house.site().replace("localhost", "vault.localhost"));
    let ceremony = house.asked(&technician).await;
    let mut options = house.options(&ceremony).await;
    house.browser.open(&renamed).await;
    options["rpId"] = json!("vault.localhost");
    assert!(house.browser.assertion(&options).await.is_err());
    house.browser.close().await;
}

#[tokio::test]
async fn an_answer_is_taken_once_and_for_its_own_challenge() {
    let house = House::start().await;
    house.browser.plug_in().await;
    let technician = house.vault.people.technician.duplicate();
    house.gives_passkey(&technician).await;
    let page = format!("{}/passkey", house.site());
    let ceremony = house.asked(&technician).await;
    let answer = house.at(&page, &house.options(&ceremony).await).await;
    house.answer(&ceremony, &answer).await.success();
    house.refuses(&ceremony, &answer, "used up").await;
    house.refuses(&house.asked(&technician).await, &answer, "another challenge").await;
    house.browser.close().await;
}

#[tokio::test]
async fn another_users_passkey_is_refused() {
    let house = House::start().await;
    house.browser.plug_in().await;
    let (administrator, technician) = (&house.vault.people.administrator, &house.vault.people.technician);
    house.gives_passkey(administrator).await;
    house.gives_passkey(technician).await;
    let hers = house.options(&house.asked(administrator).await).await;
    let ceremony = house.asked(technician).await;
    let mut options = house.options(&ceremony).await;
    options["allowCredentials"] = hers["allowCredentials"].clone();
    let answer = house.at(&format!("{}/passkey", house.site()), &options).await;
    house.refuses(&ceremony, &answer, "not one of this user's").await;
    house.browser.close().await;
}

/// The key is taken out of the authenticator and used on; then the original, which knows nothing of it, is shown.
#[tokio::test]
async fn a_copied_authenticator_is_refused_and_the_log_tells() {
    let house = House::start().await;
    let authenticator = house.browser.plug_in().await;
    let technician = house.vault.people.technician.duplicate();
    house.gives_passkey(&technician).await;
    let copy = house.browser.keys(&authenticator).await;
    let page = format!("{}/passkey", house.site());
    for _ in 0..2 {
        let ceremony = house.asked(&technician).await;
        let answer = house.at(&page, &house.options(&ceremony).await).await;
        house.answer(&ceremony, &answer).await.success();
    }
    house.browser.unplug(authenticator).await;
    let authenticator = house.browser.plug_in().await;
    for key in copy {
        house.browser.put(&authenticator, key).await;
    }
    let ceremony = house.asked(&technician).await;
    let answer = house.at(&page, &house.options(&ceremony).await).await;
    house.refuses(&ceremony, &answer, "there may be a copy").await;
    let query = AuditQuery { kind: Some("factor.clone_suspected".to_owned()), ..AuditQuery::default() };
    let told = house.vault.administrator().audit().events(query).all().await.unwrap();
    assert_eq!(told.len(), 1);
    house.browser.close().await;
}
