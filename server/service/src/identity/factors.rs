//! A user's own second factors: offered, confirmed, listed, removed. Whoever has one changes nothing without a fresh
//! one; the last one stays.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::secret::Disclosed;
use claviger_api::wire::{
    ConfirmedFactor, FACTORS_MAX, Factor, FactorKind, Factors, LABEL_MAX, NewTotp, PENDING_TOTP_TTL_SECONDS,
    PendingTotp, RECOVERY_CODES, RecoveryCodes,
};
use claviger_api::{FactorId, Scope, Secret};
use claviger_crypto::{recovery, totp};
use claviger_store::{RowId, Versioned};

use super::session::after;
use crate::error::{Error, Result};
use crate::event::{Event, snake_case};
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{FactorsRecord, PasskeyRecord, PendingTotpRecord, PrincipalRecord, TotpRecord};

/// What shows recovery codes anew.
pub(super) const CODES_AGAIN: &str = "POST /v1/auth/recovery-codes";

impl Open {
    /// The caller's second factors.
    pub async fn factors(&self, caller: &Caller) -> Result<Factors> {
        caller.must_be_a_person()?;
        let record = self.read::<FactorsRecord>(&RowId::factors(caller.id)).await?.map(|row| row.value);
        let record = record.unwrap_or_default();
        Ok(Factors { factors: record.all(), recovery_codes_left: record.recovery.len(), server_time: self.now() })
    }

    /// Offers a secret to an authenticator app. It counts once a code of it was [confirmed](Self::confirm_totp).
    pub async fn offer_totp(&self, new: &NewTotp, caller: &Caller) -> Result<PendingTotp> {
        let label = label(&new.label)?;
        deciding(|| async {
            let (user, factors) = self.changeable_factors(caller).await?;
            let mut next = factors.as_ref().map(|row| row.value.clone()).unwrap_or_default();
            next.must_have_room()?;
            let (id, secret) = (FactorId::from_uuid(self.new_uuid()), totp::generate(self.random()));
            let offered = PendingTotp {
                factor: id,
                secret: shown(totp::as_base32(&secret))?,
                uri: shown(totp::uri(&secret, &self.ground().settings.name, caller.name.as_str()))?,
                expires_in_seconds: PENDING_TOTP_TTL_SECONDS,
                server_time: self.now(),
            };
            let expires_at = after(self.now(), PENDING_TOTP_TTL_SECONDS);
            next.pending = Some(PendingTotpRecord { id, label: label.clone(), secret, expires_at });
            let change =
                self.change(self.factor_event(EventKind::FactorOffered, caller, id, FactorKind::Totp)).expect(&user);
            self.commit(put_factors(change, caller, factors.as_ref(), &next)?).await?;
            Ok(offered)
        })
        .await
    }

    /// The first code of an offered secret: from now on the factor counts, and the session is a full one. With the first
    /// factor come the recovery codes, once.
    pub async fn confirm_totp(&self, code: &Secret, once: &Once, caller: &Caller) -> Result<ConfirmedFactor> {
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, CODES_AGAIN).await?;
            let (user, factors) = self.changeable_factors(caller).await?;
            let none =
                || Error::new(ProblemType::NotFound, "No secret waits for a code; POST /v1/auth/totp offers one.");
            let factors = factors.ok_or_else(none)?;
            let now = self.now();
            let pending = factors.value.pending.clone().filter(|pending| now < pending.expires_at).ok_or_else(none)?;
            let step = totp::accepted_step(&pending.secret, code, now, None).map_err(Error::internal)?;
            let last_step = step.ok_or_else(|| wrong_first_code(now))?;
            let PendingTotpRecord { id, label, secret, .. } = pending;
            let app = TotpRecord { id, label, secret, created_at: now, last_used_at: Some(now), last_step };
            let factor = app.view();
            let mut next = FactorsRecord { pending: None, ..factors.value.clone() };
            next.totp.push(app);
            self.add_factor(once, caller, &user, &factors, next, factor).await
        })
        .await
    }

    /// A factor that was confirmed counts: it is in `next` already.
    pub(super) async fn add_factor(
        &self,
        once: &Once,
        caller: &Caller,
        user: &Versioned<PrincipalRecord>,
        factors: &Versioned<FactorsRecord>,
        mut next: FactorsRecord,
        factor: Factor,
    ) -> Result<ConfirmedFactor> {
        let first = !user.value.has_factors;
        let codes = if first { self.new_codes(caller, &mut next) } else { Vec::new() };
        let session = self.own_session(caller).await?;
        let change = self
            .change(self.factor_event(EventKind::FactorAdded, caller, factor.id, factor.kind))
            .update(factors, &next)?
            .update(&session, &session.value.proven(self.now()))?
            .update(user, &PrincipalRecord { has_factors: true, ..user.value.clone() })?;
        self.commit(self.remember(change, Scope::Operator, once, caller, factor.id.uuid())?).await?;
        Ok(ConfirmedFactor { factor, recovery_codes: codes })
    }

    /// Removes a second factor; never the last.
    pub async fn remove_factor(&self, id: FactorId, caller: &Caller) -> Result<()> {
        deciding(|| async {
            let (user, factors) = self.changeable_factors(caller).await?;
            let factors = factors.ok_or_else(Error::not_found)?;
            let removed =
                factors.value.all().into_iter().find(|factor| factor.id == id).ok_or_else(Error::not_found)?;
            let mut next = factors.value.clone();
            next.totp.retain(|app| app.id != id);
            next.passkeys.retain(|passkey| passkey.id != id);
            if next.count() == 0 {
                return Err(Error::new(ProblemType::InUse, "The last second factor stays; add another one first."));
            }
            let event = self.factor_event(EventKind::FactorRemoved, caller, id, removed.kind);
            self.commit(self.change(event).expect(&user).update(&factors, &next)?).await.map(drop)
        })
        .await
    }

    /// New recovery codes, shown once; those before are good for nothing.
    pub async fn new_recovery_codes(&self, once: &Once, caller: &Caller) -> Result<RecoveryCodes> {
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, CODES_AGAIN).await?;
            let (user, factors) = self.changeable_factors(caller).await?;
            let factors = factors.filter(|_| user.value.has_factors);
            let factors = factors.ok_or_else(|| Error::new(ProblemType::SecondFactorNeeded, ""))?;
            let mut next = factors.value.clone();
            let recovery_codes = self.new_codes(caller, &mut next);
            let event = self.event(Scope::Operator, EventKind::FactorRecoveryCodesMade, caller);
            let change = self.change(event).expect(&user).update(&factors, &next)?;
            self.commit(self.remember(change, Scope::Operator, once, caller, self.new_uuid())?).await?;
            Ok(RecoveryCodes { recovery_codes })
        })
        .await
    }

    /// Adds to a change that a user has no second factor any more. Also where they cannot be read: this is how such a
    /// user gets in again.
    pub(super) async fn without_factors<'a>(&self, mut change: Change<'a>, user: &PrincipalRecord) -> Change<'a> {
        if let Ok(Some(row)) = self.read::<FactorsRecord>(&RowId::factors(user.id)).await {
            let challenges = row.value.challenges.iter().map(|challenge| challenge.hash);
            for hash in challenges.chain(row.value.ceremonies.iter().map(|ceremony| ceremony.hash)) {
                change = change.erase(RowId::token(&hash));
            }
        }
        change.erase(RowId::factors(user.id))
    }

    /// The caller, and the factors that the caller may change now.
    pub(super) async fn changeable_factors(
        &self,
        caller: &Caller,
    ) -> Result<(Versioned<PrincipalRecord>, Option<Versioned<FactorsRecord>>)> {
        caller.must_be_a_person()?;
        let user = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?;
        if user.value.has_factors {
            caller.must_have_fresh_factor(self.now())?;
            let factors = self.factors_of(&user.value).await?;
            return Ok((user, Some(factors)));
        }
        let factors = self.read::<FactorsRecord>(&RowId::factors(caller.id)).await?;
        Ok((user, factors))
    }

    fn new_codes(&self, caller: &Caller, factors: &mut FactorsRecord) -> Vec<Disclosed> {
        let codes: Vec<Secret> = (0..RECOVERY_CODES).map(|_| recovery::generate(self.random())).collect();
        factors.recovery = codes.iter().filter_map(|code| self.recovery_hash(caller.id, code)).collect();
        codes.into_iter().map(Secret::disclose).collect()
    }

    fn factor_event(&self, kind: EventKind, caller: &Caller, factor: FactorId, of: FactorKind) -> Event {
        let detail = format!("{factor} ({})", snake_case(&of));
        self.event(Scope::Operator, kind, caller).with(FieldName::Detail, detail)
    }
}

impl FactorsRecord {
    /// How many factors count, recovery codes apart.
    fn count(&self) -> usize {
        self.totp.len() + self.passkeys.len()
    }

    /// All of them, the oldest first.
    fn all(&self) -> Vec<Factor> {
        let apps = self.totp.iter().map(TotpRecord::view);
        let mut all: Vec<Factor> = apps.chain(self.passkeys.iter().map(PasskeyRecord::view)).collect();
        all.sort_by_key(|factor| factor.created_at);
        all
    }

    /// Refuses one more than there may be.
    pub(super) fn must_have_room(&self) -> Result<()> {
        if self.count() < FACTORS_MAX {
            return Ok(());
        }
        Err(Error::new(ProblemType::InUse, "There are five second factors; remove one first."))
    }
}

impl TotpRecord {
    fn view(&self) -> Factor {
        Factor {
            id: self.id,
            kind: FactorKind::Totp,
            label: self.label.clone(),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
        }
    }
}

impl Caller {
    /// A sensitive thing wants a second factor of the last five minutes.
    pub(super) fn must_have_fresh_factor(&self, now: claviger_api::Timestamp) -> Result<()> {
        if self.has_fresh_factor(now) { Ok(()) } else { Err(Error::new(ProblemType::FreshFactorNeeded, "")) }
    }
}

pub(super) fn put_factors<'a>(
    change: Change<'a>,
    caller: &Caller,
    before: Option<&Versioned<FactorsRecord>>,
    next: &FactorsRecord,
) -> Result<Change<'a>> {
    match before {
        Some(row) => change.update(row, next),
        None => change.create(RowId::factors(caller.id), next),
    }
}

pub(super) fn label(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LABEL_MAX || text.chars().any(char::is_control) {
        return Err(Error::value("label", "a label has 1 to 60 characters, e.g. phone"));
    }
    Ok(text.to_owned())
}

fn shown(text: std::result::Result<String, totp::BadSecret>) -> Result<Disclosed> {
    Secret::new(text.map_err(Error::internal)?).map(Secret::disclose).map_err(Error::internal)
}

fn wrong_first_code(now: claviger_api::Timestamp) -> Error {
    let now = now.strftime("%H:%M:%S");
    Error::value(
        "code",
        format!("this is not the code that the secret gives now; the vault's clock says {now} UTC, check the app's"),
    )
}
