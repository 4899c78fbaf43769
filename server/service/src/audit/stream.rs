//! Streams of the audit log to whoever watches it elsewhere, a SIEM: at least once, and each log in its order.
//!
//! A stream reads logs and nothing else: no commit waits for it, and what it cannot deliver stays where it is, in the log.
//! How far it has come is one row a stream and log, written when the other side has surely received what came before
//! ([`window`]). docs/adr/0039-streams.md says what is sure.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use claviger_api::audit::kind::EventKind;
use claviger_api::wire::{StreamState, StreamStatus};
use claviger_api::{Part, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;

mod cef;
mod cursor;
mod deliver;
mod ecs;
mod heads;
mod json;
mod meaning;
mod ocsf;
mod plain;
mod told;
mod window;

pub use deliver::run;
pub use meaning::Weight;
pub use told::Told;

/// The most bytes in one line, so that a message with its header has no more than the 8,192 that each receiver of syslog
/// should take (RFC 5425 §4.3.1).
pub const LINE_MAX: usize = 7_680;
/// To how many characters values are cut where a line would be longer, until it is not.
const CUTS: [usize; 5] = [1024, 256, 64, 16, 4];

/// How an entry is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The vault's own JSON.
    Json,
    /// OCSF 1.3 JSON.
    Ocsf,
    /// ArcSight CEF:0.
    Cef,
    /// Elastic Common Schema 8.11 JSON.
    Ecs,
}

impl Format {
    /// One line without its end, of [`LINE_MAX`] bytes at most.
    pub fn render(self, told: &Told) -> String {
        let mut line = self.write(told);
        for most in CUTS {
            if line.len() <= LINE_MAX {
                break;
            }
            line = self.write(&told.within(most));
        }
        line
    }

    fn write(self, told: &Told) -> String {
        match self {
            Self::Json => json::render(told),
            Self::Ocsf => ocsf::render(told),
            Self::Cef => cef::render(told),
            Self::Ecs => ecs::render(told),
        }
    }

    /// The word for it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ocsf => "ocsf",
            Self::Cef => "cef",
            Self::Ecs => "ecs",
        }
    }
}

/// One entry on its way.
#[derive(Debug, Clone)]
pub struct Message {
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// How much somebody should care.
    pub weight: Weight,
    /// The entry, in one line.
    pub line: String,
}

/// Where a stream leads.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Opens a way there. It gives up by itself within seconds.
    async fn open(&self) -> io::Result<Box<dyn Way>>;
}

/// An open way. Dropping it breaks it off.
#[async_trait]
pub trait Way: Send {
    /// Gives these on, in their order. Whether they arrive is not known before [`Way::end`]. It gives up by itself.
    async fn send(&mut self, messages: &[Message]) -> io::Result<()>;

    /// Returns when the way is broken, and why.
    async fn broken(&mut self) -> io::Error;

    /// Ends it in order. On `Ok` the other side has taken all that was sent. It gives up by itself.
    async fn end(self: Box<Self>) -> io::Result<()>;
}

/// A stream, as it is configured, and how it does.
pub struct Stream {
    /// What the operator calls it.
    pub name: Part,
    /// Where it leads, in words.
    pub to: String,
    /// How entries are written.
    pub format: Format,
    /// Which logs.
    pub logs: Logs,
    /// How long the other side must have had an entry, unbroken, before it counts as received.
    pub settle: Duration,
    /// Where it leads.
    pub sink: Arc<dyn Sink>,
    /// How it does.
    pub progress: Mutex<Progress>,
}

/// Which logs a stream tells of.
#[derive(Debug, Clone)]
pub struct Logs {
    /// Whether the operator's.
    pub operator: bool,
    /// The customers' of these slugs; all when absent.
    pub customers: Option<BTreeSet<Part>>,
}

/// How a stream does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is wrong with it.
    pub trouble: Option<String>,
    /// Entries that are not known to be received.
    pub behind: u64,
    /// When the oldest of them happened.
    pub since: Option<Timestamp>,
}

impl Stream {
    /// How it does, for operators.
    pub fn status(&self) -> StreamStatus {
        let Progress { trouble, behind, since } = self.progress.lock().clone();
        let state = if trouble.is_some() { StreamState::Broken } else { StreamState::Delivering };
        StreamStatus { name: self.name.clone(), to: self.to.clone(), state, trouble, behind, behind_since: since }
    }
}

#[cfg(test)]
mod tests;
