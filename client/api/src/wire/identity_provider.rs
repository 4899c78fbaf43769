//! `/v1/identity-providers`: who may sign people in (OpenID Connect Core 1.0), and `/v1/users/{name}/sign-ons`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::HttpsUrl;
use crate::secret::Disclosed;
use crate::{Part, Timestamp};

/// The most characters of a subject (OpenID Connect Core 1.0 §2).
pub const SUBJECT_MAX: usize = 255;
/// The most scopes, and the most values of `acr` or `amr`, of one identity provider.
pub const DEMANDS_MAX: usize = 20;
/// Where a provider sends a browser back to, behind the vault's address.
pub const SIGN_ON_CALLBACK: &str = "/v1/auth/oidc/callback";

/// `POST /v1/identity-providers`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewIdentityProvider {
    /// What the vault calls it, unique among identity providers; people type it to log in.
    pub name: Part,
    /// The customer whose own provider this is: it signs in that customer's own users and nobody else. Absent for the
    /// MSP's, which signs in the MSP's people and nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Part>,
    /// The claim `iss` of its tokens, exactly. It describes itself at `ISSUER/.well-known/openid-configuration`. It cannot
    /// be changed: people are linked by it.
    pub issuer: HttpsUrl,
    /// What it calls this vault.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 512))]
    pub client_id: String,
    /// How the vault proves to it that it is this client; absent where it is a public client. Never shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Disclosed>,
    /// The vault as browsers reach it. What is registered at the provider is this and `/v1/auth/oidc/callback`.
    pub address: BrowserAddress,
    /// Scopes to ask for besides `openid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub scopes: Vec<String>,
    /// One of these must be the claim `acr`; any or none will do when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub acr: Vec<String>,
    /// All of these must be in the claim `amr` (RFC 8176).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub amr: Vec<String>,
    /// Whether a second factor that the provider says to have checked within the last five minutes counts as the vault's.
    /// Never by device code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trusts_mfa: bool,
    /// Whether people may sign on by device code (RFC 8628), for machines without a browser. Such codes can be phished.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device_code: bool,
    /// The CA of its certificate in PEM; those that the machine trusts when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
}

/// `PATCH /v1/identity-providers/{provider}`. What is absent stays.
#[derive(Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeIdentityProvider {
    /// Whether it may sign people in. When it no longer may, every session of everybody linked to it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What it calls this vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 512))]
    pub client_id: Option<String>,
    /// The new secret of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Disclosed>,
    /// The vault as browsers reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<BrowserAddress>,
    /// Scopes to ask for besides `openid`, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub scopes: Option<Vec<String>>,
    /// One of these must be the claim `acr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub acr: Option<Vec<String>>,
    /// All of these must be in the claim `amr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 20))]
    pub amr: Option<Vec<String>>,
    /// Whether a second factor that the provider checked counts as the vault's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusts_mfa: Option<bool>,
    /// Whether people may sign on by device code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_code: Option<bool>,
    /// The CA of its certificate in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
}

/// An identity provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(clippy::struct_excessive_bools, reason = "a view of what was said yes or no to, each on its own")]
pub struct IdentityProvider {
    /// What the vault calls it.
    pub name: Part,
    /// The customer whose own provider this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<Part>,
    /// Whether it may sign people in.
    pub enabled: bool,
    /// The claim `iss` of its tokens.
    pub issuer: HttpsUrl,
    /// What it calls this vault.
    pub client_id: String,
    /// Whether the vault has a secret for it.
    pub has_client_secret: bool,
    /// What is to be registered at the provider.
    pub redirect_uri: String,
    /// Scopes besides `openid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// One of these must be the claim `acr`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
    /// All of these must be in the claim `amr`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// Whether a second factor that the provider checked counts as the vault's.
    pub trusts_mfa: bool,
    /// Whether people may sign on by device code.
    pub device_code: bool,
    /// The CA of its certificate in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// `POST /v1/users/{name}/sign-ons`: for a user who was never enrolled, and so has nothing to lose by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSignOn {
    /// The identity provider.
    pub provider: Part,
    /// What the provider calls the person: the claim `sub`, exactly. Never an e-mail address that people can change.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
    pub subject: String,
}

/// `POST /v1/users/{name}/actions/invite-sign-on`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct InviteSignOn {
    /// The identity provider.
    pub provider: Part,
}

/// What an invitation shows once.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignOnInvitation {
    /// The identity provider.
    pub provider: Part,
    /// `cvl_…`: good once, for this user alone, in a session with a fresh second factor.
    pub invitation: Disclosed,
    /// After this it is good for nothing.
    pub invitation_expires_at: Timestamp,
}

/// By what a user can sign on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignOn {
    /// The identity provider.
    pub provider: Part,
    /// What the provider calls the person.
    pub subject: String,
    /// When they were linked.
    pub linked_at: Timestamp,
}

/// What is wrong with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the vault's address is https://HOST[:PORT], without a path; http only of 127.0.0.1 or localhost")]
pub struct BadAddress;

/// The vault as browsers reach it: `https://HOST[:PORT]`, or `http` on the machine itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BrowserAddress(String);

impl BrowserAddress {
    /// What a provider sends browsers back to.
    pub fn redirect_uri(&self) -> String {
        format!("{}{SIGN_ON_CALLBACK}", self.0)
    }
}

impl FromStr for BrowserAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let plain = text.strip_prefix("http://").map(|rest| format!("https://{rest}"));
        let url: HttpsUrl = plain.as_deref().unwrap_or(text).parse().map_err(|_| BadAddress)?;
        let local = ["127.0.0.1", "localhost"].contains(&url.host_and_port().0);
        let bare = url.path() == "/" && !text.ends_with('/');
        if bare && (plain.is_none() || local) { Ok(Self(text.to_owned())) } else { Err(BadAddress) }
    }
}

impl fmt::Display for BrowserAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for BrowserAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BrowserAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for BrowserAddress {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some(r"^https://[0-9A-Za-z._-]+(:[1-9][0-9]{0,3})?$"))
            .max_length(Some(super::CLAIM_MAX))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for BrowserAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_reach_the_vault_by_https_or_on_the_machine_itself() {
        for text in ["https://vault.example", "https://vault.example:8200", "http://127.0.0.1:8200", "http://localhost"]
        {
            let address: BrowserAddress = text.parse().unwrap();
            assert_eq!(address.redirect_uri(), format!("{text}/v1/auth/oidc/callback"));
        }
        for text in [
            "",
            "vault.example",
            "https://vault.example/",
            "https://vault.example/x",
            "https://a@vault.example",
            "http://vault.example",
            "http://127.0.0.1.example",
            "http://10.0.0.1",
            "http://localhost/",
        ] {
            assert_eq!(text.parse::<BrowserAddress>(), Err(BadAddress), "{text}");
        }
    }
}
