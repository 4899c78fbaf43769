//! The record, exported and judged offline.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot read the record cannot go on")]

use std::convert::Infallible;

use claviger_api::audit::{Report, VerifierKey, verify_export};
use claviger_api::wire::{AuditEvent, AuditQuery};
use claviger_api::{AccountPath, Part};
use claviger_client::Client;

/// A whole log as a file.
pub async fn export(client: &Client, customer: Option<&Part>) -> String {
    let mut export = client.audit().export(customer, None).await.expect("an export");
    let mut file = Vec::new();
    while let Some(chunk) = export.chunk().await.expect("the rest of the export") {
        file.extend_from_slice(&chunk);
    }
    String::from_utf8(file).unwrap()
}

/// Exports a log and verifies the file with the key that the vault names apart from it. The log is whole.
pub async fn verified(client: &Client, customer: Option<&Part>) -> Report {
    let checkpoint = client.audit().checkpoint(customer).await.expect("a checkpoint");
    let key: VerifierKey = checkpoint.verifier_key.parse().unwrap();
    let report = judge(&export(client, customer).await, Some(&key)).expect("the log verifies");
    assert!(report.is_whole(), "{report:?}");
    report
}

/// Verifies a file.
pub fn judge(file: &str, key: Option<&VerifierKey>) -> Result<Report, String> {
    verify_export(file.lines().map(|line| Ok::<_, Infallible>(line.to_owned())), key).map_err(|error| error.to_string())
}

/// A customer's events, the oldest first.
pub async fn events(client: &Client, customer: &str) -> Vec<AuditEvent> {
    let query = AuditQuery { customer: Some(customer.to_owned()), ..AuditQuery::default() };
    let mut events = client.audit().events(query).all().await.expect("the events");
    events.reverse();
    events
}

/// The kinds of the events that name this account, the oldest first.
pub async fn kinds_of(client: &Client, account: &AccountPath) -> Vec<String> {
    let path = account.to_string();
    let of_account = |event: &AuditEvent| event.fields.get("account") == Some(&path);
    events(client, account.customer.as_str()).await.into_iter().filter(of_account).map(|event| event.kind).collect()
}
