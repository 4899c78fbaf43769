//! Sessions are opened when needed, shared by those who come together, and renewed once.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use claviger_client::api::ProblemType;
use claviger_client::{Credentials, Error, KeptSession, OpenSession, SessionKeeper};
use serde_json::json;
use wiremock::matchers::{body_partial_json, header, path};
use wiremock::{Mock, MockServer};

use crate::answers::{builder, client, login, ok, problem, secret, seen, server, tokens};

/// The server takes this token and refuses every other as ended.
async fn takes(server: &MockServer, token: &str) {
    Mock::given(path("/v1/users"))
        .and(header("authorization", format!("Bearer {token}")))
        .respond_with(ok(json!({"items": []})))
        .mount(server)
        .await;
    Mock::given(path("/v1/users"))
        .respond_with(problem(ProblemType::SessionEnded))
        .with_priority(9)
        .mount(server)
        .await;
}

#[tokio::test]
async fn calls_that_come_together_share_one_login() {
    let server = server().await;
    takes(&server, "jwt-1").await;
    let client = client(&server);
    let users = client.users();
    let (a, b, c) = (users.list(), users.list(), users.list());
    let (a, b, c) = tokio::join!(a.all(), b.all(), c.all());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert_eq!(seen(&server, "/v1/auth/login").await.len(), 1);
}

#[tokio::test]
async fn a_session_that_has_ended_is_renewed_once() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/auth/login"))
        .respond_with(ok(tokens("old", 900, None)))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    login(&server, "new", 900).await;
    takes(&server, "new").await;
    client(&server).users().list().all().await.unwrap();
    assert_eq!(seen(&server, "/v1/auth/login").await.len(), 2);
    assert_eq!(seen(&server, "/v1/users").await.len(), 2);
}

#[tokio::test]
async fn a_session_that_ends_at_once_again_is_not_renewed_for_ever() {
    let server = server().await;
    takes(&server, "another").await;
    let error = client(&server).users().list().all().await.unwrap_err();
    assert_eq!(error.problem_type(), Some(ProblemType::SessionEnded));
    assert_eq!(seen(&server, "/v1/users").await.len(), 2);
}

#[tokio::test]
async fn an_access_token_is_renewed_before_it_ends() {
    let server = MockServer::start().await;
    login(&server, "short", 0).await;
    takes(&server, "short").await;
    let client = client(&server);
    client.users().list().all().await.unwrap();
    client.users().list().all().await.unwrap();
    assert_eq!(seen(&server, "/v1/auth/login").await.len(), 2, "its whole life is over");
}

#[tokio::test]
async fn wrong_credentials_are_told_at_once() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/auth/login")).respond_with(problem(ProblemType::InvalidCredentials)).mount(&server).await;
    let error = client(&server).auth().me().await.unwrap_err();
    assert_eq!(error.problem_type(), Some(ProblemType::InvalidCredentials));
    assert_eq!(seen(&server, "/v1/auth/login").await.len(), 1);
    assert!(seen(&server, "/v1/me").await.is_empty());
}

#[tokio::test]
async fn nobody_is_not_logged_in() {
    let server = server().await;
    let client = builder(&server).credentials(Credentials::Nobody).build().unwrap();
    assert!(matches!(client.auth().me().await, Err(Error::NotLoggedIn)));
}

/// A session that several clients share, as several programs share a file.
struct Shared(Arc<Mutex<(String, String)>>);

impl SessionKeeper for Shared {
    fn open(&self) -> io::Result<Box<dyn OpenSession>> {
        Ok(Box::new(Self(Arc::clone(&self.0))))
    }
}

impl Shared {
    fn now(&self) -> MutexGuard<'_, (String, String)> {
        self.0.lock().unwrap()
    }
}

impl OpenSession for Shared {
    fn load(&mut self) -> io::Result<Option<KeptSession>> {
        let now = self.now();
        Ok(Some(KeptSession { access: secret(&now.0), refresh: Some(secret(&now.1)) }))
    }

    fn store(&mut self, session: &KeptSession) -> io::Result<()> {
        *self.now() = (session.access.expose().to_owned(), session.refresh.as_ref().unwrap().expose().to_owned());
        Ok(())
    }
}

#[tokio::test]
async fn a_kept_session_is_refreshed_once_for_all_who_share_it() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/auth/refresh"))
        .and(body_partial_json(json!({"refresh_token": "r1"})))
        .respond_with(ok(tokens("a2", 900, Some("r2"))))
        .mount(&server)
        .await;
    takes(&server, "a2").await;
    let kept = Arc::new(Mutex::new(("a1".to_owned(), "r1".to_owned())));
    let program =
        || builder(&server).credentials(Credentials::Kept(Arc::new(Shared(Arc::clone(&kept))))).build().unwrap();
    let (first, second) = (program(), program());

    first.users().list().all().await.unwrap();
    assert_eq!(*kept.lock().unwrap(), ("a2".to_owned(), "r2".to_owned()), "the next refresh token is kept");
    second.users().list().all().await.unwrap();
    assert_eq!(seen(&server, "/v1/auth/refresh").await.len(), 1, "the second takes what the first renewed");
}

/// The second has the old token in its hands when the first renews it.
#[tokio::test]
async fn a_session_that_another_program_has_renewed_is_read_again() {
    let server = MockServer::start().await;
    takes(&server, "a1").await;
    let kept = Arc::new(Mutex::new(("a1".to_owned(), "r1".to_owned())));
    let client = builder(&server).credentials(Credentials::Kept(Arc::new(Shared(Arc::clone(&kept))))).build().unwrap();
    client.users().list().all().await.unwrap();

    server.reset().await;
    takes(&server, "a2").await;
    *kept.lock().unwrap() = ("a2".to_owned(), "r2".to_owned());
    client.users().list().all().await.unwrap();
    assert!(seen(&server, "/v1/auth/refresh").await.is_empty(), "a refresh token is good once");
}
