//! Keys under keys: a key is wrapped as a record of 32 bytes, in the [`crate::envelope`], and bound to its place in the
//! same way. What opens goes straight into a locked slot.

use crate::envelope::{Aad, Envelope, OpenError, seal};
use crate::key::{KEY_BYTES, Key, SealingKey};
use crate::random::Random;

/// Wraps a key for one place.
pub fn wrap(outer: &impl SealingKey, aad: &Aad<'_>, inner: &Key, random: &dyn Random) -> Vec<u8> {
    seal(outer, aad, inner.bytes(), random)
}

/// Unwraps a key that was wrapped under this key, for this place. Its purpose is named by what the caller makes of it
/// (`CustomerKey::from(…)`); the table in the place keeps purposes apart.
pub fn unwrap(outer: &impl SealingKey, aad: &Aad<'_>, sealed: &[u8]) -> Result<Key, OpenError> {
    let envelope = Envelope::parse(sealed)?;
    if envelope.ciphertext.len() != KEY_BYTES {
        return Err(OpenError::NotAnEnvelope);
    }
    Key::try_filled(|bytes| envelope.open_into(outer.key(), aad, bytes))
}

#[cfg(test)]
mod tests {
    use claviger_api::Scope;

    use super::*;
    use crate::key::{CustomerKey, OperatorKey, RootKey};
    use crate::random::Seeded;
    use crate::vectors::{Counting, documented, key_of};

    const PLACE: Aad<'_> = Aad { scope: Scope::Operator, table: 2, record: b"key", version: 1 };

    #[test]
    fn a_key_comes_back_as_itself_and_only_from_its_place() {
        let random = Seeded::new(1);
        let (root, customer) = (RootKey::generate(&random), CustomerKey::generate(&random));
        let wrapped = wrap(&root, &PLACE, customer.key(), &random);

        let back = CustomerKey::from(unwrap(&root, &PLACE, &wrapped).ok().unwrap());
        assert!(back.key().bytes() == customer.key().bytes());
        let elsewhere = Aad { version: 2, ..PLACE };
        assert_eq!(unwrap(&root, &elsewhere, &wrapped).err(), Some(OpenError::WrongKeyOrPlace));
        let other = OperatorKey::generate(&random);
        assert_eq!(unwrap(&other, &PLACE, &wrapped).err(), Some(OpenError::WrongKeyOrPlace));
    }

    #[test]
    fn a_record_that_is_no_key_is_not_taken_for_one() {
        let random = Seeded::new(1);
        let root = RootKey::generate(&random);
        for length in [0, 31, 33] {
            let record = seal(&root, &PLACE, &vec![1; length], &random);
            assert_eq!(unwrap(&root, &PLACE, &record).err(), Some(OpenError::NotAnEnvelope), "{length} bytes");
        }
    }

    #[test]
    fn the_format_is_frozen() {
        let wrapped = wrap(&RootKey::from(key_of(0x01)), &PLACE, &key_of(0x02), &Counting::new());
        documented("wrapped key", &wrapped);
    }
}
