//! `/v1/audit`: the record as people read it. Its proofs are in [`crate::audit`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// One audit event, as its reader may see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEvent {
    /// Its place in its log, from 0.
    pub index: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What happened, e.g. `checkout.revealed`.
    pub kind: String,
    /// The other fields: `actor`, `account`, `checkout`, `reason` and so on.
    pub fields: BTreeMap<String, String>,
}

/// The most bytes of text that a search takes.
pub const SEARCH_TEXT_MAX: usize = 256;

/// Which events to list; newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// The customer; absent for the operator log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Only of this kind, or of the kinds that start with it when it ends in a dot: `checkout.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only of this system (its name within the customer).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Only of this account (a path).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Only by this actor (a name or id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Only what this principal did or what was done to it (a name or id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Only with this ticket, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Only with this outcome, e.g. `pending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Only with all these words, anywhere, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(max_length = 256))]
    pub text: Option<String>,
    /// Only of this checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<String>,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Which log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// The customer; absent for the operator log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
}

/// Which log, from which entry on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// The customer; absent for the operator log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The first entry; 0 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// Which archives to list; the oldest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ArchiveQuery {
    /// The customer; absent for the operator log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Rows, 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", param(minimum = 1, maximum = 1000))]
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// The fewest days that entries of a log stay in the store: six months (AA22-131A).
pub const AUDIT_RETENTION_DAYS_MIN: u32 = 184;
/// The days that they stay there unless the configuration says more.
pub const AUDIT_RETENTION_DAYS_DEFAULT: u32 = 400;

/// Where the oldest entries of a log are: a file beside the store, sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogArchive {
    /// Its first entry.
    pub from: u64,
    /// The entry after its last.
    pub to: u64,
    /// When the first happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time: Option<Timestamp>,
    /// When the last happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Timestamp>,
    /// Its file's name in the archive directory.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was written.
    pub archived_at: Timestamp,
    /// Whether the file is in its place.
    pub present: bool,
}

/// A signed tree head.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckpointResponse {
    /// The signed note (C2SP tlog-checkpoint).
    pub checkpoint: String,
    /// The key that signs it, as a C2SP vkey. Keep it apart from the log: it is what a verifier trusts.
    pub verifier_key: String,
    /// The newest checkpoint that witnesses have cosigned (C2SP tlog-cosignature), with their lines; absent where none has
    /// since the vault was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosigned: Option<String>,
}

/// The proof that what was shown is in the log, to be kept by whoever was shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogReceipt {
    /// C2SP tlog-proof: read it as [`audit::Receipt`](crate::audit::Receipt).
    pub proof: String,
    /// The key that signs the log, as a C2SP vkey: it stays the same for the log's life.
    pub verifier_key: String,
}

/// A proof of RFC 6962: `from` a leaf or an older size, to a tree size.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    /// The customer; absent for the operator log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The leaf whose inclusion is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The older size whose consistency is proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_size: Option<u64>,
    /// The tree size; the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A proof.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// The tree size it leads to.
    pub size: u64,
    /// The root of that tree, hex.
    pub root: String,
    /// The hashes (RFC 9162 §2.1.3 and §2.1.4), hex.
    pub hashes: Vec<String>,
}
