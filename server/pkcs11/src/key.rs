//! Keys on a token: AES of 256 bits, sensitive and not extractable.

use cryptoki::error::Result;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;

/// Bytes of a key: AES-256.
const KEY_BYTES: u64 = 32;

/// Makes one that never was outside of the token and never will be, for nothing but to seal.
pub fn make(session: &Session, label: &str, id: &[u8]) -> Result<ObjectHandle> {
    let template = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Label(label.into()),
        Attribute::Id(id.into()),
    ];
    session.generate_key(&Mechanism::AesKeyGen, &template)
}

/// All that have this label.
pub fn labelled(session: &Session, label: &str) -> Result<Vec<ObjectHandle>> {
    find(session, Attribute::Label(label.into()))
}

/// All that have this id.
pub fn with_id(session: &Session, id: &[u8]) -> Result<Vec<ObjectHandle>> {
    find(session, Attribute::Id(id.into()))
}

fn find(session: &Session, by: Attribute) -> Result<Vec<ObjectHandle>> {
    let aes = [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES), Attribute::Token(true)];
    session.find_objects(&[aes.as_slice(), &[by]].concat())
}

/// The id of a key.
pub fn id(session: &Session, key: ObjectHandle) -> Option<Vec<u8>> {
    let told = session.get_attributes(key, &[AttributeType::Id]).ok()?;
    told.into_iter().find_map(|attribute| if let Attribute::Id(id) = attribute { Some(id) } else { None })
}

/// The id of a key that may seal: AES-256, sensitive, not extractable. Why another may not.
pub fn fit(session: &Session, key: ObjectHandle) -> std::result::Result<Vec<u8>, String> {
    let asked = [AttributeType::Sensitive, AttributeType::Extractable, AttributeType::ValueLen];
    let told = session.get_attributes(key, &asked).map_err(|error| format!("its key cannot be looked at: {error}"))?;
    let is = |wanted: Attribute| told.contains(&wanted);
    if !is(Attribute::Sensitive(true)) || !is(Attribute::Extractable(false)) {
        let why = "its key could leave the token: take one that is sensitive and not extractable (CKA_SENSITIVE, CKA_EXTRACTABLE), \
                   or another key_label, under which the vault makes its own";
        return Err(why.to_owned());
    }
    if !is(Attribute::ValueLen(KEY_BYTES.into())) {
        return Err("its key is not of AES-256: take one of 32 bytes, or another key_label".to_owned());
    }
    id(session, key)
        .filter(|id| !id.is_empty())
        .ok_or_else(|| "its key has no id (CKA_ID): give it one of 1 to 64 bytes".to_owned())
}
