//! A small HTTP API with accounts, as firewalls and services have one: over TLS by a CA of its own and in clear, with a
//! password policy, a lockout after five failed logins, ends, groups and sessions. It is real in what it does; it also
//! does, where a test asks it to, what no real one can be made to do.
//!
//! `/api/v1` speaks as a firewall does (HTTP basic authentication, statuses), `/v2` as a service does (tokens, and what
//! went wrong in a body of status 200).

#![expect(clippy::unwrap_used, reason = "a test whose system does not start cannot go on")]
#![expect(clippy::indexing_slicing, reason = "bodies as JSON")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::wire::{HttpCalls, SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::pki::Ca;
use crate::postgres::{HOST, OTHER_HOST, random_text};

/// Who may change everybody.
pub const ADMINISTRATOR: &str = "admin";
/// After so many failed logins an account is locked.
pub const LOCKOUT_THRESHOLD: u32 = 5;
/// The shortest password that it takes.
pub const PASSWORD_MIN: usize = 5;

/// A running API. It ends when dropped.
pub struct Firewall {
    address: SocketAddr,
    clear: SocketAddr,
    ca_certificate: String,
    password: String,
    token: String,
    shared: Arc<Mutex<Shared>>,
    tasks: Vec<JoinHandle<()>>,
}

/// The sessions that are open on it.
pub struct Sessions(Arc<Mutex<Shared>>);

impl Sessions {
    /// Whether this one is.
    pub fn has(&self, token: &str) -> bool {
        self.0.lock().unwrap().sessions.contains_key(token)
    }
}

/// What it does to the next change, or to the next login, instead of answering as it should. Each happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Does it, and never answers.
    Hang,
    /// Does it, and closes the connection in the midst of the answer's body.
    HalfAnswer,
    /// Does it, and closes the connection.
    Close,
    /// Does it, and says that it failed.
    ServerError,
    /// Sends whoever asks elsewhere: to a path of its own that counts who comes.
    Redirect,
    /// Does it, and answers without end.
    Giant,
    /// Does it, and answers with a page for people.
    NotJson,
}

#[derive(Default)]
struct Shared {
    users: BTreeMap<String, User>,
    groups: BTreeSet<String>,
    administrators: BTreeSet<String>,
    token: String,
    sessions: BTreeMap<String, String>,
    odd: Option<(Odd, bool)>,
    requests: Vec<String>,
}

#[derive(Default)]
struct User {
    password: String,
    former: Vec<String>,
    comment: String,
    groups: Vec<String>,
    valid_until: Option<Timestamp>,
    failed: u32,
    expired: bool,
}

/// Who asks.
enum Caller {
    Nobody,
    Wrong,
    Locked,
    Expired,
    User(String),
}

struct Request {
    method: String,
    /// Path segments, decoded.
    path: Vec<String>,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

type Answer = (u16, Value);

impl Firewall {
    /// A new one, with its administrator and nobody else.
    pub async fn start() -> Self {
        let ca = Ca::new("the firewall's CA");
        let own = ca.server_named(&[HOST]);
        let acceptor = own.acceptor();
        let (password, token) = (random_text(), random_text());
        let shared = Shared { token: token.clone(), ..Shared::default() };
        let shared = Arc::new(Mutex::new(shared));
        let [tls, clear] = [TcpListener::bind((HOST, 0)).await.unwrap(), TcpListener::bind((HOST, 0)).await.unwrap()];
        let [address, bare] = [&tls, &clear].map(|listener| listener.local_addr().unwrap());
        // Its certificate is not made out to this one.
        let other = TcpListener::bind((OTHER_HOST, address.port())).await.unwrap();
        let tasks = vec![
            tokio::spawn(serve(other, Some(acceptor.clone()), Arc::clone(&shared))),
            tokio::spawn(serve(tls, Some(acceptor), Arc::clone(&shared))),
            tokio::spawn(serve(clear, None, Arc::clone(&shared))),
        ];
        let firewall = Self { address, clear: bare, ca_certificate: ca.pem, password, token, shared, tasks };
        firewall.add_user(ADMINISTRATOR, &firewall.password);
        firewall.shared.lock().unwrap().administrators.insert(ADMINISTRATOR.to_owned());
        firewall
    }

    /// Where it speaks TLS.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it speaks in clear.
    pub fn clear_address(&self) -> SocketAddr {
        self.clear
    }

    /// The CA that signed its certificate, in PEM.
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// The administrator's login.
    pub fn administrator(&self) -> Login {
        ADMINISTRATOR.parse().unwrap()
    }

    /// The administrator's password.
    pub fn administrator_secret(&self) -> Secret {
        Secret::new(self.password.clone()).unwrap()
    }

    /// The token that may change everybody by `/v2`.
    pub fn token(&self) -> Secret {
        Secret::new(self.token.clone()).unwrap()
    }

    /// The system as an administrator would add it.
    pub fn spec(&self, calls: HttpCalls) -> SystemSpec {
        SystemSpec::Http {
            host: HOST.to_owned(),
            port: self.port(),
            tls: TlsMode::VerifyFull,
            ca_certificate: Some(self.ca_certificate.clone()),
            calls: Box::new(calls),
            lockout_threshold: Some(LOCKOUT_THRESHOLD),
            grace_seconds: 0,
            propagation_seconds: 0,
        }
    }

    /// Adds a user who is nobody's but its own.
    pub fn add_user(&self, name: &str, password: &str) {
        let user = User { password: password.to_owned(), comment: "by hand".to_owned(), ..User::default() };
        self.shared.lock().unwrap().users.insert(name.to_owned(), user);
    }

    /// Adds a group.
    pub fn add_group(&self, name: &str) {
        self.shared.lock().unwrap().groups.insert(name.to_owned());
    }

    /// Wants this user's password changed before anything else.
    pub fn expire(&self, name: &str) {
        self.shared.lock().unwrap().users.get_mut(name).unwrap().expired = true;
    }

    /// Whether there is a user, or a group, of this name.
    pub fn exists(&self, name: &str) -> bool {
        let shared = self.shared.lock().unwrap();
        shared.users.contains_key(name) || shared.groups.contains(name)
    }

    /// The names of all its users.
    pub fn users(&self) -> Vec<String> {
        self.shared.lock().unwrap().users.keys().cloned().collect()
    }

    /// Whether a user is in a group.
    pub fn is_member(&self, name: &str, group: &str) -> bool {
        let shared = self.shared.lock().unwrap();
        shared.users.get(name).is_some_and(|user| user.groups.iter().any(|it| it == group))
    }

    /// Whether a password opens a user now. Counts nothing.
    pub fn opens(&self, name: &str, password: &str) -> bool {
        let shared = self.shared.lock().unwrap();
        shared.users.get(name).is_some_and(|user| user.password == password && !user.ended() && !user.locked())
    }

    /// How often a login of this user has failed since the last that did not.
    pub fn failed(&self, name: &str) -> u32 {
        self.shared.lock().unwrap().users.get(name).unwrap().failed
    }

    /// Opens a session; its token.
    pub fn open_session(&self, name: &str) -> String {
        let token = random_text();
        self.shared.lock().unwrap().sessions.insert(token.clone(), name.to_owned());
        token
    }

    /// Its open sessions.
    pub fn sessions(&self) -> Sessions {
        Sessions(Arc::clone(&self.shared))
    }

    /// Does this to the next change.
    pub fn next_change(&self, odd: Odd) {
        self.shared.lock().unwrap().odd = Some((odd, true));
    }

    /// Does this to the next login.
    pub fn next_login(&self, odd: Odd) {
        self.shared.lock().unwrap().odd = Some((odd, false));
    }

    /// The first line of each request that came since this was last asked.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.lock().unwrap().requests)
    }
}

impl Drop for Firewall {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl User {
    fn locked(&self) -> bool {
        self.failed >= LOCKOUT_THRESHOLD
    }

    #[expect(clippy::disallowed_methods, reason = "it has a clock of its own, as every system has")]
    fn ended(&self) -> bool {
        self.valid_until.is_some_and(|at| at <= Timestamp::now())
    }

    /// Why a new password is not taken.
    fn dislikes(&self, password: &str) -> Option<&'static str> {
        if password.chars().count() < PASSWORD_MIN {
            return Some("it is too short");
        }
        self.former.iter().any(|former| former == password).then_some("it was used before")
    }

    fn change(&mut self, password: &str) {
        if self.password != password {
            let old = std::mem::replace(&mut self.password, password.to_owned());
            self.former.push(old);
        }
        (self.failed, self.expired) = (0, false);
    }
}

impl Shared {
    fn log_in(&mut self, name: &str, password: &str) -> Caller {
        let Some(user) = self.users.get_mut(name) else { return Caller::Wrong };
        if user.locked() {
            return Caller::Locked;
        }
        if user.password != password || user.ended() {
            user.failed += 1;
            return Caller::Wrong;
        }
        user.failed = 0;
        if user.expired { Caller::Expired } else { Caller::User(name.to_owned()) }
    }

    /// By HTTP basic authentication.
    fn caller(&mut self, request: &Request) -> Caller {
        let Some(basic) = request.headers.get("authorization").and_then(|it| it.strip_prefix("Basic ")) else {
            return Caller::Nobody;
        };
        let pair = STANDARD.decode(basic).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match pair.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((name, password)) => self.log_in(name, password),
            None => Caller::Wrong,
        }
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["api", "v1", rest @ ..] => self.firewall(request, rest),
            ["v2", rest @ ..] => self.service(request, rest),
            _ => (404, json!({})),
        }
    }

    fn firewall(&mut self, request: &Request, path: &[&str]) -> Answer {
        let failed = |code: &str, message: &str| json!({ "error": { "code": code, "message": message } });
        let caller = match self.caller(request) {
            Caller::User(name) => name,
            Caller::Nobody | Caller::Wrong => return (401, failed("unauthorized", "who are you?")),
            Caller::Locked => return (423, failed("locked", "too many failed logins")),
            Caller::Expired => return (403, failed("password_expired", "change it first")),
        };
        if let ("GET", ["me"]) = (request.method.as_str(), path) {
            return (200, json!({ "name": caller }));
        }
        let body = request.json();
        let (about, administrator) = (path.get(1).copied(), self.administrators.contains(&caller));
        let itself = about == Some(caller.as_str()) && path.get(2) == Some(&"password");
        if !administrator && !itself {
            return (403, failed("forbidden", "not yours"));
        }
        match (request.method.as_str(), path) {
            ("POST", ["users"]) => {
                let name = body["name"].as_str().unwrap_or_default().to_owned();
                let groups: Vec<String> = serde_json::from_value(body["groups"].clone()).unwrap_or_default();
                if self.users.contains_key(&name) || name.is_empty() {
                    return (409, failed("exists", "there is one of this name"));
                }
                if !groups.iter().all(|group| self.groups.contains(group)) {
                    return (400, failed("no_group", "there is no such group"));
                }
                let password = body["password"].as_str().unwrap_or_default().to_owned();
                let comment = body["comment"].as_str().unwrap_or_default().to_owned();
                let valid_until = body["valid_until"].as_str().and_then(|at| at.parse().ok());
                let user = User { password, comment, groups, valid_until, ..User::default() };
                if let Some(why) = user.dislikes(&user.password) {
                    return (422, failed("password_policy", why));
                }
                self.users.insert(name, user);
                (201, json!({}))
            }
            (method, ["users", name, rest @ ..]) => {
                let Some(user) = self.users.get_mut(*name) else {
                    return (404, failed("no_user", "there is no such user"));
                };
                match (method, rest) {
                    ("GET", []) => (200, json!({ "name": name, "comment": user.comment, "groups": user.groups })),
                    ("PUT", ["password"]) => {
                        let password = body["password"].as_str().unwrap_or_default();
                        if let Some(why) = user.dislikes(password) {
                            // Some services repeat what they were told.
                            return (422, failed("password_policy", &format!("{why}: {password}")));
                        }
                        user.change(password);
                        (204, json!({}))
                    }
                    ("PATCH", []) => {
                        user.valid_until = body["valid_until"].as_str().and_then(|at| at.parse().ok());
                        (204, json!({}))
                    }
                    ("DELETE", []) => {
                        self.users.remove(*name);
                        self.sessions.retain(|_, of| of != name);
                        (204, json!({}))
                    }
                    ("DELETE", ["sessions"]) => {
                        self.sessions.retain(|_, of| of != name);
                        (204, json!({}))
                    }
                    _ => (404, json!({})),
                }
            }
            _ => (404, json!({})),
        }
    }

    fn service(&mut self, request: &Request, path: &[&str]) -> Answer {
        let no = |reason: &str| (200, json!({ "ok": false, "reason": reason }));
        match (request.method.as_str(), path) {
            ("POST", ["login"]) => {
                let body = request.json();
                let (name, password) = (body["user"].as_str(), body["password"].as_str());
                match self.log_in(name.unwrap_or_default(), password.unwrap_or_default()) {
                    Caller::User(name) => {
                        let token = random_text();
                        self.sessions.insert(token.clone(), name);
                        (200, json!({ "ok": true, "token": token }))
                    }
                    Caller::Nobody | Caller::Wrong => no("credentials"),
                    Caller::Locked => no("locked"),
                    Caller::Expired => no("expired"),
                }
            }
            ("GET", ["token"]) => {
                let known = request.headers.get("authorization") == Some(&format!("Bearer {}", self.token));
                (200, json!({ "ok": known }))
            }
            ("POST", ["members", "password"]) => {
                if request.headers.get("x-api-token") != Some(&self.token) {
                    return no("token");
                }
                let form = String::from_utf8(request.body.clone()).unwrap_or_default();
                let (member, password) = (pair(&request.query, "member"), pair(&form, "password"));
                let Some(user) = self.users.get_mut(&member) else { return no("member") };
                if let Some(why) = user.dislikes(&password) {
                    return (200, json!({ "ok": false, "reason": "policy", "message": why }));
                }
                user.change(&password);
                (200, json!({ "ok": true }))
            }
            _ => (404, json!({})),
        }
    }
}

impl Request {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Mutex<Shared>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match acceptor {
                None => converse(stream, &shared).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, &shared).await,
                    Err(_) => None,
                },
            }
        });
    }
}

/// One request, one answer.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Mutex<Shared>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let request = request(&mut stream).await?;
    let is_login = matches!(request.path.last().map(String::as_str), Some("me" | "login" | "token"));
    let is_change = request.method != "GET" && !is_login;
    let ((status, body), odd) = {
        let mut shared = shared.lock().unwrap();
        shared.requests.push(format!("{} /{}", request.method, request.path.join("/")));
        let meant = |(_, of_changes): &mut (Odd, bool)| if *of_changes { is_change } else { is_login };
        let odd = shared.odd.take_if(meant).map(|(odd, _)| odd);
        // Whoever is sent elsewhere has had nothing done yet.
        let answer = if odd == Some(Odd::Redirect) { (302, json!({})) } else { shared.answer(&request) };
        (answer, odd)
    };
    let body = body.to_string();
    let whole = |status: u16, body: &str, more: &str| {
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}", body.len())
    };
    let answer = match odd {
        None if status == 204 => "HTTP/1.1 204 x\r\nconnection: close\r\n\r\n".to_owned(),
        None => whole(status, &body, ""),
        Some(Odd::Hang) => std::future::pending().await,
        Some(Odd::Close) => return None,
        Some(Odd::HalfAnswer) => "HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\n{\"ok\": true".to_owned(),
        Some(Odd::ServerError) => whole(500, "{}", ""),
        Some(Odd::Redirect) => whole(302, "", "location: /api/v1/elsewhere\r\n"),
        Some(Odd::NotJson) => whole(200, "<html>Welcome</html>", "content-type: text/html\r\n"),
        Some(Odd::Giant) => {
            stream.write_all(b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n").await.ok()?;
            let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
            return None;
        }
    };
    stream.write_all(answer.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}

async fn request(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Request> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // As many servers do: dots are resolved before the rest is decoded.
    let path = path.split('/').skip(1).map(decoded).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        // A header that comes twice is a header that somebody slipped in.
        assert!(headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()).is_none(), "{name} twice");
    }
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, path, query: query.to_owned(), headers, body })
}

/// What a pair of a query or a form has.
fn pair(text: &str, name: &str) -> String {
    let found = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(it, _)| *it == name);
    found.map(|(_, value)| decoded(&value.replace('+', " "))).unwrap_or_default()
}

/// Percent-decoded, by hand: the code under test has no part in it.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        let digits = if byte == b'%' { rest.next().zip(rest.next()) } else { None };
        let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
        match digits.and_then(|(high, low)| digit(high).zip(digit(low))) {
            Some((high, low)) => bytes.push(high << 4 | low),
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
