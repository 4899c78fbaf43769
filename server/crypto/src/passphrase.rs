//! A seal key under a passphrase: Argon2id ([RFC 9106](https://www.rfc-editor.org/rfc/rfc9106)) makes a key of it, and
//! that key seals the seal key in the [`crate::envelope`]. Layout: `docs/formats.md`.

use claviger_api::{Scope, Secret};

use crate::argon::{Argon, Cost, SALT_BYTES};
use crate::envelope::{Aad, OVERHEAD_BYTES, OpenError};
use crate::key::{KEY_BYTES, Key, SealKey, SealingKey, sealed};
use crate::random::Random;
use crate::wrap::{unwrap, wrap};

/// Memory of one guess, in KiB: 64 MiB, with three passes and four lanes the second recommended choice of RFC 9106,
/// section 4. The first (2 GiB) does not fit beside a server. About 130 ms here.
pub const PASSPHRASE_MEMORY_KIB: u32 = 64 * 1024;
/// Passes over the memory.
pub const PASSPHRASE_PASSES: u32 = 3;
/// Lanes.
pub const PASSPHRASE_LANES: u32 = 4;
/// The layout, first byte of a passphrase seal.
pub const PASSPHRASE_FORMAT: u8 = 1;

const COST: Cost = Cost { memory_kib: PASSPHRASE_MEMORY_KIB, passes: PASSPHRASE_PASSES, lanes: PASSPHRASE_LANES };
const HEADER_BYTES: usize = 1 + 3 * 4 + SALT_BYTES;
const SEALED_BYTES: usize = OVERHEAD_BYTES + KEY_BYTES;

/// A seal key, sealed under a passphrase. The cost at which it was made is stored with it.
#[derive(Clone, PartialEq, Eq)]
pub struct PassphraseSeal {
    cost: Cost,
    salt: [u8; SALT_BYTES],
    sealed: [u8; SEALED_BYTES],
}

/// Why a passphrase seal cannot be read or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// The bytes are none, or ask for a cost that this vault does not spend.
    #[error("not a passphrase seal; restore the vault's seal record from a backup")]
    NotASeal,
    /// A format that this version does not know.
    #[error("made by a newer version of Claviger (format {format}); upgrade before opening it")]
    NewerFormat {
        /// The format found.
        format: u8,
    },
    /// It was sealed under another passphrase, or its salt or cost is damaged.
    #[error("this is not the passphrase")]
    WrongPassphrase,
    /// The passphrase is right, and the seal key in it is not what was sealed.
    #[error("the passphrase seal is damaged; restore the vault's seal record from a backup")]
    Damaged,
}

impl PassphraseSeal {
    /// Seals a seal key at today's cost.
    #[expect(clippy::expect_used, reason = "today's cost is a constant and an envelope has a known length; tested")]
    pub fn new(inner: &SealKey, passphrase: &Secret, random: &dyn Random) -> Self {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt);
        let key = PassphraseKey::derive(COST.check().expect("today's cost"), passphrase, &salt);
        let sealed = wrap(&key, &place(&header(COST, &salt)), inner.key(), random);
        Self { cost: COST, salt, sealed: sealed.try_into().expect("an envelope of one key") }
    }

    /// Opens it.
    pub fn open(&self, passphrase: &Secret) -> Result<SealKey, PassphraseError> {
        let argon = self.cost.check().map_err(|_| PassphraseError::NotASeal)?;
        let key = PassphraseKey::derive(argon, passphrase, &self.salt);
        match unwrap(&key, &place(&header(self.cost, &self.salt)), &self.sealed) {
            Ok(inner) => Ok(inner.into()),
            Err(OpenError::WrongKeyOrPlace) => Err(PassphraseError::WrongPassphrase),
            Err(OpenError::NewerFormat { format }) => Err(PassphraseError::NewerFormat { format }),
            Err(OpenError::NotAnEnvelope | OpenError::Damaged) => Err(PassphraseError::Damaged),
        }
    }

    /// The bytes to store.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = header(self.cost, &self.salt).to_vec();
        bytes.extend(self.sealed);
        bytes
    }

    /// Reads [`Self::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PassphraseError> {
        match bytes {
            [PASSPHRASE_FORMAT, body @ ..] => Self::read(body).ok_or(PassphraseError::NotASeal),
            [] | [0, ..] => Err(PassphraseError::NotASeal),
            [format, ..] => Err(PassphraseError::NewerFormat { format: *format }),
        }
    }

    fn read(body: &[u8]) -> Option<Self> {
        let (memory_kib, body) = number(body)?;
        let (passes, body) = number(body)?;
        let (lanes, body) = number(body)?;
        let (salt, body) = body.split_first_chunk()?;
        let cost = Cost { memory_kib, passes, lanes };
        cost.check().ok()?;
        Some(Self { cost, salt: *salt, sealed: body.try_into().ok()? })
    }
}

/// What Argon2id makes of a passphrase.
struct PassphraseKey(Key);

impl PassphraseKey {
    fn derive(argon: Argon, passphrase: &Secret, salt: &[u8; SALT_BYTES]) -> Self {
        Self(Key::filled(|bytes| argon.derive(passphrase, salt, bytes)))
    }
}

impl sealed::Sealed for PassphraseKey {}

impl SealingKey for PassphraseKey {
    fn key(&self) -> &Key {
        &self.0
    }
}

/// Format, cost and salt: stored in clear, and bound into the envelope.
fn header(cost: Cost, salt: &[u8; SALT_BYTES]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let parts: [&[u8]; 5] = [
        &[PASSPHRASE_FORMAT],
        &cost.memory_kib.to_be_bytes(),
        &cost.passes.to_be_bytes(),
        &cost.lanes.to_be_bytes(),
        salt,
    ];
    for (byte, part) in header.iter_mut().zip(parts.into_iter().flatten()) {
        *byte = *part;
    }
    header
}

/// Where the seal key is sealed: in no table (tables begin at 1), under its header.
fn place(header: &[u8; HEADER_BYTES]) -> Aad<'_> {
    Aad { scope: Scope::Operator, table: 0, record: header, version: 0 }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::vectors::{Counting, documented, key_of, secret};

    #[test]
    fn the_passphrase_opens_it_and_another_does_not() {
        let random = Seeded::new(1);
        let inner = SealKey::generate(&random);
        let seal = PassphraseSeal::new(&inner, &secret("correct horse battery staple"), &random);
        let read = PassphraseSeal::from_bytes(&seal.to_bytes()).unwrap();

        let opened = read.open(&secret("correct horse battery staple")).ok().unwrap();
        assert!(opened.key().bytes() == inner.key().bytes());
        assert_eq!(read.open(&secret("correct horse battery stable")).err(), Some(PassphraseError::WrongPassphrase));
    }

    #[test]
    fn a_seal_altered_in_any_field_does_not_open() {
        let random = Seeded::new(1);
        let passphrase = secret("correct horse battery staple");
        let bytes = PassphraseSeal::new(&SealKey::generate(&random), &passphrase, &random).to_bytes();
        let altered = |at: usize, mask: u8| {
            let mut bytes = bytes.clone();
            bytes[at] ^= mask;
            PassphraseSeal::from_bytes(&bytes).and_then(|seal| seal.open(&passphrase)).err()
        };
        assert_eq!(altered(0, 1), Some(PassphraseError::NotASeal));
        assert_eq!(altered(0, 3), Some(PassphraseError::NewerFormat { format: 2 }));
        let greedy = [&bytes[..1], &[0x80], &bytes[2..]].concat();
        assert_eq!(PassphraseSeal::from_bytes(&greedy).err(), Some(PassphraseError::NotASeal), "2 TiB of memory");
        assert_eq!(altered(3, 0x01), Some(PassphraseError::WrongPassphrase), "another cost");
        assert_eq!(altered(13, 0x01), Some(PassphraseError::WrongPassphrase), "another salt");
        assert_eq!(altered(bytes.len() - 1, 0x01), Some(PassphraseError::Damaged), "another tag");
        for short in [0, 1, 29, bytes.len() - 1] {
            assert_eq!(PassphraseSeal::from_bytes(&bytes[..short]).err(), Some(PassphraseError::NotASeal));
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let seal = PassphraseSeal::new(&key_of(0x01).into(), &secret("correct horse battery staple"), &Counting::new());
        documented("passphrase seal", &seal.to_bytes());
    }
}
