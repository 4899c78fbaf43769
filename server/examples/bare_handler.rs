//! What actix-web alone can do: a handler over TLS that answers the same JSON to everybody, 468 bytes at `/` and as many as it is
//! told elsewhere. `make bench` holds the vault beside it.
//!
//! `bare_handler CERTIFICATE KEY BYTES` writes its port to standard output and serves until it is killed.

use std::io;
use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const SMALL_BYTES: usize = 468;

fn main() -> io::Result<()> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, key, bytes] = files.as_slice() else {
        return Err(io::Error::other("bare_handler CERTIFICATE KEY BYTES"));
    };
    let (tls, bytes) = (tls(certificate, key)?, bytes.parse().map_err(io::Error::other)?);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(tls, bytes))
}

async fn serve(tls: ServerConfig, bytes: usize) -> io::Result<()> {
    let server = HttpServer::new(move || {
        let small = web::get().to(|| async { answer(SMALL_BYTES) });
        let other = move || async move { answer(bytes) };
        App::new().route("/", small).route("/v1/checkouts/{checkout}/reveal", web::post().to(other))
    });
    let server = server.bind_rustls_0_23(("127.0.0.1", 0), tls)?;
    println!("{}", server.addrs().first().map_or(0, std::net::SocketAddr::port));
    server.run().await
}

fn answer(bytes: usize) -> HttpResponse {
    let frame = r#"{"text":""}"#;
    let text = "x".repeat(bytes.saturating_sub(frame.len()));
    HttpResponse::Ok().content_type(ContentType::json()).body(format!(r#"{{"text":"{text}"}}"#))
}

fn tls(certificate: &str, key: &str) -> io::Result<ServerConfig> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)
}
