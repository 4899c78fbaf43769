//! One session with the server. It is cut when it is dropped.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Config, SslMode, TargetSessionAttrs};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::{Failure, within};
use crate::limits::{Deadlines, KEEPALIVE, TURN_MOST};
use crate::{OpenError, Settings, Tls, tls};

/// A value of a statement, and its type: with it a statement is one round trip.
pub(crate) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// The server, and how a session with it is made.
pub(crate) struct Target {
    settings: Settings,
    /// `None`: no TLS.
    tls: Option<MakeRustlsConnect>,
    pub(crate) deadlines: Deadlines,
    /// Whether nobody else may have the store open.
    pub(crate) alone: bool,
    /// Where connections live. A caller's own runtime may have no network: the journal's has not.
    home: Handle,
}

impl Target {
    /// Its connections live on the runtime that this is called on.
    pub(crate) fn new(settings: Settings, deadlines: Deadlines, alone: bool) -> Result<Self, OpenError> {
        settings.check()?;
        let tls = match &settings.tls {
            Tls::VerifyFull { ca_certificate } => Some(tls::verify_full(ca_certificate.as_deref())?),
            Tls::Disable => None,
        };
        Ok(Self { settings, tls, deadlines, alone, home: Handle::current() })
    }

    /// The server, for people.
    pub(crate) fn place(&self) -> String {
        self.settings.to_string()
    }

    pub(crate) fn closed(&self, failure: &Failure) -> OpenError {
        OpenError::Closed { place: self.place(), why: failure.to_string() }
    }
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Reading,
    Writing,
    /// Reading one moment for as long as it takes.
    Viewing,
    /// Saying that a node lives, and asking for what is new. Nothing of it has to outlast the server.
    Hearing,
}

impl Purpose {
    /// The server gives up sooner than we do, so that nothing is done when nobody waits any more. (The answer to
    /// COMMIT is not under `statement_timeout`: nothing may end its wait for a replica.)
    fn preparation(self, deadlines: Deadlines) -> String {
        let (statement, lock) = ((deadlines.statement * 4 / 5).as_millis(), (deadlines.statement / 2).as_millis());
        match self {
            Self::Reading => format!("SET statement_timeout = {statement}"),
            // Whoever reads pauses between two statements, to be gentle.
            Self::Viewing => {
                format!("SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = 0")
            }
            // Whoever stops in the midst of a turn keeps nobody waiting for long.
            Self::Writing => format!(
                "SET synchronous_commit = on; SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
                 SET idle_in_transaction_session_timeout = {}",
                TURN_MOST.as_millis()
            ),
            Self::Hearing => format!("SET synchronous_commit = off; SET statement_timeout = {statement}"),
        }
    }
}

/// How soon the server finds out that a client is gone, whose session may hold the store. It is asked for, and done
/// without where the server does not know it.
const NOTICE_A_LOST_CLIENT: &str = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; \
                                    SET tcp_keepalives_count = 3; SET tcp_user_timeout = 20000";

pub(crate) struct Session {
    client: Box<Client>,
    driver: JoinHandle<()>,
    deadlines: Deadlines,
}

/// Whatever the server is doing for it is of no interest any more, and the server undoes it unless it was COMMIT.
impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    pub(crate) async fn open(target: &Arc<Target>, purpose: Purpose) -> Result<Self, Failure> {
        let at_home = Arc::clone(target);
        let opening = async move { within(at_home.deadlines.connect, Self::open_in_its_time(&at_home, purpose)).await };
        target.home.spawn(opening).await.map_err(|gone| Failure::Lost(gone.to_string()))?
    }

    async fn open_in_its_time(target: &Target, purpose: Purpose) -> Result<Self, Failure> {
        let config = config(&target.settings);
        let session = if let Some(tls) = &target.tls {
            let (client, connection) = config.connect(tls.clone()).await?;
            Self {
                client: Box::new(client),
                driver: tokio::spawn(async move { drop(connection.await) }),
                deadlines: target.deadlines,
            }
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            Self {
                client: Box::new(client),
                driver: tokio::spawn(async move { drop(connection.await) }),
                deadlines: target.deadlines,
            }
        };
        session.run(&purpose.preparation(target.deadlines)).await?;
        match session.run(NOTICE_A_LOST_CLIENT).await {
            Ok(()) | Err(Failure::Said { .. }) => Ok(session),
            Err(lost @ Failure::Lost(_)) => Err(lost),
        }
    }

    /// Whether it is known to have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without values.
    pub(crate) async fn run(&self, statements: &str) -> Result<(), Failure> {
        within(self.deadlines.statement, async { Ok(self.client.batch_execute(statements).await?) }).await
    }

    /// Runs COMMIT, whose answer has a deadline of its own.
    pub(crate) async fn commit(&self) -> Result<(), Failure> {
        within(self.deadlines.commit, async { Ok(self.client.batch_execute("COMMIT").await?) }).await
    }

    /// Runs one statement with values.
    pub(crate) async fn query(&self, statement: &str, values: &[Value<'_>]) -> Result<Vec<Row>, Failure> {
        within(self.deadlines.statement, async { Ok(self.client.query_typed(statement, values).await?) }).await
    }
}

/// tokio-postgres keeps a copy of the password until the login is over, and does not wipe it.
fn config(settings: &Settings) -> Config {
    let mut config = Config::new();
    config
        .host(&settings.host)
        .port(settings.port)
        .dbname(&settings.database)
        .user(&settings.user)
        .password(settings.password.expose())
        .application_name("claviger")
        .ssl_mode(if settings.tls == Tls::Disable { SslMode::Disable } else { SslMode::Require })
        // A replica that is behind would show what was true once.
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .keepalives(true)
        .keepalives_idle(KEEPALIVE)
        .keepalives_interval(KEEPALIVE)
        .keepalives_retries(3)
        .tcp_user_timeout(KEEPALIVE * 4);
    config
}
