//! What bad input gets, over real HTTP and from the command line: a problem of the table, its status, a message that
//! says what to do, an exit code; and nothing is lost, and no half of anything stays.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

#[path = "bad_input/crowd.rs"]
mod crowd;
#[path = "bad_input/exits.rs"]
mod exits;
#[path = "bad_input/life.rs"]
mod life;
#[path = "bad_input/one_source.rs"]
mod one_source;
#[path = "bad_input/requests.rs"]
mod requests;
#[path = "bad_input/seal.rs"]
mod seal;
#[path = "bad_input/systems.rs"]
mod systems;

use claviger_api::{AccountPath, ProblemType};
use claviger_tests::inventory::{add_customer, add_postgres, add_role};
use claviger_tests::postgres::Postgres;
use claviger_tests::raw::{Raw, Reply};
use claviger_tests::vault::Vault;
use serde_json::Value;

/// A vault, a system, a customer, and an account.
struct House {
    vault: Vault,
    postgres: Postgres,
    account: AccountPath,
}

impl House {
    async fn start() -> Self {
        let postgres = Postgres::start().await;
        let vault = Vault::start().await;
        let administrator = vault.administrator();
        add_customer(&administrator, "acme").await;
        add_postgres(&administrator, "acme", "db01", &postgres).await;
        let account = add_role(&administrator, &postgres, "acme/db01/admin").await;
        Self { vault, postgres, account }
    }

    fn administrator(&self) -> Raw {
        Raw::with_token(self.vault.address(), self.vault.people.administrator.token())
    }

    fn technician(&self) -> Raw {
        Raw::with_token(self.vault.address(), self.vault.people.technician.token())
    }

    /// Everything there is, as the administrator sees it.
    async fn everything(&self) -> Vec<Value> {
        let mut seen = Vec::new();
        for path in [
            "/v1/customers",
            "/v1/customers/acme/systems",
            "/v1/customers/acme/accounts",
            "/v1/checkouts?customer=acme",
            "/v1/rotations?customer=acme",
            "/v1/users",
            "/v1/service-accounts",
            "/v1/grants",
        ] {
            seen.push(self.administrator().get(path).await.success());
        }
        seen
    }
}

/// The reply is this problem, with its status, and says this.
#[track_caller]
fn is(reply: &Reply, problem: ProblemType, says: &str) {
    let document = reply.problem();
    let row = problem.row();
    assert_eq!((document.problem_type(), document.status), (Some(problem), row.status), "{}", reply.text());
    assert_eq!(document.title, row.title);
    assert!(document.instance.as_deref().is_some_and(|id| id.starts_with("rq_")), "{}", reply.text());
    let errors = document.errors.iter().map(|error| format!(" {}: {}", error.at, error.message));
    let told = document.detail.clone() + &errors.collect::<String>();
    assert!(told.contains(says), "{:?} does not say {says:?}: {}", row.code, reply.text());
}
