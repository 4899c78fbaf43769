//! The line of one case to its system, and the connector that lets the case's outcome happen at its step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::{
    Connector, Credential, Deadlines, Direct, NewLogin, Postgresql, Probe, Reach, SetOutcome, Traits,
};
use claviger_tests::faulty::{Fault, Faulty, Statement};
use claviger_tests::postgres::{HOST, Postgres, random_text};

use crate::door::{Door, DoorFault};

/// Short, so that what hangs is given up soon; long enough for a loaded machine.
const DEADLINES: Deadlines =
    Deadlines { login: Duration::from_secs(6), work: Duration::from_secs(4), statement: Duration::from_secs(3) };

/// A system that cannot be reached stays so for this many connections.
const AWAY: usize = 3;

/// A step of a rotation, as the system sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The login before the change.
    LogIn,
    /// The change.
    Change,
    /// The login with the new secret.
    Verify,
    /// The login with the old secret.
    ProveOld,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Applied, and said so.
    Said,
    /// Applied, and the reply is lost.
    ReplyLost,
    /// Not applied: the line breaks before the system hears of it.
    NotApplied,
    /// The system cannot be reached, and stays away for a while.
    Unreachable,
    /// The system says nothing more, and the line stays up.
    Hangs,
    /// The line breaks in the middle of the reply.
    ClosedHalfWay,
}

/// One cell of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub step: Step,
    pub outcome: Outcome,
}

/// A role, and a line of its own to it.
pub struct Line {
    pub case: Case,
    pub login: Login,
    pub first_secret: String,
    door: Door,
    faulty: Faulty,
    probes: AtomicUsize,
    armed: AtomicBool,
}

/// Every case's line.
pub struct Lines(Arc<BTreeMap<u16, Line>>);

impl Lines {
    /// A role and a line for each cell.
    pub async fn one_a_case(postgres: &Postgres) -> Self {
        use Outcome::{ClosedHalfWay, Hangs, NotApplied, ReplyLost, Said, Unreachable};
        let mut lines = BTreeMap::new();
        for step in [Step::LogIn, Step::Change, Step::Verify, Step::ProveOld] {
            for outcome in [Said, ReplyLost, NotApplied, Unreachable, Hangs, ClosedHalfWay] {
                let line = Line::to(postgres, Case { step, outcome }, lines.len()).await;
                lines.insert(line.door.address().port(), line);
            }
        }
        Self(Arc::new(lines))
    }

    /// All of them, in the order of the table.
    pub fn all(&self) -> impl Iterator<Item = &Line> {
        let mut all: Vec<&Line> = self.0.values().collect();
        all.sort_by_key(|line| line.login.clone());
        all.into_iter()
    }

    /// The real connector, which each case meets at its step.
    pub fn connector(&self) -> AtItsStep {
        let loopback = vec!["127.0.0.0/8".parse().unwrap()];
        let real = Postgresql::new(Reach::new(Arc::new(Direct::new(loopback)), DEADLINES));
        AtItsStep { real, lines: Arc::clone(&self.0) }
    }
}

impl Line {
    async fn to(postgres: &Postgres, case: Case, number: usize) -> Self {
        let (login, first_secret) = (format!("case-{number:02}"), random_text());
        postgres.create_role(&login, &first_secret).await;
        let faulty = Faulty::before(postgres.address()).await;
        let door = Door::before(faulty.address()).await;
        let login = login.parse().unwrap();
        Self { case, login, first_secret, door, faulty, probes: AtomicUsize::new(0), armed: AtomicBool::new(false) }
    }

    /// The system behind this line.
    pub fn spec(&self) -> SystemSpec {
        SystemSpec::Postgresql {
            host: HOST.to_owned(),
            port: self.door.address().port(),
            database: "postgres".to_owned(),
            tls: TlsMode::Disable,
            ca_certificate: None,
        }
    }

    /// Whether the outcome came to pass.
    pub fn fired(&self) -> bool {
        let armed = self.armed.load(Ordering::SeqCst);
        match (self.case.step, self.case.outcome) {
            (_, Outcome::Said) => armed,
            (Step::Change, Outcome::ReplyLost | Outcome::NotApplied | Outcome::Hangs) => self.faulty.fired(),
            (Step::Change, Outcome::Unreachable) => self.faulty.fired() && self.door.fired(),
            (..) => self.door.fired(),
        }
    }

    /// The outcome happens at the next chance, once.
    fn comes_to(&self, step: Step) {
        if self.case.step != step || self.armed.swap(true, Ordering::SeqCst) {
            return;
        }
        let change = || Statement::Containing("ALTER ROLE".to_owned());
        match (step, self.case.outcome) {
            (_, Outcome::Said) => {}
            (Step::Change, Outcome::ReplyLost) => self.faulty.set(Fault::LoseReply(change())),
            (Step::Change, Outcome::NotApplied) => self.faulty.set(Fault::LoseStatement(change())),
            (Step::Change, Outcome::Hangs) => self.faulty.set(Fault::HoldReply(change())),
            (Step::Change, Outcome::Unreachable) => {
                self.faulty.set(Fault::LoseStatement(change()));
                // The connection of the change itself still comes through.
                self.door.set(DoorFault::Refuse { after: 1, times: AWAY });
            }
            (Step::Change, Outcome::ClosedHalfWay) => self.door.set(DoorFault::HalfReplyToStatement),
            (_, Outcome::ReplyLost) => self.door.set(DoorFault::LoseReplyToLogin),
            (_, Outcome::NotApplied) => self.door.set(DoorFault::LoseLogin),
            (_, Outcome::Unreachable) => self.door.set(DoorFault::Refuse { after: 0, times: AWAY }),
            (_, Outcome::Hangs) => self.door.set(DoorFault::Hang),
            (_, Outcome::ClosedHalfWay) => self.door.set(DoorFault::HalfReplyToLogin),
        }
    }
}

/// The real connector; before each call it says to the case's line which step comes.
pub struct AtItsStep {
    real: Postgresql,
    lines: Arc<BTreeMap<u16, Line>>,
}

impl AtItsStep {
    fn line(&self, system: &SystemSpec) -> &Line {
        self.lines.get(&system.port()).unwrap()
    }
}

#[async_trait]
impl Connector for AtItsStep {
    fn kind(&self) -> &'static str {
        self.real.kind()
    }

    fn traits(&self, system: &SystemSpec) -> Traits {
        self.real.traits(system)
    }

    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        let line = self.line(system);
        let step = if line.probes.fetch_add(1, Ordering::SeqCst) == 0 { Step::Verify } else { Step::ProveOld };
        line.comes_to(step);
        self.real.probe(system, login, secret).await
    }

    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        self.line(system).comes_to(Step::LogIn);
        self.line(system).comes_to(Step::Change);
        self.real.set(system, by, login, new).await
    }

    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        self.real.create_login(system, by, new).await
    }

    async fn extend_login(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome {
        self.real.extend_login(system, by, login, valid_until).await
    }

    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        self.real.remove_login(system, by, login).await
    }

    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        self.real.end_sessions(system, by, login).await
    }
}
