//! Every account: who answers for it, its tier, and the age of its secret against its policy.

use std::collections::BTreeMap;

use claviger_api::wire::{AccountKind, AccountUpkeep};
use claviger_api::{AccountId, CustomerId, Scope};
use claviger_store::{Range, RowId, Table};

use super::{Draft, Of, Row, days};
use crate::error::Result;
use crate::event::snake_case;
use crate::open::Open;
use crate::page::Paging;
use crate::records::{AccountRecord, StateRecord};

impl Open {
    pub(super) async fn accounts_and_ages(&self, of: Of) -> Result<Draft> {
        let columns = &[
            "account",
            "kind",
            "owner",
            "tier",
            "secret_since",
            "age_days",
            "rotate_every_days",
            "due",
            "overdue",
            "changed_by_hand_since",
        ];
        let mut draft = Draft::of(columns);
        let (mut overdue, mut without, now) = (0, 0, self.now());
        for customer in self.customers_of(of) {
            let upkeep = self.upkeep_of(customer).await?;
            for row in self.all::<AccountRecord>(&Range::scope(Table::Accounts, Scope::Customer(customer))).await? {
                let account = row.value;
                let state = self.load::<StateRecord>(&RowId::account_state(customer, account.id)).await?.value.0;
                let kept = upkeep.get(&account.id);
                let since = kept.map(|kept| kept.secret_since).or(state.rotated_at).unwrap_or(account.created_at);
                let every = kept.and_then(most_days);
                let is_overdue = kept.is_some_and(|kept| kept.overdue);
                overdue += usize::from(is_overdue);
                without += usize::from(account.kind == AccountKind::Standing && every.is_none());
                let line = Row::default().text("account", self.path_of(customer, &account).await?);
                let line = line.text("kind", snake_case(&account.kind)).maybe("owner", account.settings.owner.as_ref());
                let line = line.maybe("tier", account.settings.tier.map(|tier| snake_case(&tier)));
                let line = match account.kind {
                    AccountKind::Standing => line.text("secret_since", since).number("age_days", days(since, now)),
                    AccountKind::Ephemeral | AccountKind::Certificate => line,
                };
                let line = match every {
                    Some(every) => line.number("rotate_every_days", every.into()),
                    None => line,
                };
                let line = line.maybe("due", kept.and_then(|kept| kept.due_at));
                let line = line.maybe("overdue", is_overdue.then_some("overdue"));
                draft.rows.push(line.maybe("changed_by_hand_since", kept.and_then(|kept| kept.drifted_since)));
            }
        }
        draft.count("accounts", draft.rows.len());
        draft.count("overdue", overdue);
        draft.count("without a policy of age", without);
        Ok(draft)
    }

    /// What policies say of a customer's accounts.
    pub(super) async fn upkeep_of(&self, customer: CustomerId) -> Result<BTreeMap<AccountId, AccountUpkeep>> {
        let every = |paging: Paging| async move { self.upkeep(Some(customer), false, &paging, |_| true).await };
        let rows = every_page(every).await?;
        Ok(rows.into_iter().map(|kept| (kept.account_id, kept)).collect())
    }
}

/// How old an account's secret may be; none where it may be of any age.
pub(super) fn most_days(kept: &AccountUpkeep) -> Option<u32> {
    kept.policy.every_days.filter(|days| *days > 0)
}

/// The rows of every page.
pub(super) async fn every_page<T, F>(page: impl Fn(Paging) -> F) -> Result<Vec<T>>
where
    F: Future<Output = Result<crate::page::Page<T>>>,
{
    let (mut rows, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let found = page(Paging::new(Some(claviger_api::wire::PAGE_MAX), cursor.as_deref())?).await?;
        rows.extend(found.items);
        cursor = found.next_cursor;
        if cursor.is_none() {
            return Ok(rows);
        }
    }
}
