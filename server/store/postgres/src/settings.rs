//! Where the database is, and how it is entered.

use std::fmt;
use std::net::IpAddr;

use claviger_api::Secret;

use crate::{OpenError, tls};

/// Where the database is, and how it is entered. There is no default: each is said.
pub struct Settings {
    /// The server's host name or address. One, which takes writes: not a list, not a socket's directory.
    pub host: String,
    /// Its port; PostgreSQL's own is 5432.
    pub port: u16,
    /// The database, which exists.
    pub database: String,
    /// The role that logs in. It owns the tables `claviger_rows` and `claviger_node`, or may create them.
    pub user: String,
    /// The role's password.
    pub password: Secret,
    /// How the connection is protected.
    pub tls: Tls,
}

/// How the connection is protected. Two ways only: encryption to a server that does not prove who it is protects
/// nothing from whoever stands between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// The server shows a certificate for its host name, as libpq's `verify-full`.
    VerifyFull {
        /// The CA that signed it, in PEM; those that the machine trusts when absent.
        ca_certificate: Option<String>,
    },
    /// No TLS: only to this machine itself.
    Disable,
}

impl Settings {
    /// Says what is wrong with them, as far as that can be told from here.
    pub fn check(&self) -> Result<(), OpenError> {
        self.check_place().map_err(OpenError::Settings)?;
        match &self.tls {
            Tls::VerifyFull { ca_certificate } => tls::verify_full(ca_certificate.as_deref()).map(drop),
            Tls::Disable => Ok(()),
        }
    }

    fn check_place(&self) -> Result<(), String> {
        for (name, value) in [("host", &self.host), ("database", &self.database), ("user", &self.user)] {
            if value.trim().is_empty() || value.contains('\0') {
                return Err(format!("the {name} is empty"));
            }
        }
        if self.host.contains([',', '/']) {
            return Err(format!("{} is not one host name or address", self.host));
        }
        if self.tls == Tls::Disable && !is_this_machine(&self.host) {
            return Err(format!(
                "{} is not a loopback address, and beyond this machine the connection must be encrypted: use verify-full",
                self.host
            ));
        }
        Ok(())
    }
}

/// Whether a host is this machine itself, so that nobody reads along on the way to it.
pub fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<IpAddr>().map(|address| address.to_canonical().is_loopback());
    address.unwrap_or(host == "localhost")
}

/// The server, for people.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL at {}:{}, database {}", self.host, self.port, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(host: &str, tls: Tls) -> Settings {
        let password = Secret::new("correct horse".to_owned()).unwrap();
        let (database, user) = ("vault".to_owned(), "vault".to_owned());
        Settings { host: host.to_owned(), port: 5432, database, user, password, tls }
    }

    #[test]
    fn without_tls_only_this_machine_is_reached() {
        for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost"] {
            assert_eq!(settings(host, Tls::Disable).check(), Ok(()), "{host}");
        }
        for host in ["192.0.2.1", "db.msp.example", "localhost.example", "0.0.0.0"] {
            assert!(settings(host, Tls::Disable).check().unwrap_err().to_string().contains("verify-full"), "{host}");
            assert_eq!(settings(host, Tls::VerifyFull { ca_certificate: None }).check(), Ok(()), "{host}");
        }
    }

    #[test]
    fn one_host_is_named() {
        for host in ["", " ", "a,b", "/run/postgresql", "a\0b"] {
            assert!(settings(host, Tls::VerifyFull { ca_certificate: None }).check().is_err(), "{host:?}");
        }
        let nameless = Settings { database: String::new(), ..settings("localhost", Tls::Disable) };
        assert_eq!(nameless.check(), Err(OpenError::Settings("the database is empty".to_owned())));
    }

    #[test]
    fn the_password_is_not_shown() {
        assert_eq!(settings("::1", Tls::Disable).to_string(), "PostgreSQL at ::1:5432, database vault");
    }
}
