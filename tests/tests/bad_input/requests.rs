//! Requests that cannot be read, or whose values cannot be accepted.

use claviger_api::ProblemType::{
    self, BodyTooLarge, IdempotencyMismatch, InvalidValue, MalformedRequest, MethodNotAllowed, NotFound,
    UnsupportedMediaType,
};
use claviger_api::wire::BODY_MAX;
use reqwest::Method;
use reqwest::header::{ALLOW, CONTENT_TYPE};
use serde_json::{Value, json};

use super::{House, is};

/// A name's grammar, as it is told.
const GRAMMAR: &str = "a name is 1 to 63 of a-z, 0-9";

/// A request of the technician's for the account, with one part of its text replaced.
fn check_out(replace: &str, by: &str) -> Vec<u8> {
    let right = r#"{"account":"acme/db01/admin","ttl_seconds":60,"reason":"x"}"#;
    assert!(right.contains(replace));
    right.replacen(replace, by, 1).into_bytes()
}

#[tokio::test]
async fn json_that_is_none() {
    let house = House::start().await;
    let before = house.everything().await;
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let table: Vec<(&str, Vec<u8>, ProblemType, &str)> = vec![
        ("nothing", b"".to_vec(), MalformedRequest, "ends too early"),
        ("cut short", check_out("}", ""), MalformedRequest, "ends too early"),
        ("no JSON", b"account=acme".to_vec(), MalformedRequest, "not JSON"),
        ("more than one", check_out("}", "} {}"), MalformedRequest, "not JSON"),
        ("a list", b"[]".to_vec(), MalformedRequest, "At line 1"),
        ("deep", deep(100_000).into_bytes(), MalformedRequest, "At line 1"),
        ("deep within", check_out("60", &deep(10_000)), MalformedRequest, "At line 1"),
        ("no UTF-8", check_out("60", "60").into_iter().chain([0xff]).collect(), MalformedRequest, "not JSON"),
        ("half a character", check_out("\"x\"", r#""\ud800""#), MalformedRequest, "At line 1"),
        (
            "a key twice",
            check_out("\"reason\"", r#""reason":"y","reason""#),
            MalformedRequest,
            "duplicate field `reason`",
        ),
        (
            "an unknown key",
            check_out("\"reason\"", r#""resaon":"y","reason""#),
            MalformedRequest,
            "unknown field; expected",
        ),
        ("a key missing", check_out(",\"reason\":\"x\"", ""), MalformedRequest, "missing field `reason`"),
        ("null", check_out("\"x\"", "null"), MalformedRequest, "expected a string"),
        ("too large", check_out("\"x\"", &format!("\"{}\"", "x".repeat(BODY_MAX))), BodyTooLarge, "at most 1 MiB"),
    ];
    for (what, body, problem, says) in table {
        eprintln!("{what}");
        is(&house.technician().post_bytes("/v1/checkouts", body).await, problem, says);
    }
    announced_or_not(&house).await;
    let form = house.technician().request(Method::POST, "/v1/checkouts").body("account=acme");
    let form = form.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    is(&house.technician().send(form).await.unwrap(), UnsupportedMediaType, "application/json");
    assert_eq!(house.everything().await, before, "nothing came of any of it");
}

/// A body that is too large is too large without a length too.
async fn announced_or_not(house: &House) {
    let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'['; 64 * 1024]));
    let pieces = futures::StreamExt::take(pieces, BODY_MAX / (64 * 1024) + 1);
    let streamed = house.technician().request(Method::POST, "/v1/checkouts").body(reqwest::Body::wrap_stream(pieces));
    let reply = house.technician().send(streamed.header(CONTENT_TYPE, "application/json")).await;
    // The server may hang up on a sender that goes on; the answer, if it is there, is the right one.
    if let Ok(reply) = reply {
        is(&reply, BodyTooLarge, "at most 1 MiB");
    }
    assert!(house.technician().get("/v1/me").await.status.is_success(), "others are served");
}

#[tokio::test]
async fn values_that_are_none() {
    let house = House::start().await;
    let before = house.everything().await;
    let far = u64::MAX.to_string();
    for (replace, by, problem, says) in [
        ("60", "0", InvalidValue, "ttl_seconds: "),
        ("60", "59", InvalidValue, "60"),
        ("60", "-60", MalformedRequest, "expected u64"),
        ("60", "1.5", MalformedRequest, "expected u64"),
        ("60", "\"60\"", MalformedRequest, "expected u64"),
        ("60", "28801", InvalidValue, "28800"),
        ("60", &far, InvalidValue, "ttl_seconds: "),
        ("60", "1e300", MalformedRequest, "expected u64"),
        ("60", "99999999999999999999999999", MalformedRequest, "expected u64"),
        ("\"x\"", "\"\"", InvalidValue, "a text of 1 to 500 characters"),
        ("\"x\"", "\"a\\nb\"", InvalidValue, "on one line"),
        ("\"x\"", &format!("{:?}", "x".repeat(501)), InvalidValue, "500"),
        ("\"x\"", "\"x\",\"ticket\":\" \"", InvalidValue, "ticket: "),
        ("\"x\"", "\"x\",\"claim\":\"never\"", MalformedRequest, "expected"),
        ("acme/db01/admin", "acme/db01", MalformedRequest, "customer/system/account"),
        ("acme/db01/admin", "acme/db01/Admin", MalformedRequest, GRAMMAR),
        ("acme/db01/admin", "acme/../admin", MalformedRequest, GRAMMAR),
        ("acme/db01/admin", "acme/db01/%61dmin", MalformedRequest, GRAMMAR),
    ] {
        eprintln!("{replace} → {by}");
        is(&house.technician().post_bytes("/v1/checkouts", check_out(replace, by)).await, problem, says);
    }
    let long = "a".repeat(64);
    for name in ["", "ACME", "a b", "a/b", "ä", ".", "-a", "a\u{0}", "a\u{202e}b", &long] {
        let body = json!({ "slug": name, "display_name": "x" });
        let reply = house.administrator().ask(Method::POST, "/v1/customers", Some(&body)).await;
        is(&reply, MalformedRequest, GRAMMAR);
    }
    for (secret, says) in [("", "not empty"), (" ", "not empty"), ("a\u{0}b", "NUL"), (&"x".repeat(8193), "8192")] {
        let body = json!({ "name": "new", "secret": secret });
        let reply =
            house.administrator().ask(Method::POST, "/v1/customers/acme/systems/db01/accounts", Some(&body)).await;
        is(&reply, MalformedRequest, says);
    }
    assert_eq!(house.everything().await, before, "nothing came of any of it");
}

#[tokio::test]
async fn addresses_queries_and_keys_that_are_none() {
    let house = House::start().await;
    let (administrator, technician) = (house.administrator(), house.technician());
    for (path, problem, says) in [
        ("/v1/nothing", NotFound, "Check the name"),
        ("/v1/customers/ACME", MalformedRequest, "a-z"),
        ("/v1/customers/acme%2Fdb01", MalformedRequest, "percent-encoded"),
        ("/v1//customers", MalformedRequest, "A path is"),
        ("/v1/checkouts/co_1", NotFound, ""),
        ("/v1/checkouts/00000000-0000-0000-0000-000000000000", NotFound, ""),
        ("/v1/customers?limit=0", InvalidValue, "limit"),
        ("/v1/customers?limit=1001", InvalidValue, "1000"),
        ("/v1/customers?limit=x", MalformedRequest, "In the query"),
        ("/v1/customers?cursor=x", InvalidValue, "cursor"),
        ("/v1/customers?colour=red", MalformedRequest, "unknown field; expected"),
        ("/v1/customers?limit=1&limit=2", MalformedRequest, "duplicate field"),
        ("/v1/me?x=1", MalformedRequest, "no query parameters"),
        ("/v1/checkouts?customer=ACME", InvalidValue, GRAMMAR),
        ("/v1/audit/events?customer=acme&since=yesterday", MalformedRequest, "In the query"),
    ] {
        eprintln!("{path}");
        is(&administrator.get(path).await, problem, says);
    }
    let wrong = administrator.ask(Method::DELETE, "/v1/customers", None).await;
    is(&wrong, MethodNotAllowed, "Allow");
    assert!(wrong.headers.get(ALLOW).unwrap().to_str().unwrap().contains("POST"));

    let body: Value = serde_json::from_slice(&check_out("60", "60")).unwrap();
    for key in ["", " ", "a b", &"k".repeat(129)] {
        is(&technician.post_once("/v1/checkouts", key, Some(&body)).await.unwrap(), InvalidValue, "Idempotency-Key");
    }
    let first = technician.post_once("/v1/checkouts", "one", Some(&body)).await.unwrap().success();
    let again = technician.post_once("/v1/checkouts", "one", Some(&body)).await.unwrap().success();
    assert_eq!(again["id"], first["id"], "the same key and request are the same checkout");
    let other: Value = serde_json::from_slice(&check_out("60", "61")).unwrap();
    is(&technician.post_once("/v1/checkouts", "one", Some(&other)).await.unwrap(), IdempotencyMismatch, "new key");
    let all = administrator.get("/v1/checkouts?customer=acme").await.success();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}

/// All rows of an import are checked before any is written, and each wrong one is named by its line.
#[tokio::test]
async fn an_import_is_whole_or_not_at_all() {
    let house = House::start().await;
    let before = house.everything().await;
    let row = |line: u32, system: &str, account: &str| json!({ "line": line, "system": system, "account": account, "secret": "right" });
    let rows = [row(2, "db01", "new"), row(3, "db02", "new"), row(4, "db01", "admin"), row(5, "db01", "new")];
    let import = |rows: &[Value]| json!({ "rows": rows });
    let reply = house.administrator().ask(Method::POST, "/v1/customers/acme/imports", Some(&import(&rows))).await;
    is(&reply, InvalidValue, "line 3");
    let lines: Vec<String> = reply.problem().errors.into_iter().map(|error| error.at).collect();
    assert_eq!(lines, ["line 3", "line 4", "line 5"]);
    let none = house.administrator().ask(Method::POST, "/v1/customers/acme/imports", Some(&import(&[]))).await;
    is(&none, InvalidValue, "1 to 5000 rows");
    assert_eq!(house.everything().await, before);
    let right = house.administrator().ask(Method::POST, "/v1/customers/acme/imports", Some(&import(&rows[..1]))).await;
    assert_eq!(right.success()["accounts"], 1);
}
