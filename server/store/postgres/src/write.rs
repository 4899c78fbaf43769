//! The commit: one transaction on the session that holds the store; and the way back after that session was lost.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;

use claviger_store::{Batch, CommitError, StoreKey};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use crate::OpenError;
use crate::failure::Failure;
use crate::hold::{self, Tenure};
use crate::limits::ORDER_TRIES;
use crate::pause::Pause;
use crate::rows::{given, stored};
use crate::session::{Purpose, Session, Target, Value};

pub(crate) struct Writer {
    target: Arc<Target>,
    tenure: Tenure,
    hold: Hold,
    pause: Pause,
}

/// Whether commits are taken.
enum Hold {
    /// The session that holds the store, in no transaction.
    Held(Session),
    /// It was lost, or is with a commit that is under way.
    Open,
    /// Another node has taken the store.
    Replaced,
}

/// What stopped a transaction before COMMIT was sent.
enum Stop {
    Conflict(StoreKey),
    Replaced,
    Failed(Failure),
}

/// What became of one try of a transaction.
enum Outcome {
    Applied,
    Final(CommitError),
    Replaced,
    /// Undone to keep others in order.
    Again(String),
}

impl Writer {
    pub(crate) async fn open(target: Arc<Target>) -> Result<Self, OpenError> {
        let session = locked(&target).await?;
        let taken = async {
            hold::make_tables(&session).await?;
            hold::take(&session).await
        };
        let tenure = taken.await.map_err(|failure| target.closed(&failure))?;
        Ok(Self { target, tenure, hold: Hold::Held(session), pause: Pause::default() })
    }

    pub(crate) async fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let mut last = String::new();
        for _ in 0..ORDER_TRIES {
            // Taken out: a commit that is broken off leaves no session behind in the midst of a transaction.
            let session = self.session().await.map_err(CommitError::Refused)?;
            let (session, outcome) = transaction(session, &self.tenure, batch).await;
            self.hold = session.map_or(Hold::Open, Hold::Held);
            match outcome {
                Outcome::Applied => return Ok(()),
                Outcome::Final(error) => return Err(error),
                Outcome::Replaced => {
                    self.hold = Hold::Replaced;
                    return Err(CommitError::Refused(REPLACED.to_owned()));
                }
                Outcome::Again(why) => last = why,
            }
        }
        Err(CommitError::Refused(format!("undone {ORDER_TRIES} times for the sake of other transactions: {last}")))
    }

    /// The session that holds the store, or else another that takes it again.
    async fn session(&mut self) -> Result<Session, String> {
        match mem::replace(&mut self.hold, Hold::Open) {
            Hold::Held(session) if !session.has_ended() => return Ok(session),
            Hold::Held(_) | Hold::Open => {}
            Hold::Replaced => {
                self.hold = Hold::Replaced;
                return Err(REPLACED.to_owned());
            }
        }
        self.pause.over(Instant::now())?;
        let regained = self.take_again().await;
        match &regained {
            Ok(_) => self.pause.succeeded(),
            Err(why) => self.pause.failed(Instant::now(), why.clone()),
        }
        regained
    }

    async fn take_again(&mut self) -> Result<Session, String> {
        let session = locked(&self.target).await.map_err(|error| error.to_string())?;
        match hold::take_again(&session, &self.tenure).await {
            Ok(Some(tenure)) => {
                self.tenure = tenure;
                Ok(session)
            }
            Ok(None) => {
                self.hold = Hold::Replaced;
                Err(REPLACED.to_owned())
            }
            Err(failure) => Err(self.target.closed(&failure).to_string()),
        }
    }
}

/// A session that has the lock on the store, at a server that keeps what it acknowledges.
async fn locked(target: &Arc<Target>) -> Result<Session, OpenError> {
    let closed = |failure: Failure| target.closed(&failure);
    let session = Session::open(target, Purpose::Writing).await.map_err(closed)?;
    if !keeps_what_it_acknowledges(&session).await.map_err(closed)? {
        return Err(OpenError::NotDurable(target.place()));
    }
    let locked = hold::lock(&session).await.map_err(closed)?;
    if locked { Ok(session) } else { Err(OpenError::InUse(target.place())) }
}

/// CockroachDB and YugabyteDB write in their own way, whatever the setting says.
async fn keeps_what_it_acknowledges(session: &Session) -> Result<bool, Failure> {
    let answer = session.query("SELECT current_setting('fsync', true), version()", &[]).await?;
    let Some(answer) = answer.first() else { return Ok(false) };
    let (fsync, version): (Option<&str>, &str) = (answer.try_get(0)?, answer.try_get(1)?);
    let its_own_way = version.contains("CockroachDB") || version.contains("-YB-");
    Ok(its_own_way || fsync != Some("off"))
}

/// Tries the transaction once. The session is given back only where it is in no transaction any more; otherwise it is
/// cut, and with it ends what was not committed.
async fn transaction(session: Session, tenure: &Tenure, batch: &Batch) -> (Option<Session>, Outcome) {
    let outcome = match prepare(&session, tenure, batch).await {
        Ok(()) => match session.commit().await {
            Ok(()) => Outcome::Applied,
            Err(failure) if failure.is_about_order() => Outcome::Again(failure.to_string()),
            Err(said @ Failure::Said { .. }) => Outcome::Final(CommitError::Refused(said.to_string())),
            Err(Failure::Lost(why)) => return (None, Outcome::Final(CommitError::OutcomeUnknown(why))),
        },
        Err(stop) => {
            let undone = !matches!(stop, Stop::Failed(Failure::Lost(_))) && session.run("ROLLBACK").await.is_ok();
            let outcome = match stop {
                Stop::Conflict(key) => Outcome::Final(CommitError::Conflict(key)),
                Stop::Replaced => Outcome::Replaced,
                Stop::Failed(failure) if failure.is_about_order() => Outcome::Again(failure.to_string()),
                Stop::Failed(failure) => Outcome::Final(CommitError::Refused(failure.to_string())),
            };
            return (undone.then_some(session), outcome);
        }
    };
    (Some(session), outcome)
}

/// All of the transaction but COMMIT, in two round trips.
async fn prepare(session: &Session, tenure: &Tenure, batch: &Batch) -> Result<(), Stop> {
    // Sent in this order, without waiting for each answer.
    let ((), holds, found) = tokio::try_join!(
        biased;
        session.run("BEGIN ISOLATION LEVEL SERIALIZABLE"),
        hold::holds(session, tenure),
        revisions(session, batch)
    )
    .map_err(Stop::Failed)?;
    if !holds {
        return Err(Stop::Replaced);
    }
    for (key, expected) in &batch.expect {
        if !expected.holds(found.get(key.as_bytes()).copied()) {
            return Err(Stop::Conflict(key.clone()));
        }
    }
    tokio::try_join!(biased; put(session, batch), delete(session, batch)).map_err(Stop::Failed)?;
    Ok(())
}

/// The revisions of the rows that are expected and there; they stay so until the transaction is over.
async fn revisions(session: &Session, batch: &Batch) -> Result<HashMap<Vec<u8>, u64>, Failure> {
    if batch.expect.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<&[u8]> = batch.expect.iter().map(|(key, _)| key.as_bytes()).collect();
    let found = session.query(EXPECTED, &[(&keys, Type::BYTEA_ARRAY)]).await?;
    found.iter().map(|row| Ok((row.try_get(0)?, given(row.try_get(1)?)))).collect()
}

async fn put(session: &Session, batch: &Batch) -> Result<(), Failure> {
    if batch.put.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u8]> = batch.put.iter().map(|(key, _)| key.as_bytes()).collect();
    let revisions: Vec<i64> = batch.put.iter().map(|(_, row)| stored(row.revision)).collect();
    let sealed: Vec<&[u8]> = batch.put.iter().map(|(_, row)| &*row.value).collect();
    let values: [Value<'_>; 3] =
        [(&keys, Type::BYTEA_ARRAY), (&revisions, Type::INT8_ARRAY), (&sealed, Type::BYTEA_ARRAY)];
    session.query(PUT, &values).await.map(drop)
}

async fn delete(session: &Session, batch: &Batch) -> Result<(), Failure> {
    if batch.delete.is_empty() {
        return Ok(());
    }
    let keys: Vec<&[u8]> = batch.delete.iter().map(StoreKey::as_bytes).collect();
    session.query(DELETE, &[(&keys, Type::BYTEA_ARRAY)]).await.map(drop)
}

const EXPECTED: &str = "SELECT key, revision FROM claviger_rows WHERE key = ANY($1) ORDER BY key FOR UPDATE";
const PUT: &str = "INSERT INTO claviger_rows (key, revision, value) SELECT * FROM unnest($1, $2, $3) \
                   ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value";
const DELETE: &str = "DELETE FROM claviger_rows WHERE key = ANY($1)";

const REPLACED: &str = "another server has taken the store since; start this one anew to take it back";
