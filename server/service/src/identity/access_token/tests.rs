use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;
use claviger_crypto::{Key, Seeded};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

struct Issuer {
    key: SigningKey,
    tokens: AccessTokens,
}

fn issuer() -> Issuer {
    let key = SigningKey::from_seed(Key::generate(&Seeded::new(1)));
    let tokens = AccessTokens::new(&key, "vault.msp.example").unwrap();
    Issuer { key, tokens }
}

fn session() -> SessionId {
    SessionId::from_uuid(Uuid::from_u128(7))
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn good(issuer: &Issuer) -> String {
    let until = NOW + jiff::SignedDuration::from_hours(1);
    issuer.tokens.issue("pr_1", session(), until, None, NOW).unwrap().0.expose().to_owned()
}

fn signed(issuer: &Issuer, header: &Value, body: &Value) -> String {
    let message = format!("{}.{}", B64.encode(header.to_string()), B64.encode(body.to_string()));
    let signature = issuer.key.sign(message.as_bytes());
    format!("{message}.{}", B64.encode(signature))
}

fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| B64.decode(part).unwrap());
    let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (json(), json())
}

#[test]
fn a_token_names_its_session_and_lives_fifteen_minutes_at_most() {
    let issuer = issuer();
    let claims = issuer.tokens.verify(&good(&issuer)).unwrap();
    assert_eq!(claims.session(), session());
    let at = |seconds| NOW + jiff::SignedDuration::from_secs(seconds);
    assert!(claims.is_live(at(899)) && !claims.is_live(at(900)));
    let short = issuer.tokens.issue("pr_1", session(), at(60), None, NOW).unwrap();
    assert_eq!(short.1, 60, "never longer than its session");
}

/// At least 500 mutants of a good token, each signed by the right key where a signature can be made: all are refused.
#[test]
fn anvil_jwt_mutants() {
    let issuer = issuer();
    let token = good(&issuer);
    let (header, body) = parts(&token);
    assert!(issuer.tokens.verify(&signed(&issuer, &header, &body)).is_some(), "the control is accepted");
    let mut mutants = Vec::new();

    for alg in ["none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", ""] {
        let mut other = header.clone();
        other["alg"] = json!(alg);
        let resigned = signed(&issuer, &other, &body);
        mutants.push(resigned.rsplit_once('.').map(|(message, _)| format!("{message}.")).unwrap());
        mutants.push(resigned);
    }
    for (name, value) in [
        ("typ", json!("JWT")),
        ("typ", json!(null)),
        ("typ", json!("at+JWT ")),
        ("kid", json!("1")),
        ("kid", json!("../../key")),
        ("jku", json!("https://evil.example/jwks")),
    ] {
        let mut other = header.clone();
        other[name] = value;
        mutants.push(signed(&issuer, &other, &body));
    }
    let far = 9_999_999_999_i64;
    for (name, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(null)),
        ("exp", json!([far])),
        ("exp", json!(1e300)),
        ("exp", json!(-1)),
        ("iss", json!("vault.msp.example.evil")),
        ("iss", json!("vault.msp")),
        ("iss", json!(["vault.msp.example"])),
        ("iss", json!("")),
        ("iss", json!(null)),
        ("aud", json!("clavige")),
        ("aud", json!("claviger2")),
        ("aud", json!("claviger ")),
        ("aud", json!(null)),
        ("aud", json!({})),
        ("sid", json!("")),
        ("sid", json!(7)),
        ("sid", json!("pr_00000000000000000000000000000007")),
        ("sub", json!(null)),
        ("admin", json!(true)),
        ("nbf", json!(0)),
    ] {
        let mut other = body.clone();
        other[name] = value;
        mutants.push(signed(&issuer, &header, &other));
    }
    for name in ["exp", "iss", "aud", "sub", "sid", "iat"] {
        let mut other = body.clone();
        other.as_object_mut().unwrap().remove(name);
        mutants.push(signed(&issuer, &header, &other));
    }
    for at in 0..token.len() {
        for flip in [1_u8, 2] {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= flip;
            mutants.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    let other_key = Issuer { key: SigningKey::from_seed(Key::generate(&Seeded::new(2))), ..self::issuer() };
    mutants.push(signed(&other_key, &header, &body));
    mutants.extend([
        String::new(),
        ".".into(),
        "..".into(),
        format!("{token}."),
        format!(" {token}"),
        format!("{token} "),
    ]);

    assert!(mutants.len() >= 500, "{}", mutants.len());
    for mutant in mutants {
        assert!(issuer.tokens.verify(&mutant).is_none(), "accepted: {mutant}");
    }
}
