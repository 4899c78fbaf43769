//! Lists as spreadsheets read them (RFC 4180): a column a field, in the words of the API.

use std::collections::BTreeMap;

use serde::Serialize;
use zeroize::Zeroizing;

use super::{Row, fields, unwritable};
use crate::failure::Failure;

/// What a spreadsheet takes for a formula when a cell begins with it.
const FORMULA: &[char] = &['=', '+', '-', '@', '\t', '\r'];
/// What is in front of an event's own fields, and says nothing in a column's head.
const NESTED: &str = "fields ";

/// Things, with the fields that any of them has.
pub fn of<'a, T: Serialize + 'a>(things: impl IntoIterator<Item = &'a T>) -> Result<String, Failure> {
    let mut heads: Vec<String> = Vec::new();
    let mut rows: Vec<BTreeMap<String, String>> = Vec::new();
    for thing in things {
        let text = Zeroizing::new(serde_json::to_string(thing).map_err(unwritable)?);
        let named = fields::of_json(&text).map_err(unwritable)?.into_iter();
        let row: Vec<(String, String)> = named.map(|(name, value)| (head(&name), value)).collect();
        for (name, _) in &row {
            if !heads.contains(name) {
                heads.push(name.clone());
            }
        }
        rows.push(row.into_iter().collect());
    }
    let cells = rows.iter().map(|row| heads.iter().map(|name| row.get(name).cloned().unwrap_or_default()).collect());
    write(std::iter::once(heads.clone()).filter(|heads| !heads.is_empty()).chain(cells))
}

/// The rows of a table.
pub fn of_rows<R: Row>(rows: &[R]) -> Result<String, Failure> {
    let heads = R::HEADS.iter().map(|head| head.replace(' ', "_")).collect();
    write(std::iter::once(heads).chain(rows.iter().map(Row::cells)))
}

/// Rows that are made already.
pub fn sheet(columns: &[String], rows: &[Vec<String>]) -> Result<String, Failure> {
    write(std::iter::once(columns.to_vec()).chain(rows.iter().cloned()))
}

/// The same without heads.
pub fn of_row<R: Row>(row: &R) -> Result<String, Failure> {
    write(std::iter::once(row.cells()))
}

fn head(name: &str) -> String {
    name.strip_prefix(NESTED).unwrap_or(name).replace(' ', "_")
}

fn write(rows: impl Iterator<Item = Vec<String>>) -> Result<String, Failure> {
    let failed = || Failure::failed("cannot write the result as CSV");
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        writer.write_record(row.iter().map(|cell| inert(cell))).map_err(|_| failed())?;
    }
    String::from_utf8(writer.into_inner().map_err(|_| failed())?).map_err(|_| failed())
}

/// A cell that no spreadsheet takes for a formula: what others have written is only shown.
fn inert(cell: &str) -> String {
    if cell.starts_with(FORMULA) && cell.parse::<f64>().is_err() { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use claviger_client::api::wire::AuditEvent;

    use super::*;

    fn event(index: u64, field: (&str, &str)) -> AuditEvent {
        serde_json::from_value(serde_json::json!({
            "index": index, "time": "2026-11-23T08:00:00Z", "kind": "checkout.revealed", "fields": {field.0: field.1},
        }))
        .unwrap()
    }

    #[test]
    fn each_field_has_a_column_and_nothing_is_a_formula() {
        let events = [event(7, ("reason", "=1+2, \"now\"\nline")), event(8, ("version", "-3"))];
        insta::assert_snapshot!(of(&events).unwrap());
        assert_eq!(of::<AuditEvent>(&[]).unwrap(), "");
        assert!(of_rows(&events).unwrap().starts_with("index,time,kind,actor,account,more\n7,"));
    }

    #[test]
    fn what_begins_a_formula_is_quoted() {
        for bad in ["=cmd", "+1x", "-", "@SUM", "\tx", "\rx"] {
            assert!(inert(bad).starts_with('\''), "{bad:?}");
        }
        assert_eq!(inert("-12.5"), "-12.5");
        assert_eq!(inert("acme/db"), "acme/db");
    }
}
