//! A real MariaDB of a test's own: its own folder, port, administrator and CA. It ends with the test, also with one
//! that panics or is killed. What a test asks of it goes through MariaDB's own client, not through code under test.

#![expect(clippy::unwrap_used, reason = "a test whose system does not start cannot go on")]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use tempfile::TempDir;

use crate::postgres::{HOST, OTHER_HOST, free_port, random_text, server_certificate};
use crate::prepared;

/// The account that may do everything, from every host.
pub const ADMINISTRATOR: &str = "admin";

const START_MAX: Duration = Duration::from_secs(30);
const PORT_TRIES: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A running server.
pub struct Mariadb {
    folder: TempDir,
    port: u16,
    password: String,
    ca_certificate: String,
    options: Vec<String>,
    server: Option<Child>,
}

impl Mariadb {
    /// Starts one that logs every statement, takes TLS as well as bare connections, and knows `ed25519`.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with options of `mariadbd` on top.
    pub async fn start_with(options: &[&str]) -> Self {
        let mut mariadb = Self {
            folder: folder(),
            port: 0,
            // What a server that checks passwords takes.
            password: format!("{}-aA1", random_text()),
            ca_certificate: String::new(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            server: None,
        };
        mariadb.make_certificates();
        mariadb.init();
        for _ in 0..PORT_TRIES {
            mariadb.port = free_port();
            if mariadb.run().await {
                return mariadb;
            }
        }
        panic!("MariaDB does not start:\n{}", mariadb.read("error.log"));
    }

    /// Starts it again with other options: the same data, the same port.
    pub async fn start_again_with(&mut self, options: &[&str]) {
        self.stop();
        self.options = options.iter().map(|option| (*option).to_owned()).collect();
        assert!(self.run().await, "MariaDB does not start again:\n{}", self.read("error.log"));
    }

    /// The port it listens on, at [`HOST`] and [`OTHER_HOST`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The administrator's login.
    pub fn administrator(&self) -> Login {
        ADMINISTRATOR.parse().unwrap()
    }

    /// The administrator's password.
    pub fn administrator_secret(&self) -> Secret {
        Secret::new(self.password.clone()).unwrap()
    }

    /// The CA that signed its certificate, in PEM.
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// The system as an administrator would add it.
    pub fn spec(&self, tls: TlsMode) -> SystemSpec {
        SystemSpec::Mysql {
            host: HOST.to_owned(),
            port: self.port,
            tls,
            ca_certificate: Some(self.ca_certificate.clone()),
            lockout_threshold: None,
            event_database: None,
        }
    }

    /// All statements that it was sent.
    pub fn query_log(&self) -> String {
        self.read("query.log")
    }

    /// Runs one statement as the administrator. It travels in hexadecimal, so that no client reads anything into it.
    pub fn run_sql(&self, statement: &str) {
        let output = self.as_administrator(statement);
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The first column of a query.
    pub fn ask(&self, query: &str) -> Vec<String> {
        let output = self.as_administrator(query);
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Creates an account of this user, for every host unless another is named.
    pub fn create_user(&self, login: &str, password: &str) {
        self.run_sql(&format!("CREATE USER {} IDENTIFIED BY {}", account(login), quoted(password)));
    }

    /// Whether this password opens this login.
    pub fn can_login(&self, login: &str, password: &str) -> bool {
        let tried = self.client(login, password).args(["-e", "DO 1"]).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&tried.stderr);
        let refused = ["1045", "1698", "4151"].iter().any(|code| said.contains(&format!("ERROR {code} ")));
        assert!(tried.status.success() || refused, "the client says neither yes nor no: {said}");
        tried.status.success()
    }

    /// Logs in and stays.
    pub fn stay(&self, login: &str, password: &str) -> Stay {
        let mut command = self.client(login, password);
        command.args(["--skip-column-names", "--unbuffered", "--skip-reconnect"]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (to, from) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        let mut stay = Stay { client, to, from: std::io::BufReader::new(from) };
        assert!(stay.lives(), "{login} cannot log in");
        stay
    }

    /// MariaDB's own client, over a bare connection.
    fn client(&self, login: &str, password: &str) -> Command {
        let user = login.rsplit_once('@').map_or(login, |(user, _)| user);
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=tcp", "--host", HOST, "--port", &self.port.to_string()]);
        command.args(["--default-character-set=utf8mb4", &format!("--user={user}")]);
        command.env("MYSQL_PWD", password);
        command
    }

    fn as_administrator(&self, statement: &str) -> Output {
        let statement = format!(
            "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'; EXECUTE IMMEDIATE CONVERT(0x{} USING utf8mb4)",
            hex::encode(statement)
        );
        let mut command = self.client(ADMINISTRATOR, &self.password);
        command.args(["--skip-column-names", "--batch", "--raw", "-e", &statement]);
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    fn make_certificates(&mut self) {
        let made = server_certificate();
        write_private(&self.path("server.crt"), &made.certificate);
        write_private(&self.path("server.key"), &made.key);
        self.ca_certificate = made.ca;
    }

    fn init(&self) {
        let program = Path::new("/usr/bin/mariadb-install-db");
        assert!(program.exists(), "MariaDB is not installed: apt-get install mariadb-server");
        prepared::copy("mariadb", program, &self.path("data"), || {
            let made = Command::new(program)
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
                .arg(format!("--datadir={}", self.path("data").display()))
                // A server clears away what looks like its own in there.
                .arg(format!("--tmpdir={}", self.folder.path().display()))
                .args(SMALL)
                .args(as_root())
                .output()
                .unwrap();
            assert!(made.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
        });
        let first = format!(
            "CREATE USER IF NOT EXISTS '{ADMINISTRATOR}'@'%' IDENTIFIED BY '{0}';\n\
             GRANT ALL ON *.* TO '{ADMINISTRATOR}'@'%' WITH GRANT OPTION;\n\
             ALTER USER 'root'@'localhost' IDENTIFIED BY '{0}';\n",
            self.password
        );
        write_private(&self.path("first.sql"), &first);
    }

    /// Starts the server process and waits until it takes logins; false where it ends at once, e.g. for its port.
    async fn run(&mut self) -> bool {
        let option = |name: &str, file: &str| format!("--{name}={}", self.path(file).display());
        let log = File::options().create(true).append(true).open(self.path("error.log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "mariadbd", "--no-defaults"]);
        command.args([option("datadir", "data"), option("socket", "socket"), option("tmpdir", "")]);
        if self.path("first.sql").exists() {
            command.arg(option("init-file", "first.sql"));
        }
        command.args([option("ssl-cert", "server.crt"), option("ssl-key", "server.key")]);
        command.args(["--general-log".to_owned(), option("general-log-file", "query.log")]);
        command.arg(format!("--port={}", self.port)).arg(format!("--bind-address={HOST},{OTHER_HOST}"));
        command.args(["--skip-name-resolve", "--plugin-load-add=auth_ed25519"]);
        command.args(SMALL).args(as_root()).args(&self.options);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.server = Some(server);
        let start = Instant::now();
        while !self.as_administrator("DO 1").status.success() {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap().is_some();
            if ended || start.elapsed() > START_MAX {
                self.stop();
                return false;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        // What it says has been done, and may not be possible again.
        let _ = fs::remove_file(self.path("first.sql"));
        true
    }

    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let _ = server.kill();
        let _ = server.wait();
    }
}

impl Drop for Mariadb {
    /// The folder dies with it: there is nothing to shut down in order.
    fn drop(&mut self) {
        self.stop();
    }
}

/// A session that stays until it is ended.
pub struct Stay {
    client: Child,
    to: ChildStdin,
    from: std::io::BufReader<ChildStdout>,
}

impl Stay {
    /// Runs statements in it, each with its `;`.
    pub fn run(&mut self, statements: &str) {
        self.to.write_all(statements.as_bytes()).unwrap();
        assert!(self.lives(), "{statements}");
    }

    /// Whether the server still serves it.
    pub fn lives(&mut self) -> bool {
        use std::io::BufRead as _;
        let mut line = String::new();
        let asked = self.to.write_all(b"SELECT 42;\n").and_then(|()| self.to.flush());
        asked.is_ok() && self.from.read_line(&mut line).is_ok() && line.trim() == "42"
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// A text in a statement of these tests.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The account that a login means, in a statement of these tests.
pub fn account(login: &str) -> String {
    let (user, host) = login.rsplit_once('@').unwrap_or((login, "%"));
    format!("{}@{}", quoted(user), quoted(host))
}

/// What a test needs, which is little.
const SMALL: [&str; 2] = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M"];

fn as_root() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("--user=root")
}

/// In memory where the machine has such a place: MariaDB flushes some hundred files at its first start.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    TempDir::with_prefix_in("claviger-mariadb-", place).unwrap()
}

fn write_private(path: &Path, text: &str) {
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
