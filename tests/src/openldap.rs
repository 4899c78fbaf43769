//! A real OpenLDAP of a test's own, with a password policy: its own folder, ports, administrator and CA. It ends with
//! the test, also with one that panics or is killed. What a test asks of it goes through OpenLDAP's own tools.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test whose system does not start cannot go on")]

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use tempfile::TempDir;

use crate::postgres::{HOST, OTHER_HOST, free_port, random_text, server_certificate};

/// The entry that may do everything.
pub const ADMINISTRATOR: &str = "cn=admin,dc=example,dc=org";
/// The entry that may write those below, and no more.
pub const MANAGER: &str = "uid=manager,ou=people,dc=example,dc=org";
/// Right below which logins are.
pub const PEOPLE: &str = "ou=people,dc=example,dc=org";
/// Right below which groups are.
pub const GROUPS: &str = "ou=groups,dc=example,dc=org";

const START_MAX: Duration = Duration::from_secs(30);
const PORT_TRIES: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A running server.
pub struct Openldap {
    folder: TempDir,
    port: u16,
    tls_port: u16,
    password: String,
    ca_certificate: String,
    server: Option<Child>,
}

impl Openldap {
    /// Starts one that takes LDAP with StartTLS, and LDAPS. Accounts are locked after five failed logins.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same, with more attributes of the password policy, as LDIF.
    pub async fn start_with(policy: &str) -> Self {
        let mut openldap = Self {
            folder: TempDir::with_prefix("claviger-openldap-").unwrap(),
            port: 0,
            tls_port: 0,
            password: random_text(),
            ca_certificate: String::new(),
            server: None,
        };
        openldap.make_certificates();
        openldap.configure();
        for _ in 0..PORT_TRIES {
            (openldap.port, openldap.tls_port) = (free_port(), free_port());
            if openldap.run().await {
                openldap.fill(policy);
                return openldap;
            }
        }
        panic!("slapd does not start:\n{}", openldap.log());
    }

    /// The port of LDAP, where StartTLS is.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of LDAPS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// Where it listens in clear.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The administrator's login.
    pub fn administrator(&self) -> Login {
        format!("dn:{ADMINISTRATOR}").parse().unwrap()
    }

    /// The administrator's password.
    pub fn administrator_secret(&self) -> Secret {
        Secret::new(self.password.clone()).unwrap()
    }

    /// The CA that signed its certificate, in PEM.
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// The system as an administrator would add it, over LDAPS.
    pub fn spec(&self, tls: TlsMode) -> SystemSpec {
        SystemSpec::Ldap {
            host: HOST.to_owned(),
            port: self.tls_port,
            tls,
            start_tls: false,
            ca_certificate: Some(self.ca_certificate.clone()),
            base: PEOPLE.to_owned(),
            login_attribute: "uid".to_owned(),
            object_classes: vec!["inetOrgPerson".to_owned()],
            group_base: Some(GROUPS.to_owned()),
            password_policy: true,
            lockout_threshold: Some(5),
        }
    }

    /// All that it has logged: each operation.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("slapd.log")).unwrap_or_default()).into_owned()
    }

    /// Adds an entry with these attributes.
    pub fn add(&self, dn: &str, attributes: &[(&str, &str)]) {
        let ldif = |(name, value): &(&str, &str)| format!("{name}:: {}\n", STANDARD.encode(value));
        let lines: String = attributes.iter().map(ldif).collect();
        self.change(&format!("dn:: {}\nchangetype: add\n{lines}", STANDARD.encode(dn)));
    }

    /// Applies LDIF as the administrator.
    pub fn change(&self, ldif: &str) {
        let mut child = self.tool("ldapmodify", ADMINISTRATOR, &self.password).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(ldif.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{ldif}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// The entries below a base that a filter finds, as the administrator sees them.
    pub fn find(&self, base: &str, filter: &str, attribute: &str) -> String {
        let mut tool = self.tool("ldapsearch", ADMINISTRATOR, &self.password);
        let Output { status, stdout, stderr } =
            tool.args(["-LLL", "-o", "ldif-wrap=no", "-b", base, filter, attribute]).output().unwrap();
        let absent = status.code() == Some(32);
        assert!(status.success() || absent, "{base}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Whether this password opens this entry.
    pub fn can_login(&self, dn: &str, password: &str) -> bool {
        let tried = self.tool("ldapwhoami", dn, password).output().unwrap();
        let said = String::from_utf8_lossy(&tried.stderr).into_owned();
        assert!(tried.status.success() || tried.status.code() == Some(49), "ldapwhoami says neither: {said}");
        tried.status.success()
    }

    /// One of OpenLDAP's own tools, bound as this entry, over a bare connection.
    fn tool(&self, name: &str, dn: &str, password: &str) -> Command {
        let file = self.path(&format!("password-{}", random_text()));
        write_private(&file, password);
        let mut command = Command::new(name);
        command.args(["-x", "-H", &format!("ldap://{HOST}:{}", self.port), "-D", dn, "-y"]).arg(file);
        command.env("LDAPNOINIT", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_certificates(&mut self) {
        let made = server_certificate();
        write_private(&self.path("server.crt"), &made.certificate);
        write_private(&self.path("server.key"), &made.key);
        write_private(&self.path("ca.crt"), &made.ca);
        self.ca_certificate = made.ca;
    }

    fn configure(&self) {
        fs::create_dir(self.path("data")).unwrap();
        let folder = self.folder.path().display();
        let schemas = ["core", "cosine", "inetorgperson"]
            .map(|name| format!("include /etc/ldap/schema/{name}.schema\n"))
            .concat();
        let configuration = format!(
            "{schemas}modulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload ppolicy\npidfile {folder}/pid\n\
             TLSCACertificateFile {folder}/ca.crt\nTLSCertificateFile {folder}/server.crt\n\
             TLSCertificateKeyFile {folder}/server.key\n\
             database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"{ADMINISTRATOR}\"\nrootpw \"{}\"\n\
             directory {folder}/data\ndbnosync\n\
             access to dn.subtree=\"{PEOPLE}\" attrs=userPassword \
             by dn.exact=\"{MANAGER}\" write by self write by anonymous auth by * none\n\
             access to dn.subtree=\"{PEOPLE}\" by dn.exact=\"{MANAGER}\" write by users read\n\
             access to dn.subtree=\"{GROUPS}\" by dn.exact=\"{MANAGER}\" write by users read\n\
             access to * by users read\n\
             overlay ppolicy\nppolicy_default \"cn=policy,dc=example,dc=org\"\nppolicy_use_lockout\nppolicy_hash_cleartext\n",
            self.password
        );
        write_private(&self.path("slapd.conf"), &configuration);
    }

    fn fill(&self, policy: &str) {
        self.add(
            "dc=example,dc=org",
            &[("objectClass", "dcObject"), ("objectClass", "organization"), ("o", "Example")],
        );
        let role = [("objectClass", "organizationalRole"), ("cn", "admin")];
        self.add(ADMINISTRATOR, &role);
        for (name, dn) in [("people", PEOPLE), ("groups", GROUPS)] {
            self.add(dn, &[("objectClass", "organizationalUnit"), ("ou", name)]);
        }
        self.change(&format!(
            "dn: cn=policy,dc=example,dc=org\nchangetype: add\nobjectClass: pwdPolicy\nobjectClass: device\n\
             pwdAttribute: userPassword\npwdLockout: TRUE\npwdMaxFailure: 5\n{policy}"
        ));
    }

    /// Starts the server process and waits until it takes logins; false where it ends at once, e.g. for its port.
    async fn run(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.path("slapd.log")).unwrap();
        let both = format!(
            "ldap://{HOST}:{0} ldap://{OTHER_HOST}:{0} ldaps://{HOST}:{1} ldaps://{OTHER_HOST}:{1}",
            self.port, self.tls_port
        );
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "/usr/sbin/slapd", "-d", "stats", "-f"]);
        command.arg(self.path("slapd.conf")).args(["-h", &both]);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.server = Some(server);
        let start = Instant::now();
        while std::net::TcpStream::connect((HOST, self.tls_port)).is_err()
            || !self.tool("ldapwhoami", ADMINISTRATOR, &self.password).output().unwrap().status.success()
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

impl Drop for Openldap {
    /// The folder dies with it: there is nothing to shut down in order.
    fn drop(&mut self) {
        self.stop();
    }
}

fn write_private(path: &Path, text: &str) {
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(path).expect("a file of its own");
    file.write_all(text.as_bytes()).unwrap();
}
