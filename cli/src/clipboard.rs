//! The terminal's clipboard, by OSC 52: works over SSH, needs no display, and puts the secret into no process's
//! arguments. A terminal that does not know it ignores it.

use std::fs::OpenOptions;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_client::api::Secret;
use zeroize::Zeroizing;

/// Puts a secret on the clipboard of the terminal that this process belongs to.
pub fn copy(secret: &Secret) -> io::Result<()> {
    write(&mut terminal()?, secret.expose())
}

/// Puts a blank there instead. Writing nothing is not enough: several terminals ignore that.
pub fn clear() -> io::Result<()> {
    write(&mut terminal()?, " ")
}

/// The terminal itself, wherever the standard streams go.
fn terminal() -> io::Result<impl Write> {
    OpenOptions::new().write(true).open("/dev/tty")
}

fn write(terminal: &mut impl Write, text: &str) -> io::Result<()> {
    let sequence = Zeroizing::new(format!("\x1b]52;c;{}\x07", *Zeroizing::new(STANDARD.encode(text))));
    terminal.write_all(sequence.as_bytes())?;
    terminal.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_osc_52() {
        let mut screen = Vec::new();
        write(&mut screen, "hunter2").unwrap();
        assert_eq!(screen, b"\x1b]52;c;aHVudGVyMg==\x07");
    }
}
