//! Programs log in by client certificate, over real TLS, and by tokens of a real issuer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

#[path = "programs/certificate.rs"]
mod certificate;
#[path = "programs/house.rs"]
mod house;
#[path = "programs/workload.rs"]
mod workload;
