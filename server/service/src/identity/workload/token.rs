//! A signed token of an issuer (JWT, RFC 7519), and the keys that it is verified with (JWK, RFC 7517).
//!
//! Nothing that the token says of itself decides how it is verified: the algorithm is the key's, and header fields that
//! would bring a key along are refused. What is compared is compared whole, and a name that is there twice is refused, so
//! that no two readers see two tokens in one.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_api::Timestamp;
use claviger_api::wire::JWKS_MAX;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// A token that lives longer than a day is no proof that its workload runs now.
const LIFE_MAX_SECONDS: i64 = 24 * 60 * 60;
/// The issuer's clock may be ahead of ours by so much. The end has no such leeway.
const AHEAD_MOST_SECONDS: i64 = 60;
/// The most keys of one issuer.
const KEYS_MAX: usize = 100;
/// The shortest RSA modulus: 2048 bits (NIST SP 800-131A).
const RSA_MODULUS_MIN: usize = 256;
/// The longest RSA modulus: 8192 bits, so that no verification is slow.
const RSA_MODULUS_MAX: usize = 1024;

/// A JSON object, each name once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(BTreeMap<String, Value>);

/// What a token says, verified or not.
pub(crate) struct Token<'a> {
    text: &'a str,
    key: Option<String>,
    claims: Fields,
}

/// Whose tokens are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub now: Timestamp,
}

/// The keys of an issuer that tokens can be verified with.
#[derive(Clone)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    verifies: DecodingKey,
}

/// What is wrong with a key set, for whoever gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKeys {
    #[error("it is no JSON Web Key Set: an object with `keys`, a list of at most 100")]
    Malformed,
    #[error("it holds a private or secret key: give the public keys alone, and replace that key at its issuer")]
    Secret,
    #[error(
        "none of its keys can verify tokens: RSA of 2048 bits and more, EC P-256 or P-384, or Ed25519, for signatures"
    )]
    None,
}

impl Fields {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A whole number; a time is one (RFC 7519 would allow fractions, and no issuer that is known here sends them).
    pub fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The texts of a list; of anything else none.
    pub fn texts(&self, name: &str) -> Vec<&str> {
        let list = self.0.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

impl<'a> Token<'a> {
    /// Reads without believing: enough to see which issuer it would be of.
    pub fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let fields = |part: &str| serde_json::from_slice::<Fields>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (header, claims) = (fields(header)?, fields(claims)?);
        // What would bring a key along, or changes what is signed.
        let brings = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"].iter().any(|name| header.has(name));
        let typed = !header.has("typ") || header.text("typ") == Some("JWT");
        let key = header.text("kid").map(str::to_owned);
        (!brings && typed && header.has("kid") == key.is_some()).then_some(Self { text, key, claims })
    }

    /// The key it says it was signed with.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether it says that it is of this issuer, for this audience alone, and of this time.
    pub fn is_expected(&self, expected: Expected<'_>) -> bool {
        let audience = match self.claims.0.get("aud") {
            Some(Value::String(audience)) => audience == expected.audience,
            Some(Value::Array(audiences)) => {
                matches!(audiences.as_slice(), [Value::String(audience)] if audience == expected.audience)
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
        };
        audience && self.claims.text("iss") == Some(expected.issuer) && self.is_of(expected.now.as_second())
    }

    fn is_of(&self, now: i64) -> bool {
        let (Some(issued), Some(ends)) = (self.claims.number("iat"), self.claims.number("exp")) else { return false };
        let begun =
            !self.claims.has("nbf") || self.claims.number("nbf").is_some_and(|from| from <= now + AHEAD_MOST_SECONDS);
        begun && issued <= now + AHEAD_MOST_SECONDS && issued < ends && now < ends && ends <= now + LIFE_MAX_SECONDS
    }

    /// Whether one of these keys has signed it.
    pub fn is_signed_by(&self, keys: &Keys) -> bool {
        keys.of(self.key()).any(|key| {
            let mut validation = Validation::new(key.algorithm);
            // What the claims must say is asked in `is_expected`, by our clock.
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            validation.validate_aud = false;
            jsonwebtoken::decode::<Fields>(self.text, &key.verifies, &validation)
                .is_ok_and(|data| data.claims == self.claims)
        })
    }

    /// What it says, verified or not.
    pub fn claims(&self) -> &Fields {
        &self.claims
    }

    /// Whose token it is.
    pub fn subject(&self) -> Option<&str> {
        self.claims.text("sub")
    }

    /// Whether a claim is exactly this text.
    pub fn says(&self, name: &str, value: &str) -> bool {
        self.claims.text(name) == Some(value)
    }
}

impl Keys {
    /// The usable keys of a set. Other kinds of keys may stand beside them; private ones must not.
    pub fn parse(jwks: &[u8]) -> Result<Self, BadKeys> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Fields>,
        }
        if jwks.len() > JWKS_MAX {
            return Err(BadKeys::Malformed);
        }
        let set: Set = serde_json::from_slice(jwks).map_err(|_| BadKeys::Malformed)?;
        if set.keys.len() > KEYS_MAX {
            return Err(BadKeys::Malformed);
        }
        // d: the private part of every kind (RFC 7518 §6); k: a secret (§6.4).
        if set.keys.iter().any(|key| key.has("d") || key.has("k")) {
            return Err(BadKeys::Secret);
        }
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::read).collect();
        if keys.is_empty() { Err(BadKeys::None) } else { Ok(Self(keys)) }
    }

    /// Whether it has a key for a token that names this one.
    pub fn has(&self, id: Option<&str>) -> bool {
        self.of(id).next().is_some()
    }

    /// The keys of this name; for a token that names none, the only key.
    fn of<'s>(&'s self, id: Option<&'s str>) -> impl Iterator<Item = &'s Key> {
        let only = self.0.len() == 1;
        self.0.iter().filter(move |key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => only,
        })
    }
}

impl Key {
    fn read(jwk: &Fields) -> Option<Self> {
        let signs = !jwk.has("use") || jwk.text("use") == Some("sig");
        let (algorithm, verifies) = Self::algorithm(jwk)?;
        signs.then_some(Self { id: jwk.text("kid").map(str::to_owned), algorithm, verifies })
    }

    /// The one algorithm of a key: what it says, as far as its kind can do that, or the usual one of its kind.
    fn algorithm(jwk: &Fields) -> Option<(Algorithm, DecodingKey)> {
        if jwk.has("alg") && jwk.text("alg").is_none() {
            return None;
        }
        let algorithm = match (jwk.text("kty")?, jwk.text("crv"), jwk.text("alg")) {
            ("RSA", None, None | Some("RS256")) => Algorithm::RS256,
            ("RSA", None, Some("RS384")) => Algorithm::RS384,
            ("RSA", None, Some("RS512")) => Algorithm::RS512,
            ("RSA", None, Some("PS256")) => Algorithm::PS256,
            ("RSA", None, Some("PS384")) => Algorithm::PS384,
            ("RSA", None, Some("PS512")) => Algorithm::PS512,
            ("EC", Some("P-256"), None | Some("ES256")) => Algorithm::ES256,
            ("EC", Some("P-384"), None | Some("ES384")) => Algorithm::ES384,
            ("OKP", Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => Algorithm::EdDSA,
            _ => return None,
        };
        let key = match jwk.text("kty")? {
            "RSA" => {
                let modulus = jwk.text("n")?;
                let length = URL_SAFE_NO_PAD.decode(modulus).ok()?.len();
                (RSA_MODULUS_MIN..=RSA_MODULUS_MAX).contains(&length).then_some(())?;
                DecodingKey::from_rsa_components(modulus, jwk.text("e")?)
            }
            "EC" => DecodingKey::from_ec_components(jwk.text("x")?, jwk.text("y")?),
            _ => DecodingKey::from_ed_components(jwk.text("x")?),
        };
        Some((algorithm, key.ok()?))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

/// Reads an object without folding equal names into one.
struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with each name once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.insert(name, value).is_some() {
                return Err(de::Error::custom("a name is there twice"));
            }
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests;
