//! The server's process and files, and those of the command line: nobody else may look into them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use claviger_api::wire::Role;
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_customer, add_postgres, add_role};
use claviger_tests::postgres::{Postgres, random_text};
use claviger_tests::server::{Launch, server_program};
use claviger_tests::vault::Vault;

/// Rights of the group and of everybody.
const OTHERS: u32 = 0o077;

#[tokio::test]
async fn anvil_memory() {
    let vault = Vault::start_with(&Launch { unprivileged: true, ..Launch::default() }).await;
    let of = |file: &str| format!("/proc/{}/{file}", vault.pid());
    let status = fs::read_to_string(of("status")).unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap().trim().to_owned();
    let kilobytes: u64 = locked.trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes > 0, "key pages are locked: {locked}");

    let limits = fs::read_to_string(of("limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "no core dumps");

    // What is not dumpable belongs to root under /proc, whoever runs it (proc(5)), and its user cannot look into it.
    let server = fs::metadata(of("status")).unwrap().uid();
    let runs_as = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let runs_as: u32 = runs_as.split_whitespace().next().unwrap().parse().unwrap();
    assert_ne!(runs_as, 0, "the server does not run as root here");
    assert_eq!(server, 0, "the server is not dumpable");
    for file in ["mem", "environ", "maps"] {
        let peek = Command::new("setpriv").args(as_user(runs_as)).args(["head", "-c1", &of(file)]).output().unwrap();
        assert!(!peek.status.success(), "its own user reads {file}");
    }
}

/// `setpriv` arguments: run as this user, who may be the test's own.
fn as_user(uid: u32) -> Vec<String> {
    if rustix::process::geteuid().is_root() {
        vec![format!("--reuid={uid}"), "--clear-groups".to_owned(), "--".to_owned()]
    } else {
        vec!["--".to_owned()]
    }
}

#[tokio::test]
async fn anvil_file_modes() {
    let mut vault = Vault::start().await;
    vault.administrator().sys().status().await.unwrap();
    let data = vault.data_directory();
    let mut looked_at = 0;
    every_path(&data, &mut |path, mode| {
        looked_at += 1;
        assert_eq!(mode & OTHERS, 0, "{} has mode {mode:o}", path.display());
    });
    assert!(looked_at > 5 || !vault.rows_elsewhere().await.is_empty());
    vault.stop().await;

    for mode in [0o750, 0o705, 0o710, 0o701] {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        let refused =
            Command::new(server_program()).arg("run").arg("--config").arg(vault.config_file()).output().unwrap();
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("chmod go="), "{mode:o}: {said}");
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    vault.restart().await;
}

/// `exec` gives the secret to its child alone, and in no argument; nothing takes one as an argument.
#[tokio::test]
async fn anvil_child_process() {
    let postgres = Postgres::start().await;
    let vault = Vault::start().await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &postgres).await;
    add_role(&administrator, &postgres, "acme/db01/admin").await;
    let token = vault.people.administrator.adds_program(vault.address(), "robot", Role::Automation, "acme").await;
    let cli = Cli::at(vault.address()).with("CLAVIGER_TOKEN", token.expose());

    let look = "for pid in $PPID $$; do tr '\\0' ' ' < /proc/$pid/cmdline; echo; done; echo \"secret=$PGPASSWORD\"; \
                echo \"token=$CLAVIGER_TOKEN\"";
    let done = cli.run(&["exec", "acme/db01/admin", "--reason", "look", "--", "sh", "-c", look]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let line = |start: &str| done.stdout.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let secret = line("secret=");
    assert!(secret.len() > 20, "the child has it: {done:?}");
    assert_eq!(line("token="), "", "the vault's token is not the child's");
    let arguments: Vec<&str> = done.stdout.lines().take_while(|line| !line.starts_with("secret=")).collect();
    assert!(arguments.iter().any(|line| line.contains("exec acme/db01/admin")), "{arguments:?}");
    assert!(!arguments.concat().contains(&secret) && !done.stderr.contains(&secret), "{done:?}");
    let spent = async || (!postgres.can_login("admin", &secret).await).then_some(());
    claviger_tests::poll::until("the secret is dead", std::time::Duration::from_mins(1), spent).await;

    let canary = random_text();
    for words in [
        vec!["login", "ada", "--password", &canary],
        vec!["account", "add", "acme/db01/new", "--secret", &canary],
        vec!["--token", &canary, "whoami"],
        vec!["operator", "unseal", "--share", &canary],
        vec!["operator", "unseal", &canary],
    ] {
        let refused = cli.run(&words).await;
        assert_eq!(refused.code, 2, "{words:?}: {refused:?}");
        assert!(!refused.stderr.contains(&canary) && refused.stdout.is_empty(), "{words:?}: {refused:?}");
    }
}

fn every_path(path: &Path, see: &mut impl FnMut(&Path, u32)) {
    see(path, fs::metadata(path).unwrap().permissions().mode());
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            every_path(&entry.unwrap().path(), see);
        }
    }
}
