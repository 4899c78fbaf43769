//! A vault behind TLS that asks clients for certificates of a CA.

use std::path::PathBuf;
use std::sync::Arc;

use claviger_api::UserName;
use claviger_api::wire::{CertificatePin, Conditions, GrantKind, NewGrant, NewServiceAccount, Role};
use claviger_client::{Builder, Client, Retries};
use claviger_server::config::TlsFiles;
use claviger_server::{Config, Running, ground, start_on};
use claviger_store::MemoryStore;
use claviger_tests::people::{GRANT_SECONDS, People};
use claviger_tests::pki::{Ca, Issued};
use claviger_tests::server::config_text;
use tempfile::TempDir;

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
        let client_ca = Some(write("clients.pem", &ca.pem));
        let config = Config { tls: Some(TlsFiles { certificate, key, client_ca }), ..config };
        let running = start_on(&config, ground(&config, Arc::new(store)).unwrap()).await.unwrap();
        running.vault.unseal(&people.share, None).await.unwrap();
        let server_ca = write("server-ca.pem", &server_ca.pem);
        Self { folder, server_ca, running }
    }

    pub fn address(&self) -> String {
        format!("https://{}", self.running.address)
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
