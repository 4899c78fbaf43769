//! Files that the vault keeps outside of its store: backups, and the oldest entries of its logs.

use std::io::{self, Write};

/// A directory of such files, and nothing else yet.
pub trait Shelf: Send + Sync {
    /// Begins a file of this name, which nobody sees before it is kept. Refused where there is one.
    fn begin(&self, name: &str) -> io::Result<Box<dyn NewFile>>;

    /// A part of a file. Refused where it is not there, or is shorter.
    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// How many bytes a file has; nothing, where there is none.
    fn length(&self, name: &str) -> io::Result<Option<u64>>;

    /// The names of all files that are there.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A file that is being written; dropped, it is gone.
pub trait NewFile: Write + Send {
    /// Keeps it: when this is done it is there under its name, whole, whatever happens to the machine.
    fn keep(self: Box<Self>) -> io::Result<()>;
}
