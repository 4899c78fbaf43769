//! Rotations that a policy calls for, a few at once, and what is overdue.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::RotationCause;
use claviger_api::{AccountId, CustomerId, RotationId, Scope};
use claviger_store::RowId;

use super::{ACTOR, House, Kept};
use crate::error::Result;
use crate::event::snake_case;
use crate::inventory::accounts::of_account;
use crate::open::{Open, deciding};
use crate::records::{AccountRecord, StateRecord, WatchRecord};
use crate::rotation::start::{Begin, may_rotate};

impl Open {
    /// Starts what is due and can be, the earliest first. What cannot be stays due.
    pub(super) async fn rotate_due(&self, house: &mut House) -> Result<()> {
        let now = self.now();
        let mut started = false;
        for at in 0..house.kept.len() {
            let Some(kept) = house.kept.get(at) else { break };
            let Some(due) = kept.is_due(now) else { break };
            if house.waits_for(kept).is_some() {
                continue;
            }
            let (system, account) = (kept.account.system, kept.account.id);
            if self.rotate_by_policy(house.customer, account, due.cause).await? {
                *house.load.running.entry(system).or_default() += 1;
                started = true;
            }
        }
        if started {
            self.ground().wake.notify_waiters();
        }
        Ok(())
    }

    /// Starts one, unless somebody has taken the account meanwhile.
    pub(super) async fn rotate_by_policy(
        &self,
        customer: CustomerId,
        account: AccountId,
        cause: RotationCause,
    ) -> Result<bool> {
        deciding(|| async {
            let Some(record) = self.read::<AccountRecord>(&RowId::account(customer, account)).await? else {
                return Ok(false);
            };
            let row = self.load::<StateRecord>(&RowId::account_state(customer, account)).await?;
            let mut state = row.value.0.clone();
            if may_rotate(&record.value, &state).is_err() {
                return Ok(false);
            }
            let id = RotationId::from_uuid(self.new_uuid());
            let event = self
                .automatic(Scope::Customer(customer), EventKind::RotationStarted, ACTOR)
                .with(FieldName::Cause, snake_case(&cause));
            let change = self.change(self.of_rotation(event, customer, &record.value, id).await?).expect(&record);
            let begin = Begin { id, cause, in_hand: None, later: None };
            let change = self.begin_rotation(change, customer, &record.value, &mut state, begin).await?;
            self.commit(change.update(&row, &StateRecord(state))?).await?;
            Ok(true)
        })
        .await
    }

    /// Says once of each due time that was missed by a day, and why.
    pub(super) async fn tell_overdue(&self, house: &House) -> Result<()> {
        let now = self.now();
        for kept in &house.kept {
            let Some(due) = kept.is_overdue(now) else { continue };
            if kept.seen.as_ref().and_then(|seen| seen.value.overdue) != Some(due.at) {
                self.tell_one_overdue(house, kept).await?;
            }
        }
        Ok(())
    }

    async fn tell_one_overdue(&self, house: &House, kept: &Kept) -> Result<()> {
        let (Some(due), id) = (kept.due, RowId::watch(house.customer, kept.account.id)) else { return Ok(()) };
        let why = house.waits_for(kept).map(|why| snake_case(&why)).unwrap_or_default();
        let path = self.path_of(house.customer, &kept.account).await?;
        deciding(|| async {
            let row = self.read::<WatchRecord>(&id).await?;
            let event = self
                .automatic(Scope::Customer(house.customer), EventKind::AccountOverdue, ACTOR)
                .with(FieldName::Cause, snake_case(&due.cause))
                .with(FieldName::ExpiresAt, due.at)
                .with(FieldName::Detail, &why);
            let change = self.change(of_account(event, &path));
            let told = |before: WatchRecord| WatchRecord { overdue: Some(due.at), ..before };
            let change = match row {
                Some(row) => change.update(&row, &told(row.value.clone()))?,
                None => change.create(id.clone(), &told(WatchRecord::default()))?,
            };
            self.commit(change).await.map(drop)
        })
        .await
    }
}
