//! One place in a request names the customer.

use std::collections::BTreeSet;

use claviger_api::ProblemType;
use claviger_api::wire::Role;
use claviger_tests::openapi::{Description, Operation};
use claviger_tests::raw::Raw;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{House, is};

/// A place in which an operation can name a customer, or a thing by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Path,
    Query,
    Body,
}

/// Where this operation does.
fn places(operation: &Operation) -> BTreeSet<Place> {
    let in_body = ["customer", "account", "scope"];
    [
        operation.path.contains("{customer}").then_some(Place::Path),
        operation.query.iter().any(|name| name == "customer").then_some(Place::Query),
        operation.fields.iter().any(|field| in_body.contains(&field.name.as_str())).then_some(Place::Body),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Refused to whoever has no open break-glass, before its body is read.
const UNDER_GLASS: &str = "revealUnresolved";

#[tokio::test]
async fn anvil_one_source_a_second_customer_in_a_request_is_refused() {
    let house = House::start().await;
    let (administrator, own) = (house.administrator(), customers_own(&house).await);
    let before = house.everything().await;
    let (mut in_query, mut in_body) = (0, 0);
    for operation in Description::of(house.vault.address()).await.operations() {
        let places = places(&operation);
        assert!(places.len() <= 1, "{} has {places:?}", operation.id);
        if !operation.secured {
            continue;
        }
        let path = operation.path_with(|part| about_acme(part).to_owned());
        // Beside the one there is, or where none is wanted; and the same one twice.
        let twice = if places.contains(&Place::Query) { "customer=acme&customer=umbra" } else { "customer=umbra" };
        let reply = administrator.ask(operation.method.clone(), &format!("{path}?{twice}"), None).await;
        assert_eq!(reply.problem_type(), ProblemType::MalformedRequest, "{} {}", operation.id, reply.text());
        in_query += 1;
        if places.contains(&Place::Path) && !operation.fields.is_empty() && operation.id != UNDER_GLASS {
            let body = json!({ "customer": "umbra" });
            let mut reply = administrator.ask(operation.method.clone(), &path, Some(&body)).await;
            if reply.status == StatusCode::FORBIDDEN {
                reply = own.ask(operation.method.clone(), &path, Some(&body)).await;
            }
            is(&reply, ProblemType::MalformedRequest, "unknown field");
            in_body += 1;
        }
    }
    assert!(in_query > 60 && in_body > 5, "{in_query} with a query, {in_body} with a body");
    in_one_body(&administrator).await;
    assert_eq!(house.everything().await, before, "nothing came of any of it");
}

/// Whoever sets what the customer wants of everybody: no administrator may.
async fn customers_own(house: &House) -> Raw {
    let (address, role) = (house.vault.address(), Some((Role::CustomerAdministrator, "acme")));
    let own = house.vault.people.administrator.adds_user_of(address, "own", Some("acme"), role).await;
    Raw::with_token(address, own.token())
}

/// A body that may name an account or a whole customer names one of them.
async fn in_one_body(administrator: &Raw) {
    let both = json!({ "account": "acme/db01/admin", "customer": "umbra" });
    let reply = administrator.ask(Method::POST, "/v1/rotations", Some(&both)).await;
    is(&reply, ProblemType::InvalidValue, "customer");
    let twice = br#"{"customer":"acme","customer":"umbra"}"#;
    is(
        &administrator.post_bytes("/v1/rotations", twice.to_vec()).await,
        ProblemType::MalformedRequest,
        "duplicate field",
    );
}

/// What a path can name: things of acme's where there are some, else what is well-formed and nothing.
fn about_acme(part: &str) -> &'static str {
    match part {
        "customer" | "keyed" => "acme",
        "system" => "db01",
        "account" => "admin",
        "name" | "issuer" | "provider" => "nobody",
        "checkout" => "co_0197a3c2e1f07b1a8c3d4e5f60718293",
        "rotation" => "ro_0197a3c2e1f07b1a8c3d4e5f60718293",
        "grant" => "gr_0197a3c2e1f07b1a8c3d4e5f60718293",
        "glass" => "bg_0197a3c2e1f07b1a8c3d4e5f60718293",
        "review" => "rv_0197a3c2e1f07b1a8c3d4e5f60718293",
        "emergency" => "em_0197a3c2e1f07b1a8c3d4e5f60718293",
        "backup" => "bk_0197a3c2e1f07b1a8c3d4e5f60718293",
        "kit" => "ki_0197a3c2e1f07b1a8c3d4e5f60718293",
        "former" => "cu_0197a3c2e1f07b1a8c3d4e5f60718293",
        "factor" => "fa_0197a3c2e1f07b1a8c3d4e5f60718293",
        other => panic!("a part of a path that this test does not know: {other}"),
    }
}
