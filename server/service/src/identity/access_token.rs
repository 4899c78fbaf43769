//! Access tokens: JWT (RFC 7519) signed by EdDSA (RFC 8037), type `at+jwt` (RFC 9068).
//!
//! The algorithm is the key's, never the header's; issuer, audience and type must be exactly ours.

use claviger_api::wire::{ACCESS_TTL_SECONDS, Thumbprint};
use claviger_api::{Secret, SessionId, Timestamp};
use claviger_crypto::SigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

const AUDIENCE: &str = "claviger";
const TYPE: &str = "at+jwt";

/// Signs and verifies access tokens.
pub(super) struct AccessTokens {
    issuer: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
}

/// What was verified of a token.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims {
    session: Uuid,
    expires_at_second: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
    sid: SessionId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<Confirmation>,
}

/// What else its bearer must show (RFC 7800): the client certificate (RFC 8705 §3.1).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    #[serde(rename = "x5t#S256")]
    certificate: Thumbprint,
}

impl Claims {
    pub fn session(self) -> SessionId {
        SessionId::from_uuid(self.session)
    }

    /// An expiry is exact: there is no leeway, the issuer's clock is the verifier's.
    pub fn is_live(self, now: Timestamp) -> bool {
        now.as_second() < self.expires_at_second
    }
}

impl AccessTokens {
    pub fn new(key: &SigningKey, issuer: &str) -> Result<Self> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // The clock is ours, not the library's: see `Claims::is_live`.
        validation.validate_exp = false;
        validation.leeway = 0;
        if issuer.is_empty() {
            return Err(Error::internal("an issuer without a name"));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            signing: EncodingKey::from_ed_der(&key.pkcs8_der()),
            verifying: DecodingKey::from_ed_der(&key.public_key()),
            validation,
        })
    }

    /// A token for a session, good for 15 minutes or until the session ends, whichever comes first, and together with
    /// the session's client certificate, if it has one.
    pub fn issue(
        &self,
        subject: &str,
        session: SessionId,
        until: Timestamp,
        certificate: Option<Thumbprint>,
        now: Timestamp,
    ) -> Result<(Secret, u64)> {
        let most = i64::try_from(ACCESS_TTL_SECONDS).unwrap_or(i64::MAX);
        let expires = now.as_second().saturating_add(most).min(until.as_second());
        let body = Body {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_owned(),
            iat: now.as_second(),
            exp: expires,
            sid: session,
            cnf: certificate.map(|certificate| Confirmation { certificate }),
        };
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &body, &self.signing).map_err(Error::internal)?;
        let life = u64::try_from(expires.saturating_sub(now.as_second())).unwrap_or(0);
        Ok((Secret::new(token).map_err(Error::internal)?, life))
    }

    /// What a token says, if it is one of ours, unchanged. Whether it has expired is asked apart.
    pub fn verify(&self, token: &str) -> Option<Claims> {
        let data = jsonwebtoken::decode::<Body>(token, &self.verifying, &self.validation).ok()?;
        let plain = data.header.typ.as_deref() == Some(TYPE) && data.header.kid.is_none() && data.header.jku.is_none();
        let sane = data.claims.iat <= data.claims.exp;
        (plain && sane).then(|| Claims { session: data.claims.sid.uuid(), expires_at_second: data.claims.exp })
    }
}

#[cfg(test)]
mod tests;
