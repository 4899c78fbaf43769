//! The connection under a PostgreSQL session: what the server says is watched before tokio-postgres acts on it.
//!
//! tokio-postgres does the whole login by itself and tells neither whether a password was asked for nor how. Both
//! matter: a server that asks for none (`trust`, `peer`, `cert`) proves nothing about a secret, and one that asks for
//! it in clear gets it. So TLS is done here, and tokio-postgres is given a stream that is already open, through the
//! hook meant for direct TLS; channel binding (SCRAM-SHA-256-PLUS) stays, as the stream passes it on.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready as ready_or_pending};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Stream;

/// The most bytes a server may send on one connection: many times what any answer needs.
pub(super) const RECEIVED_MAX: usize = 1024 * 1024;

/// The TLS stream of tokio-postgres-rustls, which knows its channel binding.
pub(super) type Tls = <MakeRustlsConnect as MakeTlsConnect<Box<dyn Stream>>>::Stream;

/// The bare or the encrypted connection.
pub(super) enum Link {
    /// No TLS.
    Plain(Box<dyn Stream>),
    /// TLS, the server's certificate checked as the mode says.
    Tls(Box<Tls>),
}

/// What a server may not do; carried inside the `io::Error` that stops the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Foul {
    /// It asked for the password in clear, and has not proven who it is.
    #[error(
        "the server asked for the password in clear without having proven who it is, so nothing was sent: verify-full does"
    )]
    AskedInClear,
    /// What it says is not the protocol.
    #[error("what answers is not a PostgreSQL server")]
    Nonsense,
    /// It sent more than any answer needs.
    #[error("the server sent more than {RECEIVED_MAX} bytes")]
    Flood,
}

/// How far the login came, as the server's `Authentication…` messages show it
/// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
#[derive(Default)]
pub(super) struct Progress {
    asked: AtomicI32,
    latest: AtomicI32,
}

const OK: i32 = 0;
const CLEARTEXT: i32 = 3;
const SASL_FINAL: i32 = 12;
/// Codes are stored plus one, so that zero is "none yet".
const NONE_YET: i32 = 0;

impl Progress {
    /// Whether the server said `AuthenticationOk`.
    pub(super) fn authenticated(&self) -> bool {
        self.latest.load(Ordering::Acquire) == OK + 1
    }

    /// Whether it asked for the password in any form before it said so.
    pub(super) fn asked_for_password(&self) -> bool {
        !matches!(self.asked.load(Ordering::Acquire), NONE_YET | 1)
    }

    /// Whether SCRAM came to the message in which the server proves that it knows the account, and no further.
    pub(super) fn stopped_at_server_proof(&self) -> bool {
        self.latest.load(Ordering::Acquire) == SASL_FINAL + 1
    }

    fn note(&self, code: i32) {
        let _ = self.asked.compare_exchange(NONE_YET, code + 1, Ordering::AcqRel, Ordering::Acquire);
        self.latest.store(code + 1, Ordering::Release);
    }
}

/// The stream that tokio-postgres gets.
pub(super) struct Watched {
    link: Link,
    cleartext_allowed: bool,
    progress: Arc<Progress>,
    frames: Frames,
    received: usize,
}

impl Watched {
    /// Watches a link. `cleartext_allowed`: the server has proven who it is, and nobody else reads along.
    pub(super) fn new(link: Link, cleartext_allowed: bool) -> (Self, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let watched =
            Self { link, cleartext_allowed, progress: Arc::clone(&progress), frames: Frames::default(), received: 0 };
        (watched, progress)
    }

    fn inspect(&mut self, bytes: &[u8]) -> Result<(), Foul> {
        self.received = self.received.saturating_add(bytes.len());
        if self.received > RECEIVED_MAX {
            return Err(Foul::Flood);
        }
        for byte in bytes {
            if self.progress.authenticated() {
                return Ok(());
            }
            if let Some(code) = self.frames.push(*byte)? {
                self.progress.note(code);
                if code == CLEARTEXT && !self.cleartext_allowed {
                    return Err(Foul::AskedInClear);
                }
            }
        }
        Ok(())
    }
}

/// Finds the codes of `Authentication…` messages in what a server sends: a type byte, a length that counts itself,
/// and for type `R` a code.
#[derive(Default)]
struct Frames {
    head: [u8; 9],
    filled: usize,
    skip: usize,
}

impl Frames {
    const HEADER: usize = 5;
    /// What comes before `AuthenticationOk`: authentication, errors, notices, parameters, protocol negotiation.
    const DURING_LOGIN: &'static [u8] = b"RENSv";

    fn push(&mut self, byte: u8) -> Result<Option<i32>, Foul> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(None);
        }
        if let Some(place) = self.head.get_mut(self.filled) {
            *place = byte;
            self.filled += 1;
        }
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = self.head;
        if !Self::DURING_LOGIN.contains(&kind) {
            return Err(Foul::Nonsense);
        }
        if self.filled < Self::HEADER {
            return Ok(None);
        }
        let body = (u32::from_be_bytes([l0, l1, l2, l3]) as usize).checked_sub(4).ok_or(Foul::Nonsense)?;
        if body > RECEIVED_MAX {
            return Err(Foul::Nonsense);
        }
        let wanted = if kind == b'R' && body >= 4 { self.head.len() } else { Self::HEADER };
        if self.filled < wanted {
            return Ok(None);
        }
        self.skip = body - (wanted - Self::HEADER);
        self.filled = 0;
        Ok((wanted > Self::HEADER).then(|| i32::from_be_bytes([c0, c1, c2, c3])))
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready_or_pending!(match &mut self.link {
            Link::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Link::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.inspect(fresh).map_err(io::Error::other))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.link {
            Link::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Link::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.link {
            Link::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Link::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.link {
            Link::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Link::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Watched {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.link {
            Link::Plain(_) => ChannelBinding::none(),
            Link::Tls(stream) => stream.channel_binding(),
        }
    }
}

/// "Connects" a stream that is open already.
pub(super) struct AlreadyOpen;

impl TlsConnect<Watched> for AlreadyOpen {
    type Stream = Watched;
    type Error = Infallible;
    type Future = Ready<Result<Watched, Infallible>>;

    fn connect(self, stream: Watched) -> Self::Future {
        ready(Ok(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    fn authentication(code: i32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes()[..], rest].concat())
    }

    /// Feeds the bytes in pieces of every size, as a network may.
    fn watch(bytes: &[u8], cleartext_allowed: bool) -> Vec<(Result<(), Foul>, Arc<Progress>)> {
        (1..=bytes.len())
            .map(|size| {
                let (near, _far) = tokio::io::duplex(1);
                let (mut watched, progress) = Watched::new(Link::Plain(Box::new(near)), cleartext_allowed);
                (bytes.chunks(size).try_for_each(|piece| watched.inspect(piece)), progress)
            })
            .collect()
    }

    #[test]
    fn a_password_asked_for_in_clear_is_seen_however_the_bytes_arrive() {
        let ask = authentication(CLEARTEXT, &[]);
        let later = [message(b'N', b"hello"), message(b'S', &[]), ask.clone()].concat();
        for bytes in [ask, later] {
            assert!(watch(&bytes, false).iter().all(|(seen, _)| *seen == Err(Foul::AskedInClear)));
            assert!(watch(&bytes, true).iter().all(|(seen, to)| *seen == Ok(()) && to.asked_for_password()));
        }
    }

    #[test]
    fn a_login_without_a_question_is_told_from_one_with() {
        let trust = [authentication(OK, &[]), message(b'Z', b"I")].concat();
        for (_, to) in watch(&trust, false) {
            assert!(to.authenticated() && !to.asked_for_password());
        }
        let scram = [authentication(10, b"SCRAM-SHA-256\0\0"), authentication(11, b"r=x"), authentication(12, b"v=y")];
        for (_, to) in watch(&scram.concat(), false) {
            assert!(!to.authenticated() && to.asked_for_password() && to.stopped_at_server_proof());
        }
        for (_, to) in watch(&[scram.concat(), authentication(OK, &[])].concat(), false) {
            assert!(to.authenticated() && to.asked_for_password() && !to.stopped_at_server_proof());
        }
    }

    #[test]
    fn after_the_login_the_content_of_rows_is_nobodys_business() {
        let rows = [authentication(10, &[]), authentication(OK, &[]), message(b'D', &authentication(CLEARTEXT, &[]))];
        assert!(watch(&rows.concat(), false).iter().all(|(seen, to)| *seen == Ok(()) && to.authenticated()));
    }

    #[test]
    fn a_flood_stops_at_its_limit() {
        let (near, _far) = tokio::io::duplex(1);
        let (mut watched, _) = Watched::new(Link::Plain(Box::new(near)), true);
        let notice = message(b'N', &vec![0; RECEIVED_MAX - 5]);
        assert_eq!(watched.inspect(&notice), Ok(()));
        assert_eq!(watched.inspect(b"N"), Err(Foul::Flood));
    }

    #[test]
    fn another_protocol_is_seen_at_its_first_bytes() {
        for other in ["HTTP/1.1 400 Bad Request", "SSH-2.0-OpenSSH", "NNNNN", "R\0\0\0\x03"] {
            assert!(watch(other.as_bytes(), true).iter().all(|(seen, _)| *seen == Err(Foul::Nonsense)), "{other}");
        }
    }
}
