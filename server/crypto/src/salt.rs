//! The salts of an audit entry's fields, from one seed: its key stream, 32 bytes a field.
//!
//! ```text
//! salt(i) = bytes 32·i to 32·i + 31 of ChaCha20(key = seed, nonce = 0, counter from 0)      (RFC 8439 §2.4)
//! ```
//! A seed is used for one leaf alone, so that the nonce is a constant. Whoever is shown one salt learns nothing of the others.

use rand::rngs::ChaCha20Rng;
use rand::{Rng as _, SeedableRng as _};

/// The salts of this seed, in their order.
pub fn of_seed(seed: &[u8; 32]) -> impl Iterator<Item = [u8; 32]> + use<> {
    let mut stream = ChaCha20Rng::from_seed(*seed);
    std::iter::repeat_with(move || {
        let mut salt = [0; 32];
        stream.fill_bytes(&mut salt);
        salt
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439, appendix A.1, vectors 1 and 2: the key stream of zeros.
    #[test]
    fn they_are_the_key_stream_of_chacha20() {
        let salts: Vec<String> = of_seed(&[0; 32]).take(4).map(hex::encode).collect();
        let stream = [
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
            "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
            "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed",
            "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
        ];
        assert_eq!(salts, stream);
    }

    #[test]
    fn no_two_are_alike() {
        let mut salts: Vec<_> = of_seed(&[1; 32]).take(64).chain(of_seed(&[2; 32]).take(64)).collect();
        salts.sort_unstable();
        salts.dedup();
        assert_eq!(salts.len(), 128);
    }
}
