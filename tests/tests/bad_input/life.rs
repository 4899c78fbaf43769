//! What is right in form, and comes at the wrong time or from the wrong person.

use claviger_api::ProblemType::{
    AccountHeld, CheckoutEnded, Forbidden, InUse, InvalidCredentials, InvalidValue, NameTaken, NotAuthenticated,
    NotFound, NothingStored, SessionEnded,
};
use claviger_api::wire::Role;
use claviger_tests::raw::Raw;
use reqwest::Method;
use serde_json::{Value, json};

use super::{House, is};

#[tokio::test]
async fn a_checkout_at_the_wrong_time() {
    let house = House::start().await;
    let tina = house.technician();
    let zoe =
        house.vault.people.administrator.adds_user(house.vault.address(), "zoe", Some((Role::Technician, "acme")));
    let zoe = Raw::with_token(house.vault.address(), zoe.await.token());
    let body = json!({ "account": house.account, "ttl_seconds": 600, "reason": "x" });

    let held = tina.ask(Method::POST, "/v1/checkouts", Some(&body)).await.success();
    let at = format!("/v1/checkouts/{}", held["id"].as_str().unwrap());
    let verb = |verb: &str| format!("{at}/{verb}");
    is(&zoe.ask(Method::POST, "/v1/checkouts", Some(&body)).await, AccountHeld, "tina holds it until");
    is(&tina.ask(Method::POST, "/v1/checkouts", Some(&body)).await, AccountHeld, "Wait for its end");
    // Zoe may know of it; its secret and its end are the holder's.
    for action in ["reveal", "checkin"] {
        is(&zoe.ask(Method::POST, &verb(action), None).await, Forbidden, "grant");
    }
    let longer = json!({ "ttl_seconds": 700 });
    is(&zoe.ask(Method::POST, &verb("extend"), Some(&longer)).await, Forbidden, "grant");
    is(&tina.ask(Method::POST, &verb("extend"), Some(&json!({ "ttl_seconds": 28_801 }))).await, InvalidValue, "28800");
    let reason = json!({ "reason": "x" });
    is(&tina.ask(Method::POST, &verb("take-over"), Some(&reason)).await, InUse, "your own");
    is(&tina.ask(Method::POST, &verb("revoke"), Some(&reason)).await, Forbidden, "grant");
    is(&house.administrator().ask(Method::POST, &verb("reveal"), None).await, Forbidden, "grant");
    is(&house.administrator().ask(Method::DELETE, &of(&house), None).await, InUse, "end that first");
    let rotation = json!({ "account": house.account });
    is(&tina.ask(Method::POST, "/v1/rotations", Some(&rotation)).await, InUse, "checked out");

    let secret = tina.ask(Method::POST, &verb("reveal"), None).await.success();
    let secret = secret["secret"].as_str().unwrap();
    assert!(house.postgres.can_login("admin", secret).await, "none of it changed anything");
    tina.ask(Method::POST, &verb("checkin"), None).await.success();
    for action in ["checkin", "reveal"] {
        is(&tina.ask(Method::POST, &verb(action), None).await, CheckoutEnded, "Check the account out again");
    }
    is(&tina.ask(Method::POST, &verb("extend"), Some(&longer)).await, CheckoutEnded, "Check the account out again");
    is(&zoe.ask(Method::POST, &verb("take-over"), Some(&reason)).await, CheckoutEnded, "Check the account out again");
    let shown = tina.get(&at).await.success();
    assert_eq!((&shown["state"], &shown["end_cause"]), (&json!("ended"), &json!("checked_in")), "it ended once");
}

#[tokio::test]
async fn things_that_are_taken_in_use_or_not_there() {
    let house = House::start().await;
    let administrator = house.administrator();
    let post = async |path: &str, body: Value| administrator.ask(Method::POST, path, Some(&body)).await;
    is(&post("/v1/customers", json!({ "slug": "acme", "display_name": "x" })).await, NameTaken, "another name");
    is(&administrator.ask(Method::DELETE, "/v1/customers/acme", None).await, InUse, "remove them first");
    is(&administrator.ask(Method::DELETE, "/v1/customers/acme/systems/db01", None).await, InUse, "remove them first");
    let accounts = "/v1/customers/acme/systems/db01/accounts";
    is(&post(accounts, json!({ "name": "admin" })).await, NameTaken, "another name");
    post(accounts, json!({ "name": "empty" })).await.success();
    let empty = json!({ "account": "acme/db01/empty", "reason": "x" });
    is(&house.technician().ask(Method::POST, "/v1/checkouts", Some(&empty)).await, NothingStored, "Import");
    let empty = json!({ "account": "acme/db01/empty" });
    is(&house.technician().ask(Method::POST, "/v1/rotations", Some(&empty)).await, NothingStored, "Import");
    for nowhere in ["nobody/db01/admin", "acme/db02/admin", "acme/db01/nobody"] {
        let body = json!({ "account": nowhere, "reason": "x" });
        is(&house.technician().ask(Method::POST, "/v1/checkouts", Some(&body)).await, NotFound, "Check the name");
    }
    let oneself =
        json!({ "principal": "ada", "kind": "may_use", "role": "technician", "scope": "*", "ttl_seconds": 60 });
    is(&post("/v1/grants", oneself).await, Forbidden, "grant");
    for ttl in [0, 59, 34_560_001] {
        let grant =
            json!({ "principal": "tina", "kind": "may_use", "role": "auditor", "scope": "*", "ttl_seconds": ttl });
        is(&post("/v1/grants", grant).await, InvalidValue, "ttl_seconds");
    }
}

#[tokio::test]
async fn credentials_that_are_none() {
    let house = House::start().await;
    let nobody = Raw::nobody(house.vault.address());
    is(&nobody.get("/v1/me").await, NotAuthenticated, "Log in");
    for token in ["x", "", "Bearer", "eyJhbGciOiJub25lIn0.e30.", "cvs_0000"] {
        let reply = Raw::with_token(house.vault.address(), token).get("/v1/me").await;
        let refused = [NotAuthenticated, SessionEnded].contains(&reply.problem_type());
        assert!(refused && reply.status.as_u16() == 401, "{token}: {}", reply.text());
    }
    let password = json!({ "method": "password", "name": "tina", "password": "wrong" });
    is(
        &nobody.ask(Method::POST, "/v1/auth/login", Some(&password)).await,
        InvalidCredentials,
        "Check name and password",
    );
    let token = json!({ "method": "token", "token": "cvs_wrong" });
    is(&nobody.ask(Method::POST, "/v1/auth/login", Some(&token)).await, InvalidCredentials, "");
    let code = json!({ "name": "tina", "enrolment": "cve_wrong", "password": "long enough, surely" });
    is(&nobody.ask(Method::POST, "/v1/auth/enrol", Some(&code)).await, InvalidCredentials, "");
    let refresh = json!({ "refresh_token": "cvr_wrong" });
    is(&nobody.ask(Method::POST, "/v1/auth/refresh", Some(&refresh)).await, SessionEnded, "Log in again");
    assert!(house.technician().get("/v1/me").await.status.is_success(), "tina works on");
}

fn of(house: &House) -> String {
    format!(
        "/v1/customers/{}/systems/{}/accounts/{}",
        house.account.customer, house.account.system, house.account.account
    )
}
