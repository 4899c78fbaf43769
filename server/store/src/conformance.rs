//! The laws that every engine keeps, as code: an engine's tests call [`run_all`] and assert that no law is broken.
//!
//! A law speaks of keys and rows as bytes: none of them needs a key of the hierarchy.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::engine::{Batch, CommitError, Expected, Range, ReadError, Row, Store, StoreKey};

/// Makes stores of one engine for the laws.
#[async_trait]
pub trait Factory: Send + Sync {
    /// A new, empty store.
    async fn fresh(&self) -> Arc<dyn Store>;

    /// The same store, closed (this is its only handle) and opened again, as after a restart.
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// A law that an engine breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The law's name, as in [`LAWS`].
    pub law: &'static str,
    /// What was seen instead.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.why)
    }
}

/// What a law found.
pub type Verdict = Result<(), Breach>;

/// What was seen where a law was broken.
#[derive(Debug)]
pub struct Breach(String);

impl From<ReadError> for Breach {
    fn from(error: ReadError) -> Self {
        Self(error.to_string())
    }
}

impl From<CommitError> for Breach {
    fn from(error: CommitError) -> Self {
        Self(error.to_string())
    }
}

/// A law, as a function over a factory of stores.
pub type Law = for<'a> fn(&'a dyn Factory) -> Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// All laws, by name.
pub const LAWS: &[(&str, Law)] = &[
    ("a new store is empty", |f| Box::pin(a_new_store_is_empty(f))),
    ("what was written is read", |f| Box::pin(what_was_written_is_read(f))),
    ("a revision is stored as given", |f| Box::pin(a_revision_is_stored_as_given(f))),
    ("a put replaces", |f| Box::pin(a_put_replaces(f))),
    ("a delete deletes", |f| Box::pin(a_delete_deletes(f))),
    ("expected absent", |f| Box::pin(expected_absent(f))),
    ("expected revision", |f| Box::pin(expected_revision(f))),
    ("expectations see the state before the batch", |f| Box::pin(expectations_see_the_state_before(f))),
    ("a conflict names its key and leaves nothing", |f| Box::pin(a_conflict_leaves_nothing(f))),
    ("a key is written once a batch", |f| Box::pin(a_key_is_written_once(f))),
    ("an empty batch is no error", |f| Box::pin(an_empty_batch_is_no_error(f))),
    ("a scan is in the order of bytes", |f| Box::pin(a_scan_is_in_order(f))),
    ("a scan keeps its bounds", |f| Box::pin(a_scan_keeps_its_bounds(f))),
    ("a scan keeps its limit", |f| Box::pin(a_scan_keeps_its_limit(f))),
    ("a scan goes backwards", |f| Box::pin(a_scan_goes_backwards(f))),
    ("a scan never sees half a batch", |f| Box::pin(a_scan_never_sees_half(f))),
    ("a view stays as it was", |f| Box::pin(a_view_stays(f))),
    ("a view is of one moment", |f| Box::pin(a_view_is_of_one_moment(f))),
    ("large and empty values", |f| Box::pin(large_and_empty_values(f))),
    ("of concurrent commits on one key one wins", |f| Box::pin(one_concurrent_commit_wins(f))),
    ("what was committed is there after reopening", |f| Box::pin(committed_is_durable(f))),
];

/// Runs every law on stores of the factory; the answer is the laws that are broken.
pub async fn run_all(factory: &dyn Factory) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (name, law) in LAWS {
        if let Err(Breach(why)) = law(factory).await {
            broken.push(Broken { law: name, why });
        }
    }
    broken
}

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err(Breach(format!($($why)+)));
        }
    };
}

async fn a_new_store_is_empty(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    ensure!(store.get(&key(b"a")).await?.is_none(), "a row is there");
    ensure!(store.scan(&everything()).await?.is_empty(), "a scan finds rows");
    Ok(())
}

async fn what_was_written_is_read(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    for name in [b"a".as_slice(), b"\x00", b"\xfe\xff\xff", &[7; 300]] {
        store.commit(put(name, 1, b"value")).await?;
        let found = store.get(&key(name)).await?;
        ensure!(found == Some(row(1, b"value")), "the key {} reads {found:?}", key(name));
    }
    ensure!(store.get(&key(b"aa")).await?.is_none(), "a longer key finds a shorter one's row");
    Ok(())
}

async fn a_revision_is_stored_as_given(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    for revision in [0, 1, 7, 255, 256, u64::MAX] {
        store.commit(put(b"a", revision, b"v")).await?;
        let found = store.get(&key(b"a")).await?.map(|row| row.revision);
        ensure!(found == Some(revision), "{revision} reads as {found:?}");
        let scanned: Vec<u64> = store.scan(&everything()).await?.into_iter().map(|(_, row)| row.revision).collect();
        ensure!(scanned == [revision], "{revision} scans as {scanned:?}");
    }
    Ok(())
}

async fn a_put_replaces(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    store.commit(put(b"a", 1, b"a long first value")).await?;
    store.commit(put(b"a", 2, b"second")).await?;
    let rows = store.scan(&everything()).await?;
    ensure!(rows == [(key(b"a"), row(2, b"second"))], "found {rows:?}");
    Ok(())
}

async fn a_delete_deletes(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    store.commit(put(b"a", 1, b"v")).await?;
    store.commit(put(b"b", 1, b"v")).await?;
    store.commit(Batch { delete: vec![key(b"a"), key(b"never there")], ..Batch::default() }).await?;
    ensure!(store.get(&key(b"a")).await?.is_none(), "the row is still read");
    let left = names(store.scan(&everything()).await?);
    ensure!(left == [key(b"b")], "a scan finds {left:?}");
    store.commit(Batch { expect: vec![(key(b"a"), Expected::Absent)], ..put(b"a", 1, b"again") }).await?;
    Ok(())
}

async fn expected_absent(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    let create = |value| Batch { expect: vec![(key(b"a"), Expected::Absent)], ..put(b"a", 1, value) };
    store.commit(create(b"first")).await?;
    conflicts(&store.commit(create(b"second")).await, b"a")?;
    let found = store.get(&key(b"a")).await?;
    ensure!(found == Some(row(1, b"first")), "found {found:?}");
    Ok(())
}

async fn expected_revision(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    let change = |from, to| Batch { expect: vec![(key(b"a"), Expected::Revision(from))], ..put(b"a", to, b"v") };
    conflicts(&store.commit(change(1, 2)).await, b"a")?;
    conflicts(&store.commit(change(0, 1)).await, b"a")?;
    store.commit(put(b"a", 1, b"v")).await?;
    store.commit(change(1, 2)).await?;
    conflicts(&store.commit(change(1, 2)).await, b"a")?;
    conflicts(&store.commit(change(3, 4)).await, b"a")?;
    store.commit(change(2, 3)).await?;
    Ok(())
}

async fn expectations_see_the_state_before(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    store.commit(put(b"a", 1, b"v")).await?;
    let expect = vec![(key(b"a"), Expected::Revision(1)), (key(b"b"), Expected::Absent)];
    let moved = Batch { expect, put: vec![(key(b"b"), row(1, b"v"))], delete: vec![key(b"a")] };
    store.commit(moved).await?;
    let left = names(store.scan(&everything()).await?);
    ensure!(left == [key(b"b")], "found {left:?}");
    Ok(())
}

async fn a_conflict_leaves_nothing(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    store.commit(put(b"kept", 1, b"v")).await?;
    store.commit(put(b"changed", 2, b"v")).await?;
    let before = store.scan(&everything()).await?;
    let batch = Batch {
        expect: vec![
            (key(b"kept"), Expected::Revision(1)),
            (key(b"changed"), Expected::Revision(1)),
            (key(b"new"), Expected::Absent),
        ],
        put: vec![(key(b"new"), row(1, b"v")), (key(b"changed"), row(3, b"w"))],
        delete: vec![key(b"kept")],
    };
    conflicts(&store.commit(batch).await, b"changed")?;
    let after = store.scan(&everything()).await?;
    ensure!(before == after, "the store now holds {after:?}");
    Ok(())
}

async fn a_key_is_written_once(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    let twice = Batch { put: vec![(key(b"a"), row(1, b"v")), (key(b"a"), row(2, b"w"))], ..Batch::default() };
    let both = Batch { delete: vec![key(b"a")], ..put(b"a", 1, b"v") };
    for batch in [twice, both] {
        let outcome = store.commit(batch).await;
        ensure!(matches!(outcome, Err(CommitError::Refused(_))), "the outcome is {outcome:?}");
        ensure!(store.get(&key(b"a")).await?.is_none(), "a row was written");
    }
    Ok(())
}

async fn an_empty_batch_is_no_error(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    store.commit(Batch::default()).await?;
    let check = |expected| Batch { expect: vec![(key(b"a"), expected)], ..Batch::default() };
    store.commit(check(Expected::Absent)).await?;
    conflicts(&store.commit(check(Expected::Revision(1))).await, b"a")
}

async fn a_scan_is_in_order(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    let ordered: [&[u8]; 6] = [b"\x00", b"\x00\x00", b"\x01", b"\x7f\xff", b"\x80", b"\xfe"];
    for name in [5, 2, 0, 4, 1, 3].into_iter().filter_map(|i| ordered.get(i)) {
        store.commit(put(name, 1, b"v")).await?;
    }
    let found = names(store.scan(&everything()).await?);
    ensure!(found == ordered.map(key), "found {found:?}");
    Ok(())
}

async fn a_scan_keeps_its_bounds(factory: &dyn Factory) -> Verdict {
    let store = three_rows(factory).await?;
    for (start, end, expected) in [
        (b"a".as_slice(), b"c".as_slice(), vec![key(b"a"), key(b"b")]),
        (b"a\x00", b"c\x00", vec![key(b"b"), key(b"c")]),
        (b"b", b"b", vec![]),
        (b"c", b"a", vec![]),
        (b"x", b"z", vec![]),
    ] {
        for reverse in [false, true] {
            let range = Range { start: key(start), end: key(end), limit: 10, reverse };
            let mut found = names(store.scan(&range).await?);
            if reverse {
                found.reverse();
            }
            ensure!(found == expected, "{range:?} brings {found:?}");
        }
    }
    Ok(())
}

async fn a_scan_keeps_its_limit(factory: &dyn Factory) -> Verdict {
    let store = three_rows(factory).await?;
    for (limit, expected) in [(0, vec![]), (2, vec![key(b"a"), key(b"b")]), (3, vec![key(b"a"), key(b"b"), key(b"c")])]
    {
        let found = names(store.scan(&Range { limit, ..everything() }).await?);
        ensure!(found == expected, "limit {limit} brings {found:?}");
    }
    Ok(())
}

async fn a_scan_goes_backwards(factory: &dyn Factory) -> Verdict {
    let store = three_rows(factory).await?;
    let found = names(store.scan(&Range { limit: 2, reverse: true, ..everything() }).await?);
    ensure!(found == [key(b"c"), key(b"b")], "found {found:?}");
    Ok(())
}

/// A writer changes two rows together while readers scan them: they are always of one revision.
async fn a_scan_never_sees_half(factory: &dyn Factory) -> Verdict {
    const WRITES: u64 = 200;
    let store = factory.fresh().await;
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for revision in 1..=WRITES {
            let both = vec![(key(b"left"), row(revision, b"v")), (key(b"right"), row(revision, b"v"))];
            writer.commit(Batch { put: both, ..Batch::default() }).await?;
            tokio::task::yield_now().await;
        }
        Ok::<(), CommitError>(())
    });
    loop {
        let finished = writing.is_finished();
        let revisions: Vec<u64> = store.scan(&everything()).await?.into_iter().map(|(_, row)| row.revision).collect();
        let (first, last) = (revisions.first(), revisions.last());
        ensure!(first == last && revisions.len() != 1, "one scan sees the revisions {revisions:?}");
        if finished {
            ensure!(first == Some(&WRITES), "the last scan sees {first:?}");
            return Ok(writing.await.map_err(|error| Breach(error.to_string()))??);
        }
        tokio::task::yield_now().await;
    }
}

/// Whatever is put, replaced and deleted afterwards, in every order of reading; and a later view sees it.
async fn a_view_stays(factory: &dyn Factory) -> Verdict {
    let store = three_rows(factory).await?;
    let view = store.view().await?;
    let before = store.scan(&everything()).await?;
    store.commit(Batch { delete: vec![key(b"b")], ..put(b"a", 2, b"replaced") }).await?;
    store.commit(put(b"d", 1, b"new")).await?;
    for range in [everything(), Range { limit: 2, ..everything() }, Range { reverse: true, ..everything() }] {
        let mut wanted = before.clone();
        if range.reverse {
            wanted.reverse();
        }
        wanted.truncate(range.limit);
        let found = view.scan(&range).await?;
        ensure!(found == wanted, "{range:?} of an earlier view brings {found:?}");
    }
    let page = Range { limit: 1, ..everything() }.after(&key(b"a"));
    let found = names(view.scan(&page).await?);
    ensure!(found == [key(b"b")], "the next page of an earlier view is {found:?}");
    let (now, later) = (store.scan(&everything()).await?, store.view().await?);
    let (read, earlier) = (later.scan(&everything()).await?, view.scan(&everything()).await?);
    ensure!(read == now, "a later view shows {read:?}");
    ensure!(earlier == before, "beside a later view the earlier one shows {earlier:?}");
    drop(view);
    store.commit(put(b"e", 1, b"v")).await?;
    let kept = later.scan(&everything()).await?;
    ensure!(kept == now, "after the end of another view one shows {kept:?}");
    Ok(())
}

/// A writer changes two rows together, which a reader reads one after the other, by one view: they are of one revision.
async fn a_view_is_of_one_moment(factory: &dyn Factory) -> Verdict {
    const WRITES: u64 = 100;
    let store = factory.fresh().await;
    let both = |revision| vec![(key(b"left"), row(revision, b"v")), (key(b"right"), row(revision, b"v"))];
    store.commit(Batch { put: both(0), ..Batch::default() }).await?;
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for revision in 1..=WRITES {
            writer.commit(Batch { put: both(revision), ..Batch::default() }).await?;
            tokio::task::yield_now().await;
        }
        Ok::<(), CommitError>(())
    });
    loop {
        let finished = writing.is_finished();
        let view = store.view().await?;
        let mut revisions = Vec::new();
        for side in [b"left".as_slice(), b"right"] {
            let only = Range { start: key(side), limit: 1, ..everything() };
            revisions.extend(view.scan(&only).await?.into_iter().map(|(_, row)| row.revision));
            tokio::task::yield_now().await;
        }
        let (first, last) = (revisions.first(), revisions.last());
        ensure!(first == last && revisions.len() == 2, "one view shows the revisions {revisions:?}");
        if finished {
            ensure!(first == Some(&WRITES), "the last view shows {first:?}");
            return Ok(writing.await.map_err(|error| Breach(error.to_string()))??);
        }
    }
}

async fn large_and_empty_values(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    let large: Vec<u8> = (0..=250u8).cycle().take(1 << 20).collect();
    for value in [large.as_slice(), b""] {
        store.commit(put(b"a", 1, value)).await?;
        let found = store.get(&key(b"a")).await?;
        ensure!(found == Some(row(1, value)), "a value of {} bytes reads otherwise", value.len());
    }
    Ok(())
}

async fn one_concurrent_commit_wins(factory: &dyn Factory) -> Verdict {
    const CALLERS: u64 = 16;
    const ROUNDS: u64 = 8;
    let store = factory.fresh().await;
    store.commit(put(b"a", 0, b"")).await?;
    for round in 0..ROUNDS {
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            let store = Arc::clone(&store);
            let expect = vec![(key(b"a"), Expected::Revision(round))];
            let batch = Batch { expect, ..put(b"a", round + 1, &caller.to_be_bytes()) };
            callers.spawn(async move { (caller, store.commit(batch).await) });
        }
        let mut winners = Vec::new();
        for (caller, outcome) in callers.join_all().await {
            match outcome {
                Ok(()) => winners.push(caller),
                lost @ Err(_) => conflicts(&lost, b"a")?,
            }
        }
        ensure!(winners.len() == 1, "the callers {winners:?} won in one round");
        let found = store.get(&key(b"a")).await?;
        let won = winners.first().map(|caller| row(round + 1, &caller.to_be_bytes()));
        ensure!(found == won, "another value than the winner's is stored");
    }
    Ok(())
}

async fn committed_is_durable(factory: &dyn Factory) -> Verdict {
    let store = factory.fresh().await;
    store.commit(put(b"a", 1, b"v")).await?;
    store.commit(put(b"b", 1, &[1; 10_000])).await?;
    store.commit(Batch { delete: vec![key(b"a")], ..put(b"c", 9, b"") }).await?;
    let before = store.scan(&everything()).await?;
    let store = factory.reopen(store).await;
    let after = store.scan(&everything()).await?;
    ensure!(before == after, "after reopening the rows are {:?}", names(after));
    conflicts(&store.commit(Batch { expect: vec![(key(b"c"), Expected::Absent)], ..put(b"c", 1, b"") }).await, b"c")?;
    store.commit(Batch { expect: vec![(key(b"c"), Expected::Revision(9))], ..put(b"c", 10, b"") }).await?;
    Ok(())
}

async fn three_rows(factory: &dyn Factory) -> Result<Arc<dyn Store>, Breach> {
    let store = factory.fresh().await;
    for name in [b"a", b"b", b"c"] {
        store.commit(put(name, 1, b"v")).await?;
    }
    Ok(store)
}

fn conflicts(outcome: &Result<(), CommitError>, name: &[u8]) -> Verdict {
    ensure!(*outcome == Err(CommitError::Conflict(key(name))), "no conflict about {}: {outcome:?}", key(name));
    Ok(())
}

fn key(name: &[u8]) -> StoreKey {
    StoreKey::from_stored(name)
}

fn row(revision: u64, value: &[u8]) -> Row {
    Row { revision, value: Bytes::copy_from_slice(value) }
}

fn put(name: &[u8], revision: u64, value: &[u8]) -> Batch {
    Batch { put: vec![(key(name), row(revision, value))], ..Batch::default() }
}

fn everything() -> Range {
    Range { start: key(b""), end: key(b"\xff"), limit: 1000, reverse: false }
}

fn names(rows: Vec<(StoreKey, Row)>) -> Vec<StoreKey> {
    rows.into_iter().map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests;
