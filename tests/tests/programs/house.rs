//! A vault behind TLS that asks clients for certificates of a CA.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use claviger_api::UserName;
use claviger_api::wire::{CertificatePin, Conditions, GrantKind, NewGrant, NewServiceAccount, Role};
use claviger_client::{Builder, Client, Retries};
use claviger_server::config::TlsFiles;
use claviger_server::{Config, Running, ground, start_on};
use claviger_store::MemoryStore;
use claviger_tests::people::{GRANT_SECONDS, People};
use claviger_tests::pki::{Ca, Issued};
use claviger_tests::server::config_text;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The file of the clients' CAs.
const CLIENT_CA: &str = "clients.pem";

pub struct House {
    pub folder: TempDir,
    /// The CA of the server.
    pub server_ca: PathBuf,
    running: Running,
}

impl House {
    /// The service accounts of this vault log in by these certificates; each may read what happened at `acme`.
    pub async fn start(ca: &Ca, programs: &[(&str, CertificatePin)]) -> Self {
        let folder = TempDir::with_prefix("claviger-tls-").unwrap();
        let config = Config::parse(&config_text(folder.path(), "warn")).unwrap();
        let store = MemoryStore::new();
        // People have no certificate of their own; what they do is done before TLS begins.
        let plain = start_on(&config, ground(&config, Arc::new(store.clone())).unwrap()).await.unwrap();
        let address = format!("http://{}", plain.address);
        let people = People::found(&address).await;
        let administrator = people.administrator.client(&address);
        claviger_tests::inventory::add_customer(&administrator, "acme").await;
        for (name, pin) in programs {
            add_program(&administrator, name.parse().unwrap(), pin.clone()).await;
        }
        plain.stop().await;

        let server_ca = Ca::new("the server's CA");
        let (certificate, key) = server_ca.server().write(folder.path(), "server");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let client_ca = Some(write(CLIENT_CA, &ca.pem));
        let config = Config { tls: Some(TlsFiles { certificate, key, client_ca }), ..config };
        let running = start_on(&config, ground(&config, Arc::new(store)).unwrap()).await.unwrap();
        running.vault.unseal(&people.share, None).await.unwrap();
        let server_ca = write("server-ca.pem", &server_ca.pem);
        Self { folder, server_ca, running }
    }

    pub fn address(&self) -> String {
        format!("https://{}", self.running.address)
    }

    /// From now on certificates of this CA are good, and no others; of a text that is none, those before it.
    pub async fn trust(&self, ca_pem: &str) {
        std::fs::write(self.folder.path().join(CLIENT_CA), ca_pem).unwrap();
        self.running.reload();
        // Nobody is told when it was read.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// What a connection begins with that shows this certificate; it remembers sessions, as programs do.
    pub fn tls(&self, issued: &Issued) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.server_ca).unwrap()).unwrap();
        let own = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_client_auth_cert(vec![own], key).unwrap();
        TlsConnector::from(Arc::new(config))
    }

    /// Whether a connection of these is answered.
    pub async fn answers(&self, tls: &TlsConnector) -> bool {
        let asked = async || {
            let stream = TcpStream::connect(self.running.address).await?;
            let mut connection = tls.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
            connection
                .write_all(b"GET /v1/sys/seal-status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .await?;
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).await?;
            Ok::<_, std::io::Error>(answer.starts_with(b"HTTP/1.1 200"))
        };
        asked().await.unwrap_or(false)
    }

    /// A client that shows this certificate.
    pub fn client(&self, issued: Option<&Issued>) -> Builder {
        let retries = Retries { attempts: 1, ..Retries::default() };
        let builder = Client::builder().address(self.address()).retries(retries);
        let builder = builder.ca_certificate_pem(std::fs::read(&self.server_ca).unwrap());
        match issued {
            Some(issued) => builder.identity_pem(issued.identity()),
            None => builder,
        }
    }

    /// The same, for requests that no client would send.
    pub fn http(&self, issued: Option<&Issued>) -> reqwest::Client {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&self.server_ca).unwrap()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([ca]);
        let builder = match issued {
            Some(issued) => builder.identity(reqwest::Identity::from_pem(issued.identity().as_bytes()).unwrap()),
            None => builder,
        };
        builder.build().unwrap()
    }
}

async fn add_program(administrator: &Client, name: UserName, pin: CertificatePin) {
    let new = NewServiceAccount {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        certificates: vec![pin],
        ..NewServiceAccount::without_login(name.clone())
    };
    assert!(administrator.service_accounts().add(&new).await.unwrap().token.is_none());
    let grant = NewGrant {
        spans_customers: false,
        principal: name,
        kind: GrantKind::MayUse,
        role: Role::CustomerAuditor,
        scope: "acme".parse().unwrap(),
        ttl_seconds: GRANT_SECONDS,
        max_checkout_seconds: None,
        conditions: Conditions::default(),
    };
    administrator.grants().add(&grant).await.unwrap();
}
