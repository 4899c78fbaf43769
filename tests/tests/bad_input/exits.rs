//! The exit codes of the command line.

use claviger_api::wire::Role;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::wanted;
use claviger_tests::server::Launch;

use super::House;

#[tokio::test]
async fn every_refusal_has_its_exit_code_and_says_what_to_do() {
    let mut house = House::start().await;
    let address = house.vault.address().to_owned();
    let token = house.vault.people.administrator.adds_program(&address, "robot", Role::Automation, "acme").await;
    let robot = || Cli::at(&address).with("CLAVIGER_TOKEN", token.expose());
    let held = house.vault.technician().checkouts().create(&wanted(&house.account, 600)).await.unwrap();
    let id = held.id.to_string();

    let done = robot().run(&["whoami"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    for (code, says, words) in [
        (2, "unit", "checkout acme/db01/admin --reason x --for 60"),
        (2, "ttl_seconds", "checkout acme/db01/admin --reason x --for 9h"),
        (2, "customer/system/account", "checkout acme/db01 --reason x"),
        (2, "--help", "frobnicate"),
        (4, "Ask an administrator", "customer add umbra --name Umbra"),
        (5, "Check the name", "checkout acme/db01/nobody --reason x"),
        (5, "Check the name", "reveal co_0197a3c2e1f07b1a8c3d4e5f60718293 --show"),
        (6, "tina holds it until", "checkout acme/db01/admin --reason x"),
        (6, "in use", "rotate acme/db01/admin"),
        (4, "Ask an administrator", &format!("checkin {id}")),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let done = robot().run(&words).await;
        assert_eq!(done.code, code, "{words:?}: {done:?}");
        let told = done.stderr.to_lowercase().contains(&says.to_lowercase());
        assert!(told, "{words:?} does not say {says:?}: {}", done.stderr);
        assert!(done.stdout.is_empty(), "{words:?}: {done:?}");
    }

    let stranger = Cli::at(&address).with("CLAVIGER_TOKEN", "cvs_wrong");
    assert_eq!(stranger.run(&["whoami"]).await.code, 3);
    assert_eq!(Cli::at(&address).run(&["whoami"]).await.code, 3, "nobody is logged in");

    house.vault.stop().await;
    let away = robot().run(&["whoami"]).await;
    assert!(away.code == 8 && away.stderr.contains("cannot reach"), "{away:?}");
    house.vault.start_again(&Launch::default()).await;
    let sealed = Cli::at(house.vault.address()).with("CLAVIGER_TOKEN", token.expose());
    let sealed = sealed.run(&["whoami"]).await;
    assert!(sealed.code == 8 && sealed.stderr.contains("operator unseal"), "{sealed:?}");
}
