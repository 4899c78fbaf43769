//! The logins that a system has, beside the accounts that the vault has of it.

use serde::{Deserialize, Serialize};

use super::ProbeResult;
use crate::{AccountPath, Part, SystemId, Timestamp, UserName};

/// The most logins that a report shows of one system; the system itself shows all that were found.
pub const REPORTED_LOGINS_MAX: usize = 50;
/// The most logins of one system that can be marked as known.
pub const KNOWN_LOGINS_MAX: usize = 500;

/// `GET /v1/reports/discovery`: which systems to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct DiscoveryQuery {
    /// Only this customer's; those of every customer that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Only systems that somebody should look at, and of their logins only those with power that nobody answers for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention: Option<bool>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What the last look at a system's logins found, compared with the accounts that the vault has of it now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Discovery {
    /// The customer.
    pub customer: Part,
    /// The system.
    pub system: Part,
    /// Its id.
    pub system_id: SystemId,
    /// Its kind, e.g. `postgresql`.
    pub kind: String,
    /// When its logins were last listed; absent where they never were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Timestamp>,
    /// When that was last tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// Why the last try failed, or why there can be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<LookFailure>,
    /// Whether the system has more logins than were listed. Those with power come first.
    pub cut: bool,
    /// What the management account may not see, so that nothing is known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// How many of each.
    pub counts: DiscoveryCounts,
    /// The logins: those that nobody answers for first, and of them those with power.
    pub logins: Vec<DiscoveredLogin>,
    /// Accounts of the vault that the system does not have.
    pub missing: Vec<AccountPath>,
}

/// Why a system's logins are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LookFailure {
    /// What a login by the management account told; `accepted` where it got in and something else was in the way.
    pub result: ProbeResult,
    /// More, in words.
    pub detail: String,
}

/// How many logins a system has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiscoveryCounts {
    /// All that were listed.
    pub logins: u64,
    /// Those of accounts of the vault.
    pub in_vault: u64,
    /// Those that the vault made for a time.
    pub of_checkouts: u64,
    /// Those that somebody answers for.
    pub known: u64,
    /// The others that may log in.
    pub unmanaged: u64,
    /// Of these, those with power over the system.
    pub unmanaged_privileged: u64,
    /// Accounts of the vault that the system does not have.
    pub missing: u64,
}

/// A login that a system has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiscoveredLogin {
    /// Its name as the system has it. Of one that no account can have, what is in the way is written as `\u{…}`.
    pub login: String,
    /// Whether no account can have this name, so that it cannot be taken in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unnameable: bool,
    /// What the vault has to do with it.
    pub standing: LoginStanding,
    /// The account whose login it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountPath>,
    /// Whether the system lets it log in at all.
    pub may_log_in: bool,
    /// What power it has over the system, and by what; empty where none was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileges: Vec<String>,
    /// What else is to be known of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When it last logged in, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
    /// Who answers for it, and why it is outside of the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<KnownLogin>,
}

/// What the vault has to do with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LoginStanding {
    /// Nothing: nobody answers for it.
    Unmanaged,
    /// Nothing, and somebody said why it shall be so; it has no more power than it had then.
    Known,
    /// An account of the vault has it.
    InVault,
    /// The vault made it for a checkout.
    OfCheckout,
}

/// Who answers for a login outside of the vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KnownLogin {
    /// Why it stays outside.
    pub reason: String,
    /// Who said so.
    pub by: UserName,
    /// When.
    pub at: Timestamp,
    /// Whether it has got power since that it did not have then: then nobody answers for it.
    pub outgrown: bool,
}

/// `POST …/actions/mark-known`: a login that shall stay outside of the vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkKnown {
    /// The login, as the last look shows it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub login: String,
    /// Why it stays outside.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// `POST …/actions/mark-unknown`: nobody answers for it any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MarkUnknown {
    /// The login, as the last look shows it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub login: String,
}
