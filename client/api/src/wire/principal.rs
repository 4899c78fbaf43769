//! `/v1/users` and `/v1/service-accounts`: identities.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::wire::{CertificatePin, Network, ReEnrolment, SignOn, Workload};
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

/// What adding or re-enrolling a user, or confirming a re-enrolment, shows once.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolment {
    /// The user.
    pub user: Principal,
    /// The single-use code to hand to the person.
    pub enrolment: Disclosed,
    /// After this the code no longer works.
    pub enrolment_expires_at: Timestamp,
    /// Whether the code is good for nothing until another administrator has confirmed the re-enrolment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_confirmation: bool,
}

/// `POST /v1/service-accounts`. At least one way to log in is named; others can be added later.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewServiceAccount {
    /// Its name, unique among all principals.
    pub name: UserName,
    /// Makes a token that lives so long: a minute to 400 days. Without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 34_560_000))]
    pub token_ttl_seconds: Option<u64>,
    /// From where it may act, however it logs in; from everywhere when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub networks: Vec<Network>,
    /// The client certificates that it may log in with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub certificates: Vec<CertificatePin>,
    /// The tokens of trusted issuers that it may log in with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub workloads: Vec<Workload>,
}

impl NewServiceAccount {
    /// One that logs in by a token, from everywhere.
    pub fn with_token(name: UserName, token_ttl_seconds: u64) -> Self {
        Self { token_ttl_seconds: Some(token_ttl_seconds), ..Self::without_login(name) }
    }

    /// One that cannot log in yet: what it may log in with is to be named.
    pub fn without_login(name: UserName) -> Self {
        Self { name, token_ttl_seconds: None, networks: Vec::new(), certificates: Vec::new(), workloads: Vec::new() }
    }
}

/// The most ways of one kind in which a service account may log in.
pub const PINS_MAX: usize = 20;

/// `PATCH /v1/service-accounts/{name}`. What is absent stays; what is there replaces all of its kind. Every session of the
/// service account ends.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeServiceAccount {
    /// From where it may act; from everywhere when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub networks: Option<Vec<Network>>,
    /// The client certificates that it may log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub certificates: Option<Vec<CertificatePin>>,
    /// The tokens of trusted issuers that it may log in with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub workloads: Option<Vec<Workload>>,
}

/// What adding a service account shows once.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AddedServiceAccount {
    /// The service account.
    pub service_account: Principal,
    /// `cvs_…`, if one was asked for; only its hash is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Disclosed>,
    /// After this the token no longer works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Timestamp>,
}

/// What replacing a service account's token shows once.
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

/// How a service account may log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Logins {
    /// After this its token no longer works; absent when it has none, or one from before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Timestamp>,
    /// From where it may act, however it logs in; from everywhere when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// The client certificates that it may log in with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificatePin>,
    /// The tokens of trusted issuers that it may log in with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<Workload>,
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
    /// How it may log in, if it is a service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logins: Option<Logins>,
    /// Whether a user has a second factor.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_second_factor: bool,
    /// A re-enrolment that waits for another administrator's yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub re_enrolment: Option<ReEnrolment>,
    /// By what a user can sign on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sign_ons: Vec<SignOn>,
}

/// Which of the principals to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ServiceAccountQuery {
    /// Only those that may act at more than one customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spanning: Option<bool>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
