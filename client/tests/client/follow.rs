//! Events as they happen, over connections that break.

use claviger_client::Error;
use claviger_client::api::wire::AuditQuery;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::answers::{client, server};

const PATH: &str = "/v1/audit/events/follow";

fn event(index: u64) -> String {
    format!(
        "id: {index}\nevent: checkout.ended\ndata: {{\"index\":{index},\"time\":\"2026-11-23T08:00:00Z\",\"kind\":\"checkout.ended\",\"fields\":{{}}}}\n\n"
    )
}

async fn answers(server: &MockServer, last: Option<&str>, body: String) {
    let mock = Mock::given(method("GET")).and(path(PATH));
    let mock = match last {
        Some(last) => mock.and(header("last-event-id", last)),
        None => mock,
    };
    let stream = ResponseTemplate::new(200).set_body_raw(body, "text/event-stream");
    mock.respond_with(stream).up_to_n_times(1).with_priority(if last.is_some() { 1 } else { 9 }).mount(server).await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_made_anew_behind_what_was_seen() {
    let server = server().await;
    answers(&server, None, format!(":\n\n{}{}", event(3), event(5))).await;
    answers(&server, Some("5"), format!("{}{}", event(7), "id: 8\nda")).await;
    answers(&server, Some("7"), event(8)).await;
    let client = client(&server);
    let mut following = client.audit().follow(AuditQuery::default(), None);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(following.next().await.unwrap().index);
    }
    assert_eq!(seen, [3, 5, 7, 8], "none is missed, and none comes twice");
    // Nobody answers any more: it is said, and not tried for ever.
    assert!(matches!(following.next().await, Err(Error::BadAnswer { status: 404, .. })));
}
