//! What every connector can do, and the words for what came of it.

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{FileMode, FilePath, ProbeResult, SudoRule, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};

use crate::logins::Logins;

/// Code that changes, verifies, creates and removes logins on one kind of system.
///
/// Each call opens connections of its own and leaves none behind. A call that is dropped half-way leaves what a call
/// that timed out leaves: [`SetOutcome::Unknown`] is then the only safe reading.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The kind of system, as in [`SystemSpec`]'s tag, e.g. `postgresql`.
    fn kind(&self) -> &'static str;

    /// What is known of systems of this kind.
    fn traits(&self, system: &SystemSpec) -> Traits;

    /// Tries a fresh login and says what it told. Changes nothing; costs at most one failed login.
    async fn probe(&self, system: &SystemSpec, login: &Login, secret: &Secret) -> Probe;

    /// Tries a fresh login with a key and its certificate. Changes nothing. Kinds of systems that know no certificates
    /// say `Unknown`.
    async fn probe_certificate(&self, _system: &SystemSpec, _login: &Login, _key: &CertifiedKey<'_>) -> Probe {
        let detail = format!("a system of kind {} knows no certificates", self.kind());
        Probe { result: ProbeResult::Unknown, detail }
    }

    /// Whether [`lockout`](Self::lockout) is worth asking.
    fn tells_lockout(&self) -> bool {
        false
    }

    /// What the system itself says of failed logins; nothing, where it does not tell `by`. Changes nothing.
    async fn lockout(&self, _system: &SystemSpec, _by: &Credential<'_>, _login: &Login) -> Option<Lockout> {
        None
    }

    /// Whether [`logins`](Self::logins) is worth asking.
    fn lists_logins(&self) -> bool {
        false
    }

    /// The logins that the system has, as far as `by` may see them; an error is what a login attempt by it told,
    /// `Accepted` where it got in and something else was in the way. Changes nothing.
    async fn logins(&self, _system: &SystemSpec, _by: &Credential<'_>) -> Result<Logins, Probe> {
        let detail = format!("what logins a system of kind {} has cannot be asked", self.kind());
        Err(Probe { result: ProbeResult::Unknown, detail })
    }

    /// How the system sees a name: two for which this is the same are one login to it.
    fn seen_as(&self, login: &Login) -> String {
        login.to_string()
    }

    /// Makes `new` the secret of `login`. Twice is once.
    async fn set(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login, new: &Secret) -> SetOutcome;

    /// Creates a login that the system itself lets end at `valid_until`. Twice is once: a login that an earlier call
    /// made is brought to the same state. A login that somebody else made is never touched: `Refused`.
    async fn create_login(&self, system: &SystemSpec, by: &Credential<'_>, new: &NewLogin<'_>) -> SetOutcome;

    /// Moves the end of a login that [`create_login`](Self::create_login) made.
    async fn extend_login(
        &self,
        system: &SystemSpec,
        by: &Credential<'_>,
        login: &Login,
        valid_until: Timestamp,
    ) -> SetOutcome;

    /// Removes a login that [`create_login`](Self::create_login) made: bars it, ends its sessions, gives what it owns
    /// to `by`'s login, drops it. Twice is once: an absent login is `Applied`.
    async fn remove_login(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome;

    /// Whether [`put_file`](Self::put_file) can be done.
    fn keeps_files(&self) -> bool {
        false
    }

    /// Puts a file where it is said, in place of what was there, so that whoever reads it reads the old or the new one
    /// whole. Twice is once. Kinds of systems that keep no files say `Refused`.
    async fn put_file(&self, _system: &SystemSpec, _by: &Credential<'_>, _file: &FileCopy<'_>) -> SetOutcome {
        let detail = format!("a system of kind {} keeps no files", self.kind());
        SetOutcome::Refused { detail, by_policy: false }
    }

    /// Ends the open sessions of `login`.
    async fn end_sessions(&self, system: &SystemSpec, by: &Credential<'_>, login: &Login) -> SetOutcome;
}

/// What is known of a kind of system before anything is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about a system, and none a state")]
pub struct Traits {
    /// For so long the system may go on taking the old secret after a change.
    pub grace: Duration,
    /// Whether an old secret that still works after a checkout is ended by a second change: the system honours the last old
    /// one only.
    pub changes_twice: bool,
    /// For so long a change may not have reached every part of the system.
    pub propagation: Duration,
    /// After so many failed logins the system locks the login; `None` where it never does by itself.
    pub lockout_threshold: Option<u32>,
    /// Whether open sessions can be ended.
    pub ends_sessions: bool,
    /// Whether logins can be created and removed.
    pub makes_logins: bool,
    /// Whether the system itself refuses a login that was made for a time once that time is over, even where nobody
    /// removes it. Where not, the vault alone ends it.
    pub ends_logins: bool,
    /// After so long no call is still at work, neither here nor on the system.
    pub deadline: Duration,
}

/// What a system says of failed logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lockout {
    /// After so many it locks the login; `None` where it never does.
    pub threshold: Option<u32>,
    /// For so long each counts.
    pub window: Duration,
    /// How many count now.
    pub failed: u32,
}

/// Who asks the system for a change.
pub struct Credential<'a> {
    /// The login.
    pub login: &'a Login,
    /// Its secret.
    pub secret: &'a Secret,
}

/// A key of the vault's own with a certificate, to see whether a system takes it.
pub struct CertifiedKey<'a> {
    /// The private key, in OpenSSH's form.
    pub private_key: &'a Secret,
    /// Its certificate, in OpenSSH's form.
    pub certificate: &'a str,
}

/// A file that holds a secret.
pub struct FileCopy<'a> {
    /// Where.
    pub path: &'a FilePath,
    /// The user whose it is.
    pub owner: &'a Login,
    /// The group whose it is.
    pub group: &'a Login,
    /// Who may read and write it.
    pub mode: FileMode,
    /// All that is in it.
    pub secret: &'a Secret,
}

/// A login to be created.
pub struct NewLogin<'a> {
    /// Its name.
    pub login: &'a Login,
    /// Its secret.
    pub secret: &'a Secret,
    /// The roles or groups it becomes a member of.
    pub member_of: &'a [Login],
    /// What it may do by sudo, on a Linux host.
    pub sudo_rules: &'a [SudoRule],
    /// From then on the system itself refuses it.
    pub valid_until: Timestamp,
}

/// What a login attempt told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The answer.
    pub result: ProbeResult,
    /// What the system said, in its own words, without any secret.
    pub detail: String,
}

/// What is known after a change was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetOutcome {
    /// The system said yes, and that it is durable.
    Applied,
    /// Nothing was changed: the change was never sent.
    NotSent {
        /// How far it came, in the words of a login attempt by the asking credential: `Refused` there is a wrong
        /// secret, `Unreachable` no connection. `Accepted` is a right secret that opened no session.
        result: ProbeResult,
        /// What was in the way, without any secret.
        detail: String,
    },
    /// The system said no; nothing was changed.
    Refused {
        /// What it said, without any secret.
        detail: String,
        /// The secret itself is what it does not take: another may do.
        by_policy: bool,
    },
    /// It was sent, and the answer was lost or cannot be read: it may be done or not, wholly or in part.
    Unknown(String),
}
