//! `claviger login --token-stdin`: a program's session without its token in an argument or the environment.

use claviger_api::wire::Role;
use claviger_client::Exit;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::add_role;

use super::House;

#[tokio::test]
async fn a_program_logs_in_by_its_token_on_standard_input() {
    let house = House::start().await;
    let (address, ada) = (house.vault.address(), &house.vault.people.administrator);
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await.to_string();
    let token = ada.adds_program(address, "robot", Role::Automation, "acme").await;
    let (cli, words) = (Cli::at(address), ["login", "--token-stdin"]);

    let nobody = cli.run(&["whoami"]).await;
    assert_eq!(nobody.code, Exit::NotAuthenticated as i32, "{nobody:?}");
    let mut wrong = token.expose().to_owned();
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    for input in [wrong.as_str(), "cvs_not_a_token", "zzzz"] {
        let refused = cli.run_with(&words, &format!("{input}\n")).await;
        assert_eq!(refused.code, Exit::NotAuthenticated as i32, "{refused:?}");
        assert!(!refused.stderr.contains(input) && !refused.stdout.contains(input), "{refused:?}");
    }
    assert_eq!(cli.run_with(&words, "").await.code, Exit::Usage as i32, "nothing on standard input");
    for together in [["login", "robot", "--token-stdin"], ["login", "--token-stdin", "--stdin"]] {
        let done = cli.run_with(&together, &format!("{}\n", token.expose())).await;
        assert_eq!(done.code, Exit::Usage as i32, "{together:?}: {done:?}");
    }
    assert_eq!(cli.run(&["whoami"]).await.code, Exit::NotAuthenticated as i32, "none of it let anybody in");

    let done = cli.run_with(&words, &format!("{}\n", token.expose())).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(!done.stdout.contains(token.expose()) && !done.stderr.contains(token.expose()));
    let me = cli.run(&["whoami"]).await.json();
    assert_eq!((&me["name"], &me["kind"]), (&"robot".into(), &"service_account".into()));
    let held = cli.run(&["checkout", &account, "--reason", "patch day", "--for", "10m"]).await.json();
    let id = held["id"].as_str().unwrap();
    let secret = cli.run(&["reveal", id, "--show"]).await.json()["secret"].as_str().unwrap().to_owned();
    assert!(house.postgres.can_login("admin", &secret).await);
    assert_eq!(cli.run(&["checkin", id]).await.code, 0);

    assert_eq!(cli.run(&["logout"]).await.code, 0);
    assert_eq!(cli.run(&["whoami"]).await.code, Exit::NotAuthenticated as i32);
    // The session is over, the token is not; removed, it opens none.
    assert_eq!(cli.run_with(&words, &format!("{}\n", token.expose())).await.code, 0);
    house.vault.administrator().service_accounts().remove(&"robot".parse().unwrap()).await.unwrap();
    assert_eq!(cli.run(&["whoami"]).await.code, Exit::NotAuthenticated as i32);
    let removed = cli.run_with(&words, &format!("{}\n", token.expose())).await;
    assert_eq!(removed.code, Exit::NotAuthenticated as i32, "{removed:?}");
}
