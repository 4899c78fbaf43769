//! One question and one answer of HTTP/1.1 on an open connection, which ends with it. No redirect is followed: it is an
//! answer like any other.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use crate::Stream;

/// An answer, whatever it is.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// The connection broke, or what it brought is no HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// Too long.
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
}

impl NoAnswer {
    /// Whether something came that cannot be read, and not just nothing.
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::TooLong(_) => true,
            Self::Broken(error) => is_unreadable(error),
        }
    }
}

/// What came before the question was out cancels it, and is then the cause of that.
fn is_unreadable(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    if cause.is_some_and(<dyn std::error::Error>::is::<std::io::Error>) {
        return false;
    }
    match cause.and_then(|cause| cause.downcast_ref::<hyper::Error>()) {
        Some(cause) => is_unreadable(cause),
        None => !(error.is_canceled() || error.is_closed() || error.is_incomplete_message() || error.is_timeout()),
    }
}

/// Asks, and reads at most so many bytes of the answer's body; none of it where nobody wants the body of such a status.
pub(crate) async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    most: usize,
    wanted: impl Fn(u16) -> bool,
) -> Result<Answer, NoAnswer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = if wanted(status) { body(response, most).await? } else { Bytes::new() };
        Ok(Answer { status, body })
    };
    // The connection is driven here and by nobody else. Where it ends first, the answer is whole or broken by then.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error.into()),
        },
    }
}

async fn body(response: Response<Incoming>, most: usize) -> Result<Bytes, NoAnswer> {
    let collected = Limited::new(response.into_body(), most).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => NoAnswer::Broken(*error),
        Err(_) => NoAnswer::TooLong(most),
    })
}
