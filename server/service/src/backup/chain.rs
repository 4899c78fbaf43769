//! A whole backup and the increments upon it, read as one: every row of the moment of the last, in the order of the keys. Each is read
//! once, a row at a time.

use std::io::Read;

use claviger_api::audit::hash::Hash;
use claviger_store::{Row, StoreKey};

use super::file::{Head, Item, Keys, Reader, Unreadable};

type Result<T> = std::result::Result<T, Unreadable>;

/// Rows of one moment. Nothing of them is to be believed before the end was read.
pub struct Rows<R: Read>(Layer<R>);

enum Layer<R: Read> {
    Whole(Box<Reader<R>>),
    Over(Box<Over<R>>),
}

/// An increment over what was there before it.
struct Over<R: Read> {
    below: Layer<R>,
    /// The next of what was there.
    there: Next<(StoreKey, Row)>,
    head: Head,
    increment: Reader<R>,
    /// The next of what is told.
    told: Next<Item>,
    /// Of these keys all is told, and nothing of before counts.
    keys: Option<Keys>,
}

/// What comes next, read ahead.
enum Next<T> {
    Unread,
    Read(T),
    End,
}

impl<T> Next<T> {
    fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Unread) {
            Self::Read(next) => Some(next),
            Self::Unread => None,
            Self::End => {
                *self = Self::End;
                None
            }
        }
    }

    fn fill(&mut self, read: impl FnOnce() -> Result<Option<T>>) -> Result<Option<&T>> {
        if matches!(self, Self::Unread) {
            *self = read()?.map_or(Self::End, Self::Read);
        }
        match self {
            Self::Read(next) => Ok(Some(next)),
            Self::Unread | Self::End => Ok(None),
        }
    }
}

impl<R: Read> Rows<R> {
    /// Begins to read a whole backup and, in their order, the increments upon it. The head is that of the last.
    ///
    /// # Errors
    ///
    /// There is none, one cannot be read, or they do not go upon each other.
    pub fn begin(files: impl IntoIterator<Item = R>) -> Result<(Head, Self)> {
        let mut files = files.into_iter();
        let first = files.next().ok_or(Unreadable::Place("there is no file"))?;
        let (mut head, whole) = Reader::begin(first)?;
        if head.upon.is_some() {
            return Err(Unreadable::Place("the first file is an increment"));
        }
        let mut layer = Layer::Whole(Box::new(whole));
        for file in files {
            let (next, increment) = Reader::begin(file)?;
            let upon = next.upon.as_ref().ok_or(Unreadable::Place("a file after the first is no increment"))?;
            if (next.vault, upon.moment) != (head.vault, head.moment) {
                return Err(Unreadable::Elsewhere { moment: next.moment });
            }
            let (there, told, keys) = (Next::Unread, Next::Unread, None);
            layer = Layer::Over(Box::new(Over { below: layer, there, head: next.clone(), increment, told, keys }));
            head = next;
        }
        Ok((head, Self(layer)))
    }

    /// The next row; nothing at the end, where all files were as they should be, and went upon each other.
    pub fn next_row(&mut self) -> Result<Option<(StoreKey, Row)>> {
        self.0.next_row()
    }
}

impl<R: Read> Layer<R> {
    fn next_row(&mut self) -> Result<Option<(StoreKey, Row)>> {
        match self {
            Self::Whole(reader) => match reader.next_item()? {
                Some(Item::Row(key, row)) => Ok(Some((key, row))),
                Some(Item::Range(_)) => Err(Unreadable::Damaged("a whole backup tells of a range")),
                None => Ok(None),
            },
            Self::Over(over) => over.next_row(),
        }
    }

    /// The digest at the end of its last file, once that was read.
    fn digest(&self) -> Option<Hash> {
        match self {
            Self::Whole(reader) => reader.digest(),
            Self::Over(over) => over.increment.digest(),
        }
    }
}

impl<R: Read> Over<R> {
    fn next_row(&mut self) -> Result<Option<(StoreKey, Row)>> {
        loop {
            let there = self.there.fill(|| self.below.next_row())?.map(|(key, _)| key);
            if there.zip(self.keys.as_ref()).is_some_and(|(key, keys)| keys.hold(key)) {
                self.there.take();
                continue;
            }
            match self.told.fill(|| self.increment.next_item())? {
                Some(Item::Range(keys)) if there.is_some_and(|key| *key < keys.from) => return Ok(self.there.take()),
                None if there.is_some() => return Ok(self.there.take()),
                None => return self.end().map(|()| None),
                Some(Item::Range(_) | Item::Row(..)) => {}
            }
            match self.told.take() {
                Some(Item::Row(key, row)) => return Ok(Some((key, row))),
                Some(Item::Range(keys)) => self.keys = Some(keys),
                None => {}
            }
        }
    }

    /// What was below was what the increment goes upon, to the last byte.
    fn end(&self) -> Result<()> {
        let wanted = self.head.upon.as_ref().map(|upon| upon.digest);
        if self.below.digest() == wanted { Ok(()) } else { Err(Unreadable::Elsewhere { moment: self.head.moment }) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use claviger_api::Timestamp;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::file::Upon;
    use super::super::index::{Index, Pieces};
    use super::*;

    type Store = BTreeMap<u16, u8>;

    fn head(second: i64, upon: Option<Upon>) -> Head {
        Head {
            vault: Uuid::from_u128(7),
            name: "vault.test".to_owned(),
            moment: Timestamp::from_second(second).unwrap(),
            store_format: 1,
            program: "0.1.0".to_owned(),
            upon,
        }
    }

    fn row((key, value): (&u16, &u8)) -> (StoreKey, Row) {
        (StoreKey::from_stored(key.to_be_bytes()), Row { revision: 1, value: vec![*value; 3].into() })
    }

    /// A backup of the store at this second, upon the one before it.
    fn backup(store: &Store, second: i64, before: Option<(Upon, &Index)>) -> (Vec<u8>, Upon, Index) {
        let (upon, base) = before.unzip();
        let writer = super::super::file::Writer::begin(Vec::new(), &head(second, upon)).unwrap();
        let mut pieces = Pieces::begin(writer, base);
        for entry in store {
            let (key, row) = row(entry);
            pieces.row(key, row).unwrap();
        }
        let (ended, file, index) = pieces.finish().unwrap();
        (file, Upon { moment: Timestamp::from_second(second).unwrap(), digest: ended.digest }, index)
    }

    fn read(files: &[Vec<u8>]) -> Result<Vec<(StoreKey, Row)>> {
        let (_, mut rows) = Rows::begin(files.iter().map(Vec::as_slice))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next_row()? {
            found.push(row);
        }
        Ok(found)
    }

    fn chain(stores: &[Store]) -> Vec<Vec<u8>> {
        let mut files = Vec::new();
        let mut before: Option<(Upon, Index)> = None;
        for (second, store) in (0..).zip(stores) {
            let upon = before.as_ref().map(|(upon, index)| (upon.clone(), index));
            let (file, upon, index) = backup(store, second, upon);
            files.push(file);
            before = Some((upon, index));
        }
        files
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn increments_read_over_their_backup_are_the_store_of_the_last_moment(
            first in btree_map(0_u16..2000, any::<u8>(), 0..400),
            changes in vec(vec((0_u16..2100, proptest::option::of(any::<u8>())), 0..60), 0..4),
        ) {
            let mut stores = vec![first];
            for change in changes {
                let mut store = stores.last().unwrap().clone();
                for (key, value) in change {
                    match value {
                        Some(value) => drop(store.insert(key, value)),
                        None => drop(store.remove(&key)),
                    }
                }
                stores.push(store);
            }
            let files = chain(&stores);
            for until in 1..=files.len() {
                let wanted: Vec<_> = stores[until - 1].iter().map(row).collect();
                prop_assert_eq!(read(&files[..until]).unwrap(), wanted);
            }
        }
    }

    /// Whole pieces, too, of which nothing is left that could be told of.
    #[test]
    fn what_was_removed_is_gone_wherever_the_borders_are() {
        let store: Store = (0..400).map(|key| (key, 0)).collect();
        for from in 0..200 {
            for length in [1, 10, 40, 150] {
                let mut less = store.clone();
                less.retain(|key, _| !(from..from + length).contains(key));
                let wanted: Vec<_> = less.iter().map(row).collect();
                assert_eq!(read(&chain(&[store.clone(), less])).unwrap(), wanted, "{from}, {length}");
            }
        }
    }

    #[test]
    fn an_increment_is_as_small_as_what_has_changed() {
        let mut store: Store = (0..20_000).map(|key| (key, 0)).collect();
        let mut stores = vec![store.clone(), store.clone()];
        store.insert(7_000, 1);
        stores.push(store.clone());
        store.clear();
        stores.push(store);
        let sizes: Vec<usize> = chain(&stores).iter().map(Vec::len).collect();
        assert!(sizes[0] > 300_000 && sizes[1] < 500 && sizes[2] < 4_000 && sizes[3] < 2_000_000, "{sizes:?}");
    }

    #[test]
    fn files_that_do_not_go_upon_each_other_are_refused() {
        let store: Store = (0..100).map(|key| (key, 0)).collect();
        let changed = |key| store.iter().map(|(k, v)| (*k, if *k == key { 9 } else { *v })).collect::<Store>();
        let files = chain(&[store.clone(), changed(1), changed(2)]);
        let other = chain(&[changed(3), changed(4), changed(5)]);
        assert_eq!(read(&files).unwrap().len(), 100);
        let said = |files: &[Vec<u8>]| read(files).unwrap_err().to_string();
        let skipped = said(&[files[0].clone(), files[2].clone()]);
        assert!(skipped.contains("the increment of 1970-01-01T00:00:02Z does not go upon"), "{skipped}");
        assert!(said(&files[1..]).contains("the first file is an increment"));
        assert!(said(&[files[0].clone(), other[0].clone()]).contains("is no increment"));
        assert!(said(&[]).contains("there is no file"));
        // Of the same moments, and of another store.
        for strange in [[&files[0], &other[1]], [&other[0], &files[1]]] {
            assert!(said(&strange.map(Clone::clone)).contains("does not go upon"), "by its digest");
        }
    }
}
