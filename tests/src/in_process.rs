//! A server in the test's own process, with a clock that the test sets, over real HTTP: for what only time brings.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its vault cannot go on")]

use std::path::Path;
use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_client::Client;
use claviger_connectors::Registry;
use claviger_server::{Config, Running, ground, start_on};
use claviger_service::{Clock as _, Ground, ManualClock};
use claviger_store::MemoryStore;
use jiff::SignedDuration;
use tempfile::TempDir;

use crate::people::People;
use crate::server::config_text;

/// A server with a clock of the test's own and a store in memory.
pub struct InProcess {
    /// The clock.
    pub clock: Arc<ManualClock>,
    /// Who works with it.
    pub people: People,
    /// What it stores.
    pub store: MemoryStore,
    running: Running,
    /// Where its backups and kits go.
    _folder: TempDir,
}

impl InProcess {
    /// A new vault with its people and the connectors as shipped.
    pub async fn start() -> Self {
        Self::start_with(|connectors| connectors).await
    }

    /// A new vault with other connectors, or something around them.
    pub async fn start_with(connectors: impl FnOnce(Registry) -> Registry) -> Self {
        Self::start_at(start_of_time(), connectors).await
    }

    /// A new vault whose clock is slow: what it dates ends sooner for the rest of the world.
    pub async fn start_slow_by(seconds: i64) -> Self {
        Self::start_at(start_of_time() - SignedDuration::from_secs(seconds), |connectors| connectors).await
    }

    /// Sets a slow clock again, so many seconds behind the world's.
    pub fn set_slow_by(&self, seconds: i64) {
        let wanted = start_of_time() - SignedDuration::from_secs(seconds);
        self.clock.advance(wanted.duration_since(self.clock.now()));
    }

    async fn start_at(start: Timestamp, connectors: impl FnOnce(Registry) -> Registry) -> Self {
        let folder = TempDir::with_prefix("claviger-in-process-").unwrap();
        let beside = backups_in(&folder.path().join("backups")) + &kits_in(&folder.path().join("kits"));
        let text = config_text(Path::new("/nonexistent"), "warn") + &beside;
        let config = Config::parse(&text).unwrap();
        claviger_server::logging::begin(config.log.level, None).unwrap();
        let clock = Arc::new(ManualClock::at(start));
        let store = MemoryStore::new();
        let shipped = ground(&config, Arc::new(store.clone())).unwrap();
        let connectors = Arc::new(connectors(Registry::clone(&shipped.connectors)));
        let running = start_on(
            &config,
            Ground { clock: clock.clone(), connectors, anchors: Vec::new(), witnesses: Vec::new(), ..shipped },
        )
        .await;
        let running = running.expect("a server");
        let people = People::found(&address(&running)).await;
        Self { clock, people, store, running, _folder: folder }
    }

    /// Lets time pass.
    pub fn advance_seconds(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        address(&self.running)
    }

    /// The administrator's client.
    pub fn administrator(&self) -> Client {
        self.people.administrator.client(&self.address())
    }

    /// The technician's client.
    pub fn technician(&self) -> Client {
        self.people.technician.client(&self.address())
    }

    /// Stops it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Backups when somebody asks, for a key that nobody has.
fn backups_in(directory: &Path) -> String {
    let nobody = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    format!("[backup]\ndirectory = '{}'\nrecipients = ['{nobody}']\nevery_hours = 0\n", directory.display())
}

/// Kits when somebody asks, for the customer's own people alone.
fn kits_in(directory: &Path) -> String {
    format!("[kits]\ndirectory = '{}'\nevery_hours = 0\n", directory.display())
}

fn address(running: &Running) -> String {
    format!("http://{}", running.address)
}

/// The system's own end of a login is by the system's clock, so the test's starts there too: at a whole second, since
/// timers go by whole milliseconds and this clock stands still between them.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's clock starts at the real time, and goes its own way from there"
)]
fn start_of_time() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap()
}
