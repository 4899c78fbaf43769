//! What a caller may not know of is answered like what does not exist.

use super::*;

/// The answer without what is new in every answer.
fn bytes(reply: &Reply) -> (StatusCode, Value, Vec<String>) {
    let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
    body.as_object_mut().unwrap().remove("instance");
    (reply.status, body, reply.headers.keys().map(ToString::to_string).collect())
}

#[actix_web::test]
async fn anvil_cross_customer_a_hidden_thing_is_answered_like_one_that_is_not_there() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let admin = access(&tokens);
    let stranger = rig.stranger(admin).await;
    let new = NewCustomer { slug: "acme".parse().unwrap(), display_name: "Acme".to_owned() };
    let _: Value = rig.post("/v1/customers", admin, &new).await.json(201);
    let system = json!({ "name": "db", "spec": { "kind": "postgresql", "host": "192.0.2.7" } });
    let _: Value = rig.post("/v1/customers/acme/systems", admin, system).await.json(201);
    let account = json!({ "name": "root", "secret": "hunter22" });
    let _: Value = rig.post("/v1/customers/acme/systems/db/accounts", admin, account).await.json(201);

    let mut seen = 0;
    for row in table().iter().filter(|row| row.description.path.contains("{customer}")) {
        let hidden =
            row.description.path.replace("{customer}", "acme").replace("{system}", "db").replace("{account}", "root");
        let hidden = example(&hidden);
        let ask = |path: String| {
            let request = TestRequest::default().method(row.description.method.clone()).uri(&path);
            let request = request.insert_header(("Authorization", format!("Bearer {stranger}")));
            // The permission is decided before the body is read: whether it would fit is no answer either.
            rig.send(if row.description.reads().body { request.set_json(json!({})) } else { request })
        };
        let (hidden, absent) = (ask(hidden).await, ask(example(row.description.path)).await);
        hidden.is(ProblemType::NotFound);
        assert_eq!(bytes(&hidden), bytes(&absent), "{} {}", row.description.method, row.description.path);
        seen += 1;
    }
    assert!(seen >= 15, "{seen}");
    for query in [
        "/v1/checkouts?customer=",
        "/v1/rotations?customer=",
        "/v1/reviews?customer=",
        "/v1/break-glass?customer=",
        "/v1/audit/events?customer=",
        "/v1/audit/checkpoint?customer=",
        "/v1/audit/proof?index=0&customer=",
        "/v1/audit/export?customer=",
    ] {
        let (hidden, absent) =
            (rig.get(&format!("{query}acme"), &stranger).await, rig.get(&format!("{query}none"), &stranger).await);
        hidden.is(ProblemType::NotFound);
        assert_eq!(bytes(&hidden), bytes(&absent), "{query}");
    }
    for body in ["acme/db/root", "none/db/root"] {
        rig.post("/v1/checkouts", &stranger, json!({ "account": body, "reason": "x" })).await.is(ProblemType::NotFound);
        rig.post("/v1/rotations", &stranger, json!({ "account": body })).await.is(ProblemType::NotFound);
        let glass = json!({ "scope": body, "reason": "x" });
        rig.post("/v1/break-glass", &stranger, glass).await.is(ProblemType::NotFound);
    }
}

#[actix_web::test]
async fn an_id_of_no_kind_is_an_id_of_nothing() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    for path in ["/v1/checkouts/", "/v1/rotations/", "/v1/break-glass/", "/v1/grants/"] {
        let prefix = match path {
            "/v1/checkouts/" => "co",
            "/v1/rotations/" => "ro",
            "/v1/break-glass/" => "bg",
            _ => "gr",
        };
        let unknown = rig.get(&format!("{path}{prefix}_0197a3c2e1f07b1a8c3d4e5f60718293"), access(&tokens)).await;
        unknown.is(ProblemType::NotFound);
        for odd in ["x", "cu_0197a3c2e1f07b1a8c3d4e5f60718293", "0197a3c2-e1f0-7b1a-8c3d-4e5f60718293"] {
            let reply = rig.get(&format!("{path}{odd}"), access(&tokens)).await;
            assert_eq!(bytes(&reply), bytes(&unknown), "{path}{odd}");
        }
    }
}

#[actix_web::test]
async fn what_the_operator_reads_is_not_in_the_answer() {
    let rig = rig().await;
    rig.opened().await;
    let error = claviger_service::Error::internal("disk 7 is on fire");
    let id = claviger_api::RequestId::from_uuid(uuid::Uuid::from_u128(7));
    let response = crate::http::refusal::refuse(&error, id);
    let body = to_bytes(response.into_body()).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(!text.contains("fire"), "{text}");
    assert!(text.contains("rq_00000000000000000000000000000007"), "{text}");
}

#[test]
fn every_problem_of_the_table_has_its_status() {
    for row in claviger_api::problem::TABLE {
        let error = claviger_service::Error::new(row.problem, "");
        let response = crate::http::refusal::refuse(&error, claviger_api::RequestId::from_uuid(uuid::Uuid::nil()));
        assert_eq!(response.status().as_u16(), row.status, "{}", row.code);
        assert_eq!(response.headers().get("content-type").unwrap(), PROBLEM_JSON);
    }
}
