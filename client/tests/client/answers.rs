//! What the stand-ins answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use claviger_client::api::{Problem, ProblemType, Secret};
use claviger_client::{Builder, Client, Credentials, NewCheckout, Retries};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub const CHECKOUT: &str = "co_0197a3c2e1f07b1a8c3d4e5f60718293";
pub const SECRET: &str = "canary-7f3a";

/// A client that tries four times and hardly waits.
pub fn builder(server: &MockServer) -> Builder {
    let counter = AtomicU64::new(1);
    Client::builder()
        .address(server.uri())
        .credentials(Credentials::Token(secret("cvs_token")))
        .retries(Retries { attempts: 4, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(2) })
        .random(move || u128::from(counter.fetch_add(1, Ordering::Relaxed)) << 64)
}

pub fn client(server: &MockServer) -> Client {
    builder(server).build().unwrap()
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

/// A server that lets everybody in, for 15 minutes.
pub async fn server() -> MockServer {
    let server = MockServer::start().await;
    login(&server, "jwt-1", 900).await;
    server
}

pub async fn login(server: &MockServer, token: &str, expires_in_seconds: u64) {
    Mock::given(method("POST"))
        .and(path("/v1/auth/login"))
        .respond_with(ok(tokens(token, expires_in_seconds, None)))
        .mount(server)
        .await;
}

pub fn tokens(access: &str, expires_in_seconds: u64, refresh: Option<&str>) -> Value {
    json!({
        "access_token": access,
        "expires_in_seconds": expires_in_seconds,
        "refresh_token": refresh,
        "session": "se_0197a3c2e1f07b1a8c3d4e5f60718293",
    })
}

pub fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

pub fn problem(of: ProblemType) -> ResponseTemplate {
    let problem = Problem::new(of, "");
    ResponseTemplate::new(problem.status).set_body_raw(json!(problem).to_string(), "application/problem+json")
}

pub fn checkout() -> Value {
    json!({
        "id": CHECKOUT,
        "account": "acme/db01/postgres",
        "account_id": "ac_0197a3c2e1f07b1a8c3d4e5f60718293",
        "principal": "nightly",
        "principal_id": "pr_0197a3c2e1f07b1a8c3d4e5f60718293",
        "state": "active",
        "reason": "migration",
        "ttl_seconds": 1800,
        "created_at": "2026-11-23T08:00:00Z",
    })
}

pub fn new_checkout() -> NewCheckout {
    serde_json::from_value(json!({"account": "acme/db01/postgres", "reason": "migration"})).unwrap()
}

pub fn revealed() -> Value {
    json!({
        "checkout": checkout(),
        "login": "postgres",
        "secret": SECRET,
        "version": 3,
        "system": {"kind": "postgresql", "host": "127.0.0.1"},
        "event_index": 12,
    })
}

/// The requests to a path that the server has seen.
pub async fn seen(server: &MockServer, at: &str) -> Vec<wiremock::Request> {
    let requests = server.received_requests().await.unwrap();
    requests.into_iter().filter(|request| request.url.path() == at).collect()
}
