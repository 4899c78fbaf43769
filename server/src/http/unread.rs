//! Answers to requests whose body was not read to its end.
//!
//! actix reads on, without an end, where such a body is chunked and nobody holds it any more: a client that never
//! finishes it would keep its connection for ever. Where somebody does hold it, actix closes the connection when the
//! answer was sent and a moment has passed. So the answer holds it.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceResponse};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;

struct Holding {
    body: BoxBody,
    _payload: Payload,
}

/// The answer to a request of which this payload was not read.
pub fn respond(request: HttpRequest, payload: Payload, response: HttpResponse) -> ServiceResponse {
    if matches!(payload, Payload::None) {
        return ServiceResponse::new(request, response);
    }
    let response = response.map_body(|_, body| BoxBody::new(Holding { body, _payload: payload }));
    ServiceResponse::new(request, response)
}

impl MessageBody for Holding {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
