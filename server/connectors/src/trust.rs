//! Whose certificates are believed.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why a CA certificate cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCa {
    /// No PEM, or no certificate in it.
    #[error("the CA certificate cannot be read; it is given in PEM")]
    Unreadable,
    /// Nothing there.
    #[error("the CA certificate holds no certificate; it is given in PEM")]
    Empty,
}

/// These CAs in PEM and no others; the machine's when there are none.
pub fn roots(ca_certificate: Option<&str>) -> Result<Arc<RootCertStore>, BadCa> {
    let Some(pem) = ca_certificate else { return Ok(machine_roots()) };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.ok().and_then(|der| store.add(der).ok());
        added.ok_or(BadCa::Unreadable)?;
    }
    if store.is_empty() { Err(BadCa::Empty) } else { Ok(Arc::new(store)) }
}

/// What the machine trusts, read once: a new CA on the machine wants a restart.
fn machine_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    }))
}
