//! The second factor, as a person gives it: six digits of an app, a recovery code, or a passkey in a browser. Never an
//! argument.

use std::io::{IsTerminal as _, stdin};

use claviger_client::api::Secret;
use claviger_client::api::wire::{PasskeyCeremony, SecondFactor};
use claviger_client::{AskSecondFactor, Given};

use crate::failure::Failure;
use crate::input::Input;
use crate::passkey;
use crate::progress::note;

/// How all are asked for.
const ASK: &str = "Code of your authenticator app, or a recovery code";
const ASK_OR_PASSKEY: &str = "Code of your authenticator app, or a recovery code; nothing for a passkey";
/// The digits of an app's code.
const DIGITS: usize = 6;

/// Asks whoever sits at the terminal; nobody where there is none.
pub struct AtTheTerminal;

impl AskSecondFactor for AtTheTerminal {
    fn ask(&self) -> Option<Given> {
        if !stdin().is_terminal() {
            return None;
        }
        note("This wants a fresh second factor.");
        ask(Input::Terminal, true).ok()
    }

    fn code_of(&self, ceremony: &PasskeyCeremony) -> Option<Secret> {
        passkey::ceremony(ceremony, Input::Terminal).ok()
    }
}

/// Asks for any of them; for a passkey where there may be one, and a person at the terminal who can choose.
pub fn ask(input: Input, passkey: bool) -> Result<Given, Failure> {
    let given = if passkey && input == Input::Terminal {
        let Some(given) = input.secret_or_nothing(ASK_OR_PASSKEY)? else { return Ok(Given::Passkey) };
        given
    } else {
        input.secret(ASK)?
    };
    Ok(Given::Proof(match digits(&given, DIGITS) {
        Some(code) => SecondFactor::Totp(code.disclose()),
        None => SecondFactor::RecoveryCode(given.disclose()),
    }))
}

/// The digits of an app's code, without the blank that some apps show in the middle.
pub fn as_digits(given: &Secret) -> Option<Secret> {
    digits(given, DIGITS)
}

/// So many digits, and blanks between them, without the blanks.
pub fn digits(given: &Secret, count: usize) -> Option<Secret> {
    let digits: String = given.expose().chars().filter(|letter| *letter != ' ').collect();
    let code = digits.len() == count && digits.bytes().all(|byte| byte.is_ascii_digit());
    if code { Secret::new(digits).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_are_a_code_and_all_else_a_recovery_code() {
        let digits =
            |text: &str| as_digits(&Secret::new(text.to_owned()).unwrap()).map(|code| code.expose().to_owned());
        assert_eq!(digits("123 456").as_deref(), Some("123456"));
        for other in ["12345", "1234567", "7K3M-9QXA-0F2T-HV5C", "１２３４５６"] {
            assert_eq!(digits(other), None, "{other}");
        }
    }
}
