//! A real rsyslog of a test's own, that takes syslog over TLS from whoever shows a certificate of its CA, and writes what it
//! takes into a file. It ends with the test, also with one that panics or is killed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test whose receiver does not start cannot go on")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::pki::Ca;
use crate::poll::until;
use crate::postgres::free_port;

const SOON: Duration = Duration::from_secs(30);

/// A receiver, running or not.
pub struct Rsyslog {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Rsyslog {
    /// Starts one with a certificate of this CA.
    pub async fn start(ca: &Ca) -> Self {
        let mut rsyslog =
            Self { folder: TempDir::with_prefix("claviger-rsyslog-").unwrap(), port: free_port(), process: None };
        ca.server().write(rsyslog.folder.path(), "server");
        fs::write(rsyslog.file("ca.pem"), &ca.pem).unwrap();
        fs::write(rsyslog.file("rsyslog.conf"), rsyslog.config()).unwrap();
        rsyslog.start_again().await;
        rsyslog
    }

    /// Starts it again: the same port, the same file.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let _ = fs::remove_file(self.file("pid"));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "/usr/sbin/rsyslogd", "-n"]);
        command.arg("-f").arg(self.file("rsyslog.conf")).arg("-i").arg(self.file("pid"));
        let log = fs::File::options().create(true).append(true).open(self.file("rsyslogd.log")).unwrap();
        let output = log.try_clone().unwrap();
        let mut process = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn().unwrap();
        let listens = until("rsyslog listens", SOON, async || {
            let ended = process.try_wait().unwrap().is_some();
            (ended || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()).then_some(!ended)
        })
        .await;
        self.process = Some(process);
        assert!(listens, "rsyslog does not start: {}", fs::read_to_string(self.file("rsyslogd.log")).unwrap());
    }

    /// Lets it stand still: its kernel goes on taking what comes, and it reads nothing of it.
    pub fn stand_still(&self) {
        self.signal(Signal::STOP);
    }

    /// `kill -9`, and waits.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.process.take().expect("it runs").wait().unwrap();
    }

    /// Where it listens, as a stream's configuration writes it.
    pub fn url(&self) -> String {
        format!("syslog+tls://127.0.0.1:{}", self.port)
    }

    /// The CA of its certificate, PEM.
    pub fn ca_file(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// What it has written: a line a message, facility, severity, host, program and id of the message before the message.
    pub fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.file("received.log")).unwrap_or_default();
        // A line that is being written is not there yet.
        text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).map(str::to_owned).collect()
    }

    /// Its buffer is larger than what it writes at once, so that one that is killed leaves no half line.
    fn config(&self) -> String {
        let file = |name: &str| self.file(name).display().to_string();
        format!(
            r#"global(
    workDirectory="{work}" maxMessageSize="16k"
    defaultNetstreamDriverCAFile="{ca}"
    defaultNetstreamDriverCertFile="{certificate}"
    defaultNetstreamDriverKeyFile="{key}"
)
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="claviger" type="string" string="%syslogfacility% %syslogseverity% %hostname% %app-name% %msgid% %msg%\n")
action(type="omfile" file="{received}" template="claviger" ioBufferSize="1m")
"#,
            work = self.folder.path().display(),
            ca = file("ca.pem"),
            certificate = file("server.pem"),
            key = file("server-key.pem"),
            port = self.port,
            received = file("received.log"),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn signal(&self, signal: Signal) {
        let pid = self.process.as_ref().and_then(|process| i32::try_from(process.id()).ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("it runs"), signal).unwrap();
    }

    /// A folder of this receiver's, for files that others put beside it.
    pub fn folder(&self) -> PathBuf {
        let folder = self.file("beside");
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
