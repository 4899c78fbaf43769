//! `/v1/exposures`: who has seen a secret that still works.

use serde::{Deserialize, Serialize};

use crate::{AccountId, AccountPath, CheckoutId, PrincipalId, RotationId, Timestamp, UserName};

/// Which exposures to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ExposureQuery {
    /// Only this customer's accounts; those of every customer that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Only what this user or service account has seen: a name, of one that was removed too, or an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// An account whose secret somebody has seen that still works, as far as the vault knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Exposure {
    /// The account.
    pub account: AccountPath,
    /// Its id.
    pub account_id: AccountId,
    /// Those who have seen it.
    pub seen_by: Vec<SeenBy>,
    /// The rotation under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationId>,
}

/// Somebody who has seen a secret that still works.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SeenBy {
    /// Who.
    pub principal: UserName,
    /// Its id; the name may be another's since.
    pub principal_id: PrincipalId,
    /// The version.
    pub version: u64,
    /// How.
    pub how: SeenHow,
    /// By which checkout, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<CheckoutId>,
    /// Since when: the first reveal of that checkout, or the moment it was brought.
    pub since: Timestamp,
    /// Whether the checkout has not ended.
    pub holds: bool,
}

/// How somebody knows a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SeenHow {
    /// It was revealed to them.
    Revealed,
    /// They brought it: by hand, or by an import.
    Brought,
}
