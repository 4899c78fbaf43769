//! What a monitoring system scrapes, as OpenMetrics text: numbers of the whole vault. There is no label in them but the
//! bounds of a histogram, and no name, so that they tell nothing of one customer to who watches for another.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use claviger_api::Timestamp;
use claviger_api::wire::StreamStatus;
use claviger_service::Vault;

use crate::certificates::Certificates;

mod numbers;
mod traffic;

use numbers::{Disk, Numbers, OfOpen, Streams};
pub use traffic::Traffic;

/// The media type of OpenMetrics text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is looked at.
pub struct Watched {
    /// The vault.
    pub vault: Arc<Vault>,
    /// What is asked of it.
    pub traffic: Traffic,
    /// When the server started.
    pub started_at: Timestamp,
    /// The certificate that it shows, if it shows one.
    pub certificates: Option<Arc<Certificates>>,
    /// The directory of the store, where it is one.
    pub store_directory: Option<PathBuf>,
}

/// Listens for scrapes.
pub fn listen(address: SocketAddr, watched: Watched) -> io::Result<(SocketAddr, actix_web::dev::Server)> {
    let watched = web::Data::new(watched);
    let server = HttpServer::new(move || App::new().app_data(watched.clone()).route("/metrics", web::get().to(scrape)))
        .workers(1)
        .disable_signals()
        .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((bound, server.run()))
}

async fn scrape(watched: web::Data<Watched>) -> HttpResponse {
    match watched.numbers().await.text(&watched.traffic) {
        Ok(text) => HttpResponse::Ok().insert_header(("content-type", MEDIA_TYPE)).body(text),
        Err(_) => HttpResponse::InternalServerError().insert_header(ContentType::plaintext()).finish(),
    }
}

impl Watched {
    async fn numbers(&self) -> Numbers {
        let ground = self.vault.ground();
        let now = ground.clock.now();
        let open = match self.vault.open().ok() {
            Some(open) => Some(OfOpen {
                paused: open.paused().is_some(),
                seen: open.seen_in_upkeep(),
                published: open.published(),
                scrubbed: open.scrubbed(),
                backups: ground.backups.is_some().then(|| (open.last_backup(), open.backup_trouble().is_some())),
                kits: ground.kits.is_some().then(|| open.kits_seen()).flatten(),
                // A store that cannot be read is told of by what it fails.
                key_rotations: open.key_rotations_under_way().await.unwrap_or(0),
                due_since: open.due_since().await.ok().flatten(),
                streams: {
                    let streams: Vec<StreamStatus> = ground.streams.iter().map(|stream| stream.status()).collect();
                    (!streams.is_empty()).then(|| Streams::of(&streams, now))
                },
            }),
            None => None,
        };
        let disk = self.store_directory.as_ref().and_then(|directory| Disk::of(directory).ok());
        Numbers {
            now,
            started_at: self.started_at,
            single_copy: ground.escrow.is_none(),
            escrow_trouble: ground.escrow.as_ref().map(|escrow| escrow.status().trouble.is_some()),
            certificate: self.certificates.as_ref().map(|shown| (shown.ends_at(), shown.is_refused())),
            disk,
            hsm_failing: self.vault.seal_status().await.ok().and_then(|status| status.hsm).map(|hsm| hsm.is_failing()),
            open,
        }
    }
}
