//! Files beside the store, in memory.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::shelf::{NewFile, Shelf};

/// A directory in memory, on a disk that can be full.
#[derive(Clone, Default)]
pub struct Memory {
    pub files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub full: Arc<Mutex<bool>>,
}

struct Beside {
    memory: Memory,
    name: String,
    bytes: Vec<u8>,
}

impl Shelf for Memory {
    fn begin(&self, name: &str) -> io::Result<Box<dyn NewFile>> {
        assert!(!self.files.lock().contains_key(name), "no name is used twice");
        Ok(Box::new(Beside { memory: self.clone(), name: name.to_owned(), bytes: Vec::new() }))
    }

    fn read(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let files = self.files.lock();
        let file = files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap();
        file.get(start..start + length).map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(self.files.lock().get(name).map(|file| file.len() as u64))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(drop).ok_or_else(|| io::Error::other("it is not there"))
    }
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.memory.full.lock() && self.bytes.len() + bytes.len() > 1000 {
            return Err(io::Error::other("the disk is full"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for Beside {
    fn keep(self: Box<Self>) -> io::Result<()> {
        self.memory.files.lock().insert(self.name, self.bytes);
        Ok(())
    }
}
