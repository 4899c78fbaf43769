//! HTTP, workers and wiring. The only crate that names actix-web.
