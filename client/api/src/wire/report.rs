//! `/v1/reports`: what somebody should look at.

use serde::{Deserialize, Serialize};

use super::AccountKind;
use crate::{AccountId, AccountPath, Timestamp};

/// Not checked out for so many days, unless others are named.
pub const UNUSED_DAYS_DEFAULT: u32 = 90;
/// The most days to ask for.
pub const UNUSED_DAYS_MAX: u32 = 3650;

/// A secret that more than one account uses. Which it is, is not told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReusedSecret {
    /// Those accounts, whosever they are.
    pub accounts: Vec<ReusedBy>,
}

/// One of the accounts that share a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReusedBy {
    /// The account.
    pub account: AccountPath,
    /// Since when it uses the secret, as far as the vault knows.
    pub since: Timestamp,
}

/// Which accounts to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct UnusedQuery {
    /// Only this customer's; those of every customer that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Those not checked out for at least so many days; 90 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 3650))]
    pub days: Option<u32>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// An account that nobody uses, as far as the vault knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnusedAccount {
    /// The account.
    pub account: AccountPath,
    /// Its id.
    pub account_id: AccountId,
    /// Standing or ephemeral.
    pub kind: AccountKind,
    /// When its last use ended; absent where nobody has ever revealed its secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Since then, or since it was added.
    pub unused_since: Timestamp,
    /// Whole days since then.
    pub unused_days: u64,
}
