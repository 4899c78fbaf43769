//! The ways through the house, and what must be true at their ends.

use std::pin::Pin;

use claviger_api::AccountPath;
use claviger_client::Client;
use claviger_tests::inventory::{add_ephemeral, add_managed_role, add_role};
use claviger_tests::postgres::Postgres;
use serde_json::{Value, json};

use crate::walk::Walk;

/// Adds the way's account under a name of the case's own.
type Add = for<'a> fn(&'a Client, &'a Postgres, &'a str) -> Pin<Box<dyn Future<Output = AccountPath> + 'a>>;

/// One way.
pub struct Way {
    pub name: &'static str,
    pub add: Add,
    /// Steps that it is known to have: should one go missing from the log, nobody would crash there.
    pub least: &'static [&'static str],
    does: Does,
}

enum Does {
    /// Check out, reveal, check in.
    Use,
    /// Rotate on demand.
    Rotate,
}

const OF_A_ROTATION: &[&str] = &[
    "rotation.started",
    "rotation.candidate_stored",
    "rotation.sent",
    "rotation.outcome",
    "rotation.promoted",
    "rotation.old_refused",
];

pub const WAYS: &[Way] = &[
    Way {
        name: "standing",
        add: |administrator, postgres, name| {
            Box::pin(async move { add_role(administrator, postgres, &alone(name)).await })
        },
        least: &["checkout.activated", "checkout.revealed", "checkout.ended", "checkout.revocation_proven"],
        does: Does::Use,
    },
    Way {
        name: "itself",
        add: |administrator, postgres, name| {
            Box::pin(async move { add_role(administrator, postgres, &alone(name)).await })
        },
        least: OF_A_ROTATION,
        does: Does::Rotate,
    },
    Way {
        name: "managed",
        add: |administrator, postgres, name| {
            Box::pin(async move { add_managed_role(administrator, postgres, &managed(name)).await })
        },
        least: OF_A_ROTATION,
        does: Does::Rotate,
    },
    Way {
        name: "ephemeral",
        add: |administrator, _, name| Box::pin(async move { add_ephemeral(administrator, &managed(name), &[]).await }),
        least: &["checkout.activated", "ephemeral.created", "checkout.revealed", "checkout.ended", "ephemeral.removed"],
        does: Does::Use,
    },
];

impl Way {
    /// Goes it, to its end.
    pub async fn go(&self, walk: &mut Walk) {
        match self.does {
            Does::Use => {
                let body = json!({ "account": walk.account, "ttl_seconds": 600, "reason": "a crash" });
                let id = text(&walk.post("/v1/checkouts", "check-out", Some(&body)).await["id"]);
                let revealed = walk.post(&format!("/v1/checkouts/{id}/reveal"), "reveal", None).await;
                walk.seen.push(text(&revealed["secret"]));
                walk.post(&format!("/v1/checkouts/{id}/checkin"), "check-in", None).await;
            }
            Does::Rotate => {
                let body = json!({ "account": walk.account, "reason": "a crash" });
                walk.post("/v1/rotations", "rotate", Some(&body)).await;
            }
        }
        self.settled(walk).await;
    }

    /// Everything that goes on in the background is done.
    pub async fn settled(&self, walk: &mut Walk) {
        match self.does {
            Does::Use => {
                let proven = |list: &Value| list["items"][0]["revocation"]["state"] == "proven";
                walk.until("the revocation is proven", "/v1/checkouts?customer=acme", proven).await;
            }
            Does::Rotate => {
                let done = |list: &Value| list["items"][0]["step"] == "done";
                walk.until("the rotation is done", "/v1/rotations?customer=acme", done).await;
            }
        }
        walk.until("the account is available", &of_account(&walk.account), |account| account["state"] == "available")
            .await;
    }

    /// One effect, nothing lost, and a record that says so.
    pub async fn judge(&self, walk: &mut Walk, postgres: &Postgres) {
        match self.does {
            Does::Use => one_checkout_ended(walk).await,
            Does::Rotate => one_rotation_done(walk).await,
        }
        let kinds = walk.kinds().await;
        for kind in self.least.iter().filter(|kind| kind.starts_with("checkout.") || **kind == "rotation.promoted") {
            let count = kinds.iter().filter(|seen| seen == kind).count();
            let once = count == 1 || (*kind == "checkout.revealed" && count == 2);
            assert!(once, "{kind} is there {count} times: {kinds:?}");
        }
        walk.record_is_whole().await;
        if self.name == "ephemeral" {
            no_role_is_left(walk, postgres).await;
        } else {
            what_is_current_opens(walk, postgres).await;
        }
    }
}

async fn one_checkout_ended(walk: &mut Walk) {
    let list = walk.until("there are checkouts", "/v1/checkouts?customer=acme", |_| true).await;
    let all = list["items"].as_array().unwrap();
    assert_eq!(all.len(), 1, "one check-out is one checkout: {list}");
    assert_eq!((&all[0]["state"], &all[0]["end_cause"]), (&json!("ended"), &json!("checked_in")), "{list}");
    assert!(all[0]["expires_at"].is_string(), "there is no checkout without an end: {list}");
}

async fn one_rotation_done(walk: &mut Walk) {
    let list = walk.until("there are rotations", "/v1/rotations?customer=acme", |_| true).await;
    let all = list["items"].as_array().unwrap();
    assert_eq!(all.len(), 1, "asked for once, rotated once: {list}");
    assert!(all[0]["old_refused_after_milliseconds"].is_u64(), "the old one was seen refused: {list}");
}

/// The account opens with what the vault reveals, and not with what was seen before.
async fn what_is_current_opens(walk: &mut Walk, postgres: &Postgres) {
    let login = walk.account.account.to_string();
    for seen in walk.seen.clone() {
        assert!(!postgres.can_login(&login, &seen).await, "what was seen is dead");
    }
    let body = json!({ "account": walk.account, "ttl_seconds": 600, "reason": "the judge" });
    let id = text(&walk.post("/v1/checkouts", "judge", Some(&body)).await["id"]);
    let revealed = walk.post(&format!("/v1/checkouts/{id}/reveal"), "judge-reveal", None).await;
    assert!(postgres.can_login(&login, revealed["secret"].as_str().unwrap()).await, "what is current opens");
}

async fn no_role_is_left(walk: &Walk, postgres: &Postgres) {
    let like = format!("{}\\_%", walk.account.account);
    let query = "SELECT rolname FROM pg_roles WHERE rolname LIKE $1";
    let left = postgres.admin_client().await.query(query, &[&like]).await.unwrap();
    let left: Vec<String> = left.iter().map(|row| row.get(0)).collect();
    assert!(left.is_empty(), "orphans: {left:?}");
}

/// On a system with a management account.
fn managed(name: &str) -> String {
    format!("acme/db01/{name}")
}

/// On a system without one: what is lost there, nobody can repair.
fn alone(name: &str) -> String {
    format!("acme/db02/{name}")
}

fn of_account(account: &AccountPath) -> String {
    format!("/v1/customers/{}/systems/{}/accounts/{}", account.customer, account.system, account.account)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not text: {value}")).to_owned()
}
