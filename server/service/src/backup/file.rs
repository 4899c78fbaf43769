//! What a backup says, inside of its encryption (`docs/formats.md`, "Backup file"): every row of one moment, in the order of the keys,
//! and at its end how many there are and what all of it comes to. It is written and read a row at a time.
//!
//! An increment names the backup that it goes upon, and says of ranges of keys which rows are there now; elsewhere all is as it was.
//!
//! A file that was cut or altered is noticed by its encryption, and here once more: what was read is whole only when its end was.

use std::io::{self, ErrorKind, Read, Write};

use claviger_api::Timestamp;
use claviger_api::audit::hash::Hash;
use claviger_store::{Row, StoreKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// What every backup begins with.
const MAGIC: &[u8; 16] = b"claviger-backup\n";
/// The version of a whole backup, and that of an increment, which is the newest that is read.
const WHOLE: u32 = 1;
const INCREMENT: u32 = 2;
/// A row follows.
const ROW: u8 = 0x01;
/// A range follows.
const RANGE: u8 = 0x02;
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
    /// Of an increment, what it goes upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upon: Option<Upon>,
}

/// The backup that an increment goes upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upon {
    /// The moment of which that one tells.
    pub moment: Timestamp,
    /// What it comes to: the digest at its end.
    pub digest: Hash,
}

/// The keys from one on, up to another, which is not among them; or up to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The first.
    pub from: StoreKey,
    /// The first that is beyond.
    pub to: Option<StoreKey>,
}

impl Keys {
    /// Whether a key is among them.
    pub fn hold(&self, key: &StoreKey) -> bool {
        self.from <= *key && self.to.as_ref().is_none_or(|to| key < to)
    }
}

/// What a backup comes to.
pub struct Ended {
    /// How many rows there are.
    pub rows: u64,
    /// The digest at its end.
    pub digest: Hash,
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
        let (upon, head) = (head.upon.is_some(), serde_json::to_vec(head).map_err(io::Error::other)?);
        let version = if upon { INCREMENT } else { WHOLE };
        writer.put(MAGIC)?;
        writer.put(&version.to_be_bytes())?;
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

    /// Of an increment: the rows that follow are all that there is of these keys.
    pub fn range(&mut self, keys: &Keys) -> io::Result<()> {
        self.put(&[RANGE])?;
        for key in [Some(&keys.from), keys.to.as_ref()] {
            let key = key.map_or(&[] as &[u8], StoreKey::as_bytes);
            self.put(&length::<u16>(key.len())?.to_be_bytes())?;
            self.put(key)?;
        }
        Ok(())
    }

    /// Writes the end. What it comes to, and where it was written to.
    pub fn finish(mut self) -> io::Result<(Ended, W)> {
        self.put(&[END])?;
        self.put(&self.rows.to_be_bytes())?;
        let digest = Hash(self.hash.finalize().into());
        self.to.write_all(&digest.0)?;
        Ok((Ended { rows: self.rows, digest }, self.to))
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
        "the backup has version {0}, and this program reads versions up to {INCREMENT}: take the newer program that wrote it"
    )]
    Newer(u32),
    /// Its end is missing.
    #[error("the backup was cut: it ends before its end, and what is missing is not known; take another one")]
    Cut,
    /// It is not what was written.
    #[error("the backup is damaged ({0}): take another one")]
    Damaged(&'static str),
    /// It goes upon another one.
    #[error(
        "the increment of {moment} does not go upon the file before it: give a whole backup, and after it all increments upon it, in the \
         order of their names"
    )]
    Elsewhere {
        /// The moment of the increment.
        moment: Timestamp,
    },
    /// It is not what belongs at its place.
    #[error("{0}: give a whole backup, and after it all increments upon it, in the order of their names")]
    Place(&'static str),
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

/// What comes next in a backup.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// Of an increment: these keys are told of now.
    Range(Keys),
    /// A row.
    Row(StoreKey, Row),
}

/// A backup that is being read. Nothing of it is to be believed before [`Reader::next_item`] has said that it is at its end.
pub struct Reader<R: Read> {
    from: R,
    hash: Sha256,
    increment: bool,
    rows: u64,
    last: Option<StoreKey>,
    keys: Option<Keys>,
    digest: Option<Hash>,
}

impl<R: Read> Reader<R> {
    /// Reads the head.
    pub fn begin(from: R) -> Result<(Head, Self), Unreadable> {
        let (hash, increment) = (Sha256::new(), false);
        let mut reader = Self { from, hash, increment, rows: 0, last: None, keys: None, digest: None };
        if reader.array::<16>()? != *MAGIC {
            return Err(Unreadable::NotOurs);
        }
        let version = u32::from_be_bytes(reader.array()?);
        if ![WHOLE, INCREMENT].contains(&version) {
            return Err(Unreadable::Newer(version));
        }
        reader.increment = version == INCREMENT;
        let length = u32::from_be_bytes(reader.array()?);
        if length > HEAD_MOST {
            return Err(Unreadable::Damaged("its head is too long"));
        }
        let head = reader.bytes(length as usize)?;
        let head: Head =
            serde_json::from_slice(&head).map_err(|_| Unreadable::Damaged("its head cannot be understood"))?;
        if head.upon.is_some() != reader.increment {
            return Err(Unreadable::Damaged("its head is not that of its version"));
        }
        Ok((head, reader))
    }

    /// What comes next; nothing at its end, which was as it should be.
    pub fn next_item(&mut self) -> Result<Option<Item>, Unreadable> {
        let [tag] = self.array()?;
        match tag {
            END => self.end().map(|()| None),
            RANGE if self.increment => self.range().map(|keys| Some(Item::Range(keys))),
            ROW => self.row().map(|(key, row)| Some(Item::Row(key, row))),
            _ => Err(Unreadable::Damaged("there is neither a row nor the end")),
        }
    }

    /// The digest at its end, once that was read.
    pub const fn digest(&self) -> Option<Hash> {
        self.digest
    }

    fn row(&mut self) -> Result<(StoreKey, Row), Unreadable> {
        let key = StoreKey::from_stored(self.key()?);
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(Unreadable::Damaged("its rows are not in order"));
        }
        if self.increment && self.keys.as_ref().is_none_or(|keys| !keys.hold(&key)) {
            return Err(Unreadable::Damaged("a row is outside of what it tells of"));
        }
        let revision = u64::from_be_bytes(self.array()?);
        let length = u32::from_be_bytes(self.array()?);
        if length > VALUE_MOST {
            return Err(Unreadable::Damaged("a row is too long"));
        }
        let value = self.bytes(length as usize)?.into();
        self.rows += 1;
        self.last = Some(key.clone());
        Ok((key, Row { revision, value }))
    }

    fn range(&mut self) -> Result<Keys, Unreadable> {
        let (from, to) = (StoreKey::from_stored(self.key()?), self.key()?);
        let keys = Keys { from, to: (!to.is_empty()).then(|| StoreKey::from_stored(to)) };
        let is_after = |before: &Keys| before.to.as_ref().is_some_and(|to| *to <= keys.from);
        let in_order = self.keys.as_ref().is_none_or(is_after);
        if !in_order || keys.to.as_ref().is_some_and(|to| *to <= keys.from) {
            return Err(Unreadable::Damaged("its ranges are not in order"));
        }
        self.keys = Some(keys.clone());
        Ok(keys)
    }

    fn key(&mut self) -> Result<Vec<u8>, Unreadable> {
        let length = u16::from_be_bytes(self.array()?);
        if length > KEY_MOST {
            return Err(Unreadable::Damaged("a key is too long"));
        }
        self.bytes(usize::from(length))
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
        self.digest = Some(Hash(wanted));
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
            upon: None,
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
        while let Some(item) = reader.next_item()? {
            let Item::Row(key, row) = item else { panic!("a range in a whole backup") };
            rows.push((key, row));
        }
        Ok((head, rows))
    }

    /// A range, from one key to another, and its rows.
    type Told<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

    /// An increment that tells of these.
    fn increment(told: &[Told<'_>]) -> Vec<u8> {
        let upon = Some(Upon { moment: Timestamp::UNIX_EPOCH, digest: Hash([3; 32]) });
        let mut writer = Writer::begin(Vec::new(), &Head { upon, ..head() }).unwrap();
        let key = |bytes: &[u8]| StoreKey::from_stored(bytes);
        for (from, to, rows) in told {
            writer.range(&Keys { from: key(from), to: to.map(key) }).unwrap();
            for n in *rows {
                let (key, value) = row(*n);
                writer.row(&key, &value).unwrap();
            }
        }
        writer.finish().unwrap().1
    }

    fn items(bytes: &[u8]) -> Result<Vec<Item>, Unreadable> {
        let (_, mut reader) = Reader::begin(bytes)?;
        let mut items = Vec::new();
        while let Some(item) = reader.next_item()? {
            items.push(item);
        }
        Ok(items)
    }

    #[test]
    fn an_increment_tells_of_ranges_in_order_and_of_nothing_else() {
        let good =
            increment(&[(&[], Some(&[1, 3]), &[1, 2]), (&[1, 3], Some(&[1, 5]), &[]), (&[1, 7], None, &[7, 200])]);
        let found = items(&good).unwrap();
        let ranges = found.iter().filter(|item| matches!(item, Item::Range(_))).count();
        assert_eq!((found.len(), ranges), (7, 3));
        for (what, wrong) in [
            ("outside", increment(&[(&[1, 3], Some(&[1, 5]), &[6])])),
            ("outside", increment(&[(&[1, 3], Some(&[1, 5]), &[2])])),
            ("ranges are not", increment(&[(&[1, 3], Some(&[1, 5]), &[]), (&[1, 4], None, &[])])),
            ("ranges are not", increment(&[(&[1, 3], None, &[]), (&[1, 4], None, &[])])),
            ("ranges are not", increment(&[(&[1, 3], Some(&[1, 3]), &[])])),
            ("rows are not", increment(&[(&[], None, &[2, 1])])),
        ] {
            let refused = items(&wrong).unwrap_err().to_string();
            assert!(refused.contains(what), "{what}: {refused}");
        }
        for cut in 0..good.len() {
            assert!(matches!(items(&good[..cut]), Err(Unreadable::Cut)), "{cut}");
        }
        for at in 0..good.len() {
            let mut altered = good.clone();
            altered[at] ^= 0x10;
            assert!(items(&altered).is_err(), "{at}");
        }
        let mut disguised = good;
        disguised[19] = 1;
        assert!(items(&disguised).unwrap_err().to_string().contains("its head is not that of its version"));
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
        newer[19] = 3;
        assert!(matches!(read(&newer), Err(Unreadable::Newer(3))));
    }

    #[test]
    fn the_form_is_frozen() {
        let file = written(&[row(1), row(2)]);
        let digest = hex::encode(Sha256::digest(&file));
        assert_eq!(
            (file.len(), digest.as_str()),
            (237, "a42e5188245dd8b4ca11d040f430c0b712ebd8ac522f8e56cc866f3bfe616a03")
        );
        let file = increment(&[(&[], Some(&[1, 3]), &[1, 2]), (&[1, 3], None, &[])]);
        let digest = hex::encode(Sha256::digest(&file));
        assert_eq!(
            (file.len(), digest.as_str()),
            (368, "af05abc329537c329cc296b983d062c683468bcadbd0df45295a7efac7ce11a3")
        );
    }
}
