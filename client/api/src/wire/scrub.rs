//! `/v1/sys/scrub`: whether the store holds what its logs say, row by row.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// `GET /v1/sys/scrub`: what the last check of the whole store found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scrub {
    /// When somebody asked for one that has not begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Since when one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<Timestamp>,
    /// What the last one found; absent before the first after an unseal is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ScrubResult>,
}

/// What a check of the whole store found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScrubResult {
    /// The moment of which it tells: what was written later is not in it.
    pub started_at: Timestamp,
    /// When it was over.
    pub finished_at: Timestamp,
    /// How it ended.
    pub outcome: ScrubOutcome,
    /// Why it could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Rows that were read.
    pub rows: u64,
    /// Those of them that were not opened, because their customer is locked. Their digest was checked.
    pub locked_rows: u64,
    /// Entries of audit logs among them.
    pub entries: u64,
    /// Audit logs that were recomputed: the operator's, and one a customer.
    pub logs: u64,
    /// What is not as it should be, the first thousand.
    pub faults: Vec<ScrubFault>,
    /// How many more there are.
    pub more_faults: u64,
}

/// How a check of the store ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScrubOutcome {
    /// Every row is the one that its log head speaks of, and every log is whole.
    Clean,
    /// Something is not as it should be: see `faults`.
    Differs,
    /// The store could not be read to its end: see `trouble`.
    Failed,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScrubFault {
    /// Whose rows: a customer's slug, or its id where it has none any more; absent of the operator's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// What is wrong.
    pub kind: ScrubFaultKind,
    /// The row, by its table and its key in hex, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The first entry of the log that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_entry: Option<u64>,
    /// The last entry of the log that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_entry: Option<u64>,
    /// What was seen.
    pub detail: String,
}

/// What can be wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScrubFaultKind {
    /// A row does not open: it was altered, moved here, or sealed under another key.
    DoesNotOpen,
    /// A key that no table has.
    NoSuchTable,
    /// The rows are not those that the log head counts: an old one was put back, one is gone, or one is too many.
    RowsDiffer,
    /// A row that is not counted: it had been deleted.
    RowIsBack,
    /// There are rows, and no head of their log.
    HeadMissing,
    /// Entries of the log are gone.
    EntriesMissing,
    /// Entries beyond the end of the log.
    EntriesBeyond,
    /// Entries of the log are others than they were.
    EntriesDiffer,
    /// A tile of hashes is gone, or others than its entries.
    TileDiffers,
    /// The operator log holds another past of this log.
    Contradicted,
    /// An archive of the log is not in its place.
    ArchiveMissing,
}
