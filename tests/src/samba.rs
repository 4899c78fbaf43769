//! A real domain controller of a test's own, Samba's: its own folder, addresses, administrator and CA. It ends with the
//! test, also with one that panics or is killed. A domain takes long to make, so it is made once and copied; Samba's ports
//! are fixed, so each has addresses of its own. What a test asks of it goes through OpenLDAP's and Samba's own tools.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test whose system does not start cannot go on")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use tempfile::TempDir;

use crate::postgres::{random_text, server_certificate_of};
use crate::prepared;

/// The domain's short name.
pub const DOMAIN: &str = "CORP";
/// Its own entry.
pub const ROOT: &str = "DC=corp,DC=example";
/// Where its people are.
pub const PEOPLE: &str = "CN=Users,DC=corp,DC=example";
/// Where accounts for a time are made.
pub const UNIT: &str = "OU=Lent,DC=corp,DC=example";
/// The account that may do everything.
pub const ADMINISTRATOR: &str = "Administrator";

const LDAP_PORT: u16 = 389;
const LDAPS_PORT: u16 = 636;
const START_MAX: Duration = Duration::from_mins(1);
const ADDRESS_TRIES: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(20);
const SAMBA_TOOL: &str = "/usr/bin/samba-tool";
/// The file with the administrator's password, in the domain's folder.
const PASSWORD: &str = "administrator";

/// A running controller.
pub struct Samba {
    folder: TempDir,
    address: Ipv4Addr,
    other: Ipv4Addr,
    password: String,
    ca_certificate: String,
    grace_minutes: u32,
    server: Option<Child>,
}

impl Samba {
    /// Starts one that refuses an old password at once, and takes every new one.
    pub async fn start() -> Self {
        Self::start_with_grace(0).await
    }

    /// The same, which goes on taking an old password for so many minutes.
    pub async fn start_with_grace(grace_minutes: u32) -> Self {
        let mut samba = Self {
            folder: TempDir::with_prefix("claviger-samba-").unwrap(),
            address: Ipv4Addr::LOCALHOST,
            other: Ipv4Addr::LOCALHOST,
            password: String::new(),
            ca_certificate: String::new(),
            grace_minutes,
            server: None,
        };
        assert!(Path::new(SAMBA_TOOL).exists(), "Samba is not installed: scripts/setup test");
        prepared::copy("samba", Path::new(SAMBA_TOOL), &samba.path("domain"), || make_domain(&samba.path("domain")));
        samba.password = fs::read_to_string(samba.path("domain").join(PASSWORD)).unwrap();
        for _ in 0..ADDRESS_TRIES {
            (samba.address, samba.other) = free_addresses();
            samba.make_certificates();
            if samba.run().await {
                return samba;
            }
        }
        panic!("Samba does not start:\n{}", samba.log());
    }

    /// The address that its certificate names.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// An address where it listens too, and that its certificate does not name.
    pub fn other_host(&self) -> String {
        self.other.to_string()
    }

    /// Where it listens in clear.
    pub fn address(&self) -> SocketAddr {
        (self.address, LDAP_PORT).into()
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
        SystemSpec::ActiveDirectory {
            host: self.host(),
            port: LDAPS_PORT,
            tls,
            start_tls: false,
            ca_certificate: Some(self.ca_certificate.clone()),
            domain: DOMAIN.to_owned(),
            servers: Vec::new(),
            organizational_unit: Some(UNIT.to_owned()),
            lockout_threshold: None,
            grace_seconds: self.grace_minutes * 60,
            change_twice: false,
        }
    }

    /// Starts it again with another grace, as an administrator would who has changed it: the same data and addresses.
    pub async fn start_again_with_grace(&mut self, grace_minutes: u32) {
        self.stop();
        self.grace_minutes = grace_minutes;
        assert!(self.run().await, "Samba does not start again:\n{}", self.log());
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("samba.log")).unwrap_or_default()).into_owned()
    }

    /// Adds an account that may log in, with more attributes if need be.
    pub fn add_user(&self, name: &str, password: &str, more: &[(&str, &str)]) {
        let quoted: Vec<u8> = format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut ldif = format!(
            "dn:: {}\nchangetype: add\nobjectClass: user\nsAMAccountName:: {}\nuserAccountControl: 512\nunicodePwd:: {}\n",
            STANDARD.encode(format!("CN={},{PEOPLE}", in_a_dn(name))),
            STANDARD.encode(name),
            STANDARD.encode(quoted),
        );
        for (attribute, value) in more {
            writeln!(ldif, "{attribute}:: {}", STANDARD.encode(value)).unwrap();
        }
        self.change(&ldif);
    }

    /// Adds a group of this common name.
    pub fn add_group(&self, name: &str) {
        self.change(&format!(
            "dn:: {}\nchangetype: add\nobjectClass: group\nsAMAccountName: g{}\n",
            STANDARD.encode(format!("CN={},{PEOPLE}", in_a_dn(name))),
            random_text().split_at(12).0
        ));
    }

    /// Replaces one attribute of an entry.
    pub fn replace(&self, dn: &str, attribute: &str, value: &str) {
        self.change(&format!("dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n"));
    }

    /// Gives an account every right on an entry and what is below it, and on nothing else.
    pub fn delegate(&self, entry: &str, to: &str) {
        let found = self.find(&format!("(sAMAccountName={to})"), &["objectSid"]);
        let sid = found.lines().find_map(|line| line.strip_prefix("objectSid:: ")).unwrap();
        let sid = STANDARD.decode(sid).unwrap();
        let parts = sid.get(8..).unwrap().chunks(4).map(|part| u32::from_le_bytes(part.try_into().unwrap()));
        let sid = parts.fold("S-1-5".to_owned(), |sid, part| format!("{sid}-{part}"));
        let mut tool = Command::new(SAMBA_TOOL);
        tool.args(["dsacl", "set", "--objectdn", entry, "--sddl", &format!("(A;CI;GA;;;{sid})"), "-H"]);
        let done = tool.arg(self.path("domain/private/sam.ldb")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Applies LDIF as the administrator.
    pub fn change(&self, ldif: &str) {
        let mut child =
            self.tool("ldapmodify", &administrator_name(), &self.password).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(ldif.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{ldif}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// The attributes of the entries that a filter finds, as the administrator sees them.
    pub fn find(&self, filter: &str, attributes: &[&str]) -> String {
        let mut tool = self.tool("ldapsearch", &administrator_name(), &self.password);
        let Output { status, stdout, stderr } =
            tool.args(["-LLL", "-o", "ldif-wrap=no", "-b", ROOT, filter]).args(attributes).output().unwrap();
        assert!(status.success(), "{filter}: {}", String::from_utf8_lossy(&stderr));
        // References to other parts of the forest are none of these.
        let found = String::from_utf8(stdout).unwrap();
        found.lines().filter(|line| !line.starts_with("# ref")).collect::<Vec<_>>().join("\n")
    }

    /// Whether this password opens the login of this name, in a form that the domain takes.
    pub fn can_login(&self, name: &str, password: &str) -> bool {
        let tried = self.looks(name, password);
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(tried.status.success() || tried.status.code() == Some(49), "ldapsearch says neither: {said}");
        tried.status.success()
    }

    /// Logs in and looks at the server's own entry.
    fn looks(&self, name: &str, password: &str) -> Output {
        self.tool("ldapsearch", name, password).args(["-LLL", "-b", "", "-s", "base", "1.1"]).output().unwrap()
    }

    /// One of OpenLDAP's own tools, bound under this name, over a bare connection.
    fn tool(&self, program: &str, name: &str, password: &str) -> Command {
        let file = self.path(&format!("password-{}", random_text()));
        write_private(&file, password);
        let mut command = Command::new(program);
        command.args(["-x", "-H", &format!("ldap://{}", self.address), "-D", name, "-y"]).arg(file);
        command.env("LDAPNOINIT", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_certificates(&mut self) {
        let made = server_certificate_of(&[&self.host()]);
        for (name, text) in [("server.crt", &made.certificate), ("server.key", &made.key), ("ca.crt", &made.ca)] {
            let _ = fs::remove_file(self.path(name));
            write_private(&self.path(name), text);
        }
        self.ca_certificate = made.ca;
    }

    fn configure(&self) {
        let (folder, address, other) = (self.folder.path().display(), self.address, self.other);
        let mut configuration = format!(
            "[global]\nnetbios name = DC1\nrealm = CORP.EXAMPLE\nworkgroup = {DOMAIN}\nserver role = active directory \
             domain controller\nserver services = ldap\ndcerpc endpoint servers =\ninterfaces = {address}/8 {other}/8\n\
             bind interfaces only = yes\nldap server require strong auth = no\nold password allowed period = {}\n\
             tls enabled = yes\ntls certfile = {folder}/server.crt\ntls keyfile = {folder}/server.key\n\
             tls cafile = {folder}/ca.crt\nlog level = 0\n",
            self.grace_minutes
        );
        for (setting, name) in [
            ("private dir", "private"),
            ("state directory", "state"),
            ("cache directory", "cache"),
            ("lock directory", "state"),
            ("pid directory", "run"),
            ("ncalrpc dir", "run/ncalrpc"),
            ("binddns dir", "bind-dns"),
            ("ntp signd socket directory", "run/ntp"),
        ] {
            fs::create_dir_all(self.path("domain").join(name)).unwrap();
            writeln!(configuration, "{setting} = {folder}/domain/{name}").unwrap();
        }
        fs::write(self.path("smb.conf"), configuration).unwrap();
    }

    /// Starts the server process and waits until it takes logins; false where it ends at once, e.g. for its address.
    async fn run(&mut self) -> bool {
        self.configure();
        let log = File::options().create(true).append(true).open(self.path("samba.log")).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "/usr/sbin/samba", "-i", "-M", "single", "--debug-stdout", "-s"]);
        command.arg(self.path("smb.conf"));
        let (to, errors) = (log.try_clone().unwrap(), log);
        self.server = Some(command.stdin(Stdio::null()).stdout(to).stderr(errors).spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect((self.address, LDAPS_PORT)).is_err()
            || !self.looks(&administrator_name(), &self.password).status.success()
        {
            let ended = self.server.as_mut().unwrap().try_wait().unwrap().is_some();
            if ended || start.elapsed() > START_MAX {
                self.stop();
                return false;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        true
    }

    fn stop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let _ = server.kill();
        let _ = server.wait();
    }
}

impl Drop for Samba {
    /// The folder dies with it: there is nothing to shut down in order.
    fn drop(&mut self) {
        self.stop();
    }
}

/// The administrator, as the domain's tools take it.
fn administrator_name() -> String {
    format!("{DOMAIN}\\{ADMINISTRATOR}")
}

/// Makes a domain in this folder, with its administrator's password beside its databases.
fn make_domain(domain: &Path) {
    let password = format!("{}-aA1", random_text());
    let run = |command: &mut Command| {
        let done = command.stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let mut provision = Command::new(SAMBA_TOOL);
    provision.args(["domain", "provision", "--realm=CORP.EXAMPLE", "--domain=CORP", "--server-role=dc"]);
    provision.args(["--dns-backend=NONE", "--host-name=dc1", "--host-ip=127.0.0.10"]);
    provision.args(["--option=interfaces=127.0.0.10/8", "--option=bind interfaces only=yes"]);
    run(provision.arg(format!("--adminpass={password}")).arg("--targetdir").arg(domain));
    write_private(&domain.join(PASSWORD), &password);
    let database = domain.join("private/sam.ldb");
    let lax = ["--complexity=off", "--min-pwd-age=0", "--min-pwd-length=0", "-H"];
    run(Command::new(SAMBA_TOOL).args(["domain", "passwordsettings", "set"]).args(lax).arg(&database));
    run(Command::new(SAMBA_TOOL).args(["ou", "create", UNIT, "-H"]).arg(&database));
}

/// Two addresses of loopback whose LDAP ports nobody has.
#[expect(clippy::disallowed_methods, reason = "a test draws its own randomness")]
fn free_addresses() -> (Ipv4Addr, Ipv4Addr) {
    let free = || loop {
        let [a, b, c, ..] = *uuid::Uuid::new_v4().as_bytes();
        let address = Ipv4Addr::new(127, a.clamp(20, 250), b, c.clamp(1, 250));
        if TcpListener::bind((address, LDAPS_PORT)).is_ok() {
            return address;
        }
    };
    (free(), free())
}

/// A value in a distinguished name, with everything in it escaped that can be (RFC 4514 §2.4).
fn in_a_dn(value: &str) -> String {
    value.bytes().map(|byte| format!("\\{byte:02x}")).collect::<Vec<_>>().concat()
}

fn write_private(path: &Path, text: &str) {
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path).expect("a file of its own");
    file.write_all(text.as_bytes()).unwrap();
}
