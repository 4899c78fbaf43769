//! Replacing the key that opens an account: the new one is let in beside the old one, tried, and only then the old one
//! goes.

use claviger_api::Secret;
use russh::keys::ssh_key::PrivateKey;

use super::command::Command;
use super::session::{Session, refused};
use crate::SetOutcome;

/// The public half of a private key, as a line of `authorized_keys` has it: its kind, and itself in base 64.
pub(super) struct PublicKey(String);

impl PublicKey {
    /// Of a private key in OpenSSH's form; nothing where it is none.
    pub(super) fn of(private: &Secret) -> Option<Self> {
        let key = PrivateKey::from_openssh(private.expose()).ok()?;
        let text = key.public_key().to_openssh().ok()?;
        let mut words = text.split(' ');
        Some(Self(format!("{} {}", words.next()?, words.next()?)))
    }
}

/// Lets `new` in wherever the user who is logged in lets `old` in, with the same options.
pub(super) async fn add(session: &mut Session<'_>, old: &PublicKey, new: &PublicKey) -> Result<(), SetOutcome> {
    done(session, Command::new(ADD).reading(&[&old.0, "\n", &new.0])).await
}

/// Lets `old` in no longer; `kept` must be there.
pub(super) async fn remove(session: &mut Session<'_>, old: &PublicKey, kept: &PublicKey) -> Result<(), SetOutcome> {
    done(session, Command::new(REMOVE).reading(&[&old.0, "\n", &kept.0])).await
}

async fn done(session: &mut Session<'_>, command: Command) -> Result<(), SetOutcome> {
    let answer = session.run(&command).await?;
    if answer.status == 0 { Ok(()) } else { Err(refused(&command, &answer)) }
}

// Fixed texts, into which nothing is put: the keys come on standard input. They run as the user, so that nothing which
// that user could put in the way of root is in the way of anybody else. The file is replaced in one step.

/// Every line with the old key once more, with the new key.
const ADD: &str = r#"/bin/sh -c '
umask 077; IFS= read -r old; IFS= read -r new; cd && f=.ssh/authorized_keys || exit 1
if [ -h .ssh ] || [ -h "$f" ]; then echo "its authorized_keys is a link"; exit 1; fi
grep -qF "$old" "$f" || { echo "its present key is not in its .ssh/authorized_keys"; exit 1; }
{ grep -vF "$new" "$f"; sed -n "s|$old|$new|p" "$f"; } > "$f.claviger" && mv -f "$f.claviger" "$f"'"#;

/// Every line but those with the old key, if the kept one is there.
const REMOVE: &str = r#"/bin/sh -c '
umask 077; IFS= read -r old; IFS= read -r kept; cd && f=.ssh/authorized_keys || exit 1
if [ -h .ssh ] || [ -h "$f" ]; then echo "its authorized_keys is a link"; exit 1; fi
grep -qF "$kept" "$f" || { echo "the key that is to stay is not there"; exit 1; }
grep -vF "$old" "$f" > "$f.claviger" && mv -f "$f.claviger" "$f"'"#;
