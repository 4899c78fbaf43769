//! What a PostgreSQL keeps of its roles' passwords, and whether a password is the one: told without a login, of which a busy
//! server would log thousands.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its system cannot go on")]

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::postgres::Postgres;

/// The verifier of each role, as PostgreSQL has it.
pub async fn verifiers(postgres: &Postgres) -> BTreeMap<String, String> {
    let rows = postgres.admin_client().await;
    let rows =
        rows.query("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Whether a password is the one of a verifier, `SCRAM-SHA-256$iterations:salt$stored key:server key` (RFC 5803).
///
/// # Panics
/// When the verifier is not one.
pub fn opens(verifier: &str, password: &str) -> bool {
    let rest = verifier.strip_prefix("SCRAM-SHA-256$").unwrap();
    let (cost, keys) = rest.split_once('$').unwrap();
    let (iterations, salt) = cost.split_once(':').unwrap();
    let mut salted = [0; digest::SHA256_OUTPUT_LEN];
    let salt = STANDARD.decode(salt).unwrap();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations.parse().unwrap(), &salt, password.as_bytes(), &mut salted);
    let client_key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), b"Client Key");
    let stored = digest::digest(&digest::SHA256, client_key.as_ref());
    keys.split_once(':').unwrap().0 == STANDARD.encode(stored)
}
