//! Syslog messages (RFC 5424) in octet-counted frames over TLS (RFC 5425).
//!
//! The protocol has no acknowledgement of a message. It has one answer: a receiver that reads our end of the connection
//! (`close_notify`, §4.4) has read all that came before it, and ends its side. A receiver that dies with bytes unread resets the
//! connection instead. So a way is ended now and then, and what that end answers is all that counts.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_service::audit::stream::{Message, Sink, Way, Weight};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Resolving, connecting and the handshake take no longer.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// A receiver that takes nothing for so long hangs.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// A receiver answers our end within this.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Log audit (RFC 5424 §6.2.1).
const FACILITY: u8 = 13;
/// Bytes of what a receiver says, which is nothing that anybody reads.
const UNREAD: usize = 512;

/// A receiver.
pub struct SyslogTls {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    /// What messages name as their host.
    vault: String,
}

struct Connection {
    stream: TlsStream<TcpStream>,
    vault: String,
}

impl SyslogTls {
    pub fn new(host: &str, port: u16, tls: ClientConfig, vault: &str) -> Self {
        Self { host: host.to_owned(), port, tls: Arc::new(tls), vault: vault.to_owned() }
    }

    async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(self.tls.clone()).connect(name, stream).await
    }
}

#[async_trait]
impl Sink for SyslogTls {
    async fn open(&self) -> io::Result<Box<dyn Way>> {
        let stream = within(OPEN_WITHIN, self.connect()).await?;
        Ok(Box::new(Connection { stream, vault: self.vault.clone() }))
    }
}

#[async_trait]
impl Way for Connection {
    async fn send(&mut self, messages: &[Message]) -> io::Result<()> {
        let frames: String = messages.iter().map(|message| frame(&self.vault, message)).collect();
        let sending = async {
            self.stream.write_all(frames.as_bytes()).await?;
            self.stream.flush().await
        };
        within(SEND_WITHIN, sending).await
    }

    async fn broken(&mut self) -> io::Error {
        loop {
            match self.stream.read(&mut [0; UNREAD]).await {
                Ok(0) => return io::Error::new(io::ErrorKind::ConnectionAborted, "the receiver closed the connection"),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    }

    async fn end(mut self: Box<Self>) -> io::Result<()> {
        let ending = async {
            self.stream.shutdown().await?;
            loop {
                match self.stream.read(&mut [0; UNREAD]).await {
                    // Many close without the `close_notify` that they owe. What matters is that it is no reset.
                    Ok(0) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        within(END_WITHIN, ending).await
    }
}

async fn within<T>(most: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} s", most.as_secs()));
    timeout(most, work).await.unwrap_or_else(|_| Err(late()))
}

/// `MSG-LEN SP SYSLOG-MSG` (RFC 5425 §4.3). The count says where the next frame begins, whatever is in this one.
fn frame(vault: &str, message: &Message) -> String {
    let text = syslog_message(vault, message);
    format!("{} {text}", text.len())
}

/// `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG` (RFC 5424 §6).
fn syslog_message(vault: &str, message: &Message) -> String {
    let priority = FACILITY * 8 + severity(message.weight);
    let time = message.time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ");
    format!("<{priority}>1 {time} {vault} claviger - {} - {}", message.kind.text(), message.line)
}

const fn severity(weight: Weight) -> u8 {
    match weight {
        Weight::Routine => 6, // informational
        Weight::Notable => 5, // notice
        Weight::Warning => 4, // warning
        Weight::Alarm => 1,   // alert
    }
}

#[cfg(test)]
mod tests {
    use claviger_api::audit::kind::EventKind;
    use claviger_service::audit::stream::LINE_MAX;

    use std::io::ErrorKind;

    use rustls::RootCertStore;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A receiver that takes one connection and does with it what `does` says; and the way to it.
    async fn receiver<F: Future<Output = ()> + Send + 'static>(
        does: impl FnOnce(tokio_rustls::server::TlsStream<TcpStream>) -> F + Send + 'static,
    ) -> Box<dyn Way> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server =
            rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let server = server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let client = client.with_root_certificates(roots).with_no_client_auth();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            does(TlsAcceptor::from(Arc::new(server)).accept(stream).await.unwrap()).await;
        });
        SyslogTls::new("localhost", port, client, "vault.test").open().await.unwrap()
    }

    #[tokio::test]
    async fn an_end_is_answered_by_whoever_has_read_everything() {
        let told = message(EventKind::VaultSealed, "{}");
        let (read, all) = tokio::sync::oneshot::channel();
        let mut way = receiver(|mut stream| async move {
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            read.send(text).unwrap();
        })
        .await;
        way.send(&[told.clone(), told.clone()]).await.unwrap();
        way.end().await.unwrap();
        assert_eq!(all.await.unwrap(), frame("vault.test", &told).repeat(2));
    }

    /// The kernel of a receiver that dies answers what it has and the receiver never read by a reset.
    #[tokio::test]
    async fn an_end_is_not_answered_by_whoever_dies_with_something_unread() {
        let (sent, is_sent) = tokio::sync::oneshot::channel::<()>();
        let (began, has_begun) = tokio::sync::oneshot::channel::<()>();
        let mut way = receiver(|stream| async move {
            began.send(()).unwrap();
            is_sent.await.unwrap();
            drop(stream);
        })
        .await;
        has_begun.await.unwrap();
        way.send(&vec![message(EventKind::VaultSealed, "{}"); 100]).await.unwrap();
        let (ended, ()) = tokio::join!(way.end(), async { sent.send(()).unwrap() });
        let error = ended.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    }

    #[tokio::test]
    async fn a_way_whose_receiver_goes_is_broken() {
        let mut way = receiver(|stream| async { drop(stream) }).await;
        way.broken().await;
    }

    fn message(kind: EventKind, line: &str) -> Message {
        let time = "2026-11-28T09:00:00.000001Z".parse().unwrap();
        Message { time, kind, weight: Weight::Notable, line: line.to_owned() }
    }

    #[test]
    fn a_message_has_the_form_of_rfc_5424_and_a_frame_its_length() {
        let told = message(EventKind::CheckoutRevealed, r#"{"reason":"S\u00e4"}"#);
        let text =
            "<109>1 2026-11-28T09:00:00.000001Z vault.test claviger - checkout.revealed - {\"reason\":\"S\\u00e4\"}";
        assert_eq!(syslog_message("vault.test", &told), text);
        assert_eq!(frame("vault.test", &told), format!("{} {text}", text.len()));
        let umlaut = frame("v", &message(EventKind::VaultSealed, "CEF:0|ä"));
        let (count, rest) = umlaut.split_once(' ').unwrap();
        assert_eq!(count.parse(), Ok(rest.len()), "octets, not characters");
    }

    /// MSGID has 32 characters at most (§6), and the whole what each receiver should take.
    #[test]
    fn every_kind_is_a_msgid_and_no_message_is_too_long() {
        let line = "x".repeat(LINE_MAX);
        for kind in EventKind::ALL {
            assert!(kind.text().len() <= 32, "{kind}");
            assert!(frame(&"v".repeat(253), &message(*kind, &line)).len() <= 8_192, "{kind}");
        }
    }
}
