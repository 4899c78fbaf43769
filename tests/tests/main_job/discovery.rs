//! `claviger system discover`: logins that somebody made behind the vault's back, on a real PostgreSQL.

use claviger_client::Exit;
use claviger_tests::audit;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_ephemeral, add_role, available, part, wanted};
use serde_json::Value;

use super::{House, SOON};

/// Found with its reason, taken in by the commands that are printed, or left outside with a word for it.
#[tokio::test]
async fn a_superuser_made_behind_the_vaults_back_is_found_and_taken_in_by_the_cli() {
    let mut house = House::start().await;
    let (address, administrator) = (house.vault.address().to_owned(), house.vault.administrator());
    let ada = house.vault.people.administrator.terminal(&address).await;
    let app = add_role(&administrator, &house.postgres, "acme/db01/app").await;
    let temp = add_ephemeral(&administrator, "acme/db01/temp", &[]).await;
    let lent = house.vault.technician().checkouts().create(&wanted(&temp, 600)).await.unwrap();
    house.vault.technician().checkouts().reveal(lent.id).await.unwrap();
    house.postgres.create_role("o'neill; DROP", "known to somebody").await;
    house.postgres.run_sql("ALTER ROLE \"o'neill; DROP\" SUPERUSER; CREATE ROLE streams LOGIN REPLICATION").await;
    house.postgres.run_sql("CREATE ROLE readers NOLOGIN; DROP ROLE app").await;

    let found = ada.run(&["system", "discover", "acme/db01"]).await.json();
    let of = |found: &Value, login: &str| {
        let all = found["logins"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["login"].as_str().unwrap().starts_with(login)).unwrap_or_else(|| panic!("{login}"))
    };
    let hidden = of(&found, "o'neill");
    assert_eq!((&hidden["standing"], &hidden["privileges"][0]), (&"unmanaged".into(), &"superuser".into()));
    assert_eq!(found["logins"][0], hidden, "what has power comes first");
    assert_eq!(of(&found, "temp_")["standing"], "of_checkout");
    assert_eq!(of(&found, "postgres")["account"], "acme/db01/superuser");
    assert_eq!(of(&found, "readers")["may_log_in"], false);
    assert_eq!(found["missing"], serde_json::json!([app.to_string()]));
    assert_eq!(found["counts"]["unmanaged_privileged"], 2);

    let table = ada.run(&["system", "discover", "acme/db01", "--last", "--output", "table"]).await;
    assert_eq!(table.code, 0, "{table:?}");
    let quoted = r"'o'\''neill; DROP'";
    let add = format!("claviger account add acme/db01/o-neill--drop --login {quoted} --rotate-by management");
    assert!(table.stdout.contains(&add), "{}", table.stdout);
    assert!(table.stdout.contains("claviger rotate acme/db01/o-neill--drop"), "{}", table.stdout);
    taken_in(&house, &ada).await;

    let report = ada.run(&["report", "discovery", "--attention", "--customer", "acme", "--output", "table"]).await;
    let lines = ["outside, with power", "streams", "REPLICATION", "missing there", "app"];
    assert!(lines.iter().all(|line| report.stdout.contains(line)), "{}", report.stdout);
    assert!(!report.stdout.contains("neill"), "{}", report.stdout);
    left_outside(&house, &ada).await;

    house.postgres.stop().await;
    let failed = ada.run(&["system", "discover", "acme/db01"]).await;
    assert_eq!(failed.code, Exit::Failed as i32, "{failed:?}");
    assert!(failed.stderr.contains("unreachable"), "{}", failed.stderr);
    let report = ada.run(&["report", "discovery", "--attention"]).await.json();
    assert_eq!(report[0]["failure"]["result"], "unreachable");
    audit::verified(&administrator, Some(&part("acme"))).await;
}

/// The printed commands, as they stand.
async fn taken_in(house: &House, ada: &Cli) {
    let path = "acme/db01/o-neill--drop";
    let add = ["account", "add", path, "--login", "o'neill; DROP", "--rotate-by", "management"];
    assert_eq!(ada.run(&add).await.code, 0);
    let rotated = ada.run(&["rotate", path]).await;
    assert_eq!(rotated.code, 0, "{rotated:?}");
    available(&house.vault.technician(), &path.parse().unwrap(), SOON).await;
    assert!(!house.postgres.can_login("o'neill; DROP", "known to somebody").await, "nobody else has its password");
    let found = ada.run(&["system", "discover", "acme/db01", "--last"]).await.json();
    assert_eq!(at(&found, "/counts/unmanaged_privileged"), 1, "no other look is needed");
}

async fn left_outside(house: &House, ada: &Cli) {
    let known = ["system", "known", "acme/db01", "streams", "--reason", "streams to db02"];
    let marked = ada.run(&known).await.json();
    assert_eq!(at(&marked, "/counts/unmanaged_privileged"), 0);
    let attention = async || at(&ada.run(&["report", "discovery", "--attention"]).await.json(), "/0/logins").clone();
    assert_eq!(attention().await, serde_json::json!([]));
    let shown = ada.run(&["system", "discover", "acme/db01", "--output", "table"]).await;
    assert!(shown.stdout.contains("known: streams to db02 (ada)"), "{}", shown.stdout);
    // More power than was known is nobody's word.
    house.postgres.run_sql("ALTER ROLE streams SUPERUSER").await;
    assert_eq!(ada.run(&["system", "discover", "acme/db01"]).await.code, 0);
    assert_eq!(at(&attention().await, "/0/login"), "streams");
    let unmarked = ada.run(&["system", "known", "acme/db01", "streams", "--remove"]).await;
    assert_eq!(unmarked.code, 0, "{unmarked:?}");
    let again = ada.run(&["system", "known", "acme/db01", "streams", "--remove"]).await;
    assert_eq!(again.code, Exit::Usage as i32, "{again:?}");
    let events = ada.run(&["audit", "log", "--customer", "acme", "--kind", "system."]).await.json();
    let kinds: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| at(event, "/kind").as_str().unwrap()).collect();
    let count = |kind: &str| kinds.iter().filter(|it| **it == kind).count();
    assert_eq!((count("system.login_found"), count("system.login_known"), count("system.login_unknown")), (3, 1, 1));
}

fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("{pointer} of {value}"))
}
