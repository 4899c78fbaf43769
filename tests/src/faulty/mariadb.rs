//! The MySQL protocol: packets of a length in three bytes and a number; each command begins at number 0.

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{Plan, Verdict};

const COM_QUERY: u8 = 3;

/// Client to server, packet by packet.
pub(super) async fn statements(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    verdict: &watch::Sender<Verdict>,
) -> io::Result<()> {
    loop {
        let (head, body) = packet(&mut from).await?;
        let judged = match (head, body.split_first()) {
            ([_, _, _, 0], Some((&COM_QUERY, sql))) => plan.lock().unwrap().judge(&String::from_utf8_lossy(sql)),
            _ => Verdict::Pass,
        };
        match judged {
            Verdict::LoseStatement => return Ok(()),
            Verdict::LoseReply | Verdict::HoldReply => {
                // The server is idle now: all that it says from here on is the reply.
                verdict.send_replace(judged);
            }
            Verdict::Pass => {}
        }
        to.write_all(&[&head[..], &body].concat()).await?;
    }
}

/// Server to client; from a lost statement on, nowhere, once its one packet of reply has come.
pub(super) async fn replies(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    verdicts: watch::Receiver<Verdict>,
) -> io::Result<()> {
    loop {
        let (head, body) = packet(&mut from).await?;
        let verdict = *verdicts.borrow();
        match verdict {
            Verdict::Pass | Verdict::LoseStatement => {
                to.lock().await.write_all(&[&head[..], &body].concat()).await?;
            }
            Verdict::LoseReply => return Ok(()),
            Verdict::HoldReply => {}
        }
    }
}

async fn packet(from: &mut OwnedReadHalf) -> io::Result<([u8; 4], Vec<u8>)> {
    let mut head = [0; 4];
    from.read_exact(&mut head).await?;
    let [l0, l1, l2, _] = head;
    let mut body = vec![0; usize::try_from(u32::from_le_bytes([l0, l1, l2, 0])).unwrap_or(0)];
    from.read_exact(&mut body).await?;
    Ok((head, body))
}
