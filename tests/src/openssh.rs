//! A real OpenSSH server of a test's own: its own folder, port and host key, on users of this machine that are made for
//! the test. It ends with the test, also with one that panics; users whom a killed test left are removed by the next.

#![expect(clippy::unwrap_used, reason = "a test whose system does not start cannot go on")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use claviger_api::wire::{HostKey, SystemSpec};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::postgres::random_text;

/// Where it listens.
pub const HOST: &str = "127.0.0.1";

const SSHD: &str = "/usr/sbin/sshd";
/// What sshd becomes while nobody is logged in; Debian makes it when the service starts.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";
/// Held while users are added or removed: several tests do it at once, and the tools give up at once.
const USERS_LOCK: &str = "/tmp/claviger-test-users.lock";
/// What the users of tests are described as, before the number of the process that made them.
const MARK: &str = "claviger-test-";
const START_MAX: Duration = Duration::from_secs(30);
const LOOK_PAUSE: Duration = Duration::from_millis(10);
const PORT_TRIES: u32 = 5;

/// A running server.
pub struct OpenSsh {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
    users: Mutex<Vec<String>>,
    groups: Mutex<Vec<String>>,
    files: Mutex<Vec<PathBuf>>,
}

impl OpenSsh {
    /// Starts one that takes passwords, keys, and certificates of whatever CA [`trust`](Self::trust) names.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same, with lines of `sshd_config` before the others: the first one counts.
    pub fn start_with(lines: &str) -> Self {
        assert!(rustix::process::geteuid().is_root(), "the tests of Linux hosts make users, and so run as root");
        assert!(Path::new(SSHD).exists(), "OpenSSH's server is not installed: apt-get install openssh-server");
        let _there = fs::DirBuilder::new().mode(0o755).create(PRIVILEGE_SEPARATION);
        let folder = TempDir::with_prefix("claviger-openssh-").unwrap();
        // sshd looks for files of its users in here as those users.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut server = Self {
            folder,
            port: 0,
            server: None,
            users: Mutex::default(),
            groups: Mutex::default(),
            files: Mutex::default(),
        };
        make_key(&server.file("host_key"));
        for file in ["trusted", "revoked"] {
            fs::write(server.file(file), "").unwrap();
        }
        for _ in 0..PORT_TRIES {
            server.port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
            if server.run(lines) {
                return server;
            }
        }
        panic!("sshd does not start:\n{}", server.log());
    }

    fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
            let _ended = pid.map(|pid| kill_process(pid, Signal::TERM));
            let _ended = server.wait();
        }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its host key, as `ssh_host_ed25519_key.pub` says it.
    pub fn host_key(&self) -> HostKey {
        fs::read_to_string(self.file("host_key.pub")).unwrap().trim().parse().unwrap()
    }

    /// The system as an administrator would add it.
    pub fn spec(&self) -> SystemSpec {
        SystemSpec::Linux {
            host: HOST.to_owned(),
            port: self.port,
            host_keys: vec![self.host_key()],
            lockout_threshold: None,
        }
    }

    /// From now on it takes certificates of this CA.
    pub fn trust(&self, authority: &str) {
        fs::write(self.file("trusted"), format!("{authority}\n")).unwrap();
    }

    /// From now on it refuses what this list names (OpenSSH's KRL).
    pub fn revoke(&self, list: &[u8]) {
        fs::write(self.file("revoked"), list).unwrap();
    }

    /// Adds a user with this password; a random name that begins with `prefix`. It goes with the server.
    pub fn add_user(&self, prefix: &str, password: &str) -> String {
        let name = format!("{prefix}{}", random_text().get(1..11).unwrap()).to_lowercase();
        self.add_named(&name, password, "/bin/sh");
        name
    }

    /// Adds a user of this name and with this shell; it goes with the server.
    pub fn add_named(&self, name: &str, password: &str, shell: &str) {
        let _lock = lock_users();
        sweep();
        let comment = format!("{MARK}{}", std::process::id());
        run_patiently("useradd", &["-M", "-d", "/", "-s", shell, "-c", &comment, name], "");
        self.users.lock().unwrap().push(name.to_owned());
        run_patiently("chpasswd", &[], &format!("{name}:{password}\n"));
    }

    /// Adds a group; it goes with the server.
    pub fn add_group(&self, name: &str) {
        let _lock = lock_users();
        run_patiently("groupadd", &[name], "");
        self.groups.lock().unwrap().push(name.to_owned());
    }

    /// Puts rules of sudo in force for a user, as they follow its name; they go with the server.
    pub fn add_sudo_rule(&self, name: &str, rule: &str) {
        let file = sudoers_file(name);
        fs::write(&file, format!("{name} {rule}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
        run("visudo", &["-c", "-f", &file.display().to_string()], "");
        self.files.lock().unwrap().push(file);
    }

    /// Takes a user's rules of sudo away.
    pub fn forbid_sudo(&self, name: &str) {
        fs::remove_file(sudoers_file(name)).unwrap();
    }

    /// OpenSSH's own client, logging in with a password; it is asked for once.
    pub fn by_password(&self, user: &str, password: &str, command: &str) -> Command {
        let (known, ask) = (self.file("known_hosts"), self.file("ask"));
        fs::write(&known, format!("[{HOST}]:{} {}\n", self.port, self.host_key())).unwrap();
        if !ask.exists() {
            let new = self.file("ask.new");
            fs::write(&new, "#!/bin/sh\nprintf '%s\\n' \"$CLAVIGER_TEST_SECRET\"\n").unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&new, &ask).unwrap();
        }
        let mut client = Command::new("setsid");
        client.args(["-w", "ssh", "-F", "none", "-o", "NumberOfPasswordPrompts=1", "-o", "PubkeyAuthentication=no"]);
        client.args(["-o", &format!("UserKnownHostsFile={}", known.display()), "-p", &self.port.to_string()]);
        client.args(["-l", user, HOST, command]).env("SSH_ASKPASS", &ask).env("SSH_ASKPASS_REQUIRE", "force");
        client.env("CLAVIGER_TEST_SECRET", password).stdin(Stdio::null());
        client
    }

    /// Whether OpenSSH's own client gets in with this password.
    pub fn opens(&self, user: &str, password: &str) -> bool {
        self.by_password(user, password, "true").output().unwrap().status.success()
    }

    /// Runs OpenSSH's own client with these arguments, e.g. `-i key`, as this user; nothing is asked for.
    pub fn client(&self, user: &str, arguments: &[&str], command: &str) -> Output {
        let known = self.file("known_hosts");
        fs::write(&known, format!("[{HOST}]:{} {}\n", self.port, self.host_key())).unwrap();
        Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"])
            .args(["-o", &format!("UserKnownHostsFile={}", known.display()), "-p", &self.port.to_string()])
            .args(arguments)
            .args(["-l", user, HOST, command])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("log")).unwrap_or_default()).into_owned()
    }

    /// A file in its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the server process and waits until it listens; false where it ends at once, e.g. for its port.
    fn run(&mut self, lines: &str) -> bool {
        let mut config = format!("{lines}\nPort {}\nListenAddress {HOST}\nPidFile none\nUsePAM yes\n", self.port);
        for (word, file) in [("HostKey", "host_key"), ("TrustedUserCAKeys", "trusted"), ("RevokedKeys", "revoked")] {
            writeln!(config, "{word} {}", self.file(file).display()).unwrap();
        }
        config += "KbdInteractiveAuthentication no\nLogLevel VERBOSE\nMaxStartups 200\nPrintMotd no\nUseDNS no\n";
        fs::write(self.file("sshd_config"), config).unwrap();
        let before = self.log().len();
        let log = File::options().create(true).append(true).open(self.file("log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--", SSHD, "-D", "-e", "-f"]).arg(self.file("sshd_config"));
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let start = Instant::now();
        while !self.log().get(before..).unwrap_or_default().contains("Server listening on") {
            if server.try_wait().unwrap().is_some() || start.elapsed() > START_MAX {
                let _ = server.kill();
                server.wait().unwrap();
                return false;
            }
            std::thread::sleep(LOOK_PAUSE);
        }
        self.server = Some(server);
        true
    }
}

impl Drop for OpenSsh {
    fn drop(&mut self) {
        self.end();
        let _lock = lock_users();
        for user in self.users.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            remove(&user);
        }
        for group in self.groups.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            let _gone = patiently(|| Command::new("groupdel").arg(&group).output().unwrap());
        }
        for file in self.files.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).drain(..) {
            let _gone = fs::remove_file(file);
        }
    }
}

/// What this process lets a user do by sudo.
fn sudoers_file(name: &str) -> PathBuf {
    PathBuf::from(format!("/etc/sudoers.d/{MARK}{}-{name}", std::process::id()))
}

/// Makes a key pair with OpenSSH's own tool: `file` and `file.pub`.
pub fn make_key(file: &Path) {
    run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "a-test", "-f", &file.display().to_string()], "");
}

/// Runs a tool that must succeed, with this on its standard input, and gives what it says.
pub fn run(program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{program}: {said}{}", String::from_utf8_lossy(&ended.stderr));
    said
}

/// The same for tools that change users, while the vault does too: they say that somebody else is at it.
fn run_patiently(program: &str, arguments: &[&str], input: &str) {
    let ended = patiently(|| {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
}

fn patiently(run: impl Fn() -> Output) -> Output {
    let start = Instant::now();
    loop {
        let ended = run();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let busy = ["cannot lock", "try again later", "lock busy"].iter().any(|words| said.contains(words));
        if !busy || start.elapsed() > START_MAX {
            return ended;
        }
        std::thread::sleep(LOOK_PAUSE);
    }
}

fn lock_users() -> File {
    let lock = File::options().create(true).truncate(false).write(true).open(USERS_LOCK).unwrap();
    lock.lock().unwrap();
    lock
}

/// Removes the users of tests that are not there any more.
fn sweep() {
    let gone = |maker: u32| !Path::new(&format!("/proc/{maker}")).exists();
    for file in fs::read_dir("/etc/sudoers.d").into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(MARK).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if maker.is_some_and(gone) {
            let _gone = fs::remove_file(file.path());
        }
    }
    for line in fs::read_to_string("/etc/passwd").unwrap().lines() {
        let mut fields = line.split(':');
        let (name, comment) = (fields.next().unwrap_or_default(), fields.nth(3).unwrap_or_default());
        let maker = comment.strip_prefix(MARK).and_then(|number| number.parse::<u32>().ok());
        if maker.is_some_and(gone) {
            remove(name);
        }
    }
}

/// Ends what the user runs, and removes the user. Whatever has root's number runs all of this machine.
fn remove(user: &str) {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number =
        passwd.lines().find_map(|line| line.strip_prefix(&format!("{user}:"))?.split(':').nth(1)?.parse().ok());
    if number.is_some_and(|number: u32| number > 0) {
        let _none = Command::new("pkill").args(["-KILL", "-U", user]).stderr(Stdio::null()).status();
    }
    let _gone = patiently(|| Command::new("userdel").args(["-f", user]).output().unwrap());
}
