//! What the environment sets in place of the file: `CLAVIGER_SERVER_LISTEN`, and of a section `CLAVIGER_SERVER_BACKUP__EVERY_HOURS`. It is for
//! what differs between machines of one image; no key of the configuration is a secret.

use toml::{Table, Value};

use super::ConfigError;

/// What the name of each such variable begins with.
pub const PREFIX: &str = "CLAVIGER_SERVER_";
/// What stands between a section and its key.
const WITHIN: &str = "__";

/// Sets in a configuration what these variables say, and passes over others. A value is written as in the file; what cannot be read so
/// is a text.
///
/// # Errors
///
/// One of them names no key.
pub fn set(table: &mut Table, variables: impl IntoIterator<Item = (String, String)>) -> Result<(), ConfigError> {
    for (name, value) in variables {
        let Some(key) = name.strip_prefix(PREFIX) else { continue };
        let wrong = || ConfigError::Variable(name.clone());
        let key = key.to_ascii_lowercase();
        let mut path: Vec<&str> = key.split(WITHIN).collect();
        let last = path.pop().filter(|last| !last.is_empty()).ok_or_else(wrong)?;
        let mut section = &mut *table;
        for name in path {
            let within = section.entry(name).or_insert_with(|| Value::Table(Table::new()));
            section = within.as_table_mut().filter(|_| !name.is_empty()).ok_or_else(wrong)?;
        }
        section.insert(last.to_owned(), value.parse().unwrap_or(Value::String(value)));
    }
    Ok(())
}
