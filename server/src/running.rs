//! A server in a process: started from a configuration, stopped when asked.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{HttpServer, web};
use bytes::Bytes;
use claviger_connectors::{Dial, Direct, Registry};
use claviger_core::policy::Policies;
use claviger_service::audit::stream;
use claviger_service::crypto::{OsRandom, Random};
use claviger_service::seal::automatic;
use claviger_service::{Clock, Ground, Settings, SystemClock, Vault, nodes, workers};
use claviger_store::Store;
use governor::clock::DefaultClock;
use rustls::ServerConfig;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::anchor::FileAnchor;
use crate::config::{BackupSettings, BadHsm, Config, ConfigError, Http, KitSettings, Pkcs11Settings};
use crate::http::app::app;
use crate::http::budget::Budgets;
use crate::http::call::Site;
use crate::http::openapi;
use crate::metrics::{self, Traffic, Watched};
use crate::private::{self, PrivateError};
use crate::shelf::Directory;
use crate::store::StoreError;
use crate::tls::{self, TlsError};
use crate::witness::HttpWitness;

/// How often sources that have their full budget again are forgotten.
const FORGET_EVERY: Duration = Duration::from_mins(1);
/// The longest that a process waits at its end for the last threads on its store: a commit under way, and no more.
const LETTING_GO_MOST: Duration = Duration::from_secs(10);

/// Who may watch what happens, at once: each looks into the store twice a second.
const WATCHERS_MOST: usize = 256;

/// Threads that serve, where the configuration does not say: more than one, since a worker waits now and then (ADR 15).
const WORKERS_PER_PROCESSOR: usize = 2;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory, or that of archives.
    #[error(transparent)]
    Directory(#[from] PrivateError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HSM.
    #[error("[seal.pkcs11]: {0}")]
    Hsm(#[from] BadHsm),
    /// The store's format.
    #[error(transparent)]
    Format(#[from] claviger_store::format::FormatError),
    /// The policy files it was built with.
    #[error(transparent)]
    Policy(#[from] claviger_core::policy::PolicyError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// The API's description cannot be written.
    #[error("the API's description cannot be written: {0}")]
    Document(#[from] serde_json::Error),
}

/// A server that runs.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// The vault it serves.
    pub vault: Arc<Vault>,
    site: web::Data<Site>,
    http: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    /// Where it is scraped, if anywhere.
    pub metrics: Option<SocketAddr>,
    scraped: Option<ServerHandle>,
    reload: Arc<Notify>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    /// Hears what other nodes write for as long as anything is done.
    hearing: (watch::Sender<bool>, JoinHandle<()>),
}

/// Starts a server on its store. It is sealed, as after every start.
pub async fn start(config: Config) -> Result<Running, StartError> {
    config.check()?;
    private::directory(&config.data_directory)?;
    for directory in config.audit.anchor_directories() {
        private::directory(directory)?;
    }
    let store = config.store.open(&config.data_directory).await?;
    start_on(&config, ground(&config, store)?).await
}

/// What a vault stands on outside of tests: this store, the machine's clock and randomness, direct connections.
pub fn ground(config: &Config, store: Arc<dyn Store>) -> Result<Ground, StartError> {
    let dial: Arc<dyn Dial> = Arc::new(Direct::new(config.systems.allowed_addresses.clone()));
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (Arc::new(SystemClock::default()), Arc::new(OsRandom));
    let escrow = config.escrow.as_ref();
    let escrow = escrow.map(|escrow| escrow.begin(config.store_directory(), &clock, random.as_ref()));
    Ok(Ground {
        store,
        clock,
        random,
        connectors: Arc::new(Registry::standard(dial.clone())),
        dial: dial.clone(),
        policies: Arc::new(Policies::built_in()?),
        wake: Arc::new(Notify::new()),
        anchors: config.audit.anchor_files.iter().map(|path| FileAnchor::at(path.clone())).collect(),
        archives: config.audit.archive_directory.as_deref().map(Directory::within).transpose()?,
        streams: config.audit.streams.iter().map(|stream| stream.stream(&config.name)).collect::<Result<_, _>>()?,
        witnesses: config
            .audit
            .witnesses
            .iter()
            .map(|witness| HttpWitness::of(witness.clone(), dial.clone()))
            .collect(),
        hsm: config.seal.pkcs11.as_ref().map(Pkcs11Settings::device).transpose()?,
        backups: config.backup.as_ref().map(BackupSettings::backups).transpose()?,
        kits: config.kits.as_ref().map(KitSettings::kits).transpose()?,
        escrow: escrow.transpose()?,
        settings: Settings {
            name: config.name.clone(),
            site: config.site()?.map(Arc::new),
            session_most_seconds: config.identities.session_most_seconds,
            suspend_unused_after_days: config.identities.suspend_unused(),
            audit_retention_days: config.audit.retention_days,
        },
    })
}

/// Starts a server on a ground of the caller's, e.g. with a store that fails or a clock that a test sets.
pub async fn start_on(config: &Config, ground: Ground) -> Result<Running, StartError> {
    config.check()?;
    claviger_store::open_or_create(ground.store.as_ref()).await?;
    let vault = Arc::new(Vault::new(ground));
    let site = web::Data::new(Site {
        vault: vault.clone(),
        budgets: Budgets::new(&config.budgets, &DefaultClock::default()),
        proxies: config.http.trusted_proxies.clone(),
        document: Bytes::from(serde_json::to_vec(&openapi::document())?),
        watchers: Arc::new(Semaphore::new(WATCHERS_MOST)),
        stopping: AtomicBool::new(false),
        traffic: Traffic::default(),
    });
    let (tls, certificates) = config.tls.as_ref().map(tls::server_config).transpose()?.unzip();
    let (address, server) = listen(config, tls, site.clone())?;
    let (stop, stopped) = watch::channel(false);
    let http = server.handle();
    let reload = Arc::new(Notify::new());
    let mut tasks = vec![
        tokio::spawn(workers::run(vault.clone(), stopped.clone())),
        tokio::spawn(stream::run(vault.clone(), stopped.clone())),
        tokio::spawn(forget_rested(site.clone(), stopped.clone())),
    ];
    if vault.ground().hsm.is_some() {
        tasks.push(tokio::spawn(automatic::run(vault.clone(), stopped.clone())));
    }
    if let Some(certificates) = &certificates {
        let clock = vault.ground().clock.clone();
        tasks.push(tokio::spawn(certificates.clone().watch(clock, reload.clone(), stopped)));
    }
    let (hear_no_more, heard) = watch::channel(false);
    let hearing = (hear_no_more, tokio::spawn(nodes::run(vault.clone(), heard)));
    let (mut metrics, mut scraped) = (None, None);
    if let Some(address) = config.metrics.listen {
        let watched = Watched {
            vault: vault.clone(),
            traffic: site.traffic.clone(),
            started_at: vault.ground().clock.now(),
            certificates,
            store_directory: config.store_directory().map(Path::to_owned),
        };
        let listening = metrics::listen(address, watched);
        let (address, server) = listening.map_err(|source| StartError::Listen { address, source })?;
        (metrics, scraped) = (Some(address), Some(server.handle()));
        tokio::spawn(server);
        tracing::info!(%address, "metrics are there to be scraped");
    }
    tracing::info!(%address, tls = config.tls.is_some(), "the server listens");
    Ok(Running {
        address,
        vault,
        site,
        http,
        serving: tokio::spawn(server),
        metrics,
        scraped,
        reload,
        stop,
        tasks,
        hearing,
    })
}

fn listen(
    config: &Config,
    tls: Option<ServerConfig>,
    site: web::Data<Site>,
) -> Result<(SocketAddr, actix_web::dev::Server), StartError> {
    let Http { connections_per_worker, handshakes_per_worker, request_head_seconds, keep_alive_seconds, .. } =
        config.http;
    let seconds = |count: NonZeroUsize| Duration::from_secs(count.get() as u64);
    let server = HttpServer::new(move || app(site.clone()))
        .workers(config.http.workers.map_or_else(workers_by_default, NonZeroUsize::get))
        .on_connect(tls::keep_peer)
        .disable_signals()
        .max_connections(connections_per_worker.get())
        .max_connection_rate(handshakes_per_worker.get())
        .client_request_timeout(seconds(request_head_seconds))
        .client_disconnect_timeout(seconds(request_head_seconds))
        .tls_handshake_timeout(seconds(request_head_seconds))
        .keep_alive(seconds(keep_alive_seconds))
        .shutdown_timeout(config.http.shutdown_seconds.get() as u64);
    let unheard = |source| StartError::Listen { address: config.listen, source };
    let server = match tls {
        Some(tls) => server.bind_rustls_0_23(config.listen, tls),
        None => server.bind(config.listen),
    };
    let server = server.map_err(unheard)?;
    let address = server.addrs().first().copied().unwrap_or(config.listen);
    Ok((address, server.run()))
}

fn workers_by_default() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    WORKERS_PER_PROCESSOR * processors
}

async fn forget_rested(site: web::Data<Site>, mut stopped: watch::Receiver<bool>) {
    let mut turns = tokio::time::interval(FORGET_EVERY);
    loop {
        tokio::select! {
            _ = turns.tick() => site.budgets.forget_rested(),
            _ = stopped.changed() => return,
        }
    }
}

impl Running {
    /// Reads the certificate and its key again, now. Nothing else is read again.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Takes no more connections, lets the requests under way end, and stops the workers.
    pub async fn stop(self) -> Stopped {
        let store = self.vault.ground().store.clone();
        self.site.stopping.store(true, Ordering::Relaxed);
        self.http.stop(true).await;
        if let Some(scraped) = &self.scraped {
            scraped.stop(false).await;
        }
        // Nobody listens any more where a worker has ended by itself.
        let _ = self.stop.send(true);
        let _ = self.serving.await;
        for task in self.tasks {
            let _ = task.await;
        }
        let (stop, hearing) = self.hearing;
        let _ = stop.send(true);
        let _ = hearing.await;
        Stopped { store }
    }
}

/// A server that serves no more. Threads that it started may still be letting go of its store.
pub struct Stopped {
    store: Arc<dyn Store>,
}

impl Stopped {
    /// Closes the store; call it when the runtime that served has ended. An engine that is still open when the process
    /// takes itself down breaks on what is gone before it, so this waits, up to [`LETTING_GO_MOST`], until nobody else
    /// has the store. Says whether it was closed.
    pub fn close(mut self) -> bool {
        for _ in 0..LETTING_GO_MOST.as_millis() {
            if Arc::get_mut(&mut self.store).is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}
