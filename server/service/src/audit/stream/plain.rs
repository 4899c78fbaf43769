//! Text that does no harm where it is read: no line ends, no terminal sequences, no letters that run backwards.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// A value as one line of JSON in ASCII. What is no printable ASCII character is `\u…` (RFC 8259 §7), which every reader
/// turns back into what it was: so there is nothing to list, and nothing that a list forgets.
pub fn json(value: &impl Serialize) -> String {
    let mut line = Vec::new();
    // Neither a value of our own nor memory refuses to be written.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut line, Ascii));
    String::from_utf8(line).unwrap_or_default()
}

/// Writes strings in ASCII.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for character in fragment.chars() {
            let mut units = [0; 2];
            if matches!(character, ' '..='~') {
                write!(writer, "{character}")?;
            } else {
                character.encode_utf16(&mut units).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            }
        }
        Ok(())
    }
}

/// Whether a character can stand as it is in a format that has no escape for others: it is printable, and stands where it
/// is written. Line ends, control characters and what changes the direction of others are not (`char::escape_debug` knows).
pub fn is_plain(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().eq([character])
}
