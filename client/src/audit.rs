//! `/v1/audit`: what happened, and the proof that the record is whole.

use bytes::Bytes;
use claviger_api::Part;
use claviger_api::wire::{
    ArchiveQuery, AuditEvent, AuditQuery, CheckpointResponse, ExportQuery, LogArchive, LogQuery, Proof, ProofQuery,
};

use crate::{Client, Follow, List, Result};

/// The record. A customer of `None` is the operator log.
pub struct Audit<'a>(&'a Client);

impl Client {
    /// The record.
    pub fn audit(&self) -> Audit<'_> {
        Audit(self)
    }
}

impl Audit<'_> {
    /// Events, newest first.
    pub fn events(&self, query: AuditQuery) -> List<'_, AuditEvent, AuditQuery> {
        List::new(self.0, "/v1/audit/events", query)
    }

    /// Events as they happen, the oldest first: from now on, or after the one that was seen last. The query takes neither
    /// `until` nor pages.
    pub fn follow(&self, query: AuditQuery, seen: Option<u64>) -> Follow {
        Follow::new(self.0.clone(), query, seen)
    }

    /// The newest signed tree head, and the key that signs it.
    pub async fn checkpoint(&self, customer: Option<&Part>) -> Result<CheckpointResponse> {
        self.0.get_with("/v1/audit/checkpoint", &log(customer)).await
    }

    /// The proof that a leaf is in a tree, or that a tree is the beginning of a larger one (RFC 6962).
    pub async fn proof(&self, query: &ProofQuery) -> Result<Proof> {
        self.0.get_with("/v1/audit/proof", query).await
    }

    /// Where a log's oldest entries are, the oldest first.
    pub fn archives(&self, customer: Option<&Part>) -> List<'_, LogArchive, ArchiveQuery> {
        let query = ArchiveQuery { customer: customer.map(ToString::to_string), ..ArchiveQuery::default() };
        List::new(self.0, "/v1/audit/archives", query)
    }

    /// A log, whole or from an entry on, as JSON Lines, for [`claviger_api::audit`]'s offline verifier; read it piece by piece.
    pub async fn export(&self, customer: Option<&Part>, from: Option<u64>) -> Result<Export> {
        let query = ExportQuery { customer: customer.map(ToString::to_string), from };
        let response = self.0.open("/v1/audit/export", &query).await?;
        Ok(Export::new(self.0.clone(), response))
    }
}

fn log(customer: Option<&Part>) -> LogQuery {
    LogQuery { customer: customer.map(ToString::to_string) }
}

/// A log, or a report, on its way.
pub struct Export {
    client: Client,
    response: reqwest::Response,
}

impl Export {
    pub(crate) fn new(client: Client, response: reqwest::Response) -> Self {
        Self { client, response }
    }

    /// The next bytes; `None` at the end of the whole log. A log that is cut short is an error, never an end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.response.chunk().await.map_err(|error| self.client.failure(&error))
    }
}
