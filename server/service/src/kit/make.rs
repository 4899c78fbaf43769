//! A kit on its way: what it says is read from a view of the store, encrypted on a thread of its own, and told once its file is safe.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::{CustomerId, KitId, Scope, Timestamp};
use claviger_store::{Range, RowId, Table, Versioned};
use jiff::SignedDuration;

use super::body::{Body, Of};
use super::name::Names;
use super::write::{About, Written, keep, kit};
use super::{ACTOR, Holders, KitsSeen, id_of, no_rule, timer};
use crate::error::{Error, Result};
use crate::inventory::customers::view as shown;
use crate::open::{Open, deciding};
use crate::records::{CustomerRecord, KitRecord, KitStep, StateRecord};

/// After one that could not be made by itself.
const RETRY_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Another is made where the last is as old and a secret has changed since: it would not open that account.
const CHANGED_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// A kit whose file is safe.
struct Made {
    step: KitStep,
    file: String,
    names: Names,
}

impl Open {
    /// Makes a kit that was asked for, and tells of it.
    pub(crate) async fn kit_due(&self, customer: CustomerId, id: KitId) -> Result<()> {
        let Some(row) = self.read::<KitRecord>(&RowId::kit(customer, id)).await? else { return Ok(()) };
        if row.value.state != KitStep::Asked {
            return Ok(());
        }
        match self.make_kit(customer, id).await {
            Ok(made) => {
                let told = self.note_kit_made(customer, &row, &made).await;
                // What nobody knows of is not left behind, and tried again.
                if let (Err(error), Some(kits)) = (&told, &self.ground().kits)
                    && error.problem != ProblemType::OutcomeUnknown
                    && let Err(error) = kits.shelf.remove(&made.file)
                {
                    tracing::warn!(%error, file = made.file, "a kit that could not be noted is not removed");
                }
                told
            }
            Err(error) => {
                let note = error.operator.as_ref().map(|note| note.0.as_str());
                let trouble =
                    if error.detail.is_empty() { note.unwrap_or("the server's log says why") } else { &error.detail };
                tracing::error!(%customer, trouble, note, "an emergency kit could not be made");
                self.note_kit_failed(customer, &row, trouble).await
            }
        }
    }

    async fn make_kit(&self, customer: CustomerId, id: KitId) -> Result<Made> {
        let kits = self.ground().kits.clone();
        let kits = kits.ok_or_else(|| Error::new(ProblemType::KitsOff, "this server makes no kits any more"))?;
        let record = self.load::<CustomerRecord>(&RowId::customer(customer)).await?.value;
        let rule = record.limits.kit.clone().ok_or_else(|| no_rule(&record.slug))?;
        let holders = Holders::read(&rule, &kits.recipients).map_err(|(member, why)| {
            let detail = format!(
                "the customer's limits and the MSP's recipients do not go together: kit.{member} has to be {why}. The customer's \
                 administrator sets them anew."
            );
            Error::new(ProblemType::KitsOff, detail)
        })?;
        let (moment, view) = (self.now(), self.ground().store.view().await?);
        let vault = self.ground().settings.name.clone();
        let of = Of {
            keyring: self.keyring(),
            view: view.as_ref(),
            vault: &vault,
            customer: &record,
            kit: Some(id),
            moment,
        };
        let body = Body::read(of).await?;
        drop(view);
        let names = Names::of(self.vault_of().await?, customer);
        let (name, random, counts) = (names.kit(moment, id), self.ground().random.clone(), body.counts());
        let (threshold, recipients) = (holders.threshold, holders.all.iter().map(ToString::to_string).collect());
        let (place, file) = (kits.shelf.clone(), name.clone());
        let written = tokio::task::spawn_blocking(move || {
            let customer = shown(record);
            let about = About { kit: id, customer: &customer, vault: &vault, moment };
            let content = kit(&body, &about, &holders, random.as_ref())?;
            keep(place.as_ref(), &name, &content).map_err(on_shelf)
        });
        let Written { bytes, sha256 } = written.await.map_err(Error::internal)??;
        let (accounts, secrets, sha256) = (counts.accounts, counts.secrets, hex::encode(sha256));
        let step =
            KitStep::Made { moment, file: file.clone(), accounts, secrets, bytes, sha256, recipients, threshold };
        Ok(Made { step, file, names })
    }

    /// Tells of a kit, and forgets those whose files are past what is kept.
    async fn note_kit_made(&self, customer: CustomerId, row: &Versioned<KitRecord>, made: &Made) -> Result<()> {
        let Some(kits) = self.ground().kits.clone() else { return Ok(()) };
        let KitStep::Made { moment, accounts, secrets, bytes, sha256, recipients, threshold, .. } = &made.step else {
            return Err(Error::internal("a kit that was made and is not"));
        };
        let there = kits.shelf.names().map_err(on_shelf)?;
        let gone = made.names.past(&there, kits.keep.max(1));
        let (id, slug) = (id_of(row)?, self.slug_of(customer).await?);
        let detail = format!(
            "{id}, {}, {accounts} accounts, {secrets} secrets, {bytes} bytes, SHA-256 {sha256}, {threshold} of {}: {}",
            made.file,
            recipients.len(),
            recipients.join(" ")
        );
        deciding(|| async {
            let told = |scope| {
                let event = self.automatic(scope, EventKind::KitMade, ACTOR).with(FieldName::Customer, &slug);
                event.with(FieldName::Detail, &detail)
            };
            let row = self.load::<KitRecord>(&row.id).await?;
            let record = KitRecord { state: made.step.clone(), ..row.value.clone() };
            let change =
                self.change(told(Scope::Customer(customer))).and(told(Scope::Operator)).update(&row, &record)?;
            let mut change = change.erase(timer(customer, id, row.value.asked_at));
            for other in self.kits_of(customer).await? {
                if other.id != row.id && other.value.is_past(&gone, *moment) {
                    change = change.remove(&other);
                }
            }
            self.commit(change).await.map(drop)
        })
        .await?;
        for name in &gone {
            if let Err(error) = kits.shelf.remove(name) {
                tracing::warn!(%error, name, "an older kit could not be removed; it is tried again after the next");
            }
        }
        Ok(())
    }

    async fn note_kit_failed(&self, customer: CustomerId, row: &Versioned<KitRecord>, trouble: &str) -> Result<()> {
        let (id, slug) = (id_of(row)?, self.slug_of(customer).await?);
        deciding(|| async {
            let told = |scope| {
                let event = self.automatic(scope, EventKind::KitFailed, ACTOR).with(FieldName::Customer, &slug);
                event.with(FieldName::Detail, format_args!("{id}, {trouble}"))
            };
            let row = self.load::<KitRecord>(&row.id).await?;
            let record = KitRecord { state: KitStep::Failed { trouble: trouble.to_owned() }, ..row.value.clone() };
            let change =
                self.change(told(Scope::Customer(customer))).and(told(Scope::Operator)).update(&row, &record)?;
            self.commit(change.erase(timer(customer, id, row.value.asked_at))).await.map(drop)
        })
        .await
    }

    /// Asks for kits of the customers whose last one is old enough, and sees whose could not be made.
    pub(crate) async fn ask_for_kits_due(&self) -> Result<()> {
        let Some(kits) = self.ground().kits.clone() else { return Ok(()) };
        let (now, mut failing) = (self.now(), 0);
        for row in self.all::<CustomerRecord>(&Range::table(Table::Customers)).await? {
            let customer = row.value.id;
            let wanted = row.value.limits.kit.is_some() && row.value.lock.is_none();
            if !wanted || !self.keyring().holds(Scope::Customer(customer)) {
                continue;
            }
            let known = Known::of(&self.kits_of(customer).await?);
            failing += u64::from(known.is_failing());
            let Some(every) = kits.every else { continue };
            let is_due = known.calls_for_another(now, every)
                || match known.may_be_stale(now, every) {
                    Some(moment) => self.secret_changed_since(customer, moment).await?,
                    None => false,
                };
            if is_due {
                let id = KitId::from_uuid(self.new_uuid());
                let change = self.kit_asked(&row, id, |scope| self.automatic(scope, EventKind::KitAsked, ACTOR))?;
                match self.commit(change).await {
                    // The customer was changed meanwhile: the next look sees it.
                    Err(error) if error.is_conflict() => {}
                    asked => drop(asked?),
                }
            }
        }
        *self.kits_seen.lock() = Some(KitsSeen { at: now, failing });
        self.ground().wake.notify_waiters();
        Ok(())
    }

    async fn secret_changed_since(&self, customer: CustomerId, moment: Timestamp) -> Result<bool> {
        let states = self.all::<StateRecord>(&Range::scope(Table::AccountStates, Scope::Customer(customer))).await?;
        Ok(states.iter().any(|row| row.value.0.secret_since(Timestamp::MIN) > moment))
    }

    /// What the last look at all customers' kits saw.
    pub fn kits_seen(&self) -> Option<KitsSeen> {
        *self.kits_seen.lock()
    }
}

/// What is known of a customer's kits.
#[derive(Default)]
struct Known {
    /// One is on its way.
    asked: bool,
    made: Option<Timestamp>,
    failed: Option<Timestamp>,
}

impl Known {
    fn of(rows: &[Versioned<KitRecord>]) -> Self {
        let mut known = Self::default();
        for KitRecord { asked_at, state, .. } in rows.iter().map(|row| &row.value) {
            match state {
                KitStep::Asked => known.asked = true,
                KitStep::Made { moment, .. } => known.made = known.made.max(Some(*moment)),
                KitStep::Failed { .. } => known.failed = known.failed.max(Some(*asked_at)),
                KitStep::Unknown => {}
            }
        }
        known
    }

    fn is_failing(&self) -> bool {
        self.failed > self.made
    }

    /// Whether none is on its way, and none has just failed.
    fn is_free(&self, now: Timestamp, every: SignedDuration) -> bool {
        !self.asked && self.failed.is_none_or(|at| now.duration_since(at) >= RETRY_AFTER.min(every))
    }

    fn calls_for_another(&self, now: Timestamp, every: SignedDuration) -> bool {
        self.is_free(now, every) && self.made.is_none_or(|at| now.duration_since(at) >= every)
    }

    /// The moment of the last one, where it is old enough for another if a secret has changed since.
    fn may_be_stale(&self, now: Timestamp, every: SignedDuration) -> Option<Timestamp> {
        self.made.filter(|at| self.is_free(now, every) && now.duration_since(*at) >= CHANGED_AFTER)
    }
}

impl KitRecord {
    /// Whether nobody needs it any more: its file goes, or it failed before the kit of this moment. What was opened is kept.
    fn is_past(&self, gone: &[String], moment: Timestamp) -> bool {
        match &self.state {
            KitStep::Asked | KitStep::Unknown => false,
            KitStep::Made { file, .. } => self.opened.is_none() && gone.contains(file),
            KitStep::Failed { .. } => self.opened.is_none() && self.asked_at < moment,
        }
    }
}

pub(crate) fn on_shelf(error: std::io::Error) -> Error {
    Error::unavailable("The directory of the kits cannot be used; the operator's log says why.", error)
}
