//! `/openapi.json`: the API's description (OpenAPI 3.1), made from the route table.

use std::collections::BTreeMap;

use actix_web::http::Method;
use bytes::Bytes;
use utoipa::openapi::path::{HttpMethod, PathItem, Paths};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, RefOr, Schema};

use super::answer::Text;
use super::call::Call;
use super::describe::{BEARER, Description};
use super::door::{Guest, Probe};
use super::endpoint::{Argument, Endpoint};
use super::table;

/// The endpoint.
pub fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::get("/openapi.json", "describe", "This description.", show)]
}

async fn show(_: Guest<Probe>, Document(text): Document) -> claviger_service::Result<Text> {
    Ok(Text(text))
}

/// The description, made once.
struct Document(Bytes);

impl Argument for Document {
    async fn take(call: &mut Call) -> claviger_service::Result<Self> {
        Ok(Self(call.site.document.clone()))
    }

    fn describe(_: &mut Description) {}
}

/// The API's description.
pub fn document() -> OpenApi {
    let mut paths = Paths::new();
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    for endpoint in table() {
        let (path, method) = (endpoint.description.path, http_method(&endpoint.description.method));
        let (operation, named) = endpoint.description.operation();
        schemas.extend(named.into_iter().map(|(name, schema)| (name, closed(schema))));
        paths.paths.entry(path.to_owned()).or_default().merge_operations(PathItem::new(method, operation));
    }
    let mut components = Components::new();
    components.schemas.extend(schemas);
    components.add_security_scheme(BEARER, bearer());
    OpenApiBuilder::new().info(info()).paths(paths).components(Some(components)).build()
}

/// Tagged enums of the contract refuse unknown fields, like its structs: utoipa says it of these only.
fn closed(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(mut one_of)) = schema else { return schema };
    for variant in &mut one_of.items {
        if let RefOr::T(Schema::Object(variant)) = variant {
            variant.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    RefOr::T(Schema::OneOf(one_of))
}

fn info() -> Info {
    let mut info = Info::new("Claviger", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "A privileged credential vault for managed service providers. Requests refuse unknown and duplicate fields; \
         errors are application/problem+json (RFC 9457) with a stable type; times are RFC 3339 UTC, durations whole \
         seconds. What a caller may not know of is answered like what does not exist."
            .to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    info
}

fn bearer() -> SecurityScheme {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The access token of POST /v1/auth/login."));
    SecurityScheme::Http(scheme.build())
}

fn http_method(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PATCH => HttpMethod::Patch,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}
