//! SSH certificates of users
//! ([PROTOCOL.certkeys](https://cvsweb.openbsd.org/cgi-bin/cvsweb/src/usr.bin/ssh/PROTOCOL.certkeys)) and the lists that
//! revoke them ([PROTOCOL.krl](https://cvsweb.openbsd.org/cgi-bin/cvsweb/src/usr.bin/ssh/PROTOCOL.krl)).
//!
//! An authority is a [`SigningKey`]: its seed stays in locked memory, and ssh-key only ever sees what it has signed.

use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, Ed25519PrivateKey, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, Signature};
use zeroize::Zeroizing;

use crate::{Random, SigningKey};

/// Bytes of a certificate's nonce: it keeps whoever chooses the rest from choosing what is signed.
const NONCE_BYTES: usize = 32;
/// RSA keys of fewer bits are refused.
const RSA_BITS_MIN: u32 = 2048;

/// What a certificate says.
pub struct UserCertificate<'a> {
    /// The key that it is for, as it is on the wire.
    pub key: &'a [u8],
    /// Its number, unique under its authority.
    pub serial: u64,
    /// What the host writes into its log.
    pub key_id: &'a str,
    /// Whom it is good for, at least one.
    pub principals: &'a [String],
    /// From when it is good, Unix seconds.
    pub valid_after: u64,
    /// From when it is good no more, Unix seconds.
    pub valid_before: u64,
    /// What a host must heed or refuse, e.g. `source-address`.
    pub critical_options: &'a [(&'static str, String)],
    /// What it lets its holder do, e.g. `permit-pty`.
    pub extensions: &'a [&'static str],
}

/// Why nothing was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// What was to be certified is no public key, but perhaps a certificate.
    #[error("what is to be signed is a plain public key: ssh-ed25519, ecdsa-sha2-nistp256, -384, -521, or ssh-rsa")]
    NoKey,
    /// A key that is too short.
    #[error("an RSA key has at least 2048 bits; better an Ed25519 key")]
    Weak,
    /// A certificate for nobody is one for everybody, and a wildcard too.
    #[error("a certificate is for at least one principal, and for none that stands for several")]
    Principals,
    /// Its end is before its start, or another field cannot be.
    #[error("the certificate cannot be made")]
    Fields,
}

/// Signs a certificate; OpenSSH's text form, on one line.
pub fn sign(authority: &SigningKey, wanted: &UserCertificate<'_>, random: &dyn Random) -> Result<String, NotSigned> {
    let stands_for_several = |name: &String| name.is_empty() || name.contains(['*', '?', '!', ',']);
    if wanted.principals.is_empty() || wanted.principals.iter().any(stands_for_several) {
        return Err(NotSigned::Principals);
    }
    let mut nonce = vec![0; NONCE_BYTES];
    random.fill(&mut nonce);
    let key = key_of(wanted.key)?;
    let build = || {
        let mut builder = Builder::new(nonce, key, wanted.valid_after, wanted.valid_before)?;
        builder.serial(wanted.serial)?.cert_type(CertType::User)?.key_id(wanted.key_id)?;
        for principal in wanted.principals {
            builder.valid_principal(principal)?;
        }
        for (name, value) in wanted.critical_options {
            builder.critical_option(*name, value)?;
        }
        for name in wanted.extensions {
            builder.extension(*name, "")?;
        }
        builder.sign(&Authority(authority))?.to_openssh()
    };
    build().map_err(|_: ssh_key::Error| NotSigned::Fields)
}

/// A key that can be certified: never a certificate, and never one that is too weak.
fn key_of(blob: &[u8]) -> Result<KeyData, NotSigned> {
    let key = PublicKey::from_bytes(blob).map_err(|_| NotSigned::NoKey)?;
    match key.key_data() {
        KeyData::Rsa(rsa) if rsa.key_size() < RSA_BITS_MIN => Err(NotSigned::Weak),
        KeyData::Ed25519(_) | KeyData::Ecdsa(_) | KeyData::Rsa(_) => Ok(key.key_data().clone()),
        // Keys on devices, which this version does not take, certificates, and what ssh-key learns later.
        KeyData::SkEcdsaSha2NistP256(_) | KeyData::SkEd25519(_) | KeyData::Certificate(_) | KeyData::Other(_) | _ => {
            Err(NotSigned::NoKey)
        }
    }
}

/// A public key of Ed25519 in OpenSSH's text form, on one line.
pub fn public_text(key: &[u8; 32]) -> String {
    PublicKey::from(Ed25519PublicKey(*key)).to_openssh().unwrap_or_default()
}

/// A public key of Ed25519 as it is on the wire: its name and its 32 bytes, length-prefixed (RFC 8709).
pub fn public_blob(key: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(51);
    put_string(&mut blob, b"ssh-ed25519");
    put_string(&mut blob, key);
    blob
}

/// A key pair in OpenSSH's text form, for a client that signs by itself. It is outside locked memory: only for keys that
/// are good for nothing but a try, and for those that are accounts' secrets, as passwords are.
pub fn private_text(key: &SigningKey) -> Option<Zeroizing<String>> {
    let seed = Zeroizing::new(*key.seed().bytes());
    let pair = Ed25519Keypair::from(Ed25519PrivateKey::from_bytes(&seed));
    PrivateKey::new(KeypairData::Ed25519(pair), "claviger").ok()?.to_openssh(LineEnding::LF).ok()
}

/// An authority, as ssh-key asks for signatures.
struct Authority<'a>(&'a SigningKey);

impl signature::Signer<Signature> for Authority<'_> {
    fn try_sign(&self, message: &[u8]) -> Result<Signature, signature::Error> {
        Signature::new(Algorithm::Ed25519, self.0.sign(message).to_vec()).map_err(signature::Error::from)
    }
}

impl From<&Authority<'_>> for KeyData {
    fn from(authority: &Authority<'_>) -> Self {
        Self::Ed25519(Ed25519PublicKey(authority.0.public_key()))
    }
}

/// `SSHKRL\n\0`.
const KRL_MAGIC: u64 = 0x5353_484b_524c_0a00;
const KRL_FORMAT: u32 = 1;
const KRL_CERTIFICATES: u8 = 1;
const KRL_SERIAL_RANGE: u8 = 0x21;

/// A list of revoked certificates of one authority, by their serial numbers, both ends counted. Hosts may ignore what it
/// says about others. `made_at` is Unix seconds; later lists replace earlier ones.
pub fn revocation_list(authority: &[u8; 32], serials: &[(u64, u64)], made_at: u64) -> Vec<u8> {
    let mut list = Vec::new();
    list.extend(KRL_MAGIC.to_be_bytes());
    list.extend(KRL_FORMAT.to_be_bytes());
    list.extend(made_at.to_be_bytes()); // the list's own number
    list.extend(made_at.to_be_bytes());
    list.extend(0_u64.to_be_bytes()); // flags
    put_string(&mut list, b""); // reserved
    put_string(&mut list, b"claviger");
    if serials.is_empty() {
        return list;
    }
    let mut section = Vec::new();
    put_string(&mut section, &public_blob(authority));
    put_string(&mut section, b""); // reserved
    for (first, last) in serials {
        section.push(KRL_SERIAL_RANGE);
        put_string(&mut section, &[first.to_be_bytes(), last.to_be_bytes()].concat());
    }
    list.push(KRL_CERTIFICATES);
    put_string(&mut list, &section);
    list
}

/// A length-prefixed string (RFC 4251, section 5).
fn put_string(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    to.extend(length.to_be_bytes());
    to.extend(bytes);
}

#[cfg(test)]
mod tests {
    use ssh_key::{Certificate, HashAlg};

    use super::*;
    use crate::{Key, Seeded};

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_seed(Key::filled(|bytes| bytes.fill(byte)))
    }

    fn wanted<'a>(key: &'a [u8], principals: &'a [String]) -> UserCertificate<'a> {
        UserCertificate {
            key,
            serial: 7,
            key_id: "co_1 anna",
            principals,
            valid_after: 1_000,
            valid_before: 2_000,
            critical_options: &[],
            extensions: &["permit-pty"],
        }
    }

    #[test]
    fn a_certificate_says_what_was_asked_for_and_verifies_under_its_authority() {
        let (authority, holder, names) = (key(1), public_blob(&key(2).public_key()), ["root".to_owned()]);
        let options = [("source-address", "192.0.2.0/24".to_owned()), ("force-command", "id".to_owned())];
        let all = UserCertificate { critical_options: &options, ..wanted(&holder, &names) };
        let text = sign(&authority, &all, &Seeded::new(1)).unwrap();
        let certificate = Certificate::from_openssh(&text).unwrap();
        let trusted = PublicKey::from_openssh(&public_text(&authority.public_key())).unwrap();
        certificate.validate_at(1_500, [&trusted.fingerprint(HashAlg::default())]).unwrap();
        assert!(certificate.validate_at(2_000, [&trusted.fingerprint(HashAlg::default())]).is_err(), "its end");
        assert_eq!((certificate.serial(), certificate.key_id()), (7, "co_1 anna"));
        assert_eq!(certificate.valid_principals(), names);
        assert_eq!(certificate.critical_options().get("force-command").map(String::as_str), Some("id"));
        assert_eq!(certificate.extensions().keys().map(String::as_str).collect::<Vec<_>>(), ["permit-pty"]);
        assert_eq!(certificate.public_key(), &key_of(&holder).unwrap());
    }

    #[test]
    fn anvil_ssh_principals_nobody_and_everybody_get_no_certificate() {
        let holder = public_blob(&key(2).public_key());
        for names in [&[][..], &[String::new()], &["*".to_owned()], &["root".to_owned(), "a?".to_owned()]] {
            assert_eq!(
                sign(&key(1), &wanted(&holder, names), &Seeded::new(1)),
                Err(NotSigned::Principals),
                "{names:?}"
            );
        }
    }

    #[test]
    fn anvil_ssh_principals_a_certificate_is_never_certified_as_a_key() {
        let (holder, names) = (public_blob(&key(2).public_key()), ["root".to_owned()]);
        let text = sign(&key(1), &wanted(&holder, &names), &Seeded::new(1)).unwrap();
        let certificate = Certificate::from_openssh(&text).unwrap().to_bytes().unwrap();
        assert_eq!(sign(&key(1), &wanted(&certificate, &names), &Seeded::new(1)), Err(NotSigned::NoKey));
        for bad in [&[][..], b"x", &holder[..40], &[&holder[..], b"more"].concat()] {
            assert_eq!(sign(&key(1), &wanted(bad, &names), &Seeded::new(1)), Err(NotSigned::NoKey));
        }
    }

    #[test]
    fn a_list_has_openssh_s_layout() {
        let list = revocation_list(&key(1).public_key(), &[(7, 9)], 0x0102);
        assert!(list.starts_with(b"SSHKRL\n\0\0\0\0\x01\0\0\0\0\0\0\x01\x02"));
        let range = [&[0x21, 0, 0, 0, 16][..], &7_u64.to_be_bytes(), &9_u64.to_be_bytes()].concat();
        assert!(list.ends_with(&range));
        assert!(!revocation_list(&key(1).public_key(), &[], 1).contains(&KRL_SERIAL_RANGE));
    }
}
