//! OCSF 1.3.0 (Open Cybersecurity Schema Framework), category Identity & Access Management: Account Change (3001),
//! Authentication (3002), Entity Management (3004), User Access Management (3005).

use claviger_api::audit::record::FieldName;
use serde_json::{Value, json};

use super::meaning::{Act, Outcome, Weight, of};
use super::plain;
use super::told::Told;

/// The version of the schema.
pub const VERSION: &str = "1.3.0";
/// Identity & Access Management.
const CATEGORY: u32 = 3;

/// A class of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    AccountChange = 3001,
    Authentication = 3002,
    EntityManagement = 3004,
    UserAccess = 3005,
}

impl Class {
    const fn name(self) -> &'static str {
        match self {
            Self::AccountChange => "Account Change",
            Self::Authentication => "Authentication",
            Self::EntityManagement => "Entity Management",
            Self::UserAccess => "User Access Management",
        }
    }
}

/// What else there is: its name is the kind of the event.
const OTHER: u32 = 99;

/// Class, activity and the activity's name.
const fn activity(act: Act) -> (Class, u32, &'static str) {
    use Class::{AccountChange, Authentication, EntityManagement, UserAccess};
    match act {
        Act::LogOn => (Authentication, 1, "Logon"),
        Act::LogOff => (Authentication, 2, "Logoff"),
        Act::Prove => (Authentication, OTHER, ""),
        Act::AccountCreate => (AccountChange, 1, "Create"),
        Act::AccountEnable => (AccountChange, 2, "Enable"),
        Act::AccountPasswordChange => (AccountChange, 3, "Password Change"),
        Act::AccountPasswordReset => (AccountChange, 4, "Password Reset"),
        Act::AccountDisable => (AccountChange, 5, "Disable"),
        Act::AccountDelete => (AccountChange, 6, "Delete"),
        Act::FactorEnable => (AccountChange, 10, "MFA Factor Enable"),
        Act::FactorDisable => (AccountChange, 11, "MFA Factor Disable"),
        Act::AccountOther => (AccountChange, OTHER, ""),
        Act::Assign => (UserAccess, 1, "Assign Privileges"),
        Act::Revoke => (UserAccess, 2, "Revoke Privileges"),
        Act::AccessOther => (UserAccess, OTHER, ""),
        Act::Create => (EntityManagement, 1, "Create"),
        Act::Read => (EntityManagement, 2, "Read"),
        Act::Update => (EntityManagement, 3, "Update"),
        Act::Delete => (EntityManagement, 4, "Delete"),
        Act::Denied | Act::Other => (EntityManagement, OTHER, ""),
    }
}

const fn severity(weight: Weight) -> (u32, &'static str) {
    match weight {
        Weight::Routine => (1, "Informational"),
        Weight::Notable => (2, "Low"),
        Weight::Warning => (3, "Medium"),
        Weight::Alarm => (4, "High"),
    }
}

const fn status(outcome: Outcome) -> (u32, &'static str) {
    match outcome {
        Outcome::Success => (1, "Success"),
        Outcome::Failure => (2, "Failure"),
    }
}

/// One line.
pub fn render(told: &Told) -> String {
    let meaning = of(told);
    let (class, activity_id, activity_name) = activity(meaning.act);
    let activity_name = if activity_id == OTHER { told.kind.text() } else { activity_name };
    let (severity_id, severity) = severity(meaning.weight);
    let (status_id, status) = status(meaning.outcome);
    let class_uid = class as u32;
    let mut event = json!({
        "class_uid": class_uid,
        "class_name": class.name(),
        "category_uid": CATEGORY,
        "category_name": "Identity & Access Management",
        "activity_id": activity_id,
        "activity_name": activity_name,
        "type_uid": class_uid * 100 + activity_id,
        "type_name": format!("{}: {activity_name}", class.name()),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "time": told.time.as_millisecond(),
        "message": told.sentence(),
        "metadata": metadata(told),
        "actor": { "user": actor(told) },
        "unmapped": { "kind": told.kind.text(), "fields": &told.fields, "cut": told.cut },
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let (Some(event), Some(value)) = (event.as_object_mut(), value) {
            event.insert(name.to_owned(), value);
        }
    };
    set("status_code", told.value(FieldName::Outcome).map(Value::from));
    set("status_detail", told.value(FieldName::Cause).or(told.value(FieldName::Detail)).map(Value::from));
    set("src_endpoint", told.value(FieldName::Source).map(|source| json!({ "ip": source })));
    match class {
        Class::Authentication => {
            set("user", Some(actor(told)));
            set("service", Some(json!({ "name": "Claviger", "uid": &told.place.vault })));
            set("session", told.value(FieldName::Session).map(|session| json!({ "uid": session })));
        }
        Class::AccountChange => set("user", Some(whom(told))),
        Class::UserAccess => {
            set("user", Some(whom_or_actor(told)));
            set("privileges", Some(privileges(told)));
            set("resource", told.value(FieldName::Account).map(|name| json!({ "name": name, "type": "account" })));
        }
        Class::EntityManagement => set("entity", Some(entity(told))),
    }
    plain::json(&event)
}

fn metadata(told: &Told) -> Value {
    let mut metadata = json!({
        "version": VERSION,
        "product": { "name": "Claviger", "vendor_name": "Claviger", "version": env!("CARGO_PKG_VERSION") },
        "uid": told.id(),
        "log_name": &told.place.log,
        "sequence": told.index,
        "event_code": told.kind.text(),
        "original_time": told.time.to_string(),
    });
    if let Some(metadata) = metadata.as_object_mut() {
        if let Some(customer) = &told.place.customer {
            metadata.insert("tenant_uid".to_owned(), customer.id.to_string().into());
            metadata.extend(customer.slug.iter().map(|slug| ("labels".to_owned(), json!([slug.as_str()]))));
        }
        if let Some(request) = told.value(FieldName::Request) {
            metadata.insert("correlation_uid".to_owned(), request.into());
        }
    }
    metadata
}

/// Who did it.
fn actor(told: &Told) -> Value {
    let uid = told.value(FieldName::Actor).unwrap_or("unknown");
    user(uid, told.value(FieldName::ActorName).unwrap_or(uid))
}

/// Whose account it is about: a principal of the vault's, else the account at a customer's system, else the actor's own.
fn whom(told: &Told) -> Value {
    match told.value(FieldName::Account) {
        Some(account) if told.value(FieldName::Principal).is_none() => user(account, account),
        Some(_) | None => whom_or_actor(told),
    }
}

/// Whose right it is about.
fn whom_or_actor(told: &Told) -> Value {
    match told.value(FieldName::Principal) {
        Some(uid) => user(uid, told.value(FieldName::PrincipalName).unwrap_or(uid)),
        None => actor(told),
    }
}

fn user(uid: &str, name: &str) -> Value {
    let (type_id, r#type) = if uid.starts_with("system/") { (3, "System") } else { (0, "Unknown") };
    json!({ "uid": uid, "name": name, "type_id": type_id, "type": r#type })
}

/// A right in words: a role, or the use of an account.
fn privileges(told: &Told) -> Value {
    let role = told.value(FieldName::Role).map(str::to_owned);
    let account = told.value(FieldName::Account).map(|account| format!("use {account}"));
    let rights: Vec<String> = [role, account].into_iter().flatten().collect();
    if rights.is_empty() { json!([told.kind.text()]) } else { json!(rights) }
}

/// The thing it is about, by the narrowest name.
fn entity(told: &Told) -> Value {
    let things = [
        (FieldName::Account, "account"),
        (FieldName::System, "system"),
        (FieldName::Checkout, "checkout"),
        (FieldName::Review, "review"),
        (FieldName::Emergency, "emergency"),
        (FieldName::BreakGlass, "break_glass"),
        (FieldName::Log, "log"),
        (FieldName::Customer, "customer"),
    ];
    let found = things.into_iter().find_map(|(field, kind)| Some((told.value(field)?, kind)));
    let (name, kind) = found.unwrap_or((&told.place.log, "log"));
    json!({ "name": name, "uid": name, "type": kind })
}
