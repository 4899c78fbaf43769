//! Where a connection comes in: a system that is away, says nothing, or breaks off during a login or in the middle of a
//! reply. (What becomes of a whole statement is `claviger_tests::faulty`'s.)

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What goes wrong, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoorFault {
    /// So many connections pass, and then so many are closed at once.
    Refuse { after: usize, times: usize },
    /// The next connection is taken, and nothing is ever said on it.
    Hang,
    /// The line breaks before the system hears the proof of the password.
    LoseLogin,
    /// The system judges the proof, and the line breaks instead of bringing its verdict.
    LoseReplyToLogin,
    /// The line breaks in the middle of the verdict.
    HalfReplyToLogin,
    /// The system executes the change, and the line breaks in the middle of its reply.
    HalfReplyToStatement,
}

/// The door. It is closed when dropped.
pub struct Door {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Plan {
    fault: Option<DoorFault>,
    fired: bool,
}

/// What the server's next message is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Whole,
    Half,
    Nothing,
}

/// How many messages of a client belong to its proof of the password: SCRAM's first and its final one (RFC 5802).
const PROOF: usize = 2;

impl Door {
    /// A door to `server`, open.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Arc::new(Mutex::new(Plan::default()));
        let shared = Arc::clone(&plan);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, Arc::clone(&shared)));
            }
        });
        Self { address, plan, task }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What goes wrong from now on.
    pub fn set(&self, fault: DoorFault) {
        *self.plan.lock().unwrap() = Plan { fault: Some(fault), fired: false };
    }

    /// Whether it went wrong.
    pub fn fired(&self) -> bool {
        self.plan.lock().unwrap().fired
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Plan {
    /// The fault is for this moment: it happens now, and not again.
    fn fires(&mut self, fault: DoorFault) -> bool {
        let now = self.fault == Some(fault);
        if now {
            (self.fault, self.fired) = (None, true);
        }
        now
    }

    /// Whether a new connection is closed at once.
    fn refuses(&mut self) -> bool {
        let Some(DoorFault::Refuse { after, times }) = self.fault else { return false };
        self.fault = match (after, times) {
            (0, 0 | 1) => None,
            (0, times) => Some(DoorFault::Refuse { after, times: times - 1 }),
            (after, times) => Some(DoorFault::Refuse { after: after - 1, times }),
        };
        self.fired |= after == 0;
        after == 0
    }
}

async fn serve(client: TcpStream, server: SocketAddr, plan: Arc<Mutex<Plan>>) {
    let (refused, hangs) = {
        let mut plan = plan.lock().unwrap();
        (plan.refuses(), plan.fires(DoorFault::Hang))
    };
    if refused {
        return;
    }
    if hangs {
        let _held = client;
        return std::future::pending().await;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let cut = Mutex::new(Cut::Whole);
    // Whichever side ends first ends the line, and with it both connections.
    tokio::select! {
        _ = questions(from_client, to_server, &plan, &cut) => {}
        _ = answers(from_server, to_client, &cut) => {}
    }
}

/// Client to server, message by message.
async fn questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    cut: &Mutex<Cut>,
) -> io::Result<()> {
    to.write_all(&message(&mut from, false).await?).await?;
    let mut proof = 0;
    loop {
        let message = message(&mut from, true).await?;
        {
            let (mut plan, mut cut) = (plan.lock().unwrap(), cut.lock().unwrap());
            proof += usize::from(message.first() == Some(&b'p'));
            if message.first() == Some(&b'p') && proof == PROOF {
                if plan.fires(DoorFault::LoseLogin) {
                    return Ok(());
                }
                if plan.fires(DoorFault::LoseReplyToLogin) {
                    *cut = Cut::Nothing;
                }
                if plan.fires(DoorFault::HalfReplyToLogin) {
                    *cut = Cut::Half;
                }
            }
            let changes = message.first() == Some(&b'Q') && String::from_utf8_lossy(&message).contains("ALTER ROLE");
            if changes && plan.fires(DoorFault::HalfReplyToStatement) {
                *cut = Cut::Half;
            }
        }
        to.write_all(&message).await?;
    }
}

/// Server to client, message by message, until one is cut.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: &Mutex<Cut>) -> io::Result<()> {
    loop {
        let message = message(&mut from, true).await?;
        let cut = *cut.lock().unwrap();
        match cut {
            Cut::Whole => to.write_all(&message).await?,
            Cut::Half => return to.write_all(message.get(..message.len() / 2).unwrap_or_default()).await,
            Cut::Nothing => return Ok(()),
        }
    }
}

/// One message of PostgreSQL's protocol: its kind, except for the very first, its length, which counts itself, and the
/// rest.
async fn message(from: &mut OwnedReadHalf, with_kind: bool) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    if with_kind {
        message.push(from.read_u8().await?);
    }
    let length = from.read_u32().await?;
    message.extend_from_slice(&length.to_be_bytes());
    let mut rest = vec![0; usize::try_from(length).unwrap_or(4).saturating_sub(4)];
    from.read_exact(&mut rest).await?;
    message.extend_from_slice(&rest);
    Ok(message)
}
