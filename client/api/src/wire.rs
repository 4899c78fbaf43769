//! Request and response bodies, one file a resource. Requests refuse unknown and duplicate fields.
//!
//! Times are RFC 3339 UTC, durations whole seconds in fields named `…_seconds`. Lists take `limit` and `cursor`.

use serde::{Deserialize, Serialize};

pub mod access;
pub mod account;
pub mod audit;
pub mod audit_report;
pub mod auth;
pub mod backup;
pub mod break_glass;
pub mod certificate;
pub mod checkout;
pub mod conditions;
pub mod customer;
pub mod dependent;
pub mod discovery;
pub mod emergency;
pub mod erasure;
pub mod exposure;
pub mod factor;
pub mod grant;
pub mod host_key;
pub mod http_calls;
pub mod identity_provider;
pub mod inactive;
pub mod issuer;
pub mod kit;
pub mod principal;
pub mod report;
pub mod restore;
pub mod review;
pub mod rotation;
pub mod scrub;
pub mod sign_on;
pub mod ssh;
pub mod sudo;
pub mod sys;
pub mod system;
pub mod upkeep;
pub mod what_if;

pub use access::*;
pub use account::*;
pub use audit::*;
pub use audit_report::*;
pub use auth::*;
pub use backup::*;
pub use break_glass::*;
pub use certificate::*;
pub use checkout::*;
pub use conditions::*;
pub use customer::*;
pub use dependent::*;
pub use discovery::*;
pub use emergency::*;
pub use erasure::*;
pub use exposure::*;
pub use factor::*;
pub use grant::*;
pub use host_key::*;
pub use http_calls::*;
pub use identity_provider::*;
pub use inactive::*;
pub use issuer::*;
pub use kit::*;
pub use principal::*;
pub use report::*;
pub use restore::*;
pub use review::*;
pub use rotation::*;
pub use scrub::*;
pub use sign_on::*;
pub use ssh::*;
pub use sudo::*;
pub use sys::*;
pub use system::*;
pub use upkeep::*;
pub use what_if::*;

/// The most rows of one page.
pub const PAGE_MAX: u32 = 1000;
/// The rows of a page when the caller names no limit.
pub const PAGE_DEFAULT: u32 = 100;
/// The most bytes of one request body.
pub const BODY_MAX: usize = 1024 * 1024;
/// The most characters of a free text: a reason, a ticket, a display name.
pub const TEXT_MAX: usize = 500;

/// One page of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give this as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
