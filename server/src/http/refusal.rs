//! Errors as clients see them: problem documents (RFC 9457). What is for the operator goes to the log.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use claviger_api::problem::Problem;
use claviger_api::{ProblemType, RequestId};
use claviger_service::Error;

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The answer to a request that is refused or has failed.
pub fn refuse(error: &Error, request: RequestId) -> HttpResponse {
    note(error, request);
    let status = StatusCode::from_u16(error.problem.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    response.insert_header((CONTENT_TYPE, PROBLEM_JSON));
    if let Some(seconds) = error.retry_after_seconds {
        response.insert_header((RETRY_AFTER, seconds));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, "Bearer"));
    }
    let problem = Problem {
        instance: Some(request.to_string()),
        errors: error.errors.clone(),
        retry_after_seconds: error.retry_after_seconds,
        ..Problem::new(error.problem, error.detail.clone())
    };
    // A problem is strings and numbers: it cannot fail to be written.
    response.body(serde_json::to_vec(&problem).unwrap_or_default())
}

/// A request that cannot be read.
pub fn malformed(detail: impl Into<String>) -> Error {
    Error::new(ProblemType::MalformedRequest, detail)
}

fn note(error: &Error, request: RequestId) {
    let Some(note) = &error.operator else { return };
    let (problem, note) = (error.problem.row().code, note.for_the_log());
    if error.problem.row().status >= 500 {
        tracing::error!(%request, problem, note, "a request failed");
    } else {
        tracing::warn!(%request, problem, note, "a request was refused");
    }
}
