//! Anchors in files: on another volume, or one that a backup of the store does not bring back with it.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_service::audit::anchor::Anchor;

/// What is written until it is whole.
const NEW: &str = "new";

/// A file that holds one signed note and nothing else.
pub struct FileAnchor(PathBuf);

impl FileAnchor {
    /// The anchor in this file, which the first write makes.
    pub fn at(path: PathBuf) -> Arc<dyn Anchor> {
        Arc::new(Self(path))
    }
}

impl Anchor for FileAnchor {
    fn read(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(&self.0) {
            Ok(note) => Ok(Some(note)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&self, note: &str) -> io::Result<()> {
        let new = self.0.with_extension(NEW);
        let mut file = fs::File::create(&new)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::File::open(folder)?.sync_all()
    }
}
