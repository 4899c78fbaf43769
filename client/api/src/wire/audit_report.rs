//! `/v1/reports/audit`: what auditors ask, of a log and of what is there now.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::CheckpointResponse;
use crate::Timestamp;

/// The most rows of a report.
pub const REPORT_ROWS_MAX: usize = 10_000;

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// Who held what, when.
    Timeline,
    /// Every account, with who answers for it, its tier, and the age of its secret against its policy.
    Accounts,
    /// Checkouts without a ticket, out of hours, not given back in time, or extended.
    Irregular,
    /// What was seen, and whether it was proven to be refused, and how long that took.
    Revocations,
    /// Approvals and refusals, break-glass and reviews.
    Approvals,
    /// Failed logins and locked-out people.
    Logins,
    /// Who has a second factor.
    Mfa,
    /// The recommendations of the joint advisory AA22-131A that a vault can give evidence of.
    Advisory,
}

impl ReportKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Timeline,
        Self::Accounts,
        Self::Irregular,
        Self::Revocations,
        Self::Approvals,
        Self::Logins,
        Self::Mfa,
        Self::Advisory,
    ];

    /// As it is written.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Timeline => "timeline",
            Self::Accounts => "accounts",
            Self::Irregular => "irregular",
            Self::Revocations => "revocations",
            Self::Approvals => "approvals",
            Self::Logins => "logins",
            Self::Mfa => "mfa",
            Self::Advisory => "advisory",
        }
    }

    /// What stands above it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Timeline => "Who held what, when",
            Self::Accounts => "Accounts and the age of their secrets",
            Self::Irregular => "Checkouts that stand out",
            Self::Revocations => "What was seen, and its proven end",
            Self::Approvals => "Approvals, break-glass and reviews",
            Self::Logins => "Failed logins",
            Self::Mfa => "Second factors",
            Self::Advisory => "Recommendations of AA22-131A",
        }
    }
}

impl fmt::Display for ReportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Which report, of whom, of when.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[serde(deny_unknown_fields)]
pub struct AuditReportQuery {
    /// Which.
    #[cfg_attr(feature = "openapi", param(inline))]
    pub report: ReportKind,
    /// The customer; absent for the whole house.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Of what happened not before; 30 days ago when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// And before; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A report: rows of one form, and what they sum up to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// Which.
    pub report: ReportKind,
    /// The customer; absent for the whole house.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// Of what happened not before.
    pub since: Timestamp,
    /// And before.
    pub until: Timestamp,
    /// When it was made.
    pub made_at: Timestamp,
    /// The log that `entries` are of, signed as it was when the report was made.
    pub log: CheckpointResponse,
    /// What the rows sum up to.
    pub summary: Vec<ReportFigure>,
    /// The names of the rows' cells, in the order in which to show them.
    pub columns: Vec<String>,
    /// The rows. A cell that says nothing is not there. `entries` are places in the log: what proves the row.
    pub rows: Vec<BTreeMap<String, ReportCell>>,
    /// There were more than 10,000 rows: ask for less time.
    pub more: bool,
}

/// One number or word of a summary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportFigure {
    /// What it counts.
    pub name: String,
    /// The number, or the word.
    pub value: ReportCell,
}

/// A cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum ReportCell {
    /// A number.
    Number(u64),
    /// A text; times are RFC 3339, UTC.
    Text(String),
    /// Places in the log.
    Entries(Vec<u64>),
}

impl fmt::Display for ReportCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Entries(entries) => {
                let numbers: Vec<String> = entries.iter().map(u64::to_string).collect();
                f.write_str(&numbers.join(" "))
            }
        }
    }
}
