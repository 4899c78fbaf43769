//! The workers: one a stream, each on its own, so that one that hangs holds up no other.
//!
//! A worker never waits for the other side with the open vault in its hands: what is sealed meanwhile is sealed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_api::audit::note::origin;
use claviger_api::audit::record::FieldName;
use claviger_api::{Scope, Timestamp};
use claviger_store::Versioned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::heads::{Heads, look};
use super::told::{Customer, Place, Told};
use super::window::Window;
use super::{Message, Stream, Way, meaning};
use crate::error::{Error, Result};
use crate::open::Open;
use crate::records::StreamCursorRecord;
use crate::vault::Vault;

/// The most entries that are read, and held, at once.
const BATCH_MOST: usize = 256;
/// The most of them out of one log, while others wait.
const OF_A_LOG_MOST: usize = 64;
/// The least between two looks at how far behind a stream is.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// The wait after a first failure; each further one doubles it.
const BACK_OFF_LEAST: Duration = Duration::from_millis(500);
/// The longest.
const BACK_OFF_MOST: Duration = Duration::from_mins(1);
/// How often somebody who waits looks whether the vault is open.
const SEALED_LOOK: Duration = Duration::from_millis(250);

/// Why a delivery ended.
enum Ended {
    /// The vault is sealed.
    Sealed,
    /// The other side closed the way while nothing was on it, as some do after a quiet hour.
    Closed,
    /// Something failed.
    Broke(String),
}

impl Ended {
    fn of(what: &str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Broke(format!("{what}: {error}"))
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Broke(in_words(&error))
    }
}

fn in_words(error: &Error) -> String {
    let note = error.operator.as_ref().map_or(error.detail.as_str(), |note| note.for_the_log());
    format!("the log cannot be read: {note}")
}

/// Delivers every stream until `stop` says so. What is on its way then is sent again after the next start.
pub async fn run(vault: Arc<Vault>, mut stop: watch::Receiver<bool>) {
    let streams = vault.ground().streams.clone();
    if streams.is_empty() {
        return;
    }
    let (seen, heads) = watch::channel(Heads::default());
    let mut workers = JoinSet::new();
    workers.spawn(look(vault.clone(), seen));
    for stream in streams {
        workers.spawn(keep_delivering(stream, vault.clone(), heads.clone()));
    }
    // It ends with its sender, too: whoever started this is gone.
    let _ = stop.changed().await;
    workers.shutdown().await;
}

async fn keep_delivering(stream: Arc<Stream>, vault: Arc<Vault>, heads: watch::Receiver<Heads>) {
    let mut wait = BACK_OFF_LEAST;
    loop {
        let its = match vault.open() {
            // By its row: no name is in the store in clear.
            Ok(open) => {
                open.nodes.keep(&open.stream_cursor_row(&stream.name, Scope::Operator).to_key().to_string()).await
            }
            Err(_) => false,
        };
        if !its {
            tokio::time::sleep(SEALED_LOOK).await;
            continue;
        }
        let mut delivery = Delivery::of(&stream, &vault, heads.clone());
        let ended = match delivery.run().await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        if delivery.proved {
            wait = BACK_OFF_LEAST;
        }
        match ended {
            Ended::Sealed => {
                tokio::time::sleep(SEALED_LOOK).await;
                continue;
            }
            Ended::Closed => {}
            Ended::Broke(trouble) => stream.is_in_trouble(&trouble),
        }
        delivery.rest(jittered(wait, &vault)).await;
        wait = (2 * wait).min(BACK_OFF_MOST);
    }
}

/// Half of it to all of it, so that many who lost the same receiver do not all come back at once.
fn jittered(wait: Duration, vault: &Vault) -> Duration {
    let mut drawn = [0];
    vault.ground().random.fill_public(&mut drawn);
    let [drawn] = drawn;
    wait / 2 + wait / 2 * u32::from(drawn) / u32::from(u8::MAX)
}

impl Stream {
    /// Keeps what is wrong, and says so in the log when it is new.
    fn is_in_trouble(&self, trouble: &str) {
        let known = self.progress.lock().trouble.replace(trouble.to_owned());
        if known.as_deref() != Some(trouble) {
            tracing::warn!(stream = %self.name, trouble, "a stream of the audit log is broken, and is tried again");
        }
    }

    fn is_well(&self) {
        if self.progress.lock().trouble.take().is_some() {
            tracing::info!(stream = %self.name, "a stream of the audit log delivers again");
        }
    }
}

/// One life of a stream: from opening its way until something breaks.
struct Delivery<'a> {
    stream: &'a Stream,
    vault: &'a Vault,
    heads: watch::Receiver<Heads>,
    window: Window,
    rows: BTreeMap<Scope, Versioned<StreamCursorRecord>>,
    /// The log with which the next batch begins: each has its turn.
    turn: Option<Scope>,
    looked_at: Option<Instant>,
    /// What is wrong with single logs, each told once.
    stuck: BTreeMap<Scope, String>,
    /// Whether the other side has proven that it receives.
    proved: bool,
}

/// Entries, and where their logs go on after them.
#[derive(Default)]
struct Sending {
    messages: Vec<Message>,
    next: Vec<(Scope, u64)>,
}

impl<'a> Delivery<'a> {
    fn of(stream: &'a Stream, vault: &'a Vault, heads: watch::Receiver<Heads>) -> Self {
        let window = Window::new(stream.settle);
        let (rows, stuck) = (BTreeMap::new(), BTreeMap::new());
        Self { stream, vault, heads, window, rows, turn: None, looked_at: None, stuck, proved: false }
    }

    async fn run(&mut self) -> std::result::Result<std::convert::Infallible, Ended> {
        self.take_up().await?;
        self.look_at_progress().await?;
        let mut way = self.open_way().await?;
        let opened = Instant::now();
        loop {
            self.take_up().await?;
            let sending = self.next_batch().await?;
            let idle = sending.messages.is_empty();
            if !idle {
                way.send(&sending.messages).await.map_err(Ended::of("it takes nothing more"))?;
                let now = Instant::now();
                sending.next.iter().for_each(|(log, next)| self.window.sent(*log, *next, now));
            }
            if self.window.is_to_end(Instant::now()) {
                // The next way first: while it stands, whoever has taken what was sent is still there.
                let ending = std::mem::replace(&mut way, self.open_way().await?);
                ending.end().await.map_err(Ended::of("it does not say that it has taken what was sent"))?;
                self.window.ended(Instant::now());
                self.is_well();
            }
            self.move_cursors().await?;
            self.look_at_progress().await?;
            if idle {
                self.wait(way.as_mut()).await?;
                if opened.elapsed() >= self.stream.settle && self.window.deadline().is_none() {
                    self.is_well();
                }
            }
        }
    }

    /// Waits, and goes on telling how far behind the stream is.
    async fn rest(&mut self, wait: Duration) {
        let end = tokio::time::Instant::now() + wait;
        while self.look_at_progress().await.is_ok() && tokio::time::Instant::now() < end {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + PROGRESS_EVERY)).await;
        }
        tokio::time::sleep_until(end).await;
    }

    fn is_well(&mut self) {
        self.proved = true;
        if self.stuck.is_empty() {
            self.stream.is_well();
        }
    }

    fn open(&self) -> std::result::Result<Arc<Open>, Ended> {
        self.vault.open().map_err(|_| Ended::Sealed)
    }

    async fn open_way(&self) -> std::result::Result<Box<dyn Way>, Ended> {
        self.stream.sink.open().await.map_err(Ended::of("it cannot be reached"))
    }

    /// Begins with the logs that are new.
    async fn take_up(&mut self) -> std::result::Result<(), Ended> {
        let open = self.open()?;
        let heads = self.heads.borrow_and_update().clone();
        for (log, size) in heads.iter().filter(|(log, _)| !self.window.has(**log)).collect::<Vec<_>>() {
            if open.is_locked(*log) || !open.is_streamed(self.stream, *log).await? {
                continue;
            }
            let row = open.stream_cursor(self.stream, *log).await?;
            if row.value.next > *size {
                // The log is another than the one that was read: an older store was put in its place.
                tracing::warn!(stream = %self.stream.name, ?log, "a log is shorter than what was streamed of it; all is sent again");
            }
            self.window.begin(*log, if row.value.next > *size { 0 } else { row.value.next });
            self.rows.insert(*log, row);
        }
        Ok(())
    }

    /// The next entries, some out of each log that has any. A log that is locked is passed over, and one that cannot be read
    /// is told of and passed over: the others go on.
    async fn next_batch(&mut self) -> std::result::Result<Sending, Ended> {
        let (open, heads) = (self.open()?, self.heads.borrow().clone());
        let mut logs: Vec<(Scope, u64)> = self
            .window
            .logs()
            .filter(|(log, _, next)| heads.get(log).is_some_and(|size| next < size))
            .map(|(log, _, next)| (log, next))
            .collect();
        let begin = logs.partition_point(|(log, _)| self.turn.is_some_and(|turn| *log <= turn));
        logs.rotate_left(begin);
        let mut sending = Sending::default();
        for (log, next) in logs {
            let room = OF_A_LOG_MOST.min(BATCH_MOST - sending.messages.len());
            if room == 0 {
                break;
            }
            if open.is_locked(log) {
                continue;
            }
            match open.messages(self.stream, log, next, room).await {
                Ok(messages) => {
                    self.stuck.remove(&log);
                    sending.next.push((log, next + messages.len() as u64));
                    sending.messages.extend(messages);
                    self.turn = Some(log);
                }
                Err(error) => self.is_stuck(log, &in_words(&error)),
            }
        }
        Ok(sending)
    }

    fn is_stuck(&mut self, log: Scope, trouble: &str) {
        if self.stuck.insert(log, trouble.to_owned()).as_deref() != Some(trouble) {
            self.stream.is_in_trouble(trouble);
        }
    }

    /// Stores what counts as received.
    async fn move_cursors(&mut self) -> std::result::Result<(), Ended> {
        let received = self.window.received(Instant::now());
        if received.is_empty() {
            return Ok(());
        }
        let moved = received.iter().filter_map(|(log, next)| Some((self.rows.get(log)?.clone(), *next))).collect();
        for row in self.open()?.move_stream_cursors(moved).await? {
            self.window.stored(row.id.scope(), row.value.next);
            self.rows.insert(row.id.scope(), row);
        }
        self.looked_at = None;
        Ok(())
    }

    async fn look_at_progress(&mut self) -> std::result::Result<(), Ended> {
        if self.looked_at.is_some_and(|looked| looked.elapsed() < PROGRESS_EVERY) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        let (open, heads) = (self.open()?, self.heads.borrow().clone());
        let (mut behind, mut since) = (0, None::<Timestamp>);
        for (log, cursor, _) in self.window.logs() {
            let entries = heads.get(&log).map_or(0, |size| size.saturating_sub(cursor));
            if entries > 0 {
                behind += entries;
                let oldest = open.time_of(log, cursor).await;
                since = since.into_iter().chain(oldest).min();
            }
        }
        let mut progress = self.stream.progress.lock();
        (progress.behind, progress.since) = (behind, since);
        Ok(())
    }

    /// Until there is something to do.
    async fn wait(&mut self, way: &mut dyn Way) -> std::result::Result<(), Ended> {
        let now = Instant::now();
        let at_most = self.window.deadline().map_or(PROGRESS_EVERY, |at| at.saturating_duration_since(now));
        tokio::select! {
            grown = self.heads.changed() => grown.map_err(|_| Ended::Sealed),
            () = tokio::time::sleep(at_most.min(PROGRESS_EVERY)) => Ok(()),
            broken = way.broken() => Err(match self.window.deadline() {
                Some(_) => Ended::of("it broke off")(broken),
                None => Ended::Closed,
            }),
        }
    }
}

impl Open {
    fn is_locked(&self, log: Scope) -> bool {
        !self.keyring().holds(log)
    }

    /// Whether a stream tells of a log. Where it has begun to, it goes on after the customer, and with it the slug, was removed.
    async fn is_streamed(&self, stream: &Stream, log: Scope) -> Result<bool> {
        match (log, &stream.logs.customers) {
            (Scope::Operator, _) => Ok(stream.logs.operator),
            (Scope::Customer(_), None) => Ok(true),
            (Scope::Customer(customer), Some(chosen)) => match self.slug_of(customer).await {
                Ok(slug) => Ok(chosen.contains(&slug)),
                Err(_) => Ok(self.has_stream_cursor(stream, log).await?),
            },
        }
    }

    async fn place_of_log(&self, log: Scope) -> Place {
        let customer = match log {
            Scope::Operator => None,
            // A customer that was removed has its log, and no name any more.
            Scope::Customer(id) => Some(Customer { id, slug: self.slug_of(id).await.ok() }),
        };
        let vault = &self.ground().settings.name;
        Place { vault: vault.clone(), log: origin(vault, log), customer }
    }

    /// Entries of a log, from one on, as an auditor of everything would read them.
    async fn messages(&self, stream: &Stream, log: Scope, from: u64, most: usize) -> Result<Vec<Message>> {
        let place = self.place_of_log(log).await;
        let mut messages = Vec::new();
        for (index, leaf) in (from..).zip(self.leaves_from(log, from, most).await?) {
            let entry = self.entry(log, &leaf).await?;
            let told = Told::of(place.clone(), index, &entry);
            let told = told.ok_or_else(|| Error::internal(format_args!("entry {index} of a log is gone")))?;
            let weight = meaning::of(&told).weight;
            messages.push(Message { time: told.time, kind: told.kind, weight, line: stream.format.render(&told) });
        }
        Ok(messages)
    }

    async fn time_of(&self, log: Scope, index: u64) -> Option<Timestamp> {
        let leaf = self.leaf(log, index).await.ok()?;
        leaf.value(FieldName::Time)?.parse().ok()
    }
}
