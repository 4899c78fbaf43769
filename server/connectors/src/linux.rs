//! Linux hosts, over SSH.
//!
//! The host is known by its keys, which the system's specification lists; whoever shows another one is told nothing.
//! Nothing is ever put together for a shell: see `linux/command.rs`. What a management account needs, and what cannot be
//! had, stands in `docs/connectors.md`.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};

use self::keys::PublicKey;
use self::name::UserName;
use self::password::Password;
pub use self::session::is_private_key;
use self::session::{Session, Target};
use self::users::NewUser;
use crate::connector::CertifiedKey;
use crate::failure::Failure;
use crate::logins::{Logins, not_told};
use crate::{Connector, Credential, FileCopy, NewLogin, Probe, Reach, SetOutcome, Traits};

mod command;
mod files;
mod keys;
mod logins;
mod name;
mod password;
mod session;
mod users;
mod watched;

/// Whether a Linux host can tell users or groups of this name apart from all others.
pub fn takes_name(login: &Login) -> bool {
    UserName::of(login).is_ok()
}

/// The connector.
pub struct Linux {
    reach: Reach,
}

impl Linux {
    /// Reaches its systems so.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Connector for Linux {
    fn kind(&self) -> &'static str {
        "linux"
    }

    fn traits(&self, system: &SystemSpec) -> Traits {
        let lockout_threshold = match system {
            SystemSpec::Linux { lockout_threshold, .. } => *lockout_threshold,
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => None,
        };
        Traits {
            grace: Duration::ZERO,
            changes_twice: false,
            propagation: Duration::ZERO,
            lockout_threshold,
            ends_sessions: true,
            makes_logins: true,
            // Only by the day: until the next one begins, the vault alone ends them.
            ends_logins: false,
            deadline: self.reach.deadlines.total(),
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        self.probed(login, async |name| {
            let mut session = Session::open(&*self.reach.dial, &Target::of(system)?).await?;
            session.log_in(name, secret).await
        })
        .await
    }

    async fn probe_certificate(&self, system: &SystemSpec, login: &Login, key: &CertifiedKey<'_>) -> Probe {
        self.probed(login, async |name| {
            let mut session = Session::open(&*self.reach.dial, &Target::of(system)?).await?;
            session.log_in_with_certificate(name, key).await
        })
        .await
    }

    fn lists_logins(&self) -> bool {
        true
    }

    async fn logins(&self, system: &SystemSpec, by: &Credential<'_>) -> Result<Logins, Probe> {
        let mut session = self.open(system, by).await.map_err(not_told)?;
        self.reach.work(logins::all(&mut session)).await.map_err(not_told)
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        if is_private_key(new) {
            return outcome(self.set_key(system, by, login, new).await);
        }
        let work = async || {
            let (name, password) = (user(login)?, Password::of(new)?);
            let old = if by.login == login { Some(by.secret) } else { None };
            if old.is_some_and(is_private_key) {
                return Err(refused("an account that logs in by a key has no password of its own to change"));
            }
            let mut session = self.open(system, by).await?;
            session.hide(new);
            self.reach
                .work(async {
                    match old {
                        Some(old) if !session.is_root() => {
                            password::set_own(&mut session, Password::of(old)?, password).await
                        }
                        Some(_) | None => {
                            users::exists(&mut session, &name).await?;
                            password::set(&mut session, &name, password).await
                        }
                    }
                })
                .await
        };
        outcome(work().await)
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        let work = async || {
            let user = NewUser {
                name: user(new.login)?,
                password: Password::of(new.secret)?,
                groups: new.member_of.iter().map(user).collect::<Result<_, _>>()?,
                sudo_rules: new.sudo_rules,
                until: new.valid_until,
            };
            let mut session = self.open(system, by).await?;
            session.hide(new.secret);
            self.reach.work(users::create(&mut session, &user)).await
        };
        outcome(work().await)
    }

    async fn extend_login(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome {
        let work = async || {
            let name = user(login)?;
            let mut session = self.open(system, by).await?;
            self.reach.work(users::extend(&mut session, &name, valid_until)).await
        };
        outcome(work().await)
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let work = async || {
            let name = user(login)?;
            let mut session = self.open(system, by).await?;
            self.reach.work(users::remove(&mut session, &name)).await
        };
        outcome(work().await)
    }

    fn keeps_files(&self) -> bool {
        true
    }

    async fn put_file(&self, system: &SystemSpec, by: &Credential<'_>, file: &FileCopy<'_>) -> SetOutcome {
        let work = async || {
            let (owner, group) = (user(file.owner)?, user(file.group)?);
            let mut session = self.open(system, by).await?;
            session.hide(file.secret);
            self.reach.work(files::put(&mut session, file, [&owner, &group])).await
        };
        outcome(work().await)
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let work = async || {
            let name = user(login)?;
            let mut session = self.open(system, by).await?;
            self.reach
                .work(async {
                    if by.login == login {
                        users::end_own_sessions(&mut session).await
                    } else {
                        users::end_sessions(&mut session, &name).await
                    }
                })
                .await
        };
        outcome(work().await)
    }
}

impl Linux {
    /// Tries a login, but not for ever.
    async fn probed(&self, login: &Login, attempt: impl AsyncFnOnce(&UserName<'_>) -> Result<(), Failure>) -> Probe {
        let name = match UserName::of(login) {
            Ok(name) => name,
            // The host would cut the name and try another user's secret.
            Err(why) => return Probe { result: ProbeResult::Refused, detail: why.to_owned() },
        };
        self.reach.probe(async { attempt(&name).await.map(|()| "logged in") }).await
    }

    /// Replaces the key by which an account logs in, as that account. Where the host does not let the new one in, the old
    /// one stays, and the new one goes.
    async fn set_key(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        new: &Secret,
    ) -> Result<(), SetOutcome> {
        user(login)?;
        if by.login != login {
            return Err(refused("an account that logs in by a key replaces it itself: set rotate_by to itself"));
        }
        let [Some(old_key), Some(new_key)] = [by.secret, new].map(PublicKey::of) else {
            return Err(refused("a key takes the place of a key, both in OpenSSH's form and without a passphrase"));
        };
        let mut session = self.open(system, by).await?;
        session.hide(new);
        self.reach.work(keys::add(&mut session, &old_key, &new_key)).await?;
        match self.open(system, &Credential { login, secret: new }).await {
            Ok(mut renewed) => self.reach.work(keys::remove(&mut renewed, &old_key, &new_key)).await.map_err(in_doubt),
            Err(SetOutcome::NotSent { result: ProbeResult::Refused, .. }) => {
                self.reach.work(keys::remove(&mut session, &new_key, &old_key)).await.map_err(in_doubt)?;
                Err(refused("the host does not let in what is in the account's .ssh/authorized_keys"))
            }
            Err(unclear) => Err(in_doubt(unclear)),
        }
    }

    /// Opens a session for changes. Where that fails, nothing was sent.
    async fn open<'a>(&self, system: &SystemSpec, by: &Credential<'a>) -> Result<Session<'a>, SetOutcome> {
        let opening = async {
            let name = UserName::of(by.login)
                .map_err(|why| Failure { result: ProbeResult::Refused, detail: why.to_owned() })?;
            let mut session = Session::open(&*self.reach.dial, &Target::of(system)?).await?;
            session.log_in(&name, by.secret).await?;
            session.find_rights().await?;
            Ok(session)
        };
        self.reach.open(opening).await
    }
}

/// A login as a user's or a group's name, or the refusal of it as a whole.
fn user(login: &Login) -> Result<UserName<'_>, SetOutcome> {
    UserName::of(login).map_err(refused)
}

fn refused(why: &str) -> SetOutcome {
    SetOutcome::Refused { detail: why.to_owned(), by_policy: false }
}

/// Both keys may be let in.
fn in_doubt(outcome: SetOutcome) -> SetOutcome {
    match outcome {
        SetOutcome::Applied => SetOutcome::Applied,
        SetOutcome::NotSent { detail, .. } | SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => {
            SetOutcome::Unknown(format!("the new key was added, and then: {detail}"))
        }
    }
}

fn outcome(done: Result<(), SetOutcome>) -> SetOutcome {
    done.err().unwrap_or(SetOutcome::Applied)
}
