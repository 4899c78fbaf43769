//! Programs that an issuer vouches for: whose keys, and which tokens.

use claviger_api::problem::ProblemType;
use claviger_api::wire::{HttpsUrl, IssuerKeys, JWKS_MAX};
use claviger_connectors::https::{self, Question};
use claviger_store::{RowId, Versioned};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fetched::Fetched;
use super::issuers::discovery_url;
use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::{IssuerRecord, ProgramRecord, WorkloadRecord};

pub(super) mod token;

use token::{Expected, Keys, Token};

/// Issuers' keys at hand.
pub(super) type IssuerKeyCache = Fetched<Keys>;

/// What a token came to.
pub(super) enum Outcome {
    /// It is one of this workload's.
    Right {
        /// For the event.
        detail: String,
    },
    /// It is not, and this is why.
    Wrong(&'static str),
}

impl Open {
    /// Whether a token is one that a program may log in with. Fails when the keys cannot be had.
    pub(super) async fn vouched(&self, program: &ProgramRecord, jwt: &str) -> Result<Outcome> {
        let Some(token) = Token::read(jwt) else { return Ok(Outcome::Wrong("jwt_malformed")) };
        let mut cause = "jwt_unexpected";
        for workload in &program.workloads {
            let Some(issuer) = self.read::<IssuerRecord>(&RowId::issuer(workload.issuer)).await? else { continue };
            let IssuerRecord { name, issuer: iss, audience, .. } = &issuer.value;
            // Before anything is fetched or computed for it.
            if !token.is_expected(Expected { issuer: iss, audience, now: self.now() }) {
                continue;
            }
            if !token.is_signed_by(&self.issuer_keys(&issuer, token.key()).await?) {
                cause = "jwt_signature";
            } else if workload.is_of(&token) {
                let subject = token.subject().unwrap_or_default();
                return Ok(Outcome::Right { detail: format!("issuer {name}, subject {subject}") });
            } else {
                cause = "jwt_claims";
            }
        }
        Ok(Outcome::Wrong(cause))
    }

    /// The issuer's keys, fetched anew when they are old or have none of this name; not more often than may be.
    async fn issuer_keys(&self, issuer: &Versioned<IssuerRecord>, id: Option<&str>) -> Result<Keys> {
        if let IssuerKeys::Document { jwks } = &issuer.value.keys {
            let text = serde_json::to_vec(jwks).map_err(Error::internal)?;
            return Keys::parse(&text).map_err(Error::internal);
        }
        let of = (issuer.value.id.uuid(), issuer.revision);
        let fetch = self.fetch_keys(&issuer.value);
        let keys = self.identities.issuer_keys.of(of, self.now(), |keys| keys.has(id), fetch).await?;
        keys.map_err(|why| unavailable(&issuer.value, &why))
    }

    async fn fetch_keys(&self, issuer: &IssuerRecord) -> std::result::Result<Keys, String> {
        let url = match &issuer.keys {
            IssuerKeys::Document { .. } => return Err("its keys are in the vault".to_owned()),
            IssuerKeys::Url { url, .. } => url.clone(),
            IssuerKeys::Discovery { .. } => self.discover(issuer).await?,
        };
        let jwks = self.fetch(issuer, &url).await?;
        Keys::parse(&jwks).map_err(|bad| bad.to_string())
    }

    /// The address of the keys, as the issuer itself tells it.
    async fn discover(&self, issuer: &IssuerRecord) -> std::result::Result<HttpsUrl, String> {
        #[derive(Deserialize)]
        struct Description {
            jwks_uri: String,
        }
        let url = discovery_url(&issuer.issuer).ok_or("its name is no https address")?;
        let text = self.fetch(issuer, &url).await?;
        let description: Description = described(&text, &issuer.issuer)?;
        description.jwks_uri.parse().map_err(|bad| format!("its jwks_uri is no address: {bad}"))
    }

    async fn fetch(&self, issuer: &IssuerRecord, url: &HttpsUrl) -> std::result::Result<https::Bytes, String> {
        let ca = match &issuer.keys {
            IssuerKeys::Document { .. } => None,
            IssuerKeys::Url { ca_certificate, .. } | IssuerKeys::Discovery { ca_certificate } => {
                ca_certificate.as_deref()
            }
        };
        let asked = https::ask(self.ground().dial.as_ref(), url, ca, Question::Get, JWKS_MAX).await;
        asked.map_err(|error| format!("{url}: {error}"))
    }
}

/// What an issuer says of itself. A description of another issuer is none of this one.
pub(super) fn described<T: DeserializeOwned>(text: &[u8], issuer: &str) -> std::result::Result<T, String> {
    #[derive(Deserialize)]
    struct Whose {
        issuer: String,
    }
    let odd = |_| "its description is not one of OpenID Connect";
    let whose: Whose = serde_json::from_slice(text).map_err(odd)?;
    if whose.issuer != issuer {
        return Err("its description is that of another issuer".to_owned());
    }
    Ok(serde_json::from_slice(text).map_err(odd)?)
}

impl WorkloadRecord {
    fn is_of(&self, token: &Token<'_>) -> bool {
        let subject = self.subject.as_ref().is_none_or(|subject| token.says("sub", subject));
        let named = self.subject.is_some() || !self.claims.is_empty();
        named && subject && self.claims.iter().all(|(name, value)| token.says(name, value))
    }
}

fn unavailable(issuer: &IssuerRecord, why: &str) -> Error {
    let note = format!("the keys of the issuer {} cannot be had: {why}", issuer.name);
    let detail = "The keys that the token is verified with cannot be fetched now; try again later.";
    Error { problem: ProblemType::Unavailable, ..Error::unavailable(detail, note) }
}
