//! One unambiguous string of bytes from several: each part behind its length, so that no two lists read the same.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::key::Key;
use crate::stack;

/// `len(part) as u32, big-endian ‖ part`, one after another.
pub(crate) fn framed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| LENGTH_BYTES + part.len()).sum());
    for part in parts {
        bytes.extend(length(part));
        bytes.extend(*part);
    }
    bytes
}

/// HMAC-SHA-256 ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)) of the framed parts.
pub(crate) fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    stack::wiped(|| {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(key.bytes()).expect("a key of any length");
        for part in parts {
            mac.update(&length(part));
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    })
}

const LENGTH_BYTES: usize = 4;

#[expect(clippy::expect_used, reason = "names, keys and secrets are bounded at the edge, far below 4 GiB")]
fn length(part: &[u8]) -> [u8; LENGTH_BYTES] {
    u32::try_from(part.len()).expect("a part is shorter than 4 GiB").to_be_bytes()
}
