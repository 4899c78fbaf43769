//! `/v1/customers/{customer}/systems`: what has administrator accounts.

use serde::{Deserialize, Serialize};

use super::{HostKey, HttpCalls, RotationPolicy, SshKey};
use crate::{Part, SystemId, Timestamp};

/// The most host keys of a system: an old and a new one of each algorithm.
pub const HOST_KEYS_MAX: usize = 10;

/// How the vault checks whom it talks to, as libpq names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS. Only for loopback and for a network that is itself protected.
    Disable,
    /// TLS if the server offers it, whoever it is.
    Prefer,
    /// TLS, whoever the server is.
    Require,
    /// TLS, and the server's certificate is signed by the given CA.
    VerifyCa,
    /// TLS, signed by the CA, and made out to the address.
    #[default]
    VerifyFull,
}

/// A kind of system, how to reach it, and how to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SystemSpec {
    /// A PostgreSQL server.
    Postgresql {
        /// Host name or address.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        host: String,
        /// TCP port.
        #[serde(default = "postgresql_port")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        port: u16,
        /// The database to log in to.
        #[serde(default = "postgresql_database")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 63))]
        database: String,
        /// How to check whom the vault talks to.
        #[serde(default)]
        tls: TlsMode,
        /// The CA certificates that `verify-ca` and `verify-full` trust, in PEM; the machine's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
    },
    /// A MariaDB server. An account's login is `user@host` as `CURRENT_USER()` writes it; without a host it is `%`.
    Mysql {
        /// Host name or address.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        host: String,
        /// TCP port.
        #[serde(default = "mysql_port")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        port: u16,
        /// How to check whom the vault talks to.
        #[serde(default)]
        tls: TlsMode,
        /// The CA certificates that `verify-ca` and `verify-full` trust, in PEM; the machine's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
        /// After how many failed logins the server blocks an account (its `max_password_errors`), so that the vault
        /// never fails as often. Absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        lockout_threshold: Option<u32>,
        /// A database in which the vault keeps an event for each ephemeral login, which bars it at its end even where
        /// the vault is down. Absent: the vault alone ends ephemeral logins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 63))]
        event_database: Option<String>,
    },
    /// An LDAP directory (OpenLDAP). An account's login is the value of `login_attribute` right below `base`, or, after
    /// `dn:`, a distinguished name as it is.
    Ldap {
        /// Host name or address.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        host: String,
        /// TCP port: 636 for LDAPS; with `start_tls` it is 389 as a rule.
        #[serde(default = "ldaps_port")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        port: u16,
        /// How to check whom the vault talks to. A login sends the password itself, so `prefer` is `require` here.
        #[serde(default)]
        tls: TlsMode,
        /// Begin in clear and encrypt by StartTLS, instead of LDAPS.
        #[serde(default)]
        start_tls: bool,
        /// The CA certificates that `verify-ca` and `verify-full` trust, in PEM; the machine's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
        /// The entry right below which logins are, e.g. `ou=people,dc=example,dc=org`.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
        base: String,
        /// The attribute that names a login.
        #[serde(default = "ldap_login_attribute")]
        #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z][A-Za-z0-9-]{0,62}$"))]
        login_attribute: String,
        /// The object classes of an ephemeral entry.
        #[serde(default = "ldap_object_classes")]
        #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 16))]
        object_classes: Vec<String>,
        /// The entry right below which groups are, named by `cn`; `base` when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
        group_base: Option<String>,
        /// The directory keeps a password policy (OpenLDAP 2.5 and newer, overlay `ppolicy`): ephemeral entries get an end
        /// of their own, `pwdEndTime`. Without it the vault alone ends them.
        #[serde(default)]
        password_policy: bool,
        /// After how many failed logins the directory locks an account (its `pwdMaxFailure`), so that the vault never
        /// fails as often. Absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        lockout_threshold: Option<u32>,
    },
    /// A Linux host, over SSH.
    Linux {
        /// Host name or address.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        host: String,
        /// TCP port.
        #[serde(default = "ssh_port")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        port: u16,
        /// Its host keys, 1 to 10: whoever shows another one is another host.
        #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 10))]
        host_keys: Vec<HostKey>,
        /// After how many failed logins the host locks a user (`deny` of pam_faillock), so that the vault never fails as
        /// often. Absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        lockout_threshold: Option<u32>,
    },
    /// A Windows domain (Active Directory), by its controllers. An account's login is its own name in the domain
    /// (`sAMAccountName`), its `userPrincipalName` where it holds an `@`, or, after `dn:`, a distinguished name as it is.
    ActiveDirectory {
        /// Host name or address of the controller that takes the changes.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        host: String,
        /// TCP port: 636 for LDAPS; with `start_tls` it is 389 as a rule.
        #[serde(default = "ldaps_port")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        port: u16,
        /// How to check whom the vault talks to. `disable` and `prefer` are refused: a domain takes passwords over TLS only.
        #[serde(default)]
        tls: TlsMode,
        /// Begin in clear and encrypt by StartTLS, instead of LDAPS.
        #[serde(default)]
        start_tls: bool,
        /// The CA certificates that `verify-ca` and `verify-full` trust, in PEM; the machine's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
        /// The domain's short name (NetBIOS), as in `CORP\anna`.
        #[cfg_attr(feature = "openapi", schema(pattern = "^[A-Za-z0-9!#$%&'(){}^_~-]{1,15}$"))]
        domain: String,
        /// Other controllers of the domain, reached in the same way: a change is looked for on each of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(feature = "openapi", schema(max_items = 8))]
        servers: Vec<String>,
        /// The entry below which ephemeral accounts are made; `CN=Users` of the domain when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 255))]
        organizational_unit: Option<String>,
        /// After how many failed logins the domain locks an account (its `lockoutThreshold`), so that the vault never fails
        /// as often. Absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        lockout_threshold: Option<u32>,
        /// For so long the domain may go on taking an old password (`OldPasswordAllowedPeriod`): an hour, where nobody has
        /// set it.
        #[serde(default = "domain_grace_seconds")]
        #[cfg_attr(feature = "openapi", schema(maximum = 86_400))]
        grace_seconds: u32,
        /// Where the domain still takes what an ended checkout has seen, change the account once more, by the management
        /// account: a domain honours the last old password only, so that the first is refused at once.
        #[serde(default)]
        change_twice: bool,
    },
    /// What is administered over an HTTP API that its administrator describes: a firewall, a service in a cloud.
    Http {
        /// Host name or address.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        host: String,
        /// TCP port.
        #[serde(default = "https_port")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        port: u16,
        /// How to check whom the vault talks to. Calls hold secrets, so `prefer` is `require` here, and `disable`, bare
        /// HTTP, is only for loopback and for a network that is itself protected.
        #[serde(default)]
        tls: TlsMode,
        /// The CA certificates that `verify-ca` and `verify-full` trust, in PEM; the machine's own when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificate: Option<String>,
        /// How logins are tried and changed there.
        calls: Box<HttpCalls>,
        /// After how many failed logins it locks an account, so that the vault never fails as often. Absent: never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1))]
        lockout_threshold: Option<u32>,
        /// For so long it may go on taking an old secret after a change.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(maximum = 86_400))]
        grace_seconds: u32,
        /// For so long a change may not have reached every part of it.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(maximum = 3600))]
        propagation_seconds: u32,
    },
    /// What no program reaches: a router in a cupboard, a portal. A person changes it, and says so.
    Manual {
        /// Where it is, in words for people.
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 253))]
        address: String,
        /// What is to be done there, in words for people.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(max_length = 2000))]
        instructions: String,
        /// How many days a person has for it; then they are reminded each day.
        #[serde(default = "manual_due_days")]
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 365))]
        due_days: u32,
    },
}

impl SystemSpec {
    /// Its kind, as the tag names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgresql { .. } => "postgresql",
            Self::Mysql { .. } => "mysql",
            Self::Ldap { .. } => "ldap",
            Self::Linux { .. } => "linux",
            Self::ActiveDirectory { .. } => "active_directory",
            Self::Http { .. } => "http",
            Self::Manual { .. } => "manual",
        }
    }

    /// Host name or address; of what a person reaches, where it is in words.
    pub fn host(&self) -> &str {
        match self {
            Self::Postgresql { host, .. }
            | Self::Mysql { host, .. }
            | Self::Ldap { host, .. }
            | Self::Linux { host, .. }
            | Self::ActiveDirectory { host, .. }
            | Self::Http { host, .. } => host,
            Self::Manual { address, .. } => address,
        }
    }

    /// TCP port; 0 of what a person reaches.
    pub fn port(&self) -> u16 {
        match self {
            Self::Postgresql { port, .. }
            | Self::Mysql { port, .. }
            | Self::Ldap { port, .. }
            | Self::Linux { port, .. }
            | Self::ActiveDirectory { port, .. }
            | Self::Http { port, .. } => *port,
            Self::Manual { .. } => 0,
        }
    }
}

fn manual_due_days() -> u32 {
    7
}

fn https_port() -> u16 {
    443
}

fn ldaps_port() -> u16 {
    636
}

fn domain_grace_seconds() -> u32 {
    3600
}

fn ldap_login_attribute() -> String {
    "uid".to_owned()
}

fn ldap_object_classes() -> Vec<String> {
    vec!["inetOrgPerson".to_owned()]
}

fn ssh_port() -> u16 {
    22
}

fn mysql_port() -> u16 {
    3306
}

fn postgresql_port() -> u16 {
    5432
}

fn postgresql_database() -> String {
    "postgres".to_owned()
}

/// `POST /v1/customers/{customer}/systems`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSystem {
    /// The second part of every path on this system.
    pub name: Part,
    /// Its kind and address.
    pub spec: SystemSpec,
    /// The account on this system that may change the others; it may be added later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_account: Option<Part>,
}

/// `PATCH /v1/customers/{customer}/systems/{system}`: what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SystemChange {
    /// Its kind and address; the kind itself cannot change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<SystemSpec>,
    /// The account on this system that may change the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_account: Option<Part>,
    /// When the secrets of its accounts are replaced and tried by themselves, in place of what was said before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_policy: Option<RotationPolicy>,
}

/// A system.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct System {
    /// Its id.
    pub id: SystemId,
    /// Its customer.
    pub customer: Part,
    /// Its name.
    pub name: Part,
    /// Its kind and address.
    pub spec: SystemSpec,
    /// The account on this system that may change the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_account: Option<Part>,
    /// The authority of this host's certificates, for its `TrustedUserCAKeys`; it is this system's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<SshKey>,
    /// For how long it was last seen to take an old secret after a change, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_grace: Option<MeasuredGrace>,
    /// When the secrets of its accounts are replaced and tried, unless an account says otherwise.
    #[serde(default, skip_serializing_if = "RotationPolicy::is_empty")]
    pub rotation_policy: RotationPolicy,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What a rotation has found out of a system's grace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeasuredGrace {
    /// After so many seconds the old secret was refused; 0 where it was at once. It may have been before: nobody looks each
    /// second.
    pub seconds: u64,
    /// When that was seen.
    pub measured_at: Timestamp,
}
