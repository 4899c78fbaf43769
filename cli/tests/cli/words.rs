//! Words, exit codes, and what is never repeated.

use std::os::unix::fs::PermissionsExt as _;

use claviger_client::api::audit::VerifierKey;
use claviger_client::api::{Problem, ProblemType};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, ResponseTemplate};

use crate::program::{CHECKOUT, Home, SECRET, answer, asked, at, checkout, code, run, stderr, stdout, tokens, vault};

/// Where nobody answers.
const NOWHERE: &str = "http://127.0.0.1:9";

#[test]
fn anvil_child_process_a_password_in_the_arguments_is_refused_and_not_repeated() {
    let home = Home::at(NOWHERE);
    for words in [
        &["login", "anna", "--password", "hunter2"][..],
        &["login", "anna", "--password=hunter2"],
        &["login", "anna", "hunter2"],
        &["operator", "init", "--administrator", "anna", "--passphrase", "hunter2"],
        &["operator", "init", "--administrator", "anna", "--passphrase=hunter2"],
        &["operator", "unseal", "hunter2"],
        &["account", "set-secret", "acme/db/a", "hunter2"],
    ] {
        let output = run(home.claviger(words), "");
        assert_eq!(code(&output), 2, "{words:?}");
        assert!(!stderr(&output).contains("hunter2"), "{}", stderr(&output));
    }
    let told = stderr(&run(home.claviger(&["login", "anna", "--password", "hunter2"]), ""));
    assert!(told.starts_with("error: ") && told.contains("\nhelp: ") && told.contains("--stdin"), "{told}");
}

#[test]
fn exit_codes_say_what_happened_before_any_server_is_asked() {
    let home = Home::at(NOWHERE);
    assert_eq!(code(&run(home.claviger(&["--version"]), "")), 0);
    assert_eq!(code(&run(home.claviger(&["no-such-command"]), "")), 2);
    assert_eq!(code(&run(home.claviger(&["whoami", "--address", "http://vault.example"]), "")), 2);
    assert_eq!(code(&run(home.claviger(&["whoami"]), "")), 3, "nobody is logged in");
    assert_eq!(code(&run(home.as_program(&["whoami"]), "")), 8, "nobody answers");

    let no_server = run(
        {
            let mut c = home.claviger(&["whoami"]);
            c.env_remove("CLAVIGER_ADDR");
            c
        },
        "",
    );
    assert_eq!(code(&no_server), 2);
    assert!(stderr(&no_server).contains("CLAVIGER_ADDR"), "{}", stderr(&no_server));
}

#[test]
fn errors_are_for_programs_where_json_is_asked_for() {
    let output = run(Home::at(NOWHERE).claviger(&["whoami", "--output", "json"]), "");
    let document: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(document["type"], "urn:claviger:client:not-logged-in");
    assert_eq!(document["exit_code"], 3);
    assert_eq!(stdout(&output), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_ends_with_its_exit_code() {
    for problem in [
        ProblemType::AccountHeld,
        ProblemType::Forbidden,
        ProblemType::NotFound,
        ProblemType::ApprovalNeeded,
        ProblemType::Sealed,
        ProblemType::InvalidValue,
        ProblemType::SystemFailed,
    ] {
        let vault = vault().await;
        let document = json!(Problem::new(problem, "")).to_string();
        Mock::given(path("/v1/customers"))
            .respond_with(
                ResponseTemplate::new(problem.row().status).set_body_raw(document, "application/problem+json"),
            )
            .mount(&vault)
            .await;
        let output = run(Home::at(&vault.uri()).as_program(&["customer", "list"]), "");
        assert_eq!(code(&output), problem.row().exit as i32, "{problem:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(problem.row().advice), "{}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_kept_for_its_owner_alone_until_the_logout() {
    let vault = vault().await;
    let home = Home::at(&vault.uri());
    let output = run(home.claviger(&["login", "anna", "--stdin"]), "correct horse\n");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let kept = home.state.path().join("claviger/session.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let sent = vault.received_requests().await.unwrap();
    let login: Value = serde_json::from_slice(&sent[0].body).unwrap();
    assert_eq!(login, json!({"method": "password", "name": "anna", "password": "correct horse"}));

    answer(&vault, "GET", "/v1/customers", json!({"items": []})).await;
    let mut without_address = home.claviger(&["customer", "list"]);
    without_address.env_remove("CLAVIGER_ADDR");
    let listed = run(without_address, "");
    assert_eq!((code(&listed), stdout(&listed).as_str()), (0, "[]\n"), "{}", stderr(&listed));
    let sent = vault.received_requests().await.unwrap();
    assert_eq!(sent.last().unwrap().headers.get("authorization").unwrap(), "Bearer jwt-1");

    std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = run(home.claviger(&["customer", "list"]), "");
    assert_eq!(code(&open), 1);
    assert!(stderr(&open).contains("open to others"), "{}", stderr(&open));
    std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o600)).unwrap();

    Mock::given(path("/v1/auth/logout")).respond_with(ResponseTemplate::new(204)).mount(&vault).await;
    assert_eq!(code(&run(home.claviger(&["logout"]), "")), 0);
    assert!(!kept.exists());
}

/// Two commands at once, and one refresh token that is good once.
#[tokio::test(flavor = "multi_thread")]
async fn two_commands_refresh_the_session_once() {
    let vault = vault().await;
    let home = Home::at(&vault.uri());
    assert_eq!(code(&run(home.claviger(&["login", "anna", "--stdin"]), "pw\n")), 0);
    let ended = json!(Problem::new(ProblemType::SessionEnded, "")).to_string();
    Mock::given(path("/v1/customers"))
        .and(wiremock::matchers::header("authorization", "Bearer jwt-2"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"items": []})))
        .mount(&vault)
        .await;
    Mock::given(path("/v1/customers"))
        .respond_with(ResponseTemplate::new(401).set_body_raw(ended, "application/problem+json"))
        .with_priority(9)
        .mount(&vault)
        .await;
    answer(&vault, "POST", "/v1/auth/refresh", tokens("jwt-2", "cvr_2")).await;

    let both: Vec<_> = (0..2)
        .map(|_| home.claviger(&["customer", "list"]))
        .map(|command| std::thread::spawn(move || run(command, "")))
        .collect();
    for one in both {
        let output = one.join().unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    assert_eq!(asked(&vault, "/v1/auth/refresh").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_into_a_pipe_only_with_show() {
    let vault = vault().await;
    let home = Home::at(&vault.uri());
    let refused = run(home.as_program(&["reveal", CHECKOUT]), "");
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("--show"), "{}", stderr(&refused));
    assert_eq!(asked(&vault, &at("reveal")).await, 0, "what is not shown is not revealed");

    let silent = run(home.as_program(&["checkout", "acme/db01/postgres", "--reason", "x"]), "");
    let taken: Value = serde_json::from_str(&stdout(&silent)).unwrap();
    assert_eq!(taken["id"], CHECKOUT);
    assert_eq!(asked(&vault, &at("reveal")).await, 0);

    let shown = run(home.as_program(&["reveal", CHECKOUT, "--show"]), "");
    let revealed: Value = serde_json::from_str(&stdout(&shown)).unwrap();
    assert_eq!(revealed["secret"], SECRET);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_does_not_come_is_withdrawn() {
    let vault = vault().await;
    vault.reset().await;
    answer(&vault, "POST", "/v1/auth/login", tokens("jwt", "cvr")).await;
    let mut waiting = checkout("requested");
    waiting["waiting_behind"] = json!(2);
    answer(&vault, "POST", "/v1/checkouts", waiting.clone()).await;
    answer(&vault, "GET", &format!("/v1/checkouts/{CHECKOUT}"), waiting).await;
    answer(&vault, "POST", &at("checkin"), checkout("ended")).await;
    let words = ["checkout", "acme/db01/postgres", "--reason", "x", "--wait", "1s"];
    let output = run(Home::at(&vault.uri()).as_program(&words), "");
    assert_eq!(code(&output), 6, "{}", stderr(&output));
    assert_eq!(asked(&vault, &at("checkin")).await, 1);
    assert!(asked(&vault, &format!("/v1/checkouts/{CHECKOUT}")).await >= 2, "it looked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_wrong_is_told_by_line_and_never_sent() {
    let vault = vault().await;
    let home = Home::at(&vault.uri());
    let file = home.state.path().join("accounts.csv");
    std::fs::write(&file, "system,account,login,secret\ndb01,a,,canary-1\nDB 01,b,,canary-2\n").unwrap();
    let words = ["import", file.to_str().unwrap(), "--customer", "acme"];
    let output = run(home.as_program(&words), "");
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("line 3: system:"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("canary"), "{}", stderr(&output));
    assert_eq!(asked(&vault, "/v1/customers/acme/imports").await, 0);

    std::fs::write(&file, "system,account,login,secret\ndb01,a,,canary-1\n").unwrap();
    answer(&vault, "POST", "/v1/customers/acme/imports", json!({"accounts": 1})).await;
    let output = run(home.as_program(&words), "");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stderr(&output).contains("delete it"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_a_whole_file_or_none() {
    let vault = vault().await;
    Mock::given(path("/v1/audit/export"))
        .respond_with(ResponseTemplate::new(200).set_body_raw("{}\n", "application/jsonl"))
        .mount(&vault)
        .await;
    let home = Home::at(&vault.uri());
    let file = home.state.path().join("acme.jsonl");
    let words = ["audit", "export", "--customer", "acme", "--to", file.to_str().unwrap()];
    assert_eq!(code(&run(home.as_program(&words), "")), 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{}\n");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(code(&run(home.as_program(&words), "")), 1, "an export never replaces another");

    let verified = run(Home::at(NOWHERE).claviger(&["audit", "verify", file.to_str().unwrap()]), "");
    assert_eq!(code(&verified), 1);
    assert!(stderr(&verified).contains("NOT VERIFIED"), "{}", stderr(&verified));
}

/// An archive says that it is one by its first line, and is judged as one.
#[test]
fn an_archive_is_verified_as_one() {
    let home = Home::at(NOWHERE);
    let file = home.state.path().join("archive.jsonl");
    let key = VerifierKey::new("vault.example/operator", [7; 32]).unwrap();
    let header = json!({
        "format": "claviger-audit-archive", "version": 1, "origin": "vault.example/operator", "from": 0, "to": 256,
        "checkpoint": "", "verifier_key": key.to_string(),
    });
    std::fs::write(&file, format!("{header}\n")).unwrap();
    let verify = |more: &[&str]| run(home.claviger(&[&["audit", "verify", file.to_str().unwrap()], more].concat()), "");
    let refused = verify(&[]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("NOT VERIFIED: the checkpoint does not hold"), "{}", stderr(&refused));
    assert_eq!(code(&verify(&["--kept", "note"])), 2, "what it says cannot be held against anything");
}

#[test]
fn completions_and_manual_are_made_from_the_words() {
    let home = Home::at(NOWHERE);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(home.claviger(&["completions", shell]), "");
        assert!(stdout(&script).contains("take-over"), "{shell}");
    }
    assert!(stdout(&run(home.claviger(&["man"]), "")).contains(".TH claviger 1"));
    let folder = home.state.path().join("man");
    assert_eq!(code(&run(home.claviger(&["man", "--to", folder.to_str().unwrap()]), "")), 0);
    assert!(folder.join("claviger-exec.1").exists());
}
