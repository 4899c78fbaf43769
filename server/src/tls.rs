//! TLS: rustls on aws-lc-rs, versions 1.2 and 1.3; and the certificates that clients show.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use claviger_api::Timestamp;
use claviger_service::ClientCertificate;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::certificates::{Certificates, Clients};
use crate::config::TlsFiles;
use crate::private::{PrivateError, closed};

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is no PEM of the right kind, or is not there.
    #[error("{} is not read: {source}; it must be PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// The certificate file is empty of certificates.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// It is of the past.
    #[error("the certificate in {} ended at {ended}: put a new one there", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// When.
        ended: Timestamp,
    },
    /// The key is open to others.
    #[error(transparent)]
    Key(#[from] PrivateError),
    /// Certificate and key do not fit, or cannot be used.
    #[error("the certificate and its key cannot be used: {0}")]
    Unfit(#[from] rustls::Error),
    /// A CA cannot be one.
    #[error("{} cannot be used to check certificates: {why}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What a server shows and speaks, and the certificate, which can be renewed.
pub fn server_config(files: &TlsFiles) -> Result<(ServerConfig, Arc<Certificates>), TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = Certificates::read(files, Arc::clone(&provider))?;
    let clients: Arc<dyn ClientCertVerifier> = match files.client_ca {
        Some(_) => Arc::new(Clients(certificates.clone())),
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificates.clone());
    if files.client_ca.is_some() {
        // A session that is resumed brings its certificate along, unread: of a CA, it may be, that is trusted no more.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok((config, certificates))
}

/// What a client shows and believes: these CAs and no others, and its own certificate and key where it has them.
pub fn client_config(ca: &Path, own: Option<(&Path, &Path)>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots(ca)?);
    let Some((certificate, key)) = own else { return Ok(config.with_no_client_auth()) };
    let (chain, key) = identity(certificate, key)?;
    Ok(config.with_client_auth_cert(chain, key)?)
}

/// A certificate chain, and its key, which is closed to others.
pub fn identity(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(unread(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(certificate.to_owned()));
    }
    closed(key)?;
    Ok((chain, PrivateKeyDer::from_pem_file(key).map_err(unread(key))?))
}

fn roots(ca: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(unread(ca))? {
        let added = roots.add(certificate.map_err(unread(ca))?);
        added.map_err(|error| TlsError::Ca { path: ca.to_owned(), why: error.to_string() })?;
    }
    if roots.is_empty() { Err(TlsError::Empty(ca.to_owned())) } else { Ok(roots) }
}

impl TlsError {
    /// A file that cannot be read.
    pub fn unread(path: &Path, source: std::io::Error) -> Self {
        Self::Pem { path: path.to_owned(), source: pem::Error::Io(source) }
    }
}

fn unread(path: &Path) -> impl FnOnce(pem::Error) -> TlsError {
    let path = path.to_owned();
    move |source| TlsError::Pem { path, source }
}

/// Asks clients for a certificate of these CAs; people have none. A certificate that is shown must be good: of one of the
/// CAs, in its time, for clients, and its key at the other end; else there is no connection.
pub(crate) fn clients_of(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), Arc::clone(provider));
    let verifier = verifier.allow_unauthenticated().build();
    verifier.map_err(|error| TlsError::Ca { path: path.to_owned(), why: error.to_string() })
}

/// What is kept of a connection's client certificate.
struct Peer(Option<Arc<ClientCertificate>>);

/// Keeps the client certificate of a new connection, if it has one.
pub fn keep_peer(connection: &dyn Any, data: &mut Extensions) {
    let Some(tls) = connection.downcast_ref::<TlsStream<TcpStream>>() else { return };
    let (_, session) = tls.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    data.insert(Peer(certificate.and_then(|der| ClientCertificate::from_der(der)).map(Arc::new)));
}

/// The client certificate of the connection that a request came over.
pub fn peer(request: &HttpRequest) -> Option<Arc<ClientCertificate>> {
    request.conn_data::<Peer>()?.0.clone()
}
