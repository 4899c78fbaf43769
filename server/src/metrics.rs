//! What a monitoring system scrapes, as OpenMetrics text: numbers of the whole vault. There is no label and no name in
//! them, so that they tell nothing of one customer to who watches for another.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use claviger_api::Timestamp;
use claviger_api::wire::{StreamState, StreamStatus};
use claviger_service::Vault;
use claviger_service::backup::BackedUp;
use claviger_service::scrub::Scrubbed;
use claviger_service::upkeep::Seen;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type of OpenMetrics text.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Listens for scrapes.
pub fn listen(address: SocketAddr, vault: Arc<Vault>) -> io::Result<(SocketAddr, actix_web::dev::Server)> {
    let vault = web::Data::from(vault);
    let server = HttpServer::new(move || App::new().app_data(vault.clone()).route("/metrics", web::get().to(scrape)))
        .workers(1)
        .disable_signals()
        .bind(address)?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((bound, server.run()))
}

async fn scrape(vault: web::Data<Vault>) -> HttpResponse {
    let open = vault.open().ok();
    let ground = vault.ground();
    let streams: Vec<StreamStatus> = ground.streams.iter().map(|stream| stream.status()).collect();
    let streams = (!streams.is_empty()).then(|| Streams::of(&streams, ground.clock.now()));
    let scrubbed = open.as_ref().and_then(|open| open.scrubbed());
    let backups = open.as_ref().filter(|open| open.ground().backups.is_some());
    let backups = backups.map(|open| (open.last_backup(), open.backup_trouble().is_some()));
    match text(open.is_none(), open.and_then(|open| open.seen_in_upkeep()), streams, scrubbed, backups) {
        Ok(text) => HttpResponse::Ok().insert_header(("content-type", MEDIA_TYPE)).body(text),
        Err(_) => HttpResponse::InternalServerError().insert_header(ContentType::plaintext()).finish(),
    }
}

/// The streams of the audit log, all in one: who wants to know which of them it is asks `claviger status`.
#[derive(Debug, Clone, Copy, Default)]
struct Streams {
    broken: u64,
    behind: u64,
    behind_seconds: u64,
}

impl Streams {
    fn of(streams: &[StreamStatus], now: Timestamp) -> Self {
        let mut all = Self::default();
        for stream in streams {
            all.broken += u64::from(stream.state == StreamState::Broken);
            all.behind = all.behind.max(stream.behind);
            let since = stream.behind_since.map_or(0, |since| now.duration_since(since).as_secs());
            all.behind_seconds = all.behind_seconds.max(u64::try_from(since).unwrap_or(0));
        }
        all
    }
}

/// The numbers as they are. What a sealed vault cannot know is not there, rather than 0.
fn text(
    sealed: bool,
    seen: Option<Seen>,
    streams: Option<Streams>,
    scrubbed: Option<Scrubbed>,
    backups: Option<(Option<BackedUp>, bool)>,
) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::with_prefix("claviger");
    let mut number = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<u64, AtomicU64>::default();
        gauge.set(value);
        registry.register(name, help, gauge);
    };
    number("sealed", "Whether the vault is sealed", u64::from(sealed));
    if let Some(seen) = seen {
        let at = u64::try_from(seen.at.as_second()).unwrap_or_default();
        number("upkeep_looked_at_seconds", "When the vault last looked at all accounts, in Unix time", at);
        number("accounts_overdue", "Accounts whose rotation was due a day ago or more", seen.overdue);
        number("accounts_drifted", "Accounts whose stored secret the system refuses", seen.drifted);
        number(
            "accounts_unresolved",
            "Accounts with a rotation that waits for its system or a person",
            seen.unresolved,
        );
        number("accounts_with_dependents_behind", "Accounts that others wait for the secret of", seen.behind);
    }
    if let Some(streams) = streams.filter(|_| !sealed) {
        number("streams_broken", "Streams of the audit log that do not deliver", streams.broken);
        number("stream_behind_entries", "The most entries that a stream is behind its logs", streams.behind);
        number("stream_behind_seconds", "The age of the oldest entry that is not received", streams.behind_seconds);
    }
    if let Some(scrubbed) = scrubbed {
        if scrubbed.whole {
            let at = u64::try_from(scrubbed.at.as_second()).unwrap_or_default();
            number("store_checked_at_seconds", "Of which moment the last check of the store tells, in Unix time", at);
        }
        number("store_faults", "What the last check of the store found that is not as it should be", scrubbed.faults);
    }
    if let Some((last, failing)) = backups {
        // Without any, the age is that of 1970: whoever watches for old ones is told.
        let at = last.and_then(|last| u64::try_from(last.at.as_second()).ok()).unwrap_or(0);
        number("backup_taken_at_seconds", "Of which moment the last backup tells, in Unix time", at);
        number("backup_failing", "Whether the last try to take a backup failed", u64::from(failing));
    }
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_nothing_else() {
        let seen = Seen { at: Timestamp::UNIX_EPOCH, overdue: 1, drifted: 2, unresolved: 3, behind: 4 };
        let scrubbed = Scrubbed { at: Timestamp::UNIX_EPOCH, faults: 2, whole: true };
        let streams = Streams { broken: 1, behind: 20, behind_seconds: 300 };
        let text_of = text(false, Some(seen), Some(streams), Some(scrubbed), Some((None, true))).unwrap();
        let lines: Vec<&str> = text_of.lines().filter(|line| !line.starts_with('#')).collect();
        let wanted = [
            "claviger_sealed 0",
            "claviger_upkeep_looked_at_seconds 0",
            "claviger_accounts_overdue 1",
            "claviger_accounts_drifted 2",
            "claviger_accounts_unresolved 3",
            "claviger_accounts_with_dependents_behind 4",
            "claviger_streams_broken 1",
            "claviger_stream_behind_entries 20",
            "claviger_stream_behind_seconds 300",
            "claviger_store_checked_at_seconds 0",
            "claviger_store_faults 2",
            "claviger_backup_taken_at_seconds 0",
            "claviger_backup_failing 1",
        ];
        assert_eq!(lines, wanted, "a name and a number each");
        let sealed = text(true, None, Some(streams), None, None).unwrap();
        assert!(
            sealed.contains("claviger_sealed 1\n") && sealed.lines().filter(|line| !line.starts_with('#')).count() == 1,
            "{sealed}"
        );
    }
}
