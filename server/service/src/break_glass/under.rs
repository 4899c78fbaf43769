//! What is checked out under a glass: noted in it, so that it ends with it, and approved by those who agreed.

use claviger_api::wire::ApprovalRule;
use claviger_api::{BreakGlassId, CheckoutId, CustomerId};
use claviger_core::break_glass::Refusal;
use claviger_core::checkout::UnderGlass;
use claviger_store::Versioned;

use crate::error::Result;
use crate::journal::Change;
use crate::open::Open;
use crate::records::BreakGlassRecord;

/// A glass that is open, expected to stay as it is until the decision is committed.
pub(crate) struct Glass {
    /// On the heap: usual check-outs, which have none, carry no room for it.
    row: Box<Versioned<BreakGlassRecord>>,
    /// What a checkout under it remembers.
    pub under: UnderGlass,
}

impl Open {
    /// The glass that a permit rests on, if it does.
    pub(crate) async fn glass(&self, customer: CustomerId, id: Option<BreakGlassId>) -> Result<Option<Glass>> {
        let Some(id) = id else { return Ok(None) };
        Box::pin(self.open_glass(customer, id)).await.map(Some)
    }

    async fn open_glass(&self, customer: CustomerId, id: BreakGlassId) -> Result<Glass> {
        let row = Box::new(self.load_glass(customer, id).await?);
        let opened = row.value.0.open_at(self.now()).ok_or(Refusal::Closed)?;
        Ok(Glass { under: UnderGlass { id, until: opened.ends_at }, row })
    }

    /// Remembers a checkout in its glass, in the commit that makes it.
    pub(crate) fn noted<'a>(
        &'a self,
        change: Change<'a>,
        glass: Option<&Glass>,
        checkout: CheckoutId,
    ) -> Result<Change<'a>> {
        let Some(Glass { row, .. }) = glass else { return Ok(change) };
        let glass = row.value.0.clone().note(checkout, self.now())?;
        change.update(row, &BreakGlassRecord(glass))
    }
}

impl Glass {
    /// What is left of a rule: nothing, where those who agreed are as many and whom it wants.
    pub fn approves(glass: Option<&Self>, rule: Option<ApprovalRule>) -> Option<ApprovalRule> {
        rule.filter(|rule| !glass.is_some_and(|glass| glass.row.value.0.agreement_meets(*rule)))
    }

    /// Whoever closes it meanwhile wins.
    pub fn expected<'a>(glass: Option<&Self>, change: Change<'a>) -> Change<'a> {
        match glass {
            Some(glass) => change.expect(&glass.row),
            None => change,
        }
    }
}
