//! The client: what every resource sends through.

use std::sync::Arc;

use claviger_api::ProblemType;
use claviger_api::wire::{LoginAnswer, LoginRequest, PasskeyCeremony, RefreshRequest, SecondFactor, Tokens};
use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::{Builder as UuidBuilder, Uuid};

use crate::credentials::{AskSecondFactor, Given};
use crate::retry::{Repeat, Retries};
use crate::session::Session;
use crate::transport::{Answer, Call, Transport, encode};
use crate::{Builder, Error, Result};

/// A connection to one Claviger server as one principal. Cheap to clone; clones share connections and session.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    sender: Sender,
    session: Session,
    asks: Option<Arc<dyn AskSecondFactor>>,
}

/// Asks for a passkey, in the session that there is.
pub(crate) const STEP_UP_BY_PASSKEY: &str = "/v1/auth/passkeys/step-up";

/// 128 uniform random bits.
pub(crate) type Random = Box<dyn Fn() -> u128 + Send + Sync>;

/// Sends requests, and sends them again where that helps. Knows of no session.
pub(crate) struct Sender {
    pub(crate) transport: Transport,
    pub(crate) retries: Retries,
    pub(crate) random: Random,
}

impl Client {
    /// Where a client starts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The server's address, as people write it.
    pub fn address(&self) -> String {
        self.inner.sender.transport.address.text()
    }

    pub(crate) fn new(sender: Sender, session: Session, asks: Option<Arc<dyn AskSecondFactor>>) -> Self {
        Self { inner: Arc::new(Inner { sender, session, asks }) }
    }

    /// 128 uniform random bits.
    pub(crate) fn random(&self) -> u128 {
        (self.inner.sender.random)()
    }

    /// The whole address of a path with a query, for another program to ask.
    pub(crate) fn address_of(&self, path: &str, query: &impl Serialize) -> Result<String> {
        let mut url = self.inner.sender.transport.address.join(path);
        url.query_pairs_mut().extend_pairs(pairs(query)?);
        Ok(url.into())
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T> {
        self.send(&Call::get(path)).await?.json()
    }

    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        query: &impl Serialize,
    ) -> Result<T> {
        self.send(&Call::get(path).with_query(query)?).await?.json()
    }

    /// POST with a body and a fresh idempotency key.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: impl Into<String>, body: &impl Serialize) -> Result<T> {
        self.send(&self.inner.sender.keyed_post(path).with_body(body)?).await?.json()
    }

    /// POST without a body, with a fresh idempotency key.
    pub(crate) async fn act<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T> {
        self.send(&self.inner.sender.keyed_post(path)).await?.json()
    }

    /// POST without a body and without an answer.
    pub(crate) async fn act_silently(&self, path: impl Into<String>) -> Result<()> {
        self.send(&self.inner.sender.keyed_post(path)).await.map(drop)
    }

    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: impl Into<String>, body: &impl Serialize) -> Result<T> {
        self.send(&Call::unkeyed(Method::PATCH, path).with_body(body)?).await?.json()
    }

    pub(crate) async fn delete(&self, path: impl Into<String>) -> Result<()> {
        self.send(&Call::unkeyed(Method::DELETE, path)).await.map(drop)
    }

    /// GET that needs no login.
    pub(crate) async fn get_openly<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T> {
        self.inner.sender.send(&Call::get(path), None).await?.json()
    }

    /// POST that needs no login, with a fresh idempotency key.
    pub(crate) async fn post_openly<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<T> {
        self.inner.sender.send(&self.inner.sender.keyed_post(path).with_body(body)?, None).await?.json()
    }

    /// POST of what is good once, like a code: it is only repeated when it was certainly not used.
    pub(crate) async fn post_once<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<T> {
        self.send(&Call::unkeyed(Method::POST, path).with_body(body)?).await?.json()
    }

    /// The same without an answer.
    pub(crate) async fn post_once_silently(&self, path: impl Into<String>, body: &impl Serialize) -> Result<()> {
        self.send(&Call::unkeyed(Method::POST, path).with_body(body)?).await.map(drop)
    }

    /// The same without a login.
    pub(crate) async fn post_openly_once<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<T> {
        self.inner.sender.send(&Call::unkeyed(Method::POST, path).with_body(body)?, None).await?.json()
    }

    /// Logs in as somebody, without touching the client's own session.
    pub(crate) async fn login(&self, request: &LoginRequest) -> Result<LoginAnswer> {
        self.inner.sender.login(request).await
    }

    /// GET whose answer is read piece by piece. It is not retried: pieces may have been used already.
    pub(crate) async fn open(&self, path: impl Into<String>, query: &impl Serialize) -> Result<Response> {
        self.open_after(path, query, None).await
    }

    /// GET of what is sent as it happens, after the event that was seen last.
    pub(crate) async fn open_after(
        &self,
        path: impl Into<String>,
        query: &impl Serialize,
        seen: Option<u64>,
    ) -> Result<Response> {
        let call = Call { seen, ..Call::get(path).with_query(query)? };
        let inner = &*self.inner;
        let access = inner.session.access(&inner.sender).await?;
        match inner.sender.transport.open(&call, Some(&access.token)).await {
            Err(error) if error.session_is_over() => {
                inner.session.refused(&access).await;
                let access = inner.session.access(&inner.sender).await?;
                inner.sender.transport.open(&call, Some(&access.token)).await
            }
            outcome => outcome,
        }
    }

    /// An open answer has ended before its time.
    pub(crate) fn broke(&self) -> Error {
        let address = self.inner.sender.transport.address.text();
        Error::Broken { address, why: "the connection ended".to_owned() }
    }

    /// Waits before another attempt at what may be repeated, or gives up with what failed.
    pub(crate) async fn before_another(&self, attempt: u32, failed: Error) -> Result<()> {
        self.inner.sender.before_another(attempt, failed, Repeat::Safe).await
    }

    /// What a failure while reading an open answer means.
    pub(crate) fn failure(&self, error: &reqwest::Error) -> Error {
        let transport = &self.inner.sender.transport;
        transport.failure(error, transport.timeout)
    }

    /// Sends as the client's principal. Where the server wants a fresh second factor and somebody can be asked for it, it
    /// is proven, and the request sent once more; it was not carried out, so that its key is still good.
    async fn send(&self, call: &Call) -> Result<Answer> {
        match (self.send_in_session(call).await, &self.inner.asks) {
            (Err(error), Some(asks)) if error.problem_type() == Some(ProblemType::FreshFactorNeeded) => {
                let Some(proof) = self.second_factor(asks).await? else { return Err(error) };
                self.send_in_session(&Call::unkeyed(Method::POST, "/v1/auth/step-up").with_body(&proof)?).await?;
                self.send_in_session(call).await
            }
            (outcome, _) => outcome,
        }
    }

    /// What the person at the keyboard gives: a code, or, once a browser has shown a passkey, the code of that.
    async fn second_factor(&self, asks: &Arc<dyn AskSecondFactor>) -> Result<Option<SecondFactor>> {
        let asked = Arc::clone(asks);
        let given = tokio::task::spawn_blocking(move || asked.ask()).await.ok().flatten();
        match given {
            Some(Given::Proof(proof)) => Ok(Some(proof)),
            Some(Given::Passkey) => {
                let call = self.inner.sender.keyed_post(STEP_UP_BY_PASSKEY);
                let ceremony: PasskeyCeremony = self.send_in_session(&call).await?.json()?;
                let asked = Arc::clone(asks);
                let code = tokio::task::spawn_blocking(move || asked.code_of(&ceremony)).await.ok().flatten();
                Ok(code.map(|code| SecondFactor::Passkey(code.disclose())))
            }
            None => Ok(None),
        }
    }

    /// Sends as the client's principal; a session that has ended is renewed once.
    async fn send_in_session(&self, call: &Call) -> Result<Answer> {
        let inner = &*self.inner;
        let access = inner.session.access(&inner.sender).await?;
        match inner.sender.send(call, Some(&access.token)).await {
            Err(error) if error.session_is_over() => {
                inner.session.refused(&access).await;
                let access = inner.session.access(&inner.sender).await?;
                inner.sender.send(call, Some(&access.token)).await
            }
            outcome => outcome,
        }
    }
}

impl Sender {
    /// Logs in. Every login is a session of its own, so that repeating it is safe and a key has no use.
    pub(crate) async fn login(&self, request: &LoginRequest) -> Result<LoginAnswer> {
        let call = Call { repeat: Repeat::Safe, ..Call::unkeyed(Method::POST, "/v1/auth/login") };
        self.send(&call.with_body(request)?, None).await?.json()
    }

    /// Exchanges a refresh token, which is good once: only repeated when it was certainly not used.
    pub(crate) async fn refresh(&self, request: &RefreshRequest) -> Result<Tokens> {
        self.send(&Call::unkeyed(Method::POST, "/v1/auth/refresh").with_body(request)?, None).await?.json()
    }

    fn keyed_post(&self, path: impl Into<String>) -> Call {
        let key = UuidBuilder::from_random_bytes((self.random)().to_be_bytes()).into_uuid();
        Call { key: Some(key.to_string()), repeat: Repeat::Safe, ..Call::unkeyed(Method::POST, path) }
    }

    async fn send(&self, call: &Call, bearer: Option<&claviger_api::Secret>) -> Result<Answer> {
        let mut attempt = 1;
        loop {
            let error = match self.transport.attempt(call, bearer).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            self.before_another(attempt, error, call.repeat).await?;
            attempt += 1;
        }
    }

    async fn before_another(&self, attempt: u32, failed: Error, repeat: Repeat) -> Result<()> {
        let random = Uuid::from_u128((self.random)()).as_u64_pair().1;
        let Some(wait) = self.retries.wait_after(attempt, &failed, repeat, random) else { return Err(failed) };
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

impl Call {
    fn get(path: impl Into<String>) -> Self {
        Self { repeat: Repeat::Safe, ..Self::unkeyed(Method::GET, path) }
    }

    fn unkeyed(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            key: None,
            seen: None,
            repeat: Repeat::IfNotDone,
        }
    }

    fn with_body(self, body: &impl Serialize) -> Result<Self> {
        Ok(Self { body: Some(encode(body)?), ..self })
    }

    /// The fields of a query type; absent ones are left out.
    fn with_query(self, query: &impl Serialize) -> Result<Self> {
        Ok(Self { query: pairs(query)?, ..self })
    }
}

/// The fields of a query type as names and values.
fn pairs(query: &impl Serialize) -> Result<Vec<(String, String)>> {
    use serde_json::Value;

    let unwritable = || Error::usage("the query cannot be written");
    let fields = match serde_json::to_value(query) {
        Ok(Value::Object(fields)) => fields,
        // Nothing is asked for.
        Ok(Value::Null) => return Ok(Vec::new()),
        Ok(_) | Err(_) => return Err(unwritable()),
    };
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Bool(flag) => Ok((name, flag.to_string())),
            Value::Number(number) => Ok((name, number.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(unwritable()),
        })
        .collect()
}
