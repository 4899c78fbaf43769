//! One attempt at one request: bytes out, bytes in, every failure named.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use claviger_api::{Problem, Secret};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::retry::Repeat;
use crate::{Error, Result};

/// What the client calls itself.
pub const USER_AGENT: &str = concat!("claviger-client/", env!("CARGO_PKG_VERSION"));
/// The most bytes of one answer, exports excepted: a page of 1,000 rows fits many times over.
pub const ANSWER_MAX: usize = 16 * 1024 * 1024;

/// A request, ready to be sent as often as it takes.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// Name and value of each query parameter, in clear.
    pub(crate) query: Vec<(String, String)>,
    /// Wiped when the last owner drops it.
    pub(crate) body: Option<Bytes>,
    /// The `Idempotency-Key`, the same for every attempt.
    pub(crate) key: Option<String>,
    /// The `Last-Event-ID` of whoever comes back to what happens.
    pub(crate) seen: Option<u64>,
    pub(crate) repeat: Repeat,
}

/// The status and body of a success.
pub(crate) struct Answer {
    status: StatusCode,
    body: Zeroizing<Vec<u8>>,
}

/// The connection pool and the address it talks to.
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    pub(crate) address: Address,
    /// How long one attempt may take.
    pub(crate) timeout: Duration,
}

impl Transport {
    /// Sends a request once and reads the whole answer.
    pub(crate) async fn attempt(&self, call: &Call, bearer: Option<&Secret>) -> Result<Answer> {
        let request = self.request(call, bearer)?.timeout(self.timeout);
        let response = request.send().await.map_err(|error| self.failure(&error, self.timeout))?;
        let status = response.status();
        let retry_after = seconds(response.headers().get(RETRY_AFTER));
        let is_problem = is_problem(response.headers().get(CONTENT_TYPE));
        let body = self.read(response).await?;
        if status.is_success() {
            Ok(Answer { status, body })
        } else {
            Err(refusal(status, is_problem, retry_after, &body))
        }
    }

    /// Sends a request once and leaves the body of a success unread.
    pub(crate) async fn open(&self, call: &Call, bearer: Option<&Secret>) -> Result<Response> {
        let response = self.request(call, bearer)?.send().await.map_err(|error| self.failure(&error, self.timeout))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let retry_after = seconds(response.headers().get(RETRY_AFTER));
        let is_problem = is_problem(response.headers().get(CONTENT_TYPE));
        let body = self.read(response).await?;
        Err(refusal(status, is_problem, retry_after, &body))
    }

    /// What a failure of the HTTP library means to the caller.
    pub(crate) fn failure(&self, error: &reqwest::Error, after: Duration) -> Error {
        let address = self.address.text();
        if let Some(tls) = tls_cause(error) {
            return Error::Tls { address, why: tls.to_string() };
        }
        let why = root_cause(error);
        match (error.is_connect(), error.is_timeout()) {
            (true, _) => Error::Unreachable { address, why },
            (false, true) => Error::Timeout { address, after },
            (false, false) => Error::Broken { address, why },
        }
    }

    fn request(&self, call: &Call, bearer: Option<&Secret>) -> Result<reqwest::RequestBuilder> {
        let mut request = self.http.request(call.method.clone(), self.address.join(&call.path));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(bearer) = bearer {
            let text = Zeroizing::new(format!("Bearer {}", bearer.expose()));
            let mut value = HeaderValue::from_str(&text).map_err(|_| Error::usage("the access token is not one"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(key) = &call.key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(seen) = call.seen {
            request = request.header("Last-Event-ID", seen);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        Ok(request)
    }

    /// Reads a body of at most [`ANSWER_MAX`] bytes into memory that is wiped.
    async fn read(&self, mut response: Response) -> Result<Zeroizing<Vec<u8>>> {
        let status = response.status().as_u16();
        let too_long = || Error::BadAnswer { status, why: format!("it is longer than {ANSWER_MAX} bytes") };
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > ANSWER_MAX {
            return Err(too_long());
        }
        let mut body = Zeroizing::new(Vec::with_capacity(announced));
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(&error, self.timeout))? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(too_long());
            }
            append(&mut body, &chunk);
        }
        Ok(body)
    }
}

impl Answer {
    /// The body as a wire type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| Error::BadAnswer {
            status: self.status.as_u16(),
            // serde's own message may quote the value, which may be a secret.
            why: format!("not the expected JSON at line {}, column {}", error.line(), error.column()),
        })
    }
}

/// A value as JSON, in one exact allocation that is wiped when the last owner drops it.
pub(crate) fn encode(value: &impl Serialize) -> Result<Bytes> {
    let unwritable = |_| Error::usage("the request cannot be written as JSON");
    let mut size = Count(0);
    serde_json::to_writer(&mut size, value).map_err(unwritable)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.0));
    serde_json::to_writer(&mut *bytes, value).map_err(unwritable)?;
    Ok(Bytes::from_owner(bytes))
}

/// Counts bytes instead of keeping them.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends, and wipes what a growing buffer leaves behind.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.capacity() - body.len() < chunk.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((body.len() + chunk.len()) * 2));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

fn refusal(status: StatusCode, is_problem: bool, retry_after: Option<u64>, body: &[u8]) -> Error {
    let why = "a refusal without a problem document; is there a proxy before the server?".to_owned();
    let Some(mut problem) = is_problem.then(|| serde_json::from_slice::<Problem>(body).ok()).flatten() else {
        return Error::BadAnswer { status: status.as_u16(), why };
    };
    problem.retry_after_seconds = problem.retry_after_seconds.or(retry_after);
    Error::Problem(Box::new(problem))
}

fn is_problem(content_type: Option<&HeaderValue>) -> bool {
    content_type.and_then(|value| value.to_str().ok()).is_some_and(|text| text.starts_with("application/problem+json"))
}

/// `Retry-After` in seconds; its form as a date is not one of ours.
fn seconds(retry_after: Option<&HeaderValue>) -> Option<u64> {
    retry_after?.to_str().ok()?.trim().parse().ok()
}

/// The TLS failure under an HTTP failure, if that is what it was.
fn tls_cause(error: &reqwest::Error) -> Option<&rustls::Error> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// The innermost message: what really happened, without the URL.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "it failed".to_owned(), ToString::to_string)
}

/// What is under an error, from the outside in. An I/O error hides what it wraps from `source`.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| {
        match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => cause.source(),
        }
    })
}
