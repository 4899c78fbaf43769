//! An ephemeral account: a login that exists for one checkout.

use claviger_api::wire::{Checkout, RevocationState};
use claviger_tests::inventory::{add_ephemeral, checkout_until, wanted};
use claviger_tests::postgres::Postgres;
use jiff::{SignedDuration, Timestamp};

use super::{House, SOON};

#[tokio::test]
async fn a_login_is_made_for_one_checkout_and_leaves_nothing_behind() {
    let mut house = House::start().await;
    let postgres = &house.postgres;
    postgres.run_sql("CREATE ROLE dba; GRANT CREATE ON SCHEMA public TO dba").await;
    let account = add_ephemeral(&house.vault.administrator(), "acme/db01/dba", &["dba".parse().unwrap()]).await;
    for _ in 0..2 {
        let technician = house.vault.technician();
        let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
        let revealed = technician.checkouts().reveal(held.id).await.unwrap();
        let (login, password) = (revealed.login.as_str(), revealed.secret.secret().expose());
        assert!(login.starts_with("dba_"), "{login}");

        let ends = valid_until(postgres, login).await.expect("the role exists");
        let off = ends.duration_since(held.expires_at.unwrap()).abs();
        assert!(off < SignedDuration::from_secs(1), "the system's own end: {ends} for {:?}", held.expires_at);
        assert!(member_of(postgres, login, "dba").await);

        let session = postgres.client(login, password, "postgres").await.unwrap();
        session.batch_execute("CREATE TABLE left_behind (id int)").await.unwrap();

        let ended = technician.checkouts().checkin(held.id).await.unwrap();
        let proven = |checkout: &Checkout| {
            checkout.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
        };
        let proof = checkout_until(&technician, &ended, "is proven", SOON, proven).await.revocation.unwrap();
        assert!(proof.revocation_lag_milliseconds.is_some() && !proof.sessions_may_remain, "{proof:?}");
        assert_eq!(valid_until(postgres, login).await, None, "the role is dropped");
        assert!(!postgres.can_login(login, password).await);
        assert!(session.simple_query("SELECT 1").await.is_err(), "its session was ended");
        assert_eq!(owner_of(postgres, "left_behind").await, "postgres", "what it owned is kept, under another owner");
        postgres.run_sql("DROP TABLE left_behind").await;

        house.vault.stop().await;
        house.vault.restart().await;
    }
}

/// Until when the system itself lets the role in; `None` where there is no such role.
pub async fn valid_until(postgres: &Postgres, login: &str) -> Option<Timestamp> {
    let query = "SELECT (extract(epoch FROM rolvaliduntil) * 1000000)::bigint FROM pg_roles WHERE rolname = $1";
    let found = postgres.admin_client().await.query_opt(query, &[&login]).await.unwrap()?;
    Some(Timestamp::from_microsecond(found.get::<_, Option<i64>>(0).expect("a role with an end")).unwrap())
}

async fn member_of(postgres: &Postgres, login: &str, group: &str) -> bool {
    let query = "SELECT pg_has_role($1::name, $2::name, 'MEMBER')";
    postgres.admin_client().await.query_one(query, &[&login, &group]).await.unwrap().get(0)
}

async fn owner_of(postgres: &Postgres, table: &str) -> String {
    let query = "SELECT relowner::regrole::text FROM pg_class WHERE relname = $1";
    postgres.admin_client().await.query_one(query, &[&table]).await.unwrap().get(0)
}
