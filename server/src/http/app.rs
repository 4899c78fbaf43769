//! Wiring: what happens to every request, and the route table as actix takes it.

use std::future::ready;
use std::time::Instant;

use super::call::Site;
use super::endpoint::{Endpoint, method_not_allowed, refused};
use super::path::is_path;
use super::refusal::malformed;
use super::table;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Service, ServiceFactory, ServiceRequest, ServiceResponse, fn_service};
use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::{App, Error, HttpMessage as _, web};
use claviger_api::RequestId;
use claviger_service::clock::new_uuid;
use tracing::Instrument as _;

use crate::traces;

/// The application, as each worker makes it.
pub fn app(
    site: web::Data<Site>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(site.clone())
        .configure(|config| table_into(config, table()))
        .default_service(fn_service(|request| {
            ready(Ok::<_, Error>(refused(request, &claviger_service::Error::not_found())))
        }))
        .wrap_fn(move |request, next| every_request(&site, request, next))
}

/// One resource a path, which knows its methods.
fn table_into(config: &mut web::ServiceConfig, table: Vec<Endpoint>) {
    let mut resources: Vec<(&str, Vec<Endpoint>)> = Vec::new();
    for endpoint in table {
        let path = endpoint.description.path;
        match resources.iter_mut().find(|(known, _)| *known == path) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => resources.push((path, vec![endpoint])),
        }
    }
    for (path, endpoints) in resources {
        let allow: Vec<String> = endpoints.iter().map(|endpoint| endpoint.description.method.to_string()).collect();
        let allow = allow.join(", ");
        let mut resource = web::resource(path);
        for endpoint in endpoints {
            resource = resource.route(endpoint.route);
        }
        let other = fn_service(move |request| ready(Ok::<_, Error>(method_not_allowed(request, &allow))));
        config.service(resource.default_service(other));
    }
}

/// An id, a path that can be routed, the headers of every answer, and a line in the log.
fn every_request<S, B>(
    site: &Site,
    mut request: ServiceRequest,
    next: &S,
) -> impl Future<Output = Result<ServiceResponse<EitherBody<B>>, Error>> + use<S, B>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let begun = Instant::now();
    own_headers(&mut request);
    let ground = site.vault.ground();
    let id = RequestId::from_uuid(new_uuid(ground.clock.now(), ground.random.as_ref()));
    request.extensions_mut().insert(id);
    let traffic = site.traffic.clone();
    let span = traces::of_request(known(request.method()), request.headers());
    let served = if is_path(request.uri().path()) { Ok(next.call(request)) } else { Err(no_path(request)) };
    let told = span.clone();
    let answer = async move {
        let mut response = match served {
            Ok(served) => served.await?.map_into_left_body(),
            Err(response) => response.map_into_right_body(),
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        traffic.answered(response.status().as_u16(), begun.elapsed());
        log(&response, id, begun);
        if !told.is_disabled() {
            let (route, status) = (route_of(&response), response.status().as_u16());
            let method = known(response.request().method());
            traces::answered(&told, method, route.as_deref().unwrap_or(NO_ROUTE), status, id);
        }
        Ok(response)
    };
    answer.instrument(span)
}

/// Headers are pieces of the buffer that they were read into, with the body beside them, and actix keeps the heads of requests for
/// later ones: with copies, the buffer goes, and is wiped, with its connection.
fn own_headers(request: &mut ServiceRequest) {
    let headers = request.headers_mut();
    let mut own = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers.iter() {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            own.append(name.clone(), value);
        }
    }
    *headers = own;
}

fn no_path(request: ServiceRequest) -> ServiceResponse {
    let detail = "A path is '/' and names of a-z, 0-9, '.', '_' and '-'; nothing in it is percent-encoded.";
    refused(request, &malformed(detail))
}

fn log<B>(response: &ServiceResponse<B>, request: RequestId, begun: Instant) {
    if !tracing::enabled!(target: "claviger_server::access", tracing::Level::INFO) {
        return;
    }
    tracing::info!(
        target: "claviger_server::access",
        %request,
        method = known(response.request().method()),
        route = route_of(response).as_deref().unwrap_or(NO_ROUTE),
        status = response.status().as_u16(),
        microseconds = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
    );
}

/// The route's template, never the path: what somebody typed there may be a secret.
fn route_of<B>(response: &ServiceResponse<B>) -> Option<String> {
    response.request().match_pattern()
}

/// What a request has that leads nowhere.
const NO_ROUTE: &str = "none";

/// A method of the API; others are whatever the sender made up.
fn known(method: &Method) -> &str {
    let ours = [Method::GET, Method::POST, Method::PATCH, Method::DELETE].contains(method);
    if ours { method.as_str() } else { "other" }
}
