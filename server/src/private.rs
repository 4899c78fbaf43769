//! Files and directories that are the server's alone.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The rights of the group and of everybody.
const OTHERS: u32 = 0o077;
/// The right of the group to read.
const GROUP_READS: u32 = 0o040;

/// Why a file or directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// Others may read it, or enter it.
    #[error("{} is open to others (mode {mode:03o}): run `chmod go= {}`", path.display(), path.display())]
    TooOpen {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It cannot be looked at, made, read or written.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, PrivateError>;

/// Makes a directory, mode 0700, or refuses one that others may enter.
pub fn directory(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(_) => closed(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| io_error(path, source))
        }
        Err(source) => Err(io_error(path, source)),
    }
}

/// Refuses what others may read, write or enter.
pub fn closed(path: &Path) -> Result<()> {
    let mode = fs::metadata(path).map_err(|source| io_error(path, source))?.permissions().mode() & 0o777;
    if mode & OTHERS == 0 { Ok(()) } else { Err(PrivateError::TooOpen { path: path.to_owned(), mode }) }
}

/// Writes a file, mode 0600, whole or not at all.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let beside = path.with_extension("new");
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside);
    let written = written.and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&beside, path)).map_err(|source| io_error(path, source))
}

/// Reads a file that must be closed to others.
pub fn read(path: &Path) -> Result<String> {
    closed(path)?;
    fs::read_to_string(path).map_err(|source| io_error(path, source))
}

/// Reads what systemd has put there for this unit: its user may read it by an access list, which shows as a right of the group.
pub fn read_of_systemd(path: &Path) -> Result<String> {
    let mode = fs::metadata(path).map_err(|source| io_error(path, source))?.permissions().mode() & 0o777;
    if mode & OTHERS & !GROUP_READS != 0 {
        return Err(PrivateError::TooOpen { path: path.to_owned(), mode });
    }
    fs::read_to_string(path).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> PrivateError {
    PrivateError::Io { path: path.to_owned(), source }
}

/// Looks at a directory, where it is there; else notes that it will be made.
pub fn closed_or_made_later(path: &Path, notes: &mut Vec<String>) -> Result<()> {
    if path.exists() {
        return closed(path);
    }
    notes.push(format!("{} does not exist yet; it will be made", path.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn anvil_file_modes_what_others_may_use_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let (made, file) = (base.path().join("a/b"), base.path().join("key"));
        directory(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        write(&file, b"secret").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&file).unwrap(), "secret");
        for mode in [0o640, 0o604, 0o610, 0o660] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert!(matches!(read(&file), Err(PrivateError::TooOpen { .. })), "{mode:o}");
        }
        for (mode, fits) in [(0o400, true), (0o440, true), (0o444, false), (0o460, false), (0o404, false)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_of_systemd(&file).is_ok(), fits, "{mode:o}");
        }
        fs::set_permissions(&made, Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(directory(&made), Err(PrivateError::TooOpen { .. })));
    }
}
