//! A certificate of one's own making: a CA that stays, and a server certificate that each start makes anew.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::DevError;
use crate::private;

const CA_NAME: &str = "Claviger for trying out";

/// Makes `ca.pem` where there is none, and `certificate.pem` with `key.pem` for this address and for localhost.
pub fn make(directory: &Path, listen: IpAddr) -> Result<(), DevError> {
    let issuer = authority(directory)?;
    let mut names = vec!["localhost".to_owned()];
    for address in [listen, IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        if !address.is_unspecified() && !names.contains(&address.to_string()) {
            names.push(address.to_string());
        }
    }
    let mut server = CertificateParams::new(names)?;
    server.distinguished_name.push(DnType::CommonName, "claviger-server --dev");
    server.use_authority_key_identifier_extension = true;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    private::write(&directory.join("certificate.pem"), certificate.pem().as_bytes())?;
    Ok(private::write(&directory.join("key.pem"), key.serialize_pem().as_bytes())?)
}

/// The CA: always of the same name, by its own key.
fn authority(directory: &Path) -> Result<Issuer<'static, KeyPair>, DevError> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, CA_NAME);
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let (certificate, key) = (directory.join("ca.pem"), directory.join("ca-key.pem"));
    if certificate.exists() && key.exists() {
        return Ok(Issuer::new(ca, KeyPair::from_pem(&private::read(&key)?)?));
    }
    let pair = KeyPair::generate()?;
    private::write(&key, pair.serialize_pem().as_bytes())?;
    private::write(&certificate, ca.self_signed(&pair)?.pem().as_bytes())?;
    Ok(Issuer::new(ca, pair))
}
