//! TLS as libpq negotiates it.

use claviger_api::wire::TlsMode;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Target;
use super::wire::{Link, Tls};
use crate::Stream;
use crate::failure::Failure;
use crate::tls::{client_config, handshake_failure, without};

/// `SSLRequest`: its length, and the code that no protocol version has.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Asks for TLS as the mode says, and checks whom it leads to. No more than the server's one-byte answer is read in
/// clear, so that nothing can be slipped in before the encryption (CVE-2021-23222).
pub(super) async fn secure(mut stream: Box<dyn Stream>, target: &Target<'_>) -> Result<Link, Failure> {
    if target.tls == TlsMode::Disable {
        return Ok(Link::Plain(stream));
    }
    // A configuration that cannot work is said before anything is asked.
    let config = client_config(target.tls, target.ca_certificate)?;
    let mut answer = [0];
    let asked = async {
        stream.write_all(&SSL_REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    asked.await.map_err(|error| Failure::io(&error))?;
    match (answer, target.tls) {
        ([b'S'], _) => Ok(Link::Tls(Box::new(handshake(stream, config, target.host).await?))),
        ([b'N'], mode) => without(mode).map(|()| Link::Plain(stream)),
        // The text of an error is not shown: nobody knows yet who wrote it (CVE-2024-10977).
        ([b'E'], _) => Err(Failure::unreachable("the server answered the request for TLS with an error")),
        _ => Err(Failure::unknown("what answers is not a PostgreSQL server")),
    }
}

async fn handshake(stream: Box<dyn Stream>, config: ClientConfig, host: &str) -> Result<Tls, Failure> {
    let connect = MakeTlsConnect::<Box<dyn Stream>>::make_tls_connect(&mut MakeRustlsConnect::new(config), host);
    let Ok(connect) = connect;
    connect.connect(stream).await.map_err(|error| handshake_failure(&error))
}

/// Whether the link leaves no doubt who the server is, so that it may ask for the password in clear (LDAP and PAM
/// behind PostgreSQL do). `verify-ca` does leave one: with the machine's own CAs, anybody's server passes it.
pub(super) fn proves_the_server(mode: TlsMode, link: &Link) -> bool {
    matches!(link, Link::Tls(_)) && mode == TlsMode::VerifyFull
}
