//! An endpoint: method, path, and a handler whose signature says everything else. What it needs, reads and answers is
//! taken from the types of its arguments and its answer, at run time and for `/openapi.json` alike, so that the two
//! cannot differ.

use std::future::Future;

use actix_web::dev::{ServiceRequest, ServiceResponse, fn_service};
use actix_web::error::ErrorInternalServerError;
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{Error as ActixError, HttpRequest, Route, web};
use claviger_api::ProblemType;
use claviger_service::{Error, Result};

use super::answer::Answer;
use super::call::{Call, Reads, Site, id_of};
use super::describe::Description;
use super::refusal::refuse;
use super::unread::respond;

/// What a handler takes from its request.
pub trait Argument: Sized {
    /// Takes it, or refuses the request.
    fn take(call: &mut Call) -> impl Future<Output = Result<Self>>;

    /// Says what it needs and how it can refuse.
    fn describe(description: &mut Description);
}

/// A first argument: it lets a request in.
pub trait Door: Argument {}

/// An async function from a [`Door`] and further [`Argument`]s to an [`Answer`].
pub trait Handler<Arguments>: Clone + 'static {
    /// What it answers.
    type Answer: Answer;

    /// Takes the arguments in their order, and calls.
    fn run(&self, call: &mut Call) -> impl Future<Output = Result<Self::Answer>>;

    /// Says what the arguments and the answer say.
    fn describe(description: &mut Description);
}

macro_rules! handlers {
    ($($name:ident: $argument:ident),*) => {
        impl<F, Fut, A, D, $($argument),*> Handler<(D, $($argument,)*)> for F
        where
            F: Fn(D, $($argument),*) -> Fut + Clone + 'static,
            Fut: Future<Output = Result<A>>,
            A: Answer,
            D: Door,
            $($argument: Argument,)*
        {
            type Answer = A;

            async fn run(&self, call: &mut Call) -> Result<A> {
                let door = D::take(call).await?;
                $(let $name = $argument::take(call).await?;)*
                self(door, $($name),*).await
            }

            fn describe(description: &mut Description) {
                D::describe(description);
                $($argument::describe(description);)*
                A::describe(description);
            }
        }
    };
}

handlers! {}
handlers! { second: B }
handlers! { second: B, third: C }
handlers! { second: B, third: C, fourth: E }
handlers! { second: B, third: C, fourth: E, fifth: G }

/// One row of the route table.
pub struct Endpoint {
    /// What it is to readers of the API's description.
    pub description: Description,
    /// What actix runs.
    pub route: Route,
}

impl Endpoint {
    /// `GET path`. `name` is the operation's id, unique in the API.
    pub fn get<A: 'static, H: Handler<A>>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::GET, path, name, summary, handler)
    }

    /// `POST path`.
    pub fn post<A: 'static, H: Handler<A>>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::POST, path, name, summary, handler).fails(&[ProblemType::Conflict])
    }

    /// `PATCH path`.
    pub fn patch<A: 'static, H: Handler<A>>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::PATCH, path, name, summary, handler).fails(&[ProblemType::Conflict])
    }

    /// `DELETE path`.
    pub fn delete<A: 'static, H: Handler<A>>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        Self::new(Method::DELETE, path, name, summary, handler).fails(&[ProblemType::Conflict])
    }

    /// Adds problems that the use case itself can answer with.
    #[must_use]
    pub fn fails(mut self, problems: &[ProblemType]) -> Self {
        self.description.fails(problems);
        self
    }

    fn new<A: 'static, H: Handler<A>>(
        method: Method,
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handler: H,
    ) -> Self {
        use ProblemType::{Internal, MalformedRequest, OutcomeUnknown, Unavailable};
        let mut description = Description::new(method.clone(), path, name, summary);
        description.fails(&[MalformedRequest, Internal, Unavailable, OutcomeUnknown]);
        H::describe(&mut description);
        let reads = description.reads();
        let serve = fn_service(move |request| serve(request, handler.clone(), reads));
        Self { description, route: web::method(method).service(serve) }
    }
}

async fn serve<A: 'static, H: Handler<A>>(
    request: ServiceRequest,
    handler: H,
    reads: Reads,
) -> std::result::Result<ServiceResponse, ActixError> {
    let (request, payload) = request.into_parts();
    let mut call = Call::new(site(&request)?, request.clone(), payload, reads);
    let answered = match call.check() {
        Ok(()) => handler.run(&mut call).await.and_then(Answer::response),
        Err(error) => Err(error),
    };
    let response = answered.unwrap_or_else(|error| refuse(&call.hidden(error), call.id()));
    Ok(respond(request, call.unread(), response))
}

fn site(request: &HttpRequest) -> std::result::Result<web::Data<Site>, ActixError> {
    request.app_data::<web::Data<Site>>().cloned().ok_or_else(|| ErrorInternalServerError("the site is not wired"))
}

/// The fallback of a path: it takes other methods.
pub fn method_not_allowed(request: ServiceRequest, allow: &str) -> ServiceResponse {
    let (request, payload) = request.into_parts();
    let mut response = refuse(&Error::new(ProblemType::MethodNotAllowed, ""), id_of(&request));
    if let Ok(allow) = allow.parse() {
        response.headers_mut().insert(ALLOW, allow);
    }
    respond(request, payload, response)
}

/// The fallback of all, and the answer before routing.
pub fn refused(request: ServiceRequest, error: &Error) -> ServiceResponse {
    let (request, payload) = request.into_parts();
    let response = refuse(error, id_of(&request));
    respond(request, payload, response)
}
