//! `/v1/break-glass`: emergency access that two people open, everybody sees, and a third reviews.

use serde::{Deserialize, Serialize};

use super::{Approval, Checkout, GrantScope, LogReceipt, SystemSpec};
use crate::secret::Disclosed;
use crate::{BreakGlassId, CheckoutId, GrantId, Login, PrincipalId, Timestamp, UserName};

/// How long a glass is open when nobody says: an hour.
pub const BREAK_GLASS_TTL_DEFAULT_SECONDS: u64 = 3600;
/// The most: 8 hours.
pub const BREAK_GLASS_TTL_MAX_SECONDS: u64 = 8 * 3600;

/// `POST /v1/break-glass`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewBreakGlass {
    /// Where: a customer, one of its systems or one account. Never everywhere.
    pub scope: GrantScope,
    /// Why; 1 to 500 characters. Whoever works at the customer may read it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
    /// From the moment it is open: 60 to 28,800 (8 hours); an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 28_800))]
    pub ttl_seconds: Option<u64>,
}

/// `POST /v1/break-glass/{glass}/review`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BreakGlassReview {
    /// What came of looking at it; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub verdict: String,
}

/// Which glasses to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct BreakGlassQuery {
    /// Only this customer's; those of every customer that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Those with which nobody has anything left to do, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Where a glass is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BreakGlassState {
    /// Somebody asks for it, and another must agree.
    Asked,
    /// It gives its opener emergency access.
    Open,
    /// It gives nothing any more; what was checked out under it is being ended.
    Closing,
    /// It waits for its review.
    InReview,
    /// Its review is closed.
    Reviewed,
    /// It was never open: it was closed before, or nobody agreed in time.
    Withdrawn,
}

/// A glass: emergency access at one place, for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BreakGlass {
    /// Its id.
    pub id: BreakGlassId,
    /// Where.
    pub scope: GrantScope,
    /// Where it is in its life.
    pub state: BreakGlassState,
    /// Who asked for it, and has the access while it is open.
    pub opener: UserName,
    /// The same, by id.
    pub opener_id: PrincipalId,
    /// Why.
    pub reason: String,
    /// How long it is open at most.
    pub ttl_seconds: u64,
    /// How many others must agree.
    pub needed: u8,
    /// Whether one of them is the customer's own user.
    pub by_customer: bool,
    /// Who has agreed.
    pub agreed: Vec<Approval>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Until when another may agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agree_until: Option<Timestamp>,
    /// When it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Timestamp>,
    /// When it ends at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// The grant by which it gives the access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// What was checked out under it.
    pub checkouts: Vec<CheckoutId>,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// By whom; nobody, where its time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<UserName>,
    /// By when it should be reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_due_at: Option<Timestamp>,
    /// Whether it should have been.
    #[serde(default)]
    pub review_overdue: bool,
    /// Who closed its review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_by: Option<UserName>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_at: Option<Timestamp>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// What is known of one stored version of an account whose rotation is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KnownOf {
    /// It was sent to the system, and no answer came.
    SentUnknown,
    /// The system said that it has it.
    Acknowledged,
    /// The system said no when it was sent.
    Refused,
    /// It was the account's before the rotation.
    Current,
    /// It was the account's before that.
    Previous,
}

/// One stored version of such an account.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnresolvedSecret {
    /// Its version.
    pub version: u64,
    /// What is known of it.
    pub known: KnownOf,
    /// It may open the account.
    pub secret: Disclosed,
}

/// The versions that may open an account whose rotation is not settled, in the order in which to try them.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnresolvedSecrets {
    /// The checkout that holds the account meanwhile; at its end what was seen is rotated.
    pub checkout: Checkout,
    /// The login name on the system.
    pub login: Login,
    /// Where to use it.
    pub system: SystemSpec,
    /// The versions, the likeliest first.
    pub candidates: Vec<UnresolvedSecret>,
    /// The index of this reveal's event in the customer's log.
    pub event_index: u64,
    /// The proof of that, to be kept; older servers give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<LogReceipt>,
}
