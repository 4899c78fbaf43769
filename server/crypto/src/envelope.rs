//! The record envelope: how every record of the store is sealed. Layout and known answers: `docs/formats.md`.
//!
//! ```text
//! AAD         = format ‖ suite ‖ scope ‖ table ‖ record ‖ version          each length-prefixed
//! aes ‖ check = HKDF-SHA-256(IKM = key, salt = 32 random bytes, info = AAD)      32 + 32 bytes
//! envelope    = format ‖ suite ‖ salt ‖ check ‖ AES-256-GCM(aes, nonce = 0, plaintext, AAD)
//! ```
//!
//! - Each message has a key of its own, so the nonce is a constant: [HKDF, RFC 5869](https://www.rfc-editor.org/rfc/rfc5869)
//!   with 32 random bytes of salt never makes the same key twice, and there is no limit on messages under one key of the
//!   hierarchy.
//! - AES-GCM ([NIST SP 800-38D](https://doi.org/10.6028/NIST.SP.800-38D)) does not commit to its key: one ciphertext can
//!   be made to open under two. `check` commits to the key and to the place, and is compared first.
//! - Opening goes header, commitment, tag; no plaintext is written before all three have matched.

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use claviger_api::Scope;
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::frame::framed;
use crate::key::{Key, SealingKey};
use crate::random::Random;
use crate::stack;

/// The layout, first byte of an envelope. Never reused; old ones stay readable.
pub const FORMAT: u8 = 1;
/// The algorithms, second byte: HKDF-SHA-256 and AES-256-GCM.
pub const SUITE: u8 = 1;
/// Bytes that an envelope adds to its plaintext.
pub const OVERHEAD_BYTES: usize = 2 + SALT_BYTES + COMMITMENT_BYTES + TAG_BYTES;

const SALT_BYTES: usize = 32;
const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// The full identity of a record, bound into its encryption: sealed here, it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct Aad<'a> {
    /// Whose record.
    pub scope: Scope,
    /// The table's tag.
    pub table: u8,
    /// The record's key within the table.
    pub record: &'a [u8],
    /// The record's version (of a secret) or revision.
    pub version: u64,
}

/// Why an envelope does not open. It says how far opening came, and nothing of what is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or its first byte is of no format that ever was.
    #[error("not a sealed record")]
    NotAnEnvelope,
    /// A format, or an algorithm suite within it, that this version does not know.
    #[error("sealed by a newer version of Claviger (format {format}); upgrade before opening it")]
    NewerFormat {
        /// The format found.
        format: u8,
    },
    /// The commitment differs: sealed under another key, or moved here from another place, or its salt is damaged.
    #[error("sealed under another key or in another place than where it was found")]
    WrongKeyOrPlace,
    /// Key and place are right, and the content is not what was sealed.
    #[error("the sealed record is damaged")]
    Damaged,
}

/// Seals a record under a key, for one place.
pub fn seal(key: &impl SealingKey, aad: &Aad<'_>, plaintext: &[u8], random: &dyn Random) -> Vec<u8> {
    let bound = aad.bytes();
    let mut salt = [0; SALT_BYTES];
    random.fill_public(&mut salt);

    let mut sealed = Vec::with_capacity(OVERHEAD_BYTES + plaintext.len());
    sealed.extend([FORMAT, SUITE]);
    sealed.extend(salt);
    stack::wiped(|| {
        let record_key = RecordKey::derive(key.key(), &salt, &bound);
        sealed.extend(record_key.commitment());
        sealed.extend(record_key.encrypt(&bound, plaintext));
    });
    sealed
}

/// Opens a record that was sealed under this key, for this place.
pub fn open(key: &impl SealingKey, aad: &Aad<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let envelope = Envelope::parse(sealed)?;
    let mut plaintext = Zeroizing::new(vec![0; envelope.ciphertext.len()]);
    envelope.open_into(key.key(), aad, &mut plaintext)?;
    Ok(plaintext)
}

/// Whether a record was sealed under this key, for this place, as far as its commitment says: nothing is decrypted.
pub fn is_under(key: &impl SealingKey, aad: &Aad<'_>, sealed: &[u8]) -> Result<bool, OpenError> {
    let (envelope, bound) = (Envelope::parse(sealed)?, aad.bytes());
    Ok(stack::wiped(|| RecordKey::derive(key.key(), envelope.salt, &bound).commits_to(&envelope)))
}

impl Aad<'_> {
    fn bytes(&self) -> Vec<u8> {
        framed(&[&[FORMAT], &[SUITE], &self.scope.bytes(), &[self.table], self.record, &self.version.to_be_bytes()])
    }
}

/// An envelope whose header is known.
pub(crate) struct Envelope<'a> {
    salt: &'a [u8; SALT_BYTES],
    commitment: &'a [u8; COMMITMENT_BYTES],
    pub(crate) ciphertext: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(sealed: &'a [u8]) -> Result<Self, OpenError> {
        match sealed {
            [FORMAT, SUITE, body @ ..] => Self::split(body).ok_or(OpenError::NotAnEnvelope),
            [] | [0, ..] | [FORMAT] | [FORMAT, 0, ..] => Err(OpenError::NotAnEnvelope),
            [format, ..] => Err(OpenError::NewerFormat { format: *format }),
        }
    }

    fn split(body: &'a [u8]) -> Option<Self> {
        let (salt, body) = body.split_first_chunk()?;
        let (commitment, body) = body.split_first_chunk()?;
        let (ciphertext, tag) = body.split_last_chunk()?;
        Some(Self { salt, commitment, ciphertext, tag })
    }

    /// Writes the plaintext once commitment and tag have matched, and nothing before. `plaintext` is as long as the
    /// ciphertext.
    pub(crate) fn open_into(&self, key: &Key, aad: &Aad<'_>, plaintext: &mut [u8]) -> Result<(), OpenError> {
        let bound = aad.bytes();
        stack::wiped(|| {
            let record_key = RecordKey::derive(key, self.salt, &bound);
            if !record_key.commits_to(self) {
                return Err(OpenError::WrongKeyOrPlace);
            }
            record_key.decrypt_into(&bound, self.ciphertext, self.tag, plaintext).ok_or(OpenError::Damaged)
        })
    }
}

/// The key of one message, and the value that commits to it.
struct RecordKey(Zeroizing<[[u8; 32]; 2]>);

impl RecordKey {
    #[expect(clippy::expect_used, reason = "RFC 5869 gives up to 8160 bytes, and 64 are asked for")]
    fn derive(key: &Key, salt: &[u8; SALT_BYTES], bound: &[u8]) -> Self {
        let mut derived = Zeroizing::new([[0; 32]; 2]);
        let hkdf = Hkdf::<Sha256>::new(Some(salt), key.bytes());
        hkdf.expand(bound, derived.as_flattened_mut()).expect("64 bytes of output");
        Self(derived)
    }

    fn commitment(&self) -> &[u8; COMMITMENT_BYTES] {
        let [_, commitment] = &*self.0;
        commitment
    }

    fn commits_to(&self, envelope: &Envelope<'_>) -> bool {
        self.commitment().ct_eq(envelope.commitment).into()
    }

    fn cipher(&self) -> Aes256Gcm {
        let [aes, _] = &*self.0;
        Aes256Gcm::new(aes.into())
    }

    /// Ciphertext ‖ tag.
    #[expect(clippy::expect_used, reason = "GCM takes up to 64 GiB, and the buffers are made equally long here")]
    fn encrypt(&self, bound: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        sealed.resize(plaintext.len(), 0);
        let both = InOutBuf::new(plaintext, &mut sealed).expect("two buffers of one length");
        let tag = self.cipher().encrypt_inout_detached(&NONCE, bound, both).expect("less than 64 GiB");
        sealed.extend(tag);
        sealed
    }

    /// `None` when the tag does not match; the plaintext is untouched then.
    fn decrypt_into(&self, bound: &[u8], ciphertext: &[u8], tag: &[u8; TAG_BYTES], plaintext: &mut [u8]) -> Option<()> {
        let both = InOutBuf::new(ciphertext, plaintext).ok()?;
        self.cipher().decrypt_inout_detached(&NONCE, bound, both, tag.into()).ok()
    }
}

/// A constant, because each record key encrypts one message.
const NONCE: Nonce<aes_gcm::aead::consts::U12> = aes_gcm::aead::array::Array([0; 12]);

#[cfg(test)]
mod tests {
    use claviger_api::CustomerId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::key::{CustomerKey, OperatorKey};
    use crate::random::Seeded;
    use crate::vectors::{Counting, documented, key_of};

    const ACME: Scope =
        Scope::Customer(CustomerId::from_uuid(Uuid::from_u128(0x0197_a3c2_e1f0_7b1a_8c3d_4e5f_6071_8293)));

    fn place<'a>() -> Aad<'a> {
        Aad { scope: ACME, table: 3, record: b"record", version: 7 }
    }

    fn customer_key() -> CustomerKey {
        key_of(0x01).into()
    }

    fn sealed() -> Vec<u8> {
        seal(&customer_key(), &place(), b"hunter2", &Counting::new())
    }

    #[test]
    fn the_format_is_frozen() {
        documented("bound place", &place().bytes());
        documented("envelope of `hunter2`", &sealed());
        documented("envelope of nothing", &seal(&customer_key(), &place(), b"", &Counting::new()));
        let operators = Aad { scope: Scope::Operator, table: 1, record: b"", version: 0 };
        documented(
            "envelope of the operator",
            &seal(&OperatorKey::from(key_of(0x02)), &operators, b"x", &Counting::new()),
        );
    }

    #[test]
    fn anvil_tamper_every_flipped_bit_is_refused_with_its_reason() {
        let sealed = sealed();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let why = match bit / 8 {
                0 => OpenError::NewerFormat { format: flipped[0] },
                1 => OpenError::NewerFormat { format: 1 },
                2..66 => OpenError::WrongKeyOrPlace,
                _ => OpenError::Damaged,
            };
            // Bit 0 of the first two bytes makes them 0, which no format and no suite is.
            let why = if bit == 0 || bit == 8 { OpenError::NotAnEnvelope } else { why };
            assert_eq!(open(&customer_key(), &place(), &flipped).err(), Some(why), "bit {bit}");
        }
    }

    #[test]
    fn anvil_tamper_every_shortened_or_lengthened_record_is_refused() {
        let sealed = sealed();
        for length in 0..sealed.len() {
            assert!(open(&customer_key(), &place(), &sealed[..length]).is_err(), "{length}");
        }
        assert_eq!(open(&customer_key(), &place(), &[sealed, vec![0]].concat()).err(), Some(OpenError::Damaged));
    }

    #[test]
    fn anvil_tamper_a_record_opens_in_its_own_place_only() {
        let other = Scope::Customer(CustomerId::from_uuid(Uuid::from_u128(1)));
        for elsewhere in [
            Aad { scope: other, ..place() },
            Aad { scope: Scope::Operator, ..place() },
            Aad { table: 4, ..place() },
            Aad { record: b"recorc", ..place() },
            Aad { record: b"recor", ..place() },
            Aad { version: 6, ..place() },
        ] {
            assert_eq!(open(&customer_key(), &elsewhere, &sealed()).err(), Some(OpenError::WrongKeyOrPlace));
            assert_eq!(is_under(&customer_key(), &elsewhere, &sealed()), Ok(false));
        }
        assert_eq!(is_under(&customer_key(), &place(), &sealed()), Ok(true));
        let another_key = CustomerKey::from(key_of(0x02));
        assert_eq!(open(&another_key, &place(), &sealed()).err(), Some(OpenError::WrongKeyOrPlace));
        assert_eq!(is_under(&another_key, &place(), &sealed()), Ok(false));
    }

    #[test]
    fn no_plaintext_is_written_before_the_tag_has_matched() {
        let good = sealed();
        for at in [2, 34, good.len() - 16] {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            let envelope = Envelope::parse(&damaged).ok().unwrap();
            let mut plaintext = *b"untouch";
            assert!(envelope.open_into(customer_key().key(), &place(), &mut plaintext).is_err());
            assert_eq!(&plaintext, b"untouch");
        }
    }

    #[test]
    fn two_seals_of_the_same_record_share_nothing() {
        let random = Seeded::new(1);
        let seal = || seal(&customer_key(), &place(), b"hunter2", &random);
        let (a, b) = (seal(), seal());
        assert_ne!(a[2..34], b[2..34], "salt");
        assert_ne!(a[34..66], b[34..66], "commitment");
        assert_ne!(a[66..73], b[66..73], "ciphertext");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(
            plaintext in prop::collection::vec(any::<u8>(), 0..2048),
            record in prop::collection::vec(any::<u8>(), 0..64),
            (customer, table, version, seed) in any::<(u128, u8, u64, u64)>(),
        ) {
            let scope = Scope::Customer(CustomerId::from_uuid(Uuid::from_u128(customer)));
            let aad = Aad { scope, table, record: &record, version };
            let random = Seeded::new(seed);
            let key = CustomerKey::generate(&random);
            let sealed = seal(&key, &aad, &plaintext, &random);
            prop_assert_eq!(sealed.len(), plaintext.len() + OVERHEAD_BYTES);
            let opened = open(&key, &aad, &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), &plaintext);
        }

        #[test]
        fn two_places_that_differ_are_bound_as_different_bytes(
            a in (any::<u8>(), prop::collection::vec(0_u8..3, 0..6), 0_u64..3),
            b in (any::<u8>(), prop::collection::vec(0_u8..3, 0..6), 0_u64..3),
        ) {
            let bytes = |(table, record, version): &(u8, Vec<u8>, u64)| {
                Aad { scope: ACME, table: *table, record, version: *version }.bytes()
            };
            prop_assert_eq!(bytes(&a) == bytes(&b), a == b);
        }

        #[test]
        fn garbage_never_opens(garbage in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(open(&customer_key(), &place(), &garbage).is_err());
            let headed = [&[FORMAT, SUITE], garbage.as_slice()].concat();
            prop_assert!(open(&customer_key(), &place(), &headed).is_err());
        }
    }
}
