//! Backups in a directory: written beside their names, mode 0600, and moved there when they are whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_service::backup::{Backups, NewFile, Shelf};
use claviger_service::crypto::recipients::Recipient;
use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, de};

use crate::private::{self, PrivateError};

/// Another backup is taken when the last is as old.
const EVERY_HOURS: u32 = 24;
/// So many are kept.
const KEEP: u32 = 14;
/// A file that is being written begins with a dot and ends so.
const NEW: &str = "new";

/// Backups, as the configuration writes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSettings {
    /// Where they go: a directory of the server's alone, on another disk than the store's.
    pub directory: PathBuf,
    /// For whom they are: age public keys (`age1…`).
    #[serde(deserialize_with = "recipients")]
    pub recipients: Vec<Recipient>,
    /// How old the last may be before another is taken; 0 for never.
    #[serde(default = "every_hours")]
    pub every_hours: u32,
    /// How many are kept.
    #[serde(default = "keep")]
    pub keep: u32,
}

/// What is wrong with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBackups {
    /// They go with the store.
    #[error("directory is within the data directory, and would be lost with the store: name one on another disk")]
    WithTheStore,
    /// They are for nobody.
    #[error("recipients is empty: name the age public key (age1…) of somebody who keeps its private key elsewhere")]
    ForNobody,
    /// The last one would go.
    #[error("keep is 1 or more")]
    KeepNone,
}

impl BackupSettings {
    /// Says what is wrong with them.
    pub fn check(&self, data_directory: &Path) -> Result<(), BadBackups> {
        if self.directory.starts_with(data_directory) {
            return Err(BadBackups::WithTheStore);
        }
        if self.recipients.is_empty() {
            return Err(BadBackups::ForNobody);
        }
        if self.keep == 0 { Err(BadBackups::KeepNone) } else { Ok(()) }
    }

    /// The directory, which is made where it is not there, and what is done there.
    pub fn backups(&self) -> Result<Arc<Backups>, PrivateError> {
        private::directory(&self.directory)?;
        Ok(Arc::new(Backups {
            shelf: Arc::new(Directory(self.directory.clone())),
            recipients: self.recipients.clone(),
            every: (self.every_hours > 0).then(|| SignedDuration::from_hours(self.every_hours.into())),
            keep: self.keep as usize,
        }))
    }

    /// Looks at the directory, where it is there.
    pub fn check_files(&self, notes: &mut Vec<String>) -> Result<(), PrivateError> {
        if self.directory.exists() {
            return private::closed(&self.directory);
        }
        notes.push(format!("{} does not exist yet; it will be made", self.directory.display()));
        Ok(())
    }
}

fn every_hours() -> u32 {
    EVERY_HOURS
}

fn keep() -> u32 {
    KEEP
}

fn recipients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Recipient>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(|error| de::Error::custom(format!("{text:?} is {error}")))).collect()
}

/// A directory of backups.
struct Directory(PathBuf);

/// One that is being written.
struct Beside {
    file: BufWriter<File>,
    path: PathBuf,
    name: PathBuf,
    kept: bool,
}

impl Shelf for Directory {
    fn begin(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        self.sweep()?;
        let (path, name) = (self.0.join(format!(".{name}.{NEW}")), self.0.join(name));
        if name.exists() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is there already", name.display())));
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Box::new(Beside { file: BufWriter::new(file), path, name, kept: false }))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }
}

impl Directory {
    /// Removes what a crash has left half-written: one backup at a time is taken.
    fn sweep(&self) -> io::Result<()> {
        for name in self.names()? {
            if name.starts_with(".claviger-") && name.ends_with(&format!(".{NEW}")) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for Beside {
    fn keep(mut self: Box<Self>) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        // The name has random digits, and nobody else writes here: it is looked at once more all the same.
        if self.name.exists() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is there already", self.name.display())));
        }
        fs::rename(&self.path, &self.name)?;
        self.kept = true;
        let folder = self.name.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed is removed before the next one.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn shelf() -> (tempfile::TempDir, Directory) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory(folder.path().to_owned());
        (folder, directory)
    }

    #[test]
    fn anvil_file_modes_a_backup_is_its_owners_alone_and_whole_or_not_there() {
        let (folder, shelf) = shelf();
        let mut file = shelf.begin("claviger-a").unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(shelf.names().unwrap(), [".claviger-a.new"]);
        drop(file);
        assert_eq!(shelf.names().unwrap(), Vec::<String>::new());
        let mut file = shelf.begin("claviger-a").unwrap();
        file.write_all(b"whole").unwrap();
        file.keep().unwrap();
        assert_eq!(shelf.names().unwrap(), ["claviger-a"]);
        let mode = fs::metadata(folder.path().join("claviger-a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(shelf.begin("claviger-a").err().unwrap().kind(), ErrorKind::AlreadyExists, "none is overwritten");
    }

    #[test]
    fn what_a_crash_has_left_goes_and_nothing_else() {
        let (folder, shelf) = shelf();
        for name in [".claviger-x.new", "claviger-old", "notes.txt", ".hidden"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        drop(shelf.begin("claviger-b").unwrap());
        let mut names = shelf.names().unwrap();
        names.sort();
        assert_eq!(names, [".hidden", "claviger-old", "notes.txt"]);
    }
}
