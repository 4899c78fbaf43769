//! One login on one server, and what its answers mean.

use std::io;

use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, Config, Connection, Row};

use super::wire::{AlreadyOpen, Foul, Progress, Watched};
use super::{sql, tls};
use crate::failure::{Failure, is_unreadable, plain_words};
use crate::{Dial, SetOutcome};

/// The oldest server that knows SCRAM-SHA-256; an older one would take the verifier for the password itself.
const OLDEST_MAJOR_VERSION: u32 = 10;

/// The parts of a PostgreSQL system's specification.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) tls: TlsMode,
    pub(super) ca_certificate: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(super) fn of(system: &'a SystemSpec) -> Result<Self, Failure> {
        match system {
            SystemSpec::Postgresql { host, port, database, tls, ca_certificate } => {
                Ok(Self { host, port: *port, database, tls: *tls, ca_certificate: ca_certificate.as_deref() })
            }
            SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => Err(Failure::another_kind()),
        }
    }
}

/// An open session. Its connection ends with it.
pub(super) struct Session<'a> {
    client: Client,
    secret: &'a Secret,
    driver: JoinHandle<()>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl<'a> Session<'a> {
    /// Logs in, and makes sure that it was the secret that opened.
    pub(super) async fn open(
        dial: &dyn Dial,
        target: &Target<'_>,
        login: &Login,
        secret: &'a Secret,
    ) -> Result<Self, Failure> {
        let stream = dial.dial(target.host, target.port).await;
        let stream = stream.map_err(|error| Failure::unreachable(error.to_string()))?;
        let link = tls::secure(stream, target).await?;
        let cleartext_allowed = tls::proves_the_server(target.tls, &link);
        let (watched, progress) = Watched::new(link, cleartext_allowed);
        let (client, connection) = config(target, login, secret)
            .connect_raw(watched, AlreadyOpen)
            .await
            .map_err(|error| login_failure(&error, &progress, secret))?;
        if !progress.asked_for_password() {
            return Err(Failure::unknown(NO_PASSWORD_ASKED));
        }
        check_version(&connection)?;
        let driver = tokio::spawn(async move {
            // What ends the connection reaches whoever waits for an answer on it.
            let _ = connection.await;
        });
        Ok(Self { client, secret, driver })
    }

    /// Runs statements as one transaction.
    pub(super) async fn run(&self, statements: &str) -> Result<(), SetOutcome> {
        self.client.batch_execute(statements).await.map_err(|error| self.outcome(&error))
    }

    /// The first column of a query by one name.
    pub(super) async fn ask<T: FromSqlOwned>(&self, query: &str, name: &Login) -> Result<Vec<T>, SetOutcome> {
        let rows = self.client.query(query, &[&name.as_str()]).await.map_err(|error| self.outcome(&error))?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| self.outcome(&error))).collect()
    }

    /// All rows of a query.
    pub(super) async fn rows(&self, query: &str) -> Result<Vec<Row>, SetOutcome> {
        self.client.query(query, &[]).await.map_err(|error| self.outcome(&error))
    }

    /// One column of a row.
    pub(super) fn column<T: FromSqlOwned>(&self, row: &Row, at: usize) -> Result<T, SetOutcome> {
        row.try_get(at).map_err(|error| self.outcome(&error))
    }

    /// An error answer to a statement is a definite no: PostgreSQL has rolled the statement back. Not so where the
    /// session itself was ended: that may hit between the commit and its answer.
    fn outcome(&self, error: &tokio_postgres::Error) -> SetOutcome {
        let Some(said) = error.as_db_error() else {
            return SetOutcome::Unknown(format!("no answer: {}", described(error)));
        };
        let detail = words(said, self.secret);
        let definite = said.parsed_severity() == Some(Severity::Error) && !leaves_doubt(said.code().code());
        if definite {
            SetOutcome::Refused { by_policy: is_policy(said.code().code()), detail }
        } else {
            SetOutcome::Unknown(detail)
        }
    }
}

const NO_PASSWORD_ASKED: &str =
    "the server asked for no password (trust, peer or a certificate in pg_hba.conf), so nothing is known of this one";

/// tokio-postgres keeps a copy of the secret until the login is over, and does not wipe it.
fn config(target: &Target<'_>, login: &Login, secret: &Secret) -> Config {
    let mut config = Config::new();
    config
        .user(login.as_str())
        .password(secret.expose())
        .dbname(target.database)
        .application_name("claviger")
        // The stream is open: see `wire`.
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    config
}

fn check_version<S, T>(connection: &Connection<S, T>) -> Result<(), Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let version = connection.parameter("server_version").unwrap_or_default();
    let major = version.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<u32>().ok());
    match major {
        Some(major) if major >= OLDEST_MAJOR_VERSION => Ok(()),
        _ => Err(Failure {
            result: ProbeResult::Accepted,
            detail: format!("PostgreSQL {OLDEST_MAJOR_VERSION} or newer is needed: an older one has no SCRAM-SHA-256"),
        }),
    }
}

/// What a login that failed tells about the secret.
fn login_failure(error: &tokio_postgres::Error, progress: &Progress, secret: &Secret) -> Failure {
    let Some(said) = error.as_db_error() else { return broken_login(error, progress) };
    let detail = words(said, secret);
    let (code, asked) = (said.code().code(), progress.asked_for_password());
    let result = match code {
        // invalid_password: wrong, absent, without a password, or past its VALID UNTIL.
        "28P01" => ProbeResult::Refused,
        "28000" => authorization_failure(said, progress),
        // Whatever comes after AuthenticationOk is not about the secret: no such database, no right to connect to
        // it, no free connection.
        _ if progress.authenticated() && asked => ProbeResult::Accepted,
        _ if progress.authenticated() => ProbeResult::Unknown,
        // Too busy, starting up, shutting down.
        _ if code.starts_with("53") || code.starts_with("57") => ProbeResult::Unreachable,
        _ => ProbeResult::Unknown,
    };
    Failure { result, detail }
}

/// SQLSTATE 28000 has three meanings. `routine` tells them apart: messages are translated, names of C functions not.
fn authorization_failure(said: &DbError, progress: &Progress) -> ProbeResult {
    match (progress.authenticated(), progress.asked_for_password()) {
        // The secret was right, and the role may not log in.
        (true, true) => ProbeResult::LockedOut,
        (true, false) => ProbeResult::Unknown,
        // LDAP or PAM behind the server said no.
        (false, true) if said.routine() == Some("auth_failed") => ProbeResult::Refused,
        // pg_hba.conf lets nobody in from here: nothing is known of the secret.
        (false, _) => ProbeResult::Unreachable,
    }
}

fn broken_login(error: &tokio_postgres::Error, progress: &Progress) -> Failure {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    match source {
        _ if error.is_closed() => Failure::unreachable("the server closed the connection during the login"),
        Some(io) if foul(io).is_some() => Failure::unknown(io.to_string()),
        Some(io) if progress.stopped_at_server_proof() && is_unreadable(io) => Failure {
            result: ProbeResult::HostMismatch,
            detail: "the server could not prove that it knows the account".to_owned(),
        },
        Some(io) => Failure::io(io),
        None => Failure::unknown(format!("the server's answer cannot be read: {}", described(error))),
    }
}

/// What stopped the session from this side, if that is what did.
fn foul(error: &io::Error) -> Option<&Foul> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<Foul>())
}

/// Classes 08 (connection), 57 (operator intervention) and XX (internal), and "statement completion unknown".
fn leaves_doubt(code: &str) -> bool {
    code == "40003" || ["08", "57", "XX"].iter().any(|class| code.starts_with(class))
}

/// How password checking modules say that they do not like a password (`passwordcheck` and its kin).
fn is_policy(code: &str) -> bool {
    matches!(code, "22023" | "28000")
}

/// A server's words with their SQLSTATE.
fn words(said: &DbError, secret: &Secret) -> String {
    let mut message = said.message().to_owned();
    if let Some(detail) = said.detail() {
        message = format!("{message}: {detail}");
    }
    format!("{} ({})", plain_words(&message, secret), said.code().code())
}

fn described(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Prepares a session for changes; until that is done, nothing was asked for.
pub(super) async fn open_for_changes<'a>(
    dial: &dyn Dial,
    target: &Target<'_>,
    login: &Login,
    secret: &'a Secret,
    statement_ms: u128,
) -> Result<Session<'a>, Failure> {
    let session = Session::open(dial, target, login, secret).await?;
    match session.run(&sql::prepare_session(statement_ms)).await {
        Ok(()) => Ok(session),
        Err(SetOutcome::Refused { detail, .. } | SetOutcome::NotSent { detail, .. } | SetOutcome::Unknown(detail)) => {
            Err(Failure { result: ProbeResult::Accepted, detail })
        }
        Err(SetOutcome::Applied) => Err(Failure::unknown("the session could not be prepared")),
    }
}
