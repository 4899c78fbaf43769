//! `/v1/access`: who can reach what, by which grant, and why or why not.

use serde::{Deserialize, Serialize};

use super::{CustomerLimits, Grant, PrincipalKind, PrincipalState};
use crate::{AccountPath, Part, Timestamp};

/// Whose access to list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct AccessQuery {
    /// `customer/system/account`.
    pub account: String,
}

/// Who can check an account out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountAccess {
    /// The account.
    pub account: AccountPath,
    /// What the customer wants of everybody besides.
    #[serde(default, skip_serializing_if = "CustomerLimits::is_empty")]
    pub limits: CustomerLimits,
    /// A line a grant: its principal can check the account out where its conditions are met.
    pub grants: Vec<AccessLine>,
}

/// One way to an account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccessLine {
    /// A person or a program.
    pub principal_kind: PrincipalKind,
    /// Whether it may log in now.
    pub principal_state: PrincipalState,
    /// The customer whose own user this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_customer: Option<Part>,
    /// By which grant, under which conditions, until when.
    pub grant: Grant,
}

/// What to explain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// The user or service account.
    pub principal: String,
    /// The verb, e.g. `checkout.create`.
    pub action: String,
    /// Where: `*`, a customer, customer/system or customer/system/account.
    pub scope: String,
    /// As if at this time; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// As if from this address; from nowhere when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// As if with this ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// As if a second factor had just been proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_factor: Option<bool>,
}

/// Yes or no, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explained {
    /// Whether the principal may, under the circumstances given.
    pub allowed: bool,
    /// Why, in a sentence.
    pub answer: String,
    /// The grants that give it.
    pub grants: Vec<ExplainedGrant>,
    /// What the customer still wants of everybody under the circumstances given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customer_wants: Vec<String>,
    /// Rules that hold for everybody and that forbid it, or permit it without a grant: their names in `baseline.cedar`.
    pub rules: Vec<String>,
}

/// A grant that gives what was asked about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExplainedGrant {
    /// The grant.
    pub grant: Grant,
    /// What it still wants under the circumstances given; nothing where all its conditions are met.
    pub wants: Vec<String>,
}
