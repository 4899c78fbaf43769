//! Server-sent events: what happens, as it happens.
//!
//! An answer that does not end holds nothing in between: not the vault, so that a seal wipes every key, and no decision, so
//! that whoever loses a session or a grant hears no more within a second.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{rt, web};
use bytes::Bytes;
use claviger_api::ProblemType;
use claviger_service::{Error, Open, Result};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use utoipa::openapi::{ContentBuilder, Object, ResponseBuilder, Schema};

use super::answer::Answer;
use super::call::{Call, Site};
use super::describe::Description;
use super::endpoint::Argument;
use super::refusal::malformed;

/// How often it is looked for more.
const EVERY: Duration = Duration::from_millis(500);
/// A line comes at least so often, so that a proxy between does not give the connection up.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);
/// Messages that wait for a slow reader; more are not read from the log before it has taken some.
const WAITING_MOST: usize = 16;
/// The media type of HTML's server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// One message.
pub struct Message {
    /// Its number: whoever comes back says the last one seen.
    pub id: u64,
    /// What it is.
    pub event: String,
    /// Its data: JSON on one line.
    pub data: String,
}

impl Message {
    /// A message about something.
    pub fn new(id: u64, event: &str, about: &impl Serialize) -> Result<Self> {
        // JSON text has no line break in it, and no kind of event has.
        Ok(Self { id, event: event.to_owned(), data: serde_json::to_string(about).map_err(Error::internal)? })
    }

    fn text(&self) -> String {
        format!("id: {}\nevent: {}\ndata: {}\n\n", self.id, self.event, self.data)
    }
}

/// 200 with messages until the reader goes, or may see no more.
pub struct Live(mpsc::Receiver<Bytes>);

impl Live {
    /// Asks `more` again and again for what has come; it fails where the reader may see no more.
    pub fn of(mut more: impl AsyncFnMut() -> Result<Vec<Message>> + 'static) -> Self {
        let (send, receive) = mpsc::channel(WAITING_MOST);
        rt::spawn(async move {
            let mut spoke = Instant::now();
            while let Ok(messages) = more().await {
                let mut text: String = messages.iter().map(Message::text).collect();
                if text.is_empty() && spoke.elapsed() >= SIGN_OF_LIFE {
                    text.push_str(":\n\n");
                }
                if !text.is_empty() {
                    if send.send(Bytes::from(text)).await.is_err() {
                        return;
                    }
                    spoke = Instant::now();
                }
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = send.closed() => return,
                }
            }
        });
        Self(receive)
    }
}

impl Answer for Live {
    fn response(self) -> Result<HttpResponse> {
        let mut response = HttpResponse::Ok();
        response.insert_header((CACHE_CONTROL, "no-store"));
        Ok(response.content_type(EVENT_STREAM).body(Flow(self.0)))
    }

    fn describe(description: &mut Description) {
        let text = Object::with_type(utoipa::openapi::Type::String);
        let content = ContentBuilder::new().schema(Some(Schema::from(text))).build();
        let response = ResponseBuilder::new().description("Server-sent events; the data of each is one JSON object.");
        description.answers(200, response.content(EVENT_STREAM, content).build());
    }
}

struct Flow(mpsc::Receiver<Bytes>);

impl MessageBody for Flow {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Bytes, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(Ok))
    }
}

/// The number of the message that a reader saw last, if it comes back.
pub struct Seen(pub Option<u64>);

const HEADER: &str = "last-event-id";

impl Argument for Seen {
    async fn take(call: &mut Call) -> Result<Self> {
        let Some(text) = call.header(HEADER)? else { return Ok(Self(None)) };
        let number =
            text.parse().map_err(|_| malformed("Last-Event-ID is the id of an event of this log, a number."))?;
        Ok(Self(Some(number)))
    }

    fn describe(description: &mut Description) {
        description.takes_last_event_id();
    }
}

/// What all requests share, beyond the end of this one.
pub struct TheSite(web::Data<Site>);

impl TheSite {
    /// The vault, while it is open and the server goes on.
    pub fn open(&self) -> Result<Arc<Open>> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(Error::unavailable("The server stops.", "whoever watched was let go"));
        }
        self.0.vault.open()
    }

    /// A turn at watching, given back when it is dropped.
    pub fn watch(&self) -> Result<OwnedSemaphorePermit> {
        let taken = |_| Error::new(ProblemType::TooManyRequests, "As many watch as this server lets; try again later.");
        self.0.watchers.clone().try_acquire_owned().map_err(taken)
    }
}

impl Argument for TheSite {
    async fn take(call: &mut Call) -> Result<Self> {
        Ok(Self(call.site.clone()))
    }

    fn describe(_: &mut Description) {}
}
