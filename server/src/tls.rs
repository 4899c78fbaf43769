//! TLS: rustls on aws-lc-rs, versions 1.2 and 1.3.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};

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
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(config)
}
