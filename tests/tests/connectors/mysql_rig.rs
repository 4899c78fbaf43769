//! A real MariaDB as the laws want it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::laws::listing::Listed;
use claviger_connectors::laws::{EdgeLogins, Fixture, Stay};
use claviger_connectors::{Connector, Credential, Deadlines, Mysql};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::mariadb::{self, Mariadb, account, quoted};
use claviger_tests::postgres::{HOST, OTHER_HOST, random_text, unrelated_ca};

use super::rig::{login, reach, secret};

/// Every statement that changes an account.
pub const CHANGES: Statement = Statement::Beginning(&["ALTER USER", "CREATE USER", "SET PASSWORD", "DROP USER"]);

/// The server, the connector, a line that fails, and the administrator.
pub struct Rig {
    pub mariadb: Mariadb,
    pub connector: Mysql,
    line: Faulty,
    administrator: Login,
    password: Secret,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(options: &[&str]) -> Self {
        let mariadb = Mariadb::start_with(options).await;
        let line = Faulty::before_mariadb(mariadb.address()).await;
        let (administrator, password) = (mariadb.administrator(), mariadb.administrator_secret());
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { login: second, work: 6 * second, statement: second };
        Self { mariadb, connector: connector(deadlines), line, administrator, password }
    }

    /// The server behind a line on which this goes wrong.
    pub fn behind(&self, fault: Fault) -> SystemSpec {
        self.line.set(fault);
        self.at(HOST, self.line.address().port())
    }
}

/// The connector, allowed to reach loopback.
pub fn connector(deadlines: Deadlines) -> Mysql {
    Mysql::new(reach(deadlines))
}

#[async_trait]
impl Fixture for Rig {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn system(&self) -> SystemSpec {
        self.mariadb.spec(TlsMode::VerifyFull)
    }

    fn at(&self, host: &str, port: u16) -> SystemSpec {
        SystemSpec::Mysql {
            host: host.to_owned(),
            port,
            tls: TlsMode::Disable,
            ca_certificate: None,
            lockout_threshold: None,
            event_database: None,
        }
    }

    fn strangers(&self) -> Vec<SystemSpec> {
        let stranger = |host: &str, tls, ca: String| SystemSpec::Mysql {
            host: host.to_owned(),
            port: self.mariadb.port(),
            tls,
            ca_certificate: Some(ca),
            lockout_threshold: None,
            event_database: None,
        };
        vec![
            stranger(HOST, TlsMode::VerifyFull, unrelated_ca()),
            stranger(HOST, TlsMode::VerifyCa, unrelated_ca()),
            stranger(OTHER_HOST, TlsMode::VerifyFull, self.mariadb.ca_certificate().to_owned()),
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
            longest: vec![login(&"n".repeat(128)), login(&"ä".repeat(128))],
            too_long: vec![login(&"n".repeat(129)), login(&"n".repeat(256))],
        }
    }

    /// MariaDB's tables of accounts are in three-byte UTF-8.
    fn takes_login(&self, login: &Login) -> bool {
        login.as_str().chars().all(|c| c.len_utf8() < 4)
    }

    async fn now(&self) -> Timestamp {
        let micros = self.mariadb.ask("SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)");
        Timestamp::from_microsecond(micros.first().unwrap().parse().unwrap()).unwrap()
    }

    async fn add_login(&self, login: &Login, secret: &Secret) {
        self.mariadb.create_user(login.as_str(), secret.expose());
    }

    async fn add_group(&self, group: &Login) {
        self.mariadb.run_sql(&format!("CREATE ROLE {}", quoted(group.as_str())));
    }

    async fn exists(&self, login: &Login) -> bool {
        let (user, host) = login.as_str().rsplit_once('@').unwrap_or((login.as_str(), "%"));
        let named = format!("HEX(User) = '{}' AND Host IN ({}, '')", hex::encode_upper(user), quoted(host));
        !self.mariadb.ask(&format!("SELECT 1 FROM mysql.global_priv WHERE {named}")).is_empty()
    }

    async fn is_member(&self, login: &Login, group: &Login) -> bool {
        let grants = self.mariadb.ask(&format!("SHOW GRANTS FOR {}", account(login.as_str())));
        let role = group.as_str().replace('`', "``");
        grants.iter().any(|grant| grant.starts_with(&format!("GRANT `{role}` TO ")))
            && grants.iter().any(|grant| grant.starts_with(&format!("SET DEFAULT ROLE `{role}` ")))
    }

    async fn opens(&self, login: &Login, secret: &Secret) -> bool {
        self.mariadb.can_login(login.as_str(), secret.expose())
    }

    async fn stay(&self, login: &Login, secret: &Secret) -> Box<dyn Stay> {
        Box::new(Session(self.mariadb.stay(login.as_str(), secret.expose())))
    }

    /// Tables have no owner.
    fn has_owners(&self) -> bool {
        false
    }

    async fn leave_property(&self, login: &Login, secret: &Secret) {
        self.mariadb.run_sql("CREATE DATABASE shop");
        self.mariadb.run_sql(&format!("GRANT ALL ON shop.* TO {}", account(login.as_str())));
        let mut session = self.mariadb.stay(login.as_str(), secret.expose());
        session.run("CREATE TABLE shop.left_behind (id INT); INSERT INTO shop.left_behind VALUES (1);");
        session.run("CREATE VIEW shop.seen AS SELECT * FROM shop.left_behind;");
    }

    async fn property_owners(&self) -> Vec<Login> {
        assert_eq!(self.mariadb.ask("SELECT id FROM shop.left_behind"), ["1"], "the rows are there");
        assert_eq!(self.mariadb.ask("SELECT 1 FROM information_schema.VIEWS WHERE TABLE_NAME = 'seen'"), ["1"]);
        Vec::new()
    }
}

#[async_trait]
impl Listed for Rig {
    async fn empower(&self, login: &Login) -> Vec<String> {
        self.mariadb.run_sql(&format!("GRANT ALL ON *.* TO {} WITH GRANT OPTION", account(login.as_str())));
        ["SUPER", "CREATE USER", "GRANT OPTION", "FILE"].map(str::to_owned).into()
    }

    async fn bar(&self, login: &Login) {
        self.mariadb.run_sql(&format!("ALTER USER {} ACCOUNT LOCK", account(login.as_str())));
    }
}

/// A session that stays until it is ended.
struct Session(mariadb::Stay);

#[async_trait]
impl Stay for Session {
    async fn lives(&mut self) -> bool {
        self.0.lives()
    }
}
