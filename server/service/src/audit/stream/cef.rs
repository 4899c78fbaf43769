//! ArcSight Common Event Format, CEF:0.
//!
//! In the header `\` and `|` are escaped by `\`; in a value of the extension `\` and `=` are, and line ends are written `\n`
//! and `\r`. For other control characters, and for what turns the direction of letters, the format has no escape: they are
//! written in words (`\u{1b}`, its backslash escaped like any other).

use std::fmt::Write as _;
use std::net::IpAddr;

use claviger_api::audit::record::FieldName;

use super::ecs::severity;
use super::meaning::{Outcome, of};
use super::plain::is_plain;
use super::told::Told;

/// One line.
pub fn render(told: &Told) -> String {
    let meaning = of(told);
    let name = told.kind.text().replace(['.', '_'], " ");
    let mut line = "CEF:0".to_owned();
    let level = severity(meaning.weight).to_string();
    for part in ["Claviger", "Claviger", env!("CARGO_PKG_VERSION"), told.kind.text(), &name, &level] {
        line.push('|');
        escape(&mut line, part, '|');
    }
    line.push('|');
    let mut extension = Extension { line, first: true };
    extension.add("rt", &told.time.as_millisecond().to_string());
    extension.add("dvchost", &told.place.vault);
    extension.add("act", told.kind.text());
    extension.add(
        "outcome",
        match meaning.outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
        },
    );
    extension.add("msg", &told.sentence());
    extension.labelled("cs1", "log", &told.place.log);
    extension.labelled("cn1", "index", &told.index.to_string());
    if let Some(customer) = &told.place.customer {
        extension.labelled("cs2", "customer", customer.slug.as_ref().map_or("", |slug| slug.as_str()));
        extension.labelled("cs3", "customerId", &customer.id.to_string());
    }
    let known = [
        ("suid", FieldName::Actor),
        ("suser", FieldName::ActorName),
        ("duid", FieldName::Principal),
        ("duser", FieldName::PrincipalName),
        ("reason", FieldName::Reason),
    ];
    for (key, field) in known {
        if let Some(value) = told.value(field) {
            extension.add(key, value);
        }
    }
    match told.value(FieldName::Source).and_then(|source| source.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(address)) => extension.add("src", &address.to_string()),
        Some(IpAddr::V6(address)) => extension.labelled("c6a2", "Source IPv6 Address", &address.to_string()),
        None => {}
    }
    // Every field once more under its own name: whoever parses these needs to know nothing of the keys above.
    for (field, value) in &told.fields {
        extension.add(&key_of(*field), value);
    }
    if told.cut {
        extension.add("clavigerCut", "true");
    }
    extension.line
}

/// `reveal_number` → `clavigerRevealNumber`: keys of an extension are letters and digits.
fn key_of(field: FieldName) -> String {
    let mut key = "claviger".to_owned();
    for word in field.text().split('_') {
        let (first, rest) = word.split_at(word.len().min(1));
        key += &first.to_ascii_uppercase();
        key += rest;
    }
    key
}

struct Extension {
    line: String,
    first: bool,
}

impl Extension {
    fn add(&mut self, key: &str, value: &str) {
        if !std::mem::take(&mut self.first) {
            self.line.push(' ');
        }
        self.line += key;
        self.line.push('=');
        escape(&mut self.line, value, '=');
    }

    fn labelled(&mut self, key: &str, label: &str, value: &str) {
        self.add(&format!("{key}Label"), label);
        self.add(key, value);
    }
}

fn escape(line: &mut String, text: &str, separator: char) {
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\\' => line.push_str("\\\\"),
            _ if character == separator => {
                line.push('\\');
                line.push(character);
            }
            _ if is_plain(character) => line.push(character),
            // Writing into a string does not fail.
            _ => drop(write!(line, "\\\\u{{{:x}}}", u32::from(character))),
        }
    }
}
