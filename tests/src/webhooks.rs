//! A receiver of webhooks, as a deployment service has one: over HTTPS, and it believes only what is signed.

#![expect(clippy::unwrap_used, reason = "a test without its receiver cannot go on")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::pki::Ca;

/// A receiver that runs until it is dropped.
pub struct Webhooks {
    /// The CA of its certificate, in PEM.
    pub ca: String,
    /// Where it is.
    pub url: String,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Webhook>>,
    /// The statuses of the next answers; then 204.
    answers: Mutex<VecDeque<u16>>,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Webhook {
    headers: BTreeMap<String, String>,
    body: String,
}

impl Webhooks {
    /// Starts one on a port of its own.
    pub async fn start() -> Self {
        let ca = Ca::new("the receiver's CA");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/rotated", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let serving = tokio::spawn(serve(listener, ca.server().acceptor(), shared.clone()));
        Self { ca: ca.pem, url, shared, serving }
    }

    /// Answers these next.
    pub fn answers(&self, statuses: impl IntoIterator<Item = u16>) {
        self.shared.answers.lock().unwrap().extend(statuses);
    }

    /// What has come.
    pub fn received(&self) -> Vec<Webhook> {
        self.shared.received.lock().unwrap().clone()
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Webhook {
    /// Its id: a repeat has the same.
    pub fn id(&self) -> &str {
        self.headers.get("webhook-id").unwrap()
    }

    /// A header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Its body, as text.
    pub fn text(&self) -> &str {
        &self.body
    }

    /// Its body, if it is signed by this key (`whpk_…`), as Standard Webhooks says.
    pub fn verified(&self, key: &str) -> Option<Value> {
        let key = STANDARD.decode(key.strip_prefix("whpk_")?).ok()?;
        let signature = STANDARD.decode(self.headers.get("webhook-signature")?.strip_prefix("v1a,")?).ok()?;
        let message = format!("{}.{}.{}", self.id(), self.headers.get("webhook-timestamp")?, self.body);
        UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature).ok()?;
        serde_json::from_str(&self.body).ok()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let mut tls = BufReader::new(acceptor.accept(stream).await.ok()?);
            let (mut line, mut headers) = (String::new(), BTreeMap::new());
            while tls.read_line(&mut line).await.ok()? > 2 {
                if let Some((name, value)) = line.split_once(": ") {
                    headers.insert(name.to_lowercase(), value.trim().to_owned());
                }
                line.clear();
            }
            let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
            tls.read_exact(&mut body).await.ok()?;
            let status = shared.answers.lock().unwrap().pop_front().unwrap_or(204);
            shared.received.lock().unwrap().push(Webhook { headers, body: String::from_utf8(body).ok()? });
            tls.write_all(format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.ok()?;
            tls.shutdown().await.ok()
        });
    }
}
