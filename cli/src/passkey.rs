//! A passkey is made or shown in a browser: this machine's where it has one, else any other's, by the address of the page.

use std::env;
use std::process::{Command, Stdio};

use claviger_client::api::Secret;
use claviger_client::api::wire::PasskeyCeremony;

use crate::factor::digits;
use crate::failure::Failure;
use crate::input::Input;
use crate::progress::note;

const ASK: &str = "Code that the browser shows";
/// The digits of such a code.
const DIGITS: usize = 8;

/// Opens the page, and asks for the code that it shows in the end.
pub fn ceremony(ceremony: &PasskeyCeremony, input: Input) -> Result<Secret, Failure> {
    note("Open this page in your browser; it must show the number below, or it is not yours:");
    note(&format!("  {}", ceremony.url));
    note(&format!("  number {}", ceremony.mark));
    if input == Input::Terminal {
        open(&ceremony.url);
    }
    code(input)
}

/// Asks for the code that a page shows.
pub fn code(input: Input) -> Result<Secret, Failure> {
    let given = input.secret(ASK)?;
    Ok(digits(&given, DIGITS).unwrap_or(given))
}

/// In the browser of whoever sits at this machine. What the address names opens nothing, so it may be seen in a list of
/// processes. Where there is no browser the address is there to be copied.
fn open(url: &str) {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let here = cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY");
    if here && !set("SSH_CONNECTION") {
        let _ = Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
