//! `/v1/break-glass`: emergency access that two people open, everybody sees, and a third reviews.

use claviger_api::wire::{
    BreakGlass as View, BreakGlassQuery, BreakGlassReview, NewBreakGlass, UnresolvedSecrets, WithComment, WithReason,
};
use claviger_api::{AccountPath, BreakGlassId};

use crate::{Client, List, Result};

/// Emergency access.
pub struct BreakGlass<'a>(&'a Client);

impl Client {
    /// Emergency access.
    pub fn break_glass(&self) -> BreakGlass<'_> {
        BreakGlass(self)
    }
}

impl BreakGlass<'_> {
    /// Asks for it. It is open when another has agreed.
    pub async fn open(&self, new: &NewBreakGlass) -> Result<View> {
        self.0.post("/v1/break-glass", new).await
    }

    /// Agrees to another's.
    pub async fn agree(&self, id: BreakGlassId, request: &WithComment) -> Result<View> {
        self.0.post(format!("{}/agree", path(id)), request).await
    }

    /// Ends it at once, with whatever was checked out under it.
    pub async fn close(&self, id: BreakGlassId) -> Result<View> {
        self.0.act(format!("{}/close", path(id))).await
    }

    /// Closes the review of one that has ended.
    pub async fn review(&self, id: BreakGlassId, request: &BreakGlassReview) -> Result<View> {
        self.0.post(format!("{}/review", path(id)), request).await
    }

    /// Those with which somebody has something to do and that the caller may see, unless the query says otherwise.
    pub fn list(&self, query: BreakGlassQuery) -> List<'_, View, BreakGlassQuery> {
        List::new(self.0, "/v1/break-glass", query)
    }

    /// One of them.
    pub async fn show(&self, id: BreakGlassId) -> Result<View> {
        self.0.get(path(id)).await
    }

    /// While one is open: every version that may open an account whose rotation is not settled. Each time is an event.
    pub async fn reveal_unresolved(&self, account: &AccountPath, request: &WithReason) -> Result<UnresolvedSecrets> {
        let AccountPath { customer, system, account } = account;
        let at = format!("/v1/customers/{customer}/systems/{system}/accounts/{account}");
        self.0.post(format!("{at}/actions/reveal-unresolved"), request).await
    }
}

fn path(id: BreakGlassId) -> String {
    format!("/v1/break-glass/{id}")
}
