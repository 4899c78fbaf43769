//! What policies say of each account, and what somebody should look at.

use std::collections::BTreeMap;

use claviger_api::wire::AccountUpkeep;
use claviger_api::{AccountId, CustomerId, Scope};
use claviger_store::{Range, Table};

use super::{House, Kept};
use crate::error::{Error, Result};
use crate::open::Open;
use crate::page::{Page, Paging};
use crate::records::AccountRecord;

impl Open {
    /// The standing accounts that a policy is about or others depend on, in the order in which they were added: of one
    /// customer, or of every one for which `visible` holds; only what somebody should look at, where `attention` says so.
    pub async fn upkeep(
        &self,
        customer: Option<CustomerId>,
        attention: bool,
        paging: &Paging,
        visible: impl Fn(CustomerId) -> bool,
    ) -> Result<Page<AccountUpkeep>> {
        let now = self.now();
        let mut listed: BTreeMap<AccountId, AccountUpkeep> = BTreeMap::new();
        for customer in self.these_or_all(customer).into_iter().filter(|id| visible(*id)) {
            let Some(house) = self.house(customer).await? else { continue };
            for kept in house.kept.iter().filter(|kept| !kept.policy.is_empty() || kept.follow_up.is_some()) {
                let wants =
                    kept.is_overdue(now).is_some() || kept.drifted_since().is_some() || kept.trouble().is_some();
                if !attention || wants {
                    listed.insert(kept.account.id, self.upkeep_view(&house, kept).await?);
                }
            }
        }
        let range = match customer {
            Some(customer) => Range::scope(Table::Accounts, Scope::Customer(customer)),
            None => Range::table(Table::Accounts),
        };
        let rows = self.page::<AccountRecord>(range, paging, |account| listed.contains_key(&account.id)).await?;
        rows.try_map(async |row| {
            listed.remove(&row.value.id).ok_or_else(|| Error::internal("an account that was not listed"))
        })
        .await
    }

    async fn upkeep_view(&self, house: &House, kept: &Kept) -> Result<AccountUpkeep> {
        let now = self.now();
        let watch = kept.seen.as_ref().and_then(|seen| seen.value.watch.as_ref());
        let of_this_version = watch.filter(|watch| kept.state.secrets.current == Some(watch.version));
        Ok(AccountUpkeep {
            account: self.path_of(house.customer, &kept.account).await?,
            account_id: kept.account.id,
            policy: kept.policy.clone(),
            secret_since: kept.since,
            due_at: kept.due.map(|due| due.at),
            due_by: kept.due.map(|due| due.cause),
            overdue: kept.is_overdue(now).is_some(),
            waits_for: kept.is_due(now).and_then(|_| house.waits_for(kept)),
            tried_at: of_this_version.map(|watch| watch.tried_at),
            result: of_this_version.and_then(|watch| watch.result),
            verified_at: watch.and_then(|watch| watch.verified_at),
            drifted_since: kept.drifted_since(),
            dependents_behind_since: kept.behind_since(),
            dependents_trouble: kept.trouble().cloned(),
        })
    }
}
