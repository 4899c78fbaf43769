//! One node among several: what it says of itself, what it hears of the others, and the work that it has claimed.

use std::sync::Arc;

use async_trait::async_trait;
use claviger_store::{Batch, CommitError, Heard, Member, Range, ReadError, Row, Store, StoreKey, Turn, View};
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::Instant;
use tokio_postgres::types::Type;

use crate::PostgresStore;
use crate::failure::{Failure, within};
use crate::limits::{HEARING_MOST, LEASE, NEWS_KEPT, PRUNE_EVERY};
use crate::news::news_between;
use crate::pause::Pause;
use crate::read::unreadable;
use crate::session::{Purpose, Session, Target, Value};
use crate::write::{Begun, Who, Writer};

pub(crate) struct PostgresMember {
    store: PostgresStore,
    id: Arc<str>,
    /// The last commit that the holder of turns knows of.
    known: Mutex<i64>,
    hearing: tokio::sync::Mutex<Hearing>,
    claims: tokio::sync::Mutex<Line>,
    /// Whether the database did not answer when it was asked last.
    silent: watch::Sender<bool>,
}

struct Hearing {
    line: Line,
    /// The last commit that was heard of.
    heard: i64,
    times: u32,
}

/// A session that is made anew when it was lost.
struct Line {
    target: Arc<Target>,
    session: Option<Session>,
    pause: Pause,
}

impl Line {
    fn new(target: Arc<Target>) -> Self {
        Self { target, session: None, pause: Pause::default() }
    }

    /// Taken out: whoever is broken off in the midst of something leaves no session behind.
    async fn take(&mut self) -> Result<Session, Failure> {
        if let Some(session) = self.session.take().filter(|session| !session.has_ended()) {
            return Ok(session);
        }
        self.pause.over(Instant::now()).map_err(Failure::Lost)?;
        let opened = Session::open(&self.target, Purpose::Hearing).await;
        match &opened {
            Ok(_) => self.pause.succeeded(),
            Err(failure) => self.pause.failed(Instant::now(), failure.to_string()),
        }
        opened
    }

    fn put_back<T>(&mut self, session: Session, answer: Result<T, Failure>) -> Result<T, Failure> {
        if !matches!(answer, Err(Failure::Lost(_))) {
            self.session = Some(session);
        }
        answer
    }

    async fn query(&mut self, statement: &str, values: &[Value<'_>]) -> Result<Vec<tokio_postgres::Row>, Failure> {
        let session = self.take().await?;
        let answer = session.query(statement, values).await;
        self.put_back(session, answer)
    }
}

/// Joins: nothing that is known from before counts.
pub(crate) async fn join(store: &PostgresStore) -> Result<PostgresMember, ReadError> {
    let mut line = Line::new(Arc::clone(&store.target));
    let joined = async {
        let session = line.take().await?;
        let joined = async {
            let id = one::<String>(&session.query(JOIN, &[]).await?)?;
            // After it: what is committed from here on is heard of.
            Ok((id, one::<i64>(&session.query(EPOCH, &[]).await?)?))
        };
        let joined = joined.await;
        line.put_back(session, joined)
    };
    let (id, epoch) = joined.await.map_err(unreadable)?;
    let claims = Line::new(Arc::clone(&store.target));
    Ok(PostgresMember {
        store: store.clone(),
        id: id.into(),
        known: Mutex::new(epoch),
        hearing: tokio::sync::Mutex::new(Hearing { line, heard: epoch, times: 0 }),
        claims: tokio::sync::Mutex::new(claims),
        silent: watch::Sender::new(false),
    })
}

impl PostgresMember {
    async fn writer(&self) -> OwnedMutexGuard<Writer> {
        Arc::clone(&self.store.writer).lock_owned().await
    }

    /// Gives up what waits for a database that says nothing to anybody.
    async fn unless_silent<T, E>(
        &self,
        asked: impl Future<Output = Result<T, E>> + Send,
        given_up: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        let mut silent = self.silent.subscribe();
        tokio::select! {
            biased;
            answer = asked => answer,
            // The sender is this node's own, and outlives it.
            _ = silent.wait_for(|silent| *silent) => Err(given_up(SILENT.to_owned())),
        }
    }

    async fn ask(&self, session: &Session, since: i64, prune: bool) -> Result<(Heard, i64), Failure> {
        // The number first: what is told after it is of that commit, or of later ones.
        let epoch = one::<i64>(&session.query(EPOCH, &[]).await?)?;
        let found = news_between(session, &self.id, since, epoch).await?;
        let lease = milliseconds(LEASE);
        let values: [Value<'_>; 2] = [(&&*self.id, Type::TEXT), (&lease, Type::INT8)];
        let (lives, now) = tokio::try_join!(biased; session.query(LIVE, &values), session.query(NOW, &[]))?;
        if prune {
            let old = milliseconds(NEWS_KEPT);
            let values: [Value<'_>; 1] = [(&old, Type::INT8)];
            tokio::try_join!(biased; session.query(PRUNE_NEWS, &values), session.query(PRUNE_MEMBERS, &values))?;
        }
        let heard = Heard { news: found.news, member: !lives.is_empty(), at_microseconds: one(&now)? };
        Ok((heard, found.until))
    }

    /// Takes over what a member had that is none any more; in a turn, so that no commit of it is under way.
    async fn take_over(&self, work: &str) -> Result<bool, CommitError> {
        let lease = milliseconds(LEASE);
        let values: [Value<'_>; 3] = [(&work, Type::TEXT), (&&*self.id, Type::TEXT), (&lease, Type::INT8)];
        let who = Who { member: &self.id, since: None };
        Ok(!self.writer().await.run(who, TAKE_OVER, &values).await?.is_empty())
    }
}

#[async_trait]
impl Store for PostgresMember {
    async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
        self.unless_silent(self.store.get(key), ReadError).await
    }

    async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
        self.unless_silent(self.store.scan(range), ReadError).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        batch.well_formed()?;
        let who = Who { member: &self.id, since: None };
        self.writer().await.commit(None, who, &batch, &keys_of(&batch)).await
    }

    async fn view(&self) -> Result<Box<dyn View>, ReadError> {
        self.store.view().await
    }
}

#[async_trait]
impl Member for PostgresMember {
    async fn turn(&self) -> Result<Box<dyn Turn>, CommitError> {
        let mut writer = self.writer().await;
        let since = *self.known.lock();
        let taking = writer.begin(Who { member: &self.id, since: Some(since) });
        let mut begun = self.unless_silent(taking, CommitError::Refused).await?;
        let Some(news) = begun.news.take() else {
            writer.pass(begun).await;
            return Err(CommitError::Refused(GAP.to_owned()));
        };
        *self.known.lock() = begun.epoch;
        Ok(Box::new(PostgresTurn { id: Arc::clone(&self.id), writer, begun, news }))
    }

    async fn hear(&self) -> Result<Heard, ReadError> {
        let mut hearing = self.hearing.lock().await;
        let Hearing { line, heard, times } = &mut *hearing;
        let (since, prune) = (*heard, times.is_multiple_of(PRUNE_EVERY));
        let answer = within(HEARING_MOST, async {
            let session = line.take().await?;
            let answer = self.ask(&session, since, prune).await;
            line.put_back(session, answer)
        });
        let answer = answer.await;
        self.silent.send_replace(answer.is_err());
        let (answer, until) = answer.map_err(unreadable)?;
        (*heard, *times) = (until, times.wrapping_add(1));
        Ok(answer)
    }

    async fn claim(&self, work: &str) -> Result<bool, CommitError> {
        let mut line = self.claims.lock().await;
        let values: [Value<'_>; 2] = [(&work, Type::TEXT), (&&*self.id, Type::TEXT)];
        if !line.query(CLAIM, &values).await.map_err(refused)?.is_empty() {
            return Ok(true);
        }
        let lease = milliseconds(LEASE);
        let asked = line.query(CLAIMED, &[(&work, Type::TEXT), (&lease, Type::INT8)]).await.map_err(refused)?;
        // Given back meanwhile: the next one who asks has it.
        let Some(claimed) = asked.first() else { return Ok(false) };
        let (member, lives) =
            (|| Ok((claimed.try_get::<_, String>(0)?, claimed.try_get::<_, bool>(1)?)))().map_err(refused)?;
        drop(line);
        Ok(if member == *self.id {
            true
        } else if lives {
            false
        } else {
            self.take_over(work).await?
        })
    }

    async fn release(&self, work: &str) -> Result<(), CommitError> {
        let values: [Value<'_>; 2] = [(&work, Type::TEXT), (&&*self.id, Type::TEXT)];
        self.claims.lock().await.query(RELEASE, &values).await.map(drop).map_err(refused)
    }

    async fn leave(&self) -> Result<(), CommitError> {
        let mut line = self.claims.lock().await;
        for statement in [LEAVE, RELEASE_ALL] {
            line.query(statement, &[(&&*self.id, Type::TEXT)]).await.map_err(refused)?;
        }
        Ok(())
    }
}

struct PostgresTurn {
    id: Arc<str>,
    writer: OwnedMutexGuard<Writer>,
    begun: Begun,
    news: Vec<StoreKey>,
}

#[async_trait]
impl Turn for PostgresTurn {
    fn news(&mut self) -> Vec<StoreKey> {
        std::mem::take(&mut self.news)
    }

    async fn commit(self: Box<Self>, batch: Batch, news: Vec<StoreKey>) -> Result<(), CommitError> {
        let Self { id, mut writer, begun, .. } = *self;
        if let Err(malformed) = batch.well_formed() {
            writer.pass(begun).await;
            return Err(malformed);
        }
        writer.commit(Some(begun), Who { member: &id, since: None }, &batch, &news).await
    }

    async fn pass(self: Box<Self>) {
        let Self { mut writer, begun, .. } = *self;
        writer.pass(begun).await;
    }
}

/// The keys that a batch writes.
pub(crate) fn keys_of(batch: &Batch) -> Vec<StoreKey> {
    batch.put.iter().map(|(key, _)| key).chain(&batch.delete).cloned().collect()
}

fn one<T: for<'a> tokio_postgres::types::FromSql<'a>>(rows: &[tokio_postgres::Row]) -> Result<T, Failure> {
    let row = rows.first().ok_or_else(|| Failure::Lost("nothing was answered".to_owned()))?;
    Ok(row.try_get(0)?)
}

fn milliseconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "taken as map_err hands it over")]
fn refused(failure: Failure) -> CommitError {
    CommitError::Refused(failure.to_string())
}

const SILENT: &str = "the database does not answer";
const GAP: &str = "what others have written meanwhile is not told any more; this node has to be unsealed again";

const JOIN: &str = "INSERT INTO claviger_members (id, heard_at) VALUES (gen_random_uuid()::text, clock_timestamp()) \
                    RETURNING id";
const EPOCH: &str = "SELECT epoch FROM claviger_node WHERE id = 1";
const LIVE: &str = "UPDATE claviger_members SET heard_at = clock_timestamp() WHERE id = $1 \
                    AND heard_at > clock_timestamp() - $2 * interval '1 millisecond' RETURNING 1";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
const PRUNE_NEWS: &str = "DELETE FROM claviger_news WHERE at < clock_timestamp() - $1 * interval '1 millisecond'";
const PRUNE_MEMBERS: &str =
    "DELETE FROM claviger_members WHERE heard_at < clock_timestamp() - $1 * interval '1 millisecond'";
const CLAIM: &str =
    "INSERT INTO claviger_claims (work, member) VALUES ($1, $2) ON CONFLICT (work) DO NOTHING RETURNING 1";
const CLAIMED: &str = "SELECT c.member, EXISTS (SELECT 1 FROM claviger_members m WHERE m.id = c.member \
                       AND m.heard_at > clock_timestamp() - $2 * interval '1 millisecond') \
                       FROM claviger_claims c WHERE c.work = $1";
const TAKE_OVER: &str = "UPDATE claviger_claims SET member = $2 WHERE work = $1 AND NOT EXISTS \
                         (SELECT 1 FROM claviger_members m WHERE m.id = claviger_claims.member \
                         AND m.heard_at > clock_timestamp() - $3 * interval '1 millisecond') RETURNING 1";
const RELEASE: &str = "DELETE FROM claviger_claims WHERE work = $1 AND member = $2";
const LEAVE: &str = "DELETE FROM claviger_members WHERE id = $1";
const RELEASE_ALL: &str = "DELETE FROM claviger_claims WHERE member = $1";
