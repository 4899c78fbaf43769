//! The configuration file: TOML, every key of it known. `deploy/claviger.example.toml` explains each.

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
        let text = fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text)
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

/// `10.0.0.0/8`, or an address alone.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let wrong = |text| de::Error::custom(format!("{text:?} is no address or network, e.g. 10.0.0.0/8"));
    let network = |text: String| {
        let whole = text.parse().ok();
        whole.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).ok_or_else(|| wrong(text))
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = 'vault.msp.example'\nlisten = '127.0.0.1:8200'\ndata_directory = '/var/lib/claviger'\n";

    #[test]
    fn a_retention_of_less_than_six_months_is_refused() {
        let of = |text: &str| Config::parse(&format!("{LEAST}[audit]\n{text}"));
        assert_eq!(of("").unwrap().audit.retention_days, 400);
        assert_eq!(
            of("retention_days = 184\narchive_directory = '/var/lib/archive'").unwrap().audit.retention_days,
            184
        );
        assert!(matches!(of("retention_days = 183"), Err(ConfigError::Retention(183))));
    }

    #[test]
    fn the_example_is_accepted_and_shows_the_defaults() {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
        let example = Config::parse(&text).unwrap();
        let least = Config::parse(LEAST).unwrap();
        assert_eq!(example.http, least.http);
        assert_eq!(example.budgets, least.budgets);
        assert_eq!((example.log, example.systems), (least.log, least.systems));
        assert_eq!(example.store, least.store);
        assert!(example.tls.is_some());
    }

    /// Every key is explained: each has a line of its own in the example, set or commented out.
    #[test]
    fn the_example_names_every_key() {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
        for key in [
            "name",
            "listen",
            "data_directory",
            "engine",
            "host",
            "port",
            "database",
            "user",
            "password_file",
            "module",
            "token",
            "key_label",
            "pin_file",
            "pin_credential",
            "tls",
            "ca_certificate",
            "certificate",
            "key",
            "client_ca",
            "workers",
            "connections_per_worker",
            "handshakes_per_worker",
            "request_head_seconds",
            "keep_alive_seconds",
            "shutdown_seconds",
            "public_url",
            "trusted_proxies",
            "allowed_addresses",
            "session_most_seconds",
            "suspend_unused_after_days",
            "each_source",
            "all",
            "level",
            "anchor_files",
            "to",
            "format",
            "ca_file",
            "token_file",
            "customers",
            "operator_log",
            "settle_seconds",
            "url",
            "customer",
            "directory",
            "recipients",
            "every_hours",
            "increments",
            "keep",
        ] {
            let named = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} = "));
            assert!(text.lines().any(named), "{key}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_alone() {
        for listen in ["127.0.0.1:8200", "[::1]:8200", "127.8.8.8:0"] {
            assert!(Config::parse(&LEAST.replace("127.0.0.1:8200", listen)).is_ok(), "{listen}");
        }
        for listen in ["0.0.0.0:8200", "[::]:8200", "192.0.2.1:8200"] {
            let text = LEAST.replace("127.0.0.1:8200", listen);
            assert!(matches!(Config::parse(&text), Err(ConfigError::PlainHttp(_))), "{listen}");
            assert!(Config::parse(&format!("{text}[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n")).is_ok());
        }
    }

    #[test]
    fn backups_go_elsewhere_are_for_somebody_and_one_is_kept() {
        let key = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let set = |directory: &str, recipients: &str, more: &str| {
            Config::parse(&format!("{LEAST}[backup]\ndirectory = '{directory}'\nrecipients = [{recipients}]\n{more}"))
        };
        let key = format!("'{key}'");
        let backup = set("/var/backups/claviger", &key, "").unwrap().backup.unwrap();
        assert_eq!((backup.every_hours, backup.keep, backup.recipients.len()), (24, 14, 1));
        for (directory, recipients, more, wrong) in [
            ("/var/lib/claviger/backups", key.as_str(), "", BadBackups::WithTheStore),
            ("/var/backups", "", "", BadBackups::ForNobody),
            ("/var/backups", &key, "keep = 0", BadBackups::KeepNone),
        ] {
            let refused = set(directory, recipients, more).unwrap_err();
            assert!(matches!(refused, ConfigError::Backup(why) if why == wrong), "{refused}");
        }
        let refused = set("/var/backups", "'age1notakey'", "").unwrap_err().to_string();
        assert!(refused.contains("not an age recipient"), "{refused}");
    }

    #[test]
    fn sessions_are_made_shorter_and_never_longer() {
        let set = |seconds: u64| Config::parse(&format!("{LEAST}[identities]\nsession_most_seconds = {seconds}"));
        assert_eq!(set(3600).unwrap().identities.session_most_seconds, 3600);
        for seconds in [0, SESSION_LEAST_SECONDS - 1, SESSION_MOST_SECONDS + 1] {
            assert!(matches!(set(seconds), Err(ConfigError::Session(_))), "{seconds}");
        }
    }

    #[test]
    fn the_unused_are_suspended_after_a_month_at_the_earliest_or_never() {
        let set = |days: u32| Config::parse(&format!("{LEAST}[identities]\nsuspend_unused_after_days = {days}"));
        assert_eq!(Config::parse(LEAST).unwrap().identities.suspend_unused(), Some(90));
        assert_eq!(set(45).unwrap().identities.suspend_unused(), Some(45));
        assert_eq!(set(0).unwrap().identities.suspend_unused(), None);
        for days in [1, 29, 3651] {
            assert!(matches!(set(days), Err(ConfigError::Unused(_))), "{days}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_sane_is_refused() {
        for surplus in [
            "colour = 'red'",
            "[http]\nworker = 3",
            "[http]\nworkers = 0",
            "[http]\ntrusted_proxies = ['everyone']",
            "[systems]\nallowed_addresses = ['10.0.0.0/99']",
            "[tls]\ncertificate = 'c.pem'",
            "[budgets.login]\neach_source = { per_second = 1, burst = 0 }\nall = { per_second = 1, burst = 1 }",
            "[log]\nlevel = 'loud'",
            "[store]",
            "[store]\nengine = 'sqlite'",
            "[store]\nengine = 'rocksdb'\nhost = 'db'",
            "[store]\nengine = 'postgresql'\nhost = 'db'\ndatabase = 'd'\nuser = 'u'",
            "[store]\nengine = 'postgresql'\nhost = 'db'\ndatabase = 'd'\nuser = 'u'\npassword_file = 'p'\ntls = 'prefer'",
            "[store]\nengine = 'postgresql'\nhost = 'db'\ndatabase = 'd'\nuser = 'u'\npassword_file = 'p'\npassword = 'x'",
        ] {
            assert!(matches!(Config::parse(&format!("{LEAST}{surplus}")), Err(ConfigError::Malformed(_))), "{surplus}");
        }
        for url in ["vault.msp.example", "http://vault.msp.example", "https://192.0.2.1", "https://vault.msp.example/x"]
        {
            let refused = Config::parse(&format!("{LEAST}[http]\npublic_url = '{url}'"));
            assert!(matches!(refused, Err(ConfigError::Site(_))), "{url}");
        }
        for name in ["", "Vault", "vault msp", "vault+msp", "v/1"] {
            let text = LEAST.replace("vault.msp.example", name);
            assert!(matches!(Config::parse(&text), Err(ConfigError::Name(_))), "{name}");
        }
    }

    /// What the example shows of a database, taken out of its comment, is a configuration.
    #[test]
    fn the_example_of_a_database_is_accepted() {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
        let (_, store) = text.split_once("\n[store]\n").unwrap();
        let (store, _) = store.split_once("\n# [").unwrap();
        let keys = |line: &&str| line.contains(" = ") && *line != "engine = \"rocksdb\"";
        let keys: Vec<&str> = store.lines().filter(keys).map(|line| line.trim_start_matches("# ")).collect();
        let config = Config::parse(&format!("{LEAST}[store]\nengine = 'postgresql'\n{}", keys.join("\n"))).unwrap();
        let Engine::Postgresql(shown) = config.store else { panic!("{:?}", config.store) };
        assert_eq!((shown.port, shown.tls), (5432, DatabaseTls::VerifyFull));
    }

    /// What the example shows of a stream, taken out of its comment, is a configuration, with the defaults.
    #[test]
    fn the_example_of_a_stream_is_accepted() {
        let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/claviger.example.toml")).unwrap();
        let (_, section) = text.split_once("\n# [[audit.streams]]\n").unwrap();
        let (section, _) = section.split_once("\n# [[").unwrap_or((section, ""));
        // A token is of https alone.
        let keys: Vec<&str> = section
            .lines()
            .map(|line| line.trim_start_matches("# "))
            .filter(|line| line.contains(" = ") && !line.starts_with("token_file"))
            .collect();
        let config = Config::parse(&format!("{LEAST}[[audit.streams]]\n{}", keys.join("\n"))).unwrap();
        let [shown] = &*config.audit.streams else { panic!("{:?}", config.audit) };
        assert_eq!(shown.to.to_string(), "syslog+tls://siem.msp.example:6514");
        let least =
            stream("name = 's'\nto = 'syslog+tls://siem.msp.example'\nformat = 'json'\nca_file = 'ca.pem'").unwrap();
        let [least] = &*least.audit.streams else { panic!("{:?}", least.audit) };
        assert_eq!((&shown.to, shown.operator_log), (&least.to, least.operator_log));
        assert_eq!(least.customers, None);
    }

    /// Nor is what it shows of a witness beyond it; what is none is refused with what one looks like.
    #[test]
    fn witnesses_are_named_by_an_address_and_a_key() {
        let key = claviger_api::audit::CosignerKey::new("witness.acme.example/w1", [7; 32]).unwrap();
        let witness = |text: &str| Config::parse(&format!("{LEAST}[[audit.witnesses]]\n{text}"));
        for url in ["https://witness.acme.example", "http://192.0.2.9:8900", "https://witness.acme.example:444/acme/"] {
            let config = witness(&format!("url = '{url}'\nkey = '{key}'\ncustomer = 'acme'")).expect(url);
            assert_eq!(config.audit.witnesses[0].key, key);
        }
        for (text, why) in [
            (format!("url = 'witness.acme.example'\nkey = '{key}'"), "begins with https://"),
            (format!("url = 'http://witness.acme.example'\nkey = '{key}'"), "names its port"),
            (format!("url = 'https://'\nkey = '{key}'"), "url"),
            ("url = 'https://w.example'\nkey = 'w+00000000+AA=='".to_owned(), "claviger witness init"),
            (format!("url = 'https://w.example'\nkey = '{key}'\ncustomer = 'Acme GmbH'"), "customer"),
            (format!("url = 'https://w.example'\nkey = '{key}'\npassword = 'x'"), "password"),
        ] {
            let refused = witness(&text).unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    fn stream(text: &str) -> Result<Config, ConfigError> {
        Config::parse(&format!("{LEAST}[[audit.streams]]\n{text}"))
    }

    #[test]
    fn streams_lead_where_they_say_or_are_refused() {
        for (to, rest) in [
            ("syslog+tls://siem.msp.example:6514", "ca_file = 'ca.pem'"),
            ("syslog+tls://192.0.2.9:601", "ca_file = 'ca.pem'\nsettle_seconds = 300"),
            ("syslog+tls://[2001:db8::9]:6514", "ca_file = 'ca.pem'\ncertificate = 'c.pem'\nkey = 'k.pem'"),
            ("https://siem.msp.example/services/collector/raw", "token_file = 'token'"),
            ("https://192.0.2.9:8088/", "ca_file = 'ca.pem'"),
            ("file:///var/log/claviger/audit.log", "customers = ['acme']\noperator_log = false"),
        ] {
            let config = stream(&format!("name = 's'\nto = '{to}'\nformat = 'cef'\n{rest}")).expect(to);
            assert_eq!(config.audit.streams[0].to.to_string(), to);
        }
        for to in [
            "siem.msp.example:6514",
            "syslog://siem.msp.example",
            "tcp://siem.msp.example:601",
            "syslog+tls://",
            "syslog+tls://siem.msp.example:0",
            "syslog+tls://siem.msp.example:70000",
            "syslog+tls://siem.msp.example/path",
            "syslog+tls://user@siem.msp.example",
            "syslog+tls://[2001:db8::9]6514",
            "https://",
            "https://user@siem.msp.example/",
            "http://siem.msp.example/",
            "file://audit.log",
            "file:///",
        ] {
            let refused = stream(&format!("name = 's'\nto = '{to}'\nformat = 'json'\nca_file = 'ca.pem'")).unwrap_err();
            assert!(refused.to_string().contains("is no place for a stream"), "{to}: {refused}");
        }
        let syslog = "to = 'syslog+tls://siem.msp.example'\nformat = 'json'";
        let file = "to = 'file:///var/log/audit'\nformat = 'json'";
        let https = "to = 'https://siem.msp.example/'\nformat = 'json'";
        let of_another = |to| {
            let keys = match to {
                "a file" => "ca_file, certificate, key, token_file and settle_seconds",
                "https" => "certificate, key and settle_seconds",
                _ => "token_file",
            };
            BadStream::OfAnotherWay { keys, to }
        };
        for (text, why) in [
            (format!("name = 's'\n{syslog}"), BadStream::NoCa),
            (format!("name = 's'\n{syslog}\nca_file = 'a'\nkey = 'k'"), BadStream::HalfAnIdentity),
            (format!("name = 's'\n{syslog}\nca_file = 'a'\nsettle_seconds = 0"), BadStream::Settle(0)),
            (format!("name = 's'\n{syslog}\nca_file = 'a'\nsettle_seconds = 301"), BadStream::Settle(301)),
            (format!("name = 's'\n{file}\nca_file = 'a'"), of_another("a file")),
            (format!("name = 's'\n{file}\ntoken_file = 'a'"), of_another("a file")),
            (format!("name = 's'\n{file}\nsettle_seconds = 5"), of_another("a file")),
            (format!("name = 's'\n{https}\nsettle_seconds = 5"), of_another("https")),
            (format!("name = 's'\n{https}\ncertificate = 'c'\nkey = 'k'"), of_another("https")),
            (format!("name = 's'\n{syslog}\nca_file = 'a'\ntoken_file = 't'"), of_another("syslog+tls")),
            (format!("name = 's'\n{file}\ncustomers = []\noperator_log = false"), BadStream::NoLog),
            (format!("name = 's'\n{file}\n[[audit.streams]]\nname = 's'\n{file}"), BadStream::Twice),
        ] {
            let refused = stream(&text).unwrap_err();
            assert!(matches!(&refused, ConfigError::Stream { why: found, .. } if *found == why), "{text}: {refused}");
        }
        for surplus in ["name = 'A B'", "format = 'xml'", "password = 'x'", "customers = ['Acme GmbH']"] {
            let text = format!("{file}\n{surplus}");
            let text = if surplus.starts_with("name") { text } else { format!("name = 's'\n{text}") };
            let text = if surplus.starts_with("format") { text.replacen("format = 'json'\n", "", 1) } else { text };
            assert!(matches!(stream(&text), Err(ConfigError::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn a_bare_connection_to_a_database_is_for_loopback_alone() {
        let store = |host| {
            let rest = "database = 'd'\nuser = 'u'\npassword_file = 'p'\ntls = 'disable'";
            Config::parse(&format!("{LEAST}[store]\nengine = 'postgresql'\nhost = '{host}'\n{rest}"))
        };
        assert!(store("127.0.0.1").is_ok() && store("localhost").is_ok());
        for host in ["192.0.2.1", "db.msp.example"] {
            assert!(matches!(store(host), Err(ConfigError::PlainDatabase(_))), "{host}");
        }
    }

    #[test]
    fn an_address_alone_is_a_network() {
        let config = Config::parse(&format!("{LEAST}[http]\ntrusted_proxies = ['10.1.2.3', '2001:db8::/32']")).unwrap();
        let proxies: Vec<String> = config.http.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["10.1.2.3/32", "2001:db8::/32"]);
    }
}
