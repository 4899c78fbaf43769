//! What an ID token must say (OpenID Connect Core 1.0 §3.1.3.7), beyond its signature by a key of the provider's.

use claviger_api::Timestamp;
use claviger_api::wire::FRESH_FACTOR_SECONDS;

use super::super::sign_ons::is_subject;
use super::super::workload::token::{Expected, Token};
use super::failed;
use crate::error::{Error, Result};
use crate::records::IdentityProviderRecord;

/// What `max_age` asks for: how old a login at the provider may be for its second factor to count.
pub(super) const MAX_AGE_SECONDS: u64 = FRESH_FACTOR_SECONDS;
/// A token comes straight from the provider: one that is older was not made for us, or a clock is wrong.
const OLD_MOST_SECONDS: i64 = 300;
/// The provider's clock may be ahead of ours by so much.
const AHEAD_MOST_SECONDS: i64 = 60;

/// Of two factors one is something that the person has (RFC 8176) ...
const HAS: &[&str] = &["otp", "hwk", "swk", "sc"];
/// ... and another what the person knows or is.
const KNOWS_OR_IS: &[&str] = &["pwd", "pin", "fpt", "face", "iris", "retina", "vbm"];

/// What was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The nonce; none by device code, where there is no browser that could be made to bring another's token.
    pub nonce: Option<&'a str>,
    /// When the sign-on began.
    pub begun_at: Timestamp,
    /// Whether the provider's second factor counts.
    pub trusts_mfa: bool,
}

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub subject: String,
    pub second_factor_at: Option<Timestamp>,
}

/// Reads a token whose signature is known to be right.
pub(super) fn claims(
    token: &Token<'_>,
    provider: &IdentityProviderRecord,
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Claims> {
    let name = &provider.name;
    must_be_of_now(token, name.as_str(), now)?;
    let expected = Expected { issuer: provider.issuer.as_str(), audience: &provider.client_id, now };
    if !token.is_expected(expected) || token.claims().has("azp") && !token.says("azp", &provider.client_id) {
        return Err(failed(format!("What the identity provider {name} said is not for this vault, or not by it.")));
    }
    if asked.nonce.is_some_and(|nonce| !token.says("nonce", nonce)) {
        return Err(failed(format!("What the identity provider {name} said is of another sign-on.")));
    }
    let subject = token.subject().filter(|subject| is_subject(subject));
    let subject = subject.ok_or_else(|| failed(format!("The identity provider {name} did not say who you are.")))?;
    let amr = token.claims().texts("amr");
    if !provider.acr.is_empty() && !provider.acr.iter().any(|acr| token.says("acr", acr)) {
        return Err(too_weak(provider, "acr", &provider.acr));
    }
    if !provider.amr.iter().all(|wanted| amr.contains(&wanted.as_str())) {
        return Err(too_weak(provider, "amr", &provider.amr));
    }
    let second_factor_at =
        if asked.trusts_mfa && are_two_factors(&amr) { fresh_login(token, asked, now) } else { None };
    Ok(Claims { subject: subject.to_owned(), second_factor_at })
}

/// Two clocks that disagree are the usual reason why a good token is refused: it is told as what it is.
fn must_be_of_now(token: &Token<'_>, name: &str, now: Timestamp) -> Result<()> {
    let Some(issued) = token.claims().number("iat") else { return Ok(()) };
    let age = now.as_second().saturating_sub(issued);
    if (-AHEAD_MOST_SECONDS..=OLD_MOST_SECONDS).contains(&age) {
        return Ok(());
    }
    let (by, which) = (age.unsigned_abs(), if age < 0 { "ahead of" } else { "behind" });
    let ours = now.strftime("%H:%M:%S");
    let detail = format!(
        "The clock of the identity provider {name} is {by} s {which} the vault's, which says {ours} UTC: one of them is \
         wrong, and an operator sets it right."
    );
    Err(failed(detail))
}

/// When the person logged in there, if that was just now: since the sign-on began, or within what `max_age` allows.
fn fresh_login(token: &Token<'_>, asked: Asked<'_>, now: Timestamp) -> Option<Timestamp> {
    let at = token.claims().number("auth_time")?;
    let oldest = asked.begun_at.as_second().saturating_sub(i64::try_from(MAX_AGE_SECONDS).ok()?);
    let at = (oldest <= at && at <= now.as_second() + AHEAD_MOST_SECONDS).then_some(at)?;
    Timestamp::from_second(at.min(now.as_second())).ok()
}

fn are_two_factors(amr: &[&str]) -> bool {
    let any = |of: &[&str]| of.iter().any(|one| amr.contains(one));
    amr.contains(&"mfa") || (any(HAS) && any(KNOWS_OR_IS))
}

fn too_weak(provider: &IdentityProviderRecord, claim: &str, wanted: &[String]) -> Error {
    let (name, wanted) = (&provider.name, wanted.join(", "));
    failed(format!(
        "The identity provider {name} did not check you as the vault demands ({claim} {wanted}): sign on there with a \
         stronger factor, or ask an administrator."
    ))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use claviger_api::ProviderId;
    use claviger_api::problem::ProblemType;
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn provider(acr: &[&str], amr: &[&str]) -> IdentityProviderRecord {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        IdentityProviderRecord {
            id: ProviderId::from_uuid(uuid::Uuid::nil()),
            name: "entra".parse().unwrap(),
            customer: None,
            enabled: true,
            issuer: "https://login.example/tenant".parse().unwrap(),
            client_id: "vault".to_owned(),
            client_secret: None,
            address: "https://vault.example".parse().unwrap(),
            scopes: Vec::new(),
            acr: texts(acr),
            amr: texts(amr),
            trusts_mfa: false,
            device_code: false,
            ca_certificate: None,
            created_at: at(NOW),
        }
    }

    fn good() -> Value {
        json!({
            "iss": "https://login.example/tenant", "aud": "vault", "sub": "s-1", "nonce": "n", "iat": NOW - 1,
            "exp": NOW + 300, "auth_time": NOW - 2, "amr": ["pwd", "otp"], "acr": "gold",
            "email": "ada@vault.example", "email_verified": true,
        })
    }

    fn read(claims: &Value, of: &IdentityProviderRecord, trusts_mfa: bool) -> Result<Claims> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}.x", part(&json!({ "alg": "ES256" })), part(claims));
        let asked = Asked { nonce: Some("n"), begun_at: at(NOW - 20), trusts_mfa };
        super::claims(&Token::read(&text).unwrap(), of, asked, at(NOW))
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = good();
        claims[name] = value;
        claims
    }

    #[test]
    fn a_person_is_the_subject_and_nothing_else() {
        let claims = read(&good(), &provider(&[], &[]), false).unwrap();
        assert_eq!(claims, Claims { subject: "s-1".to_owned(), second_factor_at: None });
    }

    #[test]
    fn anvil_oidc_binding_a_token_of_another_sign_on_client_issuer_or_time_is_refused() {
        for (name, value) in [
            ("iss", json!("https://login.example/other")),
            ("iss", json!("https://login.example/tenant/")),
            ("aud", json!("vault2")),
            ("aud", json!(["vault", "other"])),
            ("azp", json!("other")),
            ("azp", Value::Null),
            ("nonce", json!("m")),
            ("nonce", Value::Null),
            ("sub", Value::Null),
            ("sub", json!("")),
            ("sub", json!(["s-1"])),
            ("sub", json!(" s-1")),
            ("sub", json!("x".repeat(256))),
            ("exp", json!(NOW)),
            ("exp", json!("1900000000")),
            ("iat", json!(NOW + 61)),
            ("iat", json!(NOW - 301)),
            ("iat", Value::Null),
        ] {
            let refused = read(&with(name, value.clone()), &provider(&[], &[]), false).err();
            let refused = refused.unwrap_or_else(|| panic!("{name} {value} was taken"));
            assert_eq!(refused.problem, ProblemType::SignOnFailed);
        }
        let mut without = good();
        without.as_object_mut().unwrap().remove("nonce");
        assert!(read(&without, &provider(&[], &[]), false).is_err());
        assert!(read(&with("azp", json!("vault")), &provider(&[], &[]), false).is_ok());
    }

    #[test]
    fn clocks_that_disagree_are_told_as_that() {
        for (iat, said) in [(NOW + 90, "is 90 s ahead of"), (NOW - 4000, "is 4000 s behind")] {
            let refused = read(&with("iat", json!(iat)), &provider(&[], &[]), false).unwrap_err();
            assert!(refused.detail.contains(said), "{}", refused.detail);
        }
    }

    #[test]
    fn what_is_demanded_of_the_login_there_must_be_said() {
        for (acr, amr, right) in [
            (&["gold"][..], &["otp"][..], true),
            (&["silver", "gold"], &["otp", "pwd"], true),
            (&["silver"], &[], false),
            (&[], &["hwk"], false),
            (&[], &["otp", "hwk"], false),
        ] {
            assert_eq!(read(&good(), &provider(acr, amr), false).is_ok(), right, "{acr:?} {amr:?}");
        }
        assert!(read(&with("amr", json!("otp")), &provider(&[], &["otp"]), false).is_err(), "amr is a list");
    }

    #[test]
    fn a_second_factor_counts_where_it_is_trusted_and_was_checked_just_now() {
        let second = |claims: &Value, trusts| read(claims, &provider(&[], &[]), trusts).unwrap().second_factor_at;
        assert_eq!(second(&good(), true), Some(at(NOW - 2)));
        assert_eq!(second(&good(), false), None);
        for (amr, counts) in [
            (json!(["mfa"]), true),
            (json!(["hwk", "pin"]), true),
            (json!(["pwd"]), false),
            (json!(["otp"]), false),
            (json!(["pwd", "sms"]), false),
            (json!("mfa"), false),
            (json!([]), false),
        ] {
            assert_eq!(second(&with("amr", amr.clone()), true).is_some(), counts, "{amr}");
        }
        // Before the sign-on began by more than five minutes, or in a time to come.
        for auth_time in [json!(NOW - 321), json!(NOW + 61), json!("1800000000"), Value::Null] {
            assert_eq!(second(&with("auth_time", auth_time.clone()), true), None, "{auth_time}");
        }
    }
}
