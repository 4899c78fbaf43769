//! The commit: one transaction on the session that commits; and the way back after that session was lost.

use std::collections::HashMap;
use std::convert::Infallible;
use std::mem;
use std::sync::Arc;

use claviger_store::{Batch, CommitError, StoreKey};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use crate::OpenError;
use crate::failure::Failure;
use crate::hold;
use crate::limits::{LEASE, ORDER_TRIES};
use crate::news::{self, news_between};
use crate::pause::Pause;
use crate::rows::{given, stored};
use crate::session::{Purpose, Session, Target, Value};

/// The one session of this node that commits.
pub(crate) struct Writer {
    target: Arc<Target>,
    hold: Hold,
    pause: Pause,
}

/// Whether commits are taken.
enum Hold {
    /// The session, in no transaction.
    Held(Session, How),
    /// It was lost, or is with a commit that is under way.
    Open,
}

/// How a turn is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    ByTable,
    ByRow,
}

/// A transaction that has the turn, and has changed nothing yet.
pub(crate) struct Begun {
    session: Session,
    how: How,
    /// The number of the last commit.
    pub epoch: i64,
    /// What was committed since the number that was asked for.
    pub news: Option<Vec<StoreKey>>,
}

/// Who commits: no member before the vault is open.
#[derive(Clone, Copy)]
pub(crate) struct Who<'a> {
    /// The member's id; empty where it is none.
    pub member: &'a str,
    /// Since which commit the news are asked for.
    pub since: Option<i64>,
}

impl Who<'_> {
    /// Whoever is no member.
    pub const NOBODY: Who<'static> = Who { member: "", since: None };
}

/// What stopped a transaction before COMMIT was sent.
enum Stop {
    Conflict(StoreKey),
    NoMember,
    Replaced,
    Failed(Failure),
}

/// What became of one try of a transaction.
enum Outcome<T> {
    Done(T),
    Final(CommitError),
    /// Undone to keep others in order.
    Again(String),
}

impl Writer {
    pub(crate) async fn open(target: Arc<Target>) -> Result<Self, OpenError> {
        let (session, how) = locked(&target).await?;
        let taken = async {
            hold::make_tables(&session).await?;
            hold::take(&session).await
        };
        taken.await.map_err(|failure| target.closed(&failure))?;
        Ok(Self { target, hold: Hold::Held(session, how), pause: Pause::default() })
    }

    /// Takes the turn. Nobody else commits until what it gives is dropped or finished.
    pub(crate) async fn begin(&mut self, who: Who<'_>) -> Result<Begun, CommitError> {
        let mut last = String::new();
        for _ in 0..ORDER_TRIES {
            let (session, how) = self.session().await.map_err(CommitError::Refused)?;
            match turn(&session, how, who).await {
                Ok((epoch, news)) => return Ok(Begun { session, how, epoch, news }),
                Err(stop) => match self.stopped(session, how, stop).await {
                    Outcome::Done(never) => match never {},
                    Outcome::Final(error) => return Err(error),
                    Outcome::Again(why) => last = why,
                },
            }
        }
        Err(undone_too_often(&last))
    }

    /// Commits in a turn, or in one that it takes first.
    pub(crate) async fn commit(
        &mut self,
        mut begun: Option<Begun>,
        who: Who<'_>,
        batch: &Batch,
        news: &[StoreKey],
    ) -> Result<(), CommitError> {
        let mut last = String::new();
        for _ in 0..ORDER_TRIES {
            let begun = match begun.take() {
                Some(begun) => begun,
                None => self.begin(Who { since: None, ..who }).await?,
            };
            match self.finish(begun, who.member, batch, news).await {
                Outcome::Done(()) => return Ok(()),
                Outcome::Final(error) => return Err(error),
                Outcome::Again(why) => last = why,
            }
        }
        Err(undone_too_often(&last))
    }

    /// Runs something else in a turn.
    pub(crate) async fn run(
        &mut self,
        who: Who<'_>,
        statement: &str,
        values: &[Value<'_>],
    ) -> Result<Vec<tokio_postgres::Row>, CommitError> {
        let Begun { session, how, .. } = self.begin(who).await?;
        let done = async {
            let rows = session.query(statement, values).await?;
            session.commit().await?;
            Ok(rows)
        };
        match done.await {
            Ok(rows) => {
                self.hold = Hold::Held(session, how);
                Ok(rows)
            }
            Err(failure @ Failure::Said { .. }) => {
                self.undo(session, how).await;
                Err(CommitError::Refused(failure.to_string()))
            }
            Err(Failure::Lost(why)) => Err(CommitError::OutcomeUnknown(why)),
        }
    }

    /// Ends a turn without a change.
    pub(crate) async fn pass(&mut self, Begun { session, how, .. }: Begun) {
        self.undo(session, how).await;
    }

    /// The session is kept only where it is in no transaction any more; otherwise it is cut, and with it ends what was not
    /// committed.
    async fn undo(&mut self, session: Session, how: How) {
        if session.run("ROLLBACK").await.is_ok() {
            self.hold = Hold::Held(session, how);
        }
    }

    async fn finish(&mut self, begun: Begun, member: &str, batch: &Batch, news: &[StoreKey]) -> Outcome<()> {
        let Begun { session, how, epoch, .. } = begun;
        if let Err(stop) = prepare(&session, epoch, member, batch, news).await {
            return match self.stopped(session, how, stop).await {
                Outcome::Done(never) => match never {},
                Outcome::Final(error) => Outcome::Final(error),
                Outcome::Again(why) => Outcome::Again(why),
            };
        }
        match session.commit().await {
            Ok(()) => {
                self.hold = Hold::Held(session, how);
                Outcome::Done(())
            }
            Err(Failure::Lost(why)) => Outcome::Final(CommitError::OutcomeUnknown(why)),
            Err(said) => {
                self.hold = Hold::Held(session, how);
                if said.is_about_order() {
                    Outcome::Again(said.to_string())
                } else {
                    Outcome::Final(CommitError::Refused(said.to_string()))
                }
            }
        }
    }

    async fn stopped(&mut self, session: Session, how: How, stop: Stop) -> Outcome<Infallible> {
        if !matches!(stop, Stop::Failed(Failure::Lost(_))) {
            self.undo(session, how).await;
        }
        match stop {
            Stop::Conflict(key) => Outcome::Final(CommitError::Conflict(key)),
            Stop::NoMember => Outcome::Final(CommitError::Refused(NO_MEMBER.to_owned())),
            Stop::Replaced => Outcome::Final(CommitError::Refused(REPLACED.to_owned())),
            Stop::Failed(failure) if failure.is_about_order() => Outcome::Again(failure.to_string()),
            Stop::Failed(failure) => Outcome::Final(CommitError::Refused(failure.to_string())),
        }
    }

    /// The session that commits, or else another one.
    async fn session(&mut self) -> Result<(Session, How), String> {
        // Taken out: a commit that is broken off leaves no session behind in the midst of a transaction.
        match mem::replace(&mut self.hold, Hold::Open) {
            Hold::Held(session, how) if !session.has_ended() => return Ok((session, how)),
            Hold::Held(..) | Hold::Open => {}
        }
        self.pause.over(Instant::now())?;
        let another = locked(&self.target).await.map_err(|error| error.to_string());
        match &another {
            Ok(_) => self.pause.succeeded(),
            Err(why) => self.pause.failed(Instant::now(), why.clone()),
        }
        another
    }
}

fn undone_too_often(last: &str) -> CommitError {
    CommitError::Refused(format!("undone {ORDER_TRIES} times for the sake of other transactions: {last}"))
}

/// A session that shares the lock on the store, at a server that keeps what it acknowledges.
async fn locked(target: &Arc<Target>) -> Result<(Session, How), OpenError> {
    let closed = |failure: Failure| target.closed(&failure);
    let session = Session::open(target, Purpose::Writing).await.map_err(closed)?;
    let Kind { is_durable, how } = kind(&session).await.map_err(closed)?;
    if !is_durable {
        return Err(OpenError::NotDurable(target.place()));
    }
    let locked = hold::lock(&session, target.alone).await.map_err(closed)?;
    let taken = if target.alone { OpenError::NotAlone } else { OpenError::InUse };
    if locked { Ok((session, how)) } else { Err(taken(target.place())) }
}

struct Kind {
    is_durable: bool,
    how: How,
}

/// CockroachDB and YugabyteDB write in their own way, whatever the setting says; and know no locks of tables.
async fn kind(session: &Session) -> Result<Kind, Failure> {
    let answer = session.query("SELECT current_setting('fsync', true), version()", &[]).await?;
    let Some(answer) = answer.first() else { return Ok(Kind { is_durable: false, how: How::ByRow }) };
    let (fsync, version): (Option<&str>, &str) = (answer.try_get(0)?, answer.try_get(1)?);
    let its_own_way = version.contains("CockroachDB") || version.contains("-YB-");
    let how = if its_own_way { How::ByRow } else { How::ByTable };
    Ok(Kind { is_durable: its_own_way || fsync != Some("off"), how })
}

/// Takes the turn: the number of the last commit, and what was committed since the one that is asked for, if all of it is
/// still known.
async fn turn(session: &Session, how: How, who: Who<'_>) -> Result<(i64, Option<Vec<StoreKey>>), Stop> {
    let begin = match how {
        How::ByTable => hold::BEGIN_TURN,
        How::ByRow => hold::BEGIN_TURN_BY_ROW,
    };
    let lease = i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
    // Sent in this order, without waiting for each answer.
    let ((), epoch, member) = tokio::try_join!(
        biased;
        session.run(begin),
        session.query(hold::EPOCH, &[]),
        async {
            let values: [Value<'_>; 2] = [(&who.member, Type::TEXT), (&lease, Type::INT8)];
            Ok(who.member.is_empty() || !session.query(hold::IS_MEMBER, &values).await?.is_empty())
        }
    )
    .map_err(Stop::Failed)?;
    let Some(epoch) = epoch.first() else { return Err(Stop::Replaced) };
    let epoch: i64 = epoch.try_get(0).map_err(Failure::from).map_err(Stop::Failed)?;
    if !member {
        return Err(Stop::NoMember);
    }
    let news = match who.since {
        None => Some(Vec::new()),
        Some(since) => news_between(session, who.member, since, epoch).await.map_err(Stop::Failed)?.news,
    };
    Ok((epoch, news))
}

/// All of the transaction from the turn on but COMMIT, in two round trips.
async fn prepare(session: &Session, epoch: i64, member: &str, batch: &Batch, news: &[StoreKey]) -> Result<(), Stop> {
    let found = revisions(session, batch).await.map_err(Stop::Failed)?;
    for (key, expected) in &batch.expect {
        if !expected.holds(found.get(key.as_bytes()).copied()) {
            return Err(Stop::Conflict(key.clone()));
        }
    }
    tokio::try_join!(biased; put(session, batch), delete(session, batch), tell(session, epoch + 1, member, news))
        .map_err(Stop::Failed)?;
    Ok(())
}

async fn tell(session: &Session, epoch: i64, member: &str, news: &[StoreKey]) -> Result<(), Failure> {
    let keys = news::written(news);
    let values: [Value<'_>; 3] = [(&epoch, Type::INT8), (&member, Type::TEXT), (&keys, Type::BYTEA)];
    let number: [Value<'_>; 1] = [(&epoch, Type::INT8)];
    tokio::try_join!(biased; session.query(hold::TELL, &values), session.query(hold::COUNT, &number))?;
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

const REPLACED: &str = "a server of an earlier version has taken the store; stop that one first";
const NO_MEMBER: &str =
    "this node was not heard of for too long, and what it remembers may be wrong; it joins again by itself";
