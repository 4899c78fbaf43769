//! Files for age recipients ([age v1](https://age-encryption.org/v1), X25519): written to their public keys, and read by
//! whoever has one of the private ones, with this program or with the `age` tool.
//!
//! The format seals 64 KiB at a time under ChaCha20-Poly1305 and marks the last piece, so that a file that was cut, extended or
//! altered is noticed where that shows. It does not say who has written it: anybody can write to a public key. Its one-time keys
//! are drawn by the `age` crate, from the operating system.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::str::FromStr;

use age::stream::{StreamReader, StreamWriter};
use age::x25519;

/// Somebody that files are written for, by the public key (`age1…`).
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an age recipient: write a public key, age1 and 58 more letters and digits, as age-keygen shows it")]
pub struct BadRecipient;

/// Private keys, as `age-keygen` writes them.
pub struct Identities(Vec<x25519::Identity>);

/// A text that is no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentities {
    /// There is something else in it.
    #[error("line {0} is no age identity (AGE-SECRET-KEY-1…), no comment and not empty")]
    Line(usize),
    /// There is none.
    #[error("there is no age identity (AGE-SECRET-KEY-1…) in it")]
    None,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is something else.
    #[error("it is no age file, or its head is damaged")]
    NotAge,
    /// It was written for others.
    #[error("it was written for others: none of the identities opens it")]
    OtherRecipients,
    /// The disk, or what the file comes from.
    #[error("{0}")]
    Io(io::Error),
}

impl FromStr for Recipient {
    type Err = BadRecipient;

    fn from_str(text: &str) -> Result<Self, BadRecipient> {
        text.parse().map(Self).map_err(|_| BadRecipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Recipient {}

impl Identities {
    /// Reads a file of `age-keygen`: an identity a line, and comments. The text is the caller's to wipe.
    pub fn parse(text: &str) -> Result<Self, BadIdentities> {
        let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let identities = keys.map(|(number, line)| line.parse().map_err(|_| BadIdentities::Line(number)));
        let identities = identities.collect::<Result<Vec<x25519::Identity>, _>>()?;
        if identities.is_empty() { Err(BadIdentities::None) } else { Ok(Self(identities)) }
    }

    /// The public key of the first.
    pub(crate) fn first_public(&self) -> Option<Recipient> {
        self.0.first().map(|identity| Recipient(identity.to_public()))
    }
}

/// A file as it is written. What was written is a whole file only after [`Writing::finish`].
pub struct Writing<W: Write>(StreamWriter<W>);

impl<W: Write> Writing<W> {
    /// Begins a file that each of the recipients reads; there is at least one.
    pub fn begin(recipients: &[Recipient], to: W) -> io::Result<Self> {
        let recipients = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients);
        let encryptor = encryptor.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.to_string()))?;
        encryptor.wrap_output(to).map(Self)
    }

    /// Ends it.
    pub fn finish(self) -> io::Result<W> {
        self.0.finish()
    }
}

impl<W: Write> Write for Writing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A file as it is read. An error of kind `UnexpectedEof` says that it was cut, one of `InvalidData` that it was cut within a piece,
/// or altered.
pub struct Reading<R: Read>(StreamReader<R>);

impl<R: BufRead> Reading<R> {
    /// Begins to read.
    pub fn begin(identities: &Identities, from: R) -> Result<Self, Unreadable> {
        use age::DecryptError as E;
        let unreadable = |error: E| match error {
            E::NoMatchingKeys => Unreadable::OtherRecipients,
            E::Io(error) if error.kind() != ErrorKind::UnexpectedEof => Unreadable::Io(error),
            E::Io(_)
            | E::DecryptionFailed
            | E::ExcessiveWork { .. }
            | E::InvalidHeader
            | E::InvalidMac
            | E::KeyDecryptionFailed
            | E::UnknownFormat => Unreadable::NotAge,
        };
        let decryptor = age::Decryptor::new_buffered(from).map_err(unreadable)?;
        let mine = identities.0.iter().map(|identity| identity as &dyn age::Identity);
        decryptor.decrypt(mine).map(Self).map_err(unreadable)
    }
}

impl<R: Read> Read for Reading<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a key of the test's own, which opens nothing else")]
    fn new_identity() -> (claviger_api::Secret, Recipient) {
        let identity = x25519::Identity::generate();
        let text = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
        (claviger_api::Secret::new(text).unwrap(), Recipient(identity.to_public()))
    }

    fn written(recipients: &[Recipient], text: &[u8]) -> Vec<u8> {
        let mut writing = Writing::begin(recipients, Vec::new()).unwrap();
        writing.write_all(text).unwrap();
        writing.finish().unwrap()
    }

    fn read(identities: &Identities, file: &[u8]) -> Result<Vec<u8>, String> {
        let mut reading = Reading::begin(identities, file).map_err(|error| error.to_string())?;
        let mut text = Vec::new();
        reading.read_to_end(&mut text).map_err(|error| format!("{:?}", error.kind()))?;
        Ok(text)
    }

    #[test]
    fn each_recipient_reads_it_and_nobody_else() {
        let people: Vec<_> = (0..3).map(|_| new_identity()).collect();
        let identities: Vec<_> = people
            .iter()
            .map(|(text, _)| Identities::parse(&format!("# of a person\n\n{}\n", text.expose())).unwrap())
            .collect();
        let text = vec![7; 200_000];
        let file = written(&[people[0].1.clone(), people[1].1.clone()], &text);
        for identity in &identities[..2] {
            assert_eq!(read(identity, &file).as_ref(), Ok(&text));
        }
        assert!(read(&identities[2], &file).unwrap_err().contains("written for others"));
        assert!(Writing::begin(&[], Vec::new()).is_err(), "a file for nobody is not begun");
    }

    #[test]
    fn a_file_that_was_cut_or_altered_is_noticed() {
        let (text, recipient) = new_identity();
        let identity = Identities::parse(text.expose()).unwrap();
        let file = written(&[recipient], &vec![7; 200_000]);
        for cut in [file.len() - 1, file.len() - 17, 70_000, 20_000] {
            let refused = read(&identity, &file[..cut]).unwrap_err();
            assert!(["UnexpectedEof", "InvalidData"].contains(&refused.as_str()), "{cut}: {refused}");
        }
        assert!(read(&identity, &file[..100]).unwrap_err().contains("no age file"));
        let mut altered = file.clone();
        altered[100_000] ^= 1;
        assert_eq!(read(&identity, &altered).unwrap_err(), "InvalidData");
        assert!(read(&identity, b"a file of something else").unwrap_err().contains("no age file"));
    }

    #[test]
    fn keys_are_read_as_age_keygen_writes_them() {
        let (text, recipient) = new_identity();
        assert_eq!(recipient.to_string().parse(), Ok(recipient.clone()));
        for wrong in ["", "age1", text.expose(), "ssh-ed25519 AAAA"] {
            assert_eq!(wrong.parse::<Recipient>(), Err(BadRecipient));
        }
        assert_eq!(Identities::parse("# nothing\n").err(), Some(BadIdentities::None));
        let public = recipient.to_string();
        assert_eq!(Identities::parse(&format!("\n{}\n{public}", text.expose())).err(), Some(BadIdentities::Line(3)));
    }
}
