//! The timer of a glass. Closing it is one commit, from which on it gives nothing; the same commit makes its timer due,
//! which ends what was checked out under it, also if the server dies half-way.

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::{BreakGlassId, CheckoutId, CustomerId};
use claviger_core::break_glass::{BreakGlass, FellDue};
use claviger_store::RowId;
use futures::stream::{self, StreamExt as _};

use super::{ACTOR, By, retimed};
use crate::error::Result;
use crate::open::{Open, deciding};
use crate::records::BreakGlassRecord;

/// Checkouts that are ended at once: their commits share flushes.
const AT_ONCE: usize = 32;

impl Open {
    /// Does what has fallen due with a glass, one step after the other.
    pub(crate) async fn break_glass_due(&self, customer: CustomerId, id: BreakGlassId) -> Result<()> {
        loop {
            let Some(row) = self.read::<BreakGlassRecord>(&RowId::break_glass(customer, id)).await? else {
                return Ok(());
            };
            match row.value.0.fell_due(self.now()) {
                None => return Ok(()),
                Some(FellDue::Close) => deciding(|| self.glass_over(customer, id)).await?,
                Some(FellDue::EndCheckouts) => {
                    self.end_checkouts_under(customer, &row.value.0).await?;
                    let event = EventKind::BreakGlassEnded;
                    deciding(|| self.glass_moves(customer, id, FellDue::EndCheckouts, event, BreakGlass::ended))
                        .await?;
                }
                Some(FellDue::Remind) => {
                    tracing::warn!(glass = %id, "break-glass was not reviewed in time");
                    let event = EventKind::BreakGlassReviewOverdue;
                    deciding(|| self.glass_moves(customer, id, FellDue::Remind, event, BreakGlass::reminded)).await?;
                }
            }
        }
    }

    /// Its time is over, if nobody has closed it meanwhile.
    async fn glass_over(&self, customer: CustomerId, id: BreakGlassId) -> Result<()> {
        match self.closed_glass(customer, id, By::Vault).await {
            Err(refused) if refused.problem == ProblemType::BreakGlassClosed => Ok(()),
            closed => closed,
        }
    }

    /// One step of the vault's own, if it is still what is due.
    async fn glass_moves(
        &self,
        customer: CustomerId,
        id: BreakGlassId,
        due: FellDue,
        kind: EventKind,
        step: impl Fn(BreakGlass) -> BreakGlass,
    ) -> Result<()> {
        let row = self.load_glass(customer, id).await?;
        if row.value.0.fell_due(self.now()) != Some(due) {
            return Ok(());
        }
        let glass = step(row.value.0.clone());
        let change = self.glass_change(kind, By::Vault, &glass, |event| event).await?;
        let change = retimed(change, &row.value.0, &glass)?;
        self.commit(change.update(&row, &BreakGlassRecord(glass))?).await.map(drop)
    }

    /// Ends what was checked out under it. One that cannot be ended keeps none of the others; the timer stays until all
    /// are.
    async fn end_checkouts_under(&self, customer: CustomerId, glass: &BreakGlass) -> Result<()> {
        let ends = glass.checkouts.clone().into_iter().map(|checkout| self.end_under_glass(customer, checkout));
        let ended: Vec<Result<()>> = stream::iter(ends).buffer_unordered(AT_ONCE).collect().await;
        self.ground().wake.notify_waiters();
        ended.into_iter().collect()
    }

    async fn end_under_glass(&self, customer: CustomerId, id: CheckoutId) -> Result<()> {
        deciding(|| async {
            let case = self.case(customer, id).await;
            // An account that was removed since was held by nobody.
            let case = match case {
                Err(error) if error.problem == ProblemType::NotFound => return Ok(()),
                case => case?,
            };
            let Some(change) = self.end_cut(&case, ACTOR, "break-glass closed").await? else { return Ok(()) };
            self.commit(change).await.map(drop)
        })
        .await
    }
}
