//! PostgreSQL: its roles.
//!
//! Passwords travel as SCRAM-SHA-256 verifiers made on this side, so that no clear one reaches the server's log.
//! A login proves a secret only when the server asked for it and, in SCRAM, proved in turn that it knows the account.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};
use tokio::time::sleep;

use self::session::{Session, Target, open_for_changes};
use self::sql::{Role, Verifier};
use crate::failure::Failure;
use crate::logins::{Logins, not_told};
use crate::{Connector, Credential, NewLogin, Probe, Reach, SetOutcome, Traits};

mod logins;
mod session;
mod sql;
mod tls;
mod wire;

/// A session that was told to end is looked for so many times, this long apart.
const ENDING_LOOKS: u32 = 40;
const ENDING_PAUSE: Duration = Duration::from_millis(50);

/// The connector.
pub struct Postgresql {
    reach: Reach,
}

impl Postgresql {
    /// Reaches its systems so.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Connector for Postgresql {
    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn traits(&self, _system: &SystemSpec) -> Traits {
        Traits {
            grace: Duration::ZERO,
            changes_twice: false,
            propagation: Duration::ZERO,
            lockout_threshold: None,
            ends_sessions: true,
            makes_logins: true,
            ends_logins: true,
            deadline: self.reach.deadlines.total(),
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        if let Err(refused) = Role::new(login) {
            // The server would cut the name and try another role's secret.
            return Probe { result: ProbeResult::Refused, detail: detail(refused) };
        }
        let opening = async {
            Session::open(&*self.reach.dial, &Target::of(system)?, login, secret).await?;
            Ok("logged in")
        };
        self.reach.probe(opening).await
    }

    fn lists_logins(&self) -> bool {
        true
    }

    async fn logins(&self, system: &SystemSpec, by: &Credential<'_>) -> Result<Logins, Probe> {
        let session = self.open(Target::of(system), by).await.map_err(not_told)?;
        self.reach.work(logins::all(&session)).await.map_err(not_told)
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        let statement = match (Role::new(login), Verifier::new(new)) {
            (Ok(role), Ok(verifier)) => sql::set_password(&role, &verifier),
            (Err(refused), _) | (_, Err(refused)) => return refused,
        };
        let session = match self.open(Target::of(system), by).await {
            Ok(session) => session,
            Err(not_sent) => return not_sent,
        };
        self.reach.settle(session.run(&statement)).await
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        let (create, renew) = match (sql::create_role(new), sql::renew_role(new)) {
            (Ok(create), Ok(renew)) => (create, renew),
            (Err(refused), _) | (_, Err(refused)) => return refused,
        };
        let session = match self.open(Target::of(system), by).await {
            Ok(session) => session,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            match maker(&session, new.login).await? {
                Maker::Nobody => session.run(&create).await,
                Maker::Vault => session.run(&renew).await,
                Maker::Another => Err(not_ours(new.login)),
            }
        };
        self.reach.settle(work).await
    }

    async fn extend_login(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome {
        let role = match Role::new(login) {
            Ok(role) => role,
            Err(refused) => return refused,
        };
        let session = match self.open(Target::of(system), by).await {
            Ok(session) => session,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            match maker(&session, login).await? {
                Maker::Vault => session.run(&sql::set_end(&role, valid_until)).await,
                Maker::Nobody => Err(refused(format!("there is no role {login}"))),
                Maker::Another => Err(not_ours(login)),
            }
        };
        self.reach.settle(work).await
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let (role, owner) = match (Role::new(login), Role::new(by.login)) {
            (Ok(role), Ok(owner)) => (role, owner),
            (Err(refused), _) | (_, Err(refused)) => return refused,
        };
        let session = match self.open(Target::of(system), by).await {
            Ok(session) => session,
            Err(not_sent) => return not_sent,
        };
        let work = async {
            match maker(&session, login).await? {
                Maker::Nobody => return Ok(()),
                Maker::Another => return Err(not_ours(login)),
                Maker::Vault => {}
            }
            // First what ends the right, then what tidies up: each step may run twice.
            session.run(&sql::bar(&role)).await?;
            end_sessions_of(&session, login).await?;
            self.give_away(system, by, &session, login, (&role, &owner)).await?;
            session.run(&sql::drop_role(&role)).await
        };
        Box::pin(self.reach.settle(work)).await
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        if let Err(refused) = Role::new(login) {
            return refused;
        }
        let session = match self.open(Target::of(system), by).await {
            Ok(session) => session,
            Err(not_sent) => return not_sent,
        };
        self.reach.settle(end_sessions_of(&session, login)).await
    }
}

impl Postgresql {
    /// Opens a session for changes. Where that fails, nothing was sent.
    async fn open<'a>(
        &self,
        target: Result<Target<'_>, Failure>,
        by: &Credential<'a>,
    ) -> Result<Session<'a>, SetOutcome> {
        let statement_ms = self.reach.deadlines.statement.as_millis();
        let opening = async { open_for_changes(&*self.reach.dial, &target?, by.login, by.secret, statement_ms).await };
        self.reach.open(opening).await
    }

    /// Gives what a login owns to the asking role, and takes its privileges, in every database where it left a trace.
    async fn give_away(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        session: &Session<'_>,
        login: &Login,
        (role, owner): (&Role, &Role),
    ) -> Result<(), SetOutcome> {
        if session.ask::<bool>(sql::MAY_ACT_FOR, login).await? == [false] {
            session.run(&sql::join(role, owner)).await?;
        }
        session.run(&sql::give_away(role, owner)).await?;
        for database in session.ask::<String>(sql::OTHER_DATABASES, login).await? {
            let there = Target::of(system).map(|target| Target { database: &database, ..target });
            let there = self.open(there, by).await.map_err(|failed| {
                SetOutcome::Unknown(format!("{login} is barred, but database {database} is closed: {}", detail(failed)))
            })?;
            there.run(&sql::give_away(role, owner)).await?;
        }
        Ok(())
    }
}

/// Who made a role, as its comment tells.
enum Maker {
    /// There is no such role.
    Nobody,
    /// This connector.
    Vault,
    /// Somebody else: it is not ours to extend or remove.
    Another,
}

async fn maker(session: &Session<'_>, login: &Login) -> Result<Maker, SetOutcome> {
    let comments = session.ask::<Option<String>>(sql::COMMENT_OF_ROLE, login).await?;
    Ok(match comments.first() {
        None => Maker::Nobody,
        Some(Some(comment)) if comment == sql::MARK => Maker::Vault,
        Some(_) => Maker::Another,
    })
}

/// Tells the sessions to end until none is left.
async fn end_sessions_of(session: &Session<'_>, login: &Login) -> Result<(), SetOutcome> {
    for _ in 0..ENDING_LOOKS {
        if session.ask::<bool>(sql::END_SESSIONS, login).await?.is_empty() {
            return Ok(());
        }
        sleep(ENDING_PAUSE).await;
    }
    Err(SetOutcome::Unknown(format!("sessions of {login} were told to end and are still there")))
}

fn refused(detail: String) -> SetOutcome {
    SetOutcome::Refused { detail, by_policy: false }
}

fn not_ours(login: &Login) -> SetOutcome {
    refused(format!("the vault did not make role {login} (it lacks the comment '{}') and leaves it alone", sql::MARK))
}

fn detail(outcome: SetOutcome) -> String {
    match outcome {
        SetOutcome::Applied => String::new(),
        SetOutcome::NotSent { detail, .. } | SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => detail,
    }
}
