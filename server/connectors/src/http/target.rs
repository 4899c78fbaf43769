//! An HTTP API as its specification describes it, and one call to it: a connection of its own, one question, one answer.

use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use serde_json::Value;

use super::answer::{Means, Tried};
use super::description::{Call, Description};
use super::request::{Asker, request};
use super::template::Values;
use crate::exchange::{Answer, NoAnswer, exchange};
use crate::failure::{Failure, plain_words};
use crate::{Credential, Dial, SetOutcome, Stream, tls};

/// The most bytes of an answer's body: many times what any of these needs.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The parts of its specification.
pub(super) struct Target {
    host: String,
    port: u16,
    tls: TlsMode,
    ca_certificate: Option<String>,
    pub(super) description: Description,
}

impl Target {
    pub(super) fn of(system: &SystemSpec) -> Result<Self, Failure> {
        match system {
            SystemSpec::Http { host, port, tls, ca_certificate, calls, .. } => {
                let description = Description::of(calls);
                let description = description.map_err(|_| Failure::unknown("its description cannot be read"))?;
                Ok(Self {
                    host: host.clone(),
                    port: *port,
                    tls: *tls,
                    ca_certificate: ca_certificate.clone(),
                    description,
                })
            }
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Manual { .. } => Err(Failure::another_kind()),
        }
    }

    /// Tries a login; where it is taken, what that told and the session that it opened.
    pub(super) async fn log_in(
        &self,
        dial: &dyn Dial,
        login: &Login,
        secret: &Secret,
    ) -> Result<(&'static str, Option<Secret>), Failure> {
        let values = Values { login: Some(login), secret: Some(secret), ..Values::default() };
        self.tried(dial, &self.description.verify, Asker::ITSELF, &values).await
    }

    /// Tries whoever asks for a change; the session that it opened.
    pub(super) async fn open(&self, dial: &dyn Dial, by: &Credential<'_>) -> Result<Option<Secret>, Failure> {
        let opened = match &self.description.verify_manager {
            Some(verify) => {
                let values = Values { manager: Some(by.login), manager_secret: Some(by.secret), ..Values::default() };
                self.tried(dial, verify, Asker::MANAGER, &values).await?
            }
            None => self.log_in(dial, by.login, by.secret).await?,
        };
        Ok(opened.1)
    }

    async fn tried(
        &self,
        dial: &dyn Dial,
        call: &Call<Tried>,
        asker: Asker,
        values: &Values<'_>,
    ) -> Result<(&'static str, Option<Secret>), Failure> {
        let request = request(&call.ask, &self.authority(), asker, values);
        let request = request.map_err(|unfit| Failure::unknown(unfit.words()))?;
        let stream = self.connect(dial).await?;
        let answer = exchange(stream, request, ANSWER_BYTES_MAX, |status| call.reading.knows(status)).await;
        let answer = answer.map_err(|error| lost(&error))?;
        let (status, body) = read(&answer);
        let detail = words(call, status, body.as_ref(), values);
        let Some(tried) = call.reading.meaning(status, body.as_ref()) else { return Err(Failure::unknown(detail)) };
        let told = tried.outcome(detail)?;
        let Some(pointer) = &call.session else { return Ok((told, None)) };
        let token = pointer.text_of(body.as_ref()).and_then(|text| Secret::new(text.to_owned()).ok());
        let token =
            token.ok_or_else(|| Failure::unknown("it took the login and gave no session where one is described"))?;
        Ok((told, Some(token)))
    }

    /// What an answer to a call means, and its words. From the moment on at which the question goes out, no answer is an
    /// unknown outcome.
    pub(super) async fn told<M: Means>(
        &self,
        dial: &dyn Dial,
        call: &Call<M>,
        values: &Values<'_>,
    ) -> Result<(M, String), SetOutcome> {
        let request = request(&call.ask, &self.authority(), Asker::MANAGER, values).map_err(|unfit| {
            let by_policy = unfit.slot == super::Slot::NewSecret;
            SetOutcome::Refused { detail: unfit.words(), by_policy }
        })?;
        let stream = self.connect(dial).await;
        let stream = stream.map_err(|Failure { result, detail }| SetOutcome::NotSent { result, detail })?;
        let answer = exchange(stream, request, ANSWER_BYTES_MAX, |status| call.reading.knows(status)).await;
        let answer = answer.map_err(|error| SetOutcome::Unknown(lost(&error).detail))?;
        let (status, body) = read(&answer);
        let detail = words(call, status, body.as_ref(), values);
        match call.reading.meaning(status, body.as_ref()) {
            Some(meaning) => Ok((meaning, detail)),
            None => Err(SetOutcome::Unknown(detail)),
        }
    }

    async fn connect(&self, dial: &dyn Dial) -> Result<Box<dyn Stream>, Failure> {
        let stream = dial.dial(&self.host, self.port).await;
        let stream = stream.map_err(|error| Failure::unreachable(error.to_string()))?;
        if self.tls == TlsMode::Disable {
            return Ok(stream);
        }
        let config = tls::client_config(self.tls, self.ca_certificate.as_deref())?;
        tls::handshake(stream, config, &self.host).await
    }

    /// The header `Host` (RFC 9110 §7.2).
    fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls == TlsMode::Disable { 80 } else { 443 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// The status, and what is described as words, without any secret.
fn words<M>(call: &Call<M>, status: u16, body: Option<&Value>, values: &Values<'_>) -> String {
    let said = call.reading.words.as_ref().and_then(|pointer| pointer.text_of(body));
    let Some(said) = said else { return format!("it answered with status {status}") };
    let said = values.secrets().fold(said.to_owned(), |said, secret| plain_words(&said, secret));
    format!("it answered with status {status}: {said}")
}

/// The status, and the body where it is JSON.
fn read(answer: &Answer) -> (u16, Option<Value>) {
    (answer.status, serde_json::from_slice(&answer.body).ok())
}

/// Why there is no answer, as a login attempt tells it.
fn lost(error: &NoAnswer) -> Failure {
    let result = if error.is_unreadable() { ProbeResult::Unknown } else { ProbeResult::Unreachable };
    Failure { result, detail: error.to_string() }
}
