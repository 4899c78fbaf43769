//! Where a request comes from: the address, and the client certificate of its connection.

use std::net::IpAddr;
use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_api::wire::{CertificatePin, Network, Thumbprint};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Where a request comes from.
#[derive(Clone, Default)]
pub struct Origin {
    /// The address to blame.
    pub source: Option<IpAddr>,
    /// The client certificate of the connection. TLS has proven that its key is at the other end, and that one of the
    /// server's `client_ca` has signed it.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// What counts of a client certificate. Its subject does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its SHA-256.
    pub thumbprint: Thumbprint,
    /// The DNS names among its alternative names.
    pub dns_names: Vec<String>,
    /// The URIs among its alternative names.
    pub uris: Vec<String>,
    /// It is good from then on.
    pub not_before: Timestamp,
    /// It is good until then.
    pub not_after: Timestamp,
}

impl Origin {
    /// From this address, without a certificate.
    pub fn of(source: Option<IpAddr>) -> Self {
        Self { source, certificate: None }
    }

    /// Whether it is in one of the networks; in none when there are none to be in. Who has no address is nowhere.
    pub fn is_within(&self, networks: &[Network]) -> bool {
        let holds = |source: IpAddr| networks.iter().any(|network| network.contains(source));
        networks.is_empty() || self.source.is_some_and(holds)
    }
}

impl ClientCertificate {
    /// Reads a certificate whose chain and key were verified.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let time = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
        let validity = certificate.validity();
        let mut read = Self {
            thumbprint: Thumbprint::of(der),
            dns_names: Vec::new(),
            uris: Vec::new(),
            not_before: time(validity.not_before)?,
            not_after: time(validity.not_after)?,
        };
        let names = certificate.subject_alternative_name().ok()?;
        for name in names.iter().flat_map(|extension| &extension.value.general_names) {
            if let GeneralName::DNSName(name) = name {
                read.dns_names.push((*name).to_owned());
            } else if let GeneralName::URI(uri) = name {
                read.uris.push((*uri).to_owned());
            }
        }
        rest.is_empty().then_some(read)
    }

    /// Whether it is the one, or one of those, that the pin tells.
    pub fn fits(&self, pin: &CertificatePin) -> bool {
        match pin {
            CertificatePin::Thumbprint(thumbprint) => self.thumbprint == *thumbprint,
            CertificatePin::Dns(name) => self.dns_names.iter().any(|own| own == name.as_str()),
            CertificatePin::Uri(uri) => self.uris.iter().any(|own| own == uri.as_str()),
        }
    }

    /// Whether it is good now. The connection may be older than its end.
    pub fn is_good(&self, now: Timestamp) -> bool {
        (self.not_before..self.not_after).contains(&now)
    }
}
