//! `/v1/issuers`: who may vouch for programs.

use claviger_api::Part;
use claviger_api::wire::{ChangeIssuer, Issuer, NewIssuer, PageQuery};

use crate::{Client, List, Result};

/// Who may vouch for programs.
pub struct Issuers<'a>(&'a Client);

impl Client {
    /// Who may vouch for programs.
    pub fn issuers(&self) -> Issuers<'_> {
        Issuers(self)
    }
}

impl Issuers<'_> {
    /// Trusts an issuer of tokens.
    pub async fn add(&self, new: &NewIssuer) -> Result<Issuer> {
        self.0.post("/v1/issuers", new).await
    }

    /// All that are trusted.
    pub fn list(&self) -> List<'_, Issuer> {
        List::new(self.0, "/v1/issuers", PageQuery::default())
    }

    /// One issuer.
    pub async fn show(&self, name: &Part) -> Result<Issuer> {
        self.0.get(path(name)).await
    }

    /// Takes its keys from elsewhere; those before are trusted no more.
    pub async fn change(&self, name: &Part, change: &ChangeIssuer) -> Result<Issuer> {
        self.0.patch(path(name), change).await
    }

    /// Trusts it no more.
    pub async fn remove(&self, name: &Part) -> Result<()> {
        self.0.delete(path(name)).await
    }
}

fn path(name: &Part) -> String {
    format!("/v1/issuers/{name}")
}
