//! TLS as libpq does it: the same five modes, the same negotiation.
//!
//! One difference: a certificate's common name is never taken for a host name (RFC 6125 §6.4.4; libpq still does when
//! a certificate has no alternative names).

use std::sync::Arc;

use claviger_api::wire::{ProbeResult, TlsMode};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::wire::{Link, Tls};
use super::{Failure, Target};
use crate::{Stream, trust};

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
        ([b'N'], TlsMode::Prefer) => Ok(Link::Plain(stream)),
        ([b'N'], TlsMode::Require | TlsMode::Disable) => Err(Failure::unknown("the server offers no TLS")),
        ([b'N'], TlsMode::VerifyCa | TlsMode::VerifyFull) => {
            Err(Failure::host_mismatch("the server does not prove who it is: it offers no TLS"))
        }
        // The text of an error is not shown: nobody knows yet who wrote it (CVE-2024-10977).
        ([b'E'], _) => Err(Failure::unreachable("the server answered the request for TLS with an error")),
        _ => Err(Failure::unknown("what answers is not a PostgreSQL server")),
    }
}

async fn handshake(stream: Box<dyn Stream>, config: ClientConfig, host: &str) -> Result<Tls, Failure> {
    let connect = MakeTlsConnect::<Box<dyn Stream>>::make_tls_connect(&mut MakeRustlsConnect::new(config), host);
    let Ok(connect) = connect;
    connect.connect(stream).await.map_err(|error| {
        let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match reason {
            Some(rustls::Error::InvalidCertificate(why)) => {
                Failure::host_mismatch(format!("the server's certificate is not the one that was expected: {why}"))
            }
            Some(other) => Failure::unknown(format!("no TLS with the server: {other}")),
            None if error.kind() == std::io::ErrorKind::InvalidInput => {
                Failure::host_mismatch("no certificate can be made out to a host of this name")
            }
            None => Failure::io(&error),
        }
    })
}

fn client_config(mode: TlsMode, ca_certificate: Option<&str>) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::unknown(error.to_string()))?;
    Ok(match mode {
        TlsMode::VerifyFull => builder.with_root_certificates(roots(ca_certificate)?).with_no_client_auth(),
        TlsMode::VerifyCa => {
            let verifier = Lenient::new(&provider, Some(roots(ca_certificate)?));
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => {
            let verifier = Lenient::new(&provider, None);
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    })
}

fn roots(ca_certificate: Option<&str>) -> Result<Arc<RootCertStore>, Failure> {
    trust::roots(ca_certificate).map_err(|error| Failure::unknown(format!("of the system: {error}")))
}

/// What verifies less than a name: the chain alone (`verify-ca`), or only that the server holds the key of the
/// certificate it shows (`prefer`, `require`).
#[derive(Debug)]
struct Lenient {
    roots: Option<Arc<RootCertStore>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Lenient {
    fn new(provider: &CryptoProvider, roots: Option<Arc<RootCertStore>>) -> Arc<Self> {
        Arc::new(Self { roots, algorithms: provider.signature_verification_algorithms })
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, self.algorithms.all)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the link leaves no doubt who the server is, so that it may ask for the password in clear (LDAP and PAM
/// behind PostgreSQL do). `verify-ca` does leave one: with the machine's own CAs, anybody's server passes it.
pub(super) fn proves_the_server(mode: TlsMode, link: &Link) -> bool {
    matches!(link, Link::Tls(_)) && mode == TlsMode::VerifyFull
}

impl Failure {
    fn host_mismatch(detail: impl Into<String>) -> Self {
        Self { result: ProbeResult::HostMismatch, detail: detail.into() }
    }
}
