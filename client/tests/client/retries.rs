//! What is sent again, how often, and with which key.

use claviger_client::Error;
use claviger_client::api::{Part, ProblemType};
use serde_json::json;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::answers::{CHECKOUT, checkout, client, new_checkout, ok, problem, seen, server};

/// The first answers are refusals, then the server does it.
async fn mount(server: &MockServer, verb: &str, at: &str, first: ResponseTemplate, times: u64, then: ResponseTemplate) {
    Mock::given(method(verb)).and(path(at)).respond_with(first).up_to_n_times(times).mount(server).await;
    Mock::given(method(verb)).and(path(at)).respond_with(then).mount(server).await;
}

fn keys(requests: &[wiremock::Request]) -> Vec<String> {
    requests
        .iter()
        .map(|request| request.headers.get("idempotency-key").unwrap().to_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_post_keeps_its_key_over_its_retries_and_the_next_post_has_another() {
    let server = server().await;
    let busy = problem(ProblemType::Unavailable);
    mount(&server, "POST", "/v1/checkouts", busy, 2, ok(checkout())).await;
    let client = client(&server);

    let made = client.checkouts().create(&new_checkout()).await.unwrap();
    assert_eq!(made.id.to_string(), CHECKOUT);
    client.checkouts().create(&new_checkout()).await.unwrap();

    let keys = keys(&seen(&server, "/v1/checkouts").await);
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[1], keys[2]);
    assert_ne!(keys[2], keys[3]);
    assert_eq!(keys[0].len(), 36, "a UUID: {}", keys[0]);
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_again_with_the_same_key() {
    for unknown in [ProblemType::OutcomeUnknown, ProblemType::Internal] {
        let server = server().await;
        mount(&server, "POST", "/v1/checkouts", problem(unknown), 1, ok(checkout())).await;
        client(&server).checkouts().create(&new_checkout()).await.unwrap();
        let keys = keys(&seen(&server, "/v1/checkouts").await);
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0], keys[1]);
    }
}

#[tokio::test]
async fn attempts_end_and_the_last_refusal_is_the_outcome() {
    let server = server().await;
    let busy = problem(ProblemType::TooManyRequests).insert_header("retry-after", "0");
    Mock::given(path("/v1/me")).respond_with(busy).mount(&server).await;
    let error = client(&server).auth().me().await.unwrap_err();
    assert_eq!(error.problem_type(), Some(ProblemType::TooManyRequests));
    assert_eq!(seen(&server, "/v1/me").await.len(), 4);
}

#[tokio::test]
async fn a_retry_after_that_is_too_long_is_told_instead_of_waited_for() {
    let server = server().await;
    let busy = problem(ProblemType::TooManyRequests).insert_header("retry-after", "3600");
    Mock::given(path("/v1/me")).respond_with(busy).mount(&server).await;
    let error = client(&server).auth().me().await.unwrap_err();
    assert_eq!(error.problem().unwrap().retry_after_seconds, Some(3600));
    assert_eq!(seen(&server, "/v1/me").await.len(), 1);
}

#[tokio::test]
async fn what_does_not_pass_by_itself_is_told_at_once() {
    for refusal in [ProblemType::Sealed, ProblemType::AccountHeld, ProblemType::Conflict, ProblemType::SystemFailed] {
        let server = server().await;
        Mock::given(path("/v1/checkouts")).respond_with(problem(refusal)).mount(&server).await;
        let error = client(&server).checkouts().create(&new_checkout()).await.unwrap_err();
        assert_eq!(error.problem_type(), Some(refusal));
        assert_eq!(seen(&server, "/v1/checkouts").await.len(), 1, "{refusal:?}");
    }
}

#[tokio::test]
async fn a_delete_is_not_repeated_when_it_may_have_been_done() {
    let acme: Part = "acme".parse().unwrap();
    let server = server().await;
    Mock::given(method("DELETE")).respond_with(problem(ProblemType::OutcomeUnknown)).mount(&server).await;
    let error = client(&server).customers().remove(&acme).await.unwrap_err();
    assert!(error.outcome_unknown());
    assert_eq!(seen(&server, "/v1/customers/acme").await.len(), 1);
}

#[tokio::test]
async fn a_delete_is_repeated_when_it_was_certainly_not_done() {
    let acme: Part = "acme".parse().unwrap();
    let server = server().await;
    let done = ResponseTemplate::new(204);
    mount(&server, "DELETE", "/v1/customers/acme", problem(ProblemType::Unavailable), 1, done).await;
    client(&server).customers().remove(&acme).await.unwrap();
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_an_endless_one_is_refused() {
    use wiremock::matchers::{query_param, query_param_is_missing};

    let principal = |name: &str| {
        json!({"id": "pr_0197a3c2e1f07b1a8c3d4e5f60718293", "kind": "user", "name": name, "state": "active",
               "created_at": "2026-11-23T08:00:00Z"})
    };
    let server = server().await;
    let page = |items, next: Option<&str>| ok(json!({"items": items, "next_cursor": next}));
    Mock::given(path("/v1/users"))
        .and(query_param_is_missing("cursor"))
        .respond_with(page(json!([principal("anna")]), Some("c1")))
        .mount(&server)
        .await;
    Mock::given(path("/v1/users"))
        .and(query_param("cursor", "c1"))
        .respond_with(page(json!([principal("bert")]), None))
        .mount(&server)
        .await;
    let names: Vec<String> =
        client(&server).users().list().all().await.unwrap().iter().map(|user| user.name.to_string()).collect();
    assert_eq!(names, ["anna", "bert"]);

    Mock::given(path("/v1/service-accounts")).respond_with(page(json!([]), Some("same"))).mount(&server).await;
    let error = client(&server).service_accounts().list().all().await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}
