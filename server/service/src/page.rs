//! Lists, a page at a time.

use claviger_api::wire::{self, PAGE_DEFAULT, PAGE_MAX};
use claviger_store::{Range, Record, RowId, StoreKey, Versioned};

use crate::error::{Error, Result};
use crate::open::Open;

/// Which page.
#[derive(Debug, Clone)]
pub struct Paging {
    limit: usize,
    after: Option<StoreKey>,
}

/// The rows of a page.
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<String>,
}

impl Paging {
    /// Reads a caller's limit and cursor.
    pub fn new(limit: Option<u32>, cursor: Option<&str>) -> Result<Self> {
        let limit = limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Error::value("limit", "a page has 1 to 1000 rows"));
        }
        let key = |text: &str| hex::decode(text).ok().map(StoreKey::from_stored);
        let after = match cursor {
            None => None,
            Some(text) => Some(key(text).ok_or_else(bad_cursor)?),
        };
        Ok(Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), after })
    }

    /// The last row of the page before, if there was one; it must be one of the range's.
    pub fn row_before(&self, range: &Range) -> Result<Option<RowId>> {
        let Some(key) = &self.after else { return Ok(None) };
        let within = (&range.start..&range.end).contains(&key);
        let row = within.then(|| RowId::from_key(key).ok()).flatten();
        row.map(Some).ok_or_else(bad_cursor)
    }

    /// The most rows.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The key of the last row of the page before; it must be one of the range's.
    pub fn within(&self, range: Range) -> Result<Range> {
        match &self.after {
            None => Ok(range),
            Some(key) if (&range.start..&range.end).contains(&key) => Ok(range.after(key)),
            Some(_) => Err(bad_cursor()),
        }
    }
}

fn bad_cursor() -> Error {
    Error::value("cursor", "a cursor is the next_cursor of the page before of the same list")
}

/// The cursor that goes on after this row.
pub(crate) fn cursor_after(id: &RowId) -> String {
    hex::encode(id.to_key().as_bytes())
}

impl<T> Page<T> {
    /// Each row as somebody else sees it.
    pub async fn try_map<U>(self, mut view: impl AsyncFnMut(T) -> Result<U>) -> Result<Page<U>> {
        let mut items = Vec::with_capacity(self.items.len());
        for item in self.items {
            items.push(view(item).await?);
        }
        Ok(Page { items, next_cursor: self.next_cursor })
    }
}

impl<T> From<Page<T>> for wire::Page<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next_cursor: page.next_cursor }
    }
}

impl Open {
    /// One page of the rows of a range for which `wanted` holds.
    pub(crate) async fn page<T: Record>(
        &self,
        range: Range,
        paging: &Paging,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Page<Versioned<T>>> {
        let mut range = paging.within(range)?.limit(paging.limit().saturating_add(1));
        let mut items: Vec<Versioned<T>> = Vec::new();
        loop {
            let (rows, next) = self.piece::<T>(&range).await?;
            items.extend(rows.into_iter().filter(|row| wanted(&row.value)));
            if items.len() > paging.limit() {
                items.truncate(paging.limit());
                let next_cursor = items.last().map(|row| cursor_after(&row.id));
                return Ok(Page { items, next_cursor });
            }
            match next {
                Some(next) => range = next,
                None => return Ok(Page { items, next_cursor: None }),
            }
        }
    }

    /// Every row of a range.
    pub(crate) async fn all<T: Record>(&self, range: &Range) -> Result<Vec<Versioned<T>>> {
        let mut range = range.clone();
        let mut rows = Vec::new();
        loop {
            let (found, next) = self.piece::<T>(&range).await?;
            rows.extend(found);
            match next {
                Some(next) => range = next,
                None => return Ok(rows),
            }
        }
    }
}
