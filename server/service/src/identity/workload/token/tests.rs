use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::json;

use super::*;

/// A key of an issuer, as it signs and as it is published.
struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    jwk: Value,
}

const NOW: i64 = 1_800_000_000;

impl Signer {
    fn new(kind: &'static rcgen::SignatureAlgorithm, algorithm: Algorithm, id: &str) -> Self {
        let der = KeyPair::generate_for(kind).unwrap().serialize_der();
        let key = if algorithm == Algorithm::EdDSA {
            // The library wants the older form of PKCS#8 here, which ours is.
            EncodingKey::from_ed_der(&own_ed25519())
        } else if algorithm == Algorithm::RS256 {
            // And PKCS#1 here: what PKCS#8 of 2048 bits has behind its first 26 bytes.
            EncodingKey::from_rsa_der(&der[26..])
        } else {
            EncodingKey::from_ec_der(&der)
        };
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk["use"] = json!("sig");
        Self { key, algorithm, jwk }
    }

    fn ec(id: &str) -> Self {
        Self::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256, id)
    }

    /// A signature over exactly this header and these claims.
    fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    fn sign_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "typ": "JWT", "kid": self.jwk["kid"] })
    }
}

fn own_ed25519() -> zeroize::Zeroizing<Vec<u8>> {
    claviger_crypto::SigningKey::from_seed(claviger_crypto::Key::generate(&claviger_crypto::Seeded::new(5))).pkcs8_der()
}

fn set(signers: &[&Signer]) -> Keys {
    let jwks: Vec<&Value> = signers.iter().map(|signer| &signer.jwk).collect();
    Keys::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "https://token.example", "aud": "https://vault.example", "sub": "repo:acme/site:ref:refs/heads/main",
        "iat": NOW - 5, "nbf": NOW - 5, "exp": NOW + 300, "repository": "acme/site", "jti": "1",
    })
}

/// All that a login asks of a token, as it asks it.
fn accepted(token: &str, keys: &Keys) -> bool {
    let now = Timestamp::from_second(NOW).unwrap();
    let expected = Expected { issuer: "https://token.example", audience: "https://vault.example", now };
    Token::read(token).is_some_and(|token| {
        token.is_expected(expected)
            && token.is_signed_by(keys)
            && token.says("sub", "repo:acme/site:ref:refs/heads/main")
            && token.says("repository", "acme/site")
    })
}

#[test]
fn every_kind_of_key_verifies_what_it_signed_and_nothing_else() {
    let all = [
        Signer::ec("p256"),
        Signer::new(&rcgen::PKCS_ECDSA_P384_SHA384, Algorithm::ES384, "p384"),
        Signer::new(&rcgen::PKCS_ED25519, Algorithm::EdDSA, "ed"),
        Signer::new(&rcgen::PKCS_RSA_SHA256, Algorithm::RS256, "rsa"),
    ];
    let keys = set(&all.iter().collect::<Vec<_>>());
    for signer in &all {
        assert!(accepted(&signer.sign(&signer.header(), &claims()), &keys), "{}", signer.jwk);
        for other in &all {
            let mut header = signer.header();
            header["kid"] = other.jwk["kid"].clone();
            assert_eq!(accepted(&signer.sign(&header, &claims()), &keys), std::ptr::eq(signer, other));
        }
    }
}

#[test]
fn a_token_that_names_no_key_is_verified_where_there_is_only_one() {
    let (one, two) = (Signer::ec("1"), Signer::ec("2"));
    let token = one.sign(&json!({ "alg": "ES256" }), &claims());
    assert!(accepted(&token, &set(&[&one])));
    assert!(!accepted(&token, &set(&[&one, &two])) && !accepted(&token, &set(&[&two])));
}

/// At least 500 mutants of a good token, signed by the right key wherever a signature can be made: all are refused.
#[test]
fn anvil_jwt_mutants_of_a_workloads_token_are_refused() {
    let (signer, stranger) = (Signer::ec("1"), Signer::ec("1"));
    let other = Signer::ec("2");
    let keys = set(&[&signer, &other]);
    let (header, claims) = (signer.header(), claims());
    let good = signer.sign(&header, &claims);
    assert!(accepted(&good, &keys), "the control is accepted");
    let mut mutants = vec![stranger.sign(&header, &claims), other.sign(&header, &claims)];

    // What a header could say to choose how it is verified.
    for algorithm in
        ["none", "None", "NONE", "HS256", "HS384", "HS512", "ES384", "EdDSA", "RS256", "PS256", "es256", ""]
    {
        let mut changed = header.clone();
        changed["alg"] = json!(algorithm);
        mutants.push(signer.sign(&changed, &claims));
        let unsigned = signer.sign(&changed, &claims);
        mutants.push(format!("{}.", unsigned.rsplit_once('.').unwrap().0));
    }
    // The public key as the secret of an HMAC, in every form in which it is published.
    for secret in [signer.jwk.to_string(), signer.jwk["x"].as_str().unwrap().to_owned(), "1".to_owned(), String::new()]
    {
        let hmac = EncodingKey::from_secret(secret.as_bytes());
        let changed = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::HS256) };
        mutants.push(jsonwebtoken::encode(&changed, &claims, &hmac).unwrap());
    }
    let brought = stranger.jwk.clone();
    for (name, value) in [
        ("jku", json!("https://evil.example/keys")),
        ("jwk", brought),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("kid", json!("3")),
        ("kid", json!("")),
        ("kid", json!("1 ")),
        ("kid", json!("1\u{0}")),
        ("kid", json!("../1")),
        ("kid", json!("1' OR '1'='1")),
        ("kid", json!(1)),
        ("kid", json!(null)),
        ("kid", json!(["1"])),
        ("kid", json!("2")),
        ("typ", json!("at+jwt")),
        ("typ", json!("JWE")),
        ("typ", json!("logout+jwt")),
        ("typ", json!("")),
        ("typ", json!(null)),
        ("typ", json!(["JWT"])),
    ] {
        let mut changed = header.clone();
        changed[name] = value;
        mutants.push(signer.sign(&changed, &claims));
        mutants.push(stranger.sign(&changed, &claims));
    }
    for (name, value) in [
        ("exp", json!("1900000000")),
        ("exp", json!(null)),
        ("exp", json!([NOW + 300])),
        ("exp", json!(1_800_000_300.5)),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("exp", json!(0)),
        ("exp", json!(NOW)),
        ("exp", json!(NOW - 1)),
        ("exp", json!(NOW - 5)),
        ("exp", json!(NOW + LIFE_MAX_SECONDS + 1)),
        ("exp", json!(u64::MAX)),
        ("iat", json!(NOW + 61)),
        ("iat", json!(NOW + 300)),
        ("iat", json!("0")),
        ("iat", json!(null)),
        ("nbf", json!(NOW + 61)),
        ("nbf", json!("0")),
        ("nbf", json!(null)),
        ("iss", json!("https://token.example/")),
        ("iss", json!("https://token.exampl")),
        ("iss", json!("https://token.example.evil.example")),
        ("iss", json!("HTTPS://token.example")),
        ("iss", json!(["https://token.example"])),
        ("iss", json!("")),
        ("iss", json!(null)),
        ("aud", json!("https://vault.example/")),
        ("aud", json!("https://vault.exampl")),
        ("aud", json!(["https://vault.example", "https://other.example"])),
        ("aud", json!(["https://other.example", "https://vault.example"])),
        ("aud", json!([["https://vault.example"]])),
        ("aud", json!([])),
        ("aud", json!({})),
        ("aud", json!("")),
        ("aud", json!(null)),
        ("sub", json!("repo:acme/site:ref:refs/heads/mai")),
        ("sub", json!("repo:acme/site:ref:refs/heads/main2")),
        ("sub", json!("repo:ACME/site:ref:refs/heads/main")),
        ("sub", json!("repo:acme/site:ref:refs/heads/*")),
        ("sub", json!(["repo:acme/site:ref:refs/heads/main"])),
        ("sub", json!(null)),
        ("repository", json!("acme/site2")),
        ("repository", json!(["acme/site"])),
        ("repository", json!({ "acme/site": true })),
        ("repository", json!(null)),
    ] {
        let mut changed = claims.clone();
        changed[name] = value;
        mutants.push(signer.sign(&header, &changed));
    }
    for name in ["exp", "iat", "iss", "aud", "sub", "repository"] {
        let mut changed = claims.clone();
        changed.as_object_mut().unwrap().remove(name);
        mutants.push(signer.sign(&header, &changed));
        // There twice: one reader would take the first, another the last.
        let text = claims.to_string();
        for value in [claims[name].to_string(), json!("evil").to_string()] {
            mutants.push(signer.sign_text(&header.to_string(), &format!("{{\"{name}\":{value},{}", &text[1..])));
        }
    }
    for name in ["alg", "kid", "typ"] {
        let text = header.to_string();
        mutants.push(signer.sign_text(&format!("{{\"{name}\":{},{}", header[name], &text[1..]), &claims.to_string()));
    }
    for at in 0..good.len() {
        for flip in [1_u8, 2] {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= flip;
            mutants.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    mutants.extend([
        String::new(),
        "..".to_owned(),
        format!("{good}."),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}="),
        format!("Bearer {good}"),
    ]);

    assert!(mutants.len() >= 500, "{}", mutants.len());
    for mutant in mutants {
        assert!(!accepted(&mutant, &keys), "accepted: {mutant}");
    }
}

#[test]
fn what_is_no_public_key_for_signatures_is_no_key() {
    let signer = Signer::ec("1");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut jwk = signer.jwk.clone();
        change(&mut jwk);
        Keys::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).err()
    };
    assert_eq!(with(&|_| {}), None);
    assert_eq!(with(&|jwk| jwk["d"] = json!("AAAA")), Some(BadKeys::Secret));
    let secret = json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }] }).to_string();
    assert_eq!(Keys::parse(secret.as_bytes()).err(), Some(BadKeys::Secret));
    for (name, value) in [
        ("use", json!("enc")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("alg", json!("none")),
        ("alg", json!(7)),
        ("kty", json!("oct")),
        ("crv", json!("secp256k1")),
    ] {
        assert_eq!(with(&|jwk| jwk[name] = value.clone()), Some(BadKeys::None), "{name} {value}");
    }
    let short =
        json!({ "keys": [{ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB" }] }).to_string();
    assert_eq!(Keys::parse(short.as_bytes()).err(), Some(BadKeys::None), "1024 bits");
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[{"kty":"EC","kty":"RSA"}]}"#] {
        assert_eq!(Keys::parse(text.as_bytes()).err(), Some(BadKeys::Malformed), "{text}");
    }
    assert_eq!(Keys::parse(br#"{"keys":[]}"#).err(), Some(BadKeys::None));
}
