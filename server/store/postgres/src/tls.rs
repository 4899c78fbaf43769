//! The server's certificate is for its host name and signed by the CA that was named, or nothing is said to it.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::OpenError;

pub(crate) fn verify_full(ca_certificate: Option<&str>) -> Result<MakeRustlsConnect, OpenError> {
    let roots = match ca_certificate {
        Some(pem) => named(pem)?,
        None => the_machines(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| OpenError::Settings(format!("TLS cannot be set up: {error}")))?;
    Ok(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn named(pem: &str) -> Result<RootCertStore, OpenError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate.ok().and_then(|der| roots.add(der).ok());
        added.ok_or_else(|| OpenError::Settings("the CA certificate cannot be read; it is given in PEM".to_owned()))?;
    }
    if roots.is_empty() {
        return Err(OpenError::Settings("the CA certificate holds no certificate; it is given in PEM".to_owned()));
    }
    Ok(roots)
}

fn the_machines() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_is_a_certificate_in_pem() {
        let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        assert!(verify_full(Some(&pem)).is_ok());
        assert!(verify_full(Some(&format!("{pem}{pem}"))).is_ok());
        let broken = pem.replacen("MII", "MI!", 1);
        for wrong in ["", "no PEM at all", key.as_str(), broken.as_str()] {
            assert!(matches!(verify_full(Some(wrong)), Err(OpenError::Settings(_))), "{wrong}");
        }
        assert!(verify_full(None).is_ok());
    }
}
