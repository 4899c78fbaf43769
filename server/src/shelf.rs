//! A directory of files that the vault keeps outside of its store: written beside their names, mode 0600, and moved there when they
//! are whole. It may be on another, slower disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_service::shelf::{NewFile, Shelf};

use crate::private::{self, PrivateError};

/// A file that is being written begins with a dot and ends so.
const NEW: &str = ".new";

/// A directory of the server's alone.
pub struct Directory(PathBuf);

/// One that is being written.
struct Beside {
    file: BufWriter<File>,
    path: PathBuf,
    name: PathBuf,
    kept: bool,
}

impl Directory {
    /// This directory, which is made if need be. What a crash has left half-written is removed: nobody writes there yet.
    pub fn within(path: &Path) -> Result<Arc<dyn Shelf>, PrivateError> {
        private::directory(path)?;
        let shelf = Self(path.to_owned());
        shelf.sweep().map_err(|source| PrivateError::Io { path: path.to_owned(), source })?;
        Ok(Arc::new(shelf))
    }

    fn sweep(&self) -> io::Result<()> {
        for name in self.names()? {
            if name.starts_with('.') && name.ends_with(NEW) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

impl Shelf for Directory {
    fn begin(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        let (path, name) = (self.0.join(format!(".{name}{NEW}")), self.0.join(name));
        if name.exists() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, format!("{} is there already", name.display())));
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Box::new(Beside { file: BufWriter::new(file), path, name, kept: false }))
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.0.join(name))?;
        // What a damaged row asks for is not taken from memory before it is known to be there.
        if file.metadata()?.len() < offset.saturating_add(length as u64) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.0.join(name)) {
            Ok(file) => Ok(Some(file.len())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
            // What cannot be removed is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn anvil_file_modes_a_file_is_the_servers_alone_and_whole_or_not_there() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("shelf");
        let shelf = Directory::within(&directory).unwrap();
        let mut file = shelf.begin("claviger-a").unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(shelf.names().unwrap(), [".claviger-a.new"]);
        assert_eq!(shelf.length("claviger-a").unwrap(), None);
        drop(file);
        assert_eq!(shelf.names().unwrap(), Vec::<String>::new());
        let mut file = shelf.begin("claviger-a").unwrap();
        file.write_all(b"one two").unwrap();
        assert!(shelf.read("claviger-a", 0, 1).is_err(), "not before it is whole");
        file.keep().unwrap();
        assert_eq!(
            (shelf.names().unwrap(), shelf.length("claviger-a").unwrap()),
            (vec!["claviger-a".to_owned()], Some(7))
        );
        assert_eq!(shelf.read("claviger-a", 4, 3).unwrap(), b"two");
        assert_eq!(shelf.read("claviger-a", 4, 4).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&directory.join("claviger-a"))), (0o700, 0o600));
        assert_eq!(shelf.begin("claviger-a").err().unwrap().kind(), ErrorKind::AlreadyExists, "none is overwritten");
    }

    #[test]
    fn what_a_crash_has_left_goes_at_the_next_start_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("shelf");
        drop(Directory::within(&directory).unwrap());
        for name in [".claviger-x.new", "claviger-old", "notes.txt", ".hidden", "notes.new"] {
            fs::write(directory.join(name), b"").unwrap();
        }
        let mut names = Directory::within(&directory).unwrap().names().unwrap();
        names.sort();
        assert_eq!(names, [".hidden", "claviger-old", "notes.new", "notes.txt"]);
    }
}
