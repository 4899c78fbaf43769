//! The store's files: no customer's name, host or user name in clear.

use claviger_api::wire::{NewAccount, NewCustomer, NewSystem, Role, SystemSpec, TlsMode};
use claviger_tests::inventory::{add_customer, add_postgres, add_role, available, part, secret, wanted};
use claviger_tests::postgres::{Postgres, random_text};
use claviger_tests::vault::Vault;

use super::search::{Needle, files, found};

const SOON: std::time::Duration = std::time::Duration::from_mins(1);

#[tokio::test]
async fn anvil_data_at_rest() {
    let postgres = Postgres::start().await;
    let mut vault = Vault::start().await;
    let administrator = vault.administrator();
    // Every name begins alike; its end says which one it was.
    let mark = random_text().to_lowercase()[..20].to_owned();
    let of = |what: &str| format!("{mark}-{what}");

    let customer = part(&of("customer"));
    let new = NewCustomer { slug: customer.clone(), display_name: of("display name, for people") };
    administrator.customers().add(&new).await.unwrap();
    let spec = SystemSpec::Postgresql {
        host: format!("{mark}-host.example.com"),
        port: 5432,
        database: of("database"),
        tls: TlsMode::Require,
        ca_certificate: None,
    };
    let system = part(&of("system"));
    let new = NewSystem { name: system.clone(), spec, management_account: Some(part(&of("management"))) };
    administrator.systems(&customer).add(&new).await.unwrap();
    let new = NewAccount::standing(part(&of("account")), Some(secret(&of("secret"))));
    let new = NewAccount { login: Some(of("login").parse().unwrap()), ..new };
    administrator.accounts().add(&customer, &system, &new).await.unwrap();
    let user = vault.people.administrator.adds_user(vault.address(), &of("user"), Some((Role::Technician, "*"))).await;
    vault.people.administrator.adds_program(vault.address(), &of("program"), Role::Automation, customer.as_str()).await;

    // And a life that goes by: checkouts, rotations, their events and the grants' places.
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &postgres).await;
    let account = add_role(&administrator, &postgres, &format!("acme/db01/{}", of("role"))).await;
    let client = user.client(vault.address());
    let mut new = wanted(&account, 600);
    (new.reason, new.ticket) = (of("reason"), Some(of("ticket")));
    let held = client.checkouts().hold(&new).await.unwrap();
    held.reveal().await.unwrap();
    held.checkin().await.unwrap();
    available(&client, &account, SOON).await;

    let needles: Vec<Needle> =
        [mark.as_str(), "vault.test", "postgres", "superuser", "checkout.revealed"].map(Needle::new).into();
    // As it lies there while it runs, after a crash, and after a start that has put the log into tables.
    let mut states = vec![stored(&vault).await];
    vault.kill().await;
    states.push(stored(&vault).await);
    vault.restart().await;
    vault.stop().await;
    states.push(stored(&vault).await);
    for state in states {
        assert!(state.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 10_000, "the store is there");
        let hits = found(&needles, &state);
        assert!(hits.is_empty(), "{} hits:\n{}", hits.len(), hits.join("\n"));
    }
}

async fn stored(vault: &Vault) -> Vec<(String, Vec<u8>)> {
    [files(&vault.data_directory()), vault.rows_elsewhere().await].concat()
}
