//! Emergency kits: what opens a customer's systems when there is no vault any more, in a file that several people open together.
//!
//! The body is encrypted for a key that is drawn for one kit and kept nowhere; of that key each recipient gets a share, encrypted for
//! that recipient alone. The MSP's recipients are in the configuration; the customer's, and how many have to come together, are among
//! the customer's limits, which nobody of the MSP sets. So a kit that the MSP alone could open is not made.
//!
//! One is made when somebody asks, and by itself when the last is old enough. A kit that was opened shows what is in it: all of it
//! is replaced by an emergency rotation (`kit/opened.rs`). What a customer that is offboarded gets is made of the same body
//! (`inventory/hand_over.rs`).

use std::io;
use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{self, KIT_RECIPIENTS_MOST, KitRule, KitState};
use claviger_api::{CustomerId, KitId, Part, Scope, Timestamp};
use claviger_core::policy::{KitCreate, KitView, Permit};
use claviger_crypto::recipients::Recipient;
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::open::{Caller, Open, deciding_once};
use crate::page::{Page, Paging};
use crate::records::{CustomerRecord, KitRecord, KitStep, TimerRecord};
use crate::shelf::Shelf;
use crate::workers::TimerKind;

pub(crate) mod body;
pub(crate) mod make;
pub(crate) mod name;
mod opened;
pub(crate) mod record;
pub(crate) mod write;

/// Who makes them.
const ACTOR: &str = "system/kit";

/// How kits are made.
pub struct Kits {
    /// Where they go.
    pub shelf: Arc<dyn Shelf>,
    /// Who of the MSP's people holds a share of each.
    pub recipients: Vec<Recipient>,
    /// How old the last of a customer may be before another is made by itself.
    pub every: Option<SignedDuration>,
    /// How many of each customer are kept, 1 or more.
    pub keep: usize,
}

/// What the last look at all customers' kits saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KitsSeen {
    /// When.
    pub at: Timestamp,
    /// Customers whose last kit could not be made.
    pub failing: u64,
}

/// Who opens a kit: the customer's recipients and the MSP's, and how many of all.
pub(crate) struct Holders {
    /// In the order of the shares, the customer's first.
    pub all: Vec<Recipient>,
    /// How many of them are the customer's.
    pub own: usize,
    /// How many have to come together.
    pub threshold: u8,
}

impl Holders {
    /// Reads a customer's rule beside the MSP's recipients.
    ///
    /// # Errors
    ///
    /// Why no kit can be made so: the member of the rule that is wrong, and what a right one looks like.
    pub fn read(rule: &KitRule, msp: &[Recipient]) -> std::result::Result<Self, (String, String)> {
        let wrong = |member: &str, why: String| (member.to_owned(), why);
        if rule.recipients.is_empty() || rule.recipients.len() > KIT_RECIPIENTS_MOST {
            return Err(wrong("recipients", format!("1 to {KIT_RECIPIENTS_MOST} age public keys (age1…)")));
        }
        let mut all: Vec<Recipient> = Vec::new();
        for (at, text) in rule.recipients.iter().enumerate() {
            let member = format!("recipients[{at}]");
            let recipient: Recipient = text.parse().map_err(|bad| (member.clone(), format!("{bad}")))?;
            if all.contains(&recipient) {
                return Err((member, "it is there twice: whoever has it would hold two shares".to_owned()));
            }
            if msp.contains(&recipient) {
                return Err((member, "it is one of the MSP's: name a key of the customer's own".to_owned()));
            }
            all.push(recipient);
        }
        let own = all.len();
        all.extend(msp.iter().cloned());
        let threshold = usize::from(rule.threshold);
        if threshold <= msp.len() {
            let why = format!("more than {}: so many recipients are the MSP's, who would open it alone", msp.len());
            return Err(wrong("threshold", why));
        }
        if threshold > all.len() {
            let (customers, msps) = (own, msp.len());
            let why = format!("at most {}: there are {customers} of the customer's and {msps} of the MSP's", all.len());
            return Err(wrong("threshold", why));
        }
        Ok(Self { all, own, threshold: rule.threshold })
    }

    /// The customer's own.
    pub fn own(&self) -> &[Recipient] {
        self.all.get(..self.own).unwrap_or_default()
    }
}

impl Open {
    /// Has a kit made of a customer, beside all else.
    ///
    /// # Errors
    ///
    /// The server makes none, the customer has not said who opens it, or the vault is paused.
    pub async fn ask_for_kit(
        &self,
        customer: CustomerId,
        once: &Once,
        caller: &Caller,
        _permit: Permit<KitCreate>,
    ) -> Result<wire::Kit> {
        self.must_act()?;
        let scope = Scope::Customer(customer);
        let id = deciding_once(once, || async {
            if let Some(done) = self.done(scope, once, caller).await? {
                return Ok(KitId::from_uuid(done));
            }
            let row = self.load::<CustomerRecord>(&RowId::customer(customer)).await?;
            if self.ground().kits.is_none() {
                let detail =
                    "This server makes no kits: let the operator name a directory under [kits] in its configuration.";
                return Err(Error::new(ProblemType::KitsOff, detail));
            }
            if row.value.limits.kit.is_none() {
                return Err(no_rule(&row.value.slug));
            }
            if row.value.lock.is_some() {
                return Err(Error::locked(customer));
            }
            let id = KitId::from_uuid(self.new_uuid());
            let told = |scope| self.event(scope, EventKind::KitAsked, caller);
            let change = self.kit_asked(&row, id, told)?;
            self.commit(self.remember(change, scope, once, caller, id.uuid())?).await?;
            Ok(id)
        })
        .await?;
        self.ground().wake.notify_waiters();
        self.kit_view(customer, id).await
    }

    /// A change that has one made.
    fn kit_asked(
        &self,
        row: &Versioned<CustomerRecord>,
        id: KitId,
        told: impl Fn(Scope) -> Event,
    ) -> Result<crate::journal::Change<'_>> {
        let (customer, slug) = (row.value.id, &row.value.slug);
        let about = |scope| told(scope).with(FieldName::Customer, slug).with(FieldName::Detail, id);
        let record = KitRecord { asked_at: self.now(), state: KitStep::Asked, opened: None };
        self.change(about(Scope::Customer(customer)))
            .and(about(Scope::Operator))
            .expect(row)
            .create(RowId::kit(customer, id), &record)?
            .create(timer(customer, id, record.asked_at), &TimerRecord {})
    }

    /// A customer's kits, the newest first.
    pub async fn kits(
        &self,
        customer: CustomerId,
        paging: &Paging,
        _permit: Permit<KitView>,
    ) -> Result<Page<wire::Kit>> {
        let range = Range::scope(Table::Kits, Scope::Customer(customer)).reversed();
        let rows = self.page::<KitRecord>(range, paging, |_| true).await?;
        rows.try_map(async |row| self.kit_shown(customer, row).await).await
    }

    /// One of them.
    pub async fn kit(&self, customer: CustomerId, id: KitId, _permit: Permit<KitView>) -> Result<wire::Kit> {
        self.kit_view(customer, id).await
    }

    /// The file of one of them, encrypted as it is. Both logs say who got it.
    ///
    /// # Errors
    ///
    /// There is none, or it is not what was written.
    pub async fn kit_file(
        &self,
        customer: CustomerId,
        id: KitId,
        caller: &Caller,
        _permit: Permit<KitView>,
    ) -> Result<Vec<u8>> {
        let row = self.load::<KitRecord>(&RowId::kit(customer, id)).await?;
        let (file, bytes, sha256) = match row.value.state {
            KitStep::Made { file, bytes, sha256, .. } => (file, bytes, sha256),
            KitStep::Asked => return Err(no_file("The kit is not made yet: get it again shortly.")),
            KitStep::Failed { trouble } => return Err(no_file(format!("The kit could not be made: {trouble}"))),
            KitStep::Unknown => return Err(no_file("This vault has not made the kit, and has no file of it.")),
        };
        let content = self.read_from_shelf(&file, bytes, &sha256).await?;
        let slug = self.slug_of(customer).await?;
        let told = |scope| {
            let event = self.event(scope, EventKind::KitDownloaded, caller).with(FieldName::Customer, &slug);
            event.with(FieldName::Detail, format_args!("{id}, {file}"))
        };
        self.commit(self.change(told(Scope::Customer(customer))).and(told(Scope::Operator))).await?;
        Ok(content)
    }

    /// A file of the kits' shelf, as it was written.
    pub(crate) async fn read_from_shelf(&self, file: &str, bytes: u64, sha256: &str) -> Result<Vec<u8>> {
        let gone = || no_file(format!("The file {file} is not in its place: an operator puts it back."));
        let kits = self.ground().kits.clone().ok_or_else(gone)?;
        let (name, length) = (file.to_owned(), usize::try_from(bytes).map_err(Error::internal)?);
        let read = tokio::task::spawn_blocking(move || kits.shelf.read(&name, 0, length)).await;
        let content = read.map_err(Error::internal)?.map_err(|error| gone().with_note(error))?;
        if hex::encode(Sha256::digest(&content)) != sha256 {
            let detail = format!("The file {file} is not what was written: it was altered. Have another kit made.");
            return Err(no_file(detail));
        }
        Ok(content)
    }

    pub(crate) async fn kit_view(&self, customer: CustomerId, id: KitId) -> Result<wire::Kit> {
        let row = self.load::<KitRecord>(&RowId::kit(customer, id)).await?;
        self.kit_shown(customer, row).await
    }

    async fn kit_shown(&self, customer: CustomerId, row: Versioned<KitRecord>) -> Result<wire::Kit> {
        let id = id_of(&row)?;
        let opened = match row.value.opened {
            Some(opened) => {
                Some(wire::KitOpened { at: opened.at, by: self.name_of(opened.by).await?, emergency: opened.emergency })
            }
            None => None,
        };
        let nothing = wire::Kit {
            id,
            customer: self.slug_of(customer).await?,
            state: KitState::Asked,
            asked_at: row.value.asked_at,
            moment: None,
            file: None,
            accounts: 0,
            secrets: 0,
            bytes: 0,
            sha256: None,
            recipients: Vec::new(),
            threshold: None,
            trouble: None,
            opened,
        };
        Ok(match row.value.state {
            KitStep::Asked => nothing,
            KitStep::Made { moment, file, accounts, secrets, bytes, sha256, recipients, threshold } => wire::Kit {
                state: KitState::Made,
                moment: Some(moment),
                file: Some(file),
                accounts,
                secrets,
                bytes,
                sha256: Some(sha256),
                recipients,
                threshold: Some(threshold),
                ..nothing
            },
            KitStep::Failed { trouble } => wire::Kit { state: KitState::Failed, trouble: Some(trouble), ..nothing },
            KitStep::Unknown => wire::Kit { state: KitState::Unknown, ..nothing },
        })
    }

    /// Refuses limits by which no kit could be made.
    pub(crate) fn checked_kit_rule(&self, rule: &KitRule) -> Result<()> {
        let msp = self.ground().kits.as_ref().map_or(&[] as &[Recipient], |kits| &kits.recipients);
        match Holders::read(rule, msp) {
            Ok(_) => Ok(()),
            Err((member, why)) => Err(Error::value(format!("kit.{member}"), why)),
        }
    }

    /// What is to be forgotten with a customer: the timers of its kits, and their files.
    pub(crate) async fn kits_of(&self, customer: CustomerId) -> Result<Vec<Versioned<KitRecord>>> {
        self.all::<KitRecord>(&Range::scope(Table::Kits, Scope::Customer(customer))).await
    }

    /// Removes a customer's kits from the shelf. One that stays there is opened by its recipients and nobody else.
    pub(crate) async fn remove_kit_files(&self, customer: CustomerId) -> Result<()> {
        let Some(kits) = self.ground().kits.clone() else { return Ok(()) };
        let names = name::Names::of(self.vault_of().await?, customer);
        let removed = tokio::task::spawn_blocking(move || {
            for file in names.past(&kits.shelf.names()?, 0) {
                kits.shelf.remove(&file)?;
            }
            io::Result::Ok(())
        });
        if let Err(error) = removed.await.map_err(Error::internal)? {
            tracing::warn!(%error, "kits of a customer that is gone could not be removed from their directory");
        }
        Ok(())
    }

    pub(crate) async fn vault_of(&self) -> Result<uuid::Uuid> {
        crate::seal::vault_of(self.sealed()).await
    }
}

pub(crate) fn no_rule(slug: &Part) -> Error {
    let detail = format!(
        "{slug} has not said who opens its kits: one of its own administrators does, by 'claviger customer limit {slug} \
         --kit-recipient age1… --kit-threshold K'."
    );
    Error::new(ProblemType::KitsOff, detail)
}

fn no_file(detail: impl Into<String>) -> Error {
    Error::new(ProblemType::KitUnavailable, detail)
}

pub(crate) fn id_of(row: &Versioned<KitRecord>) -> Result<KitId> {
    row.id.uuid().map(KitId::from_uuid).ok_or_else(|| Error::internal("a kit without an id"))
}

pub(crate) fn timer(customer: CustomerId, id: KitId, asked_at: Timestamp) -> RowId {
    TimerKind::KitDue.row(asked_at, customer, id.uuid())
}
