//! What was found at many systems, and what somebody should look at.

use std::collections::BTreeMap;

use claviger_api::wire::{Discovery, LoginStanding, REPORTED_LOGINS_MAX};
use claviger_api::{CustomerId, Scope, SystemId};
use claviger_store::{Range, Table};

use super::Judged;
use crate::error::{Error, Result};
use crate::open::Open;
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, DiscoveryRecord, SystemRecord};

impl Open {
    /// The systems of one customer, or of every one for which `visible` holds, in the order in which they were added, each
    /// with the logins outside of the vault that may log in; only what somebody should look at, where `attention` says so.
    pub async fn discoveries(
        &self,
        customer: Option<CustomerId>,
        attention: bool,
        paging: &Paging,
        visible: impl Fn(CustomerId) -> bool,
    ) -> Result<Page<Discovery>> {
        let mut listed: BTreeMap<SystemId, Discovery> = BTreeMap::new();
        for customer in self.these_or_all(customer).into_iter().filter(|id| visible(*id)) {
            let scope = Scope::Customer(customer);
            let slug = self.slug_of(customer).await?;
            let accounts = self.all::<AccountRecord>(&Range::scope(Table::Accounts, scope)).await?;
            let accounts: Vec<&AccountRecord> = accounts.iter().map(|row| &row.value).collect();
            let mut records = BTreeMap::new();
            for row in self.all::<DiscoveryRecord>(&Range::scope(Table::Discoveries, scope)).await? {
                records.extend(row.id.uuid().map(|id| (SystemId::from_uuid(id), row.value)));
            }
            for row in self.all::<SystemRecord>(&Range::scope(Table::Systems, scope)).await? {
                let system = row.value;
                let record = records.remove(&system.id).unwrap_or_default();
                let wanted = |judged: &Judged<'_>| if attention { judged.is_alarming() } else { is_outside(judged) };
                let mut view = self.view_of(&slug, &system, &record, &accounts, wanted).await?;
                view.logins.truncate(REPORTED_LOGINS_MAX);
                let can_be_asked = self.ground().connectors.connector(&system.spec).lists_logins();
                if !attention || (can_be_asked && wants_attention(&view)) {
                    listed.insert(system.id, view);
                }
            }
        }
        let range = match customer {
            Some(customer) => Range::scope(Table::Systems, Scope::Customer(customer)),
            None => Range::table(Table::Systems),
        };
        let rows = self.page::<SystemRecord>(range, paging, |system| listed.contains_key(&system.id)).await?;
        rows.try_map(async |row| {
            listed.remove(&row.value.id).ok_or_else(|| Error::internal("a system that was not listed"))
        })
        .await
    }
}

fn is_outside(judged: &Judged<'_>) -> bool {
    match judged.standing {
        LoginStanding::Unmanaged | LoginStanding::Known => judged.login.may_log_in,
        LoginStanding::InVault | LoginStanding::OfCheckout => false,
    }
}

fn wants_attention(view: &Discovery) -> bool {
    view.counts.unmanaged_privileged > 0 || view.counts.missing > 0 || view.failure.is_some()
}
