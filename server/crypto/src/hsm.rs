//! A seal key under a key that never leaves a device (an HSM): AES-256-GCM
//! ([NIST SP 800-38D](https://doi.org/10.6028/NIST.SP.800-38D)), done by the device. Layout: `docs/formats.md`.
//!
//! How a device is spoken to is the business of whoever implements [`Hsm`]; here is what is asked of it, and what is stored.

use uuid::Uuid;

use crate::key::{KEY_BYTES, Key, SealKey};
use crate::random::Random;

/// The layout, first byte of an HSM seal.
pub const HSM_SEAL_FORMAT: u8 = 1;
/// AES-256-GCM with a tag of 16 bytes behind the ciphertext, as `CKM_AES_GCM` writes it; second byte of an HSM seal.
pub const HSM_SEAL_SUITE: u8 = 1;
/// Bytes of an initialisation vector: 96 bits, drawn at random for each seal. A key seals a handful of times in its life.
pub const HSM_IV_BYTES: usize = 12;
/// Bytes of a sealed seal key, with its tag.
pub const HSM_SEALED_BYTES: usize = KEY_BYTES + 16;
/// The longest id of a key on a device.
pub const HSM_KEY_ID_MAX: usize = 64;
/// Bytes of the id that the vault gives to a key that it has made.
const NEW_ID_BYTES: usize = 16;
/// Before the rest, so that what is sealed here is nothing else.
const LABEL: &[u8] = b"claviger hsm seal v1";

/// Which of a device's keys shall seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HsmKey<'a> {
    /// The one that has the configured label: the preferred one, where several have; a new one, where none has.
    Labelled {
        /// The id of the one that seals now.
        prefer: Option<&'a [u8]>,
    },
    /// A new one.
    New,
}

/// A device that seals with a key which never leaves it. Its calls block, and may never return.
pub trait Hsm: Send + Sync {
    /// Which device and which of its keys, in words: for the log, and without a secret.
    fn name(&self) -> &str;

    /// Seals a seal key. A key that is made for this gets `new_id`; a device that chooses initialisation vectors itself writes its
    /// own over `iv`. Returns the id of the key that has sealed, and [`HSM_SEALED_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// The device does not answer, or has no key that is sensitive and not extractable.
    fn seal(
        &self,
        which: HsmKey<'_>,
        new_id: &[u8],
        iv: &mut [u8; HSM_IV_BYTES],
        aad: &[u8],
        key: &[u8; KEY_BYTES],
    ) -> Result<(Vec<u8>, Vec<u8>), HsmError>;

    /// Opens what the key of this id has sealed.
    ///
    /// # Errors
    ///
    /// The device does not answer, has no such key, or that one does not open it.
    fn open(
        &self,
        id: &[u8],
        iv: &[u8; HSM_IV_BYTES],
        aad: &[u8],
        sealed: &[u8],
        key: &mut [u8; KEY_BYTES],
    ) -> Result<(), HsmError>;
}

/// Why a device does not do what is asked; the text says what happened and what to do, and holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HsmError {
    /// It is not there, or does not answer. It may be there later.
    #[error("{0}")]
    Unreachable(String),
    /// It refuses the PIN. Asking again may lock it.
    #[error("{0}")]
    Pin(String),
    /// It has no such key.
    #[error("{0}")]
    NoKey(String),
    /// Its key does not open this, or is not fit to seal.
    #[error("{0}")]
    Refused(String),
}

/// A seal key, sealed by a device.
#[derive(Clone, PartialEq, Eq)]
pub struct HsmSeal {
    iv: [u8; HSM_IV_BYTES],
    sealed: [u8; HSM_SEALED_BYTES],
    key_id: Vec<u8>,
}

/// Why an HSM seal cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHsmSeal {
    /// The bytes are none.
    #[error("not an HSM seal; restore the vault's seal record from a backup")]
    NotASeal,
    /// A format or suite that this version does not know.
    #[error("made by a newer version of Claviger (format {format}, suite {suite}); upgrade before opening it")]
    Newer {
        /// The format found.
        format: u8,
        /// The suite found.
        suite: u8,
    },
}

impl HsmSeal {
    /// Has a vault's seal key sealed, and opened again: what the device does not give back seals nothing.
    ///
    /// # Errors
    ///
    /// The device does not answer, or not as it must.
    pub fn new(
        inner: &SealKey,
        vault: Uuid,
        hsm: &dyn Hsm,
        which: HsmKey<'_>,
        random: &dyn Random,
    ) -> Result<Self, HsmError> {
        let (mut iv, mut new_id) = ([0; HSM_IV_BYTES], [0; NEW_ID_BYTES]);
        random.fill(&mut iv);
        random.fill(&mut new_id);
        let (key_id, sealed) = hsm.seal(which, &new_id, &mut iv, &aad(vault), inner.key().bytes())?;
        let wrong = |what: &str| HsmError::Refused(format!("{} {what}: the vault cannot be sealed by it", hsm.name()));
        if key_id.is_empty() || key_id.len() > HSM_KEY_ID_MAX {
            return Err(wrong("has a key whose id is not of 1 to 64 bytes"));
        }
        let sealed = sealed.try_into().map_err(|_| wrong("gives another length than AES-GCM"))?;
        let seal = Self { iv, sealed, key_id };
        if seal.open(vault, hsm)?.check_value() == inner.check_value() {
            Ok(seal)
        } else {
            Err(wrong("does not give back what it has sealed"))
        }
    }

    /// Has it opened. Whether it is the right key, its check value says.
    ///
    /// # Errors
    ///
    /// The device does not answer, or does not open it.
    pub fn open(&self, vault: Uuid, hsm: &dyn Hsm) -> Result<SealKey, HsmError> {
        let key = Key::try_filled(|bytes| hsm.open(&self.key_id, &self.iv, &aad(vault), &self.sealed, bytes))?;
        Ok(SealKey::from(key))
    }

    /// The id of the device's key.
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[HSM_SEAL_FORMAT, HSM_SEAL_SUITE], self.iv.as_slice(), &self.sealed, &self.key_id].concat()
    }

    /// Reads [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadHsmSeal> {
        match bytes {
            [HSM_SEAL_FORMAT, HSM_SEAL_SUITE, body @ ..] => Self::read(body).ok_or(BadHsmSeal::NotASeal),
            [] | [_] | [0, ..] | [_, 0, ..] => Err(BadHsmSeal::NotASeal),
            [format, suite, ..] => Err(BadHsmSeal::Newer { format: *format, suite: *suite }),
        }
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (iv, body) = body.split_first_chunk()?;
        let (sealed, key_id) = body.split_first_chunk()?;
        let fits = (1..=HSM_KEY_ID_MAX).contains(&key_id.len());
        fits.then(|| Self { iv: *iv, sealed: *sealed, key_id: key_id.to_vec() })
    }
}

/// What is bound to the sealed key: what it is, its layout, and whose it is.
fn aad(vault: Uuid) -> Vec<u8> {
    [LABEL, &[HSM_SEAL_FORMAT, HSM_SEAL_SUITE], vault.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::{Aead as _, Payload};
    use aes_gcm::{Aes256Gcm, KeyInit as _};

    use super::*;
    use crate::random::Seeded;
    use crate::vectors::{Counting, documented, key_of};

    /// AES-256-GCM as the standard says, with a key of equal bytes.
    struct Soft(u8);

    impl Soft {
        fn cipher(&self) -> Aes256Gcm {
            Aes256Gcm::new(&[self.0; 32].into())
        }
    }

    impl Hsm for Soft {
        fn name(&self) -> &'static str {
            "a device of this test"
        }

        fn seal(
            &self,
            _: HsmKey<'_>,
            new_id: &[u8],
            iv: &mut [u8; HSM_IV_BYTES],
            aad: &[u8],
            key: &[u8; KEY_BYTES],
        ) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
            let sealed = self.cipher().encrypt(&(*iv).into(), Payload { msg: key, aad }).unwrap();
            Ok((new_id.to_vec(), sealed))
        }

        fn open(
            &self,
            _: &[u8],
            iv: &[u8; HSM_IV_BYTES],
            aad: &[u8],
            sealed: &[u8],
            key: &mut [u8; KEY_BYTES],
        ) -> Result<(), HsmError> {
            let opened = self.cipher().decrypt(&(*iv).into(), Payload { msg: sealed, aad });
            key.copy_from_slice(&opened.map_err(|_| HsmError::Refused("not this key".to_owned()))?);
            Ok(())
        }
    }

    const NEW: HsmKey<'static> = HsmKey::New;
    const VAULT: Uuid = Uuid::from_u128(0x1122_3344_5566_7788_99aa_bbcc_ddee_ff00);

    #[test]
    fn the_device_opens_what_it_sealed_for_this_vault_alone() {
        let random = Seeded::new(1);
        let inner = SealKey::generate(&random);
        let seal = HsmSeal::new(&inner, VAULT, &Soft(2), NEW, &random).unwrap();
        let read = HsmSeal::from_bytes(&seal.to_bytes()).ok().unwrap();
        assert_eq!(read.open(VAULT, &Soft(2)).unwrap().check_value(), inner.check_value());
        let refused = HsmError::Refused("not this key".to_owned());
        assert_eq!(read.open(Uuid::from_u128(1), &Soft(2)).err(), Some(refused.clone()), "another vault's");
        assert_eq!(read.open(VAULT, &Soft(3)).err(), Some(refused), "another key");
    }

    #[test]
    fn a_seal_altered_in_any_field_does_not_open() {
        let random = Seeded::new(1);
        let seal = HsmSeal::new(&SealKey::generate(&random), VAULT, &Soft(2), NEW, &random).unwrap();
        let bytes = seal.to_bytes();
        for at in 2..2 + HSM_IV_BYTES + HSM_SEALED_BYTES {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let read = HsmSeal::from_bytes(&altered).ok().unwrap();
            assert!(matches!(read.open(VAULT, &Soft(2)), Err(HsmError::Refused(_))), "byte {at}");
        }
        let newer = |format, suite| HsmSeal::from_bytes(&[&[format, suite], &bytes[2..]].concat()).err();
        assert_eq!(newer(2, 1), Some(BadHsmSeal::Newer { format: 2, suite: 1 }));
        assert_eq!(newer(1, 2), Some(BadHsmSeal::Newer { format: 1, suite: 2 }));
        assert_eq!(newer(0, 1), Some(BadHsmSeal::NotASeal));
        let long = [bytes.as_slice(), &[0; HSM_KEY_ID_MAX]].concat();
        for wrong in [&bytes[..0], &bytes[..1], &bytes[..62], &long] {
            assert_eq!(HsmSeal::from_bytes(wrong).err(), Some(BadHsmSeal::NotASeal), "{} bytes", wrong.len());
        }
    }

    /// A device that writes zeros, say, would be found out at the next start, when it is too late.
    #[test]
    fn a_device_that_does_not_give_back_what_it_sealed_seals_nothing() {
        struct Forgetful;
        impl Hsm for Forgetful {
            fn name(&self) -> &'static str {
                "a device that forgets"
            }

            fn seal(
                &self,
                which: HsmKey<'_>,
                new_id: &[u8],
                iv: &mut [u8; HSM_IV_BYTES],
                aad: &[u8],
                _: &[u8; KEY_BYTES],
            ) -> Result<(Vec<u8>, Vec<u8>), HsmError> {
                Soft(2).seal(which, new_id, iv, aad, &[0; KEY_BYTES])
            }

            fn open(
                &self,
                id: &[u8],
                iv: &[u8; HSM_IV_BYTES],
                aad: &[u8],
                sealed: &[u8],
                key: &mut [u8; KEY_BYTES],
            ) -> Result<(), HsmError> {
                Soft(2).open(id, iv, aad, sealed, key)
            }
        }
        let random = Seeded::new(1);
        let sealed = HsmSeal::new(&SealKey::generate(&random), VAULT, &Forgetful, NEW, &random);
        assert!(matches!(sealed.err(), Some(HsmError::Refused(_))));
    }

    #[test]
    fn the_format_is_frozen() {
        let seal = HsmSeal::new(&key_of(0x01).into(), VAULT, &Soft(2), NEW, &Counting::new()).unwrap();
        documented("HSM seal", &seal.to_bytes());
    }
}
