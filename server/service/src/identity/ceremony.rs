//! Passkeys, on the page in the browser: what is asked, and what the authenticator answers. Nobody is logged in there; the
//! name of a ceremony, 80 random bits, says which one it is. It opens nothing: an answer must be a passkey's.
//!
//! An answer uses the ceremony's challenge up, a wrong one too. A wrong one counts like a wrong code of an app.

use std::net::IpAddr;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CeremonyPurpose, CeremonyShown, PasskeyCode, PrincipalState};
use claviger_api::{FactorId, Secret};
use claviger_crypto::passkey::{Authentication, Passkey, Refused, RelyingParty};
use claviger_store::{RowId, Versioned};
use serde_json::Value;

use super::passkeys::ceremony_hash;
use crate::error::{Error, Result};
use crate::open::{Open, deciding};
use crate::records::{CeremonyAsker, CeremonyRecord, CeremonyState, FactorsRecord, PrincipalRecord, TokenRecord};

/// A ceremony that waits for its answer.
struct Waiting {
    token: Versioned<TokenRecord>,
    user: Versioned<PrincipalRecord>,
    factors: Versioned<FactorsRecord>,
    ceremony: CeremonyRecord,
}

/// What an answer was taken for.
enum Taken {
    /// A new passkey, which is called this.
    Made(String, Passkey),
    /// A passkey of the user's, of this id; what is known of it is new.
    Shown(FactorId, FactorsRecord),
}

impl Open {
    /// What a ceremony is about, for the page. It changes nothing.
    pub async fn ceremony(&self, name: &Secret, source: Option<IpAddr>) -> Result<CeremonyShown> {
        let hash = ceremony_hash(name).ok_or_else(no_ceremony)?;
        let Waiting { user, ceremony, .. } = self.waiting(&hash, source).await?;
        let (purpose, options) = match (&ceremony.state, ceremony.asker) {
            (CeremonyState::Registering { asked, .. }, _) => (CeremonyPurpose::Enrol, asked.options()),
            (CeremonyState::Proving { asked }, CeremonyAsker::Login(_)) => (CeremonyPurpose::Login, asked.options()),
            (CeremonyState::Proving { asked }, CeremonyAsker::Session(_)) => (CeremonyPurpose::StepUp, asked.options()),
            (CeremonyState::Registered { .. } | CeremonyState::Proven { .. }, _) => return Err(no_ceremony()),
        };
        let left = ceremony.expires_at.duration_since(self.now()).as_secs();
        Ok(CeremonyShown {
            purpose,
            user: user.value.name.clone(),
            vault: self.ground().settings.name.clone(),
            mark: format!("{:03}", ceremony.mark),
            asked_from: ceremony.source.map(|source| source.to_string()),
            asked_from_elsewhere: ceremony.source != source,
            expires_in_seconds: u64::try_from(left).unwrap_or_default(),
            options: options.clone(),
        })
    }

    /// Takes the authenticator's answer. The code goes back to where the ceremony was asked for, by its user.
    pub async fn answer_ceremony(&self, name: &Secret, answer: &Value, source: Option<IpAddr>) -> Result<PasskeyCode> {
        let hash = ceremony_hash(name).ok_or_else(no_ceremony)?;
        let site = self.site()?;
        deciding(|| async {
            let waiting = self.waiting(&hash, source).await?;
            match self.take(site, &waiting, answer) {
                Ok(taken) => self.ceremony_answered(waiting, taken, source).await,
                Err(refused) => self.not_taken(waiting, refused, source).await,
            }
        })
        .await
    }

    /// A ceremony of somebody who may log in, that is not answered yet.
    async fn waiting(&self, hash: &[u8; 32], source: Option<IpAddr>) -> Result<Waiting> {
        let token = self.read::<TokenRecord>(&RowId::token(hash)).await?.ok_or_else(no_ceremony)?;
        let user = self.read::<PrincipalRecord>(&RowId::principal(token.value.principal)).await?;
        let user = user.filter(|user| user.value.state == PrincipalState::Active).ok_or_else(no_ceremony)?;
        let factors = self.read::<FactorsRecord>(&RowId::factors(user.value.id)).await?.ok_or_else(no_ceremony)?;
        let found = factors.value.ceremonies.iter().find(|ceremony| ceremony.hash == *hash);
        let ceremony = found.filter(|ceremony| self.is_live(ceremony, &user.value)).ok_or_else(no_ceremony)?.clone();
        if self.is_locked_out(&user.value.name, source).await? {
            return Err(no_ceremony());
        }
        Ok(Waiting { token, user, factors, ceremony })
    }

    fn take(&self, site: &RelyingParty, waiting: &Waiting, answer: &Value) -> std::result::Result<Taken, Refused> {
        let factors = &waiting.factors.value;
        match &waiting.ceremony.state {
            CeremonyState::Registering { label, asked } => {
                let known: Vec<Passkey> = factors.passkeys.iter().map(|known| known.passkey.clone()).collect();
                site.registered(asked, answer.clone(), &known).map(|passkey| Taken::Made(label.clone(), passkey))
            }
            CeremonyState::Proving { asked } => self.shown(site, asked, factors, answer),
            CeremonyState::Registered { .. } | CeremonyState::Proven { .. } => Err(Refused::OtherChallenge),
        }
    }

    /// A passkey of the user's, whose authenticator has counted on since it was last shown, wherever that was.
    fn shown(
        &self,
        site: &RelyingParty,
        asked: &Authentication,
        factors: &FactorsRecord,
        answer: &Value,
    ) -> std::result::Result<Taken, Refused> {
        let known: Vec<Passkey> = factors.passkeys.iter().map(|known| known.passkey.clone()).collect();
        let shown = site.shown(asked, answer.clone(), &known)?;
        let mut next = factors.clone();
        let record = next.passkeys.get_mut(shown.index).ok_or(Refused::OtherPasskey)?;
        let counts = shown.counter > 0 || record.counter > 0;
        if counts && shown.counter <= record.counter {
            return Err(Refused::Cloned);
        }
        record.counter = shown.counter;
        record.passkey = shown.passkey;
        record.last_used_at = Some(self.now());
        Ok(Taken::Shown(record.id, next))
    }

    /// The code, in one commit with what was taken. The page's address names nothing from now on.
    async fn ceremony_answered(&self, waiting: Waiting, taken: Taken, source: Option<IpAddr>) -> Result<PasskeyCode> {
        let Waiting { token, user, factors, ceremony } = waiting;
        let (code, hash) = self.new_code(user.value.id, &ceremony)?;
        let event = self.login_event(EventKind::FactorPasskeyAnswered, source, Some(&user.value));
        let (mut next, state, event) = match taken {
            Taken::Made(label, passkey) => {
                let state = CeremonyState::Registered { label, passkey, code: hash };
                (factors.value.clone(), state, event.with(FieldName::Detail, "a new passkey"))
            }
            Taken::Shown(factor, next) => {
                (next, CeremonyState::Proven { code: hash }, event.with(FieldName::Detail, factor))
            }
        };
        for other in &mut next.ceremonies {
            if other.hash == ceremony.hash {
                other.state = state.clone();
            }
        }
        let change = self.change(event).expect(&user).remove(&token).update(&factors, &next)?;
        self.commit(change).await?;
        Ok(PasskeyCode { code: code.disclose() })
    }

    /// The ceremony is over, and where somebody's passkey was asked for, this was a failed attempt at being that user.
    async fn not_taken(&self, waiting: Waiting, refused: Refused, source: Option<IpAddr>) -> Result<PasskeyCode> {
        let Waiting { token, user, factors, ceremony } = waiting;
        let kind = match refused {
            Refused::Cloned => EventKind::FactorCloneSuspected,
            Refused::Malformed
            | Refused::NotVerified
            | Refused::OtherSite
            | Refused::OtherChallenge
            | Refused::OtherPasskey
            | Refused::Known
            | Refused::Wrong => EventKind::FactorPasskeyRefused,
        };
        let event = self.login_event(kind, source, Some(&user.value)).with(FieldName::Detail, refused);
        let change = match ceremony.state {
            CeremonyState::Registering { .. } | CeremonyState::Registered { .. } => self.change(event).expect(&user),
            CeremonyState::Proving { .. } | CeremonyState::Proven { .. } => {
                self.failed_login(&user.value.name, source).await?.and(event)
            }
        };
        let mut next = factors.value.clone();
        next.ceremonies.retain(|other| other.hash != ceremony.hash);
        self.commit(change.remove(&token).update(&factors, &next)?).await?;
        let detail = format!("The passkey was not taken: {refused}. Begin again where you came from.");
        Err(Error::new(ProblemType::InvalidCredentials, detail))
    }
}

/// One answer for what never was, is used up or too old, and while its user is locked out.
fn no_ceremony() -> Error {
    let detail = "This page is used up or too old, or its address is not whole. Begin again where you came from.";
    Error::new(ProblemType::InvalidCredentials, detail)
}
