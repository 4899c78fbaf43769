//! Secrets that people or programs give: asked for without echo, or read from standard input. Never arguments.

use std::io::{BufRead as _, Read as _};

use claviger_client::api::Secret;
use claviger_client::api::secret::SECRET_MAX;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Where secrets come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The terminal, without echo.
    Terminal,
    /// Standard input, one a line.
    Stdin,
}

impl Input {
    pub fn from_stdin(stdin: bool) -> Self {
        if stdin { Self::Stdin } else { Self::Terminal }
    }

    /// A secret that exists already.
    pub fn secret(self, what: &str) -> Result<Secret, Failure> {
        let text = match self {
            Self::Terminal => ask(what)?,
            Self::Stdin => line(what)?.ok_or_else(|| missing(what))?,
        };
        secret(what, text)
    }

    /// A secret that exists already, or `None` where nothing is typed.
    pub fn secret_or_nothing(self, what: &str) -> Result<Option<Secret>, Failure> {
        let text = match self {
            Self::Terminal => ask(what)?,
            Self::Stdin => line(what)?.ok_or_else(|| missing(what))?,
        };
        if text.trim().is_empty() { Ok(None) } else { secret(what, text).map(Some) }
    }

    /// The next secret, or `None` at the end of standard input.
    pub fn next(self, what: &str) -> Result<Option<Secret>, Failure> {
        let text = match self {
            Self::Terminal => Some(ask(what)?),
            Self::Stdin => line(what)?,
        };
        text.map(|text| secret(what, text)).transpose()
    }

    /// A secret that is being chosen: a person types it twice.
    pub fn new_secret(self, what: &str) -> Result<Secret, Failure> {
        let first = self.secret(what)?;
        if self == Self::Terminal && ask(&format!("{what}, again"))?.as_str() != first.expose() {
            return Err(Failure::usage("the two are not the same", "try again"));
        }
        Ok(first)
    }

    /// The secret of an account: all of standard input, without the newline at its end.
    pub fn account_secret(self, what: &str) -> Result<Secret, Failure> {
        match self {
            Self::Terminal => self.new_secret(what),
            Self::Stdin => secret(what, everything(what)?),
        }
    }
}

fn ask(what: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(format!("{what}: ")).map(Zeroizing::new).map_err(|_| {
        Failure::usage(
            format!("there is no terminal to ask for the {}", lower(what)),
            "give it on standard input with --stdin",
        )
    })
}

/// One line of standard input; `None` at its end.
fn line(what: &str) -> Result<Option<Zeroizing<String>>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX + 2));
    let read = std::io::stdin().lock().take(most()).read_line(&mut text).map_err(|_| unreadable(what))?;
    strip_newline(&mut text);
    Ok((read > 0).then_some(text))
}

fn everything(what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(SECRET_MAX + 2));
    std::io::stdin().lock().take(most()).read_to_string(&mut text).map_err(|_| unreadable(what))?;
    strip_newline(&mut text);
    Ok(text)
}

/// Room for the longest secret and its newline, so that the buffer never grows and leaves a copy behind.
fn most() -> u64 {
    u64::try_from(SECRET_MAX).unwrap_or(u64::MAX - 2) + 2
}

fn strip_newline(text: &mut String) {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
}

fn secret(what: &str, mut text: Zeroizing<String>) -> Result<Secret, Failure> {
    Secret::new(std::mem::take(&mut *text))
        .map_err(|error| Failure::usage(format!("the {}: {error}", lower(what)), "try again"))
}

fn missing(what: &str) -> Failure {
    Failure::usage(format!("standard input has no {}", lower(what)), "with --stdin each secret is one line")
}

fn unreadable(what: &str) -> Failure {
    Failure::usage(format!("the {} cannot be read from standard input", lower(what)), "it must be UTF-8 text")
}

fn lower(what: &str) -> String {
    let mut letters = what.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
