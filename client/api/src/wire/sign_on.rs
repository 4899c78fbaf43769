//! `/v1/auth/oidc`: single sign-on. An identity provider says who somebody is; what it said is a short code, which is
//! good once, and for whoever has the verifier of the challenge that the sign-on was begun with (RFC 7636) alone.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::secret::Disclosed;
use crate::{Part, Secret, UserName};

/// How long a person may take at the provider.
pub const SIGN_ON_TTL_SECONDS: u64 = 10 * 60;
/// How long what came of it is good.
pub const SIGN_ON_CODE_TTL_SECONDS: u64 = 60;
/// The least port that a sign-on may come back to.
pub const LOOPBACK_PORT_MIN: u16 = 1024;
/// Characters of 32 bytes in base64url.
const CHALLENGE_LENGTH: usize = 43;

/// `GET /v1/auth/oidc/begin`, by the browser: sends it on to the provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct BeginSignOn {
    /// The identity provider.
    pub provider: Part,
    /// Of the verifier that redeems what comes of it.
    pub challenge: CodeChallenge,
    /// The port on 127.0.0.1 of the browser's machine that the browser is sent back to in the end (RFC 8252).
    #[cfg_attr(feature = "openapi", param(minimum = 1024, maximum = 65535))]
    pub port: u16,
    /// Comes back there, so that whoever listens knows its own; 32 bytes in base64url.
    pub state: CodeChallenge,
}

/// `GET /v1/auth/oidc/callback`, by the browser, sent by the provider, which may add what is not known here.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
pub struct SignOnCallback {
    /// Which sign-on it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The provider's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Who sends the browser (RFC 9207).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Why there is no code (RFC 6749 §4.1.2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `POST /v1/auth/oidc/login`: what came of a sign-on.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignOnLogin {
    /// What came of it.
    pub code: Disclosed,
    /// Whose SHA-256 the challenge is.
    pub verifier: Disclosed,
}

/// `POST /v1/auth/oidc/enrol`: a user's first login, by a sign-on instead of a password. Both are linked; the enrolment
/// code is used up.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignOnEnrol {
    /// The user's name.
    pub name: UserName,
    /// The enrolment code, `cve_…`.
    pub enrolment: Disclosed,
    /// The second code, where another administrator had to confirm the re-enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Disclosed>,
    /// What came of the sign-on.
    pub code: Disclosed,
    /// Whose SHA-256 the challenge is.
    pub verifier: Disclosed,
}

/// `POST /v1/auth/oidc/link`: the caller is whom the provider says, by an administrator's invitation.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignOnLink {
    /// The invitation, `cvl_…`.
    pub invitation: Disclosed,
    /// What came of the sign-on.
    pub code: Disclosed,
    /// Whose SHA-256 the challenge is.
    pub verifier: Disclosed,
}

/// `POST /v1/auth/oidc/device`: begins a sign-on by device code (RFC 8628).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BeginDevice {
    /// The identity provider.
    pub provider: Part,
    /// Of the verifier that redeems what comes of it.
    pub challenge: CodeChallenge,
}

/// What to show the person, who opens the address on any device and gives the code there.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceSignOn {
    /// Asks how far it is: `POST /v1/auth/oidc/device/poll`.
    pub device: Disclosed,
    /// What the person gives at the provider.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it, where the provider has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification_uri_complete: Option<String>,
    /// How long the person may take.
    pub expires_in_seconds: u64,
    /// How often to ask at most.
    pub interval_seconds: u64,
}

/// `POST /v1/auth/oidc/device/poll`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PollDevice {
    /// Which one.
    pub device: Disclosed,
}

/// How far a sign-on by device code is.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DevicePoll {
    /// The person has not said yes or no yet.
    Pending {
        /// How long to wait before asking again; the provider may make it longer.
        interval_seconds: u64,
    },
    /// The provider has said who it is.
    Done {
        /// For `POST /v1/auth/oidc/login` and the like.
        code: Disclosed,
    },
}

/// What is wrong with a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a challenge is the SHA-256 of its verifier: 43 characters of base64url")]
pub struct BadChallenge;

/// The SHA-256 of a verifier (RFC 7636, `S256`), as 43 characters of base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// Of a verifier: `BASE64URL(SHA256(ASCII(verifier)))`.
    pub fn of(verifier: &Secret) -> Self {
        Self(Sha256::digest(verifier.expose().as_bytes()).into())
    }

    /// Of 32 bytes that are no hash: a state.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for CodeChallenge {
    type Err = BadChallenge;

    fn from_str(text: &str) -> Result<Self, BadChallenge> {
        let bytes = if text.len() == CHALLENGE_LENGTH { URL_SAFE_NO_PAD.decode(text).ok() } else { None };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(BadChallenge)
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Serialize for CodeChallenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CodeChallenge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for CodeChallenge {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9A-Za-z_-]{42}[AEIMQUYcgkosw048]$"))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for CodeChallenge {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_that_of_rfc_7636() {
        // Appendix B.
        let verifier = Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()).unwrap();
        let text = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(CodeChallenge::of(&verifier).to_string(), text);
        assert_eq!(text.parse(), Ok(CodeChallenge::of(&verifier)));
        for wrong in ["", &text[1..], "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM", "plain"] {
            assert_eq!(wrong.parse::<CodeChallenge>(), Err(BadChallenge));
        }
    }
}
