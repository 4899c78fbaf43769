//! A system of logins that does as it is told, on either side of its effect. Real systems judge the connectors; this
//! one does what a real one cannot be made to do: apply and lose the reply, lag, honour the old secret for a while.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};
use claviger_connectors::{
    CertifiedKey, Connector, Credential, FileCopy, FoundLogin, Lockout, Logins, NewLogin, Probe, SetOutcome, Traits,
};
use jiff::SignedDuration;
use parking_lot::Mutex;
use ssh_key::{Certificate, PrivateKey};

use crate::clock::{Clock, ManualClock};

/// What becomes of one call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happens {
    /// It is done, and said so.
    Applied,
    /// It is done, and the reply is lost.
    AppliedReplyLost,
    /// It is not done, and the reply is lost.
    NotAppliedReplyLost,
    /// The system's password policy says no.
    RefusedByPolicy,
    /// The system says no.
    Refused,
    /// Nobody answers.
    Unreachable,
    /// Another host answers.
    OtherHost,
}

#[derive(Clone)]
pub struct Entry {
    pub password: String,
    /// What opened it before, and until when it still does.
    pub before: Option<(String, Timestamp)>,
    /// From when on `password` does.
    pub from: Timestamp,
    pub failures: u32,
    pub valid_until: Option<Timestamp>,
}

#[derive(Clone)]
pub struct Machine {
    pub logins: BTreeMap<String, Entry>,
    /// What becomes of the next calls that change something; then `Applied`.
    pub script: VecDeque<Happens>,
    /// The files that hold a secret.
    pub files: BTreeMap<String, String>,
    /// While this is so, for every call.
    pub unreachable: bool,
    /// Logins whose system does not answer.
    pub dead: BTreeSet<String>,
    /// Calls that were about one of them.
    pub unanswered: u32,
    /// How often each login's secret was changed.
    pub changes: BTreeMap<String, u32>,
    /// The logins whose secret was changed, in order.
    pub changed: Vec<String>,
    pub traits: Traits,
    /// Locks a login after so many failures in a row.
    pub locks_after: Option<u32>,
    /// How long a change takes until logins see it.
    pub lag: SignedDuration,
    /// How long the old secret is honoured.
    pub grace: SignedDuration,
    /// What it says itself of failed logins.
    pub lockout: Option<Lockout>,
    pub probes: u32,
    pub sets: u32,
    /// Serial numbers of certificates that it was told to refuse.
    pub revoked: BTreeSet<u64>,
    /// What power logins have.
    pub powers: BTreeMap<String, Vec<String>>,
    /// Logins that may not log in.
    pub barred: BTreeSet<String>,
    /// Logins that bear the vault's mark, whoever put it there.
    pub marked: BTreeSet<String>,
    /// Whether names that differ in case alone are one.
    pub ignores_case: bool,
    /// Whether it lists only some of its logins.
    pub cuts: bool,
    /// The hosts whose logins were listed, in order.
    pub listed: Vec<String>,
    /// Hosts that take the question and never answer.
    pub hangs: BTreeSet<String>,
    /// How many were being listed at once, at most.
    pub listing: usize,
    pub listing_most: usize,
}

pub struct SimulatedSystem {
    machine: Mutex<Machine>,
    clock: Arc<ManualClock>,
}

impl SimulatedSystem {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        let traits = Traits {
            grace: Duration::ZERO,
            changes_twice: false,
            propagation: Duration::from_secs(3),
            lockout_threshold: None,
            ends_sessions: true,
            makes_logins: true,
            ends_logins: true,
            deadline: Duration::from_secs(5),
        };
        let machine = Machine {
            logins: BTreeMap::new(),
            script: VecDeque::new(),
            files: BTreeMap::new(),
            unreachable: false,
            dead: BTreeSet::new(),
            unanswered: 0,
            changes: BTreeMap::new(),
            changed: Vec::new(),
            traits,
            locks_after: None,
            lag: SignedDuration::ZERO,
            grace: SignedDuration::ZERO,
            lockout: None,
            probes: 0,
            sets: 0,
            revoked: BTreeSet::new(),
            powers: BTreeMap::new(),
            barred: BTreeSet::new(),
            marked: BTreeSet::new(),
            ignores_case: false,
            cuts: false,
            listed: Vec::new(),
            hangs: BTreeSet::new(),
            listing: 0,
            listing_most: 0,
        };
        Self { machine: Mutex::new(machine), clock }
    }

    /// The same system as it was at another moment.
    pub fn like(clock: Arc<ManualClock>, machine: Machine) -> Self {
        Self { machine: Mutex::new(machine), clock }
    }

    pub fn machine(&self) -> parking_lot::MutexGuard<'_, Machine> {
        self.machine.lock()
    }

    /// Adds a login, as somebody at the system would.
    pub fn add(&self, login: &str, password: &str) {
        let entry =
            Entry { password: password.to_owned(), before: None, from: Timestamp::MIN, failures: 0, valid_until: None };
        self.machine().logins.insert(login.to_owned(), entry);
    }

    /// Whether this opens the login just now. Costs nothing.
    pub fn opens(&self, login: &str, password: &str) -> bool {
        let now = self.clock.now();
        self.machine().logins.get(login).is_some_and(|entry| entry.opens(password, now))
    }

    /// What will open the login when the system has caught up with itself.
    pub fn password(&self, login: &str) -> Option<String> {
        self.machine().logins.get(login).map(|entry| entry.password.clone())
    }

    pub fn next(&self, happens: impl IntoIterator<Item = Happens>) {
        self.machine().script.extend(happens);
    }

    fn change(&self, by: &Credential<'_>, apply: impl FnOnce(&mut Machine, Timestamp)) -> SetOutcome {
        let now = self.clock.now();
        let mut machine = self.machine();
        machine.sets += 1;
        let dead = machine.dead.contains(by.login.as_str());
        machine.unanswered += u32::from(dead);
        let happens = if machine.unreachable || dead {
            Happens::Unreachable
        } else {
            machine.script.pop_front().unwrap_or(Happens::Applied)
        };
        let not_sent = |result| SetOutcome::NotSent { result, detail: format!("{result:?}") };
        match happens {
            Happens::Unreachable => return not_sent(ProbeResult::Unreachable),
            Happens::OtherHost => return not_sent(ProbeResult::HostMismatch),
            Happens::Applied
            | Happens::AppliedReplyLost
            | Happens::NotAppliedReplyLost
            | Happens::RefusedByPolicy
            | Happens::Refused => {}
        }
        let asked = machine.log_in(by.login.as_str(), by.secret.expose(), now);
        if asked != ProbeResult::Accepted {
            return not_sent(asked);
        }
        match happens {
            Happens::Applied => {
                apply(&mut machine, now);
                SetOutcome::Applied
            }
            Happens::AppliedReplyLost => {
                apply(&mut machine, now);
                SetOutcome::Unknown("the reply was lost".to_owned())
            }
            Happens::NotAppliedReplyLost => SetOutcome::Unknown("the reply was lost".to_owned()),
            Happens::RefusedByPolicy => SetOutcome::Refused { detail: "not complex".to_owned(), by_policy: true },
            Happens::Refused | Happens::Unreachable | Happens::OtherHost => {
                SetOutcome::Refused { detail: "no".to_owned(), by_policy: false }
            }
        }
    }
}

impl Entry {
    fn opens(&self, password: &str, now: Timestamp) -> bool {
        let old = self.before.as_ref().is_some_and(|(old, until)| old == password && now < *until);
        let live = self.valid_until.is_none_or(|until| now < until);
        live && (old || (self.password == password && self.from <= now))
    }
}

impl Machine {
    fn log_in(&mut self, login: &str, password: &str, now: Timestamp) -> ProbeResult {
        if self.unreachable || self.dead.contains(login) {
            return ProbeResult::Unreachable;
        }
        let locks_after = self.locks_after;
        let Some(entry) = self.logins.get_mut(login) else { return ProbeResult::Refused };
        if locks_after.is_some_and(|most| entry.failures >= most) {
            return ProbeResult::LockedOut;
        }
        if entry.opens(password, now) {
            entry.failures = 0;
            return ProbeResult::Accepted;
        }
        entry.failures += 1;
        ProbeResult::Refused
    }
}

#[async_trait]
impl Connector for SimulatedSystem {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    fn traits(&self, _: &SystemSpec) -> Traits {
        self.machine().traits.clone()
    }

    fn tells_lockout(&self) -> bool {
        self.machine().lockout.is_some()
    }

    async fn lockout(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login) -> Option<Lockout> {
        self.machine().lockout
    }

    async fn probe(&self, _: &SystemSpec, login: &Login, secret: &Secret) -> Probe {
        let now = self.clock.now();
        let mut machine = self.machine();
        machine.probes += 1;
        let result = machine.log_in(login.as_str(), secret.expose(), now);
        Probe { result, detail: format!("{result:?}") }
    }

    /// As sshd does it: by the certificate's time and the numbers that it was told to refuse.
    async fn probe_certificate(&self, _: &SystemSpec, _: &Login, key: &CertifiedKey<'_>) -> Probe {
        let now = u64::try_from(self.clock.now().as_second()).unwrap();
        let certificate = Certificate::from_openssh(key.certificate).unwrap();
        let private = PrivateKey::from_openssh(key.private_key.expose()).unwrap();
        assert_eq!(private.public_key().key_data(), certificate.public_key(), "the vault's own key");
        assert!(!certificate.valid_principals().is_empty());
        let mut machine = self.machine();
        machine.probes += 1;
        let good = certificate.valid_after() <= now && now < certificate.valid_before();
        let result = match (machine.unreachable, good && !machine.revoked.contains(&certificate.serial())) {
            (true, _) => ProbeResult::Unreachable,
            (false, true) => ProbeResult::Accepted,
            (false, false) => ProbeResult::Refused,
        };
        Probe { result, detail: format!("{result:?}") }
    }

    fn lists_logins(&self) -> bool {
        true
    }

    async fn logins(&self, system: &SystemSpec, by: &Credential<'_>) -> Result<Logins, Probe> {
        let hangs = {
            let mut machine = self.machine();
            machine.listing += 1;
            machine.listing_most = machine.listing_most.max(machine.listing);
            machine.listed.push(system.host().to_owned());
            machine.hangs.contains(system.host())
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        // Whoever is asked beside it is asked meanwhile.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let now = self.clock.now();
        let mut machine = self.machine();
        machine.listing -= 1;
        let result = machine.log_in(by.login.as_str(), by.secret.expose(), now);
        if result != ProbeResult::Accepted {
            return Err(Probe { result, detail: format!("{result:?}") });
        }
        let found = machine.logins.keys().map(|name| FoundLogin {
            name: name.clone(),
            may_log_in: !machine.barred.contains(name),
            privileges: machine.powers.get(name).cloned().unwrap_or_default(),
            marked: machine.marked.contains(name),
            ..FoundLogin::default()
        });
        Ok(Logins { found: found.collect(), cut: machine.cuts, unseen: Vec::new() })
    }

    fn seen_as(&self, login: &Login) -> String {
        if self.machine().ignores_case { login.as_str().to_lowercase() } else { login.to_string() }
    }

    async fn set(&self, _: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome {
        self.change(by, |machine, now| {
            let (lag, grace) = (machine.lag, machine.grace);
            if let Some(entry) = machine.logins.get_mut(login.as_str()) {
                let old = std::mem::replace(&mut entry.password, new.expose().to_owned());
                entry.before = Some((old, now + lag.max(grace)));
                entry.from = now + lag;
                *machine.changes.entry(login.to_string()).or_default() += 1;
                machine.changed.push(login.to_string());
            }
        })
    }

    async fn create_login(&self, _: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome {
        let entry = Entry {
            password: new.secret.expose().to_owned(),
            before: None,
            from: Timestamp::MIN,
            failures: 0,
            valid_until: Some(new.valid_until),
        };
        self.change(by, |machine, _| drop(machine.logins.insert(new.login.to_string(), entry)))
    }

    async fn extend_login(
        &self,
        _: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome {
        self.change(by, |machine, _| {
            if let Some(entry) = machine.logins.get_mut(login.as_str()) {
                entry.valid_until = Some(valid_until);
            }
        })
    }

    async fn remove_login(&self, _: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome {
        self.change(by, |machine, _| drop(machine.logins.remove(login.as_str())))
    }

    fn keeps_files(&self) -> bool {
        true
    }

    async fn put_file(&self, _: &SystemSpec, by: &Credential<'_>, file: &FileCopy<'_>) -> SetOutcome {
        let path = file.path.as_str().to_owned();
        self.change(by, |machine, _| drop(machine.files.insert(path, file.secret.expose().to_owned())))
    }

    /// Beside the script, which is about changes of secrets: there are no sessions here to end.
    async fn end_sessions(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login) -> SetOutcome {
        if self.machine().unreachable { SetOutcome::Unknown("unreachable".to_owned()) } else { SetOutcome::Applied }
    }
}
