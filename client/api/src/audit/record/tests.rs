use std::collections::BTreeSet;

use super::super::sample::{field, reveal};
use super::*;

const TIME: &str = "2026-11-23T10:00:00.25Z";

fn smallest() -> Vec<SaltedField> {
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
    fields.push(SaltedField { name: FieldName::Reason, value: "disk full on dc01".into(), salt });
    let logged = Entry::new(fields).unwrap();
    assert_eq!(logged.bytes(), entry(&commitments));
    assert_eq!(logged.hash().to_string(), "bbd76ff9c42ba337da8ac3a0dfd08cb6606b3879c987672846810a5e7a38bb3f");
}

#[test]
fn the_order_of_fields_is_that_of_their_names() {
    let backwards: Vec<SaltedField> = smallest().into_iter().rev().collect();
    assert_eq!(Entry::new(backwards).unwrap(), Entry::new(smallest()).unwrap());
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
        [smallest(), more, renamed].into_iter().map(|fields| Entry::new(fields).unwrap().hash()).collect();
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
    let with = |extra: SaltedField| Entry::new([smallest(), vec![extra]].concat()).map(|_| ());
    assert_eq!(with(field(FieldName::Time, TIME, 3)), Err(BadEntry::Duplicate(FieldName::Time)));
    assert_eq!(with(field(FieldName::ExpiresAt, "tomorrow", 3)), Err(BadEntry::Value(FieldName::ExpiresAt)));
    assert_eq!(with(field(FieldName::Detail, &"x".repeat(VALUE_MAX), 3)), Ok(()));
    assert_eq!(
        with(field(FieldName::Detail, &"x".repeat(VALUE_MAX + 1), 3)),
        Err(BadEntry::TooLong(FieldName::Detail))
    );
    assert_eq!(Entry::new(smallest()[..1].to_vec()).err(), Some(BadEntry::Missing(FieldName::Time)));
    assert_eq!(Entry::new(smallest()[1..].to_vec()).err(), Some(BadEntry::Missing(FieldName::Kind)));
    for bad in ["2026-11-23T10:00:00.250Z", "2026-11-23T11:00:00.25+01:00", "2026-11-23 10:00:00.25Z", ""] {
        let fields = vec![field(FieldName::Kind, "checkout.revealed", 1), field(FieldName::Time, bad, 2)];
        assert_eq!(Entry::new(fields).err(), Some(BadEntry::Value(FieldName::Time)), "{bad}");
    }
    let fields = vec![field(FieldName::Kind, "checkout.taken", 1), field(FieldName::Time, TIME, 2)];
    assert_eq!(Entry::new(fields).err(), Some(BadEntry::Value(FieldName::Kind)));
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
