//! Ten thousand sources against one user, one source against ten thousand users: both stay within the budgets, and
//! whoever belongs there still comes in.

use std::time::Instant;

use claviger_api::ProblemType;
use claviger_api::wire::{LoginAnswer, MfaRequest, SecondFactor, Tokens};
use claviger_tests::people::Person;
use claviger_tests::raw::{Raw, Reply};
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;
use futures::StreamExt as _;
use futures::stream;
use reqwest::Method;
use serde_json::json;

const CROWD: usize = 10_000;
/// Requests under way at once: more than may wait for their turn at Argon2id.
const AT_ONCE: usize = 256;
/// As shipped (`server/src/http/budget.rs`).
const EACH_SOURCE: (u64, u64) = (20, 100);
const ALL: (u64, u64) = (500, 1000);
/// Where the technician works, where the administrator does, and where nobody was seen before.
const DESK: &str = "198.51.100.7";
const NEW_PLACE: &str = "198.51.100.8";

async fn log_in(raw: &Raw, from: &str, name: &str, password: &str) -> Reply {
    let body = json!({"method": "password", "name": name, "password": password});
    let request = raw.request(Method::POST, "/v1/auth/login").header("x-forwarded-for", from).json(&body);
    raw.send(request).await.unwrap()
}

/// The technician works at the desk.
async fn come_in(vault: &Vault, technician: &Person) {
    let raw = Raw::nobody(vault.address());
    let asked = log_in(&raw, DESK, technician.name.as_str(), technician.password.expose()).await.success();
    let LoginAnswer::SecondFactor(asked) = serde_json::from_value(asked).unwrap() else { panic!("no second factor") };
    let second_factor = SecondFactor::Totp(technician.app.code(asked.server_time).await.disclose());
    let proof = MfaRequest { challenge: asked.challenge, second_factor };
    let request = raw.request(Method::POST, "/v1/auth/mfa").header("x-forwarded-for", DESK).json(&proof);
    let tokens: Tokens = serde_json::from_value(raw.send(request).await.unwrap().success()).unwrap();
    let there = Raw::with_token(vault.address(), tokens.access_token.into_secret().expose());
    there.send(there.request(Method::GET, "/v1/me").header("x-forwarded-for", DESK)).await.unwrap().success();
}

/// How many guesses were looked at; the others were told to come again.
async fn guess(raw: &Raw, guesses: impl Iterator<Item = (String, String)>) -> u64 {
    let replies = stream::iter(guesses)
        .map(|(from, name)| async move { log_in(raw, &from, &name, "not the password").await })
        .buffer_unordered(AT_ONCE);
    let count = |looked_at: u64, reply: Reply| async move {
        let problem = reply.problem_type();
        if problem == ProblemType::InvalidCredentials {
            return looked_at + 1;
        }
        assert_eq!(problem, ProblemType::TooManyRequests, "{}", reply.text());
        assert!(reply.headers.contains_key("retry-after"), "it is told when to come again");
        looked_at
    };
    replies.fold(0, count).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_sources_against_one_user_leave_the_user_in() {
    let vault = Vault::start_with(&Launch { budgets_as_shipped: true, ..Launch::default() }).await;
    let (raw, technician) = (Raw::nobody(vault.address()), &vault.people.technician);
    let (name, password) = (technician.name.as_str(), technician.password.expose());
    come_in(&vault, technician).await;

    let begun = Instant::now();
    let sources = (0..CROWD).map(|n| (format!("10.{}.{}.1", n / 256, n % 256), name.to_owned()));
    let (looked_at, during) = tokio::join!(guess(&raw, sources), log_in(&raw, DESK, name, password));
    let most = ALL.1 + ALL.0 * (begun.elapsed().as_secs() + 1);
    assert!(looked_at >= 10 && looked_at <= most, "{looked_at} of at most {most}");
    during.success();
    log_in(&raw, DESK, name, password).await.success();
    // Elsewhere is locked out: the right password is answered like a wrong one.
    let elsewhere = log_in(&raw, NEW_PLACE, name, password).await;
    assert_eq!(elsewhere.problem_type(), ProblemType::InvalidCredentials);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_source_against_ten_thousand_users_spends_its_own_budget() {
    let vault = Vault::start_with(&Launch { budgets_as_shipped: true, ..Launch::default() }).await;
    let (raw, technician) = (Raw::nobody(vault.address()), &vault.people.technician);

    let begun = Instant::now();
    let users = (0..CROWD).map(|n| ("203.0.113.9".to_owned(), format!("user-{n}")));
    let looked_at = guess(&raw, users).await;
    let most = EACH_SOURCE.1 + EACH_SOURCE.0 * (begun.elapsed().as_secs() + 1);
    assert!(looked_at > 0 && looked_at <= most, "{looked_at} of at most {most}");
    log_in(&raw, NEW_PLACE, technician.name.as_str(), technician.password.expose()).await.success();
}
