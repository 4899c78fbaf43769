//! Where the rows are: an embedded store in the data directory, or a database of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_api::Secret;
use claviger_api::secret::BadSecret;
use claviger_postgres::{PostgresStore, Settings, Tls};
use claviger_rocksdb::RocksStore;
use claviger_store::Store;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::private::{self, PrivateError};

/// PostgreSQL's own port.
const POSTGRESQL_PORT: u16 = 5432;

/// Which engine keeps the rows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "engine", rename_all = "lowercase", deny_unknown_fields)]
pub enum Engine {
    /// The embedded one, in the data directory.
    Rocksdb {},
    /// A PostgreSQL server.
    Postgresql(Database),
}

impl Default for Engine {
    fn default() -> Self {
        Self::Rocksdb {}
    }
}

/// A database, and how it is entered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The server's host name or address.
    pub host: String,
    /// Its port.
    #[serde(default = "postgresql_port")]
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The role that logs in.
    pub user: String,
    /// The file that holds its password, and nothing else but the end of the line; readable by the server's user alone.
    pub password_file: PathBuf,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: DatabaseTls,
    /// The CA that signed the server's certificate, PEM; those that the machine trusts when absent.
    pub ca_certificate: Option<PathBuf>,
}

/// How the connection to a database is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DatabaseTls {
    /// The server shows a certificate for its host name.
    #[default]
    VerifyFull,
    /// No TLS: only to this machine itself.
    Disable,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The embedded store.
    #[error(transparent)]
    Rocksdb(#[from] claviger_rocksdb::OpenError),
    /// The database.
    #[error(transparent)]
    Postgresql(#[from] claviger_postgres::OpenError),
    /// The password's file.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// What the password's file holds.
    #[error("{} holds no password: {why}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: BadSecret,
    },
    /// The CA's certificate.
    #[error("the CA certificate {} cannot be read: {source}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl Engine {
    /// Opens the store.
    pub async fn open(&self, data_directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Self::Rocksdb {} => Arc::new(RocksStore::open(data_directory.join("store"))?),
            Self::Postgresql(database) => Arc::new(PostgresStore::open(database.settings()?).await?),
        })
    }

    /// Opens the store while no server does.
    pub async fn open_alone(&self, data_directory: &Path) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Rocksdb {} => self.open(data_directory).await,
            Self::Postgresql(database) => Ok(Arc::new(PostgresStore::open_alone(database.settings()?).await?)),
        }
    }

    /// Whether the rows are not in the data directory.
    pub const fn is_elsewhere(&self) -> bool {
        match self {
            Self::Rocksdb {} => false,
            Self::Postgresql(_) => true,
        }
    }

    /// Looks at the files that it names. What is not on this machine is noted, what is wrong refused.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), StoreError> {
        let Self::Postgresql(database) = self else { return Ok(()) };
        let named = [Some(&database.password_file), database.ca_certificate.as_ref()];
        let missing: Vec<_> = named.into_iter().flatten().filter(|path| !path.exists()).collect();
        for path in &missing {
            notes.push(format!("{} is not on this machine, and was not checked", path.display()));
        }
        if missing.is_empty() {
            database.settings()?.check()?;
        }
        Ok(())
    }
}

impl Database {
    fn settings(&self) -> Result<Settings, StoreError> {
        let path = &self.password_file;
        let text = Zeroizing::new(private::read(path)?);
        let password = Secret::new(text.trim_end().to_owned());
        let tls = match self.tls {
            DatabaseTls::VerifyFull => Tls::VerifyFull { ca_certificate: self.ca()? },
            DatabaseTls::Disable => Tls::Disable,
        };
        Ok(Settings {
            host: self.host.clone(),
            port: self.port,
            database: self.database.clone(),
            user: self.user.clone(),
            password: password.map_err(|why| StoreError::Password { path: path.clone(), why })?,
            tls,
        })
    }

    fn ca(&self) -> Result<Option<String>, StoreError> {
        let read =
            |path: &PathBuf| fs::read_to_string(path).map_err(|source| StoreError::Ca { path: path.clone(), source });
        self.ca_certificate.as_ref().map(read).transpose()
    }
}

fn postgresql_port() -> u16 {
    POSTGRESQL_PORT
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn database(password_file: PathBuf) -> Database {
        Database {
            host: "db.msp.example".to_owned(),
            port: POSTGRESQL_PORT,
            database: "claviger".to_owned(),
            user: "claviger".to_owned(),
            password_file,
            tls: DatabaseTls::VerifyFull,
            ca_certificate: None,
        }
    }

    #[test]
    fn anvil_file_modes_a_password_that_others_may_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        private::write(&file, b"correct horse\n").unwrap();
        assert_eq!(database(file.clone()).settings().unwrap().password.expose(), "correct horse");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let error = database(file.clone()).settings().err().unwrap();
        assert!(matches!(error, StoreError::Private(PrivateError::TooOpen { .. })), "{error}");
        private::write(&file, b"\n").unwrap();
        assert!(matches!(database(file).settings(), Err(StoreError::Password { .. })));
    }

    #[test]
    fn what_is_not_on_this_machine_is_noted_and_what_is_wrong_refused() {
        let directory = tempfile::tempdir().unwrap();
        let (file, ca) = (directory.path().join("password"), directory.path().join("ca.pem"));
        let engine = Engine::Postgresql(Database { ca_certificate: Some(ca.clone()), ..database(file.clone()) });
        let mut notes = Vec::new();
        engine.check_files(&mut notes).unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
        private::write(&file, b"correct horse").unwrap();
        fs::write(&ca, "no certificate").unwrap();
        let error = engine.check_files(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("holds no certificate"), "{error}");
    }
}
