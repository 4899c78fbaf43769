//! A real Samba domain as the laws want it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::laws::listing::Listed;
use claviger_connectors::laws::{EdgeLogins, Fixture, Stay};
use claviger_connectors::{ActiveDirectory, Connector, Credential, Deadlines};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::postgres::{HOST, random_text, unrelated_ca};
use claviger_tests::samba::{DOMAIN, PEOPLE, Samba};

use super::rig::{login, reach, secret};

/// Every request that changes something.
pub const CHANGES: Statement = Statement::Beginning(&["Add", "Modify", "Delete"]);

/// The domain, the connector, a line that fails, and the administrator.
pub struct Rig {
    pub samba: Samba,
    pub connector: ActiveDirectory,
    line: Faulty,
    administrator: Login,
    password: Secret,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with_grace(0).await
    }

    pub async fn start_with_grace(minutes: u32) -> Self {
        let samba = Samba::start_with_grace(minutes).await;
        let line = Faulty::before_ldap(samba.address()).await;
        let (administrator, password) = (samba.administrator(), samba.administrator_secret());
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { login: 2 * second, work: 6 * second, statement: second };
        Self { samba, connector: connector(deadlines), line, administrator, password }
    }

    /// The domain behind a line on which this goes wrong.
    pub fn behind(&self, fault: Fault) -> SystemSpec {
        self.line.set(fault);
        self.at(HOST, self.line.address().port())
    }
}

/// The connector, allowed to reach loopback.
pub fn connector(deadlines: Deadlines) -> ActiveDirectory {
    ActiveDirectory::new(reach(deadlines))
}

/// The same domain in another way.
pub fn changed(system: &SystemSpec, at: &str, to: u16, mode: TlsMode, by_start_tls: bool) -> SystemSpec {
    let mut system = system.clone();
    let SystemSpec::ActiveDirectory { host, port, tls, start_tls, .. } = &mut system else { unreachable!() };
    at.clone_into(host);
    (*port, *tls, *start_tls) = (to, mode, by_start_tls);
    system
}

/// A login as the domain's tools take it.
pub fn named(login: &Login) -> String {
    format!("{DOMAIN}\\{login}")
}

/// A filter in which everything is escaped that can be (RFC 4515 §3).
fn holds(attribute: &str, value: &str) -> String {
    let escaped = value.bytes().map(|byte| format!("\\{byte:02x}")).collect::<Vec<_>>().concat();
    format!("({attribute}={escaped})")
}

#[async_trait]
impl Fixture for Rig {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn system(&self) -> SystemSpec {
        self.samba.spec(TlsMode::VerifyFull)
    }

    fn at(&self, host: &str, port: u16) -> SystemSpec {
        changed(&self.system(), host, port, TlsMode::Disable, false)
    }

    fn strangers(&self) -> Vec<SystemSpec> {
        let with_ca = |mut system: SystemSpec| {
            let SystemSpec::ActiveDirectory { ca_certificate, .. } = &mut system else { unreachable!() };
            *ca_certificate = Some(unrelated_ca());
            system
        };
        let at = |host: String, port, mode, start_tls| changed(&self.system(), &host, port, mode, start_tls);
        let (host, other) = (|| self.samba.host(), || self.samba.other_host());
        vec![
            with_ca(at(host(), 636, TlsMode::VerifyFull, false)),
            with_ca(at(host(), 636, TlsMode::VerifyCa, false)),
            with_ca(at(host(), 389, TlsMode::VerifyFull, true)),
            at(other(), 636, TlsMode::VerifyFull, false),
            at(other(), 389, TlsMode::VerifyFull, true),
        ]
    }

    async fn losing_reply(&self) -> SystemSpec {
        self.behind(Fault::LoseReply(CHANGES))
    }

    async fn losing_change(&self) -> SystemSpec {
        self.behind(Fault::LoseStatement(CHANGES))
    }

    fn management(&self) -> Credential<'_> {
        Credential { login: &self.administrator, secret: &self.password }
    }

    fn fresh_secret(&self) -> Secret {
        secret(&random_text())
    }

    fn edge_logins(&self) -> EdgeLogins {
        EdgeLogins {
            longest: vec![login(&"n".repeat(20)), login(&"ä".repeat(20))],
            too_long: vec![login(&"n".repeat(21)), login(&"ä".repeat(21))],
        }
    }

    /// What Windows lets no account be named. Groups are named by their common name, which may be anything.
    fn takes_login(&self, login: &Login) -> bool {
        login.as_str().starts_with("group ") || !login.as_str().contains(|c| "\"/\\[]:;|=,+*?<>@".contains(c))
    }

    #[expect(clippy::disallowed_methods, reason = "the domain runs on this machine, by its clock")]
    async fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn add_login(&self, login: &Login, secret: &Secret) {
        self.samba.add_user(login.as_str(), secret.expose(), &[]);
    }

    async fn add_group(&self, group: &Login) {
        self.samba.add_group(group.as_str());
    }

    async fn exists(&self, login: &Login) -> bool {
        let attribute = if login.as_str().starts_with("group ") { "cn" } else { "sAMAccountName" };
        !self.samba.find(&holds(attribute, login.as_str()), &["cn"]).is_empty()
    }

    async fn is_member(&self, login: &Login, group: &Login) -> bool {
        let found = self.samba.find(&holds("sAMAccountName", login.as_str()), &["distinguishedName"]);
        let dn = found.lines().find_map(|line| line.strip_prefix("distinguishedName: ").map(str::to_owned));
        let dn = dn.or_else(|| {
            let encoded = found.lines().find_map(|line| line.strip_prefix("distinguishedName:: "))?;
            String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).ok()?).ok()
        });
        let filter = format!("(&{}{})", holds("cn", group.as_str()), holds("member", &dn.unwrap()));
        !self.samba.find(&filter, &["cn"]).is_empty()
    }

    async fn opens(&self, login: &Login, secret: &Secret) -> bool {
        self.samba.can_login(&named(login), secret.expose())
    }

    async fn stay(&self, _login: &Login, _secret: &Secret) -> Box<dyn Stay> {
        unreachable!("sessions of a domain cannot be ended")
    }

    fn has_owners(&self) -> bool {
        false
    }

    async fn leave_property(&self, _login: &Login, _secret: &Secret) {}

    async fn property_owners(&self) -> Vec<Login> {
        Vec::new()
    }
}

#[async_trait]
impl Listed for Rig {
    /// By a group within a group, and by what the domain leaves on those that it has guarded.
    async fn empower(&self, login: &Login) -> Vec<String> {
        let (it, group) = (format!("CN={login},{PEOPLE}"), format!("CN=operations,{PEOPLE}"));
        self.samba.add_group("operations");
        for (group, member) in [(group.as_str(), it.as_str()), (&format!("CN=Domain Admins,{PEOPLE}"), &group)] {
            self.samba.change(&format!("dn: {group}\nchangetype: modify\nadd: member\nmember: {member}\n"));
        }
        self.samba.replace(&it, "adminCount", "1");
        ["member of Domain Admins", "member of Administrators", "adminCount=1"].map(str::to_owned).into()
    }

    async fn bar(&self, login: &Login) {
        self.samba.replace(&format!("CN={login},{PEOPLE}"), "userAccountControl", "514");
    }
}
