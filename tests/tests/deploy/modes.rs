//! Everything private that the server reads or writes: where others may read or enter it, nothing starts, and `check-config` says so.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use claviger_tests::pki::Ca;
use claviger_tests::server::{config_text, server_program};

use crate::judges::said;

/// A recipient of backups.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

/// What is private, as it is called in the folder of a test, and the configuration that names it.
fn private(folder: &Path) -> Vec<(&'static str, String)> {
    let at = |name: &str| folder.join(name).display().to_string();
    let base = config_text(&folder.join("data"), "info").replace(&at("data.anchor"), &at("anchor/checkpoint"));
    let more = |text: String| format!("{base}{text}");
    let audit = |text: String| base.replace("[log]", &format!("{text}\n[log]"));
    let syslog = format!(
        "[[audit.streams]]\nname = 's'\nformat = 'json'\nto = 'syslog+tls://localhost:6514'\nca_file = '{}'\n\
         certificate = '{}'\nkey = '{}'\n",
        at("ca.pem"),
        at("client.pem"),
        at("client-key.pem")
    );
    let https = format!(
        "[[audit.streams]]\nname = 's'\nformat = 'json'\nto = 'https://localhost/'\nca_file = '{}'\ntoken_file = '{}'\n",
        at("ca.pem"),
        at("token")
    );
    vec![
        ("data", base.clone()),
        ("anchor", base.clone()),
        ("archive", audit(format!("archive_directory = '{}'", at("archive")))),
        ("backups", more(format!("[backup]\ndirectory = '{}'\nrecipients = ['{RECIPIENT}']\n", at("backups")))),
        ("kits", more(format!("[kits]\ndirectory = '{}'\nrecipients = ['{RECIPIENT}']\n", at("kits")))),
        (
            "server-key.pem",
            more(format!("[tls]\ncertificate = '{}'\nkey = '{}'\n", at("server.pem"), at("server-key.pem"))),
        ),
        ("client-key.pem", more(syslog)),
        ("token", more(https)),
        (
            "password",
            more(format!(
                "[store]\nengine = 'postgresql'\nhost = '127.0.0.1'\nport = 1\ndatabase = 'd'\nuser = 'u'\ntls = 'disable'\n\
                 password_file = '{}'\n",
                at("password")
            )),
        ),
    ]
}

fn run(words: &[&str], config: &Path) -> (bool, String) {
    let done = Command::new("timeout").arg("20").arg(server_program()).args(words).arg(config).output().unwrap();
    (done.status.success(), said(&done))
}

#[test]
fn anvil_file_modes_nothing_private_may_be_open_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Ca::new("Test CA");
    ca.server().write(folder.path(), "server");
    ca.client("claviger", &["claviger"]).write(folder.path(), "client");
    fs::write(folder.path().join("ca.pem"), &ca.pem).unwrap();
    for file in ["token", "password"] {
        fs::write(folder.path().join(file), "correct-horse\n").unwrap();
    }
    for directory in ["data", "anchor", "archive", "backups", "kits"] {
        fs::create_dir(folder.path().join(directory)).unwrap();
    }
    let set = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    let private = private(folder.path());
    let closed = |name: &str| if folder.path().join(name).is_dir() { 0o700 } else { 0o600 };
    for (name, _) in &private {
        set(name, closed(name));
    }
    let config = folder.path().join("claviger.toml");
    for (name, text) in &private {
        fs::write(&config, text).unwrap();
        let (right, said) = run(&["check-config"], &config);
        assert!(right, "{name}: {said}");
        for wider in [0o040, 0o010, 0o004, 0o001, 0o070] {
            set(name, closed(name) | wider);
            let path = folder.path().join(name).display().to_string();
            for words in [&["check-config"][..], &["run", "--config"]] {
                let (started, said) = run(words, &config);
                assert!(
                    !started && said.contains("chmod go=") && said.contains(&path),
                    "{words:?} {name} {wider:o}: {said}"
                );
                assert!(!said.contains("correct-horse"), "{said}");
            }
        }
        set(name, closed(name));
    }
}
