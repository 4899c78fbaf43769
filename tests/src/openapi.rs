//! The operations of the API, as the running server describes them.

#![expect(clippy::expect_used, reason = "a test without the description cannot go on")]

use reqwest::Method;
use serde_json::Value;

use crate::raw::Raw;

/// The API's description.
pub struct Description(Value);

/// One operation.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its name.
    pub id: String,
    /// Its method.
    pub method: Method,
    /// Its path, with `{…}` where names and ids go.
    pub path: String,
    /// Whether it needs a bearer token.
    pub secured: bool,
    /// Whether it says that it always wants a fresh second factor.
    pub sensitive: bool,
    /// Whether its answer has no end: server-sent events.
    pub endless: bool,
    /// The names that its query may have.
    pub query: Vec<String>,
    /// The fields of its body, by every form that the body can have.
    pub fields: Vec<Field>,
}

/// A field of a body.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Whether it holds a secret.
    pub secret: bool,
}

impl Description {
    /// Asks the server for it.
    pub async fn of(address: &str) -> Self {
        Self(Raw::nobody(address).get("/openapi.json").await.success())
    }

    /// All operations.
    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.0.get("paths").and_then(Value::as_object).expect("paths");
        let all = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods of a path");
            methods.iter().map(|(method, operation)| self.operation(path, method, operation))
        });
        all.collect()
    }

    fn operation(&self, path: &str, method: &str, operation: &Value) -> Operation {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).expect("a text").to_owned();
        let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
        let in_query = parameters.filter(|one| one.get("in").and_then(Value::as_str) == Some("query"));
        let body = operation.pointer("/requestBody/content/application~1json/schema");
        Operation {
            id: text(operation.get("operationId")),
            method: method.to_uppercase().parse().expect("a method"),
            path: path.to_owned(),
            secured: operation.get("security").and_then(Value::as_array).is_some_and(|needs| !needs.is_empty()),
            sensitive: operation.get("x-fresh-factor").and_then(Value::as_bool).unwrap_or(false),
            endless: operation.pointer("/responses/200/content/text~1event-stream").is_some(),
            query: in_query.map(|one| text(one.get("name"))).collect(),
            fields: body.map(|schema| self.fields(schema)).unwrap_or_default(),
        }
    }

    fn fields(&self, schema: &Value) -> Vec<Field> {
        let schema = self.resolved(schema);
        let forms = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
        let mut fields: Vec<Field> = forms.flat_map(|form| self.fields(form)).collect();
        for (name, of) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let secret = self.resolved(of).get("format").and_then(Value::as_str) == Some("password");
            fields.push(Field { name: name.clone(), secret });
        }
        fields
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
        let at = reference.strip_prefix('#').expect("a reference within the description");
        self.resolved(self.0.pointer(at).expect("what the reference names"))
    }
}

impl Operation {
    /// The path with each `{name}` replaced.
    pub fn path_with(&self, replace: impl Fn(&str) -> String) -> String {
        let segment = |segment: &str| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => replace(name),
            None => segment.to_owned(),
        };
        self.path.split('/').map(segment).collect::<Vec<_>>().join("/")
    }
}
