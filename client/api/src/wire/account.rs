//! `/v1/customers/{customer}/systems/{system}/accounts`: privileged logins.

use serde::{Deserialize, Serialize};

use super::{CertificateSettings, RotationPolicy, SudoRule};
use crate::secret::{Disclosed, Secret};
use crate::{AccountId, AccountPath, CheckoutId, Login, Part, RotationId, Timestamp};

/// The most characters of who answers for an account.
pub const OWNER_MAX: usize = 100;
/// The most holders of a shared account.
pub const HOLDERS_MAX: u32 = 100;
/// The most rows of one import.
pub const IMPORT_ROWS_MAX: usize = 5_000;

/// What kind of login the account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Exists on the system; its secret is rotated.
    #[default]
    Standing,
    /// Created at check-out, removed at its end.
    Ephemeral,
    /// Nothing is stored: a short-lived SSH certificate is signed at check-out.
    Certificate,
}

/// Who changes a standing account's secret on the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RotateBy {
    /// The account itself, with its present secret.
    #[default]
    Itself,
    /// The system's management account.
    Management,
}

/// What an account controls, as a number from 0 to 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Tier {
    /// 0: identities, or everything: a domain, a hypervisor, the backups.
    Zero,
    /// 1: servers and their applications.
    One,
    /// 2: workstations and devices.
    Two,
}

impl From<Tier> for u8 {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Zero => 0,
            Tier::One => 1,
            Tier::Two => 2,
        }
    }
}

/// A number that is no tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tier is 0 (identities, or everything), 1 (servers) or 2 (workstations)")]
pub struct BadTier;

impl TryFrom<u8> for Tier {
    type Error = BadTier;

    fn try_from(number: u8) -> Result<Self, BadTier> {
        match number {
            0 => Ok(Self::Zero),
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            3..=u8::MAX => Err(BadTier),
        }
    }
}

/// What generated passwords look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PasswordPolicy {
    /// Characters, 8 to 128.
    #[cfg_attr(feature = "openapi", schema(minimum = 8, maximum = 128))]
    pub length: u16,
    /// At least so many of a-z.
    pub min_lower: u16,
    /// At least so many of A-Z.
    pub min_upper: u16,
    /// At least so many of 0-9.
    pub min_digits: u16,
    /// At least so many of the symbols.
    pub min_symbols: u16,
    /// Characters never used: what a system cannot take, or people misread.
    pub exclude: String,
    /// At least so many positions differ from the password before.
    pub min_differences: u16,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            length: 32,
            min_lower: 1,
            min_upper: 1,
            min_digits: 1,
            min_symbols: 1,
            exclude: String::new(),
            min_differences: 8,
        }
    }
}

/// `POST …/accounts`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// The third part of the account's path.
    pub name: Part,
    /// Standing, ephemeral or certificate.
    #[serde(default)]
    pub kind: AccountKind,
    /// Its login name on the system; the name when absent. For an ephemeral account, the start of each login made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Its present secret, if it has one. Standing accounts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Disclosed>,
    /// The roles or groups an ephemeral login becomes a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 50))]
    pub member_of: Vec<Login>,
    /// Everything else.
    #[serde(default)]
    pub settings: AccountSettings,
}

/// What can be set on an account at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AccountSettings {
    /// Who changes the secret.
    pub rotate_by: RotateBy,
    /// Rotate at the end of each checkout.
    pub rotate_on_end: bool,
    /// How many may hold the account at once: 1 (exclusive) to 100.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub max_holders: u32,
    /// What generated passwords look like.
    pub password_policy: PasswordPolicy,
    /// Its secret is shown to a person only after a second factor of the last five minutes, and to a program only where
    /// a grant says so. An account of tier 0 always is.
    pub sensitive: bool,
    /// What it controls: 0 identities, or everything; 1 servers; 2 workstations. A tier-0 account is reached only by a
    /// grant that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>, maximum = 2))]
    pub tier: Option<Tier>,
    /// What its certificates say. Only accounts of kind `certificate` have this.
    #[serde(skip_serializing_if = "CertificateSettings::is_default")]
    pub certificate: CertificateSettings,
    /// What its logins may do by sudo, at most 16. Only ephemeral accounts of Linux hosts have these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub sudo_rules: Vec<SudoRule>,
    /// Who answers for it, e.g. a team, at most 100 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub owner: Option<String>,
    /// When its secret is replaced and tried by itself. Only standing accounts heed it.
    #[serde(skip_serializing_if = "RotationPolicy::is_empty")]
    pub rotation_policy: RotationPolicy,
}

impl AccountSettings {
    /// Whether its secret is sensitive, by its own word or by its tier.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive || self.tier == Some(Tier::Zero)
    }
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self {
            rotate_by: RotateBy::default(),
            rotate_on_end: true,
            max_holders: 1,
            password_policy: PasswordPolicy::default(),
            sensitive: false,
            tier: None,
            certificate: CertificateSettings::default(),
            sudo_rules: Vec::new(),
            owner: None,
            rotation_policy: RotationPolicy::default(),
        }
    }
}

/// `PATCH …/accounts/{account}`: what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AccountChange {
    /// Who changes the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_by: Option<RotateBy>,
    /// Rotate at the end of each checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_on_end: Option<bool>,
    /// How many may hold the account at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub max_holders: Option<u32>,
    /// What generated passwords look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_policy: Option<PasswordPolicy>,
    /// Show its secret only to those who have just proven a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitive: Option<bool>,
    /// What it controls: 0 identities, or everything; 1 servers; 2 workstations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>, maximum = 2))]
    pub tier: Option<Tier>,
    /// What its certificates say, in place of what they said before; those that were signed stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateSettings>,
    /// What its logins may do by sudo, in place of what they might before; those that are there stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub sudo_rules: Option<Vec<SudoRule>>,
    /// Who answers for it; an empty text is nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub owner: Option<String>,
    /// When its secret is replaced and tried by itself, in place of what was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<RotationPolicy>,
}

/// `POST …/accounts/{account}/actions/set-secret`: the secret was changed elsewhere, and this is it.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetSecret {
    /// The secret the account has now. It becomes a new version; none before it is erased.
    pub secret: Disclosed,
}

/// Whether the account can be checked out, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// Can be checked out.
    Available,
    /// As many hold it as may.
    Held,
    /// Its secret is being replaced, or is due to be.
    Rotating,
    /// A rotation could not be settled yet: one of the candidates opens it, and the vault goes on finding out which.
    Unresolved,
    /// No secret is stored.
    Empty,
}

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// `customer/system/account`.
    pub path: AccountPath,
    /// Standing, ephemeral or certificate.
    pub kind: AccountKind,
    /// Its login name on the system.
    pub login: Login,
    /// The roles or groups an ephemeral login becomes a member of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub member_of: Vec<Login>,
    /// What can be set at any time.
    pub settings: AccountSettings,
    /// Whether it can be checked out.
    pub state: AccountState,
    /// The version the vault last verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_version: Option<u64>,
    /// Those who hold it.
    pub holders: Vec<CheckoutId>,
    /// The rotation under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation: Option<RotationId>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// `POST …/accounts/{account}/actions/verify`: what a fresh login with the current secret gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Verification {
    /// What the system answered.
    pub result: ProbeResult,
    /// The version that was tried.
    pub version: u64,
    /// What the system said, in its own words, without any secret.
    pub detail: String,
}

/// What a login attempt tells. Never collapsed: "cannot connect" says nothing about a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProbeResult {
    /// The secret opens the account.
    Accepted,
    /// The system says that the secret is wrong.
    Refused,
    /// The system refuses every secret for now.
    LockedOut,
    /// No answer, or one that says nothing about the secret.
    Unreachable,
    /// Somebody else answered at the address.
    HostMismatch,
    /// An answer that cannot be read either way.
    Unknown,
}

/// `POST /v1/customers/{customer}/imports`: all rows are checked before any is written.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// 1 to 5,000 rows.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 5000))]
    pub rows: Vec<ImportRow>,
}

/// One standing account with its present secret.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// The line in the caller's file, for messages.
    pub line: u32,
    /// The system, which must exist.
    pub system: Part,
    /// The account's name.
    pub account: Part,
    /// Its login name; the account's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
    /// Its present secret.
    pub secret: Disclosed,
    /// Whether it is sensitive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// Its tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u8>, maximum = 2))]
    pub tier: Option<Tier>,
}

/// What an import did.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Imported {
    /// Accounts added.
    pub accounts: u32,
}

impl NewAccount {
    /// A standing account under its own name, with its present secret.
    pub fn standing(name: Part, secret: Option<Secret>) -> Self {
        Self {
            name,
            kind: AccountKind::Standing,
            login: None,
            secret: secret.map(Secret::disclose),
            member_of: Vec::new(),
            settings: AccountSettings::default(),
        }
    }
}
