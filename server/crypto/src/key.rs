//! Keys: 32 random bytes in locked memory, and a type for each purpose, so that no key can do another's work.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::memory::Slot;
use crate::random::Random;
use crate::stack;

/// Bytes in a key: 256 bits.
pub const KEY_BYTES: usize = 32;

/// The label under which a root key's check value is derived.
const ROOT_CHECK: &[u8] = b"claviger root key check v1";

/// 32 secret bytes in locked pages, wiped when dropped.
///
/// It cannot be shown, written, copied or compared:
///
/// ```compile_fail
/// fn shows<T: std::fmt::Debug>() {}
/// shows::<claviger_crypto::Key>();
/// ```
/// ```compile_fail
/// fn prints<T: std::fmt::Display>() {}
/// prints::<claviger_crypto::Key>();
/// ```
/// ```compile_fail
/// fn copies<T: Clone>() {}
/// copies::<claviger_crypto::Key>();
/// ```
/// ```compile_fail
/// fn compares<T: PartialEq>() {}
/// compares::<claviger_crypto::Key>();
/// ```
/// ```compile_fail
/// fn bytes(key: &claviger_crypto::Key) -> &[u8; 32] { key.bytes() }
/// ```
pub struct Key(Slot);

impl Key {
    /// A new key.
    pub fn generate(random: &dyn Random) -> Self {
        Self::filled(|bytes| random.fill(bytes))
    }

    /// A key written in place, so that no copy of it is left elsewhere.
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; KEY_BYTES])) -> Self {
        let mut slot = Slot::new();
        fill(slot.bytes_mut());
        Self(slot)
    }

    /// As [`Self::filled`], where the filling can fail.
    pub(crate) fn try_filled<E>(fill: impl FnOnce(&mut [u8; KEY_BYTES]) -> Result<(), E>) -> Result<Self, E> {
        let mut slot = Slot::new();
        fill(slot.bytes_mut())?;
        Ok(Self(slot))
    }

    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        self.0.bytes()
    }
}

/// A key that seals records or wraps other keys: seal, root, operator, customer, subject, archive and sign-on keys, and no other.
///
/// ```compile_fail
/// fn seals<T: claviger_crypto::SealingKey>() {}
/// seals::<claviger_crypto::FreshnessKey>();
/// ```
/// ```
/// fn seals<T: claviger_crypto::SealingKey>() {}
/// seals::<claviger_crypto::CustomerKey>();
/// ```
pub trait SealingKey: sealed::Sealed {
    /// The key itself.
    fn key(&self) -> &Key;
}

pub(crate) mod sealed {
    /// Keeps [`super::SealingKey`] to the keys of this crate: anyone else could make a lookup key seal.
    pub trait Sealed {}
}

macro_rules! purposes {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        pub struct $name(Key);

        impl $name {
            /// A new key of this purpose.
            pub fn generate(random: &dyn Random) -> Self {
                Self(Key::generate(random))
            }

            /// The key itself, for wrapping it under another.
            pub fn key(&self) -> &Key {
                &self.0
            }
        }

        /// For a key that was just unwrapped from where keys of this purpose are kept.
        impl From<Key> for $name {
            fn from(key: Key) -> Self {
                Self(key)
            }
        }
    )*};
}

macro_rules! sealing {
    ($($name:ident),*) => {$(
        impl sealed::Sealed for $name {}

        impl SealingKey for $name {
            fn key(&self) -> &Key {
                &self.0
            }
        }
    )*};
}

purposes! {
    /// Wraps the root key in the store. Outside as shares, under a passphrase or in an HSM; in memory while the vault is
    /// unsealed, so that a new root key can be wrapped without them.
    SealKey;
    /// Wraps all the others. In memory only while the vault is unsealed.
    RootKey;
    /// Seals what is the operator's: users, grants, signing keys, the operator log.
    OperatorKey;
    /// Makes index keys of names, so that the store holds no customer's name in clear. See [`crate::lookup`].
    LookupKey;
    /// Finds the same password used twice without decrypting anyone's. See [`crate::fingerprint`].
    FingerprintKey;
    /// Finds an old row put back, or a row deleted. See [`crate::freshness`].
    FreshnessKey;
    /// Seals one customer's records.
    CustomerKey;
    /// Seals the personal fields of one person's audit events; erasing it erases them.
    SubjectKey;
    /// Seals the entries in one archive of a log, so that the file does not depend on the customer's key of its day.
    ArchiveKey;
    /// Seals what a sign-on carries through a browser from one request to the next. New at each unseal and never stored.
    SignOnKey;
}

sealing!(SealKey, RootKey, OperatorKey, CustomerKey, SubjectKey, ArchiveKey, SignOnKey);

impl SealKey {
    /// What is stored, in clear, to tell the right seal key from a wrong one: HKDF-Expand
    /// ([RFC 5869](https://www.rfc-editor.org/rfc/rfc5869#section-2.3)) of the seal key under a label of its own. It
    /// says nothing about the key to who does not have it.
    #[expect(clippy::expect_used, reason = "RFC 5869 asks for 32 bytes of key and at most 8160 bytes of output")]
    pub fn check_value(&self) -> [u8; 32] {
        let mut check = [0; 32];
        stack::wiped(|| {
            let hkdf = Hkdf::<Sha256>::from_prk(self.0.bytes()).expect("a key of 32 bytes");
            hkdf.expand(ROOT_CHECK, &mut check).expect("an output of 32 bytes");
        });
        check
    }

    /// The root key of a vault from before root keys were wrapped: there the two are the same bytes.
    pub fn as_root(&self) -> RootKey {
        RootKey(Key::filled(|bytes| bytes.copy_from_slice(self.0.bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{documented, key_of};

    #[test]
    fn the_check_value_of_a_seal_key_is_frozen() {
        let key = SealKey::from(key_of(0x01));
        documented("seal key check", &key.check_value());
    }
}
