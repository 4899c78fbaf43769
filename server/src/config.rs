//! The configuration file: TOML, every key of it known. `deploy/claviger.example.toml` explains each.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use claviger_api::Part;
use claviger_api::wire::{
    AUDIT_RETENTION_DAYS_DEFAULT, AUDIT_RETENTION_DAYS_MIN, INACTIVE_DAYS_MAX, SESSION_LEAST_SECONDS,
    SESSION_MOST_SECONDS, SUSPEND_UNUSED_DAYS_DEFAULT, SUSPEND_UNUSED_DAYS_LEAST,
};
use claviger_connectors::IpNet;
use claviger_service::crypto::passkey::{BadSite, RelyingParty};
use serde::{Deserialize, Deserializer, de};

pub use crate::backups::{BackupSettings, BadBackups};
pub use crate::escrow::{BadEscrow, EscrowSettings};
pub use crate::hsm::{BadHsm, Pkcs11Settings, SealSettings};
pub use crate::http::budget::{AllRates, Rate, Rates};
pub use crate::kits::{BadKits, KitSettings};
pub use crate::store::{Database, DatabaseTls, Engine};
pub use crate::streams::{BadStream, Destination, StreamSettings};
pub use crate::traces::{BadTraces, TraceSettings};
pub use crate::witness::{WitnessConfig, WitnessUrl};

/// The longest name of a vault: that of a host name (RFC 1035).
const NAME_MAX: usize = 253;

/// How a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the vault calls itself: the issuer of its access tokens and the origin of its audit logs. It cannot change
    /// later without its verifiers noticing.
    pub name: String,
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where it keeps its store, unless that is a database; mode 0700.
    pub data_directory: PathBuf,
    /// What it keeps its store in.
    #[serde(default)]
    pub store: Engine,
    /// What may seal the vault besides what people keep.
    #[serde(default)]
    pub seal: SealSettings,
    /// The certificate it shows. Without one it speaks plain HTTP, which only loopback addresses may.
    pub tls: Option<TlsFiles>,
    /// How much it takes at once.
    #[serde(default)]
    pub http: Http,
    /// Which customers' systems it reaches.
    #[serde(default)]
    pub systems: Systems,
    /// What the unauthenticated may ask for.
    #[serde(default)]
    pub budgets: AllRates,
    /// How long people are let in.
    #[serde(default)]
    pub identities: Identities,
    /// How much it writes to its log.
    #[serde(default)]
    pub log: Log,
    /// Where it is scraped.
    #[serde(default)]
    pub metrics: Metrics,
    /// Where traces go. Nowhere when absent.
    pub traces: Option<TraceSettings>,
    /// What of its audit log is kept elsewhere.
    #[serde(default)]
    pub audit: Audit,
    /// Where backups go, and for whom they are. None are taken when absent.
    pub backup: Option<BackupSettings>,
    /// Where emergency kits go, and who of the MSP's people holds a share of each. None are made when absent.
    pub kits: Option<KitSettings>,
    /// Where each secret is written too, before it is stored, and for whom. Nowhere when absent.
    pub escrow: Option<EscrowSettings>,
}

/// What of the audit log is kept outside of the store.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Files that hold the newest checkpoint of the operator log, each outside of the data directory.
    pub anchor_files: Vec<PathBuf>,
    /// How long entries stay in the store, at least.
    pub retention_days: u32,
    /// Where they go then. They stay when absent.
    pub archive_directory: Option<PathBuf>,
    /// Who is told of it as it grows.
    pub streams: Vec<StreamSettings>,
    /// Programs of others that follow a log and cosign it.
    pub witnesses: Vec<WitnessConfig>,
}

impl Audit {
    /// The directories of the anchors.
    pub fn anchor_directories(&self) -> impl Iterator<Item = &Path> {
        self.anchor_files.iter().filter_map(|file| file.parent()).filter(|directory| !directory.as_os_str().is_empty())
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            anchor_files: Vec::new(),
            retention_days: AUDIT_RETENTION_DAYS_DEFAULT,
            archive_directory: None,
            streams: Vec::new(),
            witnesses: Vec::new(),
        }
    }
}

/// Where a monitoring system scrapes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Plain HTTP at `/metrics`, for whoever can connect: there are no names in it. Nowhere when absent.
    pub listen: Option<SocketAddr>,
}

/// How long people are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identities {
    /// The longest life of a user's session, however often it is refreshed.
    pub session_most_seconds: u64,
    /// After so many days without use a user or service account is suspended; 0 is never.
    pub suspend_unused_after_days: u32,
}

impl Default for Identities {
    fn default() -> Self {
        Self { session_most_seconds: SESSION_MOST_SECONDS, suspend_unused_after_days: SUSPEND_UNUSED_DAYS_DEFAULT }
    }
}

impl Identities {
    /// After how many days, if ever.
    pub fn suspend_unused(self) -> Option<u32> {
        (self.suspend_unused_after_days > 0).then_some(self.suspend_unused_after_days)
    }
}

/// The certificate a server shows, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// The private key, PEM; readable by the server's user alone.
    pub key: PathBuf,
    /// The CAs of programs' client certificates, PEM. Without it no client is asked for one.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether all of them are on this machine.
    pub fn exist(&self) -> bool {
        self.certificate.exists() && self.key.exists() && self.client_ca.as_ref().is_none_or(|path| path.exists())
    }
}

/// How much a server takes at once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Threads that serve; two a processor when absent.
    pub workers: Option<NonZeroUsize>,
    /// Connections each of them holds at once.
    pub connections_per_worker: NonZeroUsize,
    /// TLS handshakes each of them makes at once.
    pub handshakes_per_worker: NonZeroUsize,
    /// How long a client may take to send the head of a request.
    pub request_head_seconds: NonZeroUsize,
    /// How long an idle connection is kept.
    pub keep_alive_seconds: NonZeroUsize,
    /// How long requests under way may take to end when the server stops.
    pub shutdown_seconds: NonZeroUsize,
    /// Where people's browsers reach the server: passkeys are bound to it. Without it there are no passkeys.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` counts, as addresses or networks.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
}

/// Which customers' systems a server reaches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Systems {
    /// Loopback, link-local and similar addresses that are refused unless listed here, as addresses or networks.
    #[serde(deserialize_with = "networks")]
    pub allowed_addresses: Vec<IpNet>,
}

/// How much a server writes to its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The least important lines that are written.
    pub level: Level,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What failed.
    Error,
    /// And what is odd.
    Warn,
    /// And a line a request.
    #[default]
    Info,
    /// And what is of use to developers.
    Debug,
    /// And everything.
    Trace,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It is not of the expected form.
    #[error("the configuration is not right: {0}")]
    Malformed(#[from] toml::de::Error),
    /// A variable sets nothing that there is.
    #[error(
        "the environment's {0} names no key of the configuration: a key is written CLAVIGER_SERVER_KEY, or CLAVIGER_SERVER_SECTION__KEY; \
         take it away"
    )]
    Variable(String),
    /// Plain HTTP where others can listen.
    #[error(
        "{0} is not a loopback address, and there plain HTTP would show every secret to the network: \
         name a certificate and its key under [tls], or listen on 127.0.0.1"
    )]
    PlainHttp(SocketAddr),
    /// A bare connection where others can listen.
    #[error(
        "the database's host {0} is not a loopback address, and beyond this machine the connection is encrypted: \
         leave tls at \"verify-full\""
    )]
    PlainDatabase(String),
    /// An anchor that goes with the store.
    #[error(
        "anchor_files under [audit]: {} is within the data directory, and would be as old as the store that it speaks \
         against: name a file on another volume", .0.display()
    )]
    Anchor(PathBuf),
    /// A retention under the law of the house.
    #[error(
        "retention_days under [audit] is at least {AUDIT_RETENTION_DAYS_MIN}, six months, not {0}: who looks into an intrusion \
         has to see so far back"
    )]
    Retention(u32),
    /// A stream of the audit log.
    #[error("the stream {name} under [[audit.streams]]: {why}")]
    Stream {
        /// Which.
        name: Part,
        /// What is wrong.
        why: BadStream,
    },
    /// Where traces go.
    #[error("[traces]: {0}")]
    Traces(#[from] BadTraces),
    /// The escrow stream.
    #[error("[escrow]: {0}")]
    Escrow(#[from] BadEscrow),
    /// Backups.
    #[error("[backup]: {0}")]
    Backup(#[from] BadBackups),
    /// Emergency kits.
    #[error("[kits]: {0}")]
    Kits(#[from] BadKits),
    /// An HSM.
    #[error("[seal.pkcs11]: {0}")]
    Hsm(#[from] BadHsm),
    /// The life of sessions.
    #[error("session_most_seconds is {SESSION_LEAST_SECONDS} to {SESSION_MOST_SECONDS} (12 hours), not {0}")]
    Session(u64),
    /// When those who are not used are suspended.
    #[error("suspend_unused_after_days is {SUSPEND_UNUSED_DAYS_LEAST} to {INACTIVE_DAYS_MAX}, or 0 for never, not {0}")]
    Unused(u32),
    /// Where browsers reach the server.
    #[error("public_url under [http]: {0}")]
    Site(#[from] BadSite),
    /// The vault's name.
    #[error("the name {0:?} is not one: write a host name in lower case, e.g. vault.msp.example")]
    Name(String),
}

impl Default for Http {
    fn default() -> Self {
        const fn of(number: usize) -> NonZeroUsize {
            match NonZeroUsize::new(number) {
                Some(number) => number,
                None => panic!("a default is not zero"),
            }
        }
        Self {
            workers: None,
            connections_per_worker: of(5_000),
            handshakes_per_worker: of(256),
            request_head_seconds: of(10),
            keep_alive_seconds: of(75),
            shutdown_seconds: of(20),
            public_url: None,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&text_of(path)?)
    }

    /// Reads a file, and what the environment sets in its place.
    ///
    /// # Errors
    ///
    /// Either cannot be used.
    pub fn read_here(path: &Path) -> Result<Self, ConfigError> {
        let as_text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self::parse_with(&text_of(path)?, env::vars_os().filter_map(as_text))
    }

    /// The same of a text and variables.
    pub(crate) fn parse_with(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut ours = variables.filter(|(name, _)| name.starts_with(environment::PREFIX)).peekable();
        if ours.peek().is_none() {
            // What is wrong is told with its line.
            return Self::parse(text);
        }
        let mut table: toml::Table = toml::from_str(text)?;
        environment::set(&mut table, ours)?;
        let config: Self = table.try_into()?;
        config.check()?;
        Ok(config)
    }

    /// Reads a text, and refuses what would not be safe.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)?;
        config.check()?;
        Ok(config)
    }

    /// Refuses what would not be safe.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.tls.is_none() && !self.listen.ip().to_canonical().is_loopback() {
            return Err(ConfigError::PlainHttp(self.listen));
        }
        if let Engine::Postgresql(Database { host, tls: DatabaseTls::Disable, .. }) = &self.store
            && !claviger_postgres::is_this_machine(host)
        {
            return Err(ConfigError::PlainDatabase(host.clone()));
        }
        if let Some(anchor) = self.audit.anchor_files.iter().find(|file| file.starts_with(&self.data_directory)) {
            return Err(ConfigError::Anchor(anchor.clone()));
        }
        if let Some(backup) = &self.backup {
            backup.check(&self.data_directory)?;
        }
        if let Some(kits) = &self.kits {
            kits.check(&self.data_directory)?;
        }
        if let Some(escrow) = &self.escrow {
            escrow.check(&self.data_directory)?;
        }
        if let Some(traces) = &self.traces {
            traces.check()?;
        }
        if let Some(hsm) = &self.seal.pkcs11 {
            hsm.check()?;
        }
        if self.audit.retention_days < AUDIT_RETENTION_DAYS_MIN {
            return Err(ConfigError::Retention(self.audit.retention_days));
        }
        for (at, stream) in self.audit.streams.iter().enumerate() {
            let twice = self.audit.streams.iter().take(at).any(|other| other.name == stream.name);
            let checked = if twice { Err(BadStream::Twice) } else { stream.check() };
            checked.map_err(|why| ConfigError::Stream { name: stream.name.clone(), why })?;
        }
        let most = self.identities.session_most_seconds;
        if !(SESSION_LEAST_SECONDS..=SESSION_MOST_SECONDS).contains(&most) {
            return Err(ConfigError::Session(most));
        }
        let unused = self.identities.suspend_unused_after_days;
        if unused != 0 && !(SUSPEND_UNUSED_DAYS_LEAST..=INACTIVE_DAYS_MAX).contains(&unused) {
            return Err(ConfigError::Unused(unused));
        }
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        if self.name.is_empty() || self.name.len() > NAME_MAX || !self.name.bytes().all(plain) {
            return Err(ConfigError::Name(self.name.clone()));
        }
        self.site().map(drop)
    }

    /// Where the store is on a disk of this machine.
    pub fn store_directory(&self) -> Option<&Path> {
        match &self.store {
            Engine::Rocksdb {} => Some(&self.data_directory),
            Engine::Postgresql(_) => None,
        }
    }

    /// The site that passkeys are bound to.
    pub fn site(&self) -> Result<Option<RelyingParty>, ConfigError> {
        let url = self.http.public_url.as_deref();
        Ok(url.map(|url| RelyingParty::new(url, &self.name)).transpose()?)
    }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

/// `10.0.0.0/8`, or an address alone.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let wrong = |text| de::Error::custom(format!("{text:?} is no address or network, e.g. 10.0.0.0/8"));
    let network = |text: String| {
        let whole = text.parse().ok();
        whole.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).ok_or_else(|| wrong(text))
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(network).collect()
}

mod environment;
#[cfg(test)]
mod tests;
