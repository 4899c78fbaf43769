//! Packets of the MySQL protocol on a connection of our own. mysql_common reads and writes them; here they are bounded.

use bytes::BytesMut;
use mysql_common::proto::codec::PacketCodec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::Stream;
use crate::failure::Failure;

/// The most bytes a server may send on one connection: many times what any answer needs.
pub(super) const RECEIVED_MAX: usize = 1024 * 1024;

/// A connection that carries packets.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    codec: PacketCodec,
    inbox: BytesMut,
    received: usize,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        let mut codec = PacketCodec::default();
        codec.max_allowed_packet = RECEIVED_MAX;
        Self { stream, codec, inbox: BytesMut::new(), received: 0 }
    }

    /// The next packet from the server.
    pub(super) async fn read(&mut self) -> Result<Vec<u8>, Failure> {
        let mut packet = Vec::new();
        while !self.codec.decode(&mut self.inbox, &mut packet).map_err(|_| nonsense())? {
            let more = self.stream.read_buf(&mut self.inbox).await.map_err(|error| Failure::io(&error))?;
            if more == 0 {
                return Err(Failure::unreachable("the server closed the connection"));
            }
            self.received = self.received.saturating_add(more);
            if self.received > RECEIVED_MAX {
                return Err(Failure::unknown(format!("the server sent more than {RECEIVED_MAX} bytes")));
            }
        }
        Ok(packet)
    }

    /// Sends the next packet of an exchange.
    pub(super) async fn write(&mut self, packet: &[u8]) -> Result<(), Failure> {
        let (mut packet, mut chunks) = (packet, BytesMut::new());
        self.codec.encode(&mut packet, &mut chunks).map_err(|_| Failure::unknown("a packet over the limit"))?;
        let sent = async {
            self.stream.write_all(&chunks).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Failure::io(&error))
    }

    /// Begins an exchange with a command.
    pub(super) async fn command(&mut self, command: u8, body: &[u8]) -> Result<(), Failure> {
        self.codec.reset_seq_id();
        let packet = zeroize::Zeroizing::new([&[command], body].concat());
        self.write(&packet).await
    }

    /// The same exchange on another connection, e.g. one that is now encrypted. Nothing may have been slipped in before.
    pub(super) async fn over<F>(mut self, encrypt: impl FnOnce(Box<dyn Stream>) -> F) -> Result<Self, Failure>
    where
        F: Future<Output = Result<Box<dyn Stream>, Failure>>,
    {
        if !self.inbox.is_empty() {
            return Err(nonsense());
        }
        self.stream = encrypt(self.stream).await?;
        Ok(self)
    }
}

/// What is not the protocol.
pub(super) fn nonsense() -> Failure {
    Failure::unknown("what answers is not a MariaDB server")
}
