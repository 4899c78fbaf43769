//! A server with sockets, its store on the disk: what only shows there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use claviger_server::config::{
    AllRates, Audit, Config, Engine, Http, Identities, Log, Metrics, SealSettings, Systems, TlsFiles,
};
use claviger_server::{Running, StartError, dev, start};
use serde_json::{Value, json};

fn config(directory: &Path) -> Config {
    Config {
        name: "vault.test".to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        data_directory: directory.to_owned(),
        store: Engine::default(),
        seal: SealSettings::default(),
        tls: None,
        http: Http::default(),
        systems: Systems::default(),
        budgets: AllRates::default(),
        identities: Identities::default(),
        log: Log::default(),
        metrics: Metrics::default(),
        audit: Audit::default(),
        backup: None,
        kits: None,
        escrow: None,
        traces: None,
    }
}

/// Sends bytes, and gives the status line and the whole answer.
fn raw(server: &Running, request: &[u8]) -> String {
    raw_at(server.address, request)
}

fn raw_at(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server may cut off a sender that goes on: what came before counts. To let it wait is another matter.
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the connection is kept"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn anvil_path_forms_are_refused_on_the_wire() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(config(&directory.path().join("data"))).await.unwrap();
    for path in ["//v1/me", "/v1/%2e%2e/me", "/v1/../v1/me", "/v1/a%2Fb", "/v1/a%00", "/v1/a\0", "/v1/me/", "/V1/me"] {
        let answer = raw(&server, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path:?}: {answer}");
    }
    let answer = raw(&server, b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("urn:claviger:problem:sealed"), "{answer}");
    assert!(!answer.to_lowercase().contains("\r\nserver:"), "{answer}");
    end(server).await;
}

/// Stops it, and closes its store as the program does: an engine that is still open breaks when the process ends.
async fn end(server: Running) {
    let stopped = server.stop().await;
    assert!(tokio::task::spawn_blocking(|| stopped.close()).await.unwrap());
}

/// RocksDB's lock on its directory is free only once it is closed: opening it anew is the proof.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_waits_for_the_last_hand_on_its_store() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory.path().join("data"));
    let server = start(config.clone()).await.unwrap();
    let still_working = server.vault.clone();
    let stopped = server.stop().await;
    let worker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(still_working);
    });
    assert!(tokio::task::spawn_blocking(|| stopped.close()).await.unwrap());
    worker.join().unwrap();
    end(start(config).await.unwrap()).await;
}

/// Neither a body that is announced too large nor one that grows too large is read to its end; others are served.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_json_bombs_huge_bodies_are_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory.path().join("data"));
    config.http.request_head_seconds = 1.try_into().unwrap();
    let server = start(config).await.unwrap();
    let head = "POST /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let announced = raw(&server, format!("{head}Content-Length: 1000000000\r\n\r\n{{").as_bytes());
    assert!(announced.starts_with("HTTP/1.1 413 "), "{announced}");
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let growing = raw(&server, format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunk.repeat(17)).as_bytes());
    assert!(growing.starts_with("HTTP/1.1 413 "), "{growing}");
    for (path, status) in [("/v1/nowhere", 404), ("/v1//", 400), ("/v1/me", 405), ("/v1/auth/logout", 400)] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n");
        let answer = raw(&server, head.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let smuggled = format!("{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let smuggled = raw(&server, smuggled.as_bytes());
    assert!(smuggled.starts_with("HTTP/1.1 4"), "{smuggled}");
    let healthy = raw(&server, b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
    end(server).await;
}

/// The head of a request must come in time: who sends a byte now and then is cut off, and others are served meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn anvil_json_bombs_a_slow_client_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&directory.path().join("data"));
    config.http.request_head_seconds = 1.try_into().unwrap();
    let server = start(config).await.unwrap();
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.write_all(b"GET /v1/sys/seal-status HTTP/1.1\r\nHo").unwrap();
    let healthy = raw(&server, b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
    let mut answer = Vec::new();
    slow.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anvil_file_modes_a_directory_or_key_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (data, tried) = (directory.path().join("data"), directory.path().join("dev"));
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(start(config(&data)).await, Err(StartError::Directory(_))));
    fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();

    let made = dev::config(&tried, "127.0.0.1:0".parse().unwrap()).unwrap();
    let tls = TlsFiles { certificate: tried.join("certificate.pem"), key: tried.join("key.pem"), client_ca: None };
    assert_eq!(made.tls, Some(tls.clone()));
    fs::set_permissions(&tls.key, Permissions::from_mode(0o644)).unwrap();
    let open = Config { tls: Some(tls), ..config(&data) };
    assert!(matches!(start(open).await, Err(StartError::Tls(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_scraped_at_an_address_of_their_own_and_nowhere_else() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Metrics { listen: Some("127.0.0.1:0".parse().unwrap()) };
    let server = start(Config { metrics, ..config(&directory.path().join("data")) }).await.unwrap();
    let scrape = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let scraped = raw_at(server.metrics.unwrap(), scrape);
    assert!(scraped.starts_with("HTTP/1.1 200 ") && scraped.contains("claviger_sealed 1\n"), "{scraped}");
    assert!(raw(&server, scrape).starts_with("HTTP/1.1 404 "));
    let elsewhere = raw_at(server.metrics.unwrap(), b"GET /v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(elsewhere.starts_with("HTTP/1.1 404 "), "{elsewhere}");
    end(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_beyond_loopback_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { listen: "0.0.0.0:0".parse().unwrap(), ..config(&directory.path().join("data")) };
    assert!(matches!(start(config).await, Err(StartError::Config(_))));
}

/// A server for trying out serves at once, tells how, and is the same vault after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_for_trying_out_looks_after_itself() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("dev");
    for added in [true, false] {
        let config = dev::config(&directory, "127.0.0.1:0".parse().unwrap()).unwrap();
        let server = start(config).await.unwrap();
        let hints = dev::open(&server.vault, &directory, server.address).await.unwrap();
        let written: Value = serde_json::from_slice(&fs::read(directory.join("dev.json")).unwrap()).unwrap();
        assert_eq!(written, serde_json::to_value(&hints).unwrap());

        let ca = reqwest::Certificate::from_pem(&fs::read(&hints.ca_certificate).unwrap()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        let at = |path: &str| format!("{}{path}", hints.address);
        let written = fs::read_to_string(&hints.password_file).unwrap();
        let (password, code) = dev::login(&directory).unwrap();
        assert_eq!(written.trim_end(), password.expose());
        let login = json!({ "method": "password", "name": hints.administrator, "password": password.expose() });
        let asked: Value = client.post(at("/v1/auth/login")).json(&login).send().await.unwrap().json().await.unwrap();
        let mfa = json!({ "challenge": asked["challenge"], "second_factor": { "totp": code.expose() } });
        let tokens = client.post(at("/v1/auth/mfa")).json(&mfa).send().await.unwrap();
        assert_eq!(tokens.status(), 200);
        let token = tokens.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned();
        let status = if added { 201 } else { 409 };
        let customer = json!({ "slug": "acme", "display_name": "Acme" });
        let made = client.post(at("/v1/customers")).bearer_auth(&token).json(&customer).send().await.unwrap();
        assert_eq!(made.status(), status);
        let modes = |name: &str| fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777;
        for name in ["passphrase", "password", "totp-secret", "totp-step", "key.pem", "ca-key.pem", "dev.json"] {
            assert_eq!(modes(name), 0o600, "{name}");
        }
        assert!(!directory.join("enrolment").exists(), "it was used up");
        let stopped = server.stop().await;
        assert!(tokio::task::spawn_blocking(|| stopped.close()).await.unwrap());
    }
}
