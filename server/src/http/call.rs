//! One request on its way to its handler: what the arguments of handlers are taken from.

use std::future::poll_fn;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix_web::HttpMessage as _;
use actix_web::dev::Payload;
use actix_web::http::header::{AsHeaderName, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use actix_web::{HttpRequest, web};
use bytes::Bytes;
use claviger_api::wire::BODY_MAX;
use claviger_api::{Part, ProblemType, RequestId};
use claviger_core::policy::{CustomerView, Resource};
use claviger_service::{Error, Origin, Result, Vault};
use futures::Stream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::budget::Budgets;
use super::door::Session;
use super::refusal::malformed;
use super::source;
use crate::metrics::Traffic;
use crate::tls;
use claviger_connectors::IpNet;

/// A body arrives within this, or is refused.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// What all requests share.
pub struct Site {
    /// The vault.
    pub vault: Arc<Vault>,
    /// What the unauthenticated may ask for.
    pub budgets: Budgets,
    /// Whose `X-Forwarded-For` counts.
    pub proxies: Vec<IpNet>,
    /// `/openapi.json`.
    pub document: Bytes,
    /// Who may watch at once.
    pub watchers: Arc<Semaphore>,
    /// The server takes no more, and lets go of whoever watches.
    pub stopping: AtomicBool,
    /// How much is asked.
    pub traffic: Traffic,
}

/// What an endpoint reads besides its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// A body.
    pub body: bool,
    /// A query.
    pub query: bool,
}

/// One request.
pub struct Call {
    /// What all requests share.
    pub site: web::Data<Site>,
    /// Method, path and headers.
    pub request: HttpRequest,
    payload: Payload,
    reads: Reads,
    /// Whose request it is; known once its session was taken.
    pub session: Option<Session>,
    body: Option<Zeroizing<Vec<u8>>>,
}

impl Call {
    /// A request to an endpoint that reads this.
    pub fn new(site: web::Data<Site>, request: HttpRequest, payload: Payload, reads: Reads) -> Self {
        Self { site, request, payload, reads, session: None, body: None }
    }

    /// Refuses what the endpoint would not read: the caller meant something by it.
    pub fn check(&self) -> Result<()> {
        if !self.reads.query && self.request.uri().query().is_some_and(|query| !query.is_empty()) {
            return Err(malformed("This address takes no query parameters; leave out what follows the '?'."));
        }
        if !self.reads.body && has_body(&self.request) {
            return Err(malformed("This request takes no body; send it without one."));
        }
        Ok(())
    }

    /// The payload where it was not read to its end.
    pub fn unread(self) -> Payload {
        if self.body.is_none() && has_body(&self.request) { self.payload } else { Payload::None }
    }

    /// The request's id.
    pub fn id(&self) -> RequestId {
        id_of(&self.request)
    }

    /// The address to blame.
    pub fn source(&self) -> Option<std::net::IpAddr> {
        let peer = self.request.peer_addr()?.ip();
        // A line that is no text is no address either: what stands before it is not believed.
        let lines = self.request.headers().get_all("x-forwarded-for").map(|line| line.to_str().unwrap_or_default());
        Some(source::source(peer, lines.collect::<Vec<_>>().into_iter(), &self.site.proxies))
    }

    /// Where the request comes from: the address to blame, and the client certificate of its connection.
    pub fn origin(&self) -> Origin {
        Origin { source: self.source(), certificate: tls::peer(&self.request) }
    }

    /// A header that comes once; twice is as malformed as unreadable.
    pub fn header(&self, name: impl AsHeaderName) -> Result<Option<&str>> {
        let mut values = self.request.headers().get_all(name);
        let (first, second) = (values.next(), values.next());
        let text = first.map(HeaderValue::to_str).transpose();
        match (text, second) {
            (Ok(text), None) => Ok(text),
            (Ok(_), Some(_)) | (Err(_), _) => Err(malformed("A header is there twice or is not plain ASCII.")),
        }
    }

    /// Whose request it is.
    pub fn session(&self) -> Result<&Session> {
        self.session.as_ref().ok_or_else(|| Error::internal("an endpoint asks for a permit without a session"))
    }

    /// That a customer is locked is told to whoever may know of the customer.
    pub fn hidden(&self, error: Error) -> Error {
        let Some(customer) = error.locked else { return error };
        let knows = |session: &Session| session.may::<CustomerView>(&Resource::Customer(customer));
        if self.session.as_ref().is_some_and(knows) { error } else { Error::not_found() }
    }

    /// A name in the path.
    pub fn name(&self, segment: &str) -> Result<Part> {
        self.segment(segment).parse().map_err(|error: claviger_api::name::BadName| malformed(error.to_string()))
    }

    /// An id in the path. What is no id of this kind names nothing, as an id of nothing does.
    pub fn number<T: FromStr>(&self, segment: &str) -> Result<T> {
        self.segment(segment).parse().map_err(|_| Error::not_found())
    }

    fn segment(&self, name: &str) -> &str {
        self.request.match_info().get(name).unwrap_or_default()
    }

    /// The body, read once and wiped with the call.
    pub async fn body(&mut self) -> Result<&[u8]> {
        if self.body.is_none() {
            let read = timeout(BODY_WITHIN, read(&self.request, &mut self.payload)).await;
            let late = |_| malformed("The body did not arrive within 30 seconds.");
            self.body = Some(read.map_err(late)??);
        }
        Ok(self.body.as_ref().map_or(&[], |body| body.as_slice()))
    }
}

/// The id that every request is given first of all.
pub fn id_of(request: &HttpRequest) -> RequestId {
    request.extensions().get().copied().unwrap_or(RequestId::from_uuid(uuid::Uuid::nil()))
}

async fn read(request: &HttpRequest, payload: &mut Payload) -> Result<Zeroizing<Vec<u8>>> {
    let too_large = || Error::new(ProblemType::BodyTooLarge, "A body is at most 1 MiB; send it in several requests.");
    let announced = length(request).unwrap_or(0);
    if announced > BODY_MAX {
        return Err(too_large());
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(chunk) = poll_fn(|context| Pin::new(&mut *payload).poll_next(context)).await {
        let chunk =
            chunk.map_err(|_| malformed("The body ended before its announced length, or is not framed right."))?;
        if body.len() + chunk.len() > BODY_MAX {
            return Err(too_large());
        }
        append(&mut body, &chunk);
    }
    Ok(body)
}

/// Appends, and wipes what a growing buffer leaves behind.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.capacity() - body.len() < chunk.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity((body.len() + chunk.len()) * 2));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

fn has_body(request: &HttpRequest) -> bool {
    request.headers().contains_key(TRANSFER_ENCODING) || length(request).is_some_and(|length| length > 0)
}

fn length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
