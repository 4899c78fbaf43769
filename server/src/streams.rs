//! Streams of the audit log, as the configuration describes them, and the ways that they take.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use claviger_api::Part;
use claviger_api::wire::HttpsUrl;
use claviger_service::audit::stream::{Format, Logs, Progress, Sink, Stream};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Deserializer, de};

use crate::private;
use crate::tls::{self, TlsError};

mod file;
mod https;
mod syslog;

/// The port of syslog over TLS (RFC 5425 §4.1).
const SYSLOG_TLS_PORT: u16 = 6514;
/// How long a receiver has an entry before it counts as received, unless the configuration says otherwise.
const SETTLE_SECONDS: u64 = 5;
/// The longest.
pub(crate) const SETTLE_SECONDS_MOST: u64 = 300;

/// A stream in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamSettings {
    /// What the operator calls it. How far it has come is known by this name.
    pub name: Part,
    /// Where it leads.
    pub to: Destination,
    /// How entries are written.
    pub format: Format,
    /// The CAs of the receiver's certificate, PEM; of an https receiver those that the machine trusts when absent.
    pub ca_file: Option<PathBuf>,
    /// The certificate shown to the receiver, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM; readable by the server's user alone.
    pub key: Option<PathBuf>,
    /// The file with what an https receiver wants in `Authorization`; readable by the server's user alone.
    pub token_file: Option<PathBuf>,
    /// Which customers' logs, by their slugs; all when absent.
    pub customers: Option<BTreeSet<Part>>,
    /// Whether the operator's log.
    #[serde(default = "yes")]
    pub operator_log: bool,
    /// How long a receiver has an entry before it counts as received.
    pub settle_seconds: Option<u64>,
}

/// Where a stream leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A receiver of syslog over TLS.
    SyslogTls {
        /// Its host name or address: what its certificate must name.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A receiver of lines by POST.
    Https(HttpsUrl),
    /// A file, a line an entry.
    File(PathBuf),
}

/// Why a stream cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// Another has its name.
    #[error("there are two of this name, and how far each has come is known by it")]
    Twice,
    /// Nobody would be known.
    #[error("ca_file is missing: without it nobody knows whether the receiver is the right one")]
    NoCa,
    /// Half an identity.
    #[error("certificate and key go together: name both, or none")]
    HalfAnIdentity,
    /// Keys of another way.
    #[error("{keys} cannot be said of {to}")]
    OfAnotherWay {
        /// Which keys.
        keys: &'static str,
        /// Of which way.
        to: &'static str,
    },
    /// No log.
    #[error("it tells of no log: name a customer, or leave operator_log on")]
    NoLog,
    /// The settling time.
    #[error("settle_seconds is 1 to {SETTLE_SECONDS_MOST}, not {0}")]
    Settle(u64),
}

impl StreamSettings {
    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<(), BadStream> {
        if !self.operator_log && self.customers.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(BadStream::NoLog);
        }
        let of_syslog = self.certificate.is_some() || self.key.is_some() || self.settle_seconds.is_some();
        match self.to {
            Destination::File(_) if of_syslog || self.own_files().next().is_some() => Err(BadStream::OfAnotherWay {
                keys: "ca_file, certificate, key, token_file and settle_seconds",
                to: "a file",
            }),
            Destination::Https(_) if of_syslog => {
                Err(BadStream::OfAnotherWay { keys: "certificate, key and settle_seconds", to: "https" })
            }
            Destination::File(_) | Destination::Https(_) => Ok(()),
            Destination::SyslogTls { .. } if self.token_file.is_some() => {
                Err(BadStream::OfAnotherWay { keys: "token_file", to: "syslog+tls" })
            }
            Destination::SyslogTls { .. } if self.ca_file.is_none() => Err(BadStream::NoCa),
            Destination::SyslogTls { .. } if self.certificate.is_some() != self.key.is_some() => {
                Err(BadStream::HalfAnIdentity)
            }
            Destination::SyslogTls { .. } => match self.settle_seconds {
                Some(seconds) if !(1..=SETTLE_SECONDS_MOST).contains(&seconds) => Err(BadStream::Settle(seconds)),
                Some(_) | None => Ok(()),
            },
        }
    }

    /// Looks at the files that it names. What is not on this machine is noted, what is wrong refused.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), TlsError> {
        let missing: Vec<_> = self.own_files().filter(|path| !path.exists()).collect();
        for path in &missing {
            notes.push(format!("{} is not on this machine, and was not checked", path.display()));
        }
        self.check_token()?;
        if missing.is_empty() { self.sink("").map(drop) } else { Ok(()) }
    }

    /// The token is read whenever it is needed, and may come later; one that others may read is refused before.
    fn check_token(&self) -> Result<(), TlsError> {
        let there = self.token_file.as_ref().filter(|path| path.exists());
        Ok(there.map_or(Ok(()), |token| private::closed(token))?)
    }

    /// The stream of a vault of this name. Its files are read now.
    pub fn stream(&self, vault: &str) -> Result<Arc<Stream>, TlsError> {
        self.check_token()?;
        let settle = match self.to {
            Destination::SyslogTls { .. } => Duration::from_secs(self.settle_seconds.unwrap_or(SETTLE_SECONDS)),
            // What is on the disk is there, and who answered a POST has it.
            Destination::File(_) | Destination::Https(_) => Duration::ZERO,
        };
        Ok(Arc::new(Stream {
            name: self.name.clone(),
            to: self.to.to_string(),
            format: self.format,
            logs: Logs { operator: self.operator_log, customers: self.customers.clone() },
            settle,
            sink: self.sink(vault)?,
            progress: Progress::default().into(),
        }))
    }

    fn sink(&self, vault: &str) -> Result<Arc<dyn Sink>, TlsError> {
        Ok(match &self.to {
            Destination::File(path) => Arc::new(file::FileSink(path.clone())),
            Destination::Https(url) => {
                let token = self.token_file.clone();
                Arc::new(https::HttpsPost::new(url, self.ca_file.as_deref(), token, self.format)?)
            }
            Destination::SyslogTls { host, port } => {
                let own = self.certificate.as_deref().zip(self.key.as_deref());
                let tls = tls::client_config(self.ca_file.as_deref().unwrap_or(Path::new("")), own)?;
                Arc::new(syslog::SyslogTls::new(host, *port, tls, vault))
            }
        })
    }

    fn own_files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca_file, &self.certificate, &self.key, &self.token_file].into_iter().flatten()
    }
}

/// As it is written in the configuration.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SyslogTls { host, port } if host.contains(':') => write!(f, "syslog+tls://[{host}]:{port}"),
            Self::SyslogTls { host, port } => write!(f, "syslog+tls://{host}:{port}"),
            Self::Https(url) => f.write_str(url.as_str()),
            Self::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no place for a stream: write syslog+tls://siem.msp.example:{SYSLOG_TLS_PORT}, \
                 https://siem.msp.example/path, or file:///var/log/claviger/audit.jsonl"
            )
        };
        if let Some(path) = text.strip_prefix("file://") {
            let path = PathBuf::from(path);
            return if path.is_absolute() && path.file_name().is_some() { Ok(Self::File(path)) } else { Err(wrong()) };
        }
        if text.starts_with("https://") {
            return text.parse().map(Self::Https).map_err(|_| wrong());
        }
        let authority = text.strip_prefix("syslog+tls://").ok_or_else(wrong)?;
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Ok(SYSLOG_TLS_PORT), |port| port.parse().map_err(|_| wrong()))?;
        if port == 0 || ServerName::try_from(host).is_err() {
            return Err(wrong());
        }
        Ok(Self::SyslogTls { host: host.to_owned(), port })
    }
}

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(rest: &str) -> StreamSettings {
        toml::from_str(&format!("name = 's'\nto = 'https://siem.msp.example/'\nformat = 'json'\n{rest}")).unwrap()
    }

    #[test]
    fn what_is_not_on_this_machine_is_noted_and_what_is_wrong_refused() {
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        let settings = settings(&format!("ca_file = '{}'", ca.display()));
        let mut notes = Vec::new();
        settings.check_files(&mut notes).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        fs::write(&ca, "no certificate").unwrap();
        assert!(matches!(settings.check_files(&mut Vec::new()), Err(TlsError::Empty(path)) if path == ca));
    }

    #[test]
    fn anvil_file_modes_a_token_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        private::write(&token, b"Bearer x").unwrap();
        let settings = settings(&format!("token_file = '{}'", token.display()));
        settings.check_files(&mut Vec::new()).unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(settings.check_files(&mut Vec::new()), Err(TlsError::Key(_))));
    }
}
