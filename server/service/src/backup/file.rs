//! What a backup says, inside of its encryption (`docs/formats.md`, "Backup file"): every row of one moment, in the order of the keys,
//! and at its end how many there are and what all of it comes to. It is written and read a row at a time.
//!
//! A file that was cut or altered is noticed by its encryption, and here once more: what was read is whole only when its end was.

use std::io::{self, ErrorKind, Read, Write};

use claviger_api::Timestamp;
use claviger_store::{Row, StoreKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What every backup begins with.
const MAGIC: &[u8; 16] = b"claviger-backup\n";
/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;
/// A row follows.
const ROW: u8 = 0x01;
/// The end follows.
const END: u8 = 0xff;
/// The longest head, key and value: more is damage, and is not read into memory.
const HEAD_MOST: u32 = 64 << 10;
const KEY_MOST: u16 = 4 << 10;
const VALUE_MOST: u32 = 64 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Which vault.
    pub vault: Uuid,
    /// What it calls itself.
    pub name: String,
    /// The moment of which it tells.
    pub moment: Timestamp,
    /// The version of the store's format.
    pub store_format: u32,
    /// The version of the program that wrote it.
    pub program: String,
}

/// A backup that is being written.
pub struct Writer<W: Write> {
    to: W,
    hash: Sha256,
    rows: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the head.
    pub fn begin(to: W, head: &Head) -> io::Result<Self> {
        let mut writer = Self { to, hash: Sha256::new(), rows: 0 };
        let head = serde_json::to_vec(head).map_err(io::Error::other)?;
        writer.put(MAGIC)?;
        writer.put(&VERSION.to_be_bytes())?;
        writer.put(&length::<u32>(head.len())?.to_be_bytes())?;
        writer.put(&head)?;
        Ok(writer)
    }

    /// Writes the next row.
    pub fn row(&mut self, key: &StoreKey, row: &Row) -> io::Result<()> {
        self.put(&[ROW])?;
        self.put(&length::<u16>(key.as_bytes().len())?.to_be_bytes())?;
        self.put(key.as_bytes())?;
        self.put(&row.revision.to_be_bytes())?;
        self.put(&length::<u32>(row.value.len())?.to_be_bytes())?;
        self.put(&row.value)?;
        self.rows += 1;
        Ok(())
    }

    /// Writes the end. How many rows there are, and where it was written to.
    pub fn finish(mut self) -> io::Result<(u64, W)> {
        self.put(&[END])?;
        self.put(&self.rows.to_be_bytes())?;
        let hash = self.hash.finalize();
        self.to.write_all(&hash)?;
        Ok((self.rows, self.to))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }
}

fn length<N: TryFrom<usize>>(length: usize) -> io::Result<N> {
    N::try_from(length).map_err(|_| io::Error::new(ErrorKind::InvalidInput, "a row is too large for a backup"))
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is something else.
    #[error("this is no backup of Claviger's")]
    NotOurs,
    /// A newer program has written it.
    #[error(
        "the backup has version {0}, and this program reads versions up to {VERSION}: take the newer program that wrote it"
    )]
    Newer(u32),
    /// Its end is missing.
    #[error("the backup was cut: it ends before its end, and what is missing is not known; take another one")]
    Cut,
    /// It is not what was written.
    #[error("the backup is damaged ({0}): take another one")]
    Damaged(&'static str),
    /// It cannot be read.
    #[error("the backup cannot be read: {0}")]
    Io(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "kinds of the standard library's")]
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Cut,
            ErrorKind::InvalidData => Self::Damaged("a piece of it does not decrypt: it was cut or altered"),
            _ => Self::Io(error),
        }
    }
}

/// A backup that is being read. Nothing of it is to be believed before [`Reader::next_row`] has said that it is at its end.
pub struct Reader<R: Read> {
    from: R,
    hash: Sha256,
    rows: u64,
    last: Option<StoreKey>,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub fn begin(from: R) -> Result<(Head, Self), Unreadable> {
        let mut reader = Self { from, hash: Sha256::new(), rows: 0, last: None };
        if reader.array::<16>()? != *MAGIC {
            return Err(Unreadable::NotOurs);
        }
        let version = u32::from_be_bytes(reader.array()?);
        if version != VERSION {
            return Err(Unreadable::Newer(version));
        }
        let length = u32::from_be_bytes(reader.array()?);
        if length > HEAD_MOST {
            return Err(Unreadable::Damaged("its head is too long"));
        }
        let head = reader.bytes(length as usize)?;
        let head = serde_json::from_slice(&head).map_err(|_| Unreadable::Damaged("its head cannot be understood"))?;
        Ok((head, reader))
    }

    /// The next row; nothing at its end, which was as it should be.
    pub fn next_row(&mut self) -> Result<Option<(StoreKey, Row)>, Unreadable> {
        let [tag] = self.array()?;
        if tag == END {
            return self.end().map(|()| None);
        }
        if tag != ROW {
            return Err(Unreadable::Damaged("there is neither a row nor the end"));
        }
        let length = u16::from_be_bytes(self.array()?);
        if length > KEY_MOST {
            return Err(Unreadable::Damaged("a key is too long"));
        }
        let key = StoreKey::from_stored(self.bytes(usize::from(length))?);
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(Unreadable::Damaged("its rows are not in order"));
        }
        let revision = u64::from_be_bytes(self.array()?);
        let length = u32::from_be_bytes(self.array()?);
        if length > VALUE_MOST {
            return Err(Unreadable::Damaged("a row is too long"));
        }
        let value = self.bytes(length as usize)?.into();
        self.rows += 1;
        self.last = Some(key.clone());
        Ok(Some((key, Row { revision, value })))
    }

    /// How many rows were read.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    fn end(&mut self) -> Result<(), Unreadable> {
        let rows = u64::from_be_bytes(self.array()?);
        let wanted: [u8; 32] = self.hash.clone().finalize().into();
        if self.array::<32>()? != wanted {
            return Err(Unreadable::Damaged("its digest is not that of its rows"));
        }
        if rows != self.rows {
            return Err(Unreadable::Damaged("it has not as many rows as it says"));
        }
        if self.from.read(&mut [0])? > 0 {
            return Err(Unreadable::Damaged("something follows its end"));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        self.hash.update(bytes);
        Ok(bytes)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, Unreadable> {
        let mut bytes = vec![0; length];
        self.from.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            vault: Uuid::from_u128(7),
            name: "vault.test".to_owned(),
            moment: Timestamp::UNIX_EPOCH,
            store_format: 1,
            program: "0.1.0".to_owned(),
        }
    }

    fn row(n: u8) -> (StoreKey, Row) {
        (StoreKey::from_stored(vec![1, n]), Row { revision: u64::from(n), value: vec![n; usize::from(n)].into() })
    }

    fn written(rows: &[(StoreKey, Row)]) -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), &head()).unwrap();
        for (key, row) in rows {
            writer.row(key, row).unwrap();
        }
        writer.finish().unwrap().1
    }

    fn read(bytes: &[u8]) -> Result<(Head, Vec<(StoreKey, Row)>), Unreadable> {
        let (head, mut reader) = Reader::begin(bytes)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row);
        }
        Ok((head, rows))
    }

    #[test]
    fn what_was_written_is_read() {
        for count in [0, 1, 200] {
            let rows: Vec<_> = (0..count).map(row).collect();
            let (found, back) = read(&written(&rows)).unwrap();
            assert_eq!((found, back), (head(), rows));
        }
    }

    #[test]
    fn whatever_is_cut_altered_or_added_is_refused() {
        let rows: Vec<_> = (0..20).map(row).collect();
        let file = written(&rows);
        for cut in 0..file.len() {
            assert!(matches!(read(&file[..cut]), Err(Unreadable::Cut)), "{cut}");
        }
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 0x10;
            assert!(read(&altered).is_err(), "{at}");
        }
        let longer = [file.as_slice(), &[0]].concat();
        assert!(matches!(read(&longer), Err(Unreadable::Damaged("something follows its end"))));
        assert!(matches!(read(&written(&[row(2), row(1)])), Err(Unreadable::Damaged("its rows are not in order"))));
        assert!(matches!(read(b"something else entirely"), Err(Unreadable::NotOurs)));
        let mut newer = file;
        newer[19] = 2;
        assert!(matches!(read(&newer), Err(Unreadable::Newer(2))));
    }

    #[test]
    fn the_form_is_frozen() {
        let file = written(&[row(1), row(2)]);
        let digest = hex::encode(Sha256::digest(&file));
        assert_eq!(
            (file.len(), digest.as_str()),
            (237, "a42e5188245dd8b4ca11d040f430c0b712ebd8ac522f8e56cc866f3bfe616a03")
        );
    }
}
