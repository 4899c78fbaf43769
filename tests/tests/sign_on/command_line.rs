//! `claviger login --sso`, by a browser and by device code; `claviger link`, and the records.

use claviger_api::Secret;
use claviger_tests::cli::{Cli, Done};
use claviger_tests::oidc::Page;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use crate::house::{House, as_person};

/// Runs a command that shows an address, and does what the person does with the lines that it has shown so far.
async fn run(cli: &Cli, words: &[&str], input: &str, until: &str, person: impl AsyncFnOnce(&str)) -> Done {
    let mut child = cli.command(words).stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while !said.contains(until) {
        let line = lines.next_line().await.unwrap();
        said += &(line.unwrap_or_else(|| panic!("it ended: {said}")) + "\n");
    }
    person(&said).await;
    while let Some(line) = lines.next_line().await.unwrap() {
        said += &(line + "\n");
    }
    let output = child.wait_with_output().await.unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Done { code: output.status.code().unwrap(), stdout, stderr: said }
}

fn address_in<'a>(said: &'a str, after: &str) -> &'a str {
    said.split_once(after).unwrap().1.split_whitespace().next().unwrap()
}

#[tokio::test]
async fn a_person_signs_on_in_the_browser_and_the_command_line_has_the_session() {
    let house = House::start().await;
    house.adds_linked("new", "sub-new").await;
    let cli = Cli::at(house.vault.address());
    let words = ["login", "--sso", "entra", "--no-browser"];
    let done = run(&cli, &words, "", "http", async |said| {
        let page: Page = house.browser().sign_on(address_in(said, "machine: "), as_person("sub-new")).await;
        assert!(page.text.contains("Go back to the terminal"), "{}", page.text);
        assert_eq!(page.url.host_str(), Some("127.0.0.1"));
    })
    .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("claviger mfa enrol"), "{}", done.stderr);
    let me = cli.run(&["whoami", "--output", "json"]).await;
    assert!(me.stdout.contains("\"new\""), "{} {}", me.stdout, me.stderr);
}

#[tokio::test]
async fn the_second_factor_is_asked_for_on_standard_input() {
    let house = House::start().await;
    let kim = house.adds_technician("kim", "sub-kim").await;
    let now = kim.client(house.vault.address()).auth().factors().await.unwrap().server_time;
    let code = kim.app.code(now).await;
    let cli = Cli::at(house.vault.address());
    let words = ["login", "--sso", "entra", "--no-browser", "--stdin"];
    let done = run(&cli, &words, &format!("{}\n", code.expose()), "http", async |said| {
        house.browser().sign_on(address_in(said, "machine: "), as_person("sub-kim")).await;
    })
    .await;
    assert_eq!(done.code, 0, "{}", done.stderr);
}

#[tokio::test]
async fn who_is_not_linked_is_told_what_to_give_to_an_administrator() {
    let house = House::start().await;
    let cli = Cli::at(house.vault.address());
    let words = ["login", "--sso", "entra", "--no-browser"];
    let done = run(&cli, &words, "", "http", async |said| {
        house.browser().sign_on(address_in(said, "machine: "), as_person("sub-foo")).await;
    })
    .await;
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert!(done.stderr.contains("subject sub-foo of the identity provider entra"), "{}", done.stderr);

    let done = run(&cli, &words, "", "http", async |said| {
        let no = claviger_tests::oidc::Person { deny: "1", ..Default::default() };
        let page = house.browser().sign_on(address_in(said, "machine: "), no).await;
        assert!(page.text.contains("Not signed on"), "{}", page.text);
    })
    .await;
    assert!(done.code == 3 && done.stderr.contains("did not let you in"), "{}", done.stderr);
    let done = cli.run(&["login", "--sso", "nothing", "--device"]).await;
    assert_eq!(done.code, 5, "{}", done.stderr);
}

#[tokio::test]
async fn the_words_of_an_administrator_and_of_whoever_is_invited() {
    let house = House::start().await;
    let kim = house.vault.people.administrator.adds_user(house.vault.address(), "kim", None).await;
    let administrator = logged_in(&house, &house.vault.people.administrator).await;
    let ok = async |cli: &Cli, words: &[&str], input: &str| {
        let done = cli.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {}", done.stderr);
        done.stdout
    };
    let added = ok(
        &administrator,
        &[
            "identity-provider",
            "add",
            "keycloak",
            "--issuer",
            "https://login.example/realms/msp",
            "--client-id",
            "vault",
            "--client-secret-stdin",
            "--scope",
            "email",
            "--acr",
            "gold",
            "--trusts-mfa",
            "--output",
            "json",
        ],
        "hush-hush\n",
    )
    .await;
    let redirect = format!("{}/v1/auth/oidc/callback", house.vault.address());
    assert!(added.contains(&redirect) && added.contains("\"has_client_secret\": true"), "{added}");
    assert!(!added.contains("hush"), "{added}");
    let set = ["identity-provider", "set", "keycloak", "--trusts-mfa", "false", "--device-code", "--output", "json"];
    let set = ok(&administrator, &set, "").await;
    assert!(set.contains("\"trusts_mfa\": false") && set.contains("\"device_code\": true"), "{set}");
    ok(&administrator, &["identity-provider", "disable", "keycloak"], "").await;
    assert!(ok(&administrator, &["identity-provider", "list", "--output", "table"], "").await.contains("keycloak"));
    ok(&administrator, &["identity-provider", "remove", "keycloak"], "").await;

    let invite = ["user", "invite-sign-on", "kim", "--provider", "entra", "--output", "json"];
    let invited = ok(&administrator, &invite, "").await;
    let invitation = invited.split('"').find(|word| word.starts_with("cvl_")).unwrap().to_owned();
    let own = logged_in(&house, &kim).await;
    let words = ["link", "entra", "--no-browser", "--stdin", "--output", "table"];
    let done = run(&own, &words, &format!("{invitation}\n"), "http", async |said| {
        house.browser().sign_on(address_in(said, "machine: "), as_person("sub-kim")).await;
    })
    .await;
    assert!(done.code == 0 && done.stdout.contains("kim signs on by entra"), "{} {}", done.stdout, done.stderr);
    ok(&administrator, &["user", "unlink", "kim", "--provider", "entra"], "").await;
}

#[tokio::test]
async fn a_machine_without_a_browser_signs_on_by_device_code() {
    let house = House::start_with(|new| (new.device_code, new.trusts_mfa) = (true, true)).await;
    house.adds_technician("kim", "sub-kim").await;
    house.adds_linked("new", "sub-new").await;
    let browser_does = async |said: &str, login: &str| {
        let browser = house.browser();
        let at = address_in(said, "Open ");
        let code = address_in(said, "give this code: ").to_owned();
        let page = browser.submit(&browser.open(at).await, &[("user_code", &code)]).await;
        // The provider shows the code again, to be compared.
        let page = browser.submit(&page, &[("confirm", "yes")]).await;
        let given = [("login", login), ("amr", "pwd otp")];
        let page = if page.text.contains("name=\"login\"") { browser.submit(&page, &given).await } else { page };
        assert!(page.text.contains("Sign-in Success") || page.text.contains("Success"), "{} {}", page.url, page.text);
    };
    let cli = Cli::at(house.vault.address());
    let words = ["login", "--sso", "entra", "--device", "--stdin"];
    let done = run(&cli, &words, "", "have begun", async |said| browser_does(said, "sub-new").await).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains("claviger mfa enrol"),
        "a provider's second factor never counts here: {}",
        done.stderr
    );
    let done = run(&cli, &words, "000000\n", "have begun", async |said| browser_does(said, "sub-kim").await).await;
    assert!(done.code == 3 && done.stderr.contains("code is not right"), "{}", done.stderr);
}

#[tokio::test]
async fn a_device_waits_as_long_as_it_must_and_only_where_the_record_allows_it() {
    let house = House::start_with(|new| new.device_code = true).await;
    house.adds("no-devices", |_| {}).await;
    let cli = Cli::at(house.vault.address());
    let done = cli.run(&["login", "--sso", "no-devices", "--device"]).await;
    assert!(done.code == 3 && done.stderr.contains("its record does not allow it"), "{}", done.stderr);

    let nobody = house.nobody();
    let key = nobody.sign_on().proof_key().unwrap();
    let begun = nobody.sign_on().begin_device(&"entra".parse().unwrap(), &key).await.unwrap();
    assert!(begun.verification_uri.starts_with(&house.provider.url));
    for _ in 0..3 {
        let pending = nobody.sign_on().poll_device(begun.device.secret()).await.unwrap();
        let pending = serde_json::to_value(pending).unwrap();
        assert_eq!((pending["state"].as_str(), pending["interval_seconds"].as_u64()), (Some("pending"), Some(5)));
    }
    let other = Secret::new("x".repeat(100)).unwrap();
    assert_eq!(crate::house::refused(nobody.sign_on().poll_device(&other).await).0, "sign-on-failed");
}

/// The command line of somebody who is logged in.
async fn logged_in(house: &House, user: &claviger_tests::people::Person) -> Cli {
    let cli = Cli::at(house.vault.address());
    let now = user.client(house.vault.address()).auth().factors().await.unwrap().server_time;
    let code = user.app.code(now).await;
    let input = format!("{}\n{}\n", user.password.expose(), code.expose());
    let done = cli.run_with(&["login", user.name.as_str(), "--stdin"], &input).await;
    assert_eq!(done.code, 0, "{}", done.stderr);
    cli
}
