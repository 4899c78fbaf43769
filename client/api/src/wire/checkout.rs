//! `/v1/checkouts`: the time-bound right of one principal to one account.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::wire::{LogReceipt, SystemSpec};
use crate::{AccountId, AccountPath, BreakGlassId, CheckoutId, Login, PrincipalId, RotationId, Timestamp, UserName};

/// The shortest checkout.
pub const TTL_MIN_SECONDS: u64 = 60;
/// A checkout's length when the caller names none.
pub const TTL_DEFAULT_SECONDS: u64 = 60 * 60;
/// The longest checkout under a grant that names no limit.
pub const TTL_GRANT_DEFAULT_SECONDS: u64 = 8 * 60 * 60;
/// The longest checkout any grant can give.
pub const TTL_MAX_SECONDS: u64 = 30 * 24 * 60 * 60;

/// When the time of use starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// At once.
    #[default]
    Now,
    /// At the first reveal, which must come within the claim window.
    Later,
}

/// What to do when the account is held by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Refuse.
    #[default]
    Fail,
    /// Queue, first come first served.
    Wait,
    /// Answer with the caller's own checkout of the account, held or asked for with the same start, if there is one; else
    /// as `fail`. Where the grant allows it, an approval of a checkout that was given back early serves again for the same
    /// reason and ticket, up to the end that was approved.
    Reuse,
}

/// `POST /v1/checkouts`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCheckout {
    /// `customer/system/account`.
    pub account: AccountPath,
    /// 60 to what the grant allows; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 2_592_000))]
    pub ttl_seconds: Option<u64>,
    /// Why; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
    /// The ticket this is for; 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub ticket: Option<String>,
    /// When the time of use starts.
    #[serde(default)]
    pub claim: Claim,
    /// What to do when the account is held by another.
    #[serde(default)]
    pub on_conflict: OnConflict,
    /// When the use may start, at most 30 days ahead; at once when absent or past. It may be claimed from then on, within
    /// the claim window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// Where a checkout is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CheckoutState {
    /// Waits for approvals, its start or its turn: `waits_for` says which.
    Requested,
    /// May be claimed by a first reveal.
    Approved,
    /// In use.
    Active,
    /// Over.
    Ended,
}

/// What a requested checkout waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The yes of others.
    Approval,
    /// The time it was asked for.
    Start,
    /// A seat.
    Turn,
}

/// A person's yes to a checkout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approval {
    /// Who said yes.
    pub by: UserName,
    /// Who said yes, by id.
    pub by_id: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// In their words.
    pub comment: String,
}

/// The approvals that a checkout needs, and those it has.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Approvals {
    /// How many people must say yes, none of them the holder.
    pub needed: u8,
    /// One of them must be the customer's own user.
    pub by_customer: bool,
    /// Those who did.
    pub given: Vec<Approval>,
}

/// Why a checkout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// The holder checked in.
    CheckedIn,
    /// Its time was over.
    Expired,
    /// Somebody who may revoked it.
    Revoked,
    /// Another took the account over.
    TakenOver,
    /// An approver said no.
    Denied,
    /// The requester withdrew before use.
    Cancelled,
    /// Not approved, or not claimed, in time.
    Lapsed,
}

/// What became of the credential after a checkout's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RevocationState {
    /// Nothing was revealed, so nothing had to be revoked.
    NotNeeded,
    /// The account is set not to rotate at the end: the secret still works.
    NotRequested,
    /// Under way.
    Pending,
    /// The old secret was tried and refused.
    Proven,
    /// The old secret was tried and still accepted; it is tried again.
    StillAccepted,
    /// Not settled; the vault goes on.
    Unresolved,
    /// A person said that the secret was replaced by hand. No login has proven it.
    Told,
}

/// The proof that the credential stopped working.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revocation {
    /// How far it is.
    pub state: RevocationState,
    /// When the old secret was seen refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<Timestamp>,
    /// Milliseconds from the checkout's end to that refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_lag_milliseconds: Option<u64>,
    /// Sessions opened before may still be open: the connector did not end them.
    pub sessions_may_remain: bool,
}

/// A checkout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Checkout {
    /// Its id.
    pub id: CheckoutId,
    /// `customer/system/account`.
    pub account: AccountPath,
    /// The account's id.
    pub account_id: AccountId,
    /// Who holds it.
    pub principal: UserName,
    /// Who holds it, by id.
    pub principal_id: PrincipalId,
    /// Where it is in its life.
    pub state: CheckoutState,
    /// Why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_cause: Option<EndCause>,
    /// Why the account was wanted.
    pub reason: String,
    /// The ticket this is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// How long the use may last.
    pub ttl_seconds: u64,
    /// The broken glass that it was taken under; it ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlassId>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// What it waits for, while it is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<WaitsFor>,
    /// When the use may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// When the request lapses if nobody decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_until: Option<Timestamp>,
    /// The approvals that it needs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Approvals>,
    /// Until when a first reveal may claim it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_until: Option<Timestamp>,
    /// When the use started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the use ends at the latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// How many wait before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_behind: Option<u32>,
    /// The rotation that its end started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationId>,
    /// What became of the credential, once ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// `POST /v1/checkouts/{id}/reveal`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Revealed {
    /// The checkout, active.
    pub checkout: Checkout,
    /// The login name on the system.
    pub login: Login,
    /// What opens it.
    pub secret: Disclosed,
    /// Which version this is.
    pub version: u64,
    /// How to reach the system.
    pub system: SystemSpec,
    /// The audit event that says so, in the customer's log; it was durable before this answer left.
    pub event_index: u64,
    /// The proof of that, to be kept; older servers give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<LogReceipt>,
}

/// `POST /v1/checkouts/{id}/extend`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Extend {
    /// The new length, counted from the start of use; never past what the grant allows.
    #[cfg_attr(feature = "openapi", schema(minimum = 60, maximum = 2_592_000))]
    pub ttl_seconds: u64,
}

/// `POST /v1/checkouts/{id}/revoke` and `/take-over`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WithReason {
    /// Why; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// `POST /v1/checkouts/{id}/approve` and `/deny`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WithComment {
    /// Why, for whoever asked and for the record; 1 to 500 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub comment: String,
}

/// Which checkouts to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct CheckoutQuery {
    /// The customer.
    pub customer: String,
    /// Only this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub state: Option<CheckoutState>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
