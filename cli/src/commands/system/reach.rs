//! How a system is reached, as it is said on the command line: each kind's address, and what is refused because the kind does not have it.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use claviger_client::api::Part;
use claviger_client::api::wire::{HostKey, HttpCalls, SystemSpec, TlsMode};

use crate::failure::Failure;

/// How to reach a system, and how to know it.
#[derive(Args)]
pub(super) struct Reach {
    /// TCP port; by default the kind's own: 5432, 3306, 636 (389 with --start-tls), 22, 443
    #[arg(long)]
    port: Option<u16>,
    /// postgresql: the database to log in to; postgres by default
    #[arg(long)]
    database: Option<String>,
    /// How to check whom the vault talks to, as libpq names it; verify-full by default
    #[arg(long, value_enum, value_name = "MODE")]
    tls: Option<Tls>,
    /// The CA certificates to trust for it, in PEM
    #[arg(long, value_name = "FILE")]
    system_ca: Option<PathBuf>,
    /// ldap, active-directory: encrypt by StartTLS on the port for bare connections, instead of LDAPS
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    start_tls: Option<bool>,
    /// ldap: the entry right below which logins are, e.g. ou=people,dc=example,dc=org
    #[arg(long, value_name = "DN")]
    base: Option<String>,
    /// ldap: the attribute that names a login; uid by default
    #[arg(long, value_name = "ATTRIBUTE")]
    login_attribute: Option<String>,
    /// ldap: an object class of ephemeral entries, inetOrgPerson by default; may be repeated
    #[arg(long, value_name = "CLASS")]
    object_class: Vec<String>,
    /// ldap: the entry right below which groups are; --base by default
    #[arg(long, value_name = "DN")]
    group_base: Option<String>,
    /// ldap: the directory keeps a password policy, so that ephemeral entries end by themselves
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    password_policy: Option<bool>,
    /// mysql, ldap, linux, active-directory, http: after how many failed logins the system locks an account
    #[arg(long, value_name = "LOGINS")]
    lockout_threshold: Option<u32>,
    /// mysql: a database for events that end ephemeral logins even where the vault is down
    #[arg(long, value_name = "DATABASE")]
    event_database: Option<String>,
    /// linux: a host key, or its fingerprint SHA256:…; may be repeated
    #[arg(long = "host-key", value_name = "KEY")]
    host_keys: Vec<HostKey>,
    /// active-directory: the domain's short name (NetBIOS), e.g. CORP
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
    /// active-directory: another controller of the domain, where changes are looked for too; may be repeated
    #[arg(long = "server", value_name = "HOST")]
    servers: Vec<String>,
    /// active-directory: the entry below which ephemeral accounts are made; CN=Users of the domain by default
    #[arg(long, value_name = "DN")]
    organizational_unit: Option<String>,
    /// active-directory, http: for how long it goes on taking an old secret, in seconds; a domain an hour by default
    #[arg(long, value_name = "SECONDS")]
    grace_seconds: Option<u32>,
    /// active-directory: change an account twice after a checkout, so that the domain takes no old password of it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    change_twice: Option<bool>,
    /// http: the calls by which logins are tried and changed, in JSON
    #[arg(long, value_name = "FILE")]
    pub(super) calls: Option<PathBuf>,
    /// manual: what is to be done there, in words for people
    #[arg(long, value_name = "TEXT")]
    instructions: Option<String>,
    /// manual: how many days a person has for it, 7 by default
    #[arg(long, value_name = "DAYS")]
    due_days: Option<u32>,
    /// http: for how long a change may not have reached every part of it, in seconds
    #[arg(long, value_name = "SECONDS")]
    propagation_seconds: Option<u32>,
    /// The account on this system that may change the others
    #[arg(long, value_name = "ACCOUNT")]
    pub(super) management_account: Option<Part>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// PostgreSQL
    Postgresql,
    /// MariaDB
    Mysql,
    /// OpenLDAP
    Ldap,
    /// A Linux host, over SSH
    Linux,
    /// A Windows domain
    ActiveDirectory,
    /// An HTTP API, described by --calls
    Http,
    /// What no program reaches: a person changes it
    Manual,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tls {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Reach {
    /// The address with the named parts replaced. A part that the kind does not have is refused, never dropped.
    pub(super) fn apply(&self, mut spec: SystemSpec) -> Result<SystemSpec, Failure> {
        let kind = spec.kind();
        match &mut spec {
            SystemSpec::Postgresql { host: _, port, database, tls, ca_certificate } => {
                self.without_domain_and_calls(kind)?;
                without(kind, "--start-tls", self.start_tls.is_some())?;
                without(kind, "--lockout-threshold", self.lockout_threshold.is_some())?;
                without(kind, "--event-database", self.event_database.is_some())?;
                self.without_directory(kind)?;
                without(kind, "--host-key", !self.host_keys.is_empty())?;
                self.apply_common(port, tls, ca_certificate)?;
                *database = self.database.clone().unwrap_or_else(|| database.clone());
            }
            SystemSpec::Mysql { host: _, port, tls, ca_certificate, lockout_threshold, event_database } => {
                self.without_domain_and_calls(kind)?;
                without(kind, "--start-tls", self.start_tls.is_some())?;
                without(kind, "--database", self.database.is_some())?;
                self.without_directory(kind)?;
                without(kind, "--host-key", !self.host_keys.is_empty())?;
                self.apply_common(port, tls, ca_certificate)?;
                *lockout_threshold = self.lockout_threshold.or(*lockout_threshold);
                *event_database = self.event_database.clone().or_else(|| event_database.clone());
            }
            SystemSpec::Ldap {
                host: _,
                port,
                tls,
                start_tls,
                ca_certificate,
                base,
                login_attribute,
                object_classes,
                group_base,
                password_policy,
                lockout_threshold,
            } => {
                self.without_domain_and_calls(kind)?;
                without(kind, "--host-key", !self.host_keys.is_empty())?;
                self.without_databases(kind)?;
                self.apply_start_tls(port, start_tls);
                self.apply_common(port, tls, ca_certificate)?;
                replace(base, self.base.as_ref());
                replace(login_attribute, self.login_attribute.as_ref());
                replace(object_classes, Some(&self.object_class).filter(|classes| !classes.is_empty()));
                *group_base = self.group_base.clone().or_else(|| group_base.clone());
                *password_policy = self.password_policy.unwrap_or(*password_policy);
                *lockout_threshold = self.lockout_threshold.or(*lockout_threshold);
                if base.is_empty() {
                    return Err(Failure::usage("a directory needs --base", "e.g. --base ou=people,dc=example,dc=org"));
                }
            }
            SystemSpec::Linux { host: _, port, host_keys, lockout_threshold } => {
                without(kind, "--start-tls", self.start_tls.is_some())?;
                self.without_directory(kind)?;
                self.without_domain_and_calls(kind)?;
                *lockout_threshold = self.lockout_threshold.or(*lockout_threshold);
                self.without_databases(kind)?;
                without(kind, "--tls", self.tls.is_some())?;
                without(kind, "--system-ca", self.system_ca.is_some())?;
                *port = self.port.unwrap_or(*port);
                if !self.host_keys.is_empty() {
                    host_keys.clone_from(&self.host_keys);
                }
                if host_keys.is_empty() {
                    return Err(Failure::usage("which host keys does it have?", HOW_TO_FIND_HOST_KEYS));
                }
            }
            SystemSpec::ActiveDirectory {
                host: _,
                port,
                tls,
                start_tls,
                ca_certificate,
                domain,
                servers,
                organizational_unit,
                lockout_threshold,
                grace_seconds,
                change_twice,
            } => {
                without(kind, "--host-key", !self.host_keys.is_empty())?;
                self.without_databases(kind)?;
                self.without_directory(kind)?;
                self.without_calls(kind)?;
                self.apply_start_tls(port, start_tls);
                self.apply_common(port, tls, ca_certificate)?;
                replace(domain, self.domain.as_ref());
                replace(servers, Some(&self.servers).filter(|servers| !servers.is_empty()));
                *organizational_unit = self.organizational_unit.clone().or_else(|| organizational_unit.clone());
                *lockout_threshold = self.lockout_threshold.or(*lockout_threshold);
                *grace_seconds = self.grace_seconds.unwrap_or(*grace_seconds);
                *change_twice = self.change_twice.unwrap_or(*change_twice);
                if domain.is_empty() {
                    return Err(Failure::usage("which domain is it?", "its short name, e.g. --domain CORP"));
                }
            }
            SystemSpec::Http { .. } => return self.apply_api(spec),
            SystemSpec::Manual { .. } => return self.apply_manual(spec),
        }
        Ok(spec)
    }

    /// The same of what a person reaches.
    fn apply_manual(&self, mut spec: SystemSpec) -> Result<SystemSpec, Failure> {
        let kind = spec.kind();
        let SystemSpec::Manual { address: _, instructions, due_days } = &mut spec else { return Ok(spec) };
        without(kind, "--port", self.port.is_some())?;
        without(kind, "--tls", self.tls.is_some())?;
        without(kind, "--system-ca", self.system_ca.is_some())?;
        without(kind, "--start-tls", self.start_tls.is_some())?;
        without(kind, "--host-key", !self.host_keys.is_empty())?;
        self.without_databases(kind)?;
        without(kind, "--lockout-threshold", self.lockout_threshold.is_some())?;
        without(kind, "--management-account", self.management_account.is_some())?;
        self.without_directory(kind)?;
        self.without_controllers(kind)?;
        without(kind, "--grace-seconds", self.grace_seconds.is_some())?;
        without(kind, "--calls", self.calls.is_some())?;
        without(kind, "--propagation-seconds", self.propagation_seconds.is_some())?;
        replace(instructions, self.instructions.as_ref());
        *due_days = self.due_days.unwrap_or(*due_days);
        Ok(spec)
    }

    /// The same of an HTTP API.
    fn apply_api(&self, mut spec: SystemSpec) -> Result<SystemSpec, Failure> {
        let kind = spec.kind();
        let SystemSpec::Http {
            host: _,
            port,
            tls,
            ca_certificate,
            calls,
            lockout_threshold,
            grace_seconds,
            propagation_seconds,
        } = &mut spec
        else {
            return Ok(spec);
        };
        without(kind, "--start-tls", self.start_tls.is_some())?;
        without(kind, "--host-key", !self.host_keys.is_empty())?;
        self.without_databases(kind)?;
        self.without_directory(kind)?;
        self.without_controllers(kind)?;
        self.without_instructions(kind)?;
        self.apply_common(port, tls, ca_certificate)?;
        if let Some(file) = &self.calls {
            *calls = read_calls(file)?;
        }
        *lockout_threshold = self.lockout_threshold.or(*lockout_threshold);
        *grace_seconds = self.grace_seconds.unwrap_or(*grace_seconds);
        *propagation_seconds = self.propagation_seconds.unwrap_or(*propagation_seconds);
        Ok(spec)
    }

    /// Refuses what only a Windows domain or an HTTP API has.
    fn without_domain_and_calls(&self, kind: &str) -> Result<(), Failure> {
        self.without_controllers(kind)?;
        self.without_calls(kind)?;
        without(kind, "--grace-seconds", self.grace_seconds.is_some())
    }

    /// Refuses what only a Windows domain has.
    fn without_controllers(&self, kind: &str) -> Result<(), Failure> {
        without(kind, "--domain", self.domain.is_some())?;
        without(kind, "--server", !self.servers.is_empty())?;
        without(kind, "--organizational-unit", self.organizational_unit.is_some())?;
        without(kind, "--change-twice", self.change_twice.is_some())
    }

    /// Refuses what only an HTTP API has.
    fn without_calls(&self, kind: &str) -> Result<(), Failure> {
        without(kind, "--calls", self.calls.is_some())?;
        without(kind, "--propagation-seconds", self.propagation_seconds.is_some())?;
        self.without_instructions(kind)
    }

    /// Refuses what only a person needs.
    fn without_instructions(&self, kind: &str) -> Result<(), Failure> {
        without(kind, "--instructions", self.instructions.is_some())?;
        without(kind, "--due-days", self.due_days.is_some())
    }

    /// Refuses what only databases have.
    fn without_databases(&self, kind: &str) -> Result<(), Failure> {
        without(kind, "--database", self.database.is_some())?;
        without(kind, "--event-database", self.event_database.is_some())
    }

    /// Refuses what only OpenLDAP has.
    fn without_directory(&self, kind: &str) -> Result<(), Failure> {
        without(kind, "--base", self.base.is_some())?;
        without(kind, "--login-attribute", self.login_attribute.is_some())?;
        without(kind, "--object-class", !self.object_class.is_empty())?;
        without(kind, "--group-base", self.group_base.is_some())?;
        without(kind, "--password-policy", self.password_policy.is_some())
    }

    /// StartTLS is on another port, unless one is named.
    fn apply_start_tls(&self, port: &mut u16, start_tls: &mut bool) {
        if self.start_tls == Some(true) && !*start_tls && *port == LDAPS_PORT {
            *port = LDAP_PORT;
        }
        *start_tls = self.start_tls.unwrap_or(*start_tls);
    }

    fn apply_common(
        &self,
        port: &mut u16,
        tls: &mut TlsMode,
        ca_certificate: &mut Option<String>,
    ) -> Result<(), Failure> {
        *port = self.port.unwrap_or(*port);
        *tls = self.tls.map_or(*tls, Tls::mode);
        if let Some(file) = &self.system_ca {
            *ca_certificate = Some(read(file)?);
        }
        Ok(())
    }
}

/// What is said where a host's key is missing.
const HOW_TO_FIND_HOST_KEYS: &str =
    "--host-key \"$(cat ssh_host_ed25519_key.pub)\", read on the host itself, or --host-key SHA256:…";
/// LDAP over TLS, and LDAP that becomes so by StartTLS.
const LDAPS_PORT: u16 = 636;
pub(super) const LDAP_PORT: u16 = 389;
/// For so long a domain goes on taking an old password, where nobody has set that.
const GRACE_SECONDS: u32 = 3600;

fn replace<T: Clone>(present: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        present.clone_from(new);
    }
}

fn without(kind: &str, option: &str, given: bool) -> Result<(), Failure> {
    if given { Err(Failure::usage(format!("{option} is nothing that {kind} has"), "leave it out")) } else { Ok(()) }
}

impl Kind {
    pub(super) fn at(self, host: String, calls: Option<&Path>) -> Result<SystemSpec, Failure> {
        let (tls, ca_certificate) = (TlsMode::default(), None);
        Ok(match self {
            Self::Postgresql => {
                SystemSpec::Postgresql { host, port: 5432, database: "postgres".to_owned(), tls, ca_certificate }
            }
            Self::Mysql => SystemSpec::Mysql {
                host,
                port: 3306,
                tls,
                ca_certificate,
                lockout_threshold: None,
                event_database: None,
            },
            Self::Ldap => SystemSpec::Ldap {
                host,
                port: LDAPS_PORT,
                tls,
                start_tls: false,
                ca_certificate,
                base: String::new(),
                login_attribute: "uid".to_owned(),
                object_classes: vec!["inetOrgPerson".to_owned()],
                group_base: None,
                password_policy: false,
                lockout_threshold: None,
            },
            Self::Linux => SystemSpec::Linux { host, port: 22, host_keys: Vec::new(), lockout_threshold: None },
            Self::ActiveDirectory => SystemSpec::ActiveDirectory {
                host,
                port: LDAPS_PORT,
                tls,
                start_tls: false,
                ca_certificate,
                domain: String::new(),
                servers: Vec::new(),
                organizational_unit: None,
                lockout_threshold: None,
                grace_seconds: GRACE_SECONDS,
                change_twice: false,
            },
            Self::Manual => SystemSpec::Manual { address: host, instructions: String::new(), due_days: 7 },
            Self::Http => SystemSpec::Http {
                host,
                port: 443,
                tls,
                ca_certificate,
                calls: match calls {
                    Some(file) => read_calls(file)?,
                    None => return Err(Failure::usage("how are its logins tried and changed?", "--calls FILE")),
                },
                lockout_threshold: None,
                grace_seconds: 0,
                propagation_seconds: 0,
            },
        })
    }
}

impl Tls {
    fn mode(self) -> TlsMode {
        match self {
            Self::Disable => TlsMode::Disable,
            Self::Prefer => TlsMode::Prefer,
            Self::Require => TlsMode::Require,
            Self::VerifyCa => TlsMode::VerifyCa,
            Self::VerifyFull => TlsMode::VerifyFull,
        }
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display()), "give a PEM file"))
}

/// A description of calls. What it means is the server's to judge, all of it at once.
fn read_calls(file: &Path) -> Result<Box<HttpCalls>, Failure> {
    let wrong = |what: String| Failure::usage(format!("{}: {what}", file.display()), "docs/connectors.md describes it");
    let text = std::fs::read(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
}
