//! Secrets are never arguments: every user of the machine can read arguments, and shells keep them.

use std::ffi::OsString;

use crate::failure::Failure;

/// Options that would carry a secret. They do not exist; whoever tries them is told how to do it.
const NEVER: [&str; 11] = [
    "--password",
    "--pass",
    "--secret",
    "--share",
    "--token",
    "--access-token",
    "--refresh-token",
    "--code",
    "--totp",
    "--recovery-code",
    "--unseal-key",
];
/// Switches that announce a secret and take no value.
const SWITCHES: [&str; 3] = ["--passphrase", "--enrolment", "--confirmation"];

/// The refusal of a command line that holds a secret; what follows `--` belongs to another program.
pub fn secret_in_arguments(words: &[OsString]) -> Option<Failure> {
    let own = words.iter().skip(1).map(|word| word.to_string_lossy()).take_while(|word| word != "--");
    for word in own {
        let (name, value) = word.split_once('=').map_or((&*word, None), |(name, value)| (name, Some(value)));
        if NEVER.contains(&name) || (SWITCHES.contains(&name) && value.is_some()) {
            return Some(Failure::usage(
                format!(
                    "{name} takes no value here: other users of this machine can read arguments, and shells keep them"
                ),
                "leave it away: claviger asks for it, or reads it from standard input with --stdin; a service \
                 account's token comes from CLAVIGER_TOKEN. What you typed has been seen: change it",
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> bool {
        secret_in_arguments(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).is_some()
    }

    #[test]
    fn anvil_child_process_a_secret_is_refused_as_an_argument() {
        assert!(refused("claviger login anna --password hunter2"));
        assert!(refused("claviger login anna --password=hunter2"));
        assert!(refused("claviger operator init --administrator anna --passphrase=hunter2"));
        assert!(refused("claviger account add a/b/c --secret hunter2"));
        assert!(refused("claviger --token cvs_x whoami"));
        assert!(!refused("claviger operator init --administrator anna --passphrase"));
        assert!(!refused("claviger account add a/b/c --password-length 40"));
        assert!(!refused("claviger exec a/b/c --reason x -- mysql --password=y"));
    }
}
