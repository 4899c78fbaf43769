//! The data directory: the server's alone, and opened once.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The store in this directory cannot be opened or copied.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Others may look into it.
    #[error("others may enter the data directory {} (mode {mode:03o}): run `chmod 700 {}`", path.display(), path.display())]
    TooOpen {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something else is there.
    #[error("{} is no directory: name another data directory", .0.display())]
    NotADirectory(PathBuf),
    /// Another process has it open.
    #[error("the data directory {} is in use by another server: stop that one first", .0.display())]
    InUse(PathBuf),
    /// It cannot be made or looked at.
    #[error("the data directory {} cannot be used: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// RocksDB refuses.
    #[error("the store cannot be opened: {0}")]
    Engine(String),
}

impl OpenError {
    /// What RocksDB's refusal to open this directory means.
    pub(crate) fn of_engine(directory: &Path, error: rocksdb::Error) -> Self {
        let message = error.into_string();
        // RocksDB has no code for it: "lock hold by current process" or "While lock file".
        if message.contains("lock hold by") || message.contains("While lock file") {
            Self::InUse(directory.to_owned())
        } else {
            Self::Engine(message)
        }
    }
}

/// Makes the directory, mode 0700, or refuses one that group or others may enter.
pub(crate) fn prepare(directory: &Path) -> Result<(), OpenError> {
    match fs::metadata(directory) {
        Ok(found) if !found.is_dir() => Err(OpenError::NotADirectory(directory.to_owned())),
        Ok(found) => match found.permissions().mode() & 0o777 {
            mode if mode & OTHERS == 0 => Ok(()),
            mode => Err(OpenError::TooOpen { path: directory.to_owned(), mode }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| io_error(directory, error))
        }
        Err(error) => Err(io_error(directory, error)),
    }
}

/// Takes all rights of group and others away.
pub(crate) fn make_private(directory: &Path) -> Result<(), OpenError> {
    fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(|error| io_error(directory, error))
}

fn io_error(directory: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: directory.to_owned(), source }
}

/// The rights of the group and of everybody.
const OTHERS: u32 = 0o077;
