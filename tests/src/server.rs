//! A real server in a process of its own: its own directory and port, ended with the test, also with one that panics.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its server cannot go on")]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use claviger_rocksdb::RocksStore;
use claviger_store::Store;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;

use crate::database::Database;
use crate::poll::until;

/// How long a start or an end may take on a busy machine.
const SOON: Duration = Duration::from_mins(1);

/// How a server is started.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The level of its log; `info` when absent.
    pub level: Option<&'static str>,
    /// Where it aborts, e.g. `before:rotation.sent`: see `server/service/src/failpoint.rs`.
    pub crash: Option<String>,
    /// The budgets as shipped, and each `X-Forwarded-For` of this machine believed: as if behind a proxy.
    pub budgets_as_shipped: bool,
    /// As a user without rights, also where the tests run as root.
    pub unprivileged: bool,
    /// Where a browser can be: at a port that is known beforehand, under a name that passkeys can be bound to.
    pub for_browsers: bool,
    /// The streams and witnesses of its audit log, as its configuration writes them, and whatever sections follow.
    pub audit: String,
    /// Keeps its data on a disk of its own, of this size; only root can make one.
    pub disk_megabytes: Option<u32>,
    /// What stands in its environment besides.
    pub environment: Vec<(String, String)>,
    /// Where `strace` writes the names of all system calls that it makes.
    pub trace: Option<PathBuf>,
}

/// Who a server without rights runs as.
const NOBODY: u32 = 65_534;

/// A server, sealed until somebody unseals it.
pub struct Server {
    folder: TempDir,
    process: Option<Child>,
    address: String,
    /// Where its rows are, if not in its directory.
    database: Option<Database>,
    /// The port of a line to the database, if it is to be reached over one.
    line: Option<u16>,
}

/// What a stopped server had: its directory, and its database.
pub struct Kept {
    folder: TempDir,
    database: Option<Database>,
}

impl Server {
    /// Starts one on an empty directory: it is not initialised.
    pub async fn start(launch: &Launch) -> Self {
        let database = Database::chosen().await;
        let mut server = Self { folder: folder(), process: None, address: String::new(), database, line: None };
        server.start_again(launch).await;
        server
    }

    /// Starts one on the embedded engine, whatever the others run on.
    pub async fn embedded(launch: &Launch) -> Self {
        let mut server = Self { folder: folder(), process: None, address: String::new(), database: None, line: None };
        server.start_again(launch).await;
        server
    }

    /// Starts one beside others on a database, which it reaches at this port of a line to it, or at its own.
    pub async fn on(database: &Database, line: Option<u16>, launch: &Launch) -> Self {
        let database = Some(database.clone());
        let mut server = Self { folder: folder(), process: None, address: String::new(), database, line };
        server.start_again(launch).await;
        server
    }

    /// Starts one on a copy of what this one has, while this one is stopped.
    pub async fn copy(&self, launch: &Launch) -> Self {
        let Kept { folder, database } = self.keep().await;
        let mut copy = Self { folder, process: None, address: String::new(), database, line: None };
        copy.start_again(launch).await;
        copy
    }

    /// A copy of all that it has, while it is stopped.
    pub async fn keep(&self) -> Kept {
        assert!(self.process.is_none(), "only what is stopped can be copied");
        let folder = folder();
        copy_directory(&self.data_directory(), &data_directory(folder.path()));
        let database = match &self.database {
            Some(database) => Some(database.copy().await),
            None => None,
        };
        Kept { folder, database }
    }

    /// Has again what it had, and nothing else, while it is stopped.
    pub async fn put_back(&self, kept: &Kept) {
        assert!(self.process.is_none(), "only what is stopped can be put back");
        fs::remove_dir_all(self.data_directory()).unwrap();
        copy_directory(&data_directory(kept.folder.path()), &self.data_directory());
        if let (Some(before), Some(database)) = (&kept.database, &self.database) {
            before.put_in_place_of(database).await;
        }
    }

    /// Its store, while it is stopped, as whoever has the disk sees it.
    pub async fn store(&self) -> Arc<dyn Store> {
        assert!(self.process.is_none(), "a store is opened once");
        match &self.database {
            Some(database) => database.store().await,
            None => Arc::new(RocksStore::open(self.store_directory()).unwrap()),
        }
    }

    /// Loses its store, while it is stopped.
    pub async fn lose_store(&self) {
        assert!(self.process.is_none(), "only what is stopped can be taken away");
        match &self.database {
            Some(database) => database.empty().await,
            None => fs::remove_dir_all(self.store_directory()).unwrap(),
        }
    }

    /// The rows of its database; where it has none, they are in its directory.
    pub async fn rows_elsewhere(&self) -> Vec<(String, Vec<u8>)> {
        match &self.database {
            Some(database) => database.rows().await,
            None => Vec::new(),
        }
    }

    fn store_directory(&self) -> PathBuf {
        self.data_directory().join("store")
    }

    /// A server that was not started yet, in a directory that is empty but for its configuration.
    pub async fn nowhere(launch: &Launch) -> Self {
        let database = Database::chosen().await;
        let server = Self { folder: folder(), process: None, address: String::new(), database, line: None };
        let store = server.database.as_ref().map(|database| database.config(server.folder.path(), None));
        let text = config_text(&server.data_directory(), "info") + &store.unwrap_or_default() + &launch.audit;
        fs::write(server.config_file(), text).unwrap();
        server
    }

    /// Runs the server's program with these words and this on standard input, beside whatever runs: its exit code, and what it said.
    pub async fn tool(words: &[&str], input: &str) -> (i32, String) {
        let mut command = tokio::process::Command::new(server_program());
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that reads nothing may have closed it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().expect("it ended by itself"), String::from_utf8_lossy(&said).into_owned())
    }

    /// Starts it again on the same directory. Its address is another one.
    pub async fn start_again(&mut self, launch: &Launch) {
        assert!(self.process.is_none(), "it runs already");
        let store = self.database.as_ref().map(|database| database.config(self.folder.path(), self.line));
        let (process, address) = serve(self.folder.path(), store.as_deref(), launch).await;
        (self.process, self.address) = (Some(process), address);
    }

    /// Asks it to stop, and waits.
    pub async fn stop(&mut self) {
        let Some(process) = &self.process else { return };
        signal(process, Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "the server stops as it should: {status}\n{}", self.log());
    }

    /// `kill -9`, and waits.
    pub async fn kill(&mut self) {
        if let Some(process) = &self.process {
            signal(process, Signal::KILL);
            self.ended().await;
        }
    }

    /// Stops it in the midst of whatever it does, until [`Server::go_on`].
    pub fn pause(&self) {
        signal(self.process.as_ref().expect("it runs"), Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        signal(self.process.as_ref().expect("it runs"), Signal::CONT);
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let process = self.process.as_mut().expect("it runs");
        let status = until("the server's end", SOON, async || process.try_wait().unwrap()).await;
        self.process = None;
        status
    }

    /// Whether it has ended by itself, e.g. by a crash that was asked for.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some());
        if ended {
            self.process = None;
        }
        ended
    }

    /// Where it listens now.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// Where it keeps its data.
    pub fn data_directory(&self) -> PathBuf {
        data_directory(self.folder.path())
    }

    /// Its configuration.
    pub fn config_file(&self) -> PathBuf {
        config_file(self.folder.path())
    }

    /// All that it has written to standard output and standard error, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(log_file(self.folder.path())).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(Guard(self.process.take()));
        if is_mounted(&self.data_directory()) {
            let _ = Command::new("umount").arg(self.data_directory()).status();
        }
    }
}

/// Ends the process when dropped.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(server) = &mut self.0 {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Makes a small disk in memory, unless it is there already.
fn mount(directory: &Path, megabytes: u32) {
    if is_mounted(directory) {
        return;
    }
    fs::create_dir_all(directory).unwrap();
    let options = format!("size={megabytes}m,mode=0700");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", &options, "claviger"]).arg(directory).status().unwrap();
    assert!(mounted.success(), "a small disk is mounted");
}

fn is_mounted(directory: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|at| Path::new(at) == directory))
}

/// Starts a process and waits until it says where it listens.
async fn serve(folder: &Path, store: Option<&str>, launch: &Launch) -> (Child, String) {
    let config = config_file(folder);
    let level = launch.level.unwrap_or("info");
    let mut text = config_text(&data_directory(folder), level);
    if launch.for_browsers {
        let port = free_port();
        text = text
            .replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
            .replace(SITE, &format!("http://localhost:{port}"));
    }
    if launch.budgets_as_shipped {
        text = behind_a_proxy(&text);
    }
    text += store.unwrap_or_default();
    fs::write(&config, text + &launch.audit).unwrap();
    let log = File::options().create(true).append(true).open(log_file(folder)).unwrap();
    let known = log.metadata().unwrap().len();
    if let Some(megabytes) = launch.disk_megabytes {
        mount(&data_directory(folder), megabytes);
    }
    // The server ends with the thread's process, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if launch.unprivileged && geteuid().is_root() {
        fs::create_dir_all(data_directory(folder)).unwrap();
        fs::set_permissions(data_directory(folder), fs::Permissions::from_mode(0o700)).unwrap();
        let its_own = [folder.to_owned(), data_directory(folder)].into_iter().chain(Database::files(folder));
        for path in its_own.filter(|path| path.exists()) {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        command.args([format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".to_owned()]);
    }
    command.arg("--");
    if let Some(trace) = &launch.trace {
        // Beside it, so that the server is the test's own child; and without what calls are given: that may be a secret.
        command.args(["strace", "-D", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o"]).arg(trace);
    }
    command.arg(server_program()).arg("run").arg("--config").arg(&config);
    command.env_remove("CLAVIGER_CRASH").envs(launch.crash.iter().map(|crash| ("CLAVIGER_CRASH", crash)));
    command.env_remove("NOTIFY_SOCKET").envs(launch.environment.iter().map(|(name, value)| (name, value)));
    let output = log.try_clone().unwrap();
    let server = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn().unwrap();
    let mut guard = Guard(Some(server));
    let address = until("the server listens", SOON, async || {
        let log = fs::read(log_file(folder)).unwrap();
        let new = String::from_utf8_lossy(log.get(usize::try_from(known).unwrap()..)?).into_owned();
        let ended = guard.0.as_mut().and_then(|server| server.try_wait().unwrap());
        assert!(ended.is_none(), "the server does not start: {new}");
        address_in(&new)
    })
    .await;
    (guard.0.take().expect("it runs"), address)
}

/// Where browsers would find a server that they do not visit.
const SITE: &str = "http://localhost:8200";

/// One that nobody listens on now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The address in the line that says so.
fn address_in(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("the server listens"))?;
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = line.get("address").or_else(|| line.get("fields")?.get("address"))?;
    Some(format!("http://{}", address.as_str()?))
}

/// A configuration for tests: this machine's systems are reached, nobody is throttled, any port will do.
pub fn config_text(data_directory: &Path, level: &str) -> String {
    let rates = "each_source = { per_second = 100000, burst = 100000 }\nall = { per_second = 100000, burst = 100000 }";
    let quotas = rates.replace("each_source", "each_principal").replace("all", "each_customer");
    format!(
        "name = 'vault.test'\nlisten = '127.0.0.1:0'\ndata_directory = '{}'\n\
         [http]\nworkers = 2\nshutdown_seconds = 2\npublic_url = '{SITE}'\n\
         [systems]\nallowed_addresses = ['127.0.0.0/8']\n\
         [budgets.probe]\n{rates}\n[budgets.login]\n{rates}\n[budgets.unseal]\n{rates}\n[budgets.session]\n{quotas}\n\
         [audit]\nanchor_files = ['{}']\n\
         [log]\nlevel = '{level}'\n",
        data_directory.display(),
        data_directory.with_extension("anchor").display(),
    )
}

/// The same, with the budgets as shipped, and a proxy on this machine that says where requests come from.
fn behind_a_proxy(text: &str) -> String {
    let (before, budgets) = text.split_once("[budgets.probe]").expect("budgets");
    let (_, after) = budgets.split_once("[log]").expect("a log");
    format!("{before}[log]{after}").replace("[http]\n", "[http]\ntrusted_proxies = ['127.0.0.1']\n")
}

/// The server's program with its failpoints, which cargo builds with this package's tests.
pub fn server_program() -> PathBuf {
    program("vault-under-test")
}

/// The command line's program.
pub fn cli_program() -> PathBuf {
    program("claviger-under-test")
}

/// Cargo puts a package's programs one folder above its test programs.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).expect("a test program lies in target/PROFILE/deps");
    let program = folder.join(name);
    assert!(program.exists(), "{} is not built: run the tests of the package claviger-tests", program.display());
    program
}

fn folder() -> TempDir {
    let folder = TempDir::with_prefix("claviger-server-").unwrap();
    // The anchor lies in it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn data_directory(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn config_file(folder: &Path) -> PathBuf {
    folder.join("claviger.toml")
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

/// Copies a directory with all that is in it.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&source, &target);
        } else {
            fs::copy(&source, &target).unwrap();
            let mode = fs::metadata(&source).unwrap().permissions().mode();
            fs::set_permissions(&target, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

fn signal(server: &Child, signal: Signal) {
    let pid = i32::try_from(server.id()).ok().and_then(Pid::from_raw).unwrap();
    // It may have ended by itself.
    let _ = kill_process(pid, signal);
}
