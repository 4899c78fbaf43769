//! The log: lines for people on a terminal, JSON elsewhere, on standard error.
//!
//! Only the vault's own lines follow the configured level. What libraries would say below a warning is left out at
//! every level: some of them write what they read, and that may be a secret. What actix-http calls an error is mostly
//! a client's malformed request, which anybody can send a thousand times: it is left out too.
//!
//! The access log has a line a request. Where nobody watches, its lines are gathered for a few milliseconds and
//! written together: a call to the kernel each would cost a hot request more than its line is worth. Whatever else is said is
//! written at once, after what waits.

use std::io::{self, IsTerminal as _, Write};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Level;

/// The target of the access log.
pub const ACCESS: &str = "claviger_server::access";

/// So long the lines of the access log wait for others. A crash loses no more of them than this.
const GATHERED: Duration = Duration::from_millis(5);

/// Begins to log, until the guard is dropped: then what was gathered is written. A second call changes nothing.
#[must_use = "what was gathered is written when this is dropped"]
pub fn begin(level: Level) -> Logging {
    let layer = tracing_subscriber::fmt::layer();
    let layer = if io::stderr().is_terminal() {
        layer.with_writer(io::stderr).boxed()
    } else {
        layer.json().flatten_event(true).with_writer(Gathering).boxed()
    };
    // Already begun: in a process with several servers, e.g. a test.
    let begun = tracing_subscriber::registry().with(layer.with_filter(filter(level))).try_init().is_ok();
    if begun {
        // Without it the lines are written when the next other line is, and at the end.
        let _ = thread::Builder::new().name("access-log".to_owned()).spawn(|| LINES.write_for_ever());
    }
    Logging(())
}

/// That the program logs.
pub struct Logging(());

impl Drop for Logging {
    fn drop(&mut self) {
        LINES.write();
    }
}

static LINES: Lines = Lines { waiting: Mutex::new(Vec::new()), come: Condvar::new() };

/// Lines of the access log that wait to be written.
struct Lines {
    waiting: Mutex<Vec<u8>>,
    come: Condvar,
}

impl Lines {
    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            self.come.notify_one();
        }
        waiting.extend_from_slice(line);
    }

    /// Writes what waits. A standard error that takes nothing more is nobody's to tell.
    fn write(&self) {
        let mut waiting = self.waiting();
        let _ = io::stderr().write_all(&waiting);
        waiting.clear();
    }

    fn write_for_ever(&self) {
        let mut ready = Vec::new();
        loop {
            drop(self.come.wait_while(self.waiting(), |waiting| waiting.is_empty()));
            thread::sleep(GATHERED);
            mem::swap(&mut *self.waiting(), &mut ready);
            let _ = io::stderr().write_all(&ready);
            ready.clear();
        }
    }
}

/// Where a line goes.
struct Gathering;

/// One line, written as a whole.
enum Line {
    Access,
    Other,
}

impl MakeWriter<'_> for Gathering {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line::Other
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        if meta.target() == ACCESS { Line::Access } else { Line::Other }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Access => {
                LINES.add(line);
                Ok(line.len())
            }
            Self::Other => {
                LINES.write();
                io::stderr().write(line)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn filter(level: Level) -> Targets {
    let ours = Targets::new().with_default(LevelFilter::WARN).with_target("claviger", level);
    ours.with_target("actix_http", LevelFilter::OFF)
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_do_not_speak_at_trace_level() {
        let filter = filter(Level::Trace);
        for target in ["claviger_server::access", "claviger_service", "claviger_connectors::postgresql"] {
            assert!(filter.would_enable(target, &tracing::Level::TRACE), "{target}");
        }
        for target in ["actix_web::server", "mio", "rustls::server", "tokio_postgres", "hyper"] {
            assert!(!filter.would_enable(target, &tracing::Level::INFO), "{target}");
            assert!(filter.would_enable(target, &tracing::Level::WARN), "{target}");
        }
        assert!(!filter.would_enable("actix_http::h1::dispatcher", &tracing::Level::ERROR));
    }
}
