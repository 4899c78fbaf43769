//! A real OpenLDAP as the laws want it.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::laws::{EdgeLogins, Fixture, Stay};
use claviger_connectors::{Connector, Credential, Deadlines, Ldap};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::openldap::{ADMINISTRATOR, GROUPS, Openldap, PEOPLE};
use claviger_tests::postgres::{HOST, OTHER_HOST, random_text, unrelated_ca};

use super::rig::{login, reach, secret};

/// Every request that changes something.
pub const CHANGES: Statement = Statement::Beginning(&["Add", "Modify", "Delete", "Extended"]);

/// The directory, the connector, a line that fails, and the administrator.
pub struct Rig {
    pub openldap: Openldap,
    pub connector: Ldap,
    line: Faulty,
    administrator: Login,
    password: Secret,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    pub async fn start_with(policy: &str) -> Self {
        let openldap = Openldap::start_with(policy).await;
        let line = Faulty::before_ldap(openldap.address()).await;
        let (administrator, password) = (openldap.administrator(), openldap.administrator_secret());
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { login: second, work: 6 * second, statement: second };
        Self { openldap, connector: connector(deadlines), line, administrator, password }
    }

    /// The directory behind a line on which this goes wrong.
    pub fn behind(&self, fault: Fault) -> SystemSpec {
        self.line.set(fault);
        self.at(HOST, self.line.address().port())
    }
}

/// The connector, allowed to reach loopback.
pub fn connector(deadlines: Deadlines) -> Ldap {
    Ldap::new(reach(deadlines))
}

/// The same directory in another way.
pub fn changed(system: &SystemSpec, at: &str, to: u16, mode: TlsMode, by_start_tls: bool) -> SystemSpec {
    let mut system = system.clone();
    let SystemSpec::Ldap { host, port, tls, start_tls, .. } = &mut system else { unreachable!() };
    at.clone_into(host);
    (*port, *tls, *start_tls) = (to, mode, by_start_tls);
    system
}

/// The entry of a login, with everything in it escaped that can be (RFC 4514 §2.4).
pub fn entry(login: &Login) -> String {
    login.as_str().strip_prefix("dn:").map_or_else(|| format!("uid={},{PEOPLE}", escaped(login)), str::to_owned)
}

fn escaped(login: &Login) -> String {
    login.as_str().bytes().map(|byte| format!("\\{byte:02x}")).collect::<Vec<_>>().concat()
}

#[async_trait]
impl Fixture for Rig {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn system(&self) -> SystemSpec {
        self.openldap.spec(TlsMode::VerifyFull)
    }

    fn at(&self, host: &str, port: u16) -> SystemSpec {
        changed(&self.system(), host, port, TlsMode::Disable, false)
    }

    fn strangers(&self) -> Vec<SystemSpec> {
        let (clear, encrypted) = (self.openldap.port(), self.openldap.tls_port());
        let with_ca = |mut system: SystemSpec| {
            let SystemSpec::Ldap { ca_certificate, .. } = &mut system else { unreachable!() };
            *ca_certificate = Some(unrelated_ca());
            system
        };
        let at = |host, port, mode, start_tls| changed(&self.system(), host, port, mode, start_tls);
        vec![
            with_ca(at(HOST, encrypted, TlsMode::VerifyFull, false)),
            with_ca(at(HOST, encrypted, TlsMode::VerifyCa, false)),
            with_ca(at(HOST, clear, TlsMode::VerifyFull, true)),
            at(OTHER_HOST, encrypted, TlsMode::VerifyFull, false),
            at(OTHER_HOST, clear, TlsMode::VerifyFull, true),
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

    /// A directory cuts no names; its storage takes keys of 511 bytes.
    fn edge_logins(&self) -> EdgeLogins {
        EdgeLogins { longest: vec![login(&"n".repeat(200)), login(&"ä".repeat(100))], too_long: Vec::new() }
    }

    #[expect(clippy::disallowed_methods, reason = "the directory runs on this machine, by its clock")]
    async fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn add_login(&self, login: &Login, secret: &Secret) {
        let name = login.as_str();
        let attributes = [
            ("objectClass", "inetOrgPerson"),
            ("uid", name),
            ("cn", name),
            ("sn", name),
            ("userPassword", secret.expose()),
        ];
        self.openldap.add(&entry(login), &attributes);
    }

    async fn add_group(&self, group: &Login) {
        let attributes = [("objectClass", "groupOfNames"), ("cn", group.as_str()), ("member", ADMINISTRATOR)];
        self.openldap.add(&format!("cn={},{GROUPS}", escaped(group)), &attributes);
    }

    async fn exists(&self, login: &Login) -> bool {
        if login.as_str().starts_with("group ") {
            return !self.openldap.find(&format!("cn={},{GROUPS}", escaped(login)), "(objectClass=*)", "cn").is_empty();
        }
        !self.openldap.find(&entry(login), "(objectClass=*)", "cn").is_empty()
    }

    async fn is_member(&self, login: &Login, group: &Login) -> bool {
        let member = format!("(member={})", entry(login).replace('\\', "\\5c"));
        !self.openldap.find(&format!("cn={},{GROUPS}", escaped(group)), &member, "cn").is_empty()
    }

    async fn opens(&self, login: &Login, secret: &Secret) -> bool {
        self.openldap.can_login(&entry(login), secret.expose())
    }

    async fn stay(&self, _login: &Login, _secret: &Secret) -> Box<dyn Stay> {
        unreachable!("sessions of a directory cannot be ended")
    }

    fn has_owners(&self) -> bool {
        false
    }

    async fn leave_property(&self, _login: &Login, _secret: &Secret) {}

    async fn property_owners(&self) -> Vec<Login> {
        Vec::new()
    }
}
