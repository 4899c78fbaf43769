//! `/v1/auth` and `/v1/me`: sessions.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::wire::{Challenge, FactorReset, Grant, PrincipalKind, ReEnrolment};
use crate::{PrincipalId, SessionId, Timestamp, UserName};

/// The life of an access token.
pub const ACCESS_TTL_SECONDS: u64 = 15 * 60;
/// The life of a refresh token, renewed at each use.
pub const REFRESH_TTL_SECONDS: u64 = 12 * 60 * 60;
/// The longest life of a user's session, however often it is refreshed; an operator may set less.
pub const SESSION_MOST_SECONDS: u64 = 12 * 60 * 60;
/// The least that an operator may set it to.
pub const SESSION_LEAST_SECONDS: u64 = 15 * 60;
/// The life of a session that may do nothing but enrol a second factor.
pub const ENROL_TTL_SECONDS: u64 = 60 * 60;

/// `POST /v1/auth/login`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum LoginRequest {
    /// A user.
    Password {
        /// The user's name.
        name: UserName,
        /// The user's password.
        password: Disclosed,
    },
    /// A service account, by the token it was issued.
    Token {
        /// `cvs_…`.
        token: Disclosed,
    },
    /// A service account, by a token (JWT) of an issuer that is trusted to vouch for it.
    Jwt {
        /// The service account's name.
        name: UserName,
        /// The token.
        jwt: Disclosed,
    },
    /// A service account, by the client certificate of the connection. Its access token works over connections with that
    /// very certificate alone (RFC 8705).
    Certificate {
        /// The service account's name.
        name: UserName,
    },
}

/// What a login answers when name and password, or the token, are right.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum LoginAnswer {
    /// The session is open.
    Session(Tokens),
    /// A user's second factor opens it: `POST /v1/auth/mfa`.
    SecondFactor(Challenge),
}

impl LoginAnswer {
    /// The session, unless a second factor is asked for first. A program is never asked.
    pub fn session(self) -> Option<Tokens> {
        match self {
            Self::Session(tokens) => Some(tokens),
            Self::SecondFactor(_) => None,
        }
    }
}

/// `POST /v1/auth/enrol`: a user's first login sets the password; the code is used up. The session may do nothing but
/// enrol a second factor.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The user's name.
    pub name: UserName,
    /// The enrolment code, `cve_…`.
    pub enrolment: Disclosed,
    /// The second code, where another administrator had to confirm the re-enrolment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<Disclosed>,
    /// At least 12 characters that are hard to guess.
    pub password: Disclosed,
}

/// `POST /v1/auth/password`: a user changes the own password; every other session ends.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password as it is.
    pub old_password: Disclosed,
    /// At least 12 characters that are hard to guess.
    pub new_password: Disclosed,
}

/// `POST /v1/auth/refresh`: each refresh token is good once; a second use ends the session.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RefreshRequest {
    /// `cvr_…`.
    pub refresh_token: Disclosed,
}

/// What a login, an enrolment or a refresh gives.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// A JWT (RFC 7519) for `Authorization: Bearer`.
    pub access_token: Disclosed,
    /// Its life from now.
    pub expires_in_seconds: u64,
    /// The next refresh token; absent for service accounts, which log in again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Disclosed>,
    /// The session, for its revocation.
    pub session: SessionId,
    /// Whether the session may do nothing but enrol a second factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_only_enrol: bool,
}

/// `GET /v1/me`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Me {
    /// Who the caller is.
    pub id: PrincipalId,
    /// A person or a program.
    pub kind: PrincipalKind,
    /// The caller's name.
    pub name: UserName,
    /// The session of the token.
    pub session: SessionId,
    /// When the session ends if it is not refreshed; a refresh never moves this past the longest life of a session.
    pub session_expires_at: Timestamp,
    /// When a second factor was last proven in this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_factor_at: Option<Timestamp>,
    /// Whether the session may do nothing but enrol a second factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_only_enrol: bool,
    /// When others last took the caller's password and second factors away, and who they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factors_reset: Option<FactorReset>,
    /// A re-enrolment that somebody asked for and nobody has confirmed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re_enrolment: Option<ReEnrolment>,
    /// The caller's grants that have not ended.
    pub grants: Vec<Grant>,
}
