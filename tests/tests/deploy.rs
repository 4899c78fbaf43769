//! What `deploy/` holds, by the programs that it is for: systemd, Helm, Prometheus; and by what the server really says.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so"
)]

#[path = "deploy/alerts.rs"]
mod alerts;
#[path = "deploy/chart.rs"]
mod chart;
#[path = "deploy/files.rs"]
mod files;
#[path = "deploy/judges.rs"]
mod judges;
#[path = "deploy/life.rs"]
mod life;
#[path = "deploy/modes.rs"]
mod modes;
#[path = "deploy/runbooks.rs"]
mod runbooks;
#[path = "deploy/sbom.rs"]
mod sbom;
#[path = "deploy/service.rs"]
mod service;
#[path = "deploy/unit.rs"]
mod unit;
