//! Streams to a receiver that hangs, loses what it has in memory, dies and comes back: what no real one does on demand.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::wire::StreamState;
use claviger_core::policy::Resource;
use claviger_store::{Batch, Purpose, RowId, Store as _};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::world::{World, may, of, part};
use crate::audit::stream::{Format, Logs, Message, Progress, Sink, Stream, Way, run};
use crate::{Ground, Once, Vault};

const SETTLE: Duration = Duration::from_millis(150);

/// A receiver: what it reads is in its memory before it is on its disk.
#[derive(Default)]
struct Receiver {
    state: Mutex<State>,
    died: Notify,
}

#[derive(Default)]
struct State {
    down: bool,
    hangs: bool,
    /// Whether it forgets to say at the end of a connection that it has read it.
    is_silent: bool,
    life: u32,
    memory: Vec<String>,
    disk: Vec<String>,
    ends: u32,
}

struct Connection {
    receiver: Arc<Receiver>,
    life: u32,
}

impl Receiver {
    /// Killed and started again: what was in its memory is gone.
    fn dies(&self) {
        let mut state = self.state.lock();
        state.life += 1;
        state.memory.clear();
        self.died.notify_waiters();
    }

    /// Its queue is written.
    fn flushes(&self) {
        let State { memory, disk, .. } = &mut *self.state.lock();
        disk.append(memory);
    }

    fn ends(&self) -> u32 {
        self.state.lock().ends
    }

    fn has(&self, kind: &str) -> usize {
        let state = self.state.lock();
        state.memory.iter().chain(&state.disk).filter(|line| line.contains(&format!("\"kind\":\"{kind}\""))).count()
    }

    /// Which entries of each log are on its disk, in the order in which each first came.
    fn first_seen(&self) -> BTreeMap<String, Vec<u64>> {
        let mut logs = BTreeMap::<String, Vec<u64>>::new();
        for line in &self.state.lock().disk {
            let event: Value = serde_json::from_str(line).unwrap();
            let seen = logs.entry(event["log"].as_str().unwrap().to_owned()).or_default();
            let index = event["index"].as_u64().unwrap();
            if !seen.contains(&index) {
                seen.push(index);
            }
        }
        logs
    }
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::ConnectionReset)
}

struct To(Arc<Receiver>);

#[async_trait]
impl Sink for To {
    async fn open(&self) -> io::Result<Box<dyn Way>> {
        let (down, life) = {
            let state = self.0.state.lock();
            (state.down, state.life)
        };
        if down { Err(gone()) } else { Ok(Box::new(Connection { receiver: self.0.clone(), life })) }
    }
}

#[async_trait]
impl Way for Connection {
    async fn send(&mut self, messages: &[Message]) -> io::Result<()> {
        while self.receiver.state.lock().hangs {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut state = self.receiver.state.lock();
        if state.life != self.life {
            return Err(gone());
        }
        state.memory.extend(messages.iter().map(|message| message.line.clone()));
        Ok(())
    }

    async fn broken(&mut self) -> io::Error {
        loop {
            let died = self.receiver.died.notified();
            if self.receiver.state.lock().life != self.life {
                return gone();
            }
            died.await;
        }
    }

    async fn end(self: Box<Self>) -> io::Result<()> {
        let mut state = self.receiver.state.lock();
        if state.life != self.life || state.is_silent {
            return Err(gone());
        }
        state.ends += 1;
        Ok(())
    }
}

fn stream(name: &str, to: &Arc<Receiver>, settle: Duration) -> Arc<Stream> {
    Arc::new(Stream {
        name: part(name),
        to: format!("test://{name}"),
        format: Format::Json,
        logs: Logs { operator: true, customers: None },
        settle,
        sink: Arc::new(To(to.clone())),
        progress: Progress::default().into(),
    })
}

/// The workers of a vault's streams, until they are stopped.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

/// A server on the world's store, with these streams.
async fn begin(world: &mut World, streams: Vec<Arc<Stream>>) -> Running {
    world.vault = Vault::new(Ground { streams, ..world.vault.ground().clone() }).into();
    world.unseal().await;
    let (stop, stopped) = watch::channel(false);
    Running { stop, task: tokio::spawn(run(world.vault.clone(), stopped)) }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..6_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain: {what}");
}

/// Something that both logs tell of.
async fn work(world: &World) {
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.reveal(&tess, held.id).await.unwrap();
    world.check_in(&tess, held.id).await.unwrap();
    world.step().await;
}

async fn sizes(world: &World) -> Vec<u64> {
    let mut sizes = Vec::new();
    for scope in [Scope::Customer(world.acme().await), Scope::Operator] {
        sizes.push(world.open().head(scope).await.unwrap().frontier.size());
    }
    sizes
}

/// All that the logs hold is on the receiver's disk, each log in its order.
async fn all_there(world: &World, receiver: &Receiver) -> bool {
    receiver.flushes();
    let seen = receiver.first_seen();
    let counted: Vec<u64> = seen.values().map(|indexes| indexes.len() as u64).collect();
    if counted != sizes(world).await {
        return false;
    }
    for (log, indexes) in seen {
        assert!(indexes.iter().copied().eq(0..indexes.len() as u64), "{log} is out of order: {indexes:?}");
    }
    true
}

/// How many entries of the operator's log have come.
fn operators(receiver: &Receiver) -> u64 {
    receiver.flushes();
    receiver.first_seen().last_key_value().map_or(0, |(_, indexes)| indexes.len() as u64)
}

async fn caught_up(stream: &Stream) {
    until("the stream has caught up", async || *stream.progress.lock() == Progress::default()).await;
}

#[tokio::test]
async fn nothing_is_lost_whenever_a_receiver_dies() {
    let (mut world, receiver) = (World::new().await, Arc::new(Receiver::default()));
    let siem = stream("siem", &receiver, SETTLE);
    let running = begin(&mut world, vec![siem.clone()]).await;

    // With all in its memory, before any end of a connection was answered.
    until("something came", async || receiver.has("user.added") > 0).await;
    receiver.dies();
    // With all in its memory, after the end was answered and before it has settled.
    let ends = receiver.ends();
    until("an end was answered", async || receiver.ends() > ends).await;
    receiver.dies();
    // While it is down.
    receiver.state.lock().down = true;
    receiver.dies();
    work(&world).await;
    let why = || siem.status().trouble.unwrap_or_default();
    until("somebody is told", async || why().starts_with("it cannot be reached")).await;
    let status = siem.status();
    assert_eq!(status.state, StreamState::Broken);
    assert!(status.behind > 0 && status.behind_since.is_some());
    receiver.state.lock().down = false;
    until("all is there", async || all_there(&world, &receiver).await).await;

    // By more work, while it dies every now and then, and its queue is written at other times.
    for _ in 0..6 {
        work(&world).await;
        tokio::time::sleep(SETTLE / 3).await;
        receiver.dies();
        work(&world).await;
        receiver.flushes();
    }
    until("all is there", async || all_there(&world, &receiver).await).await;
    caught_up(&siem).await;
    assert_eq!(siem.status().state, StreamState::Delivering);
    running.stop().await;
    world.check().await;
}

/// A receiver that does not say that it has read what was sent gets it again, and somebody is told.
#[tokio::test]
async fn what_is_sent_and_not_answered_is_not_received() {
    let (mut world, receiver) = (World::new().await, Arc::new(Receiver::default()));
    receiver.state.lock().is_silent = true;
    let siem = stream("siem", &receiver, SETTLE);
    let running = begin(&mut world, vec![siem.clone()]).await;
    until("it comes again", async || receiver.has("customer.added") > 4).await;
    until("somebody is told", async || siem.status().state == StreamState::Broken).await;
    receiver.state.lock().is_silent = false;
    caught_up(&siem).await;
    running.stop().await;
}

#[tokio::test]
async fn anvil_hostile_system_a_receiver_that_hangs_holds_up_nobody_and_keeps_no_key() {
    let mut world = World::new().await;
    let (hanging, other) = (Arc::new(Receiver::default()), Arc::new(Receiver::default()));
    hanging.state.lock().hangs = true;
    let running = begin(&mut world, vec![stream("hanging", &hanging, SETTLE), stream("other", &other, SETTLE)]).await;
    work(&world).await;
    until("the other stream has all", async || all_there(&world, &other).await).await;
    assert_eq!(hanging.has("customer.added"), 0);

    let open = world.open();
    let root = world.root().await;
    world.vault.seal(&open, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    let keys = Arc::downgrade(&open);
    drop(open);
    until("the keys are gone", async || keys.upgrade().is_none()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_begins_again_sends_what_was_not_received_and_tells_once_of_a_stream() {
    let (mut world, receiver) = (World::new().await, Arc::new(Receiver::default()));
    for _ in 0..2 {
        let siem = stream("siem", &receiver, Duration::ZERO);
        let running = begin(&mut world, vec![siem.clone()]).await;
        work(&world).await;
        until("all is there", async || all_there(&world, &receiver).await).await;
        caught_up(&siem).await;
        running.stop().await;
    }
    let lines = receiver.state.lock().disk.len() as u64;
    let total = sizes(&world).await.iter().sum::<u64>();
    assert_eq!(lines, total, "what counts as received is not sent again");
    for scope in [Scope::Operator, Scope::Customer(world.acme().await)] {
        let told = world.told(scope, EventKind::LogStreamBegun).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].fields["detail"], "siem to test://siem in json");
    }

    // The same stream to somebody else goes on from there, and the logs say so.
    let elsewhere = Arc::new(Receiver::default());
    let mut moved = Arc::into_inner(stream("siem", &elsewhere, Duration::ZERO)).unwrap();
    moved.to = "test://elsewhere".to_owned();
    let running = begin(&mut world, vec![Arc::new(moved)]).await;
    until("it is told of", async || elsewhere.has("log.stream_begun") == 2).await;
    assert_eq!(elsewhere.has("customer.added"), 0);
    running.stop().await;
    world.check().await;
}

#[tokio::test]
async fn a_log_that_is_locked_or_broken_holds_up_no_other() {
    let (mut world, receiver) = (World::new().await, Arc::new(Receiver::default()));
    let acme = world.acme().await;
    let siem = stream("siem", &receiver, Duration::ZERO);
    let running = begin(&mut world, vec![siem.clone()]).await;
    until("all is there", async || all_there(&world, &receiver).await).await;
    work(&world).await;
    world.open().keyring().drop_customer(acme);
    world.enrolled("zoe").await;
    until("the operator's log goes on", async || operators(&receiver) == sizes(&world).await[1]).await;
    assert_eq!(siem.status().state, StreamState::Delivering, "a locked customer is no trouble");
    world.open().keyring().unlock_customer(&world.store, acme).await.unwrap();
    until("all is there", async || all_there(&world, &receiver).await).await;

    // Somebody at the disk takes an entry out of the customer's log.
    receiver.state.lock().down = true;
    receiver.dies();
    until("the stream is down", async || siem.status().state == StreamState::Broken).await;
    let gone = sizes(&world).await[0];
    work(&world).await;
    let row = RowId::log_leaf(Scope::Customer(acme), gone).to_key();
    world.store.commit(Batch { delete: vec![row], ..Batch::default() }).await.unwrap();
    receiver.state.lock().down = false;
    let why = || siem.status().trouble.unwrap_or_default();
    until("somebody is told", async || why().starts_with("the log cannot be read")).await;
    world.enrolled("yan").await;
    until("the operator's log goes on", async || operators(&receiver) == sizes(&world).await[1]).await;
    let seen = receiver.first_seen();
    assert!(seen.first_key_value().unwrap().1.iter().all(|index| *index < gone), "nothing after a gap");
    running.stop().await;
}

#[tokio::test]
async fn chosen_logs_alone_and_nothing_of_a_person_who_was_erased() {
    let mut world = World::new().await;
    let (ours, theirs) = (Arc::new(Receiver::default()), Arc::new(Receiver::default()));
    work(&world).await;
    let (acme, tess) = (world.acme().await, world.tess().await.id);
    let key = RowId::key(Scope::Customer(acme), Purpose::Subject, tess.uuid()).to_key();
    world.store.commit(Batch { delete: vec![key], ..Batch::default() }).await.unwrap();

    let chosen = |receiver: &Arc<Receiver>, operator: bool, slug: &str| {
        let mut chosen = Arc::into_inner(stream(slug, receiver, Duration::ZERO)).unwrap();
        chosen.logs = Logs { operator, customers: Some([part(slug)].into()) };
        Arc::new(chosen)
    };
    let running = begin(&mut world, vec![chosen(&ours, false, "acme"), chosen(&theirs, true, "globex")]).await;
    until("acme's log", async || ours.has("log.stream_begun") > 0).await;
    until("the operator's log", async || theirs.has("log.stream_begun") > 0).await;
    for (receiver, log) in
        [(&ours, format!("vault.msp.example/{acme}")), (&theirs, "vault.msp.example/operator".to_owned())]
    {
        receiver.flushes();
        assert!(receiver.first_seen().keys().eq([&log]), "{log}");
    }
    let lines = ours.state.lock().disk.clone();
    let revealed: Vec<&String> = lines.iter().filter(|line| line.contains("checkout.revealed")).collect();
    assert!(!revealed.is_empty());
    for line in revealed {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["fields"]["actor"], tess.to_string(), "who it was stays");
        assert!(event["fields"]["actor_name"].is_null(), "what they were called does not: {line}");
    }
    running.stop().await;
}
