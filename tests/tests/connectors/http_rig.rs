//! A small HTTP API as the laws want it, by the description that is shipped as an example.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{HttpCalls, SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::laws::{EdgeLogins, Fixture, Stay};
use claviger_connectors::{Connector, Credential, Deadlines, Http};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::firewall::Firewall;
use claviger_tests::postgres::{HOST, OTHER_HOST, random_text, unrelated_ca};

use super::rig::{login, reach, secret};

/// Every request that changes something.
pub const CHANGES: Statement = Statement::Beginning(&["POST", "PUT", "PATCH", "DELETE"]);

/// The API, the connector, a line that fails, and the administrator.
pub struct Rig {
    pub firewall: Firewall,
    pub connector: Http,
    line: Faulty,
    administrator: Login,
    password: Secret,
}

impl Rig {
    pub async fn start() -> Self {
        let firewall = Firewall::start().await;
        let line = Faulty::before_http(firewall.clear_address()).await;
        let (administrator, password) = (firewall.administrator(), firewall.administrator_secret());
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { login: second, work: 6 * second, statement: second };
        Self { firewall, connector: connector(deadlines), line, administrator, password }
    }

    /// The API behind a line on which this goes wrong.
    pub fn behind(&self, fault: Fault) -> SystemSpec {
        self.line.set(fault);
        self.at(HOST, self.line.address().port())
    }

    /// The same, as a service describes itself.
    pub fn service(&self) -> SystemSpec {
        self.firewall.spec(service())
    }
}

/// The connector, allowed to reach loopback.
pub fn connector(deadlines: Deadlines) -> Http {
    Http::new(reach(deadlines))
}

/// The shipped example of a firewall.
pub fn firewall() -> HttpCalls {
    serde_json::from_str(include_str!("../../../docs/examples/firewall.calls.json")).unwrap()
}

/// The shipped example of a service.
pub fn service() -> HttpCalls {
    serde_json::from_str(include_str!("../../../docs/examples/service.calls.json")).unwrap()
}

#[async_trait]
impl Fixture for Rig {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn system(&self) -> SystemSpec {
        self.firewall.spec(firewall())
    }

    fn at(&self, at: &str, to: u16) -> SystemSpec {
        let mut system = self.system();
        let SystemSpec::Http { host, port, tls, .. } = &mut system else { unreachable!() };
        at.clone_into(host);
        (*port, *tls) = (to, TlsMode::Disable);
        system
    }

    fn strangers(&self) -> Vec<SystemSpec> {
        let stranger = |at: &str, mode, ca: Option<String>| {
            let mut system = self.system();
            let SystemSpec::Http { host, tls, ca_certificate, .. } = &mut system else { unreachable!() };
            at.clone_into(host);
            *tls = mode;
            *ca_certificate = ca.or_else(|| ca_certificate.clone());
            system
        };
        vec![
            stranger(HOST, TlsMode::VerifyFull, Some(unrelated_ca())),
            stranger(HOST, TlsMode::VerifyCa, Some(unrelated_ca())),
            stranger(OTHER_HOST, TlsMode::VerifyFull, None),
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
        EdgeLogins { longest: vec![login(&"n".repeat(256)), login(&"ä".repeat(128))], too_long: Vec::new() }
    }

    /// The firewall's logins stand in its paths, where no slash does.
    fn takes_login(&self, login: &Login) -> bool {
        !login.as_str().contains(['/', '\\'])
    }

    #[expect(clippy::disallowed_methods, reason = "the API runs in this process, by its clock")]
    async fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn add_login(&self, login: &Login, secret: &Secret) {
        self.firewall.add_user(login.as_str(), secret.expose());
    }

    async fn add_group(&self, group: &Login) {
        self.firewall.add_group(group.as_str());
    }

    async fn exists(&self, login: &Login) -> bool {
        self.firewall.exists(login.as_str())
    }

    async fn is_member(&self, login: &Login, group: &Login) -> bool {
        self.firewall.is_member(login.as_str(), group.as_str())
    }

    async fn opens(&self, login: &Login, secret: &Secret) -> bool {
        self.firewall.opens(login.as_str(), secret.expose())
    }

    async fn stay(&self, login: &Login, _secret: &Secret) -> Box<dyn Stay> {
        Box::new(Session { firewall: self.firewall.sessions(), token: self.firewall.open_session(login.as_str()) })
    }

    fn has_owners(&self) -> bool {
        false
    }

    async fn leave_property(&self, _login: &Login, _secret: &Secret) {}

    async fn property_owners(&self) -> Vec<Login> {
        Vec::new()
    }
}

/// A session that stays until it is ended.
struct Session {
    firewall: claviger_tests::firewall::Sessions,
    token: String,
}

#[async_trait]
impl Stay for Session {
    async fn lives(&mut self) -> bool {
        self.firewall.has(&self.token)
    }
}
