//! Events as they happen.

use std::pin::Pin;

use claviger_api::wire::{AuditEvent, AuditQuery};
use futures::{Stream, StreamExt as _};
use sse_stream::{Sse, SseStream};

use crate::{Client, Error, Result};

const PATH: &str = "/v1/audit/events/follow";

type Events = Pin<Box<dyn Stream<Item = std::result::Result<Sse, sse_stream::Error>> + Send>>;

/// A log that is watched. A connection that breaks is made anew, and goes on after the event that came last: none is
/// missed and none comes twice.
pub struct Follow {
    client: Client,
    query: AuditQuery,
    seen: Option<u64>,
    events: Option<Events>,
}

impl Follow {
    pub(crate) fn new(client: Client, query: AuditQuery, seen: Option<u64>) -> Self {
        Self { client, query, seen, events: None }
    }

    /// Waits until the server listens to it; what happens from then on is not missed.
    pub async fn begin(&mut self) -> Result<()> {
        if self.events.is_none() {
            let response = self.client.open_after(PATH, &self.query, self.seen).await?;
            self.events = Some(SseStream::from_bytes_stream(response.bytes_stream()).boxed());
        }
        Ok(())
    }

    /// The next event, however long it takes. An error is the end: the caller may see no more, or the server did not come
    /// back in all the attempts that [`Retries`](crate::Retries) gives it.
    pub async fn next(&mut self) -> Result<AuditEvent> {
        let mut attempt = 1;
        loop {
            let failed = if let Err(error) = self.begin().await {
                error
            } else {
                if let Some(event) = self.message().await {
                    return event;
                }
                (self.events, attempt) = (None, 1);
                self.client.broke()
            };
            self.client.before_another(attempt, failed).await?;
            attempt += 1;
        }
    }

    /// The next message of this connection; nothing where it broke.
    async fn message(&mut self) -> Option<Result<AuditEvent>> {
        loop {
            let message = self.events.as_mut()?.next().await?.ok()?;
            let Some(data) = message.data else { continue };
            let why = |_| Error::BadAnswer { status: 200, why: "an event that is none".to_owned() };
            let event: Result<AuditEvent> = serde_json::from_str(&data).map_err(why);
            if let Ok(event) = &event {
                self.seen = Some(event.index);
            }
            return Some(event);
        }
    }
}
