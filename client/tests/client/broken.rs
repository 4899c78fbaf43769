//! Answers that are none, and secrets that must not leak through the complaint about them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use claviger_client::{Client, Error, Exit, Retries};
use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, ResponseTemplate};

use crate::answers::{CHECKOUT, SECRET, builder, client, ok, revealed, seen, server};

/// A server that writes these bytes to each connection and closes it; with the count of its connections.
fn raw_server(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
        }
    });
    (address, count)
}

fn hasty(address: &str) -> Client {
    let retries = Retries { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_millis(1) };
    Client::builder().address(address).retries(retries).timeout(Duration::from_millis(300)).build().unwrap()
}

#[tokio::test]
async fn garbage_is_a_bad_answer_and_its_text_stays_out_of_the_error() {
    let server = server().await;
    let mut wrong = revealed();
    wrong["version"] = json!(SECRET);
    for body in [ok(wrong), ok(json!({"secret": SECRET})), ResponseTemplate::new(200).set_body_string(SECRET)] {
        server.reset().await;
        crate::answers::login(&server, "jwt", 900).await;
        Mock::given(path(format!("/v1/checkouts/{CHECKOUT}/reveal"))).respond_with(body).mount(&server).await;
        let Err(error) = client(&server).checkouts().reveal(CHECKOUT.parse().unwrap()).await else {
            panic!("garbage was taken for an answer")
        };
        assert!(matches!(error, Error::BadAnswer { status: 200, .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        assert_eq!(error.exit(), Exit::Failed);
    }
}

#[tokio::test]
async fn a_refusal_that_is_no_problem_document_is_a_bad_answer() {
    let server = server().await;
    Mock::given(path("/v1/me"))
        .respond_with(ResponseTemplate::new(404).set_body_raw("<html>nginx</html>", "text/html"))
        .mount(&server)
        .await;
    let error = client(&server).auth().me().await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { status: 404, .. }), "{error}");
    assert_eq!(seen(&server, "/v1/me").await.len(), 1);
}

#[tokio::test]
async fn half_an_answer_is_tried_again_and_then_told_as_broken() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"seal\":";
    for answer in [half.as_slice(), b"HTTP/1.1 200 OK\r\nConten", b""] {
        let (address, count) = raw_server(answer);
        let error = hasty(&address).sys().health().await.unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error:?}");
        assert!(error.outcome_unknown());
        assert_eq!(error.exit(), Exit::Unavailable);
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_refused_before_it_fills_the_memory() {
    let huge = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n{";
    let (address, count) = raw_server(huge);
    let error = hasty(&address).sys().health().await.unwrap_err();
    assert!(matches!(&error, Error::BadAnswer { why, .. } if why.contains("longer")), "{error:?}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout() {
    let server = server().await;
    Mock::given(path("/v1/me")).respond_with(ok(json!({})).set_delay(Duration::from_mins(1))).mount(&server).await;
    let client = builder(&server).timeout(Duration::from_millis(50)).build().unwrap();
    let error = client.auth().me().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(seen(&server, "/v1/me").await.len(), 4);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = hasty(&format!("http://127.0.0.1:{port}")).sys().health().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    assert!(!error.outcome_unknown());
    assert_eq!(error.exit(), Exit::Unavailable);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let elsewhere = server().await;
    let server = server().await;
    let to = format!("{}/v1/me", elsewhere.uri());
    Mock::given(path("/v1/me"))
        .respond_with(ResponseTemplate::new(307).insert_header("location", to))
        .mount(&server)
        .await;
    let error = client(&server).auth().me().await.unwrap_err();
    assert!(matches!(error, Error::BadAnswer { status: 307, .. }), "{error:?}");
    assert!(seen(&elsewhere, "/v1/me").await.is_empty());
}

#[tokio::test]
async fn an_export_that_is_cut_short_is_no_whole_export() {
    let server = server().await;
    Mock::given(path("/v1/audit/export"))
        .respond_with(ResponseTemplate::new(200).set_body_raw("{}\n", "application/jsonl"))
        .mount(&server)
        .await;
    let mut export = client(&server).audit().export(None, None).await.unwrap();
    assert_eq!(export.chunk().await.unwrap().as_deref(), Some(b"{}\n".as_slice()));
    assert!(export.chunk().await.unwrap().is_none());

    let cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n";
    let (address, _) = raw_server(cut);
    let client = Client::builder()
        .address(address)
        .credentials(claviger_client::Credentials::Session {
            access: crate::answers::secret("a"),
            refresh: crate::answers::secret("r"),
        })
        .build()
        .unwrap();
    let mut export = client.audit().export(None, None).await.unwrap();
    let end = loop {
        match export.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(end, Err(Error::Broken { .. })), "{end:?}");
}
