//! `/v1/users` and `/v1/service-accounts`: identities.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::{Part, PrincipalId, Timestamp, UserName};

/// A person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program.
    ServiceAccount,
}

/// Where a principal is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PrincipalState {
    /// Added; has not enrolled yet.
    Invited,
    /// May log in.
    Active,
    /// May not log in; every session has ended.
    Suspended,
}

/// `POST /v1/users`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name to log in with, unique among all principals.
    pub name: UserName,
    /// The customer whose own user this is; absent for the MSP's people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Part>,
}

/// What adding or re-enrolling a user shows once.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolment {
    /// The user.
    pub user: Principal,
    /// The single-use code to hand to the person.
    pub enrolment: Disclosed,
    /// After this the code no longer works.
    pub enrolment_expires_at: Timestamp,
}

/// `POST /v1/service-accounts`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// Its name, unique among all principals.
    pub name: UserName,
    /// The life of its token: a minute to 400 days.
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 34_560_000))]
    pub token_ttl_seconds: u64,
}

/// What adding a service account, or replacing its token, shows once.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceToken {
    /// The service account.
    pub service_account: Principal,
    /// `cvs_…`; only its hash is stored.
    pub token: Disclosed,
    /// After this the token no longer works.
    pub token_expires_at: Timestamp,
}

/// `POST /v1/service-accounts/{name}/actions/replace-token`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplaceToken {
    /// The life of the new token; the old one stops at once.
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 34_560_000))]
    pub token_ttl_seconds: u64,
}

/// A user or a service account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Principal {
    /// Its id, stable through renames.
    pub id: PrincipalId,
    /// A person or a program.
    pub kind: PrincipalKind,
    /// Its name.
    pub name: UserName,
    /// The customer whose own user this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Part>,
    /// Where it is in its life.
    pub state: PrincipalState,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
}
