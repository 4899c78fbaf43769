//! `/v1/reviews`: who reaches a customer, confirmed or cut line by line.

use serde::{Deserialize, Serialize};

use super::{Grant, PrincipalKind, PrincipalState};
use crate::{Part, ReviewId, Timestamp, UserName};

/// How long a review may take when nobody says: 14 days.
pub const REVIEW_TTL_DEFAULT_SECONDS: u64 = 14 * 86_400;
/// The least.
pub const REVIEW_TTL_MIN_SECONDS: u64 = 3600;
/// The most: 90 days.
pub const REVIEW_TTL_MAX_SECONDS: u64 = 90 * 86_400;
/// The most lines of one review.
pub const REVIEW_LINES_MAX: usize = 5000;

/// `POST /v1/customers/{customer}/reviews`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewReview {
    /// How long there is to decide: an hour to 90 days; 14 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 3600, maximum = 7_776_000))]
    pub ttl_seconds: Option<u64>,
}

/// Which reviews to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ReviewQuery {
    /// Only this customer's; those of every customer that the caller may see when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The closed ones, too.
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

/// A review of who reaches a customer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// The customer.
    pub customer: Part,
    /// Who started it.
    pub started_by: UserName,
    /// When.
    pub started_at: Timestamp,
    /// It closes by itself then, whatever is decided.
    pub ends_at: Timestamp,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Who closed it; nobody, where its time was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<UserName>,
    /// How far it is.
    pub counts: ReviewCounts,
}

/// The lines of a review.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReviewCounts {
    /// All of them.
    pub lines: u64,
    /// Confirmed.
    pub confirmed: u64,
    /// Cut: the grant was ended by the review.
    pub cut: u64,
    /// Not decided, and the grant has ended without it.
    pub ended: u64,
    /// Not decided.
    pub undecided: u64,
}

/// What was decided about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReviewVerdict {
    /// The grant is right, and stays.
    Confirmed,
    /// The grant was ended.
    Cut,
}

/// A line of a review: a grant that reached the customer when the review was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReviewLine {
    /// Who has which role, where, until when. As it is now; as it was at the start, where it is gone.
    pub grant: Grant,
    /// A person or a program.
    pub principal_kind: PrincipalKind,
    /// Whether it may log in now; absent when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_state: Option<PrincipalState>,
    /// When it last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Whether the grant has ended.
    pub ended: bool,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<ReviewVerdict>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<UserName>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
}
