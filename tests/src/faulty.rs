//! A line to a real PostgreSQL or MariaDB that fails where a test wants it to. The server behind it is real: what the
//! line loses is lost to one side only.
//!
//! It reads the bare protocol (a PostgreSQL's request for TLS it answers with no) and acts on simple queries, in which
//! the connectors send every change.

#![expect(clippy::unwrap_used, reason = "a test whose line does not start cannot go on")]

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

mod http;
mod ldap;
mod mariadb;

/// What goes wrong. A fault that names a statement happens once, then everything passes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: everything passes.
    Pass,
    /// New connections are closed at once.
    Refuse,
    /// New connections are taken, and nothing is ever said on them.
    Hang,
    /// The server executes the statement ("applied"), and the line breaks instead of bringing the reply.
    LoseReply(Statement),
    /// The server executes the statement, and the reply never comes; the line stays up.
    HoldReply(Statement),
    /// The line breaks before the statement reaches the server ("not applied").
    LoseStatement(Statement),
}

/// Which simple query a fault is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// The n-th since the fault was set, from 1, on all connections together.
    Nth(usize),
    /// The first that contains this text, e.g. `ALTER ROLE`.
    Containing(String),
    /// The first that begins with one of these, e.g. `ALTER USER`.
    Beginning(&'static [&'static str]),
}

/// The line. It ends when dropped.
pub struct Faulty {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    task: JoinHandle<()>,
}

struct Plan {
    fault: Fault,
    seen: usize,
    fired: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Postgresql,
    Mariadb,
    Ldap,
    Http,
}

/// What is to happen to one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    LoseReply,
    HoldReply,
    LoseStatement,
}

impl Faulty {
    /// A line to a PostgreSQL on which everything passes.
    pub async fn before(server: SocketAddr) -> Self {
        Self::of(Protocol::Postgresql, server).await
    }

    /// A line to a MariaDB on which everything passes. What a fault is for may have no result set.
    pub async fn before_mariadb(server: SocketAddr) -> Self {
        Self::of(Protocol::Mariadb, server).await
    }

    /// A line to a directory on which everything passes. A statement is a request that changes something, by its kind:
    /// `Add`, `Modify`, `Delete` or `Extended`.
    pub async fn before_ldap(server: SocketAddr) -> Self {
        Self::of(Protocol::Ldap, server).await
    }

    /// A line to an HTTP API on which everything passes. A statement is the first line of a request.
    pub async fn before_http(server: SocketAddr) -> Self {
        Self::of(Protocol::Http, server).await
    }

    async fn of(protocol: Protocol, server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(Plan { fault: Fault::Pass, seen: 0, fired: false }));
        let shared = Arc::clone(&plan);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(protocol, client, server, Arc::clone(&shared)));
            }
        });
        Self { address, plan, task }
    }

    /// Where to connect instead of to the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong from now on.
    pub fn set(&self, fault: Fault) {
        *self.plan.lock().unwrap() = Plan { fault, seen: 0, fired: false };
    }

    /// Whether the statement that the fault is for came by.
    pub fn fired(&self) -> bool {
        self.plan.lock().unwrap().fired
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Plan {
    fn judge(&mut self, sql: &str) -> Verdict {
        self.seen += 1;
        let (statement, verdict) = match &self.fault {
            Fault::Pass | Fault::Refuse | Fault::Hang => return Verdict::Pass,
            Fault::LoseReply(statement) => (statement, Verdict::LoseReply),
            Fault::HoldReply(statement) => (statement, Verdict::HoldReply),
            Fault::LoseStatement(statement) => (statement, Verdict::LoseStatement),
        };
        let meant = match statement {
            Statement::Nth(n) => self.seen == *n,
            Statement::Containing(text) => sql.contains(text),
            Statement::Beginning(words) => words.iter().any(|words| sql.starts_with(words)),
        };
        if !meant {
            return Verdict::Pass;
        }
        (self.fault, self.fired) = (Fault::Pass, true);
        verdict
    }
}

async fn serve(protocol: Protocol, client: TcpStream, server: SocketAddr, plan: Arc<Mutex<Plan>>) {
    let fault = plan.lock().unwrap().fault.clone();
    match fault {
        Fault::Refuse => return,
        Fault::Hang => {
            let _held = client;
            return std::future::pending().await;
        }
        Fault::Pass | Fault::LoseReply(_) | Fault::HoldReply(_) | Fault::LoseStatement(_) => {}
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let (verdict, verdicts) = watch::channel(Verdict::Pass);
    let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
    // Whichever side ends first ends the line, and with it both connections.
    match protocol {
        Protocol::Postgresql => tokio::select! {
            _ = statements(from_client, to_server, &to_client, &plan, &verdict) => {}
            _ = replies(from_server, &to_client, verdicts) => {}
        },
        Protocol::Mariadb => tokio::select! {
            _ = mariadb::statements(from_client, to_server, &plan, &verdict) => {}
            _ = mariadb::replies(from_server, &to_client, verdicts) => {}
        },
        Protocol::Ldap => tokio::select! {
            _ = ldap::requests(from_client, to_server, &plan, &verdict) => {}
            _ = ldap::answers(from_server, &to_client, verdicts) => {}
        },
        Protocol::Http => tokio::select! {
            _ = http::requests(from_client, to_server, &plan, &verdict) => {}
            _ = http::answers(from_server, &to_client, verdicts) => {}
        },
    }
}

/// Client to server, message by message.
async fn statements(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: &tokio::sync::Mutex<OwnedWriteHalf>,
    plan: &Mutex<Plan>,
    verdict: &watch::Sender<Verdict>,
) -> io::Result<()> {
    const SSL_REQUEST: [u8; 4] = 80_877_103_u32.to_be_bytes();
    loop {
        let (length, body) = untyped(&mut from).await?;
        if body == SSL_REQUEST {
            back.lock().await.write_all(b"N").await?;
            continue;
        }
        to.write_all(&[&length[..], &body].concat()).await?;
        break;
    }
    loop {
        let kind = from.read_u8().await?;
        let (length, body) = untyped(&mut from).await?;
        let judged =
            if kind == b'Q' { plan.lock().unwrap().judge(&String::from_utf8_lossy(&body)) } else { Verdict::Pass };
        match judged {
            Verdict::LoseStatement => return Ok(()),
            Verdict::LoseReply | Verdict::HoldReply => {
                // The server is idle now: all that it says from here on is the reply.
                verdict.send_replace(judged);
            }
            Verdict::Pass => {}
        }
        to.write_all(&[&[kind][..], &length, &body].concat()).await?;
    }
}

/// Server to client; from a lost statement on, nowhere, until the server has said that it is done with it.
async fn replies(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    verdicts: watch::Receiver<Verdict>,
) -> io::Result<()> {
    const READY_FOR_QUERY: u8 = b'Z';
    loop {
        let kind = from.read_u8().await?;
        let (length, body) = untyped(&mut from).await?;
        let verdict = *verdicts.borrow();
        match verdict {
            Verdict::Pass | Verdict::LoseStatement => {
                to.lock().await.write_all(&[&[kind][..], &length, &body].concat()).await?;
            }
            Verdict::LoseReply if kind == READY_FOR_QUERY => return Ok(()),
            Verdict::LoseReply | Verdict::HoldReply => {}
        }
    }
}

/// The length, which counts itself, and what follows it.
async fn untyped(from: &mut OwnedReadHalf) -> io::Result<([u8; 4], Vec<u8>)> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await?;
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or(4).saturating_sub(4)];
    from.read_exact(&mut body).await?;
    Ok((length, body))
}
