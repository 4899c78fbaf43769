//! Client certificates, and how one is told from every other.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// The most bytes of a subject alternative name.
pub const SAN_MAX: usize = 512;
/// Characters of 32 bytes in base64url.
const BASE64_LENGTH: usize = 43;

/// The SHA-256 of a certificate's DER (RFC 8705, `x5t#S256`), as 43 characters of base64url.
///
/// It is also read as hex, with colons or without, as `openssl x509 -fingerprint -sha256` writes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbprint(pub [u8; 32]);

/// What is wrong with a pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPin {
    /// Not a thumbprint.
    #[error("a certificate's thumbprint is its SHA-256, as 64 hex digits (colons may stand between) or as base64url")]
    Thumbprint,
    /// Not a name.
    #[error(
        "an alternative name is a whole DNS name in lower case, or a URI such as spiffe://acme.example/backup; at most \
         512 visible ASCII characters, and no '*'"
    )]
    Name,
}

/// A certificate that a service account may log in with. Nothing else of a certificate counts, its subject least of all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CertificatePin {
    /// This very certificate.
    Thumbprint(Thumbprint),
    /// Every certificate of the server's `client_ca` that has exactly this DNS name among its alternative names.
    Dns(DnsName),
    /// Every certificate of the server's `client_ca` that has exactly this URI among its alternative names.
    Uri(Uri),
}

/// A DNS name of a certificate, in lower case, without a wildcard.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DnsName(String);

/// A URI of a certificate, byte for byte.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri(String);

impl Thumbprint {
    /// Of a certificate.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl CertificatePin {
    /// The pin of an alternative name: what begins with a scheme and a colon is a URI, all else a DNS name.
    pub fn of_name(text: &str) -> Result<Self, BadPin> {
        if text.contains(':') { text.parse().map(Self::Uri) } else { text.parse().map(Self::Dns) }
    }
}

impl DnsName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Uri {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Thumbprint {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Self, BadPin> {
        let bytes = if text.len() == BASE64_LENGTH {
            URL_SAFE_NO_PAD.decode(text).ok()
        } else {
            let digits: String = if text.contains(':') { text.split(':').collect() } else { text.to_owned() };
            hex::decode(digits).ok()
        };
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(BadPin::Thumbprint)
    }
}

impl FromStr for DnsName {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Self, BadPin> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(letter);
        if text.len() <= 253 && text.split('.').all(label) { Ok(Self(text.to_owned())) } else { Err(BadPin::Name) }
    }
}

impl FromStr for Uri {
    type Err = BadPin;

    fn from_str(text: &str) -> Result<Self, BadPin> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let has_scheme = scheme.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) && scheme.bytes().all(plain);
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
        let fits = has_scheme && visible && text.len() <= SAN_MAX && text.len() > scheme.len() + 1;
        if fits { Ok(Self(text.to_owned())) } else { Err(BadPin::Name) }
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

macro_rules! text_form {
    ($($name:ident, $pattern:literal, $max:expr;)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.to_string())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some($pattern))
                    .min_length(Some(1))
                    .max_length(Some($max))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    )*};
}

text_form! {
    Thumbprint, "^([0-9A-Za-z_-]{43}|[0-9A-Fa-f]{64}|([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})$", 95;
    DnsName, r"^[0-9a-z_-]{1,63}(\.[0-9a-z_-]{1,63})*$", 253;
    Uri, r"^[A-Za-z][A-Za-z0-9+.-]*:[!-)+-~]+$", SAN_MAX;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thumbprint_is_read_as_openssl_and_as_rfc_8705_write_it() {
        let of = Thumbprint([0xab; 32]);
        let colons = vec!["AB"; 32].join(":");
        for text in [of.to_string(), "ab".repeat(32), colons] {
            assert_eq!(text.parse(), Ok(of), "{text}");
        }
        for text in ["", "ab", &"ab".repeat(31), &"ab".repeat(33), &"zz".repeat(32)] {
            assert_eq!(text.parse::<Thumbprint>(), Err(BadPin::Thumbprint), "{text}");
        }
    }

    #[test]
    fn a_name_is_whole_and_has_no_wildcard() {
        for name in ["backup.acme.example", "host"] {
            assert!(matches!(CertificatePin::of_name(name), Ok(CertificatePin::Dns(_))), "{name}");
        }
        for name in ["spiffe://acme.example/backup", "urn:uuid:7"] {
            assert!(matches!(CertificatePin::of_name(name), Ok(CertificatePin::Uri(_))), "{name}");
        }
        for name in
            ["", "*.acme.example", "Backup.acme.example", ".acme", "a b", "spiffe://acme/*", "spiffe:", ":x", "ä.de"]
        {
            assert_eq!(CertificatePin::of_name(name), Err(BadPin::Name), "{name}");
        }
    }
}
