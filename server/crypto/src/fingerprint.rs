//! Fingerprints of secrets: the same password used twice is found without decrypting anyone's.

use claviger_api::Secret;

use crate::frame::mac;
use crate::key::FingerprintKey;

impl FingerprintKey {
    /// `HMAC-SHA-256(fingerprint key, secret)`, the secret length-prefixed. Equal secrets have equal fingerprints,
    /// whoever's they are; without the key a fingerprint cannot be guessed at.
    pub fn of(&self, secret: &Secret) -> [u8; 32] {
        mac(self.key(), &[secret.expose().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{documented, key_of, secret};

    #[test]
    fn equal_secrets_and_only_they_have_equal_fingerprints() {
        let key = FingerprintKey::from(key_of(1));
        assert_eq!(key.of(&secret("hunter2")), key.of(&secret("hunter2")));
        assert_ne!(key.of(&secret("hunter2")), key.of(&secret("hunter3")));
        assert_ne!(key.of(&secret("hunter2")), FingerprintKey::from(key_of(2)).of(&secret("hunter2")));
        documented("fingerprint of `hunter2`", &key.of(&secret("hunter2")));
    }
}
