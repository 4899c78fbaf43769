//! Results on standard output: tables for people, JSON for programs, CSV for spreadsheets.

use std::io::{self, ErrorKind, Write as _, stdout};

use comfy_table::{Table, presets};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::cli::Format;
use crate::failure::Failure;

mod csv;
mod fields;
mod rows;

pub use rows::{Row, conditions, or_dash, seconds, word};

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub format: Format,
}

impl Output {
    /// One thing: its fields below each other, or one JSON object.
    pub fn one(self, thing: &impl Serialize) -> Result<(), Failure> {
        print(&match self.format {
            Format::Json => json(thing)?,
            Format::Csv => csv::of([thing])?,
            Format::Table => fields_table(thing)?,
        })
    }

    /// Many things: a row each, or a JSON array.
    pub fn many<T: Serialize + Row>(self, things: &[T]) -> Result<(), Failure> {
        print(&match self.format {
            Format::Json => json(&things)?,
            Format::Csv => csv::of(things)?,
            Format::Table => rows_table(things),
        })
    }

    /// One of many that come one after another: a line each.
    pub fn next<T: Serialize + Row>(self, thing: &T) -> Result<(), Failure> {
        print(&match self.format {
            Format::Json => serde_json::to_string(thing).map_err(unwritable)? + "\n",
            Format::Csv => csv::of_row(thing)?,
            Format::Table => thing.cells().iter().map(|cell| printable(cell)).collect::<Vec<_>>().join("  ") + "\n",
        })
    }

    /// One thing that is a table to people, and one JSON value.
    pub fn whole<R: Row>(self, thing: &impl Serialize, rows: &[R]) -> Result<(), Failure> {
        print(&match self.format {
            Format::Json => json(thing)?,
            Format::Csv => csv::of_rows(rows)?,
            Format::Table => rows_table(rows),
        })
    }

    /// A thing whose rows have columns of their own: a table, CSV, or one JSON object.
    pub fn sheet(self, thing: &impl Serialize, columns: &[String], rows: &[Vec<String>]) -> Result<(), Failure> {
        print(&match self.format {
            Format::Json => json(thing)?,
            Format::Csv => csv::sheet(columns, rows)?,
            Format::Table if rows.is_empty() => String::new(),
            Format::Table => {
                let mut table = plain_table();
                table.set_header(columns.iter().map(|name| name.to_uppercase().replace('_', " ")));
                for row in rows {
                    table.add_row(row.iter().map(|cell| printable(cell)));
                }
                text(&table)
            }
        })
    }

    /// A sentence for people. Programs have the exit code.
    pub fn done(self, sentence: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json | Format::Csv => Ok(()),
            Format::Table => print(&format!("{}\n", printable(sentence))),
        }
    }
}

/// Text as it is, on standard output.
pub fn print(text: &str) -> Result<(), Failure> {
    tolerate_closed(stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush()))
}

/// A reader that has seen enough (`| head`) is no failure.
pub fn tolerate_closed(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write the result: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Text that cannot drive the terminal: what a customer's system or another user has written is only shown.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn json(thing: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(thing).map(|text| text + "\n").map_err(unwritable)
}

#[expect(clippy::needless_pass_by_value, reason = "so that it fits `map_err`")]
fn unwritable(error: serde_json::Error) -> Failure {
    Failure::failed(format!("cannot write the result as JSON: {error}"))
}

fn rows_table<T: Row>(things: &[T]) -> String {
    if things.is_empty() {
        return String::new();
    }
    let mut table = plain_table();
    table.set_header(T::HEADS.iter().map(|head| head.to_uppercase()));
    for thing in things {
        table.add_row(thing.cells().iter().map(|cell| printable(cell)));
    }
    text(&table)
}

fn fields_table(thing: &impl Serialize) -> Result<String, Failure> {
    let text_form = Zeroizing::new(serde_json::to_string(thing).map_err(unwritable)?);
    let mut table = plain_table();
    for (name, value) in fields::of_json(&text_form).map_err(unwritable)? {
        // A text of several lines, e.g. a signed note, stays below its own beginning and never looks like another field.
        table.add_row([name, value.lines().map(printable).collect::<Vec<_>>().join("\n")]);
    }
    Ok(text(&table))
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table
}

/// The table without the blanks around it.
fn text(table: &Table) -> String {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use claviger_client::api::wire::{Account, AuditEvent, Checkout};
    use serde_json::Value;

    use super::*;

    fn checkout() -> Checkout {
        serde_json::from_value(serde_json::json!({
            "id": "co_0197a3c2e1f07b1a8c3d4e5f60718293",
            "account": "acme/db01/postgres",
            "account_id": "ac_0197a3c2e1f07b1a8c3d4e5f60718293",
            "principal": "anna",
            "principal_id": "pr_0197a3c2e1f07b1a8c3d4e5f60718293",
            "state": "ended",
            "end_cause": "checked_in",
            "reason": "migration\u{1b}[2J 42",
            "ttl_seconds": 1800,
            "created_at": "2026-11-23T08:00:00Z",
            "expires_at": "2026-11-23T08:30:00Z",
            "revocation": {"state": "proven", "revocation_lag_milliseconds": 41, "sessions_may_remain": false},
        }))
        .unwrap()
    }

    #[test]
    fn a_list_is_a_table_with_the_words_of_the_api() {
        insta::assert_snapshot!(rows_table(&[checkout()]));
        assert_eq!(rows_table::<Checkout>(&[]), "");
    }

    #[test]
    fn one_thing_is_its_fields_and_absent_ones_are_left_out() {
        let account: Account = serde_json::from_value(serde_json::json!({
            "id": "ac_0197a3c2e1f07b1a8c3d4e5f60718293",
            "path": "acme/db01/postgres",
            "kind": "ephemeral",
            "login": "tmp",
            "member_of": ["app", "read only"],
            "settings": {},
            "state": "available",
            "holders": [],
            "created_at": "2026-11-23T08:00:00Z",
        }))
        .unwrap();
        insta::assert_snapshot!(fields_table(&account).unwrap());
    }

    #[test]
    fn an_event_shows_every_field() {
        let event: AuditEvent = serde_json::from_value(serde_json::json!({
            "index": 7, "time": "2026-11-23T08:00:00Z", "kind": "checkout.revealed",
            "fields": {"actor": "anna", "account": "acme/db01/postgres", "version": "3"},
        }))
        .unwrap();
        insta::assert_snapshot!(rows_table(&[event]));
    }

    #[test]
    fn json_is_the_wire_form() {
        let text = json(&[checkout()].as_slice()).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["end_cause"], "checked_in");
        assert_eq!(value[0]["ttl_seconds"], 1800);
        assert!(text.ends_with("]\n"));
    }
}
