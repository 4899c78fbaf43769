//! `…/accounts/{account}/dependents`: who depends on an account's secret, and is told of a new one or given a copy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::HttpsUrl;
use super::conditions::text_form;
use crate::{AccountPath, Login, Part, Timestamp};

/// The most dependents of an account.
pub const DEPENDENTS_MAX: usize = 10;
/// The longest path of a file.
const FILE_PATH_BYTES_MAX: usize = 255;

/// Who depends on an account's secret. None of these is ever given more than it says here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Dependent {
    /// Told that there is a new secret, never what it is: a signed POST as
    /// [Standard Webhooks](https://www.standardwebhooks.com) writes it. It fetches the secret by a login of its own.
    Webhook {
        /// Where to.
        url: HttpsUrl,
        /// The CA of its certificate, in PEM; the machine's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
    },
    /// A file that holds the secret and nothing else, on a Linux host of the same customer. It is written by the host's
    /// management account.
    File {
        /// The host.
        system: Part,
        /// The file; its directory must be there.
        path: FilePath,
        /// The user whose it is.
        owner: Login,
        /// The group whose it is.
        group: Login,
        /// Who may read and write it; never everybody.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        mode: FileMode,
    },
}

/// `PATCH …/dependents`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DependentsChange {
    /// All of them, at most 10, in the order in which they are brought up to date: each once the one before it is.
    #[cfg_attr(feature = "openapi", schema(max_items = 10))]
    pub dependents: Vec<Dependent>,
}

/// `POST …/dependents/actions/skip`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SkipDependent {
    /// Which, from 1.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10))]
    pub number: u32,
    /// Why; it is in the customer's audit log.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub reason: String,
}

/// Who depends on an account's secret, and how far they are with the present one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Dependents {
    /// The account.
    pub account: AccountPath,
    /// The version that they are brought up to, or were last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Since when some wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
    /// How often the one whose turn it is could not be brought up to date.
    pub failures: u32,
    /// What was in the way last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// In their order.
    pub dependents: Vec<DependentStep>,
    /// The key that the customer's webhooks are signed by, for whoever verifies them: `whpk_` and an Ed25519 public key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_key: Option<String>,
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DependentStep {
    /// Which, from 1.
    pub number: u32,
    /// Who.
    pub dependent: Dependent,
    /// How far it is.
    pub state: DependentState,
    /// Since when it is up to date, or passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// How far a dependent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum DependentState {
    /// There was no new secret since it was added.
    Idle,
    /// It has still to be brought up to date.
    Waiting,
    /// It is up to date.
    Updated,
    /// A person passed it over: it may have an old secret.
    Skipped,
}

/// The full path of a file: letters, digits, `.`, `_`, `-` and `/`, at most 255 bytes, so that no shell reads anything else
/// in it. No part begins with `-` or is `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(String);

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a file's path begins with '/' and is made of letters, digits, '.', '_' and '-', at most 255 bytes, without '..'"
)]
pub struct BadFilePath;

impl FilePath {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FilePath {
    type Err = BadFilePath;

    fn from_str(text: &str) -> Result<Self, BadFilePath> {
        let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let part = |part: &str| {
            !part.is_empty() && !part.starts_with('-') && part != "." && part != ".." && part.chars().all(inside)
        };
        let fits =
            text.len() <= FILE_PATH_BYTES_MAX && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part));
        if fits { Ok(Self(text.to_owned())) } else { Err(BadFilePath) }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(FilePath, r"^(/[A-Za-z0-9._][A-Za-z0-9._-]*)+$", 255);

/// Who may read and write a file, in octal, e.g. `0640`: its owner and its group, nobody else, and no other bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u16);

/// What is wrong with a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mode is 0400, 0440, 0600, 0640 or 0660: a secret that everybody may read is none")]
pub struct BadFileMode;

const FILE_MODES: [u16; 5] = [0o400, 0o440, 0o600, 0o640, 0o660];

impl FileMode {
    /// The bits.
    pub fn bits(self) -> u16 {
        self.0
    }
}

impl Default for FileMode {
    fn default() -> Self {
        Self(0o600)
    }
}

impl FromStr for FileMode {
    type Err = BadFileMode;

    fn from_str(text: &str) -> Result<Self, BadFileMode> {
        let digits = text.strip_prefix('0').unwrap_or(text);
        let known = FILE_MODES.into_iter().find(|bits| format!("{bits:o}") == digits);
        known.map(Self).ok_or(BadFileMode)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

text_form!(FileMode, r"^0?(400|440|600|640|660)$", 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_one_thing_to_every_shell() {
        for good in ["/etc/app/db.pass", "/srv/a_b-c/.hidden", "/x"] {
            assert!(good.parse::<FilePath>().is_ok(), "{good}");
        }
        let long = format!("/{}", "x".repeat(255));
        let bad = [
            "",
            "/",
            "etc/app",
            "/etc/",
            "/etc//app",
            "/etc/../shadow",
            "/./a",
            "/etc/-rf",
            "/a b",
            "/a;b",
            "/$HOME",
            "/a\n",
            "/é",
            "/a'b",
            &long,
        ];
        for bad in bad {
            assert_eq!(bad.parse::<FilePath>(), Err(BadFilePath), "{bad:?}");
        }
    }

    #[test]
    fn no_mode_lets_everybody_read() {
        assert_eq!("640".parse::<FileMode>().map(|mode| mode.to_string()), Ok("0640".to_owned()));
        assert_eq!(FileMode::default().to_string(), "0600");
        for bad in ["", "644", "0604", "4600", "06400", "+600", "00600", "rw", "000", "200"] {
            assert_eq!(bad.parse::<FileMode>(), Err(BadFileMode), "{bad}");
        }
    }
}
