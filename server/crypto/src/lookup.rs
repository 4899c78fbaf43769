//! Index keys of names: the store finds `acme` without holding the word.

use claviger_api::Scope;

use crate::frame::mac;
use crate::key::LookupKey;

impl LookupKey {
    /// `HMAC-SHA-256(lookup key, scope ‖ table ‖ name)`, each part length-prefixed: the index key of a name in one table
    /// of one customer. The same name elsewhere has another.
    pub fn index(&self, table: u8, scope: Scope, name: &[u8]) -> [u8; 32] {
        mac(self.key(), &[&scope.bytes(), &[table], name])
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::CustomerId;
    use uuid::Uuid;

    use super::*;
    use crate::vectors::{documented, key_of};

    #[test]
    fn a_name_has_one_index_a_place() {
        let key = LookupKey::from(key_of(1));
        let customer = |n| Scope::Customer(CustomerId::from_uuid(Uuid::from_u128(n)));
        let here = key.index(1, customer(1), b"acme");
        assert_eq!(here, key.index(1, customer(1), b"acme"));
        for elsewhere in [
            key.index(2, customer(1), b"acme"),
            key.index(1, customer(2), b"acme"),
            key.index(1, Scope::Operator, b"acme"),
            key.index(1, customer(1), b"acm"),
            LookupKey::from(key_of(2)).index(1, customer(1), b"acme"),
        ] {
            assert_ne!(here, elsewhere);
        }
    }

    #[test]
    fn the_index_of_a_name_is_frozen() {
        let customer =
            Scope::Customer(CustomerId::from_uuid(Uuid::from_u128(0x0197_a3c2_e1f0_7b1a_8c3d_4e5f_6071_8293)));
        documented("index of `acme`", &LookupKey::from(key_of(0x01)).index(3, customer, b"acme"));
    }
}
