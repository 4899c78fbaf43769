//! The second factor, as a person gives it: six digits of an app, or a recovery code. Never an argument.

use std::io::{IsTerminal as _, stdin};

use claviger_client::AskSecondFactor;
use claviger_client::api::Secret;
use claviger_client::api::wire::SecondFactor;

use crate::failure::Failure;
use crate::input::Input;
use crate::progress::note;

/// How both are asked for.
const ASK: &str = "Code of your authenticator app, or a recovery code";
/// The digits of an app's code.
const DIGITS: usize = 6;

/// Asks whoever sits at the terminal; nobody where there is none.
pub struct AtTheTerminal;

impl AskSecondFactor for AtTheTerminal {
    fn ask(&self) -> Option<SecondFactor> {
        if !stdin().is_terminal() {
            return None;
        }
        note("This wants a fresh second factor.");
        ask(Input::Terminal).ok()
    }
}

/// Asks for either.
pub fn ask(input: Input) -> Result<SecondFactor, Failure> {
    let given = input.secret(ASK)?;
    Ok(match as_digits(&given) {
        Some(code) => SecondFactor::Totp(code.disclose()),
        None => SecondFactor::RecoveryCode(given.disclose()),
    })
}

/// The digits of an app's code, without the blank that some apps show in the middle.
pub fn as_digits(given: &Secret) -> Option<Secret> {
    let digits: String = given.expose().chars().filter(|letter| *letter != ' ').collect();
    let code = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
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
