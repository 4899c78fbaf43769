//! Certificate authorities of the tests' own, and what they issue.

#![expect(clippy::unwrap_used, reason = "a test without its certificates cannot go on")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// A certificate authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub pem: String,
}

/// A certificate and its private key, in PEM.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its SHA-256.
    pub thumbprint: claviger_api::wire::Thumbprint,
    /// The private key.
    pub key: String,
}

impl Ca {
    /// A new one of this name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's certificate for this machine.
    pub fn server(&self) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, "server", &["localhost", "127.0.0.1"], |_| {})
    }

    /// A server's certificate for this machine, that ended long ago.
    pub fn expired_server(&self) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, "server", &["localhost", "127.0.0.1"], |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    /// A client's certificate: its common name, and its alternative names, those with a colon as URIs.
    pub fn client(&self, common_name: &str, names: &[&str]) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, common_name, names, |_| {})
    }

    /// A client's certificate that ended long ago.
    pub fn expired_client(&self, names: &[&str]) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, "x", names, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    /// What is not for clients, with these alternative names.
    pub fn server_named(&self, names: &[&str]) -> Issued {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, "x", names, |_| {})
    }

    fn issue(
        &self,
        purpose: ExtendedKeyUsagePurpose,
        common_name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let (uris, plain): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains(':'));
        let mut params = CertificateParams::new(plain.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        params.subject_alt_names.extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![purpose];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let thumbprint = claviger_api::wire::Thumbprint::of(made.der());
        Issued { certificate: made.pem(), thumbprint, key: key.serialize_pem() }
    }
}

impl Issued {
    /// A server's side of TLS with this certificate; it asks for none of a client's.
    pub fn acceptor(&self) -> TlsAcceptor {
        let chain = vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        TlsAcceptor::from(Arc::new(config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()))
    }

    /// Certificate and key in one text.
    pub fn identity(&self) -> String {
        format!("{}{}", self.key, self.certificate)
    }

    /// Writes both into files of this folder, the key for its owner alone.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")));
        fs::write(&certificate, &self.certificate).unwrap();
        fs::write(&key, &self.key).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (certificate, key)
    }
}
