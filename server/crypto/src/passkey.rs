//! Passkeys (Web Authentication, <https://www.w3.org/TR/webauthn-3/>), as a second factor: each ceremony wants its user
//! verified by the authenticator itself, by PIN or biometrics.
//!
//! webauthn-rs judges challenges, origins, signatures and counters. Its challenges are 32 bytes of the operating system's
//! randomness that it draws itself. What is remembered of a ceremony ([`Registration`], [`Authentication`]) never leaves
//! the server, where it is sealed like every record.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;
use webauthn_rs::prelude::{
    Passkey as Credential, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Url, Webauthn, WebauthnBuilder, WebauthnError,
};

/// Where a browser finds the page on which ceremonies take place.
const PAGE: &str = "passkey";
/// The one host to which a browser gives passkeys without TLS.
const LOOPBACK: &str = "localhost";

/// The site that passkeys are bound to: its host name is what an authenticator makes them for, its origin is what a
/// browser must have been at.
#[derive(Debug)]
pub struct RelyingParty {
    id: String,
    page: String,
    webauthn: Webauthn,
}

/// Why an address is none that passkeys can be bound to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no address that a browser gives passkeys to: write https:// and the host name that people use, e.g. \
     https://vault.msp.example (http:// is for localhost alone, an IP address for nobody)"
)]
pub struct BadSite(String);

/// A passkey as it is stored: its public key, never anything that opens something.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Passkey(Credential);

/// A new passkey is asked for: what a browser is given, and what is remembered of it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Registration {
    options: Value,
    state: PasskeyRegistration,
}

/// A passkey is to be shown: what a browser is given, and what is remembered of it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Authentication {
    options: Value,
    state: PasskeyAuthentication,
}

/// A passkey that was shown.
pub struct Shown {
    /// Which of those that were asked for.
    pub index: usize,
    /// The same with what the authenticator said of itself: its counter, whether it is synchronised.
    pub passkey: Passkey,
    /// How often the authenticator says it has signed; 0 of one that does not count.
    pub counter: u32,
}

/// Why an answer is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none.
    #[error("it is no answer of a passkey")]
    Malformed,
    /// The authenticator looked whether somebody is there, not who.
    #[error("the authenticator did not verify its user by PIN or biometrics")]
    NotVerified,
    /// Another origin, or a passkey of another site.
    #[error("it was made for another site")]
    OtherSite,
    /// Another challenge: an answer that was given before, or to something else.
    #[error("it answers another challenge")]
    OtherChallenge,
    /// A passkey that was not asked for.
    #[error("the passkey is not one of this user's")]
    OtherPasskey,
    /// A passkey that the user has already.
    #[error("the passkey is one of this user's already")]
    Known,
    /// The authenticator has not counted on: there may be two of it.
    #[error("the authenticator's counter went back: there may be a copy of it")]
    Cloned,
    /// Anything else.
    #[error("its signature or form is not right")]
    Wrong,
}

impl RelyingParty {
    /// The site at an address that browsers use, under a name for people.
    pub fn new(public_url: &str, name: &str) -> Result<Self, BadSite> {
        let bad = || BadSite(public_url.to_owned());
        let url = Url::parse(public_url).map_err(|_| bad())?;
        let id = url.domain().ok_or_else(bad)?.to_owned();
        let secure = url.scheme() == "https" || (url.scheme() == "http" && id == LOOPBACK);
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !secure || !bare || url.password().is_some() {
            return Err(bad());
        }
        let webauthn = WebauthnBuilder::new(&id, &url).and_then(|builder| builder.rp_name(name).build());
        let webauthn = webauthn.map_err(|_| bad())?;
        let page = url.join(PAGE).map_err(|_| bad())?.into();
        Ok(Self { id, page, webauthn })
    }

    /// The host name that passkeys are made for.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The page on which ceremonies take place.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Asks for a new passkey of a user, none of those that are known.
    pub fn register<'a>(
        &self,
        user: Uuid,
        name: &str,
        known: impl Iterator<Item = &'a Passkey>,
    ) -> Result<Registration, WebauthnError> {
        let known = known.map(|passkey| passkey.0.cred_id().clone()).collect();
        let (options, state) = self.webauthn.start_passkey_registration(user, name, name, Some(known))?;
        Ok(Registration { options: serde_json::to_value(options).map_err(WebauthnError::ParseJSONFailure)?, state })
    }

    /// The passkey that a browser answers with, none of those that are known.
    pub fn registered(&self, asked: &Registration, answer: Value, known: &[Passkey]) -> Result<Passkey, Refused> {
        let answer: RegisterPublicKeyCredential = serde_json::from_value(answer).map_err(|_| Refused::Malformed)?;
        if known.iter().any(|passkey| passkey.0.cred_id().as_slice() == answer.raw_id) {
            return Err(Refused::Known);
        }
        self.webauthn.finish_passkey_registration(&answer, &asked.state).map(Passkey).map_err(|error| refused(&error))
    }

    /// Asks for one of these passkeys.
    pub fn authenticate(&self, passkeys: &[Passkey]) -> Result<Authentication, WebauthnError> {
        let passkeys: Vec<Credential> = passkeys.iter().map(|passkey| passkey.0.clone()).collect();
        let (options, state) = self.webauthn.start_passkey_authentication(&passkeys)?;
        Ok(Authentication { options: serde_json::to_value(options).map_err(WebauthnError::ParseJSONFailure)?, state })
    }

    /// Which of these passkeys, as they are now, a browser has shown. What was asked for may be older than they are: the
    /// caller compares the counter with the one it knows.
    pub fn shown(&self, asked: &Authentication, answer: Value, passkeys: &[Passkey]) -> Result<Shown, Refused> {
        let answer: PublicKeyCredential = serde_json::from_value(answer).map_err(|_| Refused::Malformed)?;
        let result =
            self.webauthn.finish_passkey_authentication(&answer, &asked.state).map_err(|error| refused(&error))?;
        if !result.user_verified() {
            return Err(Refused::NotVerified);
        }
        let found = passkeys.iter().position(|passkey| passkey.0.cred_id() == result.cred_id());
        let (index, mut passkey) =
            found.and_then(|index| Some((index, passkeys.get(index)?.clone()))).ok_or(Refused::OtherPasskey)?;
        passkey.0.update_credential(&result);
        Ok(Shown { index, passkey, counter: result.counter() })
    }
}

impl Registration {
    /// `PublicKeyCredentialCreationOptions`, as JSON with bytes in base 64 (URL).
    pub fn options(&self) -> &Value {
        &self.options
    }
}

impl Authentication {
    /// `PublicKeyCredentialRequestOptions`, as JSON with bytes in base 64 (URL).
    pub fn options(&self) -> &Value {
        &self.options
    }
}

fn refused(error: &WebauthnError) -> Refused {
    #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum: what is not told apart is simply wrong")]
    match error {
        WebauthnError::UserNotVerified => Refused::NotVerified,
        WebauthnError::InvalidRPOrigin | WebauthnError::InvalidRPIDHash => Refused::OtherSite,
        WebauthnError::MismatchedChallenge => Refused::OtherChallenge,
        WebauthnError::CredentialNotFound => Refused::OtherPasskey,
        WebauthnError::CredentialPossibleCompromise => Refused::Cloned,
        _ => Refused::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_bound_to_a_host_name_that_browsers_trust() {
        for (site, id, page) in [
            ("https://vault.msp.example", "vault.msp.example", "https://vault.msp.example/passkey"),
            ("https://vault.msp.example:8200/", "vault.msp.example", "https://vault.msp.example:8200/passkey"),
            ("http://localhost:8200", "localhost", "http://localhost:8200/passkey"),
        ] {
            let party = RelyingParty::new(site, "Claviger").unwrap();
            assert_eq!((party.id(), party.page()), (id, page));
        }
        for site in [
            "",
            "vault.msp.example",
            "http://vault.msp.example",
            "https://192.0.2.1",
            "https://[::1]:8200",
            "ftp://localhost",
            "https://vault.msp.example/claviger",
            "https://vault.msp.example?x",
            "https://vault.msp.example#x",
            "https://user@vault.msp.example",
        ] {
            assert!(RelyingParty::new(site, "Claviger").is_err(), "{site}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let party = RelyingParty::new("https://vault.msp.example", "Claviger").unwrap();
        let asked = party.register(Uuid::from_u128(1), "tess", std::iter::empty()).unwrap();
        assert_eq!(asked.options()["publicKey"]["authenticatorSelection"]["userVerification"], "required");
        for answer in [Value::Null, serde_json::json!({}), serde_json::json!({ "id": "x", "type": "public-key" })] {
            assert_eq!(party.registered(&asked, answer, &[]).err(), Some(Refused::Malformed));
        }
    }
}
