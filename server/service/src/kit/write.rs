//! The file of a kit: a tar of a text that says how it is opened, the body for the kit's key, and a share of that key for each
//! recipient. All but the text is encrypted before it is here, and what is not whole is not there.

use std::io::{self, Write as _};

use claviger_api::wire::Customer;
use claviger_api::{KitId, Secret, Timestamp};
use claviger_crypto::Random;
use claviger_crypto::kit::KitKey;
use claviger_crypto::recipients::{Recipient, Writing};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use super::Holders;
use super::body::{Body, Counts};
use crate::error::{Error, Result};
use crate::shelf::Shelf;

/// What the parts are called.
const README: &str = "README.txt";
const BODY: &str = "kit.age";
/// So much of a recipient is in the name of its share: `age1` and eight letters.
const NAMED_BY: usize = 12;
/// Everything in it is its owner's alone.
const MODE: u32 = 0o600;

/// Which kit.
pub(crate) struct About<'a> {
    pub kit: KitId,
    pub customer: &'a Customer,
    pub vault: &'a str,
    pub moment: Timestamp,
}

/// A file that is whole and on its disk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub bytes: u64,
    pub sha256: [u8; 32],
}

/// The file of a kit.
pub(crate) fn kit(body: &Body, about: &About<'_>, holders: &Holders, random: &dyn Random) -> Result<Vec<u8>> {
    let key = KitKey::generate(random);
    let count = u8::try_from(holders.all.len()).map_err(Error::internal)?;
    let shares = key.split(about.kit.uuid(), count, holders.threshold, random).map_err(Error::internal)?;
    let written = for_recipients(body, &[key.recipient()])?;
    drop(key);
    let mut tar = Tar { tar: Builder::new(Vec::new()), moment: about.moment };
    tar.add(README, readme(about, holders, body.counts()).as_bytes())?;
    tar.add(BODY, &written)?;
    for (number, (share, recipient)) in (1..).zip(shares.iter().zip(&holders.all)) {
        let text = share_text(number, share, about, holders);
        let content = sealed(std::slice::from_ref(recipient), |to| to.write_all(text.expose().as_bytes()))?;
        tar.add(&share_name(number, recipient), &content)?;
    }
    tar.tar.into_inner().map_err(Error::internal)
}

/// The body, for each of these alone.
pub(crate) fn for_recipients(body: &Body, recipients: &[Recipient]) -> Result<Vec<u8>> {
    sealed(recipients, |to| body.write(to))
}

fn sealed(recipients: &[Recipient], write: impl FnOnce(&mut Writing<Vec<u8>>) -> io::Result<()>) -> Result<Vec<u8>> {
    let mut to = Writing::begin(recipients, Vec::new()).map_err(Error::internal)?;
    write(&mut to).map_err(Error::internal)?;
    to.finish().map_err(Error::internal)
}

/// Puts a file on a shelf. When this is done it is there, whatever happens to the machine.
pub(crate) fn keep(shelf: &dyn Shelf, name: &str, content: &[u8]) -> io::Result<Written> {
    let mut file = shelf.begin(name)?;
    file.write_all(content)?;
    file.keep()?;
    Ok(Written { bytes: content.len() as u64, sha256: Sha256::digest(content).into() })
}

struct Tar {
    tar: Builder<Vec<u8>>,
    moment: Timestamp,
}

impl Tar {
    fn add(&mut self, name: &str, content: &[u8]) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(MODE);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(self.moment.as_second()).unwrap_or_default());
        self.tar.append_data(&mut header, name, content).map_err(Error::internal)
    }
}

fn share_name(number: usize, recipient: &Recipient) -> String {
    let recipient = recipient.to_string();
    format!("share-{number}-{}.age", recipient.get(..NAMED_BY).unwrap_or(&recipient))
}

/// What is in the file of a share. Lines that begin with # are passed over by the program that reads it.
#[expect(clippy::expect_used, reason = "a share and a line of words are neither blank nor too long")]
fn share_text(number: usize, share: &Secret, about: &About<'_>, holders: &Holders) -> Secret {
    let (slug, kit) = (&about.customer.slug, about.kit);
    let (count, threshold) = (holders.all.len(), holders.threshold);
    let text =
        format!("# share {number} of {count} of the kit {kit} of {slug}; {threshold} are needed\n{}\n", share.expose());
    Secret::new(text).expect("a share")
}

/// What whoever finds the file has to know, and may: it is not encrypted.
fn readme(about: &About<'_>, holders: &Holders, counts: Counts) -> String {
    let About { kit, customer, vault, moment } = about;
    let (slug, name) = (&customer.slug, &customer.display_name);
    let (count, threshold) = (holders.all.len(), holders.threshold);
    let Counts { accounts, secrets } = counts;
    let shares: Vec<String> = (1..)
        .zip(&holders.all)
        .map(|(number, recipient)| {
            let whose = if number <= holders.own { "the customer's" } else { "the MSP's" };
            format!("  {:<26} for {recipient} ({whose})", share_name(number, recipient))
        })
        .collect();
    let shares = shares.join("\n");
    format!(
        "EMERGENCY KIT {kit}
of the customer {slug} ({name})
as of {moment}, by the vault {vault}

What this is

What opens {slug}'s systems, for the day on which the vault that keeps it is gone: {accounts} accounts with
{secrets} secrets. It needs no vault, no server and no network to be opened, but any {threshold} of the {count} people who hold
a share of its key, each with a private key of their own. Fewer of them learn nothing.

  {README:<26} this text
  {BODY:<26} what opens the systems, encrypted
{shares}

What is needed

  age                        https://age-encryption.org, or the package age of Debian and others
  claviger-server            the vault's program, of version {version} or newer, as a program alone

How it is opened

1. Choose one machine that can be trusted, without a network if possible, and unpack the file there:

     tar -xf THIS-FILE

2. Each of {threshold} holders decrypts their share with their own private key, there or on a machine of their own:

     age -d -i PRIVATE-KEY-FILE share-N-age1….age

   It is a line that begins with cek1-. They give it to whoever opens the kit; a line that begins with # need not be.

3. Whoever opens the kit gives the shares one after the other, at the prompt:

     claviger-server combine-kit | age -d -i - {BODY} > kit.json

   A share that is mistyped, or of another kit, is named, and asked for again.

4. kit.json holds each system, how it is reached, its accounts and their secrets, the one to try first before the
   others. Who has it has everything: erase it as soon as it is not needed any more.

When the vault is back

     claviger kit opened {slug} {kit} --reason TEXT

tells it that the kit was opened: every secret of {slug} is replaced, and what is in the kit opens nothing any more.
",
        version = env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn names_say_whose_a_share_is() {
        let text = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        assert_eq!(share_name(2, &text.parse().unwrap()), "share-2-age1ql3z7hjy.age");
    }

    #[test]
    fn a_tar_holds_what_was_put_into_it_for_its_owner_alone() {
        let moment = Timestamp::from_second(1_795_000_000).unwrap();
        let mut tar = Tar { tar: Builder::new(Vec::new()), moment };
        tar.add("one.age", b"content").unwrap();
        let bytes = tar.tar.into_inner().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str(), Some("one.age"));
        let header = entry.header();
        assert_eq!((header.mode().unwrap(), header.mtime().unwrap(), header.uid().unwrap()), (0o600, 1_795_000_000, 0));
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(content, "content");
    }
}
