//! One walk: a vault of its own that may crash once, and somebody who asks again with the same key when it has.

use std::time::Duration;

use claviger_api::AccountPath;
use claviger_tests::audit;
use claviger_tests::inventory::part;
use claviger_tests::poll::until;
use claviger_tests::postgres::Postgres;
use claviger_tests::raw::{Raw, Reply};
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::ways::Way;

/// Longer than the lease of a rotation's send, and some tries.
pub const SETTLED_WITHIN: Duration = Duration::from_mins(2);

/// A vault, and how far somebody came with it.
pub struct Walk {
    pub vault: Vault,
    pub account: AccountPath,
    /// What was revealed on the way.
    pub seen: Vec<String>,
    /// The crash that is still to come.
    crash: Option<String>,
}

impl Walk {
    /// A copy of the seed, with the way's account in it and a crash to come.
    pub async fn begin(way: &Way, name: &str, crash: Option<String>, seed: &Vault, postgres: &Postgres) -> Self {
        let vault = seed.copy(&Launch { crash: crash.clone(), ..Launch::default() }).await;
        let account = (way.add)(&vault.administrator(), postgres, name).await;
        Self { vault, account, seen: Vec::new(), crash }
    }

    /// Asks the technician's question; where the answer is lost to the crash, again, with the same key.
    pub async fn ask(&mut self, method: Method, path: &str, key: Option<&str>, body: Option<&Value>) -> Value {
        loop {
            match self.asked(method.clone(), path, key, body).await {
                Ok(reply) if reply.status == StatusCode::CONFLICT && self.may_pass(&reply) => {}
                Ok(reply) => return reply.success(),
                Err(lost) => self.start_again(&lost).await,
            }
        }
    }

    /// `POST` with this key.
    pub async fn post(&mut self, path: &str, key: &str, body: Option<&Value>) -> Value {
        self.ask(Method::POST, path, Some(key), body).await
    }

    /// Waits until the answer to a question is as wanted.
    pub async fn until(&mut self, what: &str, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        let start = std::time::Instant::now();
        loop {
            let seen = self.ask(Method::GET, path, None, None).await;
            if is(&seen) {
                return seen;
            }
            assert!(start.elapsed() < SETTLED_WITHIN, "waited in vain until {what}: {seen}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The crash comes, if it has not come yet; then the server runs again.
    pub async fn crash_has_happened(&mut self) {
        let Some(crash) = self.crash.clone() else { return };
        let vault = &mut self.vault;
        until(&format!("the crash {crash}"), SETTLED_WITHIN, async || vault.has_ended().then_some(())).await;
        self.go_on().await;
    }

    /// The kinds of the events of the account, after it was added.
    pub async fn kinds(&self) -> Vec<String> {
        let kinds = audit::kinds_of(&self.vault.administrator(), &self.account).await;
        kinds.into_iter().filter(|kind| !kind.starts_with("account.")).collect()
    }

    /// The record verifies offline.
    pub async fn record_is_whole(&self) {
        let administrator = self.vault.administrator();
        audit::verified(&administrator, Some(&part("acme"))).await;
        audit::verified(&administrator, None).await;
    }

    async fn asked(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Reply, reqwest::Error> {
        let raw = Raw::with_token(self.vault.address(), self.vault.people.technician.token());
        match key {
            Some(key) => raw.post_once(path, key, body).await,
            None => raw.send(raw.request(method, path)).await,
        }
    }

    /// While a rotation goes on, a reveal or a check-out is refused for now.
    fn may_pass(&self, reply: &Reply) -> bool {
        self.crash.is_none() && reply.problem_type() == claviger_api::ProblemType::AccountUnavailable
    }

    async fn start_again(&mut self, lost: &reqwest::Error) {
        let crash = self.crash.clone();
        assert!(crash.is_some(), "an answer was lost without a crash: {lost:?}\n{}", self.vault.log());
        self.crash_has_happened().await;
    }

    async fn go_on(&mut self) {
        self.crash = None;
        self.vault.restart().await;
    }
}
