//! A real PostgreSQL of a test's own: its own folder, port, superuser password and CA. It ends with the test, also
//! with one that panics or is killed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test whose system does not start cannot go on")]

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::{Client, Config, NoTls};

use crate::prepared;

/// The name of the superuser.
pub const SUPERUSER: &str = "postgres";
/// The address that its certificate names, beside `localhost`.
pub const HOST: &str = "127.0.0.1";
/// An address where it listens too, and that its certificate does not name.
pub const OTHER_HOST: &str = "127.0.0.2";

const START_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(10);
const PORT_TRIES: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A running (or stopped) server.
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    password: String,
    ca_certificate: String,
    settings: Vec<(String, String)>,
    server: Option<Child>,
}

impl Postgres {
    /// Starts one that logs every statement and takes TLS as well as bare connections.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same, with settings of `postgresql.conf` on top.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let folder = TempDir::with_prefix("claviger-postgres-").unwrap();
        let mut postgres = Self {
            folder,
            programs: programs(),
            port: 0,
            password: random_text(),
            ca_certificate: String::new(),
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            server: None,
        };
        give_to_server(postgres.folder.path());
        postgres.make_certificates();
        postgres.init();
        for _ in 0..PORT_TRIES {
            postgres.port = free_port();
            if postgres.run().await {
                return postgres;
            }
        }
        panic!("PostgreSQL does not start:\n{}", postgres.server_log());
    }

    /// Starts it again after [`stop`](Self::stop): the same data, the same port.
    pub async fn start_again(&mut self) {
        assert!(self.run().await, "PostgreSQL does not start again:\n{}", self.server_log());
    }

    /// Ends every session and shuts down.
    pub async fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        signal(&server, Signal::INT);
        let start = Instant::now();
        while server.try_wait().unwrap().is_none() {
            if start.elapsed() > STOP_MAX {
                server.kill().unwrap();
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// The port it listens on, at [`HOST`] and [`OTHER_HOST`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The superuser's login.
    pub fn superuser(&self) -> Login {
        SUPERUSER.parse().unwrap()
    }

    /// The superuser's password.
    pub fn superuser_secret(&self) -> Secret {
        Secret::new(self.password.clone()).unwrap()
    }

    /// The CA that signed its certificate, in PEM.
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// The system as an administrator would add it.
    pub fn spec(&self, tls: TlsMode) -> SystemSpec {
        SystemSpec::Postgresql {
            host: HOST.to_owned(),
            port: self.port,
            database: "postgres".to_owned(),
            tls,
            ca_certificate: Some(self.ca_certificate.clone()),
        }
    }

    /// All that it has logged, statements included.
    pub fn server_log(&self) -> String {
        let log = fs::read(self.folder.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// A session of the superuser.
    pub async fn admin_client(&self) -> Client {
        self.client(SUPERUSER, &self.password, "postgres").await.expect("the superuser logs in")
    }

    /// A session of anybody, over a bare connection.
    pub async fn client(&self, name: &str, password: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host(HOST).port(self.port).user(name).password(password).dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements as the superuser.
    pub async fn run_sql(&self, statements: &str) {
        self.admin_client().await.batch_execute(statements).await.unwrap_or_else(|error| {
            panic!("{statements}: {}", error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string))
        });
    }

    /// Creates a role that may log in.
    pub async fn create_role(&self, name: &str, password: &str) {
        let (name, password) = (quoted('"', name), quoted('\'', password).replace('\\', "\\\\"));
        self.run_sql(&format!("CREATE ROLE {name} LOGIN PASSWORD E{password}")).await;
    }

    /// Whether this password opens this role, tried with psql: PostgreSQL's own client, not the library under test.
    pub async fn can_login(&self, name: &str, password: &str) -> bool {
        let tried = tokio::process::Command::new(self.programs.join("psql"))
            .args([
                "-X",
                "-w",
                "-h",
                HOST,
                "-p",
                &self.port.to_string(),
                "-U",
                name,
                "-d",
                "postgres",
                "-c",
                "SELECT 1",
            ])
            .env_clear()
            .envs([("PGPASSWORD", password), ("PGSSLMODE", "disable"), ("LC_ALL", "C"), ("PGCLIENTENCODING", "UTF8")])
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&tried.stderr);
        let refused = said.contains("password authentication failed") || said.contains("is not permitted to log in");
        assert!(tried.status.success() || refused, "psql says neither yes nor no: {said}");
        tried.status.success()
    }

    /// Puts a line at the head of `pg_hba.conf`; new connections go by it.
    pub async fn add_host_rule(&self, line: &str) {
        let path = self.data().join("pg_hba.conf");
        let rules = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{line}\n{rules}")).unwrap();
        let before = self.loaded_at().await;
        self.run_sql("SELECT pg_reload_conf()").await;
        while self.loaded_at().await == before {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// When the configuration was read that a new connection goes by.
    async fn loaded_at(&self) -> String {
        let admin = self.admin_client().await;
        admin.query_one("SELECT pg_conf_load_time()::text", &[]).await.unwrap().get(0)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn init(&self) {
        prepared::copy("postgresql", &self.programs.join("initdb"), &self.data(), || {
            // Nobody's: without one it prepares no server that asks for passwords.
            let password_file = self.folder.path().join("password");
            write_private(&password_file, &random_text());
            let made = as_server(&self.programs.join("initdb"))
                .arg("-D")
                .arg(self.data())
                .args(["--auth=scram-sha-256", "--username", SUPERUSER, "--encoding=UTF8", "--locale=C", "--no-sync"])
                // Small files of its own log: what is copied is half as much.
                .args(["--wal-segsize=1", "--pwfile"])
                .arg(&password_file)
                .output()
                .unwrap();
            fs::remove_file(password_file).unwrap();
            assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        });
        self.set_first_password();
    }

    /// In PostgreSQL's single-user mode, the only way in so far.
    fn set_first_password(&self) {
        let mut alone = as_server(&self.programs.join("postgres"))
            .args(["--single", "-c", "fsync=off", "-D"])
            .arg(self.data())
            .arg("postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let statement = format!("ALTER ROLE {SUPERUSER} PASSWORD {}\n", quoted('\'', &self.password));
        alone.stdin.take().unwrap().write_all(statement.as_bytes()).unwrap();
        assert!(alone.wait().unwrap().success(), "the superuser has no password");
    }

    fn make_certificates(&mut self) {
        let made = server_certificate();
        write_private(&self.folder.path().join("server.crt"), &made.certificate);
        write_private(&self.folder.path().join("server.key"), &made.key);
        self.ca_certificate = made.ca;
    }

    /// Starts the server process and waits until it takes logins; false where it ends at once, e.g. for its port.
    async fn run(&mut self) -> bool {
        let folder = self.folder.path();
        let log = File::options().create(true).append(true).open(folder.join("server.log")).unwrap();
        let mut command = as_server(&self.programs.join("postgres"));
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string(), "-h", &format!("{HOST},{OTHER_HOST}")]);
        command.arg("-k").arg(folder);
        let file = |name: &str| folder.join(name).display().to_string();
        let fixed = [
            // The folder dies with the test; only a crash of the machine could tell.
            ("fsync", "off".to_owned()),
            ("log_statement", "all".to_owned()),
            ("ssl", "on".to_owned()),
            ("ssl_cert_file", file("server.crt")),
            ("ssl_key_file", file("server.key")),
        ];
        for (name, value) in
            fixed.iter().map(|(n, v)| (*n, v)).chain(self.settings.iter().map(|(n, v)| (n.as_str(), v)))
        {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let start = Instant::now();
        while self.client(SUPERUSER, &self.password, "postgres").await.is_err() {
            if server.try_wait().unwrap().is_some() {
                return false;
            }
            if start.elapsed() > START_MAX {
                server.kill().unwrap();
                server.wait().unwrap();
                return false;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        self.server = Some(server);
        true
    }
}

impl Drop for Postgres {
    /// An immediate shutdown, which also removes its shared memory.
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        signal(&server, Signal::QUIT);
        let start = Instant::now();
        while matches!(server.try_wait(), Ok(None)) {
            if start.elapsed() > STOP_MAX {
                let _ = server.kill();
            }
            std::thread::sleep(LOOK_PAUSE);
        }
    }
}

/// The certificate, in PEM, of a CA that signed nothing anywhere.
pub fn unrelated_ca() -> String {
    new_ca("Somebody else's CA").pem()
}

/// Text that was never used before: 122 random bits.
#[expect(clippy::disallowed_methods, reason = "a test draws its own randomness")]
pub fn random_text() -> String {
    format!("T{}", uuid::Uuid::new_v4().simple())
}

/// A CA, and a server's certificate made out to [`HOST`] and `localhost`; in PEM.
pub(crate) struct ServerCertificate {
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A certificate by a CA of its own.
pub(crate) fn server_certificate() -> ServerCertificate {
    server_certificate_of(&["localhost", HOST])
}

/// The same, made out to these names or addresses.
pub(crate) fn server_certificate_of(names: &[&str]) -> ServerCertificate {
    let ca = new_ca("Claviger test CA");
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    ServerCertificate { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
}

fn new_ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The folder of PostgreSQL's programs: that of the newest installed version, or where PATH finds them.
fn programs() -> PathBuf {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = debian.filter(|path| path.join("bin/initdb").exists()).max_by_key(|path| version(path));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find(|folder| folder.join("initdb").exists());
    newest.map(|path| path.join("bin")).or(found).expect("PostgreSQL is not installed: apt-get install postgresql")
}

/// A program under the account that PostgreSQL insists on (it does not run as root), and that is shut down should the
/// test die.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command.env("LC_ALL", "C").current_dir("/");
    command
}

fn give_to_server(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let account = accounts.lines().find(|line| line.starts_with("postgres:")).expect("an account named postgres");
    let number = |field: usize| account.split(':').nth(field).and_then(|digits| digits.parse().ok());
    chown(path, number(2), number(3)).unwrap();
}

fn write_private(path: &Path, text: &str) {
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    give_to_server(path);
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port()
}

fn quoted(quote: char, text: &str) -> String {
    format!("{quote}{}{quote}", text.replace(quote, &format!("{quote}{quote}")))
}

fn signal(server: &Child, signal: Signal) {
    let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw).unwrap();
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}
