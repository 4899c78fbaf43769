//! Free texts that people write: short, and one line.

use claviger_api::wire::TEXT_MAX;

use crate::error::{Error, Result};

/// A text of 1 to 500 characters without control characters.
pub(crate) fn short_text<'t>(at: &str, text: &'t str) -> Result<&'t str> {
    let fits = !text.trim().is_empty() && text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(Error::value(at, "a text of 1 to 500 characters on one line")) }
}
