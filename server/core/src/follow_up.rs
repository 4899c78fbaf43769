//! What follows a new secret: those who depend on it are brought up to date, one after the other.
//!
//! One row an account holds the list and how far it is. A promotion starts it anew in its own commit, with the timer that
//! carries it on, so that no dependent is forgotten; whoever was still behind is then brought to the newer secret at once.
//! Each attempt may be made twice: after a crash, nobody knows whether the last one arrived.

use claviger_api::wire::{DependentState, FileMode, FilePath, HttpsUrl};
use claviger_api::{Login, PrincipalId, RotationId, SystemId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::secrets::Version;

/// After the first, second, … failure one waits for so long; after all further ones for the last.
const PAUSES: [SignedDuration; 6] = [
    SignedDuration::from_secs(5),
    SignedDuration::from_secs(15),
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(5),
    SignedDuration::from_mins(15),
    LONGEST_PAUSE,
];
/// Where trying again soon would do harm, e.g. lock the account that asks.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Who depends on an account's secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Dependent {
    /// Is told that there is a new one.
    Webhook {
        /// Where to.
        url: HttpsUrl,
        /// The CA of its certificate, in PEM.
        ca_certificate: Option<String>,
    },
    /// Holds a copy.
    File {
        /// The Linux host.
        system: SystemId,
        /// The file.
        path: FilePath,
        /// Whose it is.
        owner: Login,
        /// And its group.
        group: Login,
        /// Who may read and write it.
        mode: FileMode,
    },
}

/// How far one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Progress {
    /// There was no new secret since it was added.
    Idle,
    /// It has still to be brought up to date.
    Waiting,
    /// It is.
    Updated {
        /// Since when.
        at: Timestamp,
    },
    /// A person passed it over.
    Skipped {
        /// When.
        at: Timestamp,
        /// Who.
        by: PrincipalId,
    },
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Who.
    pub dependent: Dependent,
    /// How far it is.
    pub progress: Progress,
}

/// A new secret, as those who depend on it come to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Names this news for whoever hears it twice.
    pub id: Uuid,
    /// The version.
    pub version: Version,
    /// The rotation that made it; none, where a person brought it.
    pub rotation: Option<RotationId>,
    /// Since when it is the account's secret.
    pub since: Timestamp,
}

/// An account's dependents, and how far they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FollowUp {
    /// In their order.
    pub steps: Vec<Step>,
    /// The newest secret that there was since there are any.
    pub news: Option<News>,
    /// How often the one whose turn it is could not be brought up to date.
    pub failures: u32,
    /// What was in the way last.
    pub trouble: Option<String>,
    /// When it is tried next; the due time of its timer.
    pub next_at: Option<Timestamp>,
}

/// Why a dependent is not passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSkipped {
    /// There is none of this number.
    Nobody,
    /// It does not wait.
    NotWaiting,
}

impl Progress {
    /// In the words of the surface.
    pub fn state(&self) -> DependentState {
        match self {
            Self::Idle => DependentState::Idle,
            Self::Waiting => DependentState::Waiting,
            Self::Updated { .. } => DependentState::Updated,
            Self::Skipped { .. } => DependentState::Skipped,
        }
    }

    /// Since when.
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Idle | Self::Waiting => None,
            Self::Updated { at } | Self::Skipped { at, .. } => Some(*at),
        }
    }
}

impl FollowUp {
    /// Dependents of whom nobody has heard of a new secret yet.
    pub fn of(dependents: Vec<Dependent>) -> Self {
        let step = |dependent| Step { dependent, progress: Progress::Idle };
        let steps = dependents.into_iter().map(step).collect();
        Self { steps, news: None, failures: 0, trouble: None, next_at: None }
    }

    /// The list as it shall be. Who stays keeps its progress; who is new waits, if others do.
    #[must_use]
    pub fn with(&self, dependents: Vec<Dependent>, now: Timestamp) -> Self {
        let progress = |dependent: &Dependent| match self.steps.iter().find(|step| step.dependent == *dependent) {
            Some(step) => step.progress.clone(),
            None if self.is_behind() => Progress::Waiting,
            None => Progress::Idle,
        };
        let step = |dependent: Dependent| Step { progress: progress(&dependent), dependent };
        let changed = Self { steps: dependents.into_iter().map(step).collect(), ..self.clone() };
        changed.onwards(now)
    }

    /// There is a new secret: all wait, whatever they were at.
    #[must_use]
    pub fn begun(mut self, news: News, now: Timestamp) -> Self {
        for step in &mut self.steps {
            step.progress = Progress::Waiting;
        }
        self.news = Some(news);
        self.onwards(now)
    }

    /// Whether somebody has still to be brought up to date.
    pub fn is_behind(&self) -> bool {
        self.turn().is_some()
    }

    /// Whose turn it is, and what for; the news is there whenever somebody waits.
    pub fn turn(&self) -> Option<(usize, &Dependent)> {
        let waits = |step: &Step| step.progress == Progress::Waiting;
        self.steps.iter().enumerate().find(|(_, step)| waits(step)).map(|(at, step)| (at, &step.dependent))
    }

    /// Whose turn it was is up to date; the next one's is now.
    #[must_use]
    pub fn updated(self, now: Timestamp) -> Self {
        self.settled(Progress::Updated { at: now }, now)
    }

    /// Whose turn it was is not, or nobody knows. `in_vain` says that another attempt would fail as well until somebody
    /// has done something, and may do harm.
    #[must_use]
    pub fn failed(mut self, trouble: String, in_vain: bool, now: Timestamp) -> Self {
        let nth = usize::try_from(self.failures).unwrap_or(usize::MAX);
        let pause = PAUSES.get(nth).filter(|_| !in_vain).copied().unwrap_or(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.trouble = Some(trouble);
        self.next_at = now.checked_add(pause).ok();
        self
    }

    /// A person passes one over that waits.
    ///
    /// # Errors
    ///
    /// There is none of this number, or it does not wait.
    pub fn skipped(mut self, at: usize, by: PrincipalId, now: Timestamp) -> Result<Self, NotSkipped> {
        let turn = self.turn().map(|(turn, _)| turn);
        let step = self.steps.get_mut(at).ok_or(NotSkipped::Nobody)?;
        if step.progress != Progress::Waiting {
            return Err(NotSkipped::NotWaiting);
        }
        let progress = Progress::Skipped { at: now, by };
        if turn == Some(at) {
            return Ok(self.settled(progress, now));
        }
        step.progress = progress;
        Ok(self)
    }

    /// A person wants them brought up to date now: those who wait; all of them, where none does.
    #[must_use]
    pub fn hurried(self, news: News, now: Timestamp) -> Self {
        if self.is_behind() { self.onwards(now) } else { self.begun(news, now) }
    }

    fn settled(mut self, progress: Progress, now: Timestamp) -> Self {
        if let Some(at) = self.turn().map(|(at, _)| at)
            && let Some(step) = self.steps.get_mut(at)
        {
            step.progress = progress;
        }
        self.onwards(now)
    }

    /// Whose turn it is now, is tried now.
    fn onwards(mut self, now: Timestamp) -> Self {
        self.failures = 0;
        self.trouble = None;
        self.next_at = self.is_behind().then_some(now);
        self
    }
}

#[cfg(test)]
mod tests;
