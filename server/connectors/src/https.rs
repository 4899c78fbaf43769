//! One exchange over HTTPS with a server that an administrator named, e.g. for the keys of an issuer of tokens.
//!
//! It goes through a [`Dial`], so the same addresses are refused as for customers' systems. No redirect is followed, and
//! neither a slow nor a talkative server costs more than [`EXCHANGE_WITHIN`] and the bytes that were asked for.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::wire::HttpsUrl;
use http_body_util::Full;
use hyper::Request;
pub use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::http::request::Builder;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

pub use crate::exchange::Answer;
use crate::exchange::{self, NoAnswer};
use crate::trust::{BadCa, roots};
use crate::{Dial, DialError};

/// Connection, question and answer together take no longer.
pub const EXCHANGE_WITHIN: Duration = Duration::from_secs(5);

/// A question: GET, or POST of a form, of JSON or of lines.
pub enum Question {
    /// GET.
    Get,
    /// POST of an `application/x-www-form-urlencoded` body.
    Form {
        /// The body; wiped by whoever made it so.
        body: Bytes,
        /// The header `Authorization`, which is never logged.
        authorization: Option<Zeroizing<String>>,
    },
    /// POST of a plain text.
    Text {
        /// The text.
        body: Bytes,
    },
    /// POST of an `application/json` body.
    Json {
        /// The body.
        body: Bytes,
        /// Further headers, by their lower-case names.
        headers: Vec<(&'static str, String)>,
    },
    /// POST of a body of lines.
    Lines {
        /// The body.
        body: Bytes,
        /// Their media type.
        media_type: &'static str,
        /// The header `Authorization`, which is never logged.
        authorization: Option<Zeroizing<String>>,
    },
}

/// Why there is no answer. None of these holds anything of the question.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The CA cannot be read.
    #[error(transparent)]
    Ca(#[from] BadCa),
    /// No TLS, or not with whom it should be.
    #[error("no trusted TLS connection: {0}")]
    Tls(String),
    /// The connection broke.
    #[error("the exchange failed: {0}")]
    Broken(String),
    /// Another status than 200. A redirect is one: the address that was named is the one that is asked.
    #[error("it answered with status {0}")]
    Status(u16),
    /// Too long.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
    /// Too slow.
    #[error("it did not answer within {} s", EXCHANGE_WITHIN.as_secs())]
    TimedOut,
}

/// The body of a 200 answer, at most `most` bytes of it.
pub async fn ask(
    dial: &dyn Dial,
    url: &HttpsUrl,
    ca_certificate: Option<&str>,
    question: Question,
    most: usize,
) -> Result<Bytes, HttpsError> {
    let Answer { status, body } = ask_for_any(dial, url, ca_certificate, question, most).await?;
    if status == hyper::StatusCode::OK.as_u16() { Ok(body) } else { Err(HttpsError::Status(status)) }
}

/// An answer of any status: where a refusal is told in its body (RFC 6749 §5.2). A redirect is answered, not followed.
pub async fn ask_for_any(
    dial: &dyn Dial,
    url: &HttpsUrl,
    ca_certificate: Option<&str>,
    question: Question,
    most: usize,
) -> Result<Answer, HttpsError> {
    let config = client_config(ca_certificate)?;
    timeout(EXCHANGE_WITHIN, exchange(dial, url, config, question, most)).await.map_err(|_| HttpsError::TimedOut)?
}

/// The same without TLS, for what is signed by itself and secret to nobody: of the address all but the scheme counts.
pub async fn ask_openly(
    dial: &dyn Dial,
    url: &HttpsUrl,
    question: Question,
    most: usize,
) -> Result<Answer, HttpsError> {
    let exchange = async {
        let (host, port) = url.host_and_port();
        let stream = dial.dial(host, port).await?;
        exchange::exchange(stream, request(url, question)?, most, |_| true).await.map_err(HttpsError::from)
    };
    timeout(EXCHANGE_WITHIN, exchange).await.map_err(|_| HttpsError::TimedOut)?
}

impl From<NoAnswer> for HttpsError {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::Broken(error) => Self::Broken(error.to_string()),
            NoAnswer::TooLong(most) => Self::TooLong(most),
        }
    }
}

async fn exchange(
    dial: &dyn Dial,
    url: &HttpsUrl,
    config: ClientConfig,
    question: Question,
    most: usize,
) -> Result<Answer, HttpsError> {
    let (host, port) = url.host_and_port();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| HttpsError::Tls(error.to_string()))?;
    let stream = dial.dial(host, port).await?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let tls = tls.map_err(|error| HttpsError::Tls(error.to_string()))?;
    exchange::exchange(Box::new(tls), request(url, question)?, most, |_| true).await.map_err(HttpsError::from)
}

fn request(url: &HttpsUrl, question: Question) -> Result<Request<Full<Bytes>>, HttpsError> {
    let request = Request::builder()
        .uri(url.path())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("claviger-server/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json");
    let request = match question {
        Question::Get => request.body(Full::default()),
        Question::Form { body, authorization } => {
            let request = request.method("POST").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            authorized(request, authorization)?.body(Full::new(body))
        }
        Question::Text { body } => {
            request.method("POST").header(CONTENT_TYPE, "text/plain; charset=utf-8").body(Full::new(body))
        }
        Question::Json { body, headers } => {
            let request = request.method("POST").header(CONTENT_TYPE, "application/json");
            headers
                .into_iter()
                .fold(request, |request, (name, value)| request.header(name, value))
                .body(Full::new(body))
        }
        Question::Lines { body, media_type, authorization } => {
            let request = request.method("POST").header(CONTENT_TYPE, media_type);
            authorized(request, authorization)?.body(Full::new(body))
        }
    };
    request.map_err(|error| HttpsError::Broken(error.to_string()))
}

fn authorized(request: Builder, authorization: Option<Zeroizing<String>>) -> Result<Builder, HttpsError> {
    let Some(authorization) = authorization else { return Ok(request) };
    let value = HeaderValue::from_str(&authorization);
    let mut value = value.map_err(|error| HttpsError::Broken(error.to_string()))?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

fn client_config(ca_certificate: Option<&str>) -> Result<ClientConfig, HttpsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| HttpsError::Tls(error.to_string()))?;
    Ok(builder.with_root_certificates(roots(ca_certificate)?).with_no_client_auth())
}
