//! The second factor at a login, and where something wants a fresh one.

use claviger_client::api::{Problem, ProblemType};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::program::{Home, answer, asked, code, run, stderr, stdout, tokens};
use crate::terminal::as_user_on_a_terminal;

/// A vault that asks for a second factor.
async fn vault() -> MockServer {
    let server = MockServer::start().await;
    let challenge = json!({
        "challenge": "cvc_1", "challenge_expires_in_seconds": 300,
        "factors": ["totp", "recovery_code"], "server_time": "2026-11-23T08:00:00Z",
    });
    answer(&server, "POST", "/v1/auth/login", challenge).await;
    answer(&server, "POST", "/v1/auth/mfa", tokens("jwt-1", "cvr_1")).await;
    server
}

async fn sent(server: &MockServer, at: &str) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    let bodies = requests.iter().filter(|request| request.url.path() == at);
    bodies.map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
}

/// Refuses once with a wish for a fresh factor, then does it.
async fn wants_a_fresh_factor(server: &MockServer) {
    let problem = json!(Problem::new(ProblemType::FreshFactorNeeded, "")).to_string();
    Mock::given(method("POST"))
        .and(path("/v1/customers"))
        .respond_with(ResponseTemplate::new(403).set_body_raw(problem, "application/problem+json"))
        .up_to_n_times(1)
        .mount(server)
        .await;
    let made = json!({
        "id": "cu_0197a3c2e1f07b1a8c3d4e5f60718293", "slug": "acme", "display_name": "Acme",
        "created_at": "2026-11-23T08:00:00Z",
    });
    answer(server, "POST", "/v1/customers", made).await;
    let stepped_up = json!({ "second_factor_at": "2026-11-23T08:00:00Z", "fresh_for_seconds": 300 });
    answer(server, "POST", "/v1/auth/step-up", stepped_up).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_gives_the_password_and_then_the_second_factor() {
    for (given, expected) in [
        ("123456", json!({ "totp": "123456" })),
        ("123 456", json!({ "totp": "123456" })),
        ("7K3M-9QXA-0F2T-HV5C", json!({ "recovery_code": "7K3M-9QXA-0F2T-HV5C" })),
    ] {
        let vault = vault().await;
        let home = Home::at(&vault.uri());
        let output = run(home.claviger(&["login", "anna", "--stdin"]), &format!("correct horse\n{given}\n"));
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let proof = json!({ "challenge": "cvc_1", "second_factor": expected });
        assert_eq!(sent(&vault, "/v1/auth/mfa").await, [proof]);
        assert!(home.state.path().join("claviger/session.json").exists());
    }
    let vault = vault().await;
    let output = run(Home::at(&vault.uri()).claviger(&["login", "anna", "--stdin"]), "correct horse\n");
    assert_eq!(code(&output), 2, "there is no code");
    assert!(stderr(&output).contains("authenticator app"), "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wants_a_fresh_factor_asks_for_it_on_a_terminal_and_goes_on() {
    let vault = vault().await;
    wants_a_fresh_factor(&vault).await;
    let home = Home::at(&vault.uri());
    assert_eq!(code(&run(home.claviger(&["login", "anna", "--stdin"]), "correct horse\n123456\n")), 0);
    let output = as_user_on_a_terminal(&home, "customer add acme --name Acme", "654321\n");
    let screen = stdout(&output);
    assert_eq!(code(&output), 0, "{screen}");
    assert!(screen.contains("fresh second factor") && !screen.contains("654321"), "{screen:?}");
    assert_eq!(sent(&vault, "/v1/auth/step-up").await, [json!({ "totp": "654321" })]);
    let requests = vault.received_requests().await.unwrap();
    let tries: Vec<_> = requests.iter().filter(|request| request.url.path() == "/v1/customers").collect();
    assert_eq!(tries.len(), 2);
    assert_eq!(tries[0].headers["idempotency-key"], tries[1].headers["idempotency-key"], "it is the same request");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_be_asked_a_wish_for_a_fresh_factor_is_told() {
    let vault = vault().await;
    wants_a_fresh_factor(&vault).await;
    let home = Home::at(&vault.uri());
    assert_eq!(code(&run(home.claviger(&["login", "anna", "--stdin"]), "correct horse\n123456\n")), 0);
    let output = run(home.claviger(&["customer", "add", "acme", "--name", "Acme"]), "654321\n");
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("claviger mfa step-up"), "{}", stderr(&output));
    assert_eq!(asked(&vault, "/v1/auth/step-up").await, 0);
    let stepped_up = run(home.claviger(&["mfa", "step-up", "--stdin"]), "654321\n");
    assert_eq!(code(&stepped_up), 0, "{}", stderr(&stepped_up));
    assert_eq!(code(&run(home.claviger(&["customer", "add", "acme", "--name", "Acme"]), "")), 0);
}

/// The page, the number to compare, and the code that the page shows.
#[tokio::test(flavor = "multi_thread")]
async fn who_types_nothing_shows_a_passkey_in_a_browser() {
    let vault = vault().await;
    wants_a_fresh_factor(&vault).await;
    let url = "https://vault.example/passkey#7K3M-9QXA-0F2T-HV5C";
    let ceremony = json!({ "url": url, "mark": "418", "expires_in_seconds": 300 });
    answer(&vault, "POST", "/v1/auth/passkeys/step-up", ceremony).await;
    let home = Home::at(&vault.uri());
    assert_eq!(code(&run(home.claviger(&["login", "anna", "--stdin"]), "correct horse\n123456\n")), 0);
    let output = as_user_on_a_terminal(&home, "customer add acme --name Acme", "\n1234 5678\n");
    let screen = stdout(&output);
    assert_eq!(code(&output), 0, "{screen}");
    assert!(screen.contains(url) && screen.contains("418") && !screen.contains("5678"), "{screen:?}");
    assert_eq!(sent(&vault, "/v1/auth/step-up").await, [json!({ "passkey": "12345678" })]);
}
