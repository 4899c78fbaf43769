//! `/v1/issuers`: who may vouch for programs, by signed tokens (JWT, RFC 7519).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Part, Timestamp};

/// The most characters of an issuer, an audience, a subject, or a claim's value.
pub const CLAIM_MAX: usize = 512;
/// The most claims of one workload.
pub const CLAIMS_MAX: usize = 20;
/// The most bytes of a key set that is pasted in or fetched.
pub const JWKS_MAX: usize = 256 * 1024;

/// `POST /v1/issuers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewIssuer {
    /// What the vault calls it, unique among issuers.
    pub name: Part,
    /// The claim `iss` of its tokens, exactly.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 512))]
    pub issuer: String,
    /// The claim `aud` of its tokens, exactly, and the only one: name this vault there, and nothing else's.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 512))]
    pub audience: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum IssuerKeys {
    /// From this key set, until another is given: for an issuer that the vault cannot reach.
    Document {
        /// A JSON Web Key Set (RFC 7517), public keys alone.
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        jwks: serde_json::Value,
    },
    /// From this address.
    Url {
        /// Of a JSON Web Key Set.
        url: HttpsUrl,
        /// The CA of its certificate in PEM; those that the machine trusts when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
    },
    /// From the address in `ISSUER/.well-known/openid-configuration` (OpenID Connect Discovery); `issuer` is then an
    /// `https` address.
    Discovery {
        /// The CA of both certificates in PEM; those that the machine trusts when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
    },
}

/// `PATCH /v1/issuers/{issuer}`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeIssuer {
    /// Where its keys come from; those before are trusted no more, at once.
    pub keys: IssuerKeys,
}

/// An issuer that is trusted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issuer {
    /// What the vault calls it.
    pub name: Part,
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// The claim `aud` of its tokens.
    pub audience: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Whose tokens let a service account in: those that say exactly this. Either the subject or a claim is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// The trusted issuer, by its name in the vault.
    pub issuer: Part,
    /// The claim `sub`, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 512))]
    pub subject: Option<String>,
    /// Claims that are texts, by their names, exactly.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, String>,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address is https://HOST[:PORT]/PATH of at most 512 visible ASCII characters, without a user, '?' or '#'")]
pub struct BadUrl;

/// `https://HOST[:PORT]/PATH`. The host is a name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpsUrl(String);

impl HttpsUrl {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host, without brackets, and port.
    pub fn host_and_port(&self) -> (&str, u16) {
        let authority = self.parts().0;
        let (host, port) = split_port(authority).unwrap_or((authority, None));
        (host.trim_start_matches('[').trim_end_matches(']'), port.unwrap_or(HTTPS_PORT))
    }

    /// Host and port as they are written, for the `Host` header.
    pub fn authority(&self) -> &str {
        self.parts().0
    }

    /// What follows host and port: at least `/`.
    pub fn path(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let rest = self.0.strip_prefix(SCHEME).unwrap_or(&self.0);
        rest.find('/').map_or((rest, "/"), |at| rest.split_at(at))
    }
}

const SCHEME: &str = "https://";
const HTTPS_PORT: u16 = 443;

/// `host`, `host:port`, `[v6]` or `[v6]:port`.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let end_of_host = if authority.starts_with('[') {
        authority.find(']')? + 1
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at_checked(end_of_host)?;
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port.parse().ok().filter(|port| *port != 0)?))),
        None => rest.is_empty().then_some((host, None)),
    }
}

impl FromStr for HttpsUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let url = Self(text.to_owned());
        let visible = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@' | b'\\'));
        let host = split_port(url.parts().0).is_some_and(|(host, _)| {
            let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
                Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
                None => !host.is_empty() && host.bytes().all(name),
            }
        });
        let fits = text.starts_with(SCHEME) && text.len() <= CLAIM_MAX && visible && host;
        if fits { Ok(url) } else { Err(BadUrl) }
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for HttpsUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HttpsUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for HttpsUrl {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(r"^https://[0-9A-Za-z._-]+(:[1-9][0-9]{0,3})?(/[0-9A-Za-z/._~-]*)?$"))
            .max_length(Some(CLAIM_MAX))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for HttpsUrl {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_and_names_its_host_once() {
        for (text, host, port, path) in [
            ("https://token.example", "token.example", 443, "/"),
            ("https://token.example:8443/keys", "token.example", 8443, "/keys"),
            ("https://192.0.2.1/a/b", "192.0.2.1", 443, "/a/b"),
            ("https://[2001:db8::1]:8443/", "2001:db8::1", 8443, "/"),
        ] {
            let url: HttpsUrl = text.parse().unwrap();
            assert_eq!((url.host_and_port(), url.path()), ((host, port), path));
        }
        for text in [
            "",
            "http://a.example",
            "https://",
            "https:///x",
            "https://a@b.example",
            "https://a.example:0",
            "https://a.example:x",
            "https://a.example:70000",
            "https://a.example/?x",
            "https://a.example/#x",
            "https://a b.example",
            "https://[::1",
            "https://[zz]/",
            "https://a.example\\@b.example",
            "HTTPS://a.example",
            "https://a.example\n",
            "https://ä.example",
        ] {
            assert_eq!(text.parse::<HttpsUrl>(), Err(BadUrl), "{text}");
        }
    }
}
