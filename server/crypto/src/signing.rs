//! Ed25519 signatures ([RFC 8032](https://www.rfc-editor.org/rfc/rfc8032)): checkpoints of the audit log, session tokens.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::key::{KEY_BYTES, Key};
use crate::stack;

/// The DER before the seed in a PKCS#8 private key of Ed25519, version 1
/// ([RFC 8410, section 7](https://www.rfc-editor.org/rfc/rfc8410#section-7)).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A signing key. Its seed stays in locked memory; the expanded key lives for one signature, unless it is [kept](Self::expanded).
pub struct SigningKey {
    seed: Key,
    public: [u8; 32],
    expanded: Option<Ed25519KeyPair>,
}

impl SigningKey {
    /// The key of this seed.
    #[expect(clippy::expect_used, reason = "RFC 8032 public keys have 32 bytes")]
    pub fn from_seed(seed: Key) -> Self {
        let public = stack::wiped(|| key_pair(&seed).public_key().as_ref().try_into().expect("32 bytes"));
        Self { seed, public, expanded: None }
    }

    /// The same key, for one that signs all the time: expanding it costs as much as a signature. What is kept is wiped when it is
    /// dropped, and is not in locked memory.
    #[must_use]
    pub fn expanded(self) -> Self {
        let expanded = stack::wiped(|| key_pair(&self.seed));
        Self { expanded: Some(expanded), ..self }
    }

    /// Signs a message: 64 bytes, R ‖ S.
    #[expect(clippy::expect_used, reason = "RFC 8032 signatures have 64 bytes")]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let by = |pair: &Ed25519KeyPair| pair.sign(message).as_ref().try_into().expect("64 bytes");
        stack::wiped(|| self.expanded.as_ref().map_or_else(|| by(&key_pair(&self.seed)), by))
    }

    /// The public key, for who verifies.
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// The seed, for wrapping it under another key.
    pub fn seed(&self) -> &Key {
        &self.seed
    }

    /// The private key as PKCS#8, for libraries that sign by themselves. They keep a copy outside locked memory: prefer
    /// [`Self::sign`].
    pub fn pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        let mut der = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + KEY_BYTES));
        der.extend(PKCS8_PREFIX);
        der.extend(self.seed.bytes());
        der
    }
}

#[expect(clippy::expect_used, reason = "every 32 bytes are an Ed25519 seed")]
fn key_pair(seed: &Key) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.bytes()).expect("a seed of 32 bytes")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};

    use super::*;

    fn key(seed: &str) -> SigningKey {
        SigningKey::from_seed(Key::filled(|bytes| hex::decode_to_slice(seed, bytes).unwrap()))
    }

    #[test]
    fn it_signs_as_rfc_8032_section_7_1_says() {
        let key = key("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
        assert_eq!(hex::encode(key.public_key()), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert_eq!(
            hex::encode(key.sign(&[0x72])),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn a_key_that_is_kept_expanded_signs_the_same() {
        let (once, kept) = (key(&"01".repeat(32)), key(&"01".repeat(32)).expanded());
        assert_eq!(kept.public_key(), once.public_key());
        for message in [b"".as_slice(), b"checkpoint", &[7; 300]] {
            assert_eq!(kept.sign(message), once.sign(message));
        }
    }

    #[test]
    fn another_message_or_key_does_not_verify() {
        let (key, other) = (key(&"01".repeat(32)), key(&"02".repeat(32)));
        let signature = key.sign(b"checkpoint");
        let verify =
            |public: [u8; 32], message: &[u8]| UnparsedPublicKey::new(&ED25519, public).verify(message, &signature);
        assert!(verify(key.public_key(), b"checkpoint").is_ok());
        assert!(verify(key.public_key(), b"checkpoins").is_err());
        assert!(verify(other.public_key(), b"checkpoint").is_err());
    }

    #[test]
    fn jsonwebtoken_takes_the_der_and_the_public_key() {
        let key = key(&"01".repeat(32));
        let claims = std::collections::BTreeMap::from([("sub", "someone")]);
        let encoding = EncodingKey::from_ed_der(&key.pkcs8_der());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &encoding).unwrap();

        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        let decoding = DecodingKey::from_ed_der(&key.public_key());
        let read = jsonwebtoken::decode::<std::collections::BTreeMap<String, String>>(&token, &decoding, &validation);
        assert_eq!(read.unwrap().claims["sub"], "someone");

        let (message, _) = token.rsplit_once('.').unwrap();
        let by_hand = data_encoding::BASE64URL_NOPAD.encode(&key.sign(message.as_bytes()));
        assert_eq!(token, format!("{message}.{by_hand}"), "a token can be signed without the DER");
    }
}
