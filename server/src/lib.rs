//! HTTP, configuration and wiring. The only crate that names actix-web.
//!
//! `claviger-server run` is [`start`] and a wait for a signal; tests call [`start`] in their own process.

mod anchor;
mod backups;
mod certificates;
pub mod config;
pub mod dev;
pub mod escrow;
mod hsm;
mod http;
pub mod kits;
pub mod logging;
pub mod manager;
mod metrics;
pub mod migrate;
mod private;
pub mod restore;
mod running;
mod shelf;
mod store;
mod streams;
mod tls;
mod traces;
mod witness;

pub use config::Config;
pub use running::{Running, StartError, Stopped, ground, start, start_on};
pub use store::StoreError;

/// The API's description (OpenAPI 3.1), as `/openapi.json` gives it.
pub fn openapi() -> Result<String, serde_json::Error> {
    http::openapi::document().to_pretty_json()
}

/// Looks at the files that a configuration names, and at the policy files that the server was built with. What is not on
/// this machine is noted, what is wrong refused.
pub fn check_files(config: &Config) -> Result<Vec<String>, StartError> {
    let mut notes = Vec::new();
    claviger_core::policy::Policies::built_in()?.validate()?;
    match &config.tls {
        Some(files) if files.exist() => drop(tls::server_config(files)?),
        Some(_) => notes.push("a certificate or the key is not on this machine, and none was checked".to_owned()),
        None => {}
    }
    if config.data_directory.exists() {
        private::closed(&config.data_directory)?;
    } else {
        notes.push(format!("{} does not exist yet; it will be made", config.data_directory.display()));
    }
    for directory in config.audit.archive_directory.iter().filter(|directory| directory.exists()) {
        private::closed(directory)?;
    }
    for directory in config.audit.anchor_directories().filter(|directory| directory.exists()) {
        private::closed(directory)?;
    }
    config.store.check_files(&mut notes)?;
    if let Some(backup) = &config.backup {
        backup.check_files(&mut notes)?;
    }
    if let Some(kits) = &config.kits {
        kits.check_files(&mut notes)?;
    }
    if let Some(escrow) = &config.escrow {
        escrow.check_files(&mut notes)?;
    }
    if let Some(hsm) = &config.seal.pkcs11 {
        hsm.check_files(&mut notes)?;
    }
    for stream in &config.audit.streams {
        stream.check_files(&mut notes)?;
    }
    Ok(notes)
}
