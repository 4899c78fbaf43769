//! Accounts that nobody has used for a while, from their checkouts: what was never revealed was not used.

use std::collections::BTreeMap;

use claviger_api::wire::{UNUSED_DAYS_DEFAULT, UNUSED_DAYS_MAX, UnusedAccount};
use claviger_api::{AccountId, CustomerId, Scope, Timestamp};
use claviger_core::checkout::{Checkout, State};
use claviger_store::{Range, Table};
use jiff::SignedDuration;

use crate::error::{Error, Result};
use crate::open::Open;
use crate::page::{Page, Paging};
use crate::records::{AccountRecord, CheckoutRecord};

const SECONDS_OF_A_DAY: i64 = 86_400;

impl Open {
    /// The accounts that were not used for so many days, in the order in which they were added: of one customer, or of every
    /// one for which `visible` holds.
    pub async fn unused_accounts(
        &self,
        customer: Option<CustomerId>,
        days: Option<u32>,
        paging: &Paging,
        visible: impl Fn(CustomerId) -> bool,
    ) -> Result<Page<UnusedAccount>> {
        let days = days.unwrap_or(UNUSED_DAYS_DEFAULT);
        if !(1..=UNUSED_DAYS_MAX).contains(&days) {
            return Err(Error::value("days", "1 to 3650 days"));
        }
        let now = self.now();
        let most = SignedDuration::from_secs(i64::from(days) * SECONDS_OF_A_DAY);
        let mut unused: BTreeMap<AccountId, (Option<Timestamp>, Timestamp)> = BTreeMap::new();
        for customer in self.these_or_all(customer).into_iter().filter(|id| visible(*id)) {
            let scope = Scope::Customer(customer);
            let mut used: BTreeMap<AccountId, Timestamp> = BTreeMap::new();
            for row in self.all::<CheckoutRecord>(&Range::scope(Table::Checkouts, scope)).await? {
                if let Some(at) = last_use(&row.value.0, now) {
                    let last = used.entry(row.value.0.account).or_insert(at);
                    *last = at.max(*last);
                }
            }
            for row in self.all::<AccountRecord>(&Range::scope(Table::Accounts, scope)).await? {
                let last = used.get(&row.value.id).copied();
                let since = last.unwrap_or(row.value.created_at);
                if now.duration_since(since) >= most {
                    unused.insert(row.value.id, (last, since));
                }
            }
        }
        let range = match customer {
            Some(customer) => Range::scope(Table::Accounts, Scope::Customer(customer)),
            None => Range::table(Table::Accounts),
        };
        let rows = self.page::<AccountRecord>(range, paging, |account| unused.contains_key(&account.id)).await?;
        rows.try_map(async |row| {
            let Scope::Customer(customer) = row.id.scope() else { return Err(Error::internal("an account of nobody")) };
            let (last_used_at, unused_since) = unused.get(&row.value.id).copied().unwrap_or((None, now));
            let unused_days = now.duration_since(unused_since).as_secs() / SECONDS_OF_A_DAY;
            Ok(UnusedAccount {
                account: self.path_of(customer, &row.value).await?,
                account_id: row.value.id,
                kind: row.value.kind,
                last_used_at,
                unused_since,
                unused_days: u64::try_from(unused_days).unwrap_or(0),
            })
        })
        .await
    }
}

/// When its use ended, or now while it goes on; none where nobody saw the secret.
fn last_use(checkout: &Checkout, now: Timestamp) -> Option<Timestamp> {
    if checkout.reveals == 0 {
        return None;
    }
    match &checkout.state {
        State::Active(used) => Some(now.min(used.expires_at)),
        State::Ended { at, used: Some(_), .. } => Some(*at),
        State::Ended { used: None, .. }
        | State::Pending { .. }
        | State::Scheduled { .. }
        | State::Requested { .. }
        | State::Approved { .. } => None,
    }
}
