//! HTTP: one request a connection. A statement is a request's first line, e.g. `PUT /users/x`.

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{Plan, Verdict};

/// Client to server: the head decides, and what follows it is passed on as it comes.
pub(super) async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    verdict: &watch::Sender<Verdict>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let judged = plan.lock().unwrap().judge(text.lines().next().unwrap_or_default());
    if judged == Verdict::LoseStatement {
        return Ok(());
    }
    verdict.send_replace(judged);
    to.write_all(&head).await?;
    tokio::io::copy(&mut from, &mut to).await?;
    std::future::pending().await
}

/// Server to client; of a lost request nothing, once its answer has begun.
pub(super) async fn answers(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    verdicts: watch::Receiver<Verdict>,
) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = from.read(&mut buffer).await?;
        let verdict = *verdicts.borrow();
        match verdict {
            Verdict::LoseReply => return Ok(()),
            Verdict::HoldReply => std::future::pending().await,
            Verdict::Pass | Verdict::LoseStatement if read == 0 => return Ok(()),
            Verdict::Pass | Verdict::LoseStatement => {
                to.lock().await.write_all(buffer.get(..read).unwrap_or_default()).await?;
            }
        }
    }
}
