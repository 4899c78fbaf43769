//! The vault's own form: the entry as the log has it, with nothing left out.

use claviger_api::Part;
use claviger_api::audit::record::FieldName;
use serde::Serialize;
use std::collections::BTreeMap;

use super::plain::json;
use super::told::Told;

#[derive(Serialize)]
struct Event<'a> {
    log: &'a str,
    index: u64,
    time: String,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Customer<'a>>,
    fields: &'a BTreeMap<FieldName, String>,
    #[serde(skip_serializing_if = "is_false")]
    cut: bool,
}

#[derive(Serialize)]
struct Customer<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    slug: Option<&'a str>,
}

/// One line.
pub fn render(told: &Told) -> String {
    let customer = told.place.customer.as_ref();
    json(&Event {
        log: &told.place.log,
        index: told.index,
        time: told.time.to_string(),
        kind: told.kind.text(),
        customer: customer
            .map(|customer| Customer { id: customer.id.to_string(), slug: customer.slug.as_ref().map(Part::as_str) }),
        fields: &told.fields,
        cut: told.cut,
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}
