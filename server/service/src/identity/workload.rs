//! Programs that an issuer vouches for: whose keys, and which tokens.

use std::sync::Arc;

use claviger_api::problem::ProblemType;
use claviger_api::wire::{IssuerKeys, JWKS_MAX};
use claviger_api::{IssuerId, Timestamp};
use claviger_connectors::https::{self, Question};
use claviger_store::{RowId, Versioned};
use jiff::SignedDuration;
use quick_cache::sync::Cache;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::issuers::discovery_url;
use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::{IssuerRecord, ProgramRecord, WorkloadRecord};

pub(super) mod token;

use token::{Expected, Keys, Token};

/// Fetched keys are trusted for so long: whoever takes a key away at the issuer waits no longer for it here.
const KEYS_LIVE: SignedDuration = SignedDuration::from_mins(10);
/// An issuer is asked at most so often, whoever names keys that it does not have.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// Issuers whose keys are kept.
const ISSUERS_KEPT: usize = 1000;

/// Issuers' keys at hand.
pub(super) struct IssuerKeyCache(Cache<IssuerId, Arc<Mutex<Kept>>>);

/// What is known of one issuer's keys. Behind a lock, so that one question serves all who wait.
#[derive(Default)]
struct Kept {
    /// The issuer's revision that it is of.
    revision: u64,
    keys: Option<(Keys, Timestamp)>,
    asked_at: Option<Timestamp>,
}

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

impl IssuerKeyCache {
    pub fn new() -> Self {
        Self(Cache::new(ISSUERS_KEPT))
    }
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
        let ours = &self.identities.issuer_keys.0;
        let kept = ours.get_or_insert_with(&issuer.value.id, || Ok::<_, Error>(Arc::default()))?;
        let mut kept = kept.lock().await;
        if kept.revision != issuer.revision {
            *kept = Kept { revision: issuer.revision, ..Kept::default() };
        }
        let now = self.now();
        let good = |fetched: &Timestamp| now.duration_since(*fetched) < KEYS_LIVE;
        let keys = kept.keys.as_ref().filter(|(_, fetched)| good(fetched)).map(|(keys, _)| keys.clone());
        let asked_lately = kept.asked_at.is_some_and(|asked| now.duration_since(asked) < ASK_EVERY);
        match keys {
            Some(keys) if keys.has(id) || asked_lately => return Ok(keys),
            None if asked_lately => return Err(unavailable(&issuer.value, "it was asked a moment ago, in vain")),
            Some(_) | None => {}
        }
        kept.asked_at = Some(now);
        match self.fetch_keys(&issuer.value).await {
            Ok(fetched) => {
                kept.keys = Some((fetched.clone(), now));
                Ok(fetched)
            }
            // A token of a key that may not exist does not take away those that are good.
            Err(why) => keys.ok_or_else(|| unavailable(&issuer.value, &why)),
        }
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

    /// The address of the keys, as the issuer itself tells it. A description of another issuer is none of this one.
    async fn discover(&self, issuer: &IssuerRecord) -> std::result::Result<claviger_api::wire::HttpsUrl, String> {
        #[derive(Deserialize)]
        struct Description {
            issuer: String,
            jwks_uri: String,
        }
        let url = discovery_url(&issuer.issuer).ok_or("its name is no https address")?;
        let text = self.fetch(issuer, &url).await?;
        let description: Description =
            serde_json::from_slice(&text).map_err(|_| "its description is not one of OpenID Connect")?;
        if description.issuer != issuer.issuer {
            return Err("its description is that of another issuer".to_owned());
        }
        description.jwks_uri.parse().map_err(|bad| format!("its jwks_uri is no address: {bad}"))
    }

    async fn fetch(
        &self,
        issuer: &IssuerRecord,
        url: &claviger_api::wire::HttpsUrl,
    ) -> std::result::Result<https::Bytes, String> {
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
