//! The connection under an SSH session: what the host says is watched before russh acts on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Stream;

/// The most bytes a host may send on one connection: many times what a login and a few commands need.
pub(super) const RECEIVED_MAX: usize = 1024 * 1024;
/// What every SSH server says first (RFC 4253, section 4.2).
const GREETING: &[u8] = b"SSH-";

/// A connection that ends where something else than an SSH server speaks, or speaks too much.
pub(super) struct Watched {
    stream: Box<dyn Stream>,
    received: Arc<AtomicUsize>,
}

/// How much was received.
#[derive(Clone)]
pub(super) struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// Whether anything was said at all.
    pub(super) fn spoke(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Watched {
    pub(super) fn new(stream: Box<dyn Stream>) -> (Self, Progress) {
        let received = Arc::new(AtomicUsize::new(0));
        (Self { stream, received: received.clone() }, Progress(received))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let new = buffer.filled().get(before..).unwrap_or_default();
        let at = self.received.fetch_add(new.len(), Ordering::Relaxed);
        if at == 0 && !new.is_empty() && !new.starts_with(GREETING.get(..new.len()).unwrap_or(GREETING)) {
            return Poll::Ready(Err(foul("what answers is not an SSH server")));
        }
        if at.saturating_add(new.len()) > RECEIVED_MAX {
            return Poll::Ready(Err(foul("the host sent more than any answer needs")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn foul(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
