//! The program with a home of its own, and a vault that lends one account.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

pub const CHECKOUT: &str = "co_0197a3c2e1f07b1a8c3d4e5f60718293";
pub const SECRET: &str = "canary-9c1d";

/// A fresh state folder, and nothing of the tester's own environment that could matter.
pub struct Home {
    pub state: TempDir,
    address: String,
}

impl Home {
    pub fn at(address: &str) -> Self {
        Self { state: tempfile::tempdir().unwrap(), address: address.to_owned() }
    }

    pub fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .env("XDG_STATE_HOME", self.state.path())
            .env("CLAVIGER_ADDR", &self.address)
            .env_remove("CLAVIGER_TOKEN")
            .env_remove("CLAVIGER_CACERT")
            .env_remove("PGSSLROOTCERT");
        command
    }

    pub fn claviger(&self, words: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_claviger"), words)
    }

    /// As a service account.
    pub fn as_program(&self, words: &[&str]) -> Command {
        let mut command = self.claviger(words);
        command.env("CLAVIGER_TOKEN", "cvs_canary_token");
        command
    }
}

/// Runs to the end, with this on standard input.
pub fn run(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that ends without reading closes the pipe.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A vault that lends `acme/db01/postgres` to everybody.
pub async fn vault() -> MockServer {
    let server = MockServer::start().await;
    answer(&server, "POST", "/v1/auth/login", tokens("jwt-1", "cvr_1")).await;
    answer(&server, "POST", "/v1/checkouts", checkout("active")).await;
    answer(&server, "POST", &at("reveal"), revealed()).await;
    answer(&server, "POST", &at("checkin"), checkout("ended")).await;
    server
}

pub async fn answer(server: &MockServer, verb: &str, at: &str, body: Value) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(server)
        .await;
}

/// The path of a verb of the checkout.
pub fn at(verb: &str) -> String {
    format!("/v1/checkouts/{CHECKOUT}/{verb}")
}

/// How often the server was asked for a path.
pub async fn asked(server: &MockServer, at: &str) -> usize {
    server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count()
}

pub fn tokens(access: &str, refresh: &str) -> Value {
    json!({
        "access_token": access,
        "expires_in_seconds": 900,
        "refresh_token": refresh,
        "session": "se_0197a3c2e1f07b1a8c3d4e5f60718293",
    })
}

pub fn checkout(state: &str) -> Value {
    json!({
        "id": CHECKOUT,
        "account": "acme/db01/postgres",
        "account_id": "ac_0197a3c2e1f07b1a8c3d4e5f60718293",
        "principal": "anna",
        "principal_id": "pr_0197a3c2e1f07b1a8c3d4e5f60718293",
        "state": state,
        "reason": "x",
        "ttl_seconds": 1800,
        "created_at": "2026-11-23T08:00:00Z",
        "expires_at": "2026-11-23T08:30:00Z",
    })
}

pub fn revealed() -> Value {
    json!({
        "checkout": checkout("active"),
        "login": "postgres",
        "secret": SECRET,
        "version": 3,
        "system": {"kind": "postgresql", "host": "127.0.0.1", "port": 6432, "tls": "require"},
        "event_index": 12,
    })
}
