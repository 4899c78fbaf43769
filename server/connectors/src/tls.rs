//! TLS to a system, in the five modes that libpq has.
//!
//! One difference: a certificate's common name is never taken for a host name (RFC 6125 §6.4.4; libpq still does when
//! a certificate has no alternative names).

use std::io;
use std::sync::Arc;

use claviger_api::wire::TlsMode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use crate::failure::Failure;
use crate::{Stream, trust};

/// TLS over an open connection, with whom the configuration says.
pub(crate) async fn handshake(
    stream: Box<dyn Stream>,
    config: ClientConfig,
    host: &str,
) -> Result<Box<dyn Stream>, Failure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| no_such_name())?;
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(handshake_failure(&error)),
    }
}

/// Why a handshake failed.
pub(crate) fn handshake_failure(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            Failure::host_mismatch(format!("the server's certificate is not the one that was expected: {why}"))
        }
        Some(other) => Failure::unknown(format!("no TLS with the server: {other}")),
        None if error.kind() == io::ErrorKind::InvalidInput => no_such_name(),
        None => Failure::io(error),
    }
}

/// What it means that a server offers no TLS; nothing, where the mode goes on without.
pub(crate) fn without(mode: TlsMode) -> Result<(), Failure> {
    match mode {
        TlsMode::Disable | TlsMode::Prefer => Ok(()),
        TlsMode::Require => Err(Failure::unknown("the server offers no TLS")),
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            Err(Failure::host_mismatch("the server does not prove who it is: it offers no TLS"))
        }
    }
}

fn no_such_name() -> Failure {
    Failure::host_mismatch("no certificate can be made out to a host of this name")
}

/// How the mode checks whom it leads to.
pub(crate) fn client_config(mode: TlsMode, ca_certificate: Option<&str>) -> Result<ClientConfig, Failure> {
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
