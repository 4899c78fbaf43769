//! The log: lines for people on a terminal, JSON elsewhere, on standard error.
//!
//! Only the vault's own lines follow the configured level. What libraries would say below a warning is left out at
//! every level: some of them write what they read, and that may be a secret. What actix-http calls an error is mostly
//! a client's malformed request, which anybody can send a thousand times: it is left out too.

use std::io::{self, IsTerminal as _};

use opentelemetry_otlp::ExporterBuildError;
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Level;
use crate::traces::{TraceSettings, Traces};

/// Begins to log, and to tell traces where they are wanted, until what it gives is dropped. A second call changes nothing. To be called
/// where no runtime is.
///
/// # Errors
///
/// The collector's address cannot be used.
pub fn begin(level: Level, traces: Option<&TraceSettings>) -> Result<Option<Traces>, ExporterBuildError> {
    let traces = traces.map(Traces::begin).transpose()?;
    // Already begun: in a process with several servers, e.g. a test.
    let _ = listener(level, traces.as_ref()).try_init();
    Ok(traces)
}

/// Whoever hears what is said. Where nobody wants traces there is no layer for them: one that is there and does nothing has every
/// span made all the same.
fn listener(level: Level, traces: Option<&Traces>) -> Dispatch {
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = if io::stderr().is_terminal() { layer.boxed() } else { layer.json().flatten_event(true).boxed() };
    let lines = tracing_subscriber::registry().with(layer.with_filter(filter(level)));
    match traces {
        Some(traces) => lines.with(traces.layer()).into(),
        None => lines.into(),
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
    fn spans_are_made_for_whoever_wants_traces_and_for_nobody_else() {
        let is_made = |traces| {
            let of = || tracing::info_span!(target: "traces", "a step").is_disabled();
            !tracing::dispatcher::with_default(&listener(Level::Trace, traces), of)
        };
        assert!(!is_made(None));
        let endpoint = "http://127.0.0.1:9/v1/traces".to_owned();
        let traces = Traces::begin(&TraceSettings { endpoint, one_in: 1 }).unwrap();
        assert!(is_made(Some(&traces)));
    }

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
