//! Programs that may act at more than one customer: only where a grant was made with that said, and listed.
//!
//! A program's token opens what its grants reach. One that spans customers is a way from each of them to all the others,
//! so it comes about by nobody's oversight.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::wire::{GrantKind, NewGrant, Principal, PrincipalKind};
use claviger_api::{CustomerId, PrincipalId, Scope, Timestamp};
use claviger_core::policy::{Grant, GrantTarget, Permit, PrincipalView};
use claviger_store::{Range, Table};

use crate::error::{Error, Result};
use crate::open::Open;
use crate::page::{Page, Paging};
use crate::records::{GrantRecord, PrincipalRecord};

/// Where a principal may act.
#[derive(Default)]
struct Reach {
    everywhere: bool,
    customers: BTreeSet<CustomerId>,
}

impl Reach {
    /// Adds what a grant gives now; what it lets hand on is nothing to act by.
    fn add(&mut self, grant: &Grant, now: Timestamp) {
        match grant.kind {
            GrantKind::MayUse if now < grant.expires_at => self.add_target(grant.scope),
            GrantKind::MayUse | GrantKind::MayGrant => {}
        }
    }

    fn add_target(&mut self, target: GrantTarget) {
        match target.customer() {
            Some(customer) => drop(self.customers.insert(customer)),
            None => self.everywhere = true,
        }
    }

    /// Whether it is more than one customer. Everywhere is, however few customers there are today.
    fn spans(&self) -> bool {
        self.everywhere || self.customers.len() > 1
    }
}

impl Open {
    /// Whether a grant makes a program span customers, or adds to one that does. Refused where that is not said.
    pub(super) async fn spans_customers(
        &self,
        new: &NewGrant,
        principal: &PrincipalRecord,
        target: GrantTarget,
    ) -> Result<bool> {
        match (principal.kind, new.kind) {
            (PrincipalKind::ServiceAccount, GrantKind::MayUse) => {}
            (PrincipalKind::User, _) | (PrincipalKind::ServiceAccount, GrantKind::MayGrant) => return Ok(false),
        }
        let mut reach = Reach::default();
        for grant in self.grants_of(principal.id).await? {
            reach.add(&grant, self.now());
        }
        reach.add_target(target);
        if reach.spans() && !new.spans_customers {
            let advice = "this lets the service account act at more than one customer; make one for each customer, or say \
                          spans_customers: true";
            return Err(Error::value("spans_customers", advice));
        }
        Ok(reach.spans())
    }

    /// The service accounts that span customers, or those that do not.
    pub async fn service_accounts_by_reach(
        &self,
        spanning: bool,
        paging: &Paging,
        _permit: Permit<PrincipalView>,
    ) -> Result<Page<Principal>> {
        let mut reaches: BTreeMap<PrincipalId, Reach> = BTreeMap::new();
        for grant in self.all::<GrantRecord>(&Range::scope(Table::Grants, Scope::Operator)).await? {
            let Grant { principal, .. } = grant.value.0;
            reaches.entry(principal).or_default().add(&grant.value.0, self.now());
        }
        let spans = |row: &PrincipalRecord| reaches.get(&row.id).is_some_and(Reach::spans);
        let wanted = |row: &PrincipalRecord| row.kind == PrincipalKind::ServiceAccount && spans(row) == spanning;
        let rows =
            self.page::<PrincipalRecord>(Range::scope(Table::Principals, Scope::Operator), paging, wanted).await?;
        rows.try_map(async |row| self.principal_view(&row.value).await).await
    }
}
