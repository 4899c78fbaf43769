//! The second factor of a login, and of a session whose last one is no longer fresh.
//!
//! A right password gives a challenge, and a challenge with a right code a session. Whatever cannot be verified, because
//! its row is gone, damaged or cannot be read, lets nobody in: 503. Each attempt counts like a password, whatever it
//! looks like; a password alone forgets no failures.

use std::net::IpAddr;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    CHALLENGE_TTL_SECONDS, Challenge, FRESH_FACTOR_SECONDS, FactorKind, PrincipalKind, PrincipalState, SecondFactor,
    SteppedUp, Tokens,
};
use claviger_api::{PrincipalId, Scope, Secret};
use claviger_crypto::passkey::RelyingParty;
use claviger_crypto::{Token, TokenKind, recovery, totp};
use claviger_store::{RowId, Table, Versioned};

use super::session::after;
use super::token_hash;
use crate::error::{Error, Result};
use crate::event::{Event, snake_case};
use crate::open::{Caller, Open, deciding};
use crate::records::{
    CeremonyAsker, CeremonyState, ChallengeRecord, FactorsRecord, PrincipalRecord, SessionRecord, TokenRecord,
};

/// Challenges of one user at a time: an older one gives way.
const CHALLENGES_MAX: usize = 4;

/// A second factor that was right, and its user's factors now that it is used up.
struct Accepted {
    kind: FactorKind,
    factors: FactorsRecord,
}

impl Open {
    /// The password was right, or an identity provider said who it is: a challenge, in one commit with its event.
    pub(super) async fn challenge(
        &self,
        user: &Versioned<PrincipalRecord>,
        known: &PrincipalRecord,
        event: Event,
    ) -> Result<Challenge> {
        let factors = self.factors_of(&user.value).await?;
        let challenge = Token::generate(TokenKind::Challenge, self.random());
        let (hash, expires_at) = (token_hash(&challenge), after(self.now(), CHALLENGE_TTL_SECONDS));
        let mut next = factors.value.clone();
        next.challenges.push(ChallengeRecord { hash, expires_at, generation: user.value.generation });
        let older = next.challenges.len().saturating_sub(CHALLENGES_MAX);
        let mut change = self.change(event);
        for older in next.challenges.drain(..older) {
            change = change.erase(RowId::token(&older.hash));
        }
        let token = TokenRecord { principal: user.value.id, session: None, expires_at };
        change = change.update(&factors, &next)?.create(RowId::token(&hash), &token)?;
        change =
            if known.password == user.value.password { change.expect(user) } else { change.update(user, known)? };
        self.commit(change).await?;
        Ok(Challenge {
            challenge: challenge.disclose(),
            challenge_expires_in_seconds: CHALLENGE_TTL_SECONDS,
            factors: next.kinds(self.ground().settings.site.as_deref()),
            server_time: self.now(),
        })
    }

    /// Opens a session: the challenge says that the password was right, this is the second factor.
    pub async fn login_second_factor(
        &self,
        challenge: &Secret,
        proof: &SecondFactor,
        source: Option<IpAddr>,
    ) -> Result<Tokens> {
        let hash = Token::parse(TokenKind::Challenge, challenge).map_err(|_| no_challenge())?.to_bytes();
        deciding(|| self.open_by_factor(&hash, proof, source)).await
    }

    async fn open_by_factor(&self, hash: &[u8; 32], proof: &SecondFactor, source: Option<IpAddr>) -> Result<Tokens> {
        let (user, factors, token) = self.challenged(hash).await?;
        let asker = CeremonyAsker::Login(*hash);
        let Some(accepted) = self.attempt(&user.value, &factors.value, proof, asker, source).await? else {
            self.login_failed(&user.value.name, source).await?;
            return Err(wrong_code());
        };
        let mut next = accepted.factors;
        next.challenges.retain(|challenge| challenge.hash != *hash);
        let session = self.new_session(&user.value).with_second_factor(self.now());
        let event = self
            .login_event(EventKind::LoginSucceeded, source, Some(&user.value))
            .with(FieldName::Session, session.record.id)
            .with(FieldName::Cause, snake_case(&accepted.kind));
        let change = Self::with_session(self.change(event), &session)?.remove(&token).update(&factors, &next)?;
        let counted = self.counted(&user.value.name, source).await?;
        let change = self.with_login(change, &user, user.value.clone(), counted)?;
        self.commit(change).await?;
        self.tokens(session)
    }

    /// Whose password was right, by the challenge that waits for the second factor.
    pub(super) async fn challenged(
        &self,
        hash: &[u8; 32],
    ) -> Result<(Versioned<PrincipalRecord>, Versioned<FactorsRecord>, Versioned<TokenRecord>)> {
        let token = self.read::<TokenRecord>(&RowId::token(hash)).await?.ok_or_else(no_challenge)?;
        let user = self.read::<PrincipalRecord>(&RowId::principal(token.value.principal)).await?;
        let user = user.filter(|user| user.value.state == PrincipalState::Active).ok_or_else(no_challenge)?;
        let factors = self.factors_of(&user.value).await?;
        if !self.waits(&factors.value, hash, &user.value) {
            return Err(no_challenge());
        }
        Ok((user, factors, token))
    }

    /// Proves a second factor again: the session's is fresh from now on.
    pub async fn step_up(&self, proof: &SecondFactor, caller: &Caller) -> Result<SteppedUp> {
        caller.must_be_a_person()?;
        deciding(|| self.step_up_once(proof, caller)).await
    }

    async fn step_up_once(&self, proof: &SecondFactor, caller: &Caller) -> Result<SteppedUp> {
        let user = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?;
        if !user.value.has_factors {
            return Err(Error::new(ProblemType::SecondFactorNeeded, ""));
        }
        let factors = self.factors_of(&user.value).await?;
        let asker = CeremonyAsker::Session(caller.session);
        let Some(accepted) = self.attempt(&user.value, &factors.value, proof, asker, caller.source).await? else {
            self.login_failed(&user.value.name, caller.source).await?;
            return Err(wrong_code());
        };
        let session = self.own_session(caller).await?;
        let now = self.now();
        let event = self
            .event(Scope::Operator, EventKind::SessionSteppedUp, caller)
            .with(FieldName::Session, caller.session)
            .with(FieldName::Cause, snake_case(&accepted.kind));
        let change = self
            .change(event)
            .update(&session, &session.value.proven(now))?
            .update(&factors, &accepted.factors)?
            .expect(&user);
        let counted = self.counted(&user.value.name, caller.source).await?;
        self.commit(self.came_in(change, counted)?).await?;
        Ok(SteppedUp { second_factor_at: now, fresh_for_seconds: FRESH_FACTOR_SECONDS })
    }

    /// The factors of a user who has some. Their row is there, or nobody gets in.
    pub(crate) async fn factors_of(&self, user: &PrincipalRecord) -> Result<Versioned<FactorsRecord>> {
        let row = self.read::<FactorsRecord>(&RowId::factors(user.id)).await?;
        row.ok_or_else(|| unverifiable(format!("the factors of {} are gone", user.id)))
    }

    /// The caller's session, as it is stored.
    pub(super) async fn own_session(&self, caller: &Caller) -> Result<Versioned<SessionRecord>> {
        let row = self.read::<SessionRecord>(&RowId::session(caller.session)).await?;
        row.ok_or_else(|| Error::new(ProblemType::SessionEnded, ""))
    }

    /// Tries a second factor; not while its user is locked out.
    async fn attempt(
        &self,
        user: &PrincipalRecord,
        factors: &FactorsRecord,
        proof: &SecondFactor,
        asker: CeremonyAsker,
        source: Option<IpAddr>,
    ) -> Result<Option<Accepted>> {
        if self.is_locked_out(&user.name, source).await? {
            return Ok(None);
        }
        match proof {
            SecondFactor::Totp(code) => self.accept_totp(factors, code.secret()),
            SecondFactor::RecoveryCode(code) => Ok(self.accept_recovery(user.id, factors, code.secret())),
            SecondFactor::Passkey(code) => Ok(self.accept_passkey(user, factors, code.secret(), asker)),
        }
    }

    /// The code of a passkey that a browser has shown, for whoever asked for it.
    fn accept_passkey(
        &self,
        user: &PrincipalRecord,
        factors: &FactorsRecord,
        code: &Secret,
        asker: CeremonyAsker,
    ) -> Option<Accepted> {
        let mut factors = factors.clone();
        let before = factors.ceremonies.len();
        factors.ceremonies.retain(|ceremony| {
            let CeremonyState::Proven { code: wanted } = &ceremony.state else { return true };
            let good = ceremony.asker == asker && self.is_live(ceremony, user);
            !(good && self.code_hash(user.id, ceremony, code) == Some(*wanted))
        });
        (factors.ceremonies.len() < before).then_some(Accepted { kind: FactorKind::Passkey, factors })
    }

    fn accept_totp(&self, factors: &FactorsRecord, code: &Secret) -> Result<Option<Accepted>> {
        let now = self.now();
        let mut factors = factors.clone();
        for app in &mut factors.totp {
            let step = totp::accepted_step(&app.secret, code, now, Some(app.last_step)).map_err(unverifiable)?;
            if let Some(step) = step {
                (app.last_step, app.last_used_at) = (step, Some(now));
                return Ok(Some(Accepted { kind: FactorKind::Totp, factors }));
            }
        }
        Ok(None)
    }

    fn accept_recovery(&self, user: PrincipalId, factors: &FactorsRecord, code: &Secret) -> Option<Accepted> {
        let hash = self.recovery_hash(user, code)?;
        let mut factors = factors.clone();
        let before = factors.recovery.len();
        factors.recovery.retain(|unused| *unused != hash);
        (factors.recovery.len() < before).then_some(Accepted { kind: FactorKind::RecoveryCode, factors })
    }

    /// `HMAC(lookup key, user ‖ code)`: nobody who reads the store's rows can guess codes from it.
    pub(super) fn recovery_hash(&self, user: PrincipalId, code: &Secret) -> Option<[u8; 32]> {
        let code = recovery::canonical(code)?;
        let text = zeroize::Zeroizing::new([user.uuid().as_bytes().as_slice(), &code].concat());
        Some(self.keyring().lookup().index(Table::Factors.tag(), Scope::Operator, &text))
    }

    fn waits(&self, factors: &FactorsRecord, hash: &[u8; 32], user: &PrincipalRecord) -> bool {
        let now = self.now();
        factors.challenges.iter().any(|challenge| {
            challenge.hash == *hash && now < challenge.expires_at && challenge.generation == user.generation
        })
    }
}

impl FactorsRecord {
    /// What can be proven: passkeys at their own site alone.
    fn kinds(&self, site: Option<&RelyingParty>) -> Vec<FactorKind> {
        let passkeys = site.is_some_and(|site| self.passkeys.iter().any(|passkey| passkey.site == site.id()));
        let kinds = [
            (!self.totp.is_empty()).then_some(FactorKind::Totp),
            passkeys.then_some(FactorKind::Passkey),
            (!self.recovery.is_empty()).then_some(FactorKind::RecoveryCode),
        ];
        kinds.into_iter().flatten().collect()
    }
}

impl Caller {
    /// Programs have no second factor.
    pub(super) fn must_be_a_person(&self) -> Result<()> {
        match self.kind {
            PrincipalKind::User => Ok(()),
            PrincipalKind::ServiceAccount => Err(Error::new(
                ProblemType::Forbidden,
                "Passwords and second factors are for people, not for programs.",
            )),
        }
    }
}

pub(super) fn no_challenge() -> Error {
    Error::new(ProblemType::InvalidCredentials, "The challenge is not right, used up or too old; log in again.")
}

/// The same for a wrong code, one that was used, and any while its user is locked out.
fn wrong_code() -> Error {
    Error::new(
        ProblemType::InvalidCredentials,
        "The code is not right, or was used before; wait for the next one, and check the clock of the app.",
    )
}

pub(super) fn unverifiable(note: impl std::fmt::Display) -> Error {
    Error::unavailable("The second factor cannot be verified; the operator's log says why.", note)
}
