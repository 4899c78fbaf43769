//! Setting a password: by whoever may set everybody's, and by the user.

use claviger_api::Secret;

use super::command::Command;
use super::name::UserName;
use super::session::{Answer, Session, refused};
use crate::SetOutcome;

/// The longest password that PAM's modules take whole (`PAM_MAX_RESP_SIZE` is 512, with what ends it).
const PASSWORD_BYTES_MAX: usize = 511;
/// How password checkers, and the memory of old ones, say that they do not like a password (Linux-PAM, libpwquality).
const POLICY_WORDS: [&str; 6] =
    ["bad password", "already used", "longer password", "shorter password", "too simple", "password has been used"];

/// A secret that a host can hold exactly: one line of what its tools read.
#[derive(Clone, Copy)]
pub(super) struct Password<'a>(&'a str);

impl<'a> Password<'a> {
    /// A secret as a password, or the refusal of it as a whole.
    pub(super) fn of(secret: &'a Secret) -> Result<Self, SetOutcome> {
        let text = secret.expose();
        if text.len() <= PASSWORD_BYTES_MAX && !text.chars().any(char::is_control) {
            return Ok(Self(text));
        }
        let detail = "a password on a Linux host is at most 511 bytes, on one line and without control characters";
        Err(SetOutcome::Refused { detail: detail.to_owned(), by_policy: true })
    }
}

/// Sets another user's password.
pub(super) async fn set(session: &mut Session<'_>, user: &UserName<'_>, new: Password<'_>) -> Result<(), SetOutcome> {
    // One line, in one packet and one write: chpasswd never sees a part of it.
    let command = Command::new("/usr/sbin/chpasswd").reading(&[user.as_str(), ":", new.0]);
    taken(&command, &session.run_as_root(&command).await?)
}

/// Sets the password of the user who is logged in. Without a terminal `passwd` reads the lines that it would ask for: the
/// old one, and twice the new one. Whatever it asks for first, nothing else can become the password.
pub(super) async fn set_own(session: &mut Session<'_>, old: Password<'_>, new: Password<'_>) -> Result<(), SetOutcome> {
    let command = Command::new("/usr/bin/passwd").reading(&[old.0, "\n", new.0, "\n", new.0]);
    taken(&command, &session.run(&command).await?)
}

fn taken(command: &Command, answer: &Answer) -> Result<(), SetOutcome> {
    if answer.status == 0 {
        return Ok(());
    }
    let said = answer.said.to_lowercase();
    let by_policy = POLICY_WORDS.iter().any(|words| said.contains(words));
    match refused(command, answer) {
        SetOutcome::Refused { detail, .. } => Err(SetOutcome::Refused { detail, by_policy }),
        other @ (SetOutcome::Applied | SetOutcome::NotSent { .. } | SetOutcome::Unknown(_)) => Err(other),
    }
}
