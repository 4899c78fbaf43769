//! HTTP APIs, as their administrators describe them: firewalls, services in a cloud.
//!
//! A description is a call for each thing that is done, and what its answers mean (`docs/connectors.md`). Before each
//! change the call that tries a login is made for whoever asks, so that a wrong secret, a locked account and a host that
//! is none of ours are told before anything was sent.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};

use self::answer::{Changed, Found};
use self::description::{Call, Description, Making};
use self::target::Target;
use self::template::{Slot, Values};
use crate::{Connector, Credential, NewLogin, Probe, Reach, SetOutcome, Traits};

mod answer;
mod description;
mod request;
mod target;
mod template;

pub use self::description::{Fault, faults};

/// The connector.
pub struct Http {
    reach: Reach,
}

impl Http {
    /// Reaches its systems by `reach`.
    pub fn new(reach: Reach) -> Self {
        Self { reach }
    }
}

#[async_trait]
impl Connector for Http {
    fn kind(&self) -> &'static str {
        "http"
    }

    fn traits(&self, system: &SystemSpec) -> Traits {
        let (lockout_threshold, grace, propagation) = match system {
            SystemSpec::Http { lockout_threshold, grace_seconds, propagation_seconds, .. } => {
                (*lockout_threshold, *grace_seconds, *propagation_seconds)
            }
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Manual { .. } => (None, 0, 0),
        };
        let target = Target::of(system).ok();
        let can = |what: fn(&Description) -> bool| target.as_ref().is_some_and(|target| what(&target.description));
        Traits {
            grace: Duration::from_secs(grace.into()),
            changes_twice: false,
            propagation: Duration::from_secs(propagation.into()),
            lockout_threshold,
            ends_sessions: can(|description| description.end_sessions.is_some()),
            makes_logins: can(|description| description.making.is_some()),
            ends_logins: can(Description::ends_logins),
            deadline: self.reach.deadlines.total(),
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        let attempt = async {
            let target = Target::of(system)?;
            target.log_in(&*self.reach.dial, login, secret).await.map(|(words, _)| words)
        };
        self.reach.probe(attempt).await
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        let opened = match self.open(system, by).await {
            Ok(opened) => opened,
            Err(not_sent) => return not_sent,
        };
        let set = &opened.target.description.set;
        if by.login != login && !set.ask.has(Slot::Login) {
            return refused("the described call names no {login}, so that each login changes itself only");
        }
        let values = Values { new_secret: Some(new), ..opened.values(by, login) };
        self.reach.settle(self.change(&opened, set, &values)).await
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        if !new.member_of.is_empty() && !takes_groups(system) {
            return refused("the described call `create` has no {groups}");
        }
        self.make(system, by, new.login, async |opened, making, values| {
            match self.found(opened, making, &values).await? {
                Found::Absent => {}
                Found::Others | Found::Unavailable => return Err(not_ours(new.login)),
                // An API has no one way to bring a login to another state: it is made anew.
                Found::Ours => self.change(opened, &making.remove, &values).await?,
            }
            let values = Values {
                new_secret: Some(new.secret),
                groups: new.member_of,
                valid_until: Some(new.valid_until),
                ..values
            };
            self.change(opened, &making.create, &values).await
        })
        .await
    }

    async fn extend_login(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome {
        self.make(system, by, login, async |opened, making, values| {
            match self.found(opened, making, &values).await? {
                Found::Ours => {}
                Found::Absent => return Err(refused(format!("there is no login {login}"))),
                Found::Others | Found::Unavailable => return Err(not_ours(login)),
            }
            match &making.extend {
                Some(extend) => {
                    let values = Values { valid_until: Some(valid_until), ..values };
                    self.change(opened, extend, &values).await
                }
                // It was told no end: the vault alone ends it.
                None => Ok(()),
            }
        })
        .await
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        self.make(system, by, login, async |opened, making, values| {
            match self.found(opened, making, &values).await? {
                Found::Absent => return Ok(()),
                Found::Ours => {}
                Found::Others | Found::Unavailable => return Err(not_ours(login)),
            }
            self.change(opened, &making.remove, &values).await?;
            let Some(end_sessions) = &opened.target.description.end_sessions else { return Ok(()) };
            match self.change(opened, end_sessions, &values).await {
                // A login that is gone may have none that it could be asked about.
                Ok(()) | Err(SetOutcome::Refused { .. } | SetOutcome::Applied) => Ok(()),
                Err(SetOutcome::NotSent { detail, .. } | SetOutcome::Unknown(detail)) => {
                    Err(SetOutcome::Unknown(format!("the login is removed, and its sessions may remain: {detail}")))
                }
            }
        })
        .await
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        let opened = match self.open(system, by).await {
            Ok(opened) => opened,
            Err(not_sent) => return not_sent,
        };
        match &opened.target.description.end_sessions {
            Some(call) => self.reach.settle(self.change(&opened, call, &opened.values(by, login))).await,
            None => refused("no call is described that ends somebody's sessions"),
        }
    }
}

/// A system whose asker was tried and taken.
struct Opened {
    target: Target,
    session: Option<Secret>,
}

impl Opened {
    /// What is known in a call about this login.
    fn values<'a>(&'a self, by: &Credential<'a>, login: &'a Login) -> Values<'a> {
        Values {
            login: Some(login),
            // Of others nobody knows it.
            secret: (by.login == login).then_some(by.secret),
            manager: Some(by.login),
            manager_secret: Some(by.secret),
            session: self.session.as_ref(),
            ..Values::default()
        }
    }
}

impl Http {
    /// Tries whoever asks. Where that fails, nothing was sent.
    async fn open(&self, system: &SystemSpec, by: &Credential<'_>) -> Result<Opened, SetOutcome> {
        let opening = async {
            let target = Target::of(system)?;
            let session = target.open(&*self.reach.dial, by).await?;
            Ok(Opened { target, session })
        };
        self.reach.open(opening).await
    }

    /// The same, for logins that come and go.
    async fn make(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        work: impl AsyncFnOnce(&Opened, &Making, Values<'_>) -> Result<(), SetOutcome>,
    ) -> SetOutcome {
        let opened = match self.open(system, by).await {
            Ok(opened) => opened,
            Err(not_sent) => return not_sent,
        };
        match &opened.target.description.making {
            Some(making) => self.reach.settle(work(&opened, making, opened.values(by, login))).await,
            None => refused("no calls are described that create and remove logins"),
        }
    }

    /// Who made a login. Where that cannot be told, nothing is done.
    async fn found(&self, opened: &Opened, making: &Making, values: &Values<'_>) -> Result<Found, SetOutcome> {
        let told = opened.target.told(&*self.reach.dial, &making.find, values).await;
        let not_looked = |result, detail| Err(SetOutcome::NotSent { result, detail });
        match told {
            Ok((Found::Unavailable, detail)) => not_looked(ProbeResult::Unreachable, detail),
            Ok((found @ (Found::Absent | Found::Ours | Found::Others), _)) => Ok(found),
            Err(SetOutcome::Unknown(detail)) => not_looked(ProbeResult::Unknown, detail),
            Err(outcome @ (SetOutcome::NotSent { .. } | SetOutcome::Refused { .. } | SetOutcome::Applied)) => {
                Err(outcome)
            }
        }
    }

    async fn change(&self, opened: &Opened, call: &Call<Changed>, values: &Values<'_>) -> Result<(), SetOutcome> {
        let (changed, detail) = opened.target.told(&*self.reach.dial, call, values).await?;
        changed.outcome(detail)
    }
}

fn takes_groups(system: &SystemSpec) -> bool {
    let making = |target: &Target| target.description.making.as_ref().is_none_or(|it| it.create.ask.has(Slot::Groups));
    Target::of(system).as_ref().is_ok_and(making)
}

fn refused(detail: impl Into<String>) -> SetOutcome {
    SetOutcome::Refused { detail: detail.into(), by_policy: false }
}

fn not_ours(login: &Login) -> SetOutcome {
    refused(format!("the vault did not make the login {login} (it lacks its mark) and leaves it alone"))
}
