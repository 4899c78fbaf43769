//! `/v1/access/what-if`: which decisions of the last days would have come out differently under a change of grants or of a
//! customer's limits, before it is made.

use serde::{Deserialize, Serialize};

use super::{CustomerLimits, GrantScope, NewGrant};
use crate::{CheckoutId, GrantId, Part, PrincipalId, Timestamp, UserName};

/// How far back decisions are put to a change, at most and when nobody says: 30 days.
pub const WHAT_IF_DAYS_MAX: u32 = 30;
/// The most grants to add, and to end, in one change.
pub const WHAT_IF_GRANTS_MAX: usize = 50;
/// The most events that are looked at for one page. A page may so have no rows and yet a cursor.
pub const WHAT_IF_EVENTS_MAX: u32 = 2000;

/// A change, and the log whose decisions it is put to. Nothing is changed. A grant's other terms are tried by ending it and
/// adding one with those.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct WhatIf {
    /// The customer; absent for what was done in the MSP's own house.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Part>,
    /// Decisions of so many days back from now, 1 to 30; 30 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 30))]
    pub days: Option<u32>,
    /// Grants that would be made, as if they had been in force all the time; of kind `may_use`, since nothing is handed on
    /// here. `spans_customers` is not asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub add: Vec<NewGrant>,
    /// Grants that would be ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub end: Vec<GrantId>,
    /// What the customer would want of everybody, in place of what it wants now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<CustomerLimits>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// One page of an answer, the newest decision first. The counts are of what was looked at for this page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhatIfAnswer {
    /// The decisions that would have come out differently.
    pub items: Vec<WhatIfDecision>,
    /// Give this as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Nothing older is looked at.
    pub since: Timestamp,
    /// Decisions about those whom the change is about that were made again.
    pub replayed: u64,
    /// Of these, decisions that the grants and limits of today alone make differently from how they were made then. They
    /// say nothing of the change, and are not among the items.
    pub unlike_then: u64,
    /// Decisions that could not be made again: whoever asked, or what it was about, has been removed since.
    pub unknown: u64,
}

/// A decision that would have come out differently.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhatIfDecision {
    /// The event that tells of it: its place in its log.
    pub index: u64,
    /// When.
    pub time: Timestamp,
    /// Who asked.
    pub principal: UserName,
    /// Its id.
    pub principal_id: PrincipalId,
    /// For what, e.g. `checkout.reveal`.
    pub action: String,
    /// Where.
    pub scope: GrantScope,
    /// The checkout it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<CheckoutId>,
    /// Why, in the words of whoever asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The ticket that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// From where; for those who may read the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How it comes out by the grants and limits of today.
    pub before: WhatIfOutcome,
    /// How it would come out after the change.
    pub after: WhatIfOutcome,
    /// Why, in a sentence.
    pub why: String,
    /// It is so under one of two assumptions only: that a second factor had been proven in the five minutes before, or that
    /// none had. The log does not tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub depends_on_fresh_factor: bool,
}

/// How a decision comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhatIfOutcome {
    /// Allowed.
    Allowed,
    /// Allowed, for a shorter time than it was for: who asked for that length is refused, who named none gets the shorter.
    Shortened,
    /// Allowed once others have said yes.
    NeedsApproval,
    /// Refused.
    Refused,
}
