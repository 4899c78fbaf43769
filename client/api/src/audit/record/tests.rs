use std::collections::BTreeSet;

use super::super::sample::{field, reveal};
use super::*;

const TIME: &str = "2026-11-23T10:00:00.25Z";

fn smallest() -> Vec<(FieldName, FieldView)> {
    vec![field(FieldName::Kind, "checkout.revealed", 1), field(FieldName::Time, TIME, 2)]
}

/// Frozen. Computed apart from this code (docs/formats.md shows how): if this fails, the code is wrong.
#[test]
fn the_vectors_of_format_version_1() {
    let salt = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let reason = commitment(&salt, FieldName::Reason, "disk full on dc01");
    assert_eq!(hex::encode(reason), "7ffe96f82a126a2c3c1454e567d396d659c431810ac7bbe3a7092f3fe7aa5d6c");
    assert_ne!(reason, commitment(&salt, FieldName::Reason, "disk full on dc02"));

    let kind = commitment(&[1; 32], FieldName::Kind, "checkout.revealed");
    let time = commitment(&[2; 32], FieldName::Time, TIME);
    let commitments =
        Commitments::new(vec![(FieldName::Time, time), (FieldName::Reason, reason), (FieldName::Kind, kind)]).unwrap();
    assert_eq!(hex::encode(entry(&commitments)), "effa8e75660979b2ff427849c9e45943dfd410d47de0c3f14c154b3196f25937");

    let mut fields = smallest();
    fields.push((FieldName::Reason, FieldView::Open { value: "disk full on dc01".into(), salt }));
    let logged = Entry::from_views(fields).unwrap();
    assert_eq!(logged.bytes(), entry(&commitments));
    assert_eq!(logged.hash().to_string(), "bbd76ff9c42ba337da8ac3a0dfd08cb6606b3879c987672846810a5e7a38bb3f");
}

#[test]
fn the_order_of_fields_is_that_of_their_names() {
    let backwards: Vec<(FieldName, FieldView)> = smallest().into_iter().rev().collect();
    assert_eq!(Entry::from_views(backwards).unwrap(), Entry::from_views(smallest()).unwrap());
    let names: Vec<&str> = reveal(3, "why").views().iter().map(|(name, _)| name.text()).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn everything_in_a_field_is_bound() {
    let salt = [9; 32];
    let all: BTreeSet<[u8; 32]> = [
        commitment(&salt, FieldName::Actor, "x"),
        commitment(&salt, FieldName::System, "x"),
        commitment(&salt, FieldName::Actor, "y"),
        commitment(&salt, FieldName::Actor, ""),
        commitment(&[8; 32], FieldName::Actor, "x"),
        // The same bytes, split elsewhere: `actor` + `_namex` and `actor_name` + `x`.
        commitment(&salt, FieldName::Actor, "_namex"),
        commitment(&salt, FieldName::ActorName, "x"),
    ]
    .into();
    assert_eq!(all.len(), 7);
    // A field more, a field less, a commitment under another name.
    let mut more = smallest();
    more.push(field(FieldName::Reason, "", 3));
    let mut renamed = smallest();
    renamed.push(field(FieldName::Ticket, "", 3));
    let hashes: BTreeSet<Hash> =
        [smallest(), more, renamed].into_iter().map(|fields| Entry::from_views(fields).unwrap().hash()).collect();
    assert_eq!(hashes.len(), 3);
}

#[test]
fn withholding_leaves_the_hash_and_hides_the_value() {
    let open = reveal(5, "the-reason");
    let closed = open.clone().withholding(FieldName::is_personal);
    assert_eq!(closed.hash(), open.hash());
    assert_eq!(closed.value(FieldName::Reason), None);
    assert_eq!(closed.value(FieldName::RevealNumber), Some("5"));
    let text = serde_json::to_string(&closed).unwrap();
    assert!(!text.contains("the-reason"));
    let salt_of_reason = hex::encode([5 + 3; 32]);
    assert!(serde_json::to_string(&open).unwrap().contains(&salt_of_reason));
    assert!(!text.contains(&salt_of_reason), "with the salt, a short value could be guessed");
    assert!(!format!("{open:?}").contains("the-reason"));
    assert!(!format!("{:?}", field(FieldName::Reason, "the-reason", 1)).contains("the-reason"));
}

#[test]
fn an_entry_reads_back_from_json_and_has_one_reading() {
    let entry = reveal(1, "a \"quoted\"\nreason \u{2028}").withholding(|name| name == FieldName::Actor);
    let text = serde_json::to_string(&entry).unwrap();
    assert!(!text.contains('\n'));
    assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
    let view = format!(r#"{{"value":"x","salt":"{}"}}"#, "00".repeat(32));
    let commitment = format!(r#"{{"commitment":"{}"}}"#, "00".repeat(32));
    assert!(serde_json::from_str::<Entry>(&format!(r#"{{"actor":{view},"reason":{commitment}}}"#)).is_ok());
    let bad = [
        format!(r#"{{"actor":{view},"actor":{view}}}"#),
        format!(r#"{{"actor":{view},"actor":{commitment}}}"#),
        format!(r#"{{"actress":{view}}}"#),
        format!(r#"{{"actor":{}}}"#, view.replace("\"x\"", "\"x\",\"value\":\"y\"")),
        format!(r#"{{"actor":{}}}"#, view.replace("\"x\"", "\"x\",\"note\":\"y\"")),
        format!(r#"{{"actor":{}}}"#, commitment.replace("00", "0A")),
        format!(r#"{{"actor":{}}}"#, commitment.replace("\"commitment\"", "\"value\":\"x\",\"commitment\"")),
        r#"{"actor":{"value":"x"}}"#.to_owned(),
        r#"{"actor":"x"}"#.to_owned(),
    ];
    for bad in bad {
        assert!(serde_json::from_str::<Entry>(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_cannot_be_logged_is_refused() {
    let value = |name, value: &str| new_commitment(&[3; 32], name, value);
    assert_eq!(value(FieldName::ExpiresAt, "tomorrow"), Err(BadEntry::Value(FieldName::ExpiresAt)));
    let longest = "x".repeat(VALUE_MAX);
    assert_eq!(value(FieldName::Detail, &longest), Ok(commitment(&[3; 32], FieldName::Detail, &longest)));
    assert_eq!(value(FieldName::Detail, &(longest + "x")), Err(BadEntry::TooLong(FieldName::Detail)));
    assert_eq!(value(FieldName::Time, TIME), Ok(commitment(&[3; 32], FieldName::Time, TIME)));
    for bad in ["2026-11-23T10:00:00.250Z", "2026-11-23T11:00:00.25+01:00", "2026-11-23 10:00:00.25Z", ""] {
        assert_eq!(value(FieldName::Time, bad), Err(BadEntry::Value(FieldName::Time)), "{bad}");
    }
    assert_eq!(value(FieldName::Kind, "checkout.taken"), Err(BadEntry::Value(FieldName::Kind)));
}

#[test]
fn a_new_entry_has_each_field_once_and_a_time_and_a_kind() {
    let of_new = |names: &[FieldName]| Commitments::of_new(names.iter().map(|name| (*name, [0; 32])).collect());
    let (time, kind) = (FieldName::Time, FieldName::Kind);
    assert!(of_new(&[kind, FieldName::Reason, time]).is_ok());
    assert_eq!(of_new(&[kind, time, time]).err(), Some(BadEntry::Duplicate(time)));
    assert_eq!(of_new(&[kind]).err(), Some(BadEntry::Missing(time)));
    assert_eq!(of_new(&[time]).err(), Some(BadEntry::Missing(kind)));
}

/// Frozen: a name may be added at the end, none may change or go, and what is personal stays personal.
#[test]
fn the_shipped_names_stay() {
    let line = |name: &FieldName| format!("{name}{}", if name.is_personal() { " (personal)" } else { "" });
    insta::assert_snapshot!(FieldName::ALL.iter().map(line).collect::<Vec<_>>().join("\n"));
    for name in FieldName::ALL {
        assert_eq!(name.text().parse(), Ok(*name));
    }
}
