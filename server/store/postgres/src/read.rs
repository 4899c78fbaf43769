//! Reads: each is one statement, and so one snapshot, on one of a few sessions.

use std::sync::Arc;

use claviger_store::{Range, ReadError, Row, StoreKey};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_postgres::types::Type;

use crate::failure::{Failure, within};
use crate::limits::READ_SESSIONS;
use crate::pause::Pause;
use crate::rows::{keyed_row, row};
use crate::session::{Purpose, Session, Target, Value};

pub(crate) struct Readers {
    target: Arc<Target>,
    slots: Semaphore,
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    idle: Vec<Session>,
    pause: Pause,
}

impl Readers {
    /// Without a session yet: the first read makes one.
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self { target, slots: Semaphore::new(READ_SESSIONS), sessions: Mutex::default() }
    }

    pub(crate) async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        let found = self.query(GET, &[(&key.as_bytes(), Type::BYTEA)]).await.map_err(unreadable)?;
        found.first().map(|found| row(found, 0)).transpose().map_err(unreadable)
    }

    pub(crate) async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        let (sql, limit) = scan_of(range);
        let (start, end) = (range.start.as_bytes(), range.end.as_bytes());
        let values: [Value<'_>; 3] = [(&start, Type::BYTEA), (&end, Type::BYTEA), (&limit, Type::INT8)];
        scanned(self.query(sql, &values).await)
    }

    async fn query(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<tokio_postgres::Row>, Failure> {
        within(self.target.deadlines.statement, async {
            // Never closed.
            let _slot = self.slots.acquire().await.map_err(|closed| Failure::Lost(closed.to_string()))?;
            // A session that lay idle may have died unnoticed; a new one tells the truth.
            if let Some(session) = self.idle() {
                match session.query(sql, values).await {
                    Err(Failure::Lost(_)) => self.sessions.lock().idle.clear(),
                    answer @ (Ok(_) | Err(Failure::Said { .. })) => return self.put_back(session, answer),
                }
            }
            let session = self.open().await?;
            let answer = session.query(sql, values).await;
            self.put_back(session, answer)
        })
        .await
    }

    fn idle(&self) -> Option<Session> {
        let mut sessions = self.sessions.lock();
        sessions.idle.retain(|session| !session.has_ended());
        sessions.idle.pop()
    }

    async fn open(&self) -> Result<Session, Failure> {
        self.sessions.lock().pause.over(Instant::now()).map_err(Failure::Lost)?;
        let opened = Session::open(&self.target, Purpose::Reading).await;
        let mut sessions = self.sessions.lock();
        match &opened {
            Ok(_) => sessions.pause.succeeded(),
            Err(failure) => sessions.pause.failed(Instant::now(), failure.to_string()),
        }
        opened
    }

    fn put_back<T>(&self, session: Session, answer: Result<T, Failure>) -> Result<T, Failure> {
        if !matches!(answer, Err(Failure::Lost(_))) {
            self.sessions.lock().idle.push(session);
        }
        answer
    }
}

/// The statement that brings a range, and its limit.
fn scan_of(range: &Range) -> (&'static str, i64) {
    (if range.reverse { SCAN_BACK } else { SCAN }, i64::try_from(range.limit).unwrap_or(i64::MAX))
}

/// The rows of a range, as a session sees them.
pub(crate) async fn scan(session: &Session, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
    let (sql, limit) = scan_of(range);
    let (start, end) = (range.start.as_bytes(), range.end.as_bytes());
    let values: [Value<'_>; 3] = [(&start, Type::BYTEA), (&end, Type::BYTEA), (&limit, Type::INT8)];
    scanned(session.query(sql, &values).await)
}

fn scanned(found: Result<Vec<tokio_postgres::Row>, Failure>) -> Result<Vec<(StoreKey, Row)>, ReadError> {
    found.map_err(unreadable)?.iter().map(keyed_row).collect::<Result<_, _>>().map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "taken as map_err hands it over")]
pub(crate) fn unreadable(failure: Failure) -> ReadError {
    ReadError(failure.to_string())
}

const GET: &str = "SELECT revision, value FROM claviger_rows WHERE key = $1";
const SCAN: &str = "SELECT key, revision, value FROM claviger_rows WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3";
const SCAN_BACK: &str =
    "SELECT key, revision, value FROM claviger_rows WHERE key >= $1 AND key < $2 ORDER BY key DESC LIMIT $3";
