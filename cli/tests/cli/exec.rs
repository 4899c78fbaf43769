//! `exec`: the command has the secret, nobody else has it, and the account is given back however it ends.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claviger_client::api::{Problem, ProblemType};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::program::{Home, SECRET, asked, at, code, run, stderr, stdout, vault};

fn exec(vault: &MockServer, options: &[&str], script: &str) -> Command {
    let words = [&["exec", "acme/db01/postgres", "--reason", "x"], options, &["--", "sh", "-c", script]].concat();
    Home::at(&vault.uri()).as_program(&words)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_finds_the_secret_where_its_tools_look_and_the_account_is_given_back() {
    let vault = vault().await;
    let script = r#"echo "$PGUSER:$PGPASSWORD@$PGHOST:$PGPORT/$PGDATABASE $PGSSLMODE token=$CLAVIGER_TOKEN""#;
    let output = run(exec(&vault, &[], script), "");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("postgres:{SECRET}@127.0.0.1:6432/postgres require token=\n"));
    assert_eq!(asked(&vault, &at("checkin")).await, 1);

    let output = run(exec(&vault, &["--env", "DB_PASSWORD"], r#"echo "$DB_PASSWORD$PGPASSWORD""#), "");
    assert_eq!(stdout(&output), format!("{SECRET}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn anvil_child_process_the_secret_is_in_no_argument() {
    let vault = vault().await;
    let output = run(exec(&vault, &[], "cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' '"), "");
    assert!(stdout(&output).contains("exec acme/db01/postgres"), "{}", stdout(&output));
    assert!(!stdout(&output).contains(SECRET) && !stderr(&output).contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_gives_its_code_and_the_account_back() {
    let vault = vault().await;
    assert_eq!(code(&run(exec(&vault, &[], "exit 42"), "")), 42);
    assert_eq!(asked(&vault, &at("checkin")).await, 1);
    assert_eq!(code(&run(exec(&vault, &[], "kill -9 $$"), "")), 137);
    assert_eq!(asked(&vault, &at("checkin")).await, 2);

    let words = ["exec", "acme/db01/postgres", "--reason", "x", "--", "/no/such/program"];
    let output = run(Home::at(&vault.uri()).as_program(&words), "");
    assert_eq!(code(&output), 1, "{}", stderr(&output));
    assert_eq!(asked(&vault, &at("checkin")).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_reaches_the_command_and_the_account_is_given_back() {
    for (signal, expected) in [(Signal::TERM, 5), (Signal::INT, 6), (Signal::HUP, 7)] {
        let vault = vault().await;
        let ready = tempfile::tempdir().unwrap();
        let file = ready.path().join("ready");
        let script = format!(
            "trap 'exit 5' TERM; trap 'exit 6' INT; trap 'exit 7' HUP; touch {}; while :; do sleep 0.05; done",
            file.display()
        );
        let mut command = exec(&vault, &[], &script);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while !file.exists() {
            assert!(Instant::now() < end, "the command never started");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), expected, "{}", stderr(&output));
        assert_eq!(asked(&vault, &at("checkin")).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_not_revealed_starts_nothing_and_the_account_is_given_back() {
    let vault = vault().await;
    let problem = json!(Problem::new(ProblemType::NothingStored, "")).to_string();
    Mock::given(path(at("reveal")))
        .respond_with(ResponseTemplate::new(409).set_body_raw(problem, "application/problem+json"))
        .with_priority(1)
        .mount(&vault)
        .await;
    let output = run(exec(&vault, &[], "echo started"), "");
    assert_eq!((code(&output), stdout(&output).as_str()), (6, ""));
    assert_eq!(asked(&vault, &at("checkin")).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_cannot_be_given_back_is_told_and_is_no_success() {
    let vault = vault().await;
    let problem = json!(Problem::new(ProblemType::Sealed, "")).to_string();
    Mock::given(path(at("checkin")))
        .respond_with(ResponseTemplate::new(503).set_body_raw(problem, "application/problem+json"))
        .with_priority(1)
        .mount(&vault)
        .await;
    let output = run(exec(&vault, &[], "exit 0"), "");
    assert_eq!(code(&output), 8);
    assert!(
        stderr(&output).contains("NOT checked in") && stderr(&output).contains("claviger checkin co_"),
        "{}",
        stderr(&output)
    );
    assert_eq!(code(&run(exec(&vault, &[], "exit 42"), "")), 42, "the command's own failure comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_ended_before_its_command_is_no_failure() {
    let vault = vault().await;
    let problem = json!(Problem::new(ProblemType::CheckoutEnded, "")).to_string();
    Mock::given(path(at("checkin")))
        .respond_with(ResponseTemplate::new(409).set_body_raw(problem, "application/problem+json"))
        .with_priority(1)
        .mount(&vault)
        .await;
    let output = run(exec(&vault, &[], "exit 0"), "");
    assert_eq!(code(&output), 0);
    assert!(stderr(&output).contains("had ended"), "{}", stderr(&output));
}
