//! `…/accounts/{account}/dependents`: who depends on an account's secret.

use claviger_api::AccountPath;
use claviger_api::wire::{Dependent, Dependents, DependentsChange, SkipDependent};

use crate::Result;
use crate::accounts::{Accounts, at};

impl Accounts<'_> {
    /// Who depends on an account's secret, and how far they are with the present one.
    pub async fn dependents(&self, account: &AccountPath) -> Result<Dependents> {
        self.0.get(under(account)).await
    }

    /// Says who depends on it, in the order in which they are brought up to date. Who stays keeps its progress.
    pub async fn set_dependents(&self, account: &AccountPath, dependents: Vec<Dependent>) -> Result<Dependents> {
        self.0.patch(under(account), &DependentsChange { dependents }).await
    }

    /// Tries those who are behind now; brings all up to date anew, where nobody is.
    pub async fn update_dependents(&self, account: &AccountPath) -> Result<Dependents> {
        self.0.act(format!("{}/actions/update", under(account))).await
    }

    /// Passes one over that waits: it may keep an old secret.
    pub async fn skip_dependent(&self, account: &AccountPath, skip: &SkipDependent) -> Result<Dependents> {
        self.0.post(format!("{}/actions/skip", under(account)), skip).await
    }
}

fn under(account: &AccountPath) -> String {
    format!("{}/dependents", at(account))
}
