//! The main job on a real PostgreSQL: an administrator's account checked out, used, checked in and rotated, and the
//! proof that what was seen no longer works.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so")]

#[path = "main_job/access.rs"]
mod access;
#[path = "main_job/active_directory.rs"]
mod active_directory;
#[path = "main_job/approval.rs"]
mod approval;
#[path = "main_job/backup.rs"]
mod backup;
#[path = "main_job/break_glass.rs"]
mod break_glass;
#[path = "main_job/certificate.rs"]
mod certificate;
#[path = "main_job/customer_key.rs"]
mod customer_key;
#[path = "main_job/dependents.rs"]
mod dependents;
#[path = "main_job/discovery.rs"]
mod discovery;
#[path = "main_job/ephemeral.rs"]
mod ephemeral;
#[path = "main_job/escrow.rs"]
mod escrow;
#[path = "main_job/expiry.rs"]
mod expiry;
#[path = "main_job/following.rs"]
mod following;
#[path = "main_job/http.rs"]
mod http;
#[path = "main_job/hygiene.rs"]
mod hygiene;
#[path = "main_job/kit.rs"]
mod kit;
#[path = "main_job/life.rs"]
mod life;
#[path = "main_job/limits.rs"]
mod limits;
#[path = "main_job/linux.rs"]
mod linux;
#[path = "main_job/lock.rs"]
mod lock;
#[path = "main_job/manual.rs"]
mod manual;
#[path = "main_job/mariadb.rs"]
mod mariadb;
#[path = "main_job/people.rs"]
mod people;
#[path = "main_job/program.rs"]
mod program;
#[path = "main_job/rekey.rs"]
mod rekey;
#[path = "main_job/review.rs"]
mod review;
#[path = "main_job/rollback.rs"]
mod rollback;
#[path = "main_job/scrub.rs"]
mod scrub;
#[path = "main_job/shared.rs"]
mod shared;
#[path = "main_job/standing.rs"]
mod standing;
#[path = "main_job/streams.rs"]
mod streams;
#[path = "main_job/traces.rs"]
mod traces;
#[path = "main_job/witness.rs"]
mod witness;

use std::time::Duration;

use claviger_tests::inventory::{add_customer, add_postgres};
use claviger_tests::postgres::Postgres;
use claviger_tests::server::Launch;
use claviger_tests::vault::Vault;

/// Longer than any rotation on a loaded machine.
const SOON: Duration = Duration::from_mins(1);

/// A vault, a system, and a customer whose system it is.
struct House {
    vault: Vault,
    postgres: Postgres,
}

impl House {
    async fn start() -> Self {
        Self::start_with(&Launch::default()).await
    }

    /// The same, with a server that is started like this.
    async fn start_with(launch: &Launch) -> Self {
        let postgres = Postgres::start().await;
        let vault = Vault::start_with(launch).await;
        let administrator = vault.administrator();
        add_customer(&administrator, "acme").await;
        add_postgres(&administrator, "acme", "db01", &postgres).await;
        Self { vault, postgres }
    }
}
