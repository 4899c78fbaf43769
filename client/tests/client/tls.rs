//! Whoever cannot prove to be the server gets nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use claviger_client::{Client, Error, Exit};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

const HEALTH: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 53\r\n\r\n\
    {\"seal\":\"unsealed\",\"writable\":true,\"version\":\"0.1.0\"} ";

/// A TLS server with a certificate of its own for `name`; its address and its certificate in PEM.
fn server(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut socket = socket.unwrap();
            let mut stream = Stream::new(&mut connection, &mut socket);
            if stream.read(&mut [0; 4096]).is_ok() {
                let _ = stream.write_all(HEALTH);
            }
        }
    });
    (format!("https://127.0.0.1:{port}"), certificate.pem())
}

#[tokio::test]
async fn the_given_certificate_is_trusted_and_no_other() {
    let (address, pem) = server("127.0.0.1");
    let client = Client::builder().address(&address).ca_certificate_pem(pem).build().unwrap();
    assert_eq!(client.sys().health().await.unwrap().version, "0.1.0");

    let (_, another) = server("127.0.0.1");
    for builder in [Client::builder(), Client::builder().ca_certificate_pem(another)] {
        let error = builder.address(&address).build().unwrap().sys().health().await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        assert_eq!(error.exit(), Exit::Unavailable);
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (address, pem) = server("vault.example");
    let client = Client::builder().address(&address).ca_certificate_pem(pem).build().unwrap();
    let error = client.sys().health().await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[test]
fn a_file_that_is_no_certificate_is_refused_at_once() {
    let outcome = Client::builder().address("https://vault.example").ca_certificate_pem("nonsense").build();
    assert!(matches!(outcome.err(), Some(Error::Usage(_))));
}
