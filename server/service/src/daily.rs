//! What the vault does once a day: it suspends whoever is not used any more, erases what nobody needs, and
//! enters the fingerprints of secrets that are older than their index.
//!
//! The look is a timer like any other, a row that is there from the first unsealing on: one that fell due while the vault
//! was sealed or down is done first, and half of one is done again.

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_store::{Range, Table, Timer};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::error::Result;
use crate::journal::Change;
use crate::open::{Open, deciding};
use crate::records::TimerRecord;
use crate::workers::TimerKind;

/// Who looks.
const ACTOR: &str = "system/daily";
/// From one look to the next.
const EVERY: SignedDuration = SignedDuration::from_hours(24);

impl Open {
    /// Adds the first look to a change, where there is none: in a new store, and in one of an earlier version.
    pub(crate) async fn with_daily_look<'a>(&self, change: Change<'a>) -> Result<Change<'a>> {
        let timers = self.timers(Range::table(Table::Timers)).await?;
        if timers.iter().any(|timer| timer.kind == TimerKind::DailyLook as u8) {
            return Ok(change);
        }
        let due = self.now().saturating_add(EVERY).unwrap_or(claviger_api::Timestamp::MAX);
        change.create(TimerKind::DailyLook.operators_row(due, Uuid::nil()), &TimerRecord {})
    }

    /// Looks, and sets the next look.
    pub(crate) async fn look_daily(&self, timer: &Timer) -> Result<()> {
        let suspended = self.suspend_unused().await?;
        let erased = self.purge().await;
        self.enter_fingerprints().await?;
        deciding(|| async {
            let Some(pending) = self.read::<TimerRecord>(&timer.row()).await? else { return Ok(()) };
            let due = self.now().saturating_add(EVERY).unwrap_or(claviger_api::Timestamp::MAX);
            let event = self
                .automatic(Scope::Operator, EventKind::VaultLookedAfter, ACTOR)
                .with(FieldName::Detail, format_args!("suspended {suspended}, erased {erased}"));
            let next = TimerKind::DailyLook.operators_row(due, Uuid::nil());
            self.commit(self.change(event).remove(&pending).create(next, &TimerRecord {})?).await.map(drop)
        })
        .await
    }
}
