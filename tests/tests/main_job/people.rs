//! A person's way in, by the command line: enrolment, an authenticator app, a check-out, and in again another day.

use claviger_api::Timestamp;
use claviger_api::wire::{NewUser, Role};
use claviger_tests::cli::Cli;
use claviger_tests::inventory::add_role;
use claviger_tests::people::App;
use claviger_tests::postgres::random_text;
use serde_json::Value;

use super::House;

#[tokio::test]
async fn from_enrolment_to_check_out_with_totp_by_the_cli() {
    let house = House::start().await;
    let administrator = house.vault.administrator();
    let account = add_role(&administrator, &house.postgres, "acme/db01/app").await;
    let kim = "kim".parse().unwrap();
    let added = administrator.users().add(&NewUser { name: "kim".parse().unwrap(), customer: None }).await.unwrap();
    house.vault.people.administrator.grants(house.vault.address(), &kim, Role::Technician, "acme").await;
    let (cli, password, path) = (Cli::at(house.vault.address()), random_text(), account.to_string());
    let json = async |words: &[&str], input: &str| -> Value {
        let done = cli.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
        serde_json::from_str(&done.stdout).unwrap_or(Value::Null)
    };
    let wanted = ["checkout", &path, "--for", "10m", "--reason", "an outage"];

    let code = added.enrolment.secret().expose();
    json(&["login", "kim", "--enrolment", "--stdin"], &format!("{code}\n{password}\n")).await;
    let refused = cli.run(&wanted).await;
    assert_eq!(refused.code, 3, "a first login does nothing but enrol: {}", refused.stderr);
    assert!(refused.stderr.contains("claviger mfa enrol"), "{}", refused.stderr);

    let offered = json(&["mfa", "enrol", "--label", "phone"], "").await;
    let app = App::of(offered["secret"].as_str().unwrap());
    let now = || async {
        let factors = json(&["mfa", "list"], "").await;
        factors["server_time"].as_str().unwrap().parse::<Timestamp>().unwrap()
    };
    let wrong = cli.run_with(&["mfa", "confirm", "--stdin"], "not a code\n").await;
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    let first = app.code(now().await).await;
    let confirmed = json(&["mfa", "confirm", "--stdin"], &format!("{}\n", first.expose())).await;
    let recovery: Vec<&str> =
        confirmed["recovery_codes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(recovery.len(), 10);

    let held = json(&wanted, "").await;
    let id = held["id"].as_str().unwrap();
    let revealed = json(&["reveal", id, "--show"], "").await;
    assert!(house.postgres.can_login("app", revealed["secret"].as_str().unwrap()).await);
    json(&["checkin", id], "").await;
    let next = app.code(now().await).await;
    json(&["logout"], "").await;

    let again = async |password: &str, factor: &str| {
        cli.run_with(&["login", "kim", "--stdin"], &format!("{password}\n{factor}\n")).await
    };
    assert_eq!(again(&password, first.expose()).await.code, 3, "a code is good once");
    assert_eq!(again("not the password", next.expose()).await.code, 3);
    assert_eq!(again(&password, next.expose()).await.code, 0);
    assert_eq!(json(&["whoami"], "").await["name"], "kim");
    json(&["logout"], "").await;

    assert_eq!(again(&password, recovery[0]).await.code, 0, "the app is lost");
    assert_eq!(json(&["mfa", "list"], "").await["recovery_codes_left"], 9);
    json(&["logout"], "").await;
    assert_eq!(again(&password, recovery[0]).await.code, 3, "once");
}
