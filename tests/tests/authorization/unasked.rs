//! Whoever has no session changes nothing. What an open operation may leave behind is written down here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use claviger_api::ProblemType;
use claviger_store::{Row, RowId, StoreKey, Table};
use claviger_tests::raw::{Raw, Reply};
use serde_json::{Value, json};

use super::House;
use crate::operations::OPEN;

/// What a failed login leaves: how many there were, and that there was one.
const FAILED: &[Table] = &[Table::LoginCounters, Table::LogHeads, Table::LogLeaves, Table::LogTiles];

/// Each open operation as a stranger would try it: a query, a body, and the tables it may write.
fn tries() -> Vec<(&'static str, &'static str, Value, &'static [Table])> {
    let made_up = "A".repeat(43);
    let code = json!({ "code": "cvo_made-up", "verifier": made_up });
    let enrol = json!({ "name": "technician", "enrolment": "cve_made-up", "password": "not what anybody has chosen" });
    let begin = "?provider=nothing&challenge=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&port=4000\
                 &state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    vec![
        ("describe", "", Value::Null, &[]),
        // Whether the store takes a write is tried with a row that says nothing.
        ("health", "", Value::Null, &[Table::Meta]),
        ("sealStatus", "", Value::Null, &[]),
        ("passkeyPage", "", Value::Null, &[]),
        ("passkeyScript", "", Value::Null, &[]),
        ("passkeyStyle", "", Value::Null, &[]),
        ("init", "", json!({ "seal": "shamir", "shares": 1, "threshold": 1, "administrator": "eve" }), &[]),
        ("unseal", "", json!({ "key": "made up" }), &[]),
        ("giveRekeyKey", "", json!({ "rekey": "rk_0197a3c2e1f07b1a8c3d4e5f60718293", "key": "made up" }), &[]),
        ("logIn", "", json!({ "method": "password", "name": "technician", "password": "wrong" }), FAILED),
        ("proveSecondFactor", "", json!({ "challenge": "cvc_made-up", "second_factor": { "totp": "123456" } }), &[]),
        ("enrol", "", enrol.clone(), FAILED),
        ("refresh", "", json!({ "refresh_token": "cvr_made-up" }), &[]),
        ("askPasskeyOfLogin", "", json!({ "challenge": "cvc_made-up" }), &[]),
        ("showCeremony", "", json!({ "ceremony": "made-up" }), &[]),
        ("answerCeremony", "", json!({ "ceremony": "made-up", "credential": {} }), &[]),
        ("beginSignOn", begin, Value::Null, &[]),
        ("endSignOn", "?state=made-up&code=made-up", Value::Null, &[]),
        ("logInBySignOn", "", code.clone(), &[]),
        ("enrolBySignOn", "", merged(&enrol, &code), FAILED),
        ("beginDeviceSignOn", "", json!({ "provider": "nothing", "challenge": made_up }), &[]),
        ("pollDeviceSignOn", "", json!({ "device": "made-up" }), &[]),
    ]
}

fn merged(enrol: &Value, code: &Value) -> Value {
    let mut all = enrol.as_object().unwrap().clone();
    all.remove("password");
    all.extend(code.as_object().unwrap().clone());
    Value::Object(all)
}

#[tokio::test]
async fn anvil_unauth_writes_whoever_has_no_session_changes_nothing() {
    let house = House::start().await;
    house.rests().await;
    let nobody = Raw::nobody(house.address());
    let forged = Raw::with_token(house.address(), "made up");
    let tries = tries();
    let open: BTreeSet<&str> = tries.iter().map(|(id, ..)| *id).collect();
    assert_eq!(open, BTreeSet::from(OPEN), "each open operation is tried");
    let mut wrong = Vec::new();
    for operation in &house.operations {
        let before = rows(&house);
        let (may_write, replies) = if operation.secured {
            let replies =
                vec![house.ask(&nobody, operation, &house.ids).await, house.ask(&forged, operation, &house.ids).await];
            (&[][..], replies)
        } else {
            let (_, query, body, may_write) = tries.iter().find(|(id, ..)| *id == operation.id).unwrap();
            let path = format!("{}{query}", operation.path);
            let body = (!body.is_null()).then_some(body);
            (*may_write, vec![nobody.ask(operation.method.clone(), &path, body).await])
        };
        wrong.extend(replies.iter().filter_map(|reply| ill_formed(&operation.id, reply)));
        let written = changed(&before, &rows(&house));
        let may: BTreeSet<String> = may_write.iter().map(|table| format!("{table:?}")).collect();
        if !written.is_subset(&may) {
            wrong.push(format!("{} wrote {written:?}", operation.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A request that was refused for how it asks, not for what it asks.
fn ill_formed(id: &str, reply: &Reply) -> Option<String> {
    let asked_wrongly = reply.status.is_client_error()
        && matches!(reply.problem_type(), ProblemType::MalformedRequest | ProblemType::InvalidValue);
    asked_wrongly.then(|| format!("{id}: {}", reply.text()))
}

impl House {
    /// Waits until the rotation that was begun has ended, and with it all that the vault does by itself.
    async fn rests(&self) {
        let (administrator, id) = (self.vault.administrator(), self.ids.rotation.parse().unwrap());
        administrator.rotations().wait(id, Duration::from_secs(30), |_| ()).await.unwrap();
    }
}

fn rows(house: &House) -> BTreeMap<StoreKey, Row> {
    house.vault.store.snapshot().rows().map(|(key, row)| (key.clone(), row.clone())).collect()
}

/// The tables in which anything differs.
fn changed(before: &BTreeMap<StoreKey, Row>, after: &BTreeMap<StoreKey, Row>) -> BTreeSet<String> {
    let keys: BTreeSet<&StoreKey> = before.keys().chain(after.keys()).collect();
    let differs = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    differs.map(|key| format!("{:?}", RowId::from_key(key).unwrap().table())).collect()
}
