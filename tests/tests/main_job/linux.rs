//! Users of a real Linux host, by the command line.

#![expect(clippy::indexing_slicing, reason = "answers as JSON")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_customer, available};
use claviger_tests::openssh::{HOST, OpenSsh, make_key, run};
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;
use claviger_tests::vault::Vault;

use super::SOON;

/// A standing and an ephemeral account: added, lent to OpenSSH's own client, checked in, and of no use afterwards.
#[tokio::test]
async fn users_of_a_linux_host_are_lent_and_closed_again() {
    let (server, vault) = (OpenSsh::start(), Vault::start().await);
    add_customer(&vault.administrator(), "acme").await;
    let first = random_text();
    let user = server.add_user("cvap", &first);
    let ada = vault.people.administrator.terminal(vault.address()).await;
    set_up(&ada, &server, &user, &first).await;

    let tina = vault.people.technician.terminal(vault.address()).await;
    let client = client(&server);
    let lend = async |account: &str, command: &str| {
        let words = ["exec", account, "--for", "30m", "--reason", "a test", "--", client.as_str(), command];
        let done = tina.run(&words).await;
        assert_eq!(done.code, 0, "{done:?}\n{}", server.log());
        done.stdout
    };
    assert_eq!(lend("acme/web01/app", "id -un").await.trim(), user);
    available(&vault.technician(), &"acme/web01/app".parse().unwrap(), SOON).await;
    assert!(!server.opens(&user, &first), "what was lent opens nothing any more");
    let verified = tina.run(&["account", "verify", "acme/web01/app"]).await.json();
    assert_eq!((&verified["result"], &verified["version"]), (&"accepted".into(), &2.into()), "{verified}");

    let seen = lend("acme/web01/ops", "id -un; id -nG; sudo -n /usr/bin/id -u; pwd").await;
    let lines: Vec<&str> = seen.lines().collect();
    let [login, groups, zero, home] = lines.as_slice() else { panic!("{seen}") };
    assert!(login.starts_with("ops_") && groups.split(' ').any(|group| group == "adm"), "{seen}");
    assert_eq!((*zero, *home), ("0", format!("/home/claviger-{login}").as_str()));
    until("the user is removed", SOON, async || {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        (!passwd.contains(login)).then_some(())
    })
    .await;
    assert!(!Path::new(home).exists() && !Path::new(&format!("/etc/sudoers.d/claviger_{login}")).exists());

    // Held by hand: revealed, a session opened and left open, given back.
    let held = tina.run(&["checkout", "acme/web01/app", "--for", "30m", "--reason", "x", "--show"]).await.json();
    let password = held["secret"].as_str().unwrap().to_owned();
    let mut session = server.by_password(&user, &password, "sleep 300").spawn().unwrap();
    until("the session is open", SOON, async || server.log().contains("Starting session: command for").then_some(()))
        .await;
    let id = held["checkout"]["id"].as_str().unwrap().to_owned();
    assert_eq!(tina.run(&["checkin", &id]).await.code, 0);
    until("the session is ended", SOON, async || session.try_wait().unwrap()).await;
    available(&vault.technician(), &"acme/web01/app".parse().unwrap(), SOON).await;
    assert!(!server.opens(&user, &password), "refused after the check-in");
}

/// An account whose secret is a private key gets another one at a rotation, and the old one is seen refused.
#[tokio::test]
async fn the_key_of_a_linux_account_is_rotated() {
    let (server, vault) = (OpenSsh::start(), Vault::start().await);
    add_customer(&vault.administrator(), "acme").await;
    let (user, home) = (server.add_user("cvky", &random_text()), server.file("home"));
    make_key(&server.file("first"));
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::copy(server.file("first.pub"), home.join(".ssh/authorized_keys")).unwrap();
    run("usermod", &["-d", &home.display().to_string(), &user], "");
    run("chown", &["-R", &user, &home.display().to_string()], "");
    let ada = vault.people.administrator.terminal(vault.address()).await;
    let (key, port) = (server.host_key().to_string(), server.port().to_string());
    let add = ["system", "add", "acme/web01", "--kind", "linux", "--host", HOST, "--port", &port, "--host-key", &key];
    let add_account = ["account", "add", "acme/web01/deploy", "--login", &user, "--stdin"];
    let first = fs::read_to_string(server.file("first")).unwrap();
    for (words, input) in [(&add[..], ""), (&add_account, first.as_str())] {
        let done = ada.run_with(words, input).await;
        assert_eq!(done.code, 0, "{done:?}");
    }
    let opens = |key: &str| server.client(&user, &["-i", &server.file(key).display().to_string()], "true");
    assert!(opens("first").status.success(), "{}", server.log());

    let tina = vault.people.technician.terminal(vault.address()).await;
    let rotated = tina.run(&["rotate", "acme/web01/deploy", "--wait=1m"]).await;
    assert_eq!(rotated.code, 0, "{rotated:?}\n{}", server.log());
    assert!(!opens("first").status.success(), "the old key is out");
    let verified = tina.run(&["account", "verify", "acme/web01/deploy"]).await.json();
    assert_eq!((&verified["result"], &verified["version"]), (&"accepted".into(), &2.into()), "{verified}");
    let held = tina.run(&["checkout", "acme/web01/deploy", "--for", "30m", "--reason", "x", "--show"]).await.json();
    fs::write(server.file("second"), held["secret"].as_str().unwrap()).unwrap();
    fs::set_permissions(server.file("second"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(opens("second").status.success(), "{}", server.log());
}

async fn set_up(ada: &Cli, server: &OpenSsh, user: &str, first: &str) {
    let password = random_text();
    let manager = server.add_user("cvmg", &password);
    server.add_sudo_rule(&manager, "ALL=(root) NOPASSWD: ALL");
    let (key, port) = (server.host_key().to_string(), server.port().to_string());
    let run = async |words: &[&str], input: &str| {
        let done = ada.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        done
    };
    run(&["system", "add", "acme/web01", "--kind", "linux", "--host", HOST, "--port", &port, "--host-key", &key], "")
        .await;
    run(&["account", "add", "acme/web01/manager", "--login", &manager, "--stdin"], &password).await;
    run(&["system", "set", "acme/web01", "--management-account", "manager"], "").await;
    run(&["account", "add", "acme/web01/app", "--login", user, "--stdin"], first).await;
    let rule = "ALL=(root) NOPASSWD: /usr/bin/id";
    let ops = ["account", "add", "acme/web01/ops", "--kind", "ephemeral", "--member-of", "adm", "--sudo-rule", rule];
    let added = run(&ops, "").await.json();
    assert_eq!(added["settings"]["sudo_rules"][0], rule, "{added}");
}

/// A program that logs in with what `exec` gives it, and runs its first argument there.
fn client(server: &OpenSsh) -> String {
    let (known, ask, client) = (server.file("known_hosts"), server.file("asked"), server.file("client"));
    fs::write(&known, format!("[{HOST}]:{} {}\n", server.port(), server.host_key())).unwrap();
    let text = format!(
        "#!/bin/sh\nexport SSH_ASKPASS={} SSH_ASKPASS_REQUIRE=force\nexec ssh -F none -o UserKnownHostsFile={} \
         -o NumberOfPasswordPrompts=1 -o PubkeyAuthentication=no -p \"$LINUX_PORT\" -l \"$LINUX_USER\" \"$LINUX_HOST\" \"$1\"\n",
        ask.display(),
        known.display()
    );
    for (file, text) in [(&ask, "#!/bin/sh\nprintf '%s\\n' \"$SSHPASS\"\n".to_owned()), (&client, text)] {
        fs::write(file, text).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    client.display().to_string()
}
