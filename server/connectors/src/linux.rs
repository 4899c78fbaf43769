//! Linux hosts, over SSH.
//!
//! The host is known by its keys, which the system's specification lists; whoever shows another one is told nothing.
//! Nothing is ever put together for a shell.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};
use tokio::time::timeout;

use self::name::UserName;
use self::session::{Session, Target};
use crate::connector::CertifiedKey;
use crate::failure::Failure;
use crate::{Connector, Credential, Dial, NewLogin, Probe, SetOutcome, Traits};

mod name;
mod session;
mod watched;

/// How long a host may take for what.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From dialling to the answer to a login.
    pub login: Duration,
}

impl Deadlines {
    /// What a host on a slow line needs; PAM alone waits 2 s after a wrong password.
    pub const STANDARD: Self = Self { login: Duration::from_secs(15) };
}

/// The connector.
pub struct Linux {
    dial: Arc<dyn Dial>,
    deadlines: Deadlines,
}

impl Linux {
    /// Reaches its hosts through `dial`.
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self::with_deadlines(dial, Deadlines::STANDARD)
    }

    /// With deadlines of one's own.
    pub fn with_deadlines(dial: Arc<dyn Dial>, deadlines: Deadlines) -> Self {
        Self { dial, deadlines }
    }
}

#[async_trait]
impl Connector for Linux {
    fn kind(&self) -> &'static str {
        "linux"
    }

    fn traits(&self, _system: &SystemSpec) -> Traits {
        Traits {
            grace: Duration::ZERO,
            propagation: Duration::ZERO,
            lockout_threshold: None,
            ends_sessions: false,
            makes_logins: false,
            ends_logins: false,
            deadline: self.deadlines.login,
        }
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        self.probed(login, async |name| {
            let mut session = Session::open(&*self.dial, &Target::of(system)?).await?;
            session.log_in(name, secret).await
        })
        .await
    }

    async fn probe_certificate(&self, system: &SystemSpec, login: &Login, key: &CertifiedKey<'_>) -> Probe {
        self.probed(login, async |name| {
            let mut session = Session::open(&*self.dial, &Target::of(system)?).await?;
            session.log_in_with_certificate(name, key).await
        })
        .await
    }

    async fn set(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login, _: &Secret) -> SetOutcome {
        changes_nothing()
    }

    async fn create_login(&self, _: &SystemSpec, _: &Credential<'_>, _: &NewLogin<'_>) -> SetOutcome {
        changes_nothing()
    }

    async fn extend_login(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login, _: Timestamp) -> SetOutcome {
        changes_nothing()
    }

    async fn remove_login(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login) -> SetOutcome {
        changes_nothing()
    }

    async fn end_sessions(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login) -> SetOutcome {
        changes_nothing()
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
        match timeout(self.deadlines.login, attempt(&name)).await {
            Ok(Ok(())) => Probe { result: ProbeResult::Accepted, detail: "logged in".to_owned() },
            Ok(Err(Failure { result, detail })) => Probe { result, detail },
            Err(_) => {
                let detail = format!("no login within {:?}", self.deadlines.login);
                Probe { result: ProbeResult::Unreachable, detail }
            }
        }
    }
}

fn changes_nothing() -> SetOutcome {
    let detail = "this version changes no logins on Linux hosts; their accounts are of kind certificate".to_owned();
    SetOutcome::Refused { detail, by_policy: false }
}
