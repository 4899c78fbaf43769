//! TLS: rustls on aws-lc-rs, versions 1.2 and 1.3; and the certificates that clients show.

use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use claviger_service::ClientCertificate;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};

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
    /// The key is open to others.
    #[error(transparent)]
    Key(#[from] PrivateError),
    /// Certificate and key do not fit, or cannot be used.
    #[error("the certificate and its key cannot be used: {0}")]
    Unfit(#[from] rustls::Error),
    /// A CA of client certificates cannot be one.
    #[error("{} cannot be used to check client certificates: {why}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What a server shows and speaks.
pub fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let unread = |path: &PathBuf| {
        let path = path.clone();
        move |source| TlsError::Pem { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate).map_err(unread(&files.certificate))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(unread(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(files.certificate.clone()));
    }
    closed(&files.key)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unread(&files.key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = match &files.client_ca {
        Some(path) => clients_of(path, &provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    Ok(config)
}

/// Asks clients for a certificate of these CAs; people have none. A certificate that is shown must be good: of one of the
/// CAs, in its time, for clients, and its key at the other end; else there is no connection.
fn clients_of(path: &PathBuf, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let unread = |source| TlsError::Pem { path: path.clone(), source };
    let unfit = |why: String| TlsError::ClientCa { path: path.clone(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
        roots.add(certificate.map_err(unread)?).map_err(|error| unfit(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty(path.clone()));
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    verifier.allow_unauthenticated().build().map_err(|error| unfit(error.to_string()))
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
