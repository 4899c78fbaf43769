//! Offboarding: a customer's key is destroyed, and all that it opened is removed.
//!
//! Only a locked customer is offboarded, so what was held has ended and is rotated. What opens its systems is handed over to it
//! (`hand_over.rs`). Then the key goes first: from then on nothing that is left
//! can be read, whatever becomes of the rest. Then its rows are removed, piece by piece, the root key is replaced, and a signed receipt
//! says what was done, and what can still open copies from before. What stays is the head of its log and the tiles of hashes, so
//! that whoever has an export can prove it as before.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{Customer, OffboardCustomer, Offboarding};
use claviger_api::{CustomerId, Scope, Timestamp};
use claviger_core::policy::{CustomerOffboard, Permit, SysStatus};
use claviger_store::{Batch, Layout, Range, RowId, Table, Versioned, customer_row, other_customer_row};

use super::customers::view;
use super::short_text;
use crate::audit::archive::ArchiveRecord;
use crate::error::{Error, Result};
use crate::journal::Change;
use crate::open::{Caller, Open, deciding};
use crate::page::{Page, Paging};
use crate::records::{
    BackupRecord, BackupStep, CustomerRecord, HandOverRecord, HandOverStep, IdentityProviderRecord, KitStep,
    LockRecord, OffboardRecord, OffboardingRecord, PrincipalRecord, TimerRecord,
};
use crate::workers::TimerKind;

/// Who destroys.
const ACTOR: &str = "system/offboard";
/// Rows that one commit removes.
const PIECE: usize = 500;

impl Open {
    /// Has a locked customer offboarded.
    ///
    /// # Errors
    ///
    /// It is not locked, or has users or an identity provider of its own.
    pub async fn offboard_customer(
        &self,
        id: CustomerId,
        offboard: &OffboardCustomer,
        caller: &Caller,
        _permit: Permit<CustomerOffboard>,
    ) -> Result<Customer> {
        let reason = short_text("reason", &offboard.reason)?;
        let offboarding = deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            if offboard.confirm != row.value.slug {
                return Err(Error::value("confirm", "the slug of the customer that is offboarded, once more"));
            }
            let locked = row.value.lock.filter(|lock| lock.locked_at.is_some());
            let Some(lock) = locked else {
                let detail = "The customer is not locked: lock it first, so that what people have seen is rotated.";
                return Err(Error::new(ProblemType::InUse, detail));
            };
            if lock.offboard.is_some() {
                return Ok(row.value);
            }
            self.nobody_of(id).await?;
            let hand_over = self.hand_over_wanted(&row.value, offboard.without_hand_over)?;
            let since = self.now();
            let begun = OffboardRecord { by: caller.id, since, hand_over, destroyed_at: None, rows: 0 };
            let record =
                CustomerRecord { lock: Some(LockRecord { offboard: Some(begun), ..lock }), ..row.value.clone() };
            let event = self
                .customer_event(Scope::Operator, EventKind::CustomerOffboarding, &record, caller)
                .with(FieldName::Detail, if offboard.without_hand_over { "nothing is handed over" } else { "" })
                .with_personal(caller.id, FieldName::Reason, reason);
            let change = self.change(event).update(&row, &record)?;
            self.commit(change.create(timer(id, since), &TimerRecord {})?).await?;
            Ok(record)
        })
        .await?;
        self.ground().wake.notify_waiters();
        Ok(view(offboarding))
    }

    /// Customers that were offboarded, the last first.
    pub async fn offboardings(&self, paging: &Paging, _permit: Permit<SysStatus>) -> Result<Page<Offboarding>> {
        let range = Range::table(Table::Offboardings).reversed();
        let rows = self.page::<OffboardingRecord>(range, paging, |_| true).await?;
        rows.try_map(async |row| shown(row)).await
    }

    /// One of them.
    pub async fn offboarding(&self, id: CustomerId, _permit: Permit<SysStatus>) -> Result<Offboarding> {
        shown(self.load::<OffboardingRecord>(&RowId::offboarding(id)).await?)
    }

    /// Goes on with an offboarding, to its end.
    pub(crate) async fn offboard_due(&self, id: CustomerId) -> Result<()> {
        // Held no longer than the key takes: whoever hears of other customers' keys meanwhile needs it.
        let one_at_a_time = self.locking.lock().await;
        if let Some((row, lock, offboard)) = self.offboarding_of(id).await?
            && offboard.hand_over == HandOverStep::Wanted
        {
            self.hand_over(&row, lock, offboard).await?;
        }
        let Some((row, lock, offboard)) = self.offboarding_of(id).await? else { return Ok(()) };
        if offboard.destroyed_at.is_none() {
            self.destroy_key(&row, lock, offboard).await?;
        }
        self.drop_key(id);
        drop(one_at_a_time);
        self.remove_archives(id).await?;
        self.remove_kit_files(id).await?;
        self.remove_rows(id).await?;
        self.remove_log(id).await?;
        self.replace_root(self.automatic(Scope::Operator, EventKind::VaultRootRotated, ACTOR)).await?;
        self.close_offboarding(id).await
    }

    /// A customer that is being offboarded.
    async fn offboarding_of(
        &self,
        id: CustomerId,
    ) -> Result<Option<(Versioned<CustomerRecord>, LockRecord, OffboardRecord)>> {
        let Some(row) = self.read::<CustomerRecord>(&RowId::customer(id)).await? else { return Ok(None) };
        let begun = row.value.lock.and_then(|lock| Some((lock, lock.offboard?)));
        Ok(begun.map(|(lock, offboard)| (row, lock, offboard)))
    }

    /// Nobody logs in for the customer any more.
    async fn nobody_of(&self, id: CustomerId) -> Result<()> {
        let providers = self.all::<IdentityProviderRecord>(&Range::table(Table::IdentityProviders)).await?;
        if let Some(own) = providers.iter().find(|row| row.value.customer == Some(id)) {
            let detail = format!("The identity provider {} is the customer's own; remove it first.", own.value.name);
            return Err(Error::new(ProblemType::InUse, detail));
        }
        let people = self.all::<PrincipalRecord>(&Range::table(Table::Principals)).await?;
        if let Some(own) = people.iter().find(|row| row.value.customer == Some(id)) {
            let detail = format!("The user {} is the customer's own; remove all of them first.", own.value.name);
            return Err(Error::new(ProblemType::InUse, detail));
        }
        Ok(())
    }

    async fn destroy_key(
        &self,
        row: &Versioned<CustomerRecord>,
        lock: LockRecord,
        offboard: OffboardRecord,
    ) -> Result<()> {
        let id = row.value.id;
        let destroyed = OffboardRecord { destroyed_at: Some(self.now()), ..offboard };
        let record =
            CustomerRecord { lock: Some(LockRecord { offboard: Some(destroyed), ..lock }), ..row.value.clone() };
        let event = self.automatic(Scope::Operator, EventKind::CustomerKeyDestroyed, ACTOR);
        let change = self.change(event.with(FieldName::Customer, &record.slug)).update(row, &record)?;
        // The other one, too, where it was being replaced.
        self.commit(change.erase(customer_row(id)).erase(other_customer_row(id))).await.map(drop)
    }

    /// Files of its log: nobody opens them any more. One that is elsewhere is as good as gone.
    async fn remove_archives(&self, id: CustomerId) -> Result<()> {
        let Some(archives) = &self.ground().archives else { return Ok(()) };
        for archive in self.all::<ArchiveRecord>(&Range::scope(Table::LogArchives, Scope::Customer(id))).await? {
            if let Err(error) = archives.remove(&archive.value.file) {
                tracing::warn!(%error, file = archive.value.file, "an archive is not removed; nothing opens it");
            }
        }
        Ok(())
    }

    /// All that counts in the sum of its rows, but for its own row, and those of its kits, which the receipt names.
    async fn remove_rows(&self, id: CustomerId) -> Result<()> {
        let scope = Scope::Customer(id);
        let scoped = |table: &Table| matches!(table.layout(), Layout::Scoped(_)) && table.counts_in_freshness();
        let to_the_end = [Table::Customers, Table::Kits];
        for table in Table::ALL.into_iter().filter(|table| scoped(table) && !to_the_end.contains(table)) {
            loop {
                let rows = self.ground().store.scan(&Range::scope(table, scope).limit(PIECE)).await?;
                let ids: Vec<RowId> = rows.iter().filter_map(|(key, _)| RowId::from_key(key).ok()).collect();
                if ids.is_empty() {
                    break;
                }
                self.remove_piece(id, ids).await?;
            }
        }
        let mut range = Range::table(Table::Timers);
        loop {
            let rows = self.ground().store.scan(&range).await?;
            let ids = rows.iter().filter_map(|(key, _)| RowId::from_key(key).ok()).filter(|id| id.scope() == scope);
            for piece in ids.collect::<Vec<_>>().chunks(PIECE) {
                self.remove_piece(id, piece.to_vec()).await?;
            }
            match rows.last() {
                Some((last, _)) if rows.len() == range.limit => range = range.after(last),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn remove_piece(&self, id: CustomerId, ids: Vec<RowId>) -> Result<()> {
        deciding(|| async {
            let row = self.load::<CustomerRecord>(&RowId::customer(id)).await?;
            let Some((lock, offboard)) = row.value.lock.and_then(|lock| Some((lock, lock.offboard?))) else {
                return Ok(());
            };
            let after = OffboardRecord { rows: offboard.rows + ids.len() as u64, ..offboard };
            let record =
                CustomerRecord { lock: Some(LockRecord { offboard: Some(after), ..lock }), ..row.value.clone() };
            let event = self
                .automatic(Scope::Operator, EventKind::CustomerRowsRemoved, ACTOR)
                .with(FieldName::Customer, &record.slug)
                .with(FieldName::Detail, format!("{} rows", ids.len()));
            let change = self.change(event).update(&row, &record)?;
            self.commit(ids.iter().cloned().fold(change, Change::erase)).await.map(drop)
        })
        .await
    }

    /// The entries of its log, and the index of them: they are told of by none but themselves.
    async fn remove_log(&self, id: CustomerId) -> Result<()> {
        for table in [Table::LogLeaves, Table::LogIndex] {
            loop {
                let rows = self.ground().store.scan(&Range::scope(table, Scope::Customer(id)).limit(PIECE)).await?;
                if rows.is_empty() {
                    break;
                }
                let delete = rows.into_iter().map(|(key, _)| key).collect();
                self.ground().store.commit(Batch { delete, ..Batch::default() }).await?;
            }
        }
        Ok(())
    }

    /// The customer's own row and name go, and the receipt comes.
    async fn close_offboarding(&self, id: CustomerId) -> Result<()> {
        deciding(|| async {
            let Some(row) = self.read::<CustomerRecord>(&RowId::customer(id)).await? else { return Ok(()) };
            let Some(offboard) = row.value.lock.and_then(|lock| lock.offboard) else { return Ok(()) };
            let Some(destroyed_at) = offboard.destroyed_at else { return Ok(()) };
            let slug = row.value.slug.clone();
            let hand_over = self.handed_over(id, offboard.hand_over).await?;
            let receipt = self.receipt_of(id, &slug, destroyed_at, offboard.rows, hand_over.as_ref()).await?;
            let OffboardRecord { by, rows, since, .. } = offboard;
            let record = OffboardingRecord { slug: slug.clone(), destroyed_at, by, rows, hand_over, receipt };
            let event = self
                .automatic(Scope::Operator, EventKind::CustomerOffboarded, ACTOR)
                .with(FieldName::Customer, &slug)
                .with(FieldName::Principal, by)
                .with(FieldName::Detail, format!("{id}, {rows} rows"));
            let mut change = self
                .change(event)
                .create(RowId::offboarding(id), &record)?
                .erase(self.keyring().name(Table::Customers, Scope::Operator, slug.as_str()))
                .erase(timer(id, since))
                .remove(&row);
            for kit in self.kits_of(id).await? {
                change = change.remove(&kit);
            }
            self.commit(change).await.map(drop)
        })
        .await
    }

    /// What was done, and what can still open copies from before.
    async fn receipt_of(
        &self,
        id: CustomerId,
        slug: &claviger_api::Part,
        destroyed_at: Timestamp,
        rows: u64,
        hand_over: Option<&HandOverRecord>,
    ) -> Result<String> {
        let head = self.head(Scope::Customer(id)).await?;
        let (vault, opened_by) = (&self.ground().settings.name, self.opened_by().await?);
        let mut lines = vec![
            format!("{vault}/offboarding"),
            format!("customer {id} {slug}"),
            hand_over.map_or_else(
                || "handed over nothing".to_owned(),
                |HandOverRecord { moment, file, sha256, .. }| {
                    format!("handed over {file} of {moment} SHA-256 {sha256}")
                },
            ),
            format!("key destroyed {destroyed_at}"),
            format!("rows removed {rows}"),
            format!("log {} {}", head.frontier.size(), head.frontier.root()),
            format!("root key replaced {}", self.now()),
            format!(
                "copies from before are opened by {opened_by}, until the vault is rekeyed and the old keys are destroyed"
            ),
        ];
        for backup in self.all::<BackupRecord>(&Range::table(Table::Backups)).await? {
            if let BackupStep::Taken { moment, file, .. } = &backup.value.state {
                lines.push(format!("copy {file} of {moment}"));
            }
        }
        for kit in self.kits_of(id).await? {
            if let KitStep::Made { moment, file, recipients, threshold, .. } = &kit.value.state {
                let count = recipients.len();
                lines.push(format!(
                    "copy of secrets {file} of {moment}, opened by {threshold} of its {count} recipients"
                ));
            }
        }
        if self.ground().escrow.is_some() {
            let whom = "whoever has a private key of its recipients, until its files are deleted";
            lines.push(format!("copy of secrets in the escrow stream, opened by {whom}"));
        }
        Ok(self.signed_note(&format!("{}\n", lines.join("\n"))))
    }
}

fn timer(id: CustomerId, since: Timestamp) -> RowId {
    TimerKind::OffboardDue.operators_row(since, id.uuid())
}

fn shown(row: Versioned<OffboardingRecord>) -> Result<Offboarding> {
    let customer = row.id.uuid().map(CustomerId::from_uuid);
    let customer = customer.ok_or_else(|| Error::internal("an offboarding without a customer"))?;
    let OffboardingRecord { slug, destroyed_at, by, rows, hand_over, receipt } = row.value;
    Ok(Offboarding { customer, slug, destroyed_at, by, rows, hand_over: hand_over.map(Into::into), receipt })
}
