//! The keys of SSH servers and clients, as OpenSSH writes them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::conditions::text_form;

/// What the fingerprint of a key begins with.
const FINGERPRINT: &str = "SHA256:";
/// The longest text form: an RSA key of 16,384 bits.
const KEY_CHARS_MAX: usize = 4096;

/// A server's key: `ssh-ed25519 AAAA…`, as in `/etc/ssh/ssh_host_ed25519_key.pub`, or its fingerprint `SHA256:…`. What
/// follows the key is a comment and is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostKey {
    /// The key itself.
    Key(SshKey),
    /// SHA-256 of the key.
    Fingerprint([u8; 32]),
}

/// A public key of SSH, never a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshKey {
    algorithm: &'static str,
    blob: Vec<u8>,
}

/// What is wrong with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSshKey {
    /// Neither form.
    #[error("a key is e.g. 'ssh-ed25519 AAAA…', as in a file *.pub of OpenSSH")]
    Form,
    /// One of the algorithms that this vault does not take.
    #[error("the key is none of ssh-ed25519, ecdsa-sha2-nistp256, -384, -521 and ssh-rsa")]
    Algorithm,
    /// A certificate where a key is wanted.
    #[error("that is a certificate, not a key")]
    Certificate,
    /// Not the fingerprint of a key.
    #[error("a host key is e.g. 'ssh-ed25519 AAAA…', or its fingerprint SHA256:… of 43 characters")]
    Fingerprint,
}

/// The algorithms of keys. What signs with RSA signs with SHA-2, whatever its key is called.
const ALGORITHMS: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];
/// What the names of certificates end with.
const OF_CERTIFICATES: &str = "-cert-v01@openssh.com";

impl SshKey {
    /// The algorithm, e.g. `ssh-ed25519`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The key as it is on the wire (RFC 4253, section 6.6).
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// SHA-256 of the key.
    pub fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(&self.blob).into()
    }
}

impl FromStr for SshKey {
    type Err = BadSshKey;

    fn from_str(text: &str) -> Result<Self, BadSshKey> {
        let text = text.trim();
        let mut words = text.split_ascii_whitespace();
        let (Some(named), Some(base64)) = (words.next(), words.next()) else { return Err(BadSshKey::Form) };
        if text.len() > KEY_CHARS_MAX || text.contains(['\n', '\r', '\0']) {
            return Err(BadSshKey::Form);
        }
        let blob = STANDARD.decode(base64).map_err(|_| BadSshKey::Form)?;
        let inside = first_string(&blob).ok_or(BadSshKey::Form)?;
        if [named.as_bytes(), inside].iter().any(|name| name.ends_with(OF_CERTIFICATES.as_bytes())) {
            return Err(BadSshKey::Certificate);
        }
        let algorithm = ALGORITHMS.into_iter().find(|known| *known == named).ok_or(BadSshKey::Algorithm)?;
        if inside == algorithm.as_bytes() { Ok(Self { algorithm, blob }) } else { Err(BadSshKey::Form) }
    }
}

/// The first length-prefixed string of a blob: the name of its algorithm.
fn first_string(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

impl fmt::Display for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl HostKey {
    /// Whether this is the key that a server has shown.
    pub fn is(&self, shown: &SshKey) -> bool {
        match self {
            Self::Key(key) => key == shown,
            Self::Fingerprint(fingerprint) => *fingerprint == shown.fingerprint(),
        }
    }
}

impl FromStr for HostKey {
    type Err = BadSshKey;

    fn from_str(text: &str) -> Result<Self, BadSshKey> {
        let Some(fingerprint) = text.trim().strip_prefix(FINGERPRINT) else { return text.parse().map(Self::Key) };
        let bytes = STANDARD_NO_PAD.decode(fingerprint).map_err(|_| BadSshKey::Fingerprint)?;
        bytes.try_into().map(Self::Fingerprint).map_err(|_| BadSshKey::Fingerprint)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Fingerprint(fingerprint) => f.write_str(&fingerprint_text(fingerprint)),
        }
    }
}

/// A fingerprint as OpenSSH shows it: `SHA256:` and 43 characters of base 64.
pub fn fingerprint_text(fingerprint: &[u8; 32]) -> String {
    format!("{FINGERPRINT}{}", STANDARD_NO_PAD.encode(fingerprint))
}

text_form!(HostKey, r"^(SHA256:[A-Za-z0-9+/]{43}|[a-z0-9-]+ [A-Za-z0-9+/=]+( .*)?)$", 4096);
text_form!(SshKey, r"^[a-z0-9-]+ [A-Za-z0-9+/=]+( .*)?$", 4096);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const CERTIFICATE: &str =
        "ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQtdjAxQG9wZW5zc2guY29tAAAAIA==";

    #[test]
    fn a_key_has_one_form_and_its_fingerprint_is_openssh_s() {
        let key: SshKey = format!("{KEY} root@web01").parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        let pinned: HostKey = fingerprint_text(&key.fingerprint()).parse().unwrap();
        // As `ssh-keygen -l` says.
        assert_eq!(pinned.to_string(), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
        assert!(pinned.is(&key) && HostKey::Key(key.clone()).is(&key));
        let other = KEY.replace("LM+rv", "LM+rw").parse().unwrap();
        assert!(!pinned.is(&other) && !HostKey::Key(key).is(&other));
    }

    #[test]
    fn anvil_ssh_principals_a_certificate_is_no_key() {
        assert_eq!(CERTIFICATE.parse::<SshKey>(), Err(BadSshKey::Certificate));
        // The same certificate under a key's name: what is inside counts too.
        let dressed = CERTIFICATE.replace("-cert-v01@openssh.com ", " ");
        assert_eq!(dressed.parse::<SshKey>(), Err(BadSshKey::Certificate));
        assert_eq!(dressed.parse::<HostKey>(), Err(BadSshKey::Certificate));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5", "ssh-ed25519 !!!!", "ssh-ed25519 AAAA", "SHA256:short"] {
            assert!(bad.parse::<HostKey>().is_err(), "{bad}");
        }
        let another = KEY.replacen("ssh-ed25519", "ssh-rsa", 1);
        assert_eq!(another.parse::<SshKey>(), Err(BadSshKey::Form), "the name outside is the name inside");
        assert_eq!("ssh-dss AAAAB3NzaC1kc3M=".parse::<SshKey>(), Err(BadSshKey::Algorithm));
        assert!(format!("{KEY}\nssh-rsa AAAA").parse::<SshKey>().is_err(), "one key, one line");
    }
}
