//! `/v1/reports`: what somebody should look at.

use claviger_api::wire::{
    AccountUpkeep, AuditReport, AuditReportQuery, Discovery, DiscoveryQuery, PageQuery, ReusedSecret, UnusedAccount,
    UnusedQuery, UpkeepQuery,
};

use crate::{Client, List, Result};

/// Reports.
pub struct Reports<'a>(&'a Client);

impl Client {
    /// What somebody should look at.
    pub fn reports(&self) -> Reports<'_> {
        Reports(self)
    }
}

impl Reports<'_> {
    /// Accounts that share a secret, across customers.
    pub fn reuse(&self) -> List<'_, ReusedSecret> {
        List::new(self.0, "/v1/reports/reuse", PageQuery::default())
    }

    /// Accounts that were not checked out and used for some days.
    pub fn unused(&self, query: UnusedQuery) -> List<'_, UnusedAccount, UnusedQuery> {
        List::new(self.0, "/v1/reports/unused", query)
    }

    /// Logins outside of the vault, accounts that their systems do not have, and looks that fail.
    pub fn discovery(&self, query: DiscoveryQuery) -> List<'_, Discovery, DiscoveryQuery> {
        List::new(self.0, "/v1/reports/discovery", query)
    }

    /// What auditors ask of a log and of what is there. That somebody asked is an event of that log.
    pub async fn audit(&self, query: &AuditReportQuery) -> Result<AuditReport> {
        self.0.get_with("/v1/reports/audit", query).await
    }

    /// When accounts are rotated by their policies, what is overdue, and what was changed by hand.
    pub fn rotation(&self, query: UpkeepQuery) -> List<'_, AccountUpkeep, UpkeepQuery> {
        List::new(self.0, "/v1/reports/rotation", query)
    }
}
