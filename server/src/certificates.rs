//! The certificate that is shown, the CAs that clients' certificates are held against, and how others take their place while
//! connections go on.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use claviger_api::Timestamp;
use claviger_service::{ClientCertificate, Clock};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error as RustlsError, SignatureScheme};
use tokio::sync::{Notify, watch};

use crate::config::TlsFiles;
use crate::tls::{TlsError, clients_of, identity};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The certificate, its key and the clients' CAs, as they were last read and found good.
pub struct Certificates {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    shown: RwLock<Shown>,
    refused: AtomicBool,
}

#[derive(Clone)]
struct Shown {
    key: Arc<CertifiedKey>,
    ends_at: Option<Timestamp>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    named: &'static [DistinguishedName],
}

/// Holds clients' certificates against the CAs as they were last read. Where there are none to be read, nobody is asked for one.
#[derive(Debug)]
pub struct Clients(pub Arc<Certificates>);

/// What is known of the files without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([Option<(u64, i64, i64, u64)>; 3]);

impl Certificates {
    /// Reads the files; what does not fit together is refused.
    pub fn read(files: &TlsFiles, provider: Arc<CryptoProvider>) -> Result<Arc<Self>, TlsError> {
        let shown = RwLock::new(Shown::read(files, &provider)?);
        Ok(Arc::new(Self { files: files.clone(), provider, shown, refused: AtomicBool::new(false) }))
    }

    /// Reads the files again. New connections are shown what is in them; those that there are go on. What cannot be used, or has
    /// ended, is refused, and the old one stays.
    pub fn renew(&self, now: Timestamp) -> Result<(), TlsError> {
        let read = Shown::read(&self.files, &self.provider).and_then(|shown| match shown.ends_at {
            Some(ended) if ended <= now => Err(TlsError::Ended { path: self.files.certificate.clone(), ended }),
            Some(_) | None => Ok(shown),
        });
        self.refused.store(read.is_err(), Ordering::Relaxed);
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = read?;
        Ok(())
    }

    fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the one that is shown ends.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.shown().ends_at
    }

    /// Whether the files hold what was refused.
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Renews it whenever the files have changed and then rested for a look, since two files are seldom replaced at once; and at
    /// once where somebody asks.
    pub async fn watch(self: Arc<Self>, clock: Arc<dyn Clock>, asked: Arc<Notify>, mut stopped: watch::Receiver<bool>) {
        let mut taken = self.stamp();
        let mut before = taken;
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            let at_once = tokio::select! {
                _ = looks.tick() => false,
                () = asked.notified() => true,
                _ = stopped.changed() => return,
            };
            let now = self.stamp();
            if at_once || (now != taken && now == before) {
                taken = now;
                self.renew_and_tell(clock.now());
            }
            before = now;
        }
    }

    fn renew_and_tell(&self, now: Timestamp) {
        match self.renew(now) {
            Ok(()) => tracing::info!(ends_at = ?self.ends_at(), "the certificate was read again"),
            Err(error) => {
                tracing::error!(%error, "the certificate was not taken: the one before it is shown on, until its end");
            }
        }
    }

    fn stamp(&self) -> Stamp {
        let of = |path: &Path| {
            let file = fs::metadata(path).ok()?;
            Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
        };
        Stamp([of(&self.files.certificate), of(&self.files.key), self.files.client_ca.as_deref().and_then(of)])
    }
}

impl Shown {
    fn read(files: &TlsFiles, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let (chain, key) = identity(&files.certificate, &files.key)?;
        let own = chain.first().and_then(|own| ClientCertificate::from_der(own));
        let key = CertifiedKey::from_der(chain, key, provider)?;
        let clients = files.client_ca.as_deref().map(|ca| clients_of(ca, provider)).transpose()?;
        // Whoever is asked for a certificate is told the CAs' names for as long as a handshake takes: they stay, some hundred bytes each
        // time that the files are read.
        let named = clients.as_ref().map_or(&[] as &[_], |clients| clients.root_hint_subjects().to_vec().leak());
        Ok(Self { key: Arc::new(key), ends_at: own.map(|own| own.not_after), clients, named })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().key)
    }
}

impl Clients {
    fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        self.0.shown().clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth)
    }
}

impl ClientCertVerifier for Clients {
    fn offer_client_auth(&self) -> bool {
        self.verifier().offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier().client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.shown().named
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        self.verifier().verify_client_cert(own, others, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.verifier().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.verifier().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier().supported_verify_schemes()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("files", &self.files).finish_non_exhaustive()
    }
}
