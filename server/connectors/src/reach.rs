//! How a connector reaches its systems, and how long each of them may take for what.

use std::sync::Arc;
use std::time::Duration;

use claviger_api::wire::ProbeResult;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::{Dial, Probe, SetOutcome};

/// A way to systems, and the patience on it: all that a connector holds.
#[derive(Clone)]
pub struct Reach {
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) deadlines: Deadlines,
}

/// How long a system may take for what. The sum bounds every call.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From dialling to an open session.
    pub login: Duration,
    /// All statements or commands of one call together.
    pub work: Duration,
    /// For so long a statement or command for which nobody waits any more may go on. A server that can is told to give
    /// it up first.
    pub statement: Duration,
}

impl Deadlines {
    /// What a server on a slow line needs.
    pub const STANDARD: Self =
        Self { login: Duration::from_secs(8), work: Duration::from_secs(14), statement: Duration::from_secs(8) };

    /// What a Linux host on a slow line needs: PAM alone waits 2 s after a wrong password, and the tools that change users
    /// 15 s for others to be done (`lckpwdf`).
    pub const LINUX: Self =
        Self { login: Duration::from_secs(15), work: Duration::from_secs(20), statement: Duration::from_secs(20) };

    /// After so long no call is still at work, neither here nor on the system.
    pub(crate) fn total(&self) -> Duration {
        self.login + self.work + self.statement
    }
}

impl Reach {
    /// Reaches systems through `dial`.
    pub fn new(dial: Arc<dyn Dial>, deadlines: Deadlines) -> Self {
        Self { dial, deadlines }
    }

    /// What a login attempt told; where it succeeds, in its words.
    pub(crate) async fn probe(&self, attempt: impl Future<Output = Result<&'static str, Failure>>) -> Probe {
        match self.logged_in(attempt).await {
            Ok(words) => Probe { result: ProbeResult::Accepted, detail: words.to_owned() },
            Err(Failure { result, detail }) => Probe { result, detail },
        }
    }

    /// Opens what a change needs. Where that fails, nothing was sent.
    pub(crate) async fn open<T>(&self, opening: impl Future<Output = Result<T, Failure>>) -> Result<T, SetOutcome> {
        let opened = self.logged_in(opening).await;
        opened.map_err(|Failure { result, detail }| SetOutcome::NotSent { result, detail })
    }

    async fn logged_in<T>(&self, login: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let late = || Failure::unreachable(format!("no login within {:?}", self.deadlines.login));
        timeout(self.deadlines.login, login).await.unwrap_or_else(|_| Err(late()))
    }

    /// Waits for the work, but not for ever. From here on something may have been sent.
    pub(crate) async fn work<T>(&self, work: impl Future<Output = Result<T, SetOutcome>>) -> Result<T, SetOutcome> {
        let late = || SetOutcome::Unknown(format!("no answer within {:?}", self.deadlines.work));
        timeout(self.deadlines.work, work).await.unwrap_or_else(|_| Err(late()))
    }

    /// The same, where the work is a whole change.
    pub(crate) async fn settle(&self, work: impl Future<Output = Result<(), SetOutcome>>) -> SetOutcome {
        self.work(Box::pin(work)).await.err().unwrap_or(SetOutcome::Applied)
    }
}
