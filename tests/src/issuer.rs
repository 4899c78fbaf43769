//! A small issuer of tokens, as a cluster or a build service has one: keys of its own, published over HTTPS.

#![expect(clippy::unwrap_used, reason = "a test without its issuer cannot go on")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::pki::Ca;

/// An issuer that runs until it is dropped.
pub struct Issuer {
    /// The CA of its certificate, in PEM.
    pub ca: String,
    /// `https://127.0.0.1:PORT`: where it is, and the claim `iss` of its tokens.
    pub url: String,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

struct Shared {
    url: String,
    keys: Mutex<Vec<Signer>>,
    asked: AtomicUsize,
    /// What it answers to a question for its keys instead of the keys: status line, headers and body.
    instead: Mutex<Option<String>>,
    /// What it answers to a question for tokens, and the last such question.
    tokens: Mutex<(Value, String)>,
}

struct Signer {
    id: String,
    key: EncodingKey,
    public: Value,
}

impl Issuer {
    /// A new one with one key.
    pub async fn start() -> Self {
        let ca = Ca::new("the issuer's CA");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            url: url.clone(),
            keys: Mutex::new(vec![Signer::new("1")]),
            asked: AtomicUsize::new(0),
            instead: Mutex::default(),
            tokens: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, ca.server().acceptor(), shared.clone()));
        Self { ca: ca.pem, url, shared, serving }
    }

    /// A token with these claims, by its newest key.
    pub fn token(&self, claims: &Value) -> String {
        let keys = self.shared.keys.lock().unwrap();
        let signer = keys.last().unwrap();
        let header = Header { kid: Some(signer.id.clone()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &signer.key).unwrap()
    }

    /// The claims of a token that is good now.
    pub fn claims(&self, audience: &str, subject: &str, now: i64) -> Value {
        json!({ "iss": self.url, "aud": audience, "sub": subject, "iat": now, "nbf": now, "exp": now + 300 })
    }

    /// Signs with a new key from now on, and publishes that one alone.
    pub fn rotates_its_key(&self) {
        let mut keys = self.shared.keys.lock().unwrap();
        let next = Signer::new(&(keys.last().unwrap().id.parse::<u32>().unwrap() + 1).to_string());
        *keys = vec![next];
    }

    /// Its keys, as they are published.
    pub fn jwks(&self) -> Value {
        self.shared.jwks()
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// Answers this to a question for tokens.
    pub fn gives(&self, tokens: Value) {
        self.shared.tokens.lock().unwrap().0 = tokens;
    }

    /// The form by which it was last asked for tokens.
    pub fn was_asked_by(&self) -> String {
        self.shared.tokens.lock().unwrap().1.clone()
    }

    /// Answers this, from the status line on, instead of the keys.
    pub fn answers(&self, instead: Option<&str>) {
        *self.shared.instead.lock().unwrap() = instead.map(str::to_owned);
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Signer {
    fn new(id: &str) -> Self {
        let pair = KeyPair::generate().unwrap();
        // An uncompressed point: 4, x, y.
        let (x, y) = pair.public_key_raw().get(1..).unwrap().split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let public = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256" });
        Self { id: id.to_owned(), key: EncodingKey::from_ec_der(&pair.serialize_der()), public }
    }
}

impl Shared {
    fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.lock().unwrap().iter().map(|signer| signer.public.clone()).collect();
        json!({ "keys": keys })
    }

    /// The whole answer to a request for this path.
    fn answer(&self, path: &str, form: &str) -> String {
        let body = match path {
            "/.well-known/openid-configuration" => {
                let at = |path: &str| format!("{}/{path}", self.url);
                let methods = ["client_secret_post"];
                json!({
                    "issuer": self.url, "jwks_uri": at("keys"), "authorization_endpoint": at("authorize"),
                    "token_endpoint": at("token"), "token_endpoint_auth_methods_supported": methods,
                })
                .to_string()
            }
            "/token" => {
                let mut tokens = self.tokens.lock().unwrap();
                form.clone_into(&mut tokens.1);
                tokens.0.to_string()
            }
            "/keys" => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                if let Some(instead) = self.instead.lock().unwrap().clone() {
                    return instead;
                }
                self.jwks().to_string()
            }
            _ => return "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let mut tls = BufReader::new(acceptor.accept(stream).await.ok()?);
            let mut first = String::new();
            tls.read_line(&mut first).await.ok()?;
            let (mut line, mut length) = (String::new(), 0);
            while tls.read_line(&mut line).await.ok()? > 2 {
                let lower = line.to_lowercase();
                if let Some(own) = lower.strip_prefix("content-length:") {
                    length = own.trim().parse().ok()?;
                }
                line.clear();
            }
            let mut form = vec![0; length];
            tls.read_exact(&mut form).await.ok()?;
            let answer = shared.answer(first.split(' ').nth(1)?, &String::from_utf8_lossy(&form));
            tls.write_all(answer.as_bytes()).await.ok()?;
            tls.shutdown().await.ok()
        });
    }
}
