//! A real PostgreSQL as the laws want it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::laws::listing::Listed;
use claviger_connectors::laws::{EdgeLogins, Fixture, Stay};
use claviger_connectors::{Connector, Credential, Deadlines, Direct, Postgresql, Reach};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::postgres::{HOST, OTHER_HOST, Postgres, random_text, unrelated_ca};
use tokio_postgres::Client;

/// The server, the connector, a line that fails, and the superuser.
pub struct Rig {
    pub postgres: Postgres,
    pub connector: Postgresql,
    line: Faulty,
    superuser: Login,
    password: Secret,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let postgres = Postgres::start_with(settings).await;
        let line = Faulty::before(postgres.address()).await;
        let (superuser, password) = (postgres.superuser(), postgres.superuser_secret());
        let second = Duration::from_secs(1);
        let deadlines = Deadlines { login: second, work: 6 * second, statement: second };
        Self { postgres, connector: connector(deadlines), line, superuser, password }
    }

    /// The server behind a line on which this goes wrong.
    pub fn behind(&self, fault: Fault) -> SystemSpec {
        self.line.set(fault);
        self.at(HOST, self.line.address().port())
    }
}

/// A way that leads to loopback too.
pub fn reach(deadlines: Deadlines) -> Reach {
    Reach::new(Arc::new(Direct::new(vec!["127.0.0.0/8".parse().unwrap()])), deadlines)
}

/// The connector, allowed to reach loopback.
pub fn connector(deadlines: Deadlines) -> Postgresql {
    Postgresql::new(reach(deadlines))
}

pub fn login(text: &str) -> Login {
    text.parse().unwrap()
}

pub fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned()).unwrap()
}

#[async_trait]
impl Fixture for Rig {
    fn connector(&self) -> &dyn Connector {
        &self.connector
    }

    fn system(&self) -> SystemSpec {
        self.postgres.spec(TlsMode::VerifyFull)
    }

    fn at(&self, host: &str, port: u16) -> SystemSpec {
        let (host, database) = (host.to_owned(), "postgres".to_owned());
        SystemSpec::Postgresql { host, port, database, tls: TlsMode::Disable, ca_certificate: None }
    }

    fn strangers(&self) -> Vec<SystemSpec> {
        let stranger = |host: &str, tls, ca: String| SystemSpec::Postgresql {
            host: host.to_owned(),
            port: self.postgres.port(),
            database: "postgres".to_owned(),
            tls,
            ca_certificate: Some(ca),
        };
        vec![
            stranger(HOST, TlsMode::VerifyFull, unrelated_ca()),
            stranger(HOST, TlsMode::VerifyCa, unrelated_ca()),
            stranger(OTHER_HOST, TlsMode::VerifyFull, self.postgres.ca_certificate().to_owned()),
        ]
    }

    async fn losing_reply(&self) -> SystemSpec {
        self.behind(Fault::LoseReply(Statement::Containing("ROLE ".to_owned())))
    }

    async fn losing_change(&self) -> SystemSpec {
        self.behind(Fault::LoseStatement(Statement::Containing("ROLE ".to_owned())))
    }

    fn management(&self) -> Credential<'_> {
        Credential { login: &self.superuser, secret: &self.password }
    }

    fn fresh_secret(&self) -> Secret {
        secret(&random_text())
    }

    fn edge_logins(&self) -> EdgeLogins {
        EdgeLogins {
            longest: vec![login(&"n".repeat(63)), login(&format!("{}x", "ä".repeat(31)))],
            too_long: vec![login(&"n".repeat(64)), login(&"ä".repeat(32)), login(&"n".repeat(256))],
        }
    }

    async fn now(&self) -> Timestamp {
        let admin = self.postgres.admin_client().await;
        let micros = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
        Timestamp::from_microsecond(admin.query_one(micros, &[]).await.unwrap().get(0)).unwrap()
    }

    async fn add_login(&self, login: &Login, secret: &Secret) {
        self.postgres.create_role(login.as_str(), secret.expose()).await;
    }

    async fn add_group(&self, group: &Login) {
        self.postgres.run_sql(&format!("CREATE ROLE \"{}\"", group.as_str().replace('"', "\"\""))).await;
    }

    async fn exists(&self, login: &Login) -> bool {
        let admin = self.postgres.admin_client().await;
        let found = admin.query("SELECT 1 FROM pg_roles WHERE rolname::text = $1", &[&login.as_str()]).await.unwrap();
        !found.is_empty()
    }

    async fn is_member(&self, login: &Login, group: &Login) -> bool {
        let admin = self.postgres.admin_client().await;
        let query = "SELECT pg_has_role($1::name, $2::name, 'MEMBER')";
        admin.query_one(query, &[&login.as_str(), &group.as_str()]).await.unwrap().get(0)
    }

    async fn opens(&self, login: &Login, secret: &Secret) -> bool {
        self.postgres.can_login(login.as_str(), secret.expose()).await
    }

    async fn stay(&self, login: &Login, secret: &Secret) -> Box<dyn Stay> {
        Box::new(Session(self.postgres.client(login.as_str(), secret.expose(), "postgres").await.unwrap()))
    }

    /// Tables and a schema in two databases, a database, and privileges on what others own.
    async fn leave_property(&self, login: &Login, secret: &Secret) {
        let role = format!("\"{}\"", login.as_str().replace('"', "\"\""));
        self.postgres.run_sql("CREATE DATABASE shop").await;
        self.postgres.run_sql(&format!("CREATE DATABASE left_behind OWNER {role}")).await;
        for database in ["postgres", "shop"] {
            let admin = self.postgres.client("postgres", self.password.expose(), database).await.unwrap();
            let grants = format!(
                "GRANT CREATE ON SCHEMA public TO {role}; GRANT CREATE ON DATABASE {database} TO {role}; \
                 CREATE TABLE theirs (id int); GRANT SELECT ON theirs TO {role}; \
                 ALTER DEFAULT PRIVILEGES FOR ROLE {role} GRANT SELECT ON TABLES TO PUBLIC"
            );
            admin.batch_execute(&grants).await.unwrap();
            let owner = self.postgres.client(login.as_str(), secret.expose(), database).await.unwrap();
            let things = "CREATE TABLE left_behind (id int); INSERT INTO left_behind VALUES (1); \
                          CREATE SCHEMA left_too; CREATE VIEW left_too.seen AS SELECT * FROM public.left_behind";
            owner.batch_execute(things).await.unwrap();
        }
    }

    async fn property_owners(&self) -> Vec<Login> {
        let mut owners = Vec::new();
        for database in ["postgres", "shop"] {
            let admin = self.postgres.client("postgres", self.password.expose(), database).await.unwrap();
            assert_eq!(admin.query("SELECT id FROM left_behind", &[]).await.unwrap().len(), 1, "the rows are there");
            let query = "SELECT relowner::regrole::text FROM pg_class WHERE relname IN ('left_behind', 'seen') UNION ALL \
                         SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'left_too' UNION ALL \
                         SELECT datdba::regrole::text FROM pg_database WHERE datname = 'left_behind'";
            let found = admin.query(query, &[]).await.unwrap();
            assert_eq!(found.len(), 4, "nothing is gone");
            owners.extend(found.iter().map(|row| login(row.get(0))));
        }
        owners
    }
}

#[async_trait]
impl Listed for Rig {
    async fn empower(&self, login: &Login) -> Vec<String> {
        self.postgres.run_sql(&format!("ALTER ROLE \"{login}\" SUPERUSER CREATEROLE")).await;
        ["superuser", "CREATEROLE"].map(str::to_owned).into()
    }

    async fn bar(&self, login: &Login) {
        self.postgres.run_sql(&format!("ALTER ROLE \"{login}\" NOLOGIN")).await;
    }
}

/// A session that stays until it is ended.
struct Session(Client);

#[async_trait]
impl Stay for Session {
    async fn lives(&mut self) -> bool {
        self.0.simple_query("SELECT 1").await.is_ok()
    }
}
