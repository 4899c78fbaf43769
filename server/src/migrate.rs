//! Moving an installation from one store to another, e.g. from the embedded one to a database, while no server runs on either.
//!
//! Every row is copied as it lies there, sealed: whatever opens the vault opens it afterwards, and no key is needed. The row that
//! says which format the store has is written last, so that half of a copy is no store. Then both are read again, row by row.

use claviger_store::{FORMAT, FillError, Filling, FormatError, Range, ReadError, SCAN_MAX, Store, StoreKey, View};

use crate::config::Config;
use crate::private::{self, PrivateError};
use crate::store::StoreError;

/// Why an installation was not moved.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The data directory of the new one.
    #[error(transparent)]
    Directory(#[from] PrivateError),
    /// A store that cannot be opened: it does not exist, or a server runs on it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Both configurations name the same store.
    #[error("both configurations name the same store")]
    Same,
    /// There is nothing to move.
    #[error("there is no store at the old place: --from is the configuration that the server ran with")]
    Nothing,
    /// The format of the old store.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The old store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new store.
    #[error("the new place: {0}")]
    Fill(#[from] FillError),
    /// What was written is not what was read.
    #[error(
        "the row {0} is not at the new place as it was at the old one: the copy is of no use, the old store is as it was"
    )]
    Differs(StoreKey),
}

/// Copies all rows from the store of one configuration to the empty one of another, and compares them. Gives their number. The old
/// store stays as it was.
///
/// # Errors
///
/// See [`MigrateError`]. What was written at the new place is no store then.
pub async fn migrate(from: &Config, to: &Config) -> Result<u64, MigrateError> {
    if from.store == to.store && (from.store.is_elsewhere() || from.data_directory == to.data_directory) {
        return Err(MigrateError::Same);
    }
    if !from.store.is_elsewhere() && !from.data_directory.join("store").exists() {
        return Err(MigrateError::Nothing);
    }
    private::directory(&to.data_directory)?;
    let old = from.store.open_alone(&from.data_directory).await?;
    let new = to.store.open_alone(&to.data_directory).await?;
    if old.scan(&Range::everything().limit(1)).await?.is_empty() {
        return Err(MigrateError::Nothing);
    }
    claviger_store::open_or_create(old.as_ref()).await?;
    copy(&from.name, old.as_ref(), new.as_ref()).await
}

async fn copy(name: &str, old: &dyn Store, new: &dyn Store) -> Result<u64, MigrateError> {
    let mut filling = Filling::begin(new, &format!("the store of the vault {name}"), FORMAT).await?;
    let view = old.view().await?;
    let mut rows = Rows::of(view.as_ref());
    while let Some((key, row)) = rows.next(|_| false).await? {
        filling.row(key, row).await?;
    }
    filling.flush().await?;
    same(view.as_ref(), new.view().await?.as_ref()).await?;
    // All is there: from here on it is a store.
    Ok(filling.finish(Vec::new()).await?)
}

/// Whether the rows are the same in both, but for those that tell whether a store is whole.
async fn same(old: &dyn View, new: &dyn View) -> Result<(), MigrateError> {
    let (mut old, mut new) = (Rows::of(old), Rows::of(new));
    loop {
        let (was, is) = (old.next(Filling::tells).await?, new.next(Filling::tells).await?);
        match (was, is) {
            (None, None) => return Ok(()),
            (Some(was), Some(is)) if was == is => {}
            (Some((key, _)), _) | (None, Some((key, _))) => return Err(MigrateError::Differs(key)),
        }
    }
}

/// The rows of a view, a page at a time.
struct Pages<'v> {
    view: &'v dyn View,
    next: Option<Range>,
}

impl<'v> Pages<'v> {
    fn of(view: &'v dyn View) -> Self {
        Self { view, next: Some(Range::everything().limit(SCAN_MAX)) }
    }

    async fn next(&mut self) -> Result<Option<Vec<(StoreKey, claviger_store::Row)>>, ReadError> {
        let Some(range) = self.next.take() else { return Ok(None) };
        let rows = self.view.scan(&range).await?;
        self.next = rows.last().filter(|_| rows.len() == SCAN_MAX).map(|(last, _)| range.after(last));
        Ok(Some(rows))
    }
}

/// The rows of a view, one at a time.
struct Rows<'v> {
    pages: Pages<'v>,
    page: std::vec::IntoIter<(StoreKey, claviger_store::Row)>,
}

impl<'v> Rows<'v> {
    fn of(view: &'v dyn View) -> Self {
        Self { pages: Pages::of(view), page: Vec::new().into_iter() }
    }

    async fn next(
        &mut self,
        but: impl Fn(&StoreKey) -> bool,
    ) -> Result<Option<(StoreKey, claviger_store::Row)>, ReadError> {
        loop {
            match self.page.next() {
                Some((key, _)) if but(&key) => {}
                Some(row) => return Ok(Some(row)),
                None => match self.pages.next().await? {
                    Some(page) => self.page = page.into_iter(),
                    None => return Ok(None),
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use claviger_store::{Batch, MemoryStore, Row};

    use super::*;

    async fn filled(rows: u32) -> MemoryStore {
        let store = MemoryStore::default();
        claviger_store::open_or_create(&store).await.unwrap();
        for number in 0..rows {
            let key = StoreKey::from_stored([&b"r"[..], &number.to_be_bytes()].concat());
            let row = Row { revision: 1, value: number.to_be_bytes().to_vec().into() };
            store.commit(Batch { put: vec![(key, row)], ..Batch::default() }).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn every_row_is_copied_and_an_empty_place_is_wanted() {
        for rows in [0, 1, 499, 500, 1000, 2345] {
            let (old, new) = (filled(rows).await, MemoryStore::default());
            assert_eq!(copy("vault.test", &old, &new).await.unwrap(), u64::from(rows) + 1);
            assert!(matches!(copy("vault.test", &old, &new).await, Err(MigrateError::Fill(FillError::NotEmpty))));
        }
    }

    #[tokio::test]
    async fn a_row_that_differs_is_named() {
        let (old, new) = (filled(3).await, filled(3).await);
        let view = |store: MemoryStore| async move { store.view().await.unwrap() };
        let (was, is) = (view(old.clone()).await, view(new.clone()).await);
        same(was.as_ref(), is.as_ref()).await.unwrap();
        let key = StoreKey::from_stored([&b"r"[..], &2_u32.to_be_bytes()].concat());
        let other = Row { revision: 1, value: vec![7].into() };
        new.commit(Batch { put: vec![(key.clone(), other)], ..Batch::default() }).await.unwrap();
        let is = view(new.clone()).await;
        assert!(matches!(same(was.as_ref(), is.as_ref()).await, Err(MigrateError::Differs(at)) if at == key));
        new.commit(Batch { delete: vec![key.clone()], ..Batch::default() }).await.unwrap();
        let is = view(new).await;
        assert!(matches!(same(was.as_ref(), is.as_ref()).await, Err(MigrateError::Differs(at)) if at == key));
    }
}
