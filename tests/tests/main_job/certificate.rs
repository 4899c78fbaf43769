//! SSH certificates on a real OpenSSH: a session by one, and its end.

use std::fs;
use std::process::Command;

use claviger_api::ProblemType;
use claviger_api::wire::{
    AccountChange, CertificateSettings, Checkout, CheckoutState, HostKey, RevocationState, Role, SignKey, SshExtension,
    SystemChange, SystemSpec,
};
use claviger_client::{Client, Exit};
use claviger_tests::cli::Cli;
use claviger_tests::in_process::InProcess;
use claviger_tests::inventory::{
    add_customer, add_linux, available, certificate_account, checkout_until, part, wanted,
};
use claviger_tests::openssh::{HOST, OpenSsh, make_key};
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;

use super::SOON;

/// `claviger ssh`, as a program runs it: its command's exit code, and nothing left behind.
#[tokio::test]
async fn a_session_by_certificate_is_opened_used_and_checked_in() {
    let (vault, server) = (claviger_tests::vault::Vault::start().await, OpenSsh::start());
    let (administrator, address) = (vault.administrator(), vault.address());
    add_customer(&administrator, "acme").await;
    let user = server.add_user("cvss", &random_text());
    let account = add_linux(&administrator, "acme/web01/root", &server, &user).await;
    let token = vault.people.administrator.adds_program(address, "robot", Role::Automation, "acme").await;
    let cli = Cli::at(address).with("CLAVIGER_TOKEN", token.expose());
    let temp = tempfile::tempdir().unwrap();
    let cli = cli.with("XDG_RUNTIME_DIR", &temp.path().display().to_string());

    let path = account.to_string();
    let by_hand = ["ssh", &path, "--reason", "patch day", "--for", "10m", "--", "id -un; exit 7"];
    let done = cli.run(&by_hand).await;
    assert_eq!((done.code, done.stdout.trim()), (7, user.as_str()), "{done:?}\n{}", server.log());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "the key is gone");
    let log = server.log();
    assert!(log.contains("claviger co_") && log.contains(" robot acme/web01/root"), "the host's own log:\n{log}");
    let query = claviger_api::wire::CheckoutQuery { customer: "acme".to_owned(), ..Default::default() };
    let held = administrator.checkouts().list(query).all().await.unwrap();
    assert!(held.iter().all(|checkout| checkout.state == CheckoutState::Ended) && held.len() == 1, "{held:?}");

    // A host whose key is another one is told nothing, and the checkout is given back.
    make_key(&server.file("another"));
    let another: HostKey = fs::read_to_string(server.file("another.pub")).unwrap().parse().unwrap();
    let spec = |host_keys| SystemSpec::Linux {
        host: HOST.to_owned(),
        port: server.port(),
        host_keys,
        lockout_threshold: None,
    };
    let change = |keys| SystemChange { spec: Some(spec(keys)), ..SystemChange::default() };
    let systems = administrator.systems(&part("acme"));
    systems.set(&part("web01"), &change(vec![another])).await.unwrap();
    let before = server.log().len();
    let done = cli.run(&by_hand).await;
    assert_ne!((done.code, done.stdout.trim()), (7, user.as_str()), "{done:?}");
    assert!(!server.log()[before..].contains(" robot acme/web01/root"), "{}", server.log());

    // By its fingerprint alone it is known as well.
    let HostKey::Key(key) = server.host_key() else { panic!("a key") };
    let pinned: HostKey = claviger_api::wire::fingerprint_text(&key.fingerprint()).parse().unwrap();
    systems.set(&part("web01"), &change(vec![pinned])).await.unwrap();
    let done = cli.run(&by_hand).await;
    assert_eq!((done.code, done.stdout.trim()), (7, user.as_str()), "{done:?}");

    let shown = cli.run(&["system", "ca", "acme/web01"]).await.json();
    assert!(shown["certificate_authority"].as_str().unwrap().starts_with("ssh-ed25519 AAAA"), "{shown}");
    let refused = cli.run(&["reveal", &held[0].id.to_string(), "--show"]).await;
    assert_eq!(refused.code, Exit::Conflict as i32, "it has ended: {refused:?}");
}

/// Given back early, a certificate still has time; the host refuses it as soon as it has the revocation list, and the
/// vault sees that by a certificate of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_was_given_back_dies_by_the_revocation_list() {
    let (vault, server) = house().await;
    let (technician, user) = (vault.technician(), server.add_user("cvkr", &random_text()));
    let account = add_linux(&vault.administrator(), "acme/web01/root", &server, &user).await;
    vault.set_slow_by(0);
    let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let key = signed(&technician, &held, &server, "key").await;
    assert!(opens(&server, &user, &key), "{}", server.log());
    let none = vault.administrator().systems(&part("acme")).revoked_certificates(&part("web01")).await.unwrap();
    assert_eq!(none.checkouts, 0);

    technician.checkouts().checkin(held.id).await.unwrap();
    let tried =
        checkout_until(&technician, &held, "is tried", SOON, |c| state(c) == RevocationState::StillAccepted).await;
    let revocation = tried.revocation.unwrap();
    assert!(revocation.refused_at.is_none() && revocation.sessions_may_remain, "{revocation:?}");
    assert!(opens(&server, &user, &key), "it is the truth: {}", server.log());

    let cli = vault.people.administrator.adds_program(&vault.address(), "robot", Role::Automation, "acme").await;
    let cli = Cli::at(&vault.address()).with("CLAVIGER_TOKEN", cli.expose());
    let file = server.file("revoked").display().to_string();
    assert_eq!(cli.run(&["system", "krl", "acme/web01", "--write", &file]).await.code, 0);
    let listed = run_any("ssh-keygen", &["-Q", "-f", &file, &format!("{key}-cert.pub")]);
    assert!(listed.contains("REVOKED"), "OpenSSH's own tool reads the list: {listed}");
    assert!(!opens(&server, &user, &key), "refused: {}", server.log());
    for _ in 0..8 {
        vault.advance_seconds(2);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    let proven = checkout_until(&technician, &held, "is proven", SOON, |c| state(c) == RevocationState::Proven).await;
    let lag = proven.revocation.unwrap().revocation_lag_milliseconds.unwrap();
    assert!(lag >= 2000, "counted from the check-in: {lag}");
    available(&technician, &account, SOON).await;

    // Another's certificate, of the same authority, is not on the list.
    let next = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let key = signed(&technician, &next, &server, "next").await;
    assert!(opens(&server, &user, &key), "{}", server.log());
    vault.stop().await;
}

/// The shortest checkout there is, at a vault whose clock is slow, so that its last seconds are all that a host sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_opens_a_session_and_after_its_end_no_longer() {
    let (vault, server) = house().await;
    let (technician, user) = (vault.technician(), server.add_user("cvti", &random_text()));
    let account = add_linux(&vault.administrator(), "acme/web01/root", &server, &user).await;
    vault.set_slow_by(54);
    let held = technician.checkouts().create(&wanted(&account, 60)).await.unwrap();
    let key = signed(&technician, &held, &server, "key").await;
    assert!(opens(&server, &user, &key), "{}", server.log());
    until("the host refuses it", SOON, async || (!opens(&server, &user, &key)).then_some(())).await;
    assert!(server.log().contains("Certificate invalid: expired"), "{}", server.log());

    vault.advance_seconds(60);
    let again = technician.checkouts().sign(held.id, &public(&key)).await.err().unwrap();
    assert_eq!(again.problem_type(), Some(ProblemType::CheckoutEnded));
    let ended = checkout_until(&technician, &held, "is proven", SOON, |c| state(c) == RevocationState::Proven).await;
    assert!(ended.revocation.unwrap().revocation_lag_milliseconds.is_some());
    vault.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anvil_ssh_principals_a_certificate_says_what_its_account_says_and_no_more() {
    let (vault, server) = house().await;
    let (administrator, technician) = (vault.administrator(), vault.technician());
    let user = server.add_user("cvpr", &random_text());
    let account = add_linux(&administrator, "acme/web01/root", &server, &user).await;
    vault.set_slow_by(0);

    // Nobody, everybody, and what is none of a host's users.
    let set = |certificate| AccountChange { certificate: Some(certificate), ..AccountChange::default() };
    let nobody = CertificateSettings { principals: Some(Vec::new()), ..CertificateSettings::default() };
    let refused = administrator.accounts().set(&account, &set(nobody)).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::InvalidValue), "{refused}");
    for login in ["ro*t", "a,b", "x y"] {
        let mut new = certificate_account(&"acme/web01/other".parse().unwrap(), "x");
        new.login = Some(login.parse().unwrap());
        let refused = administrator.accounts().add(&part("acme"), &part("web01"), &new).await.err().unwrap();
        assert_eq!(refused.problem_type(), Some(ProblemType::InvalidValue), "{login}: {refused}");
    }

    // What the host enforces: the command, and where from.
    let forced = CertificateSettings {
        force_command: Some("echo forced".to_owned()),
        extensions: vec![SshExtension::PermitPortForwarding],
        ..CertificateSettings::default()
    };
    administrator.accounts().set(&account, &set(forced)).await.unwrap();
    let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let key = signed(&technician, &held, &server, "forced").await;
    let said = server.client(&user, &["-i", &key], "id -un");
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "forced", "{}", server.log());
    let read = run_any("ssh-keygen", &["-L", "-f", &format!("{key}-cert.pub")]);
    assert!(read.contains("permit-port-forwarding") && !read.contains("permit-pty"), "{read}");
    let elsewhere = CertificateSettings {
        source_networks: vec!["192.0.2.0/24".parse().unwrap()],
        ..CertificateSettings::default()
    };
    administrator.accounts().set(&account, &set(elsewhere)).await.unwrap();
    let key = signed(&technician, &held, &server, "elsewhere").await;
    assert!(!opens(&server, &user, &key), "good from elsewhere only: {}", server.log());
    let somebody = CertificateSettings { principals: Some(vec!["web-admins".parse().unwrap()]), ..Default::default() };
    administrator.accounts().set(&account, &set(somebody)).await.unwrap();
    let key = signed(&technician, &held, &server, "somebody").await;
    assert!(!opens(&server, &user, &key), "not for this user: {}", server.log());

    // A certificate, and the key of an authority, are never certified.
    let certificate = fs::read_to_string(format!("{key}-cert.pub")).unwrap();
    let refused = technician.checkouts().sign(held.id, &SignKey { public_key: certificate }).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::InvalidValue), "{refused}");
    assert!(format!("{refused:?}").contains("a certificate, not a key"), "{refused:?}");
    let authority =
        administrator.systems(&part("acme")).show(&part("web01")).await.unwrap().certificate_authority.unwrap();
    let refused =
        technician.checkouts().sign(held.id, &SignKey { public_key: authority.to_string() }).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::InvalidValue), "{refused}");

    // There is nothing to reveal, and nothing to rotate.
    let refused = technician.checkouts().reveal(held.id).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::WrongAccountKind), "{refused}");
    vault.stop().await;
}

/// Another system's authority is another one: who may use one host's account gets no certificate for another host.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_one_host_opens_no_other() {
    let (vault, server) = house().await;
    let other = OpenSsh::start();
    let user = server.add_user("cvtw", &random_text());
    let account = add_linux(&vault.administrator(), "acme/web01/root", &server, &user).await;
    add_linux(&vault.administrator(), "acme/web02/root", &other, &user).await;
    vault.set_slow_by(0);
    let technician = vault.technician();
    let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let key = signed(&technician, &held, &server, "key").await;
    assert!(opens(&server, &user, &key), "{}", server.log());
    assert!(!opens(&other, &user, &key), "{}", other.log());
    vault.stop().await;
}

async fn house() -> (InProcess, OpenSsh) {
    let vault = InProcess::start_slow_by(60).await;
    add_customer(&vault.administrator(), "acme").await;
    (vault, OpenSsh::start())
}

fn state(checkout: &Checkout) -> RevocationState {
    checkout.revocation.as_ref().map_or(RevocationState::NotNeeded, |revocation| revocation.state)
}

/// A new key in this file of the server's folder, and its certificate beside it.
async fn signed(client: &Client, held: &Checkout, server: &OpenSsh, file: &str) -> String {
    let key = server.file(file);
    make_key(&key);
    let key = key.display().to_string();
    let signed = client.checkouts().sign(held.id, &public(&key)).await.unwrap();
    fs::write(format!("{key}-cert.pub"), &signed.certificate).unwrap();
    key
}

fn public(key: &str) -> SignKey {
    SignKey { public_key: fs::read_to_string(format!("{key}.pub")).unwrap() }
}

/// Whether OpenSSH's own client gets in by this key and its certificate.
fn opens(server: &OpenSsh, user: &str, key: &str) -> bool {
    server.client(user, &["-i", key], "true").status.success()
}

/// What a tool says, whether it succeeds or not.
fn run_any(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
}
