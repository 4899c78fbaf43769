//! Single sign-on: the vault as a client of identity providers (OpenID Connect Core 1.0 §3.1, RFC 9700).
//!
//! ```text
//! command line            vault                                     provider
//!   │ begin ── browser ──→ cookie: flow ─── browser: state, nonce, PKCE ──→ │        begin
//!   │                      │ ←───────────── browser: state, code, iss ───── │        callback
//!   │                      │ ── code, verifier ──→ tokens ────────────────→ │        provider.rs, claims.rs
//!   │ ←── browser: code ── │                                                         (to 127.0.0.1, RFC 8252)
//!   │ code, verifier ────→ │ session, or a challenge for the second factor           login.rs
//! ```
//!
//! Until the last step nothing is stored, and nobody but the command line that began it can take that: what travels in
//! between is sealed (`carried.rs`), good once and for a short while. The browser never holds a token of the vault.

use std::sync::Arc;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    BeginSignOn, CodeChallenge, LOOPBACK_PORT_MIN, SIGN_ON_CODE_TTL_SECONDS, SIGN_ON_TTL_SECONDS, SignOnCallback,
};
use claviger_api::{ProviderId, Secret, Timestamp};
use claviger_crypto::Random;
use claviger_store::{RowId, Versioned};
use form_urlencoded::Serializer;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::fetched::Fetched;
use super::session::after;
use super::workload::token::Keys;
use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::IdentityProviderRecord;

mod carried;
mod claims;
mod device;
mod login;
mod provider;
#[cfg(test)]
mod tests;

use carried::{Carried, Message};
use claims::{Asked, MAX_AGE_SECONDS};
use provider::Description;

/// Providers whose exchanges are counted.
const PROVIDERS_KEPT: usize = 1000;
/// Sign-ons by device code whose pace is known; another's is kept by its provider alone.
const DEVICES_KEPT: usize = 10_000;

/// What sign-ons need at hand. It goes with the seal: a sign-on from before an unseal is begun again.
pub(super) struct SignOns {
    carried: Carried,
    descriptions: Fetched<Arc<Description>>,
    keys: Fetched<Keys>,
    /// Exchanges that each provider may have under way, so that a slow one costs its own people alone.
    turns: Cache<ProviderId, Arc<Semaphore>>,
    /// When a device was last asked about, and how long to wait until the next time.
    paces: Cache<Uuid, (Timestamp, u64)>,
}

/// What a browser carries to the provider and back, in a cookie.
#[derive(Serialize, Deserialize)]
struct Flow {
    id: Uuid,
    provider: ProviderId,
    state: String,
    nonce: String,
    /// Of our own challenge at the provider.
    verifier: String,
    /// Of whoever began it.
    challenge: CodeChallenge,
    port: u16,
    port_state: CodeChallenge,
    begun_at: Timestamp,
    expires_at: Timestamp,
}

/// What a provider said: who somebody is.
#[derive(Serialize, Deserialize)]
pub(super) struct SignedOn {
    id: Uuid,
    /// Who said so.
    pub provider: ProviderId,
    /// The claim `sub`.
    pub subject: String,
    /// When the provider checked a second factor, where that may count.
    second_factor_at: Option<Timestamp>,
    /// Of whoever began it.
    challenge: CodeChallenge,
    expires_at: Timestamp,
}

impl Message for Flow {
    const LABEL: &'static [u8] = b"sign-on flow 1";
}

impl Message for SignedOn {
    const LABEL: &'static [u8] = b"sign-on code 1";
}

/// Where a browser goes next.
pub struct Begun {
    /// The provider's address with the question.
    pub location: String,
    /// What it carries, for as long as a person may take.
    pub flow: Secret,
}

impl SignOns {
    pub fn new(random: &dyn Random) -> Self {
        Self {
            carried: Carried::new(random),
            descriptions: Fetched::new(),
            keys: Fetched::new(),
            turns: Cache::new(PROVIDERS_KEPT),
            paces: Cache::new(DEVICES_KEPT),
        }
    }
}

impl Open {
    /// Begins a sign-on in a browser: the question to the provider, and what binds its answer to this browser.
    pub async fn begin_sign_on(&self, begin: &BeginSignOn) -> Result<Begun> {
        if begin.port < LOOPBACK_PORT_MIN {
            return Err(Error::value("port", "a port is 1024 to 65535"));
        }
        let provider = self.signing_provider(&begin.provider).await?;
        let description = self.description(&provider).await?;
        let now = self.now();
        let [state, nonce, verifier] = [(); 3].map(|()| self.random_text());
        let mut query = Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.value.client_id)
            .append_pair("redirect_uri", &provider.value.address.redirect_uri())
            .append_pair("scope", &scope(&provider.value))
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge_of(&verifier)?.to_string())
            .append_pair("code_challenge_method", "S256");
        if !provider.value.acr.is_empty() {
            query.append_pair("acr_values", &provider.value.acr.join(" "));
        }
        if provider.value.trusts_mfa {
            // What counts as fresh here must have been done just now there.
            query.append_pair("max_age", &MAX_AGE_SECONDS.to_string());
        }
        let flow = Flow {
            id: self.new_uuid(),
            provider: provider.value.id,
            state,
            nonce,
            verifier,
            challenge: begin.challenge,
            port: begin.port,
            port_state: begin.state,
            begun_at: now,
            expires_at: after(now, SIGN_ON_TTL_SECONDS),
        };
        let flow = self.identities.sign_ons.carried.seal(&flow, self.random())?;
        Ok(Begun { location: format!("{}?{}", description.authorization_endpoint, query.finish()), flow })
    }

    /// A browser comes back from a provider with what it was given to carry. Gives where it goes next: to whoever began
    /// the sign-on, with a code or with why there is none.
    pub async fn end_sign_on(&self, callback: &SignOnCallback, flow: Option<&Secret>) -> Result<String> {
        let flow =
            flow.and_then(|flow| self.identities.sign_ons.carried.open::<Flow>(flow)).ok_or_else(not_begun_here)?;
        // 256 random bits that only this browser and the provider know: how far two of them agree helps nobody.
        if callback.state.as_deref() != Some(flow.state.as_str()) || flow.expires_at <= self.now() {
            return Err(not_begun_here());
        }
        if !self.identities.sign_ons.carried.use_up(flow.id, flow.expires_at, self.now())? {
            return Err(not_begun_here());
        }
        let mut query = Serializer::new(String::new());
        match self.answered(callback, &flow).await {
            Ok(code) => query.append_pair("code", code.expose()),
            Err(error) => {
                Self::tell_of_failed_sign_on(&flow, &error);
                let detail = if error.detail.is_empty() { error.problem.row().advice } else { &error.detail };
                query.append_pair("error", error.problem.row().code).append_pair("detail", detail)
            }
        };
        query.append_pair("state", &flow.port_state.to_string());
        Ok(format!("http://127.0.0.1:{}/?{}", flow.port, query.finish()))
    }

    /// The provider's answer, turned into a code of our own.
    async fn answered(&self, callback: &SignOnCallback, flow: &Flow) -> Result<Secret> {
        let provider = self.load::<IdentityProviderRecord>(&RowId::identity_provider(flow.provider)).await;
        let provider = provider.map_err(|_| failed("The identity provider was removed meanwhile."))?;
        must_sign_in(&provider.value)?;
        let description = self.description(&provider).await?;
        let mixed_up = match &callback.iss {
            Some(iss) => iss != provider.value.issuer.as_str(),
            None => description.names_itself,
        };
        if mixed_up {
            return Err(failed("Another identity provider answered than was asked."));
        }
        let code = match (&callback.code, &callback.error) {
            (Some(code), None) => code,
            (_, Some(error)) => return Err(declined(&provider.value, error)),
            (None, None) => return Err(failed("The identity provider answered without a code.")),
        };
        let redirect_uri = provider.value.address.redirect_uri();
        let asked = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", &flow.verifier),
        ];
        let token =
            self.exchange(&provider, &description, &asked).await?.map_err(|error| declined(&provider.value, &error))?;
        let asked = Asked { nonce: Some(&flow.nonce), begun_at: flow.begun_at, trusts_mfa: provider.value.trusts_mfa };
        self.signed_on(&provider, &token, asked, flow.challenge).await
    }

    /// Verifies an ID token, and seals what it says for whoever began the sign-on.
    async fn signed_on(
        &self,
        provider: &Versioned<IdentityProviderRecord>,
        token: &Secret,
        asked: Asked<'_>,
        challenge: CodeChallenge,
    ) -> Result<Secret> {
        let claims = self.claims(provider, token.expose(), asked).await?;
        let signed_on = SignedOn {
            id: self.new_uuid(),
            provider: provider.value.id,
            subject: claims.subject,
            second_factor_at: claims.second_factor_at,
            challenge,
            expires_at: after(self.now(), SIGN_ON_CODE_TTL_SECONDS),
        };
        self.identities.sign_ons.carried.seal(&signed_on, self.random())
    }

    /// What a provider said, by the code that whoever began the sign-on was given, once.
    pub(super) fn redeem(&self, code: &Secret, verifier: &Secret) -> Result<SignedOn> {
        let refused = || failed("What came of the sign-on is not right, used up, or older than a minute.");
        let carried = &self.identities.sign_ons.carried;
        let signed_on = carried.open::<SignedOn>(code).ok_or_else(refused)?;
        if self.now() >= signed_on.expires_at || CodeChallenge::of(verifier) != signed_on.challenge {
            return Err(refused());
        }
        let first = carried.use_up(signed_on.id, signed_on.expires_at, self.now())?;
        if first { Ok(signed_on) } else { Err(refused()) }
    }

    /// The provider of this name, if it may sign people in.
    async fn signing_provider(&self, name: &claviger_api::Part) -> Result<Versioned<IdentityProviderRecord>> {
        let provider = self.provider_named(name).await?;
        must_sign_in(&provider.value)?;
        Ok(provider)
    }

    /// For the operator's log: no user is known yet, and nothing was changed.
    fn tell_of_failed_sign_on(flow: &Flow, error: &Error) {
        let (provider, problem) = (flow.provider, error.problem.row().code);
        let note = error.operator.as_ref().map_or("", |note| note.for_the_log());
        tracing::warn!(%provider, problem, detail = error.detail, note, "a sign-on failed");
    }

    /// 32 random bytes in base64url: a state, a nonce, a verifier.
    fn random_text(&self) -> String {
        let mut bytes = [0; 32];
        self.random().fill(&mut bytes);
        CodeChallenge::from_bytes(bytes).to_string()
    }
}

fn scope(provider: &IdentityProviderRecord) -> String {
    let scopes = provider.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid");
    ["openid"].into_iter().chain(scopes).collect::<Vec<_>>().join(" ")
}

fn challenge_of(verifier: &str) -> Result<CodeChallenge> {
    Ok(CodeChallenge::of(&Secret::new(verifier.to_owned()).map_err(Error::internal)?))
}

fn must_sign_in(provider: &IdentityProviderRecord) -> Result<()> {
    if provider.enabled {
        return Ok(());
    }
    Err(failed(format!(
        "The identity provider {} signs nobody in now: an administrator has disabled it.",
        provider.name
    )))
}

/// It did not work, and this is why.
fn failed(detail: impl Into<String>) -> Error {
    Error::new(ProblemType::SignOnFailed, detail)
}

fn not_begun_here() -> Error {
    failed(
        "This sign-on was not begun in this browser, was used before, took longer than ten minutes, or the vault was \
         restarted meanwhile. Begin again, and open the address in the browser that you sign on with.",
    )
}

/// The provider said no. Its word for that is shown where it is one.
fn declined(provider: &IdentityProviderRecord, error: &str) -> Error {
    let name = &provider.name;
    let word = !error.is_empty() && error.len() <= 60 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let error = if word { error } else { "no reason" };
    match error {
        "access_denied" => failed(format!("The identity provider {name} did not let you in, or you said no there.")),
        "invalid_client" | "unauthorized_client" => failed(format!(
            "The identity provider {name} does not take the vault's client id or secret ({error}); an administrator sets \
             them anew with 'claviger identity-provider set'."
        )),
        other => failed(format!("The identity provider {name} refused it: {other}.")),
    }
}
