//! `/v1/access`: who can reach what, and why or why not.

use claviger_api::AccountPath;
use claviger_api::wire::{
    AccessQuery, AccountAccess, ExplainQuery, Explained, Inactive, InactiveQuery, PAGE_MAX, WhatIf, WhatIfAnswer,
};

use crate::{Client, List, Result};

/// Who can reach what.
pub struct Access<'a>(&'a Client);

impl Client {
    /// Who can reach what.
    pub fn access(&self) -> Access<'_> {
        Access(self)
    }
}

impl Access<'_> {
    /// Who can check an account out, and by which grants.
    pub async fn show(&self, account: &AccountPath) -> Result<AccountAccess> {
        self.0.get_with("/v1/access", &AccessQuery { account: account.to_string() }).await
    }

    /// Users and service accounts that were not used for so many days, and what they could reach.
    pub fn inactive(&self, days: u32) -> List<'_, Inactive, InactiveQuery> {
        List::new(self.0, "/v1/access/inactive", InactiveQuery { days: Some(days), ..InactiveQuery::default() })
    }

    /// Whether somebody may do something somewhere, and why or why not.
    pub async fn explain(&self, query: &ExplainQuery) -> Result<Explained> {
        self.0.get_with("/v1/access/explain", query).await
    }

    /// One page of the decisions that would have come out differently under a change; nothing is changed.
    pub async fn what_if(&self, asked: &WhatIf) -> Result<WhatIfAnswer> {
        self.0.post("/v1/access/what-if", asked).await
    }

    /// The same, page by page, up to so many decisions; the counts are of all pages that were read.
    pub async fn what_if_first(&self, asked: &WhatIf, most: usize) -> Result<WhatIfAnswer> {
        let most_a_page = |missing: usize| u32::try_from(missing).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
        let mut asked = WhatIf { limit: Some(most_a_page(most)), ..asked.clone() };
        let mut answer = self.what_if(&asked).await?;
        while answer.items.len() < most
            && let Some(cursor) = answer.next_cursor.take()
        {
            asked.limit = Some(most_a_page(most - answer.items.len()));
            asked.cursor = Some(cursor);
            let page = self.what_if(&asked).await?;
            answer.replayed += page.replayed;
            answer.unlike_then += page.unlike_then;
            answer.unknown += page.unknown;
            answer.items.extend(page.items);
            answer.next_cursor = page.next_cursor;
        }
        Ok(answer)
    }
}
