//! MariaDB: its accounts.
//!
//! Passwords travel as the hashes that the server stores, made on this side, so that no clear one reaches its query
//! log; a login proves that it knows the password and never sends it. What cannot be had from MariaDB, and what a
//! management account needs, stands in `docs/connectors.md`.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::SystemSpec;
use claviger_api::{Login, Secret, Timestamp};
use tokio::time::sleep;

use self::account::Account;
use self::session::{Session, Target, Trouble, open_for_changes};
use self::sql::Methods;
use crate::logins::{Logins, not_told};
use crate::{Connector, Credential, NewLogin, Probe, Reach, SetOutcome, Traits};

mod account;
mod logins;
mod session;
mod sql;
mod wire;

/// A session that was told to end is looked for so many times, this long apart.
const ENDING_LOOKS: u32 = 40;
const ENDING_PAUSE: Duration = Duration::from_millis(50);

/// The connector.
pub struct Mysql {
    reach: Reach,
}

impl Mysql {
    /// Reaches its systems so.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Connector for Mysql {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    fn traits(&self, system: &SystemSpec) -> Traits {
        let (lockout_threshold, ends_logins) = match system {
            SystemSpec::Mysql { lockout_threshold, event_database, .. } => {
                (*lockout_threshold, event_database.is_some())
            }
            SystemSpec::Postgresql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => (None, false),
        };
        Traits {
            grace: Duration::ZERO,
            changes_twice: false,
            propagation: Duration::ZERO,
            lockout_threshold,
            ends_sessions: true,
            makes_logins: true,
            ends_logins,
            deadline: self.reach.deadlines.total(),
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        let opening = async {
            let session = Session::open(&*self.reach.dial, &Target::of(system)?, login, secret).await?;
            let detail = if session.expired() { "logged in; its password has expired" } else { "logged in" };
            session.close().await;
            Ok(detail)
        };
        self.reach.probe(opening).await
    }

    fn lists_logins(&self) -> bool {
        true
    }

    async fn logins(&self, system: &SystemSpec, by: &Credential<'_>) -> Result<Logins, Probe> {
        let (mut session, _, _) = self.open(system, by, by.login).await.map_err(not_told)?;
        let work = async {
            let logins = logins::all(&mut session).await?;
            session.close().await;
            Ok(logins)
        };
        self.reach.work(work).await.map_err(not_told)
    }

    fn seen_as(&self, login: &Login) -> String {
        Account::of(login).map_or_else(|_| login.to_string(), |account| account.to_string())
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        let (mut session, account, _) = match self.open(system, by, login).await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        let work = async {
            set_password(&mut session, &account, by.login, new).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        let (hash, roles) = match (sql::ephemeral_hash(new.secret), sql::roles(new.member_of)) {
            (Ok(hash), Ok(roles)) => (hash, roles),
            (Err(refused), _) | (_, Err(refused)) => return refused,
        };
        let (mut session, account, events) = match self.open(system, by, new.login).await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        let work = async {
            let verb = match maker(&mut session, &account).await? {
                Maker::Nobody => "CREATE USER",
                Maker::Vault => "ALTER USER",
                Maker::Another => return Err(not_ours(&account)),
            };
            check_events(&mut session, events).await?;
            session.run(&sql::make_locked(verb, &account, &hash)).await?;
            let mut done = give_roles(&mut session, &account, &roles).await;
            if done.is_ok() {
                done = place_end(&mut session, &account, events, new.valid_until).await;
            }
            if matches!(done, Err(SetOutcome::Refused { .. })) {
                // As a whole, or not at all.
                session.run(&sql::drop_user(&account)).await.map_err(in_doubt)?;
            }
            session.close().await;
            done
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
        let (mut session, account, events) = match self.open(system, by, login).await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        let work = async {
            match maker(&mut session, &account).await? {
                Maker::Vault => {}
                Maker::Nobody => return Err(refused(format!("there is no account {account}"))),
                Maker::Another => return Err(not_ours(&account)),
            }
            check_events(&mut session, events).await?;
            place_end(&mut session, &account, events, valid_until).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let (mut session, account, events) = match self.open(system, by, login).await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        let work = async {
            match maker(&mut session, &account).await? {
                Maker::Nobody => return Ok(()),
                Maker::Another => return Err(not_ours(&account)),
                Maker::Vault => {}
            }
            // First what ends the right, then what tidies up: each step may run twice.
            session.run(&sql::lock(&account)).await?;
            end_sessions_of(&mut session, &account, by.login).await?;
            session.run(&sql::drop_user(&account)).await?;
            if let Some(database) = events {
                // One that stays behind finds nobody to bar at its time, and is then gone.
                let _ = session.run(&sql::drop_event(database, &account)).await;
            }
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let (mut session, account, _) = match self.open(system, by, login).await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        let work = async {
            end_sessions_of(&mut session, &account, by.login).await?;
            session.close().await;
            Ok(())
        };
        self.reach.settle(work).await
    }
}

impl Mysql {
    /// Opens a session for changes of an account; the database for events comes with it. Where that fails, nothing was
    /// sent.
    async fn open<'a, 's>(
        &self,
        system: &'s SystemSpec,
        by: &Credential<'a>,
        login: &Login,
    ) -> Result<(Session<'a>, Account, Option<&'s str>), SetOutcome> {
        let account = Account::of(login)?;
        let opening = async {
            let target = Target::of(system)?;
            let statement = self.reach.deadlines.statement;
            let session = open_for_changes(&*self.reach.dial, &target, by.login, by.secret, statement).await?;
            Ok((session, target.events))
        };
        let (session, events) = self.reach.open(opening).await?;
        Ok((session, account, events))
    }
}

/// By itself an account may only `SET PASSWORD`, which knows one way in; whoever may change accounts sets them all.
async fn set_password(
    session: &mut Session<'_>,
    account: &Account,
    by: &Login,
    new: &Secret,
) -> Result<(), SetOutcome> {
    let itself = Account::of(by)? == *account;
    if itself && session.expired() {
        let hash = sql::hash(session.plugin(), new).ok_or_else(|| refused("it logs in without a hash".to_owned()))?;
        return session.run(&sql::set_own_password(&hash)).await;
    }
    let Some(methods) = methods(session, account, itself).await? else {
        return Err(refused(format!("there is no account {account}")));
    };
    match methods.only_password().filter(|_| itself).and_then(|plugin| sql::hash(&plugin, new)) {
        Some(hash) => session.run(&sql::set_own_password(&hash)).await,
        None => session.run(&sql::set_methods(account, &methods.with_secret(new)?)).await,
    }
}

/// How an account logs in; nothing where there is none.
async fn methods(session: &mut Session<'_>, account: &Account, itself: bool) -> Result<Option<Methods>, SetOutcome> {
    const NO_SUCH_USER: u16 = 1133;
    let shown = match session.query(&sql::describe(account, itself)).await {
        Ok(rows) => rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or_default(),
        Err(Trouble::Said { code: NO_SUCH_USER, .. }) => return Ok(None),
        Err(trouble) => return Err(trouble.outcome()),
    };
    match Methods::parse(&shown) {
        Some(methods) => Ok(Some(methods)),
        None => Err(refused(format!("how {account} logs in cannot be read"))),
    }
}

/// Who made an account, as its mark tells.
enum Maker {
    /// There is no such account.
    Nobody,
    /// This connector.
    Vault,
    /// Somebody else: it is not ours to extend or remove.
    Another,
}

async fn maker(session: &mut Session<'_>, account: &Account) -> Result<Maker, SetOutcome> {
    Ok(match methods(session, account, false).await? {
        None => Maker::Nobody,
        Some(methods) if methods.marked() => Maker::Vault,
        Some(_) => Maker::Another,
    })
}

/// MariaDB wakes one role at a login; the others are there to be taken.
async fn give_roles(session: &mut Session<'_>, account: &Account, roles: &[String]) -> Result<(), SetOutcome> {
    for role in roles {
        session.run(&sql::grant(role, account)).await?;
    }
    match roles.first() {
        Some(role) => session.run(&sql::set_default_role(role, account)).await,
        None => Ok(()),
    }
}

/// An event that nothing would wake is no end.
async fn check_events(session: &mut Session<'_>, events: Option<&str>) -> Result<(), SetOutcome> {
    if events.is_none() || session.ask(sql::EVENTS_HAPPEN).await? == ["1"] {
        return Ok(());
    }
    Err(refused("event_scheduler is off, so that no event could end the login: switch it on".to_owned()))
}

/// Lets the login in until its end, as far as the server can be told; past it, not at all.
async fn place_end(
    session: &mut Session<'_>,
    account: &Account,
    events: Option<&str>,
    at: Timestamp,
) -> Result<(), SetOutcome> {
    if session.ask(&sql::is_to_come(at)).await? != ["1"] {
        return session.run(&sql::lock(account)).await;
    }
    if let Some(database) = events {
        session.run(&sql::create_event(database, account, at)).await?;
    }
    session.run(&sql::unlock(account)).await
}

/// Tells the sessions to end until none is left.
async fn end_sessions_of(session: &mut Session<'_>, account: &Account, by: &Login) -> Result<(), SetOutcome> {
    const NO_SUCH_SESSION: u16 = 1094;
    if Account::of(by)? != *account {
        session.ask(sql::MAY_SEE_SESSIONS).await?;
    }
    for _ in 0..ENDING_LOOKS {
        let open = session.ask(&sql::sessions(account)).await?;
        if open.is_empty() {
            return Ok(());
        }
        for id in &open {
            let Some(end) = sql::end_session(id) else { continue };
            match session.query(&end).await {
                Ok(_) | Err(Trouble::Said { code: NO_SUCH_SESSION, .. }) => {}
                Err(trouble) => return Err(trouble.outcome()),
            }
        }
        sleep(ENDING_PAUSE).await;
    }
    Err(SetOutcome::Unknown(format!("sessions of {account} were told to end and are still there")))
}

fn refused(detail: String) -> SetOutcome {
    SetOutcome::Refused { detail, by_policy: false }
}

fn not_ours(account: &Account) -> SetOutcome {
    refused(format!("the vault did not make the account {account} (it lacks its mark) and leaves it alone"))
}

/// What could not be undone is there in part.
fn in_doubt(outcome: SetOutcome) -> SetOutcome {
    SetOutcome::Unknown(format!("the login is locked and could not be dropped: {}", detail(outcome)))
}

fn detail(outcome: SetOutcome) -> String {
    match outcome {
        SetOutcome::Applied => String::new(),
        SetOutcome::NotSent { detail, .. } | SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => detail,
    }
}
