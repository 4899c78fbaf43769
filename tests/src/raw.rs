//! HTTP without the client library: for requests that it would never send, and keys of the test's own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot ask cannot go on")]

use std::time::Duration;

use claviger_api::{Problem, ProblemType};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

/// Longer than any answer takes, those that wait for a customer's system included.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// Somebody, or nobody, who speaks bare HTTP to a vault.
#[derive(Clone)]
pub struct Raw {
    http: reqwest::Client,
    address: String,
    token: Option<String>,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Raw {
    /// Nobody, at this address.
    pub fn nobody(address: &str) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX).build().unwrap();
        Self { http, address: address.to_owned(), token: None }
    }

    /// Somebody with this bearer token.
    pub fn with_token(address: &str, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..Self::nobody(address) }
    }

    /// A request in the making.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.address));
        match &self.token {
            Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
            None => request,
        }
    }

    /// Sends a request; fails where the connection does.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Reply { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await.expect("an answer")
    }

    /// Any method, with or without a body of JSON.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        };
        self.send(request).await.expect("an answer")
    }

    /// `POST` of exactly these bytes as JSON.
    pub async fn post_bytes(&self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        let request = self.request(Method::POST, path).header(CONTENT_TYPE, "application/json").body(body.into());
        self.send(request).await.expect("an answer")
    }

    /// `POST` with an idempotency key; fails where the connection does.
    pub async fn post_once(&self, path: &str, key: &str, body: Option<&Value>) -> Result<Reply, reqwest::Error> {
        let request = self.request(Method::POST, path).header("Idempotency-Key", key);
        let request = match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string()),
            None => request,
        };
        self.send(request).await
    }
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as the problem document that it must be.
    pub fn problem(&self) -> Problem {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "{}: {kind}: {}", self.status, self.text());
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        problem
    }

    /// The problem's row of the table.
    pub fn problem_type(&self) -> ProblemType {
        self.problem().problem_type().unwrap_or_else(|| panic!("not in the table: {}", self.text()))
    }

    /// The body of a success as JSON.
    pub fn success(&self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.text());
        self.json()
    }
}
