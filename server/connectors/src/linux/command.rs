//! What is run on a host.
//!
//! sshd gives a command to the user's own shell as one line. So that no shell can read it otherwise than it is meant, a
//! line is made of words that stand in this source, of names that [`UserName`] let through, of paths that [`FilePath`] did,
//! and of numbers; there is no way to put any other text into one. Secrets, and all that somebody wrote, go to standard input.

use std::fmt::Write as _;

use bytes::Bytes;
use claviger_api::wire::{FileMode, FilePath};
use claviger_api::{Secret, Timestamp};
use zeroize::Zeroizing;

use super::name::UserName;

/// One command and what it reads.
pub(super) struct Command {
    line: String,
    input: Zeroizing<Vec<u8>>,
}

impl Command {
    /// A program by its full path, so that no `PATH` decides which it is, and its first words.
    pub(super) fn new(words: &'static str) -> Self {
        Self { line: words.to_owned(), input: Zeroizing::default() }
    }

    /// Further words.
    pub(super) fn words(mut self, words: &'static str) -> Self {
        self.line.push(' ');
        self.line.push_str(words);
        self
    }

    /// A user or a group.
    pub(super) fn name(self, name: &UserName<'_>) -> Self {
        self.prefixed(" ", name)
    }

    /// A word that begins as given and ends with a name, e.g. a file's.
    pub(super) fn prefixed(mut self, prefix: &'static str, name: &UserName<'_>) -> Self {
        self.line.push_str(prefix);
        self.line.push_str(name.as_str());
        self
    }

    /// The file in `/etc/sudoers.d` that is about this user. sudo passes over names with a dot in them.
    pub(super) fn sudoers_file(mut self, user: &UserName<'_>, ending: &'static str) -> Self {
        self.line.push_str(" /etc/sudoers.d/claviger_");
        self.line.extend(user.as_str().chars().map(|c| if c == '.' { '=' } else { c }));
        self.line.push_str(ending);
        self
    }

    /// A file below a user's home, which the shell finds (POSIX.1-2017 XCU §2.6.1).
    pub(super) fn file_at_home(mut self, user: &UserName<'_>, file: &'static str) -> Self {
        self.line.push_str(" ~");
        self.line.push_str(user.as_str());
        self.line.push_str(file);
        self
    }

    /// Several groups as one word.
    pub(super) fn names(mut self, names: &[UserName<'_>]) -> Self {
        self.line.push(' ');
        for (at, name) in names.iter().enumerate() {
            self.line.push_str(if at == 0 { "" } else { "," });
            self.line.push_str(name.as_str());
        }
        if names.is_empty() {
            self.line.push_str("''");
        }
        self
    }

    /// A file.
    pub(super) fn path(mut self, before: &'static str, path: &FilePath, ending: &'static str) -> Self {
        self.line.push_str(before);
        self.line.push_str(path.as_str());
        self.line.push_str(ending);
        self
    }

    /// A user and a group, as `chown` names them.
    pub(super) fn owners(mut self, user: &UserName<'_>, group: &UserName<'_>) -> Self {
        let _infallible = write!(self.line, " {}:{}", user.as_str(), group.as_str());
        self
    }

    /// A file's mode, in octal.
    pub(super) fn mode(mut self, mode: FileMode) -> Self {
        let _infallible = write!(self.line, " {mode}");
        self
    }

    /// A number.
    pub(super) fn number(mut self, number: u32) -> Self {
        let _infallible = write!(self.line, " {number}");
        self
    }

    /// A day in UTC, e.g. `2026-11-28`.
    pub(super) fn day(mut self, at: Timestamp) -> Self {
        let _infallible = write!(self.line, " {}", at.strftime("%Y-%m-%d"));
        self
    }

    /// A line to be read.
    pub(super) fn reading(mut self, parts: &[&str]) -> Self {
        self.input.reserve(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
        for part in parts {
            self.input.extend_from_slice(part.as_bytes());
        }
        self.input.push(b'\n');
        self
    }

    /// All that is to be read, exactly.
    pub(super) fn reading_only(mut self, secret: &Secret) -> Self {
        self.input.extend_from_slice(secret.expose().as_bytes());
        self
    }

    /// The line that the host's shell gets.
    pub(super) fn line(&self, by: Rights) -> String {
        match by {
            Rights::Own => self.line.clone(),
            Rights::Sudo => format!("/usr/bin/sudo -n -- {}", self.line),
        }
    }

    /// The program alone, for messages.
    pub(super) fn program(&self) -> &str {
        let first = self.line.split(' ').next().unwrap_or_default();
        first.rsplit('/').next().unwrap_or_default()
    }

    /// What it reads; wiped when it has been sent.
    pub(super) fn input(&self) -> Bytes {
        Bytes::from_owner(self.input.clone())
    }
}

/// By whose right a command is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rights {
    /// The user's who is logged in.
    Own,
    /// root's, whom sudo lets the user be without asking.
    Sudo,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_words_and_names_and_what_is_read_is_not_in_it() {
        let (user, group, other) = ("a.b_1".parse().unwrap(), "adm".parse().unwrap(), "web".parse().unwrap());
        let [user, group, other] = [&user, &group, &other].map(|login| UserName::of(login).unwrap());
        let command = Command::new("/usr/sbin/useradd -m -G")
            .names(&[group, other])
            .words("-u")
            .number(20_000)
            .words("-e")
            .day("2026-11-28T23:59:59Z".parse().unwrap())
            .name(&user)
            .reading(&["$(id)", ":", "`id`"]);
        assert_eq!(
            command.line(Rights::Sudo),
            "/usr/bin/sudo -n -- /usr/sbin/useradd -m -G adm,web -u 20000 -e 2026-11-28 a.b_1"
        );
        assert_eq!((command.input().as_ref(), command.program()), (&b"$(id):`id`\n"[..], "useradd"));
        let at_home = Command::new("/usr/bin/stat").file_at_home(&user, "/.ssh/authorized_keys");
        assert_eq!(at_home.line(Rights::Own), "/usr/bin/stat ~a.b_1/.ssh/authorized_keys");
        let file = Command::new("/bin/rm -f").sudoers_file(&user, ".new");
        assert_eq!(file.line(Rights::Own), "/bin/rm -f /etc/sudoers.d/claviger_a=b_1.new");
        assert_eq!(Command::new("/usr/sbin/usermod -G").names(&[]).line(Rights::Own), "/usr/sbin/usermod -G ''");
    }
}
