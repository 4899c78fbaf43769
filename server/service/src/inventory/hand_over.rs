//! The hand-over: before the key of a customer that is offboarded is destroyed, what opens its systems is written for the customer's own
//! recipients, each of whom opens it alone. It is the body of an emergency kit, and lies on the kits' shelf.
//!
//! The file is safe before a commit says so, and the key goes only after that commit. The customer stays locked meanwhile: its key is
//! in a keyring of its own, which nothing else of the vault sees, for as long as the file takes.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{HandOver, KitRule};
use claviger_api::{CustomerId, Scope};
use claviger_core::policy::{Permit, SysStatus};
use claviger_crypto::recipients::Recipient;
use claviger_store::{RowId, Versioned};

use crate::error::{Error, Result};
use crate::kit::Holders;
use crate::kit::body::{Body, Of};
use crate::kit::make::on_shelf;
use crate::kit::name::Names;
use crate::kit::write::{Written, for_recipients, keep};
use crate::open::{Caller, Open};
use crate::records::{CustomerRecord, HandOverRecord, HandOverStep, LockRecord, OffboardRecord, OffboardingRecord};

/// Who writes it.
const ACTOR: &str = "system/offboard";

impl Open {
    /// What is to be handed over when this customer is offboarded.
    ///
    /// # Errors
    ///
    /// Something is to be handed over, and there is no place for it, or nobody that it could be for.
    pub(super) fn hand_over_wanted(&self, record: &CustomerRecord, without: bool) -> Result<HandOverStep> {
        if without {
            return Ok(HandOverStep::Without);
        }
        let missing = |what: String| {
            let detail = format!(
                "Nothing could be handed over to the customer: {what}; or offboard it with without_hand_over, and nobody has its \
                 secrets any more."
            );
            Err(Error::new(ProblemType::KitsOff, detail))
        };
        if self.ground().kits.is_none() {
            return missing("let the operator name a directory under [kits] in the server's configuration".to_owned());
        }
        let Some(rule) = &record.limits.kit else {
            let slug = &record.slug;
            let what = format!(
                "one of its own administrators names recipients first ('claviger customer limit {slug} --kit-recipient age1…')"
            );
            return missing(what);
        };
        own_recipients(rule)?;
        Ok(HandOverStep::Wanted)
    }

    /// Writes it, and says so.
    pub(super) async fn hand_over(
        &self,
        row: &Versioned<CustomerRecord>,
        lock: LockRecord,
        offboard: OffboardRecord,
    ) -> Result<()> {
        let (record, id) = (&row.value, row.value.id);
        let kits = self.ground().kits.clone();
        let kits =
            kits.ok_or_else(|| on_shelf(std::io::Error::other("no directory of kits is configured any more")))?;
        let rule = record.limits.kit.as_ref().ok_or_else(|| Error::internal("nobody to hand over to"))?;
        let recipients = own_recipients(rule)?;
        let (moment, store) = (self.now(), self.ground().store.as_ref());
        let (view, keyring) = (store.view().await?, self.keyring().beside(store, id, self.random()).await?);
        let vault = &self.ground().settings.name;
        let of = Of { keyring: &keyring, view: view.as_ref(), vault, customer: record, kit: None, moment };
        let body = Body::read(of).await?;
        drop((keyring, view));
        let (names, counts) = (Names::of(self.vault_of().await?, id), body.counts());
        let (file, place, count) = (names.hand_over(moment), kits.shelf.clone(), recipients.len());
        let name = file.clone();
        let written = tokio::task::spawn_blocking(move || {
            // What a crash has left is told of by nobody.
            for left in names.hand_overs(&place.names().map_err(on_shelf)?) {
                place.remove(&left).map_err(on_shelf)?;
            }
            let content = for_recipients(&body, &recipients)?;
            keep(place.as_ref(), &name, &content).map_err(on_shelf)
        });
        let Written { bytes, sha256 } = written.await.map_err(Error::internal)??;
        let (accounts, secrets) = (counts.accounts, counts.secrets);
        let step = HandOverStep::Written { moment, bytes, sha256, accounts, secrets };
        let after = OffboardRecord { hand_over: step, ..offboard };
        let record = CustomerRecord { lock: Some(LockRecord { offboard: Some(after), ..lock }), ..record.clone() };
        let event = self
            .automatic(Scope::Operator, EventKind::CustomerHandedOver, ACTOR)
            .with(FieldName::Customer, &record.slug)
            .with(
                FieldName::Detail,
                format_args!(
                    "{file}, {accounts} accounts, {secrets} secrets, {bytes} bytes, SHA-256 {}, to {count} recipients",
                    hex::encode(sha256)
                ),
            );
        self.commit(self.change(event).update(row, &record)?).await.map(drop)
    }

    /// What was handed over, for the receipt.
    pub(super) async fn handed_over(&self, id: CustomerId, step: HandOverStep) -> Result<Option<HandOverRecord>> {
        let HandOverStep::Written { moment, bytes, sha256, accounts, secrets } = step else { return Ok(None) };
        let file = Names::of(self.vault_of().await?, id).hand_over(moment);
        Ok(Some(HandOverRecord { moment, file, bytes, sha256: hex::encode(sha256), accounts, secrets }))
    }

    /// The file that was handed over, encrypted as it is.
    ///
    /// # Errors
    ///
    /// Nothing was, or it is not what was written.
    pub async fn hand_over_file(&self, id: CustomerId, caller: &Caller, _permit: Permit<SysStatus>) -> Result<Vec<u8>> {
        let row = self.load::<OffboardingRecord>(&RowId::offboarding(id)).await?;
        let Some(HandOverRecord { file, bytes, sha256, .. }) = row.value.hand_over else {
            let detail = "Nothing was handed over when this customer was offboarded.";
            return Err(Error::new(ProblemType::KitUnavailable, detail));
        };
        let content = self.read_from_shelf(&file, bytes, &sha256).await?;
        let event = self.event(Scope::Operator, EventKind::KitDownloaded, caller);
        let event = event.with(FieldName::Customer, &row.value.slug).with(FieldName::Detail, file);
        self.commit(self.change(event)).await?;
        Ok(content)
    }
}

impl From<HandOverRecord> for HandOver {
    fn from(record: HandOverRecord) -> Self {
        let HandOverRecord { moment, file, bytes, sha256, accounts, secrets } = record;
        Self { moment, file, bytes, sha256, accounts, secrets }
    }
}

/// The customer's own recipients, whoever the MSP's are by now.
fn own_recipients(rule: &KitRule) -> Result<Vec<Recipient>> {
    let alone = KitRule { threshold: 1, ..rule.clone() };
    let holders = Holders::read(&alone, &[]);
    let holders = holders.map_err(|(member, why)| Error::value(format!("kit.{member}"), why))?;
    Ok(holders.own().to_vec())
}
