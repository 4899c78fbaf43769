//! `/v1/access/inactive`: who has not been used for a while, and what they could reach.

use serde::{Deserialize, Serialize};

use super::{Grant, Principal};
use crate::Timestamp;

/// Unused for so many days, unless others are named.
pub const INACTIVE_DAYS_DEFAULT: u32 = 30;
/// The most days to ask for.
pub const INACTIVE_DAYS_MAX: u32 = 3650;
/// After so many days without use a user or service account is suspended, unless the operator sets another number.
pub const SUSPEND_UNUSED_DAYS_DEFAULT: u32 = 90;
/// The least that an operator may set it to.
pub const SUSPEND_UNUSED_DAYS_LEAST: u32 = 30;

/// Whom to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct InactiveQuery {
    /// Those not used for at least so many days; 30 when absent.
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

/// A user or service account that is not used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Inactive {
    /// Who, and whether it may log in now.
    pub principal: Principal,
    /// When it last logged in, or, where it never did, when it was added. A session lasts half a day at most.
    pub unused_since: Timestamp,
    /// Whole days since then.
    pub unused_days: u64,
    /// What it can reach, or could if it were let in: its grants that have not ended.
    pub grants: Vec<Grant>,
}
