//! Lists, a page at a time or as many rows as wanted.

use std::marker::PhantomData;

use claviger_api::wire::{
    ArchiveQuery, AuditQuery, BreakGlassQuery, CheckoutQuery, DiscoveryQuery, ExposureQuery, GrantQuery, InactiveQuery,
    PAGE_MAX, Page, PageQuery, ReviewQuery, RotationQuery, ServiceAccountQuery, TaskQuery, UnusedQuery, UpkeepQuery,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Client, Error, Result};

/// A query that names a page.
pub trait Paged: Serialize + Clone {
    /// Sets the rows of the page, and where it starts.
    fn set_page(&mut self, limit: u32, cursor: Option<String>);
}

/// A list to be read: [`page`](Self::page), [`first`](Self::first) or [`all`](Self::all).
pub struct List<'a, T, Q = PageQuery> {
    client: &'a Client,
    path: String,
    query: Q,
    rows: PhantomData<fn() -> T>,
}

impl<'a, T: DeserializeOwned, Q: Paged> List<'a, T, Q> {
    pub(crate) fn new(client: &'a Client, path: impl Into<String>, query: Q) -> Self {
        Self { client, path: path.into(), query, rows: PhantomData }
    }

    /// One page of at most `limit` rows (1 to 1,000), from `cursor` on.
    pub async fn page(&self, limit: u32, cursor: Option<String>) -> Result<Page<T>> {
        let mut query = self.query.clone();
        query.set_page(limit, cursor);
        self.client.get_with(&self.path, &query).await
    }

    /// The first `most` rows.
    pub async fn first(&self, most: usize) -> Result<Vec<T>> {
        let mut rows: Vec<T> = Vec::new();
        let mut cursor = None;
        while rows.len() < most {
            let limit = u32::try_from(most - rows.len()).unwrap_or(PAGE_MAX).min(PAGE_MAX);
            let page = self.page(limit, cursor.clone()).await?;
            rows.extend(page.items);
            match page.next_cursor {
                None => break,
                next if next == cursor => return Err(endless()),
                next => cursor = next,
            }
        }
        rows.truncate(most);
        Ok(rows)
    }

    /// Every row.
    pub async fn all(&self) -> Result<Vec<T>> {
        self.first(usize::MAX).await
    }
}

fn endless() -> Error {
    Error::BadAnswer { status: 200, why: "the next page is the same page".to_owned() }
}

macro_rules! paged {
    ($($query:ident),*) => {$(
        impl Paged for $query {
            fn set_page(&mut self, limit: u32, cursor: Option<String>) {
                self.limit = Some(limit);
                self.cursor = cursor;
            }
        }
    )*};
}

paged!(
    ArchiveQuery,
    PageQuery,
    ExposureQuery,
    GrantQuery,
    InactiveQuery,
    ReviewQuery,
    BreakGlassQuery,
    CheckoutQuery,
    RotationQuery,
    AuditQuery,
    ServiceAccountQuery,
    TaskQuery,
    UnusedQuery,
    UpkeepQuery,
    DiscoveryQuery
);
