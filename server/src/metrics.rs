//! What a monitoring system scrapes, as OpenMetrics text: numbers of the whole vault. There is no label and no name in
//! them, so that they tell nothing of one customer to who watches for another.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use claviger_service::Vault;
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
    match text(open.is_none(), open.and_then(|open| open.seen_in_upkeep())) {
        Ok(text) => HttpResponse::Ok().insert_header(("content-type", MEDIA_TYPE)).body(text),
        Err(_) => HttpResponse::InternalServerError().insert_header(ContentType::plaintext()).finish(),
    }
}

/// The numbers as they are. What a sealed vault cannot know is not there, rather than 0.
fn text(sealed: bool, seen: Option<Seen>) -> Result<String, std::fmt::Error> {
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
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_nothing_else() {
        let seen = Seen { at: claviger_api::Timestamp::UNIX_EPOCH, overdue: 1, drifted: 2, unresolved: 3, behind: 4 };
        let text_of = text(false, Some(seen)).unwrap();
        let lines: Vec<&str> = text_of.lines().filter(|line| !line.starts_with('#')).collect();
        let wanted = [
            "claviger_sealed 0",
            "claviger_upkeep_looked_at_seconds 0",
            "claviger_accounts_overdue 1",
            "claviger_accounts_drifted 2",
            "claviger_accounts_unresolved 3",
            "claviger_accounts_with_dependents_behind 4",
        ];
        assert_eq!(lines, wanted, "a name and a number each");
        let sealed = text(true, None).unwrap();
        assert!(sealed.contains("claviger_sealed 1\n") && !sealed.contains("overdue"), "{sealed}");
    }
}
