//! The server as a service: what its manager is told, its certificate renewed, its private files, its end, its log.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger_tests::pki::{Ca, Issued};
use claviger_tests::poll::until;
use claviger_tests::server::{Launch, Server};
use claviger_tests::vault::Vault;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_mins(1);
/// How long the manager waits for a pulse, in microseconds.
const WATCHDOG_MICROSECONDS: u64 = 4_000_000;

/// What a service manager hears, without being one.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    heard: std::sync::Mutex<Vec<String>>,
    _folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path, heard: std::sync::Mutex::default(), _folder: folder }
    }

    fn launch(&self) -> Launch {
        let environment = vec![
            ("NOTIFY_SOCKET".to_owned(), self.path.display().to_string()),
            ("WATCHDOG_USEC".to_owned(), WATCHDOG_MICROSECONDS.to_string()),
        ];
        Launch { environment, ..Launch::default() }
    }

    /// All that was heard so far, a line each.
    fn heard(&self) -> Vec<String> {
        let mut heard = self.heard.lock().unwrap();
        let mut message = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut message) {
            heard.extend(String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned));
        }
        heard.clone()
    }

    fn count(&self, line: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == line).count()
    }

    async fn hears(&self, line: &str, times: usize) {
        until(line, SOON, async || (self.count(line) >= times).then_some(())).await;
    }
}

fn signal(server: &Server, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap(), signal).unwrap();
}

#[tokio::test]
async fn the_service_manager_is_told_what_the_server_does() {
    let manager = Manager::new();
    let mut vault = Vault::start_with(&manager.launch()).await;
    manager.hears("READY=1", 1).await;
    manager.hears("STATUS=serving", 1).await;
    let heard = manager.heard();
    let at = |line: &str| heard.iter().position(|heard| heard == line).unwrap();
    assert!(at("STATUS=sealed") < at("STATUS=serving"), "{heard:?}");

    let before = manager.count("WATCHDOG=1");
    manager.hears("WATCHDOG=1", before + 3).await;
    vault.administrator().sys().seal().await.unwrap();
    manager.hears("STATUS=sealed", 2).await;
    let before = manager.count("WATCHDOG=1");
    manager.hears("WATCHDOG=1", before + 2).await;

    signal(&vault, Signal::HUP);
    manager.hears("RELOADING=1", 1).await;
    manager.hears("READY=1", 2).await;
    assert!(manager.heard().iter().any(|line| line.starts_with("MONOTONIC_USEC=")));
    assert_eq!(manager.count("STOPPING=1"), 0);
    vault.stop().await;
    assert_eq!(manager.count("STOPPING=1"), 1);
}

/// A server that is stopped, as by a disk that hangs, sends no pulse, and sends them again when it goes on.
#[tokio::test]
async fn a_server_that_does_not_go_on_sends_no_pulse() {
    let manager = Manager::new();
    let vault = Vault::start_with(&manager.launch()).await;
    manager.hears("WATCHDOG=1", 1).await;
    signal(&vault, Signal::STOP);
    let before = manager.count("WATCHDOG=1");
    tokio::time::sleep(Duration::from_micros(WATCHDOG_MICROSECONDS)).await;
    assert_eq!(manager.count("WATCHDOG=1"), before);
    signal(&vault, Signal::CONT);
    manager.hears("WATCHDOG=1", before + 1).await;
}

/// A server that shows certificates, and the files that it reads them from.
struct Tls {
    server: Server,
    roots: Arc<RootCertStore>,
    folder: tempfile::TempDir,
    ca: Ca,
}

impl Tls {
    async fn start() -> (Self, Issued) {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::new("Test CA");
        let first = ca.server();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
        let (certificate, key) = first.write(folder.path(), "shown");
        let audit = format!("[tls]\ncertificate = '{}'\nkey = '{}'\n", certificate.display(), key.display());
        let server = Server::start(&Launch { audit, ..Launch::default() }).await;
        (Self { server, roots: Arc::new(roots), folder, ca }, first)
    }

    /// Puts another pair in place of the one that is shown.
    fn replace(&self, issued: &Issued) {
        issued.write(self.folder.path(), "shown");
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(self.roots.clone()).with_no_client_auth();
        let address = self.server.address().trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// What a new connection is shown.
    async fn shown(&self) -> CertificateDer<'static> {
        let connection = self.connect().await;
        let (_, session) = connection.get_ref();
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        session.peer_certificates().unwrap()[0].clone()
    }

    async fn shows(&self, issued: &Issued) {
        let wanted = der(issued);
        until("the other certificate", SOON, async || (self.shown().await == wanted).then_some(())).await;
    }

    async fn logs(&self, what: &str, times: usize) {
        let found = async || (self.server.log().matches(what).count() >= times).then_some(());
        until(what, SOON, found).await;
    }
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Asks for the seal's status, and says whether it was answered.
async fn answers(connection: &mut TlsStream<TcpStream>) -> bool {
    let request = b"GET /v1/sys/seal-status HTTP/1.1\r\nhost: localhost\r\n\r\n";
    if connection.write_all(request).await.is_err() {
        return false;
    }
    let mut answer = vec![0; 4096];
    let length = connection.read(&mut answer).await.unwrap_or(0);
    answer[..length].starts_with(b"HTTP/1.1 200")
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_connections_go_on() {
    let (tls, first) = Tls::start().await;
    let mut connection = tls.connect().await;
    assert!(answers(&mut connection).await);
    assert_eq!(tls.shown().await, der(&first));

    let asked = tls.ca.server();
    tls.replace(&asked);
    signal(&tls.server, Signal::HUP);
    tls.shows(&asked).await;

    let found = tls.ca.server();
    tls.replace(&found);
    tls.shows(&found).await;
    assert!(answers(&mut connection).await, "a connection from before goes on");
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_is_refused_and_the_old_one_stays() {
    const REFUSED: &str = "the certificate was not taken";
    let (tls, first) = Tls::start().await;
    let key = tls.folder.path().join("shown-key.pem");
    let other = tls.ca.server();

    tls.replace(&Issued { key: tls.ca.server().key, ..tls.ca.server() });
    signal(&tls.server, Signal::HUP);
    tls.logs(REFUSED, 1).await;
    tls.replace(&tls.ca.expired_server());
    signal(&tls.server, Signal::HUP);
    tls.logs(REFUSED, 2).await;
    tls.replace(&other);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    signal(&tls.server, Signal::HUP);
    tls.logs("chmod go=", 1).await;
    fs::remove_file(&key).unwrap();
    signal(&tls.server, Signal::HUP);
    tls.logs(REFUSED, 4).await;
    assert_eq!(tls.shown().await, der(&first));
    assert!(!tls.server.log().contains("PRIVATE"), "no key is in the log");

    tls.replace(&other);
    tls.shows(&other).await;
}
