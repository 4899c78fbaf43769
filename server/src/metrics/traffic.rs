//! How much is asked of the server, and how long it takes.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// From here on a status says that the request was refused (RFC 9110).
const REFUSED: u16 = 400;
/// From here on a status says that the server failed.
const FAILED: u16 = 500;

/// The bounds of how long answers take, in seconds.
const SECONDS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All requests since the start, whoever made them and whatever for.
#[derive(Debug, Clone)]
pub struct Traffic {
    requests: Counter,
    refused: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            refused: Counter::default(),
            failed: Counter::default(),
            seconds: Histogram::new(SECONDS),
        }
    }
}

impl Traffic {
    /// A request was answered with this status, the head of the answer after this time.
    pub fn answered(&self, status: u16, after: Duration) {
        self.requests.inc();
        if status >= FAILED {
            self.failed.inc();
        } else if status >= REFUSED {
            self.refused.inc();
        }
        self.seconds.observe(after.as_secs_f64());
    }

    /// Has them written, too.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        registry.register("http_requests_refused", "Requests that were refused (4xx)", self.refused.clone());
        registry.register("http_requests_failed", "Requests at which the server failed (5xx)", self.failed.clone());
        let help = "How long the head of an answer took";
        registry.register_with_unit("http_request", help, Unit::Seconds, self.seconds.clone());
    }
}
