//! SSH certificates: what an account's certificates say, the signing of one, and what was revoked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::conditions::text_form;
use super::{Checkout, LogReceipt, Network, SystemSpec};
use crate::{Login, Timestamp};

/// The most principals of a certificate.
pub const PRINCIPALS_MAX: usize = 16;
/// The most networks that a certificate is good from.
pub const SOURCE_NETWORKS_MAX: usize = 16;
/// The longest forced command.
pub const FORCE_COMMAND_MAX: usize = 1024;
/// The longest principal.
const PRINCIPAL_CHARS_MAX: usize = 64;

/// A name that a certificate is good for: a user of the host, or what the host's `AuthorizedPrincipalsFile` lists. Letters,
/// digits, `_`, `.`, `@`, `+` and `-`, a letter, a digit or `_` first: never empty, and nothing that stands for several.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SshPrincipal(String);

/// What is wrong with a principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a principal is 1 to 64 letters, digits, '_', '.', '@', '+' and '-', with a letter, a digit or '_' first; never a \
     wildcard"
)]
pub struct BadPrincipal;

impl SshPrincipal {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SshPrincipal {
    type Err = BadPrincipal;

    fn from_str(text: &str) -> Result<Self, BadPrincipal> {
        let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let later = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '@' | '+' | '-');
        let fits = text.len() <= PRINCIPAL_CHARS_MAX && text.starts_with(first) && text.chars().all(later);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadPrincipal) }
    }
}

impl fmt::Display for SshPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(SshPrincipal, r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}$", 64);

/// What a certificate lets its holder do beside running commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SshExtension {
    /// A terminal.
    PermitPty,
    /// Forwarded ports.
    PermitPortForwarding,
    /// The holder's agent, forwarded: the host can use its keys meanwhile.
    PermitAgentForwarding,
    /// Forwarded X11.
    PermitX11Forwarding,
    /// The user's own `~/.ssh/rc`.
    PermitUserRc,
}

impl SshExtension {
    /// As OpenSSH calls it.
    pub fn openssh_name(self) -> &'static str {
        match self {
            Self::PermitPty => "permit-pty",
            Self::PermitPortForwarding => "permit-port-forwarding",
            Self::PermitAgentForwarding => "permit-agent-forwarding",
            Self::PermitX11Forwarding => "permit-X11-forwarding",
            Self::PermitUserRc => "permit-user-rc",
        }
    }
}

/// What the certificates of an account say. Only accounts of kind `certificate` have these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSettings {
    /// Whom they are good for, 1 to 16; the account's login name alone when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 16))]
    pub principals: Option<Vec<SshPrincipal>>,
    /// From where they are good; from everywhere when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub source_networks: Vec<Network>,
    /// What the host runs, whatever the holder asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub force_command: Option<String>,
    /// What they let their holder do; a terminal when absent.
    #[cfg_attr(feature = "openapi", schema(max_items = 5))]
    pub extensions: Vec<SshExtension>,
}

impl Default for CertificateSettings {
    fn default() -> Self {
        Self {
            principals: None,
            source_networks: Vec::new(),
            force_command: None,
            extensions: vec![SshExtension::PermitPty],
        }
    }
}

impl CertificateSettings {
    /// Whether nothing was set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `POST /v1/checkouts/{id}/sign`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignKey {
    /// The public key to certify, as a file `*.pub` of OpenSSH has it; its private key stays where it was made. Never a
    /// certificate.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 4096))]
    pub public_key: String,
}

/// A certificate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Signed {
    /// The checkout, active.
    pub checkout: Checkout,
    /// The login name on the system.
    pub login: Login,
    /// The certificate, as OpenSSH's `CertificateFile` has it.
    pub certificate: String,
    /// Its serial number, as text: it does not fit a JSON number of every reader.
    pub serial: String,
    /// Whom it is good for.
    pub principals: Vec<SshPrincipal>,
    /// When it ends: with the checkout, or a fraction of a second before.
    pub valid_before: Timestamp,
    /// How to reach the system.
    pub system: SystemSpec,
    /// The audit event that says so, in the customer's log; it was durable before this answer left.
    pub event_index: u64,
    /// The proof of that, to be kept; older servers give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<LogReceipt>,
}

/// `GET …/systems/{system}/revoked-certificates`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokedCertificates {
    /// A key revocation list as OpenSSH's `RevokedKeys` has it, in base 64.
    pub krl: String,
    /// Checkouts that ended before their certificates do.
    pub checkouts: u32,
    /// When it was made.
    pub made_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anvil_ssh_principals_are_never_empty_and_stand_for_one() {
        for good in ["root", "web-admins", "anna@acme", "_svc", "0day", &"n".repeat(64)] {
            assert!(good.parse::<SshPrincipal>().is_ok(), "{good}");
        }
        for bad in ["", " ", "*", "ro*t", "?", "a,b", "a b", "!root", "-n", "root\n", "a/b", "ä", &"n".repeat(65)] {
            assert!(bad.parse::<SshPrincipal>().is_err(), "{bad:?}");
        }
    }
}
