//! The unit of systemd: how far it confines the server, and that the server can live so.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use claviger_tests::server::{Launch, config_text, server_program};
use claviger_tests::vault::Vault;

use crate::judges::{content, repository, said};

/// What `systemd-analyze security` may find at most, in tenths.
const EXPOSURE_MOST: u32 = 20;

#[test]
fn the_unit_exposes_little() {
    let report = content(
        Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--no-pager"])
            .arg(repository("deploy/claviger.service")),
    );
    let line = report.lines().find(|line| line.contains("Overall exposure level")).expect("a verdict");
    let level = line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).expect("a level");
    assert!(level * 10.0 <= f64::from(EXPOSURE_MOST), "{line}");
}

#[test]
fn the_unit_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    // The judge wants the program to be there.
    let text = fs::read_to_string(repository("deploy/claviger.service")).unwrap();
    let unit = folder.path().join("claviger.service");
    fs::write(&unit, text.replace("/usr/local/bin/claviger-server", "/bin/true")).unwrap();
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    // It also speaks of whatever else is on this machine.
    let of_ours: Vec<String> =
        said(&verified).lines().filter(|line| line.contains("claviger")).map(str::to_owned).collect();
    assert!(of_ours.is_empty(), "{of_ours:?}");
}

/// Every system call that the server makes is one that the unit lets it make: the others would fail there, and only there.
#[tokio::test]
async fn the_server_needs_no_system_call_that_the_unit_forbids() {
    let traced = tempfile::tempdir().unwrap();
    let calls = traced.path().join("calls");
    let launch = Launch { trace: Some(calls.clone()), ..Launch::default() };
    let mut vault = Vault::start_with(&launch).await;
    vault.administrator().sys().status().await.unwrap();
    vault.stop().await;
    let trace = fs::read_to_string(&calls).unwrap();
    // "1234 openat(…) = 3", "1234 <... read resumed>…": strace's lines.
    let made: BTreeSet<&str> = trace
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1)?.split_once('('))
        .map(|(name, _)| name)
        .collect();
    assert!(made.contains("mlock2") || made.contains("mlock"), "it locks memory: {made:?}");
    let allowed = allowed();
    assert!(allowed.contains("openat") && !allowed.contains("ptrace") && !allowed.contains("chown"), "{allowed:?}");
    // The test's own wrapper has itself killed with the test before it becomes the server.
    let forbidden: Vec<&&str> = made.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(forbidden.is_empty(), "the unit forbids {forbidden:?}");
}

/// What the `SystemCallFilter=` lines of the unit come to, by systemd's own lists.
fn allowed() -> BTreeSet<String> {
    let text = fs::read_to_string(repository("deploy/claviger.service")).unwrap();
    let mut allowed = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (words, takes) = line.strip_prefix('~').map_or((line, true), |rest| (rest, false));
        for call in words.split_whitespace().flat_map(calls_of) {
            if takes {
                allowed.insert(call);
            } else {
                allowed.remove(&call);
            }
        }
    }
    // systemd lets every service make these, whatever the filter says (systemd.exec(5)).
    allowed.extend(
        ["execve", "exit", "exit_group", "getrlimit", "rt_sigreturn", "sigreturn", "arch_prctl"].map(str::to_owned),
    );
    allowed
}

/// A system call, or those of a set such as `@system-service`.
fn calls_of(word: &str) -> Vec<String> {
    if !word.starts_with('@') {
        return vec![word.to_owned()];
    }
    let listed = content(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", word]));
    let names = listed.lines().skip(1).map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#'));
    names.flat_map(calls_of).collect()
}

/// The example goes with the unit: what it names, the unit lets the server write.
#[test]
fn the_unit_lets_the_server_write_where_the_example_says() {
    let unit = fs::read_to_string(repository("deploy/claviger.service")).unwrap();
    let setting = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().to_owned();
    let mut writable: Vec<String> =
        setting("StateDirectory=").split_whitespace().map(|name| format!("/var/lib/{name}")).collect();
    writable.extend(setting("LogsDirectory=").split_whitespace().map(|name| format!("/var/log/{name}")));
    writable.extend(setting("ReadWritePaths=").split_whitespace().map(|path| path.trim_start_matches('-').to_owned()));
    let example = fs::read_to_string(repository("deploy/claviger.example.toml")).unwrap();
    let mut found = 0;
    for text in example.split('"').filter(|text| text.starts_with("/var/") || text.starts_with("file:///var/")) {
        let path = text.trim_start_matches("file://");
        assert!(writable.iter().any(|writable| path.starts_with(writable)), "{path} is not within {writable:?}");
        found += 1;
    }
    assert!(found >= 4, "the example names where it writes");
}

/// It refuses to start rather than keep keys in memory that may be written to a disk.
#[test]
fn without_locked_memory_the_server_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("claviger.toml");
    fs::write(&config, config_text(&folder.path().join("data"), "info")).unwrap();
    let started = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", "prlimit", "--memlock=0:0"])
        .arg(server_program())
        .args(["run", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!started.status.success() && said(&started).contains("lock"), "{}", said(&started));
}
