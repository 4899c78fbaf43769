//! What an endpoint is, gathered from its handler's types, and written into `/openapi.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use actix_web::http::Method;
use claviger_api::{
    BreakGlassId, CheckoutId, FactorId, GrantId, KitId, Part, Problem, ProblemType, ReviewId, RotationId,
};
use claviger_core::policy::{Action, Weight};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type,
};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::budget::Purpose;
use super::call::Reads;
use super::refusal::PROBLEM_JSON;

/// The name of the security scheme.
pub const BEARER: &str = "bearer";

/// How an endpoint lets requests in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// With an access token.
    Bearer,
    /// Anybody with budget left.
    Charged(Purpose),
}

/// What an endpoint is.
pub struct Description {
    /// `GET`, `POST` and so on.
    pub method: Method,
    /// The path's template, e.g. `/v1/customers/{customer}`.
    pub path: &'static str,
    /// The operation's id.
    pub name: &'static str,
    /// How it lets requests in.
    pub entrance: Option<Entrance>,
    summary: &'static str,
    permission: Option<Action>,
    parameters: Vec<Parameter>,
    body: Option<RequestBody>,
    reads: Reads,
    answer: Option<(u16, Response)>,
    problems: Vec<ProblemType>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Description {
    /// An endpoint of which only the table's own words are known yet.
    pub fn new(method: Method, path: &'static str, name: &'static str, summary: &'static str) -> Self {
        let mut description = Self {
            method,
            path,
            name,
            entrance: None,
            summary,
            permission: None,
            parameters: path_parameters(path),
            body: None,
            reads: Reads::default(),
            answer: None,
            problems: Vec::new(),
            schemas: Vec::new(),
        };
        description.schema::<Problem>();
        description
    }

    /// It wants an access token.
    pub fn needs_bearer(&mut self) {
        self.entrance = Some(Entrance::Bearer);
    }

    /// Anybody may call it, and is charged.
    pub fn is_charged_to(&mut self, purpose: Purpose) {
        self.entrance = Some(Entrance::Charged(purpose));
    }

    /// It wants this permission, and admits that the thing exists when it refuses.
    pub fn needs(&mut self, action: Action) {
        self.permission = Some(action);
        self.fails(&[ProblemType::Forbidden]);
        if !action.is_free() {
            self.fails(&[ProblemType::FreshFactorNeeded, ProblemType::OutOfHours, ProblemType::WrongNetwork]);
        }
    }

    /// What the caller may not know of does not exist; of what is locked nothing is known.
    pub fn hides(&mut self) {
        self.fails(&[ProblemType::NotFound, ProblemType::CustomerLocked]);
    }

    /// It can answer with these problems.
    pub fn fails(&mut self, problems: &[ProblemType]) {
        for problem in problems {
            if !self.problems.contains(problem) {
                self.problems.push(*problem);
            }
        }
    }

    /// It reads a JSON body.
    pub fn takes_body(&mut self, schema: RefOr<Schema>) {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let body = RequestBodyBuilder::new().required(Some(Required::True)).content("application/json", content);
        self.body = Some(body.build());
        self.reads.body = true;
    }

    /// It reads query parameters.
    pub fn takes_query<T: IntoParams>(&mut self) {
        self.parameters.extend(T::into_params(|| Some(ParameterIn::Query)).into_iter().map(never_null));
        self.reads.query = true;
    }

    /// It takes an `Idempotency-Key`.
    pub fn takes_key(&mut self) {
        let schema = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[!-~]+$"))
            .min_length(Some(1))
            .max_length(Some(claviger_service::idempotency::KEY_MAX));
        let parameter = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The same key for each try of one request, e.g. a UUID: it is then done once."))
            .schema(Some(Schema::from(schema.build())));
        self.parameters.push(parameter.build());
    }

    /// It takes a `Last-Event-ID`.
    pub fn takes_last_event_id(&mut self) {
        let schema = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
        let parameter = ParameterBuilder::new()
            .name("Last-Event-ID")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("The id of the event that was seen last: what came after it is sent first."))
            .schema(Some(Schema::from(schema.build())));
        self.parameters.push(parameter.build());
    }

    /// It answers this when it has done what was asked.
    pub fn answers(&mut self, status: u16, response: Response) {
        self.answer = Some((status, response));
    }

    /// A reference to a type's schema, which comes along.
    pub fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name();
        self.schemas.push((name.clone().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        RefOr::Ref(Ref::from_schema_name::<Cow<'static, str>>(name))
    }

    /// The schema of a page: `Page` is no name for it, since there is one of each kind of row.
    pub fn inline_schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        T::schema()
    }

    /// What the endpoint reads besides its path.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// Whether it can answer with this problem.
    #[cfg(test)]
    pub fn can_fail_with(&self, problem: ProblemType) -> bool {
        self.problems.contains(&problem)
    }

    /// Whether this is its status when it has done what was asked.
    #[cfg(test)]
    pub fn succeeds_with(&self, status: u16) -> bool {
        self.answer.as_ref().is_some_and(|(own, _)| *own == status)
    }

    /// The operation, and the schemas that it refers to.
    pub fn operation(self) -> (Operation, Vec<(String, RefOr<Schema>)>) {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.name))
            .summary(Some(self.summary))
            .tag(self.path.split('/').nth(2).unwrap_or("description"))
            .parameters(Some(self.parameters))
            .request_body(self.body);
        if self.entrance == Some(Entrance::Bearer) {
            operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
        }
        if let Some(action) = self.permission {
            let mut permission = ExtensionsBuilder::new().add("x-permission", action.as_str());
            if action.weight() == Weight::Sensitive {
                permission = permission.add("x-fresh-factor", true);
            }
            operation = operation.extensions(Some(permission.build()));
        }
        if let Some((status, response)) = self.answer {
            operation = operation.response(status.to_string(), response);
        }
        for (status, response) in refusals(&self.problems) {
            operation = operation.response(status.to_string(), response);
        }
        (operation.build(), self.schemas)
    }
}

/// A query has no null: what is optional is left out.
fn never_null(mut parameter: Parameter) -> Parameter {
    match &mut parameter.schema {
        Some(RefOr::T(Schema::Object(object))) => {
            if let SchemaType::Array(types) = &object.schema_type {
                let only = types.iter().find(|kind| **kind != Type::Null).cloned();
                object.schema_type = only.map_or(SchemaType::AnyValue, SchemaType::Type);
            }
        }
        Some(RefOr::T(Schema::OneOf(one_of))) => parameter.schema = one_of.items.first().cloned(),
        Some(_) | None => {}
    }
    parameter
}

/// One response a status, which names the problems it stands for.
fn refusals(problems: &[ProblemType]) -> BTreeMap<u16, Response> {
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for row in problems.iter().map(|problem| problem.row()) {
        by_status.entry(row.status).or_default().push(format!("`{}`: {}.", row.code, row.title));
    }
    by_status.into_iter().map(|(status, lines)| (status, refusal(status, &lines.join(" ")))).collect()
}

fn refusal(status: u16, description: &str) -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let retry_after = HeaderBuilder::new().schema(Some(Schema::from(seconds.build()))).build();
    match status {
        429 => response.header("Retry-After", retry_after).build(),
        _ => response.build(),
    }
}

/// The parameters in a path's template; the names are the same everywhere.
fn path_parameters(path: &str) -> Vec<Parameter> {
    let names = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    names.map(path_parameter).collect()
}

fn path_parameter(name: &str) -> Parameter {
    let (schema, what) = match name {
        "customer" => (Part::schema(), "The customer's slug."),
        "system" => (Part::schema(), "The system's name."),
        "account" => (Part::schema(), "The account's name in the vault."),
        "checkout" => (CheckoutId::schema(), "The checkout's id."),
        "rotation" => (RotationId::schema(), "The rotation's id."),
        "factor" => (FactorId::schema(), "The second factor's id."),
        "grant" => (GrantId::schema(), "The grant's id."),
        "glass" => (BreakGlassId::schema(), "The break-glass's id."),
        "kit" => (KitId::schema(), "The kit's id."),
        "review" => (ReviewId::schema(), "The review's id."),
        "issuer" => (Part::schema(), "The issuer's name in the vault."),
        "provider" => (Part::schema(), "The identity provider's name in the vault."),
        _ => (Part::schema(), "The user's or service account's name."),
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(what))
        .schema(Some(schema))
        .build()
}
