//! Passkeys in a real browser, on the vault's own page, for the command line and for whoever tries to be somebody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "passkeys/by_the_cli.rs"]
mod by_the_cli;
#[path = "passkeys/page.rs"]
mod page;
#[path = "passkeys/refused.rs"]
mod refused;

use claviger_api::wire::{ConfirmPasskey, LoginAnswer, LoginByPasskey, LoginRequest, NewPasskey, PasskeyCeremony};
use claviger_api::{ProblemType, Secret};
use claviger_tests::browser::Browser;
use claviger_tests::people::{Person, nobody};
use claviger_tests::raw::{Raw, Reply};
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;
use serde_json::{Value, json};

/// A vault that browsers can visit, and a browser.
struct House {
    vault: Vault,
    browser: Browser,
}

impl House {
    async fn start() -> Self {
        let launch = Launch { for_browsers: true, ..Launch::default() };
        let (vault, browser) = tokio::join!(Vault::start_with(&launch), Browser::start());
        Self { vault, browser }
    }

    /// Where the browser finds the vault.
    fn site(&self) -> String {
        self.vault.address().replace("127.0.0.1", "localhost")
    }

    /// Does on the page what a person does, and reads the code that it shows.
    async fn code_for(&self, ceremony: &PasskeyCeremony) -> String {
        self.browser.open(&ceremony.url).await;
        self.browser.click("#go").await;
        self.browser.read("#code").await.replace(' ', "")
    }

    /// Makes a passkey for somebody who is logged in.
    async fn gives_passkey(&self, person: &Person) {
        let auth = person.client(self.vault.address());
        let ceremony = auth.auth().offer_passkey(&NewPasskey { label: "laptop".to_owned() }).await.unwrap();
        let code = Secret::new(self.code_for(&ceremony).await).unwrap().disclose();
        auth.auth().confirm_passkey(&ConfirmPasskey { code }).await.unwrap();
    }

    /// Gives somebody's password, and asks for the passkey.
    async fn asked(&self, person: &Person) -> PasskeyCeremony {
        let nobody = nobody(self.vault.address());
        let password = person.password.duplicate().disclose();
        let request = LoginRequest::Password { name: person.name.clone(), password };
        let LoginAnswer::SecondFactor(asked) = nobody.auth().login(&request).await.unwrap() else {
            panic!("{} has a second factor", person.name)
        };
        nobody.auth().passkey_for_login(&LoginByPasskey { challenge: asked.challenge }).await.unwrap()
    }

    /// What a browser is asked in a ceremony.
    async fn options(&self, ceremony: &PasskeyCeremony) -> Value {
        let shown = self.post("/v1/auth/passkeys/ceremony", &json!({ "ceremony": name_of(ceremony) })).await.success();
        shown.pointer("/options/publicKey").unwrap().clone()
    }

    /// Answers as the page does, whatever a browser has said.
    async fn answer(&self, ceremony: &PasskeyCeremony, credential: &Value) -> Reply {
        let body = json!({ "ceremony": name_of(ceremony), "credential": credential });
        self.post("/v1/auth/passkeys/answer", &body).await
    }

    async fn refuses(&self, ceremony: &PasskeyCeremony, credential: &Value, why: &str) {
        let reply = self.answer(ceremony, credential).await;
        assert_eq!(reply.problem_type(), ProblemType::InvalidCredentials, "{}", reply.text());
        assert!(reply.problem().detail.contains(why), "not because of {why}: {}", reply.text());
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        Raw::nobody(self.vault.address()).ask(reqwest::Method::POST, path, Some(body)).await
    }
}

fn name_of(ceremony: &PasskeyCeremony) -> &str {
    ceremony.url.split_once('#').map(|(_, name)| name).unwrap()
}
