//! Bodies on their way in: form, size, type, and the key of a repeated request.

use super::*;

fn posting(path: &str, token: &str, body: impl Into<Bytes>) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(("Authorization", format!("Bearer {token}")))
        .insert_header(("Content-Type", "application/json"))
        .set_payload(body)
}

#[actix_web::test]
async fn a_body_must_be_json_of_at_most_one_mebibyte() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let token = access(&tokens);
    let body = r#"{"slug":"acme","display_name":"Acme"}"#;
    let untyped = TestRequest::post().uri("/v1/customers").insert_header(("Authorization", format!("Bearer {token}")));
    rig.send(untyped.set_payload(body)).await.is(ProblemType::UnsupportedMediaType);
    let form = posting("/v1/customers", token, "slug=acme")
        .insert_header(("Content-Type", "application/x-www-form-urlencoded"));
    rig.send(form).await.is(ProblemType::UnsupportedMediaType);

    let room = claviger_api::wire::BODY_MAX - body.len();
    let most = format!("{body}{}", " ".repeat(room));
    let reply = rig.send(posting("/v1/customers", token, most.clone())).await;
    assert_eq!(reply.status, 201, "the most fits");
    rig.send(posting("/v1/customers", token, format!("{most} "))).await.is(ProblemType::BodyTooLarge);
    let announced = posting("/v1/customers", token, body).insert_header(("Content-Length", "1048577"));
    rig.send(announced).await.is(ProblemType::BodyTooLarge);
    rig.send(posting("/v1/customers", token, "")).await.is(ProblemType::MalformedRequest);
    rig.send(posting("/v1/customers", token, &b"{\"slug\":\"\xff\"}"[..])).await.is(ProblemType::MalformedRequest);
}

#[actix_web::test]
async fn anvil_json_bombs_cost_their_sender_a_400() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let deep = "[".repeat(1_000_000);
    let wide = format!(r#"{{"rows":[{}0]}}"#, "{},".repeat(300_000));
    let twice = r#"{"method":"token","method":"password","token":"x"}"#.to_owned();
    for path in ["/v1/auth/login", "/v1/sys/unseal", "/v1/sys/init", "/v1/customers"] {
        for bomb in [&deep, &wide, &twice] {
            rig.send(posting(path, access(&tokens), bomb.clone())).await.is(ProblemType::MalformedRequest);
        }
    }
}

#[actix_web::test]
async fn a_repeated_request_is_done_once_and_its_key_is_for_no_other() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let keyed = |path: &str, body: &'static str| {
        posting(path, access(&tokens), body).insert_header(("Idempotency-Key", "key-1"))
    };
    let body = r#"{"slug":"acme","display_name":"Acme"}"#;
    let first: Value = rig.send(keyed("/v1/customers", body)).await.json(201);
    let again: Value = rig.send(keyed("/v1/customers", body)).await.json(201);
    assert_eq!(first, again);
    let other = r#"{"slug":"acme","display_name":"Other"}"#;
    rig.send(keyed("/v1/customers", other)).await.is(ProblemType::IdempotencyMismatch);

    let user = r#"{"name":"anna"}"#;
    let once = |key: &'static str| posting("/v1/users", access(&tokens), user).insert_header(("Idempotency-Key", key));
    let made: Value = rig.send(once("key-2")).await.json(201);
    assert!(made["enrolment"].as_str().unwrap().starts_with("cve_"));
    rig.send(once("key-2")).await.is(ProblemType::AlreadyIssued);
    for bad in ["", " ", "a b", "ä"] {
        let reply = rig.send(once(bad)).await;
        assert!([400, 422].contains(&reply.status.as_u16()), "{bad:?}");
    }
    rig.send(once("key-3").append_header(("Idempotency-Key", "key-4"))).await.is(ProblemType::MalformedRequest);
}
