//! Traces, for a collector of OpenTelemetry: what each request does, and for how long (OTLP over HTTP, protobuf).
//!
//! Spans are made in the server and in the service under one target, which nothing else listens to: without `[traces]` none is made, and no
//! line of the log has them. They bear the names of steps, the template of a route, a status and the request's id. What people have
//! named, what is stored and what is secret is in none: whoever reads traces may be another.

use std::time::Duration;

use actix_web::http::Uri;
use actix_web::http::header::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::Deserialize;
use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

/// The target of all spans that are told.
const TARGET: &str = "traces";
/// Who tells them, unless the environment says otherwise (`OTEL_SERVICE_NAME`).
const SERVICE: &str = "claviger";
/// The longest that a collector is waited for.
const EXPORT_MOST: Duration = Duration::from_secs(10);
/// What is told at the end is waited for so long.
const LAST_MOST: Duration = Duration::from_secs(2);
/// From here on a status says that the server failed (RFC 9110).
const SERVER_FAILED: u16 = 500;

/// Where traces go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// The collector's address for traces, e.g. `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// One of so many requests is told whose caller has not decided: 1 for all.
    #[serde(default = "one_in")]
    pub one_in: u32,
}

const fn one_in() -> u32 {
    1
}

/// What is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTraces {
    /// It leads nowhere.
    #[error("endpoint is http:// or https:// and a path, e.g. http://127.0.0.1:4318/v1/traces, not {0:?}")]
    Endpoint(String),
    /// None would be told.
    #[error("one_in is 1 or more: 1 tells all requests, 100 one of a hundred")]
    None,
}

impl TraceSettings {
    /// Says what is wrong with them.
    pub fn check(&self) -> Result<(), BadTraces> {
        let leads = self.endpoint.parse::<Uri>().is_ok_and(|uri| {
            uri.scheme_str().is_some_and(|scheme| ["http", "https"].contains(&scheme)) && uri.host().is_some()
        });
        if !leads {
            return Err(BadTraces::Endpoint(self.endpoint.clone()));
        }
        if self.one_in == 0 { Err(BadTraces::None) } else { Ok(()) }
    }
}

/// Traces as they are told; dropped, the last ones are.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins to tell. To be called where no runtime is.
    ///
    /// # Errors
    ///
    /// The address cannot be used.
    pub fn begin(settings: &TraceSettings) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.endpoint)
            .with_timeout(EXPORT_MOST)
            .build()?;
        let sampler = Sampler::TraceIdRatioBased(1.0 / f64::from(settings.one_in));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(sampler)))
            .with_resource(Resource::builder().with_service_name(SERVICE).build())
            .build();
        Ok(Self(provider))
    }

    /// What makes spans of ours into traces.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(SERVICE))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_MOST) {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
    }
}

/// The span of a request, within the trace that its sender tells of, if it does (W3C Trace Context).
pub fn of_request(method: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
        claviger.request = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        // Without a parent it is a trace of its own.
        let _ = span.set_parent(parent);
    }
    span
}

/// Says of a request's span what came of it. The route's template, never the path.
pub fn answered(span: &Span, method: &str, route: &str, status: u16, request: impl std::fmt::Display) {
    span.context().span().update_name(format!("{method} {route}"));
    span.record("http.route", route);
    span.record("http.response.status_code", status);
    span.record("claviger.request", tracing::field::display(request));
    if status >= SERVER_FAILED {
        span.record("otel.status_code", "ERROR");
    }
}

/// Only the headers that it asks for are looked at.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_lead_somewhere_and_tell_something() {
        let of = |endpoint: &str, one_in| TraceSettings { endpoint: endpoint.to_owned(), one_in }.check();
        assert_eq!(of("http://127.0.0.1:4318/v1/traces", 1), Ok(()));
        for wrong in ["", "127.0.0.1:4318", "grpc://collector:4317", "http://"] {
            assert_eq!(of(wrong, 1), Err(BadTraces::Endpoint(wrong.to_owned())));
        }
        assert_eq!(of("https://collector.msp.example/v1/traces", 0), Err(BadTraces::None));
    }
}
