//! What is asked of a provider itself, over the same HTTPS as issuers of tokens: forbidden addresses are refused, no
//! redirect is followed, and a slow or talkative one costs its own people alone.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::Secret;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{HttpsUrl, JWKS_MAX};
use claviger_connectors::https::{self, Answer, Bytes, Question};
use claviger_store::Versioned;
use form_urlencoded::Serializer;
use serde::Deserialize;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::super::issuers::discovery_url;
use super::super::workload::described;
use super::super::workload::token::{Keys, Token};
use super::claims::{Asked, Claims, claims};
use super::failed;
use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::IdentityProviderRecord;

/// Exchanges with one provider at once.
const EXCHANGES_AT_ONCE: usize = 16;
/// The most bytes of an answer with tokens, or to a device.
const ANSWER_MAX: usize = 64 * 1024;
/// The status of a refusal that says why (RFC 6749 §5.2).
const REFUSALS: std::ops::Range<u16> = 400..500;

/// What a provider says of itself (OpenID Connect Discovery 1.0 §3, RFC 8414, RFC 8628, RFC 9207).
#[derive(Deserialize)]
pub(super) struct Description {
    pub authorization_endpoint: HttpsUrl,
    token_endpoint: HttpsUrl,
    jwks_uri: HttpsUrl,
    pub device_authorization_endpoint: Option<HttpsUrl>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether its answers name it.
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub names_itself: bool,
}

impl Open {
    /// What a provider says of itself.
    pub(super) async fn description(&self, provider: &Versioned<IdentityProviderRecord>) -> Result<Arc<Description>> {
        let fetch = async {
            let issuer = provider.value.issuer.as_str();
            let url = discovery_url(issuer).ok_or("its name is no address")?;
            described(&self.fetch_from(&provider.value, &url).await?, issuer).map(Arc::new)
        };
        let of = (provider.value.id.uuid(), provider.revision);
        let description = self.identities.sign_ons.descriptions.of(of, self.now(), |_| true, fetch).await?;
        description.map_err(|why| unreachable(&provider.value, &why))
    }

    /// What a token of the provider's says, once its signature and all that it must say were found right.
    pub(super) async fn claims(
        &self,
        provider: &Versioned<IdentityProviderRecord>,
        token: &str,
        asked: Asked<'_>,
    ) -> Result<Claims> {
        let name = &provider.value.name;
        let odd = || failed(format!("What the identity provider {name} said cannot be read."));
        let token = Token::read(token).ok_or_else(odd)?;
        let description = self.description(provider).await?;
        let fetch = async {
            let jwks = self.fetch_from(&provider.value, &description.jwks_uri).await?;
            Keys::parse(&jwks).map_err(|bad| bad.to_string())
        };
        let of = (provider.value.id.uuid(), provider.revision);
        let keys = self.identities.sign_ons.keys.of(of, self.now(), |keys| keys.has(token.key()), fetch).await?;
        if !token.is_signed_by(&keys.map_err(|why| unreachable(&provider.value, &why))?) {
            return Err(failed(format!("What the identity provider {name} said is not signed by a key of its own.")));
        }
        claims(&token, &provider.value, asked, self.now())
    }

    /// Asks for tokens, and gives the ID token, or the provider's word for why there is none.
    pub(super) async fn exchange(
        &self,
        provider: &Versioned<IdentityProviderRecord>,
        description: &Description,
        asked: &[(&str, &str)],
    ) -> Result<std::result::Result<Secret, String>> {
        #[derive(Deserialize)]
        struct Granted {
            id_token: Secret,
        }
        let answer = self.post_to(&provider.value, description, &description.token_endpoint, asked).await?;
        Ok(match answer {
            Ok(body) => {
                let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
                    failed(format!("The identity provider {} answered without an ID token.", provider.value.name))
                })?;
                Ok(granted.id_token)
            }
            Err(error) => Err(error),
        })
    }

    /// Sends a form as the vault's client, and gives the body of a success, or the error of a refusal.
    pub(super) async fn post_to(
        &self,
        provider: &IdentityProviderRecord,
        description: &Description,
        url: &HttpsUrl,
        asked: &[(&str, &str)],
    ) -> Result<std::result::Result<Bytes, String>> {
        #[derive(Deserialize)]
        struct Refused {
            error: String,
        }
        let turns = &self.identities.sign_ons.turns;
        let turns =
            turns.get_or_insert_with(&provider.id, || Ok::<_, Error>(Arc::new(Semaphore::new(EXCHANGES_AT_ONCE))))?;
        let _turn = turns.try_acquire().map_err(|_| unreachable(provider, "it is slow, and too many wait for it"))?;
        let (body, authorization) = form(provider, description, asked);
        let question = Question::Form { body: Bytes::from_owner(body), authorization };
        let (dial, ca) = (self.ground().dial.as_ref(), provider.ca_certificate.as_deref());
        let Answer { status, body } = https::ask_for_any(dial, url, ca, question, ANSWER_MAX)
            .await
            .map_err(|error| unreachable(provider, &format!("{url}: {error}")))?;
        match status {
            200 => Ok(Ok(body)),
            refused if REFUSALS.contains(&refused) => {
                let error = serde_json::from_slice::<Refused>(&body).map(|refused| refused.error);
                Ok(Err(error.unwrap_or_default()))
            }
            other => Err(unreachable(provider, &format!("{url}: it answered with status {other}"))),
        }
    }

    async fn fetch_from(
        &self,
        provider: &IdentityProviderRecord,
        url: &HttpsUrl,
    ) -> std::result::Result<Bytes, String> {
        let (dial, ca) = (self.ground().dial.as_ref(), provider.ca_certificate.as_deref());
        let asked = https::ask(dial, url, ca, Question::Get, JWKS_MAX).await;
        asked.map_err(|error| format!("{url}: {error}"))
    }
}

/// The form and the header by which the client is known: its secret in the header where the provider takes that (it does,
/// unless it says otherwise), else in the form (RFC 6749 §2.3.1). A public client has its name in the form alone.
fn form(
    provider: &IdentityProviderRecord,
    description: &Description,
    asked: &[(&str, &str)],
) -> (Zeroizing<Vec<u8>>, Option<Zeroizing<String>>) {
    let mut form = Serializer::new(String::with_capacity(ANSWER_MAX));
    form.extend_pairs(asked);
    let methods = description.token_endpoint_auth_methods_supported.as_ref();
    let basic = methods.is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
    let authorization = match &provider.client_secret {
        Some(secret) if basic => Some(basic_authorization(&provider.client_id, secret.text())),
        Some(secret) => {
            form.append_pair("client_id", &provider.client_id).append_pair("client_secret", secret.text());
            None
        }
        None => {
            form.append_pair("client_id", &provider.client_id);
            None
        }
    };
    (Zeroizing::new(form.finish().into_bytes()), authorization)
}

/// `Basic`, of name and secret each in form encoding.
fn basic_authorization(client_id: &str, secret: &str) -> Zeroizing<String> {
    let encoded = |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let both = Zeroizing::new([encoded(client_id).as_str(), ":", encoded(secret).as_str()].concat());
    Zeroizing::new(format!("Basic {}", STANDARD.encode(both.as_bytes())))
}

/// What to do when a provider cannot be asked.
pub(super) fn unreachable(provider: &IdentityProviderRecord, why: &str) -> Error {
    let name = &provider.name;
    let note = format!("the identity provider {name} cannot be asked: {why}");
    let detail = format!(
        "The identity provider {name} cannot be asked now; try again later, or log in with your password. The operator's \
         log says why."
    );
    Error { problem: ProblemType::Unavailable, ..Error::unavailable(detail, note) }
}
