//! LDAP: messages in BER, a sequence each (RFC 4511 §4.1.1). A request is named by its kind, e.g. `Modify`.

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::{Plan, Verdict};

/// Client to server, message by message.
pub(super) async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Mutex<Plan>,
    verdict: &watch::Sender<Verdict>,
) -> io::Result<()> {
    loop {
        let (head, body) = message(&mut from).await?;
        let judged = match kind(&body) {
            Some(kind) => plan.lock().unwrap().judge(kind),
            None => Verdict::Pass,
        };
        match judged {
            Verdict::LoseStatement => return Ok(()),
            Verdict::LoseReply | Verdict::HoldReply => {
                verdict.send_replace(judged);
            }
            Verdict::Pass => {}
        }
        to.write_all(&[&head[..], &body].concat()).await?;
    }
}

/// Server to client; from a lost request on, nowhere, once its one answer has come.
pub(super) async fn answers(
    mut from: OwnedReadHalf,
    to: &tokio::sync::Mutex<OwnedWriteHalf>,
    verdicts: watch::Receiver<Verdict>,
) -> io::Result<()> {
    loop {
        let (head, body) = message(&mut from).await?;
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

/// The kind of a request: what follows the number of its message.
fn kind(body: &[u8]) -> Option<&'static str> {
    let length = usize::from(*body.get(1)?);
    match body.get(2 + length)? {
        0x66 => Some("Modify"),
        0x68 => Some("Add"),
        0x4a => Some("Delete"),
        0x77 => Some("Extended"),
        _ => None,
    }
}

/// A message's tag and length, and what they hold.
async fn message(from: &mut OwnedReadHalf) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = vec![from.read_u8().await?, from.read_u8().await?];
    let first = head.last().copied().unwrap_or_default();
    let mut length = usize::from(first & 0x7f);
    if first & 0x80 != 0 {
        let mut octets = vec![0; length];
        from.read_exact(&mut octets).await?;
        length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        head.extend(octets);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    Ok((head, body))
}
