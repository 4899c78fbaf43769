//! Passkeys, from where they are asked for: a command line, which has no authenticator. It is given the address of a page,
//! on which a browser does the rest (`ceremony.rs`), and wants the code that the browser shows in the end.
//!
//! That code is what binds the two. Whoever lures somebody to the page of a login of their own has not got it; whoever
//! takes somebody else's page has it, and no place to give it. A ceremony lives five minutes, is answered once, and its
//! code is good once, for the login or the session that asked.

use std::net::IpAddr;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{CEREMONY_TTL_SECONDS, ConfirmedFactor, Factor, FactorKind, NewPasskey, PasskeyCeremony};
use claviger_api::{FactorId, PrincipalId, Scope, Secret};
use claviger_crypto::passkey::{Passkey, RelyingParty};
use claviger_crypto::{Token, TokenKind, recovery};
use claviger_store::{RowId, Table, Versioned};
use sha2::{Digest as _, Sha256};

use super::factors::{CODES_AGAIN, label, put_factors};
use super::mfa::{no_challenge, unverifiable};
use super::session::after;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::idempotency::Once;
use crate::journal::Change;
use crate::open::{Caller, Open, deciding, deciding_once};
use crate::records::{
    CeremonyAsker, CeremonyRecord, CeremonyState, FactorsRecord, PasskeyRecord, PrincipalRecord, TokenRecord,
};

/// Ceremonies of one user at a time: an older one gives way.
const CEREMONIES_MAX: usize = 4;
/// One more than the largest mark, of three digits.
const MARKS: u64 = 1000;
/// Digits of the code that a browser shows.
const CODE_DIGITS: usize = 8;
/// One more than the largest code.
const CODES: u64 = 100_000_000;

/// A ceremony that is about to be stored, and the address of its page.
struct NewCeremony {
    record: CeremonyRecord,
    shown: PasskeyCeremony,
}

impl Open {
    /// Offers to take a passkey that a browser makes. It counts once the code that the browser shows was
    /// [confirmed](Self::confirm_passkey).
    pub async fn offer_passkey(&self, new: &NewPasskey, caller: &Caller) -> Result<PasskeyCeremony> {
        let site = self.site()?;
        let label = label(&new.label)?;
        deciding(|| async {
            let (user, factors) = self.changeable_factors(caller).await?;
            let mut next = factors.as_ref().map(|row| row.value.clone()).unwrap_or_default();
            next.must_have_room()?;
            let known = next.passkeys.iter().map(|known| &known.passkey);
            let registration = site.register(caller.id.uuid(), caller.name.as_str(), known).map_err(Error::internal)?;
            let state = CeremonyState::Registering { label: label.clone(), asked: registration };
            let asker = CeremonyAsker::Session(caller.session);
            let NewCeremony { record, shown } = self.new_ceremony(site, &user.value, asker, caller.source, state);
            let event = self.event(Scope::Operator, EventKind::FactorOffered, caller);
            let change = self.change(event.with(FieldName::Detail, "passkey")).expect(&user);
            let change = Self::with_ceremony(change, caller.id, &mut next, record)?;
            self.commit(put_factors(change, caller, factors.as_ref(), &next)?).await?;
            Ok(shown)
        })
        .await
    }

    /// The code that the browser shows: from now on the passkey counts, and the session is a full one. With the first
    /// factor come the recovery codes, once.
    pub async fn confirm_passkey(&self, code: &Secret, once: &Once, caller: &Caller) -> Result<ConfirmedFactor> {
        let site = self.site()?;
        deciding_once(once, || async {
            self.shown_once(Scope::Operator, once, caller, CODES_AGAIN).await?;
            let (user, factors) = self.changeable_factors(caller).await?;
            let none = || {
                Error::new(ProblemType::NotFound, "No passkey waits for a code; POST /v1/auth/passkeys asks for one.")
            };
            let factors = factors.ok_or_else(none)?;
            let asker = CeremonyAsker::Session(caller.session);
            let mut waits = false;
            let found = factors.value.ceremonies.iter().position(|ceremony| {
                let CeremonyState::Registered { code: wanted, .. } = &ceremony.state else { return false };
                let live = self.is_live(ceremony, &user.value) && ceremony.asker == asker;
                waits |= live;
                live && self.code_hash(caller.id, ceremony, code) == Some(*wanted)
            });
            let wrong = || if waits { wrong_code() } else { none() };
            let mut next = factors.value.clone();
            let ceremony = next.ceremonies.remove(found.ok_or_else(wrong)?);
            let CeremonyState::Registered { label, passkey, .. } = ceremony.state else { return Err(none()) };
            next.must_have_room()?;
            let now = self.now();
            let id = FactorId::from_uuid(self.new_uuid());
            let site = site.id().to_owned();
            let passkey =
                PasskeyRecord { id, label, site, passkey, counter: 0, created_at: now, last_used_at: Some(now) };
            let factor = passkey.view();
            next.passkeys.push(passkey);
            self.add_factor(once, caller, &user, &factors, next, factor).await
        })
        .await
    }

    /// Asks for a passkey as the second factor of a login, whose challenge says that the password was right.
    pub async fn passkey_for_login(&self, challenge: &Secret, source: Option<IpAddr>) -> Result<PasskeyCeremony> {
        let site = self.site()?;
        let hash = Token::parse(TokenKind::Challenge, challenge).map_err(|_| no_challenge())?.to_bytes();
        deciding(|| async {
            let (user, factors, _) = self.challenged(&hash).await?;
            let event = self.login_event(EventKind::FactorPasskeyAsked, source, Some(&user.value));
            self.ask_for_passkey(site, event, &user, &factors, CeremonyAsker::Login(hash), source).await
        })
        .await
    }

    /// Asks for a passkey as the fresh second factor of a session.
    pub async fn passkey_for_step_up(&self, caller: &Caller) -> Result<PasskeyCeremony> {
        caller.must_be_a_person()?;
        deciding(|| async {
            let user = self.load::<PrincipalRecord>(&RowId::principal(caller.id)).await?;
            if !user.value.has_factors {
                return Err(Error::new(ProblemType::SecondFactorNeeded, ""));
            }
            let site = self.site()?;
            let factors = self.factors_of(&user.value).await?;
            let event = self.event(Scope::Operator, EventKind::FactorPasskeyAsked, caller);
            let asker = CeremonyAsker::Session(caller.session);
            self.ask_for_passkey(site, event, &user, &factors, asker, caller.source).await
        })
        .await
    }

    async fn ask_for_passkey(
        &self,
        site: &RelyingParty,
        event: Event,
        user: &Versioned<PrincipalRecord>,
        factors: &Versioned<FactorsRecord>,
        asker: CeremonyAsker,
        source: Option<IpAddr>,
    ) -> Result<PasskeyCeremony> {
        let passkeys = factors.value.passkeys_of(site);
        if passkeys.is_empty() {
            return Err(Error::new(ProblemType::NotFound, "There is no passkey of this user for this address."));
        }
        let authentication = site.authenticate(&passkeys).map_err(unverifiable)?;
        let state = CeremonyState::Proving { asked: authentication };
        let NewCeremony { record, shown } = self.new_ceremony(site, &user.value, asker, source, state);
        let mut next = factors.value.clone();
        let change = Self::with_ceremony(self.change(event).expect(user), user.value.id, &mut next, record)?;
        self.commit(change.update(factors, &next)?).await?;
        Ok(shown)
    }

    /// Where passkeys are taken, if they are.
    pub(super) fn site(&self) -> Result<&RelyingParty> {
        let site = self.ground().settings.site.as_deref();
        site.ok_or_else(|| Error::new(ProblemType::PasskeysOff, ""))
    }

    fn new_ceremony(
        &self,
        site: &RelyingParty,
        user: &PrincipalRecord,
        asker: CeremonyAsker,
        source: Option<IpAddr>,
        state: CeremonyState,
    ) -> NewCeremony {
        let name = recovery::generate(self.random());
        let mark = self.number_below(MARKS);
        let shown = PasskeyCeremony {
            url: format!("{}#{}", site.page(), name.expose()),
            mark: format!("{mark:03}"),
            expires_in_seconds: CEREMONY_TTL_SECONDS,
        };
        let record = CeremonyRecord {
            hash: ceremony_hash(&name).unwrap_or_default(),
            asker,
            source,
            mark: u16::try_from(mark).unwrap_or_default(),
            expires_at: after(self.now(), CEREMONY_TTL_SECONDS),
            generation: user.generation,
            state,
        };
        NewCeremony { record, shown }
    }

    /// Adds a ceremony to its user's factors, and its name to a change. The same asker's one before gives way.
    fn with_ceremony<'a>(
        change: Change<'a>,
        user: PrincipalId,
        factors: &mut FactorsRecord,
        record: CeremonyRecord,
    ) -> Result<Change<'a>> {
        let token = TokenRecord { principal: user, session: None, expires_at: record.expires_at };
        let mut change = change.create(RowId::token(&record.hash), &token)?;
        let (older, kept) = std::mem::take(&mut factors.ceremonies)
            .into_iter()
            .partition::<Vec<_>, _>(|other| other.asker == record.asker);
        factors.ceremonies = kept;
        factors.ceremonies.push(record);
        let surplus = factors.ceremonies.len().saturating_sub(CEREMONIES_MAX);
        for gone in older.into_iter().chain(factors.ceremonies.drain(..surplus)) {
            change = change.erase(RowId::token(&gone.hash));
        }
        Ok(change)
    }

    /// Whether a ceremony, or its code, may still be used.
    pub(super) fn is_live(&self, ceremony: &CeremonyRecord, user: &PrincipalRecord) -> bool {
        self.now() < ceremony.expires_at && ceremony.generation == user.generation
    }

    /// A code for a ceremony, and what is stored of it.
    pub(super) fn new_code(&self, user: PrincipalId, ceremony: &CeremonyRecord) -> Result<(Secret, [u8; 32])> {
        let code = format!("{:0width$}", self.number_below(CODES), width = CODE_DIGITS);
        let code = Secret::new(code).map_err(Error::internal)?;
        let hash = self.code_hash(user, ceremony, &code).ok_or_else(|| Error::internal("a code that is none"))?;
        Ok((code, hash))
    }

    /// `HMAC(lookup key, user ‖ ceremony ‖ code)`, of exactly eight digits.
    pub(super) fn code_hash(&self, user: PrincipalId, ceremony: &CeremonyRecord, code: &Secret) -> Option<[u8; 32]> {
        let digits = code.expose().as_bytes();
        if digits.len() != CODE_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let text = zeroize::Zeroizing::new([user.uuid().as_bytes().as_slice(), &ceremony.hash, digits].concat());
        Some(self.keyring().lookup().index(Table::Factors.tag(), Scope::Operator, &text))
    }

    /// Evenly, but for one in many billions.
    fn number_below(&self, end: u64) -> u64 {
        let mut bytes = zeroize::Zeroizing::new([0; 8]);
        self.random().fill(&mut *bytes);
        u64::from_be_bytes(*bytes) % end
    }
}

impl PasskeyRecord {
    pub(super) fn view(&self) -> Factor {
        Factor {
            id: self.id,
            kind: FactorKind::Passkey,
            label: self.label.clone(),
            created_at: self.created_at,
            last_used_at: self.last_used_at,
        }
    }
}

impl FactorsRecord {
    /// The passkeys that are good at this site.
    pub(super) fn passkeys_of(&self, site: &RelyingParty) -> Vec<Passkey> {
        let here = self.passkeys.iter().filter(|known| known.site == site.id());
        here.map(|known| known.passkey.clone()).collect()
    }
}

/// What is stored of a ceremony's name, as it stands in the address of its page; `None` of what is no name.
pub(super) fn ceremony_hash(name: &Secret) -> Option<[u8; 32]> {
    recovery::canonical(name).map(|name| Sha256::digest(&*name).into())
}

fn wrong_code() -> Error {
    Error::value("code", "this is not the code that the browser shows; it has eight digits")
}
