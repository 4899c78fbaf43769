//! What a long wait is waiting for: one line on standard error, rewritten, and only on a terminal.

use std::io::{IsTerminal as _, Write as _, stderr};

use crate::output::printable;

pub struct Progress {
    shown: bool,
    terminal: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { shown: false, terminal: stderr().is_terminal() }
    }

    pub fn show(&mut self, text: &str) {
        if self.terminal {
            self.shown = true;
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(stderr(), "\r\x1b[K{}", printable(text));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// One line for people on standard error.
pub fn note(text: &str) {
    let _ = writeln!(stderr(), "{}", printable(text));
}
