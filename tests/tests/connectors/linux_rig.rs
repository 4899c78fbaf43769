//! A real Linux host, this one, as the laws want it. The laws name their users, so that only one rig is up at a time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{HostKey, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::laws::listing::Listed;
use claviger_connectors::laws::{EdgeLogins, Fixture, Stay};
use claviger_connectors::{Connector, Credential, Deadlines, Linux};
use claviger_tests::openssh::{OpenSsh, make_key, run};
use claviger_tests::postgres::random_text;

use super::rig::{login, reach, secret};

/// One rig at a time.
const ALONE: &str = "/tmp/claviger-test-laws-of-linux.lock";
/// What `docs/connectors.md` says that a management account must be allowed to run.
const MAY: &str = "ALL=(root) NOPASSWD: /usr/sbin/chpasswd \"\", /usr/sbin/useradd, /usr/sbin/usermod, \
    /usr/sbin/userdel, /usr/bin/pkill, /usr/bin/pgrep, /usr/bin/loginctl, /usr/bin/crontab, \
    /usr/bin/tee /etc/sudoers.d/claviger_*, /bin/chmod 0440 /etc/sudoers.d/claviger_*, \
    /usr/sbin/visudo -c -f /etc/sudoers.d/claviger_*, /bin/mv -f /etc/sudoers.d/claviger_*, \
    /bin/rm -f /etc/sudoers.d/claviger_*, \
    /usr/bin/cvtsudoers -e -f json /etc/sudoers, /usr/bin/passwd -S -a, /usr/bin/stat";
/// sshd checks passwords itself: PAM would wait 2 s after each wrong one.
const WITHOUT_PAM: &str = "UsePAM no";

/// The server, the connector, and a management account that is not root.
pub struct Rig {
    pub openssh: OpenSsh,
    pub connector: Linux,
    manager: Login,
    password: Secret,
    _alone: File,
}

impl Rig {
    pub fn start() -> Self {
        let alone = File::options().create(true).truncate(false).write(true).open(ALONE).unwrap();
        alone.lock().unwrap();
        forget_users();
        let openssh = OpenSsh::start_with(WITHOUT_PAM);
        for folder in ["faults", "left"] {
            fs::create_dir(openssh.file(folder)).unwrap();
            fs::set_permissions(openssh.file(folder), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let shell = openssh.file("shell");
        fs::write(&shell, SHELL.replace("FAULTS", &openssh.file("faults").display().to_string())).unwrap();
        fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
        let (manager, password) = (login("cv-manager"), secret(&random_text()));
        openssh.add_named(manager.as_str(), password.expose(), &shell.display().to_string());
        openssh.add_sudo_rule(manager.as_str(), MAY);
        let deadlines = Deadlines { login: Duration::from_secs(10), ..Deadlines::LINUX };
        Self { connector: connector(deadlines), openssh, manager, password, _alone: alone }
    }

    /// Every command line that a shell of the host's was given.
    pub fn command_lines(&self) -> String {
        fs::read_to_string(self.openssh.file("faults").join("lines")).unwrap_or_default()
    }

    fn after(&self, fault: &str) -> SystemSpec {
        fs::write(self.openssh.file("faults").join(fault), "").unwrap();
        fs::set_permissions(self.openssh.file("faults").join(fault), fs::Permissions::from_mode(0o666)).unwrap();
        self.system()
    }

    fn left_behind(&self) -> PathBuf {
        self.openssh.file("left").join("left_behind")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        forget_users();
    }
}

/// A login shell that writes down what it is told, and once, where a test wants it to, loses the line before or after it
/// has changed something.
const SHELL: &str = r#"#!/bin/sh
printf '%s\n' "$2" >> FAULTS/lines; chmod 666 FAULTS/lines 2>/dev/null
case "$2" in
*/sbin/useradd*|*/sbin/usermod*|*/sbin/userdel*|*/sbin/chpasswd*|/usr/bin/passwd*)
    if mv FAULTS/lose-change FAULTS/lost 2>/dev/null; then kill -KILL $PPID; exit 1; fi
    if mv FAULTS/lose-reply FAULTS/lost 2>/dev/null; then /bin/sh -c "$2"; kill -KILL $PPID; exit 1; fi ;;
esac
[ $# = 0 ] && exec /bin/sh
exec /bin/sh "$@"
"#;

/// The connector, allowed to reach loopback.
pub fn connector(deadlines: Deadlines) -> Linux {
    Linux::new(reach(deadlines))
}

/// Removes the vault's users that a law left: those of checkouts have an ending of their own, and are let be.
fn forget_users() {
    for line in fs::read_to_string("/etc/passwd").unwrap().lines() {
        let name = line.split(':').next().unwrap();
        let ending = name.rsplit_once('_').map_or("", |(_, ending)| ending);
        let of_a_checkout = ending.len() == 8 && ending.chars().all(|c| c.is_ascii_hexdigit());
        if line.contains(&format!(":/home/claviger-{name}:")) && !of_a_checkout {
            let _gone = Command::new("userdel").args(["-f", "-r", name]).stderr(Stdio::null()).status();
        }
    }
}

#[async_trait]
impl Fixture for Rig {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn system(&self) -> SystemSpec {
        self.openssh.spec()
    }

    fn at(&self, host: &str, port: u16) -> SystemSpec {
        let host_keys = vec![self.openssh.host_key()];
        SystemSpec::Linux { host: host.to_owned(), port, host_keys, lockout_threshold: None }
    }

    fn strangers(&self) -> Vec<SystemSpec> {
        make_key(&self.openssh.file("stranger"));
        let key: HostKey = fs::read_to_string(self.openssh.file("stranger.pub")).unwrap().parse().unwrap();
        [vec![key], Vec::new()]
            .map(|host_keys| {
                let mut system = self.system();
                let SystemSpec::Linux { host_keys: known, .. } = &mut system else { unreachable!() };
                *known = host_keys;
                system
            })
            .into()
    }

    async fn losing_reply(&self) -> SystemSpec {
        self.after("lose-reply")
    }

    async fn losing_change(&self) -> SystemSpec {
        self.after("lose-change")
    }

    fn management(&self) -> Credential<'_> {
        Credential { login: &self.manager, secret: &self.password }
    }

    fn fresh_secret(&self) -> Secret {
        secret(&random_text())
    }

    fn edge_logins(&self) -> EdgeLogins {
        EdgeLogins {
            longest: vec![login(&"n".repeat(32))],
            too_long: vec![login(&"n".repeat(33)), login(&"n".repeat(256))],
        }
    }

    fn takes_login(&self, login: &Login) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        !login.as_str().starts_with(|c: char| c.is_ascii_digit() || ".-".contains(c))
            && login.as_str().chars().all(plain)
    }

    fn takes_secret(&self, secret: &Secret) -> bool {
        !secret.expose().contains(char::is_control)
    }

    async fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(run("date", &["+%s%6N"], "").trim().parse().unwrap()).unwrap()
    }

    async fn add_login(&self, login: &Login, secret: &Secret) {
        self.openssh.add_named(login.as_str(), secret.expose(), &self.openssh.file("shell").display().to_string());
    }

    async fn add_group(&self, group: &Login) {
        self.openssh.add_group(group.as_str());
    }

    async fn exists(&self, login: &Login) -> bool {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        passwd.lines().any(|line| line.split(':').next() == Some(login.as_str()))
    }

    async fn is_member(&self, login: &Login, group: &Login) -> bool {
        run("id", &["-nG", login.as_str()], "").split_whitespace().any(|name| name == group.as_str())
    }

    async fn opens(&self, login: &Login, secret: &Secret) -> bool {
        self.openssh.opens(login.as_str(), secret.expose())
    }

    async fn stay(&self, login: &Login, secret: &Secret) -> Box<dyn Stay> {
        let mut client = self.openssh.by_password(login.as_str(), secret.expose(), "exec cat");
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (client.stdin.take().unwrap(), BufReader::new(client.stdout.take().unwrap()));
        Box::new(Session { client, input, output })
    }

    /// What is outside of its home stays, and belongs to a number without a name.
    fn has_owners(&self) -> bool {
        false
    }

    async fn leave_property(&self, login: &Login, secret: &Secret) {
        let write = format!("echo left > {0}; echo home > ~/mine", self.left_behind().display());
        let done = self.openssh.by_password(login.as_str(), secret.expose(), &write).status().unwrap();
        assert!(done.success());
    }

    async fn property_owners(&self) -> Vec<Login> {
        assert_eq!(fs::read_to_string(self.left_behind()).unwrap(), "left\n");
        Vec::new()
    }
}

#[async_trait]
impl Listed for Rig {
    async fn empower(&self, login: &Login) -> Vec<String> {
        run("usermod", &["-a", "-G", "sudo", login.as_str()], "");
        self.openssh.add_sudo_rule(login.as_str(), "ALL=(root) NOPASSWD: /usr/bin/id");
        ["in sudo", "some commands by sudo"].map(str::to_owned).into()
    }

    async fn bar(&self, login: &Login) {
        run("usermod", &["-s", "/usr/sbin/nologin", login.as_str()], "");
    }
}

/// A session that stays until it is ended.
struct Session {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

#[async_trait]
impl Stay for Session {
    async fn lives(&mut self) -> bool {
        let mut line = String::new();
        let said = self.input.write_all(b"there?\n").and_then(|()| self.output.read_line(&mut line));
        said.is_ok() && line == "there?\n"
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ended = self.client.kill();
        let _ended = self.client.wait();
    }
}
