//! The route table, the document, and what a request meets on its way to a handler.

use super::*;

#[test]
fn every_route_is_documented_and_everything_documented_is_a_route() {
    let document = serde_json::to_value(document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut documented = BTreeSet::new();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            documented.insert((path.clone(), method.to_uppercase()));
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        }
    }
    let routes: BTreeSet<_> =
        table().iter().map(|row| (row.description.path.to_owned(), row.description.method.to_string())).collect();
    assert_eq!(routes, documented);
    assert_eq!(routes.len(), table().len(), "no route twice");
}

/// Each reference of the document leads somewhere.
#[test]
fn the_document_is_whole() {
    let document = serde_json::to_value(document()).unwrap();
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    references += 1;
                    assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(references > 100, "{references}");
}

/// The type of a handler's first argument makes it so; this looks whether it did.
#[test]
fn anvil_budget_default_every_route_wants_a_session_or_a_budget() {
    let open: Vec<&str> = table()
        .iter()
        .filter(|row| match row.description.entrance.unwrap() {
            Entrance::Bearer => false,
            Entrance::Charged(_) => true,
        })
        .map(|row| row.description.name)
        .collect();
    let known = [
        "logIn",
        "proveSecondFactor",
        "enrol",
        "refresh",
        "beginSignOn",
        "endSignOn",
        "logInBySignOn",
        "enrolBySignOn",
        "beginDeviceSignOn",
        "pollDeviceSignOn",
        "askPasskeyOfLogin",
        "showCeremony",
        "answerCeremony",
        "health",
        "sealStatus",
        "init",
        "unseal",
        "giveRekeyKey",
        "describe",
        "passkeyPage",
        "passkeyScript",
        "passkeyStyle",
    ];
    assert_eq!(open, known, "a new unauthenticated route is looked at by a person");
}

#[actix_web::test]
async fn anvil_budget_default_every_unauthenticated_route_answers_429_when_its_budget_is_spent() {
    let one = |name: String| {
        serde_json::from_value(json!({ name: { "each_source": { "per_second": 1, "burst": 1 },
        "all": { "per_second": 1, "burst": 1 } } }))
    };
    for row in table().iter().filter(|row| row.description.entrance != Some(Entrance::Bearer)) {
        let rates = match row.description.entrance {
            Some(Entrance::Charged(purpose)) => one(format!("{purpose:?}").to_lowercase()).unwrap(),
            Some(Entrance::Bearer) | None => continue,
        };
        let rig = rig_with(rates).await;
        let ask = || rig.send(TestRequest::default().method(row.description.method.clone()).uri(row.description.path));
        assert_ne!(ask().await.status, 429, "{}", row.description.path);
        let reply = ask().await;
        reply.is(ProblemType::TooManyRequests);
        assert!(reply.headers.contains_key("retry-after"));
    }
}

#[actix_web::test]
async fn whoever_is_logged_in_has_a_quota_and_so_has_each_customer() {
    const QUOTA: usize = 30;
    let plenty = json!({ "per_second": 1000, "burst": 1000 });
    let little = json!({ "per_second": 1, "burst": QUOTA });
    for (principals, customers, path, free) in
        [(&little, &plenty, "/v1/me", None), (&plenty, &little, "/v1/customers/acme", Some("/v1/customers/globex"))]
    {
        let session = json!({ "session": { "each_principal": principals, "each_customer": customers } });
        let rig = rig_with(serde_json::from_value(session).unwrap()).await;
        let tokens = rig.opened().await;
        let token = access(&tokens);
        for slug in ["acme", "globex"] {
            let new = json!({ "slug": slug, "display_name": slug });
            let _: Value = rig.post("/v1/customers", token, new).await.json(201);
        }
        let mut asked = 0;
        let refused = loop {
            let reply = rig.get(path, token).await;
            if reply.status == 429 {
                break reply;
            }
            assert_eq!(reply.status, 200);
            asked += 1;
            assert!(asked < 2 * QUOTA, "{path} is asked for without end");
        };
        assert!(asked > QUOTA / 2 && refused.headers.contains_key("retry-after"), "{asked}");
        let others = free.unwrap_or("/v1/sys/health");
        assert_eq!(rig.get(others, token).await.status, 200, "what others have is not spent");
        let login = LoginRequest::Password { name: "admin".parse().unwrap(), password: secret(PASSWORD) };
        assert_eq!(rig.post("/v1/auth/login", "", login).await.status, 200);
    }
}

#[actix_web::test]
async fn nobody_gets_past_a_door_without_a_session() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let forged = format!("{}x", access(&tokens));
    let credentials = [
        None,
        Some(String::new()),
        Some("Basic YTpi".to_owned()),
        Some("Bearer".to_owned()),
        Some("Bearer ".to_owned()),
        Some(access(&tokens).to_owned()),
        Some(format!("Bearer {forged}")),
    ];
    for row in table().iter().filter(|row| row.description.entrance == Some(Entrance::Bearer)) {
        for credential in &credentials {
            let mut request =
                TestRequest::default().method(row.description.method.clone()).uri(&example(row.description.path));
            if let Some(credential) = credential {
                request = request.insert_header(("Authorization", credential.as_str()));
            }
            rig.send(request).await.is(ProblemType::NotAuthenticated);
        }
        let twice = TestRequest::default().method(row.description.method.clone()).uri(&example(row.description.path));
        let twice = twice
            .append_header(("Authorization", format!("Bearer {}", access(&tokens))))
            .append_header(("Authorization", format!("Bearer {}", access(&tokens))));
        rig.send(twice).await.is(ProblemType::NotAuthenticated);
    }
}

/// The type of a handler's first argument makes it so; this looks whether it did.
#[actix_web::test]
async fn who_has_no_second_factor_gets_nowhere_but_to_one() {
    let rig = rig().await;
    let tokens = rig.opened_without_second_factor().await;
    let mut open = Vec::new();
    // Logging out comes last: it ends the session.
    let bearers = || table().into_iter().filter(|row| row.description.entrance == Some(Entrance::Bearer));
    let (last, first): (Vec<_>, Vec<_>) = bearers().partition(|row| row.description.name == "logOut");
    for row in first.into_iter().chain(last) {
        let request = TestRequest::default().method(row.description.method.clone());
        let request = request.uri(&example(row.description.path));
        let request = request.insert_header(("Authorization", format!("Bearer {}", access(&tokens))));
        let reply = rig.send(if row.description.reads().body { request.set_json(json!({})) } else { request }).await;
        if reply.status == 403 && reply.problem().1 == ProblemType::SecondFactorNeeded {
            assert!(reply.problem().2.contains("claviger mfa enrol"), "{}", reply.problem().2);
        } else {
            open.push(row.description.name);
        }
    }
    let known = ["stepUp", "me", "listFactors", "offerTotp", "confirmTotp", "offerPasskey", "confirmPasskey", "logOut"];
    assert_eq!(open, known, "what such a session may do is looked at by a person");
}

#[actix_web::test]
async fn other_methods_and_other_paths_are_told() {
    let rig = rig().await;
    let reply = rig.send(TestRequest::put().uri("/v1/customers/acme")).await;
    reply.is(ProblemType::MethodNotAllowed);
    assert_eq!(reply.headers.get(ALLOW).unwrap(), "GET, PATCH, DELETE");
    for path in ["/", "/v1", "/v1/customer", "/v1/customers/a/b", "/v2/customers", "/openapi"] {
        rig.send(TestRequest::get().uri(path)).await.is(ProblemType::NotFound);
    }
}

#[actix_web::test]
async fn anvil_path_forms_are_refused_before_routing() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    for path in [
        "/v1/customers/../me",
        "/v1/customers/%2e%2e/me",
        "/v1//me",
        "/v1/me/",
        "/v1/customers/a%2Fsystems",
        "/v1/customers/a%00",
        "/v1/customers/Acme",
        "/v1/nowhere/%2F",
        "/v1/me;x",
    ] {
        let reply = rig.get(path, access(&tokens)).await;
        reply.is(ProblemType::MalformedRequest);
    }
}

#[actix_web::test]
async fn what_an_endpoint_does_not_read_is_refused() {
    let rig = rig().await;
    let tokens = rig.opened().await;
    let token = access(&tokens);
    rig.get("/v1/me?customer=acme", token).await.is(ProblemType::MalformedRequest);
    rig.get("/v1/customers?limit=1&customer=acme", token).await.is(ProblemType::MalformedRequest);
    rig.get("/v1/customers?limit=1&limit=2", token).await.is(ProblemType::MalformedRequest);
    rig.get("/v1/customers?limit=0", token).await.is(ProblemType::InvalidValue);
    rig.get("/v1/customers?cursor=zz", token).await.is(ProblemType::InvalidValue);
    rig.get("/v1/checkouts?customer=Acme", token).await.is(ProblemType::InvalidValue);
    rig.get("/v1/checkouts", token).await.is(ProblemType::MalformedRequest);
    rig.post("/v1/auth/logout", token, json!({})).await.is(ProblemType::MalformedRequest);
    let canary = rig.get("/v1/rotations?customer=acme&unfinished=kanarienvogel", token).await.problem();
    assert!(!canary.2.contains("kanarienvogel"), "{}", canary.2);
}

#[actix_web::test]
async fn the_document_is_served() {
    let rig = rig().await;
    let served: Value = rig.get("/openapi.json", "").await.json(200);
    assert_eq!(served, serde_json::to_value(document()).unwrap());
}
