//! Elastic Common Schema 8.11: what the schema has a name for, and every field of the entry under `claviger`.

use std::net::IpAddr;

use claviger_api::Part;
use claviger_api::audit::record::FieldName;
use serde_json::{Value, json};

use super::meaning::{Act, Outcome, Weight, of};
use super::plain;
use super::told::Told;

/// The version of the schema.
pub const VERSION: &str = "8.11.0";

/// `event.category` and `event.type`, of the words that the schema allows together.
const fn words(act: Act) -> (&'static str, &'static [&'static str]) {
    match act {
        Act::LogOn => ("authentication", &["start"]),
        Act::LogOff => ("authentication", &["end"]),
        Act::Prove => ("authentication", &["info"]),
        Act::AccountCreate => ("iam", &["user", "creation"]),
        Act::AccountDelete => ("iam", &["user", "deletion"]),
        Act::AccountEnable
        | Act::AccountDisable
        | Act::AccountPasswordChange
        | Act::AccountPasswordReset
        | Act::FactorEnable
        | Act::FactorDisable => ("iam", &["user", "change"]),
        Act::AccountOther => ("iam", &["user", "info"]),
        Act::Assign | Act::Revoke => ("iam", &["admin", "change"]),
        Act::AccessOther => ("iam", &["admin", "info"]),
        Act::Create => ("configuration", &["creation"]),
        Act::Read => ("configuration", &["access"]),
        Act::Update => ("configuration", &["change"]),
        Act::Delete => ("configuration", &["deletion"]),
        Act::Denied => ("api", &["denied"]),
        Act::Other => ("configuration", &["info"]),
    }
}

/// From 0 to 10, as CEF counts.
pub const fn severity(weight: Weight) -> u8 {
    match weight {
        Weight::Routine => 1,
        Weight::Notable => 4,
        Weight::Warning => 6,
        Weight::Alarm => 9,
    }
}

/// One line.
pub fn render(told: &Told) -> String {
    let meaning = of(told);
    let (category, types) = words(meaning.act);
    let outcome = match meaning.outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
    };
    let mut event = json!({
        "@timestamp": told.time.to_string(),
        "ecs": { "version": VERSION },
        "message": told.sentence(),
        "event": {
            "kind": if meaning.weight == Weight::Alarm { "alert" } else { "event" },
            "category": [category],
            "type": types,
            "action": told.kind.text(),
            "outcome": outcome,
            "id": told.id(),
            "sequence": told.index,
            "severity": severity(meaning.weight),
            "module": "claviger",
            "dataset": "claviger.audit",
            "provider": "claviger",
        },
        "observer": {
            "vendor": "Claviger",
            "product": "Claviger",
            "type": "vault",
            "name": &told.place.vault,
            "version": env!("CARGO_PKG_VERSION"),
        },
        "claviger": { "log": &told.place.log, "index": told.index, "fields": &told.fields },
    });
    if let Some(reason) = told.value(FieldName::Reason)
        && let Some(of_event) = event.get_mut("event").and_then(Value::as_object_mut)
    {
        of_event.insert("reason".to_owned(), reason.into());
    }
    let Some(root) = event.as_object_mut() else { return String::new() };
    if let Some(user) = user(told) {
        root.insert("user".to_owned(), user);
    }
    // The schema's field holds an address; what is none stays among the entry's own fields.
    if let Some(ip) = told.value(FieldName::Source).and_then(|source| source.parse::<IpAddr>().ok()) {
        root.insert("source".to_owned(), json!({ "ip": ip, "address": ip }));
        root.insert("related".to_owned(), json!({ "ip": [ip] }));
    }
    if let Some(customer) = &told.place.customer {
        let id = customer.id.to_string();
        let name = customer.slug.as_ref().map_or(id.as_str(), Part::as_str);
        root.insert("organization".to_owned(), json!({ "id": id, "name": name }));
    }
    if told.cut {
        root.insert("tags".to_owned(), json!(["cut"]));
    }
    plain::json(&event)
}

/// Who did it, and to whom.
fn user(told: &Told) -> Option<Value> {
    let person = |id: FieldName, name: FieldName| {
        let mut person = serde_json::Map::new();
        for (key, field) in [("id", id), ("name", name)] {
            person.extend(told.value(field).map(|value| (key.to_owned(), value.into())));
        }
        (!person.is_empty()).then_some(person)
    };
    let mut user = person(FieldName::Actor, FieldName::ActorName)?;
    if let Some(target) = person(FieldName::Principal, FieldName::PrincipalName) {
        user.insert("target".to_owned(), target.into());
    }
    Some(user.into())
}
