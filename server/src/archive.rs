//! Archives of the audit log as files in a directory, which may be on another, slower volume.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_service::audit::archive::{Archives, NewArchive};

use crate::private::{self, PrivateError};

/// What an archive is called until it is whole.
const UNFINISHED: &str = "unfinished";

/// A directory that is the server's alone.
pub struct FileArchives(PathBuf);

impl FileArchives {
    /// The archives in this directory, which is made if need be.
    pub fn within(directory: &Path) -> Result<Arc<dyn Archives>, PrivateError> {
        private::directory(directory)?;
        Ok(Arc::new(Self(directory.to_owned())))
    }
}

/// An archive that is being written.
struct NewFile {
    file: File,
    beside: PathBuf,
    path: PathBuf,
}

impl Archives for FileArchives {
    fn create(&self, name: &str) -> io::Result<Box<dyn NewArchive>> {
        let path = self.0.join(name);
        let beside = path.with_extension(UNFINISHED);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        Ok(Box::new(NewFile { file, beside, path }))
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        if file.metadata()?.len() < offset.saturating_add(length as u64) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn has(&self, name: &str, length: u64) -> bool {
        fs::metadata(self.0.join(name)).is_ok_and(|file| file.len() == length)
    }
}

impl NewArchive for NewFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_archive_is_there_when_it_is_whole_and_the_servers_alone() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("archives");
        let archives = FileArchives::within(&directory).unwrap();
        let mut new = archives.create("log-0-255.jsonl").unwrap();
        new.append(b"abandoned").unwrap();
        drop(new);
        assert!(!archives.has("log-0-255.jsonl", 9));
        let mut new = archives.create("log-0-255.jsonl").unwrap();
        new.append(b"one ").unwrap();
        new.append(b"two").unwrap();
        assert!(archives.read("log-0-255.jsonl", 0, 1).is_err(), "not before it is whole");
        new.finish().unwrap();
        assert!(archives.has("log-0-255.jsonl", 7) && !archives.has("log-0-255.jsonl", 8));
        assert_eq!(archives.read("log-0-255.jsonl", 4, 3).unwrap(), b"two");
        assert_eq!(archives.read("log-0-255.jsonl", 4, 4).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join("log-0-255.jsonl"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "nothing is left beside it");
    }
}
