//! A share as text that people type, whatever it is a share of: the seal key of a vault ([`crate::shares`]) or the key of an
//! emergency kit ([`crate::kit`]). Each has a prefix of its own, which its checksum takes in. Layout: `docs/formats.md`.

use std::sync::LazyLock;

use blahaj::{Share, Sharks};
use claviger_api::Secret;
use data_encoding::{Encoding, Specification};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::key::{KEY_BYTES, Key};
use crate::random::{Generator, Random};

pub(crate) const TAG_BYTES: usize = 4;
/// 48 bits: a slip passes once in 2⁴⁸, and the whole share fills its base-32 groups exactly.
const CHECKSUM_BYTES: usize = 6;
/// What it is a share of, key tag, threshold, index, data.
pub(crate) const BODY_BYTES: usize = 16 + TAG_BYTES + 1 + 1 + KEY_BYTES;

/// Why a text is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misread {
    /// It begins otherwise.
    NotAShare,
    /// A character, the length or the checksum is wrong.
    Mistyped,
    /// At index 0 lies the key itself.
    ZeroIndex,
}

/// A share as it was typed, its checksum verified.
pub(crate) struct Read {
    /// The vault, or the kit.
    pub of: Uuid,
    pub tag: [u8; TAG_BYTES],
    pub threshold: u8,
    pub index: u8,
    pub data: Key,
}

impl Read {
    pub fn of(prefix: &str, text: &Secret) -> Result<Self, Misread> {
        let text = text.expose().trim();
        let (begin, groups) = text.split_at_checked(prefix.len()).ok_or(Misread::NotAShare)?;
        if !begin.eq_ignore_ascii_case(prefix) {
            return Err(Misread::NotAShare);
        }
        let bytes = Zeroizing::new(BASE_32.decode(groups.as_bytes()).map_err(|_| Misread::Mistyped)?);
        let (body, given) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Misread::Mistyped)?;
        let body: &[u8; BODY_BYTES] = body.try_into().map_err(|_| Misread::Mistyped)?;
        if *given != checksum(prefix, body) {
            return Err(Misread::Mistyped);
        }
        Self::split(body).ok_or(Misread::Mistyped)?
    }

    fn split(body: &[u8; BODY_BYTES]) -> Option<Result<Self, Misread>> {
        let (of, rest) = body.split_first_chunk()?;
        let (tag, rest) = rest.split_first_chunk()?;
        let ([threshold, index], rest) = rest.split_first_chunk()?;
        let data: &[u8; KEY_BYTES] = rest.try_into().ok()?;
        if *index == 0 {
            return Some(Err(Misread::ZeroIndex));
        }
        if *threshold == 0 {
            return Some(Err(Misread::NotAShare));
        }
        Some(Ok(Self {
            of: Uuid::from_bytes(*of),
            tag: *tag,
            threshold: *threshold,
            index: *index,
            data: Key::filled(|bytes| bytes.copy_from_slice(data)),
        }))
    }
}

/// Splits a key; `threshold` is 1 or more, and no more than there are.
pub(crate) fn deal(key: &Key, shares: u8, threshold: u8, random: &dyn Random) -> Vec<Share> {
    Sharks(threshold).dealer_rng(key.bytes(), &mut Generator(random)).take(usize::from(shares)).collect()
}

/// What the shares give, by index and data: a key, and not known to be the right one.
pub(crate) fn recover(held: &[(u8, Key)], threshold: u8) -> Option<Key> {
    let shares = held.iter().map(|(index, data)| to_blahaj(*index, data)).collect::<Option<Vec<_>>>()?;
    let recovered = Zeroizing::new(Sharks(threshold).recover(&shares).ok()?);
    let recovered: &[u8; KEY_BYTES] = recovered.as_slice().try_into().ok()?;
    Some(Key::filled(|bytes| bytes.copy_from_slice(recovered)))
}

fn to_blahaj(index: u8, data: &Key) -> Option<Share> {
    let mut bytes = Zeroizing::new([0; 1 + KEY_BYTES]);
    let [first, rest @ ..] = &mut *bytes;
    *first = index;
    rest.copy_from_slice(data.bytes());
    Share::try_from(bytes.as_slice()).ok()
}

#[expect(clippy::expect_used, reason = "a share is neither blank nor too long")]
pub(crate) fn write(prefix: &str, of: Uuid, tag: [u8; TAG_BYTES], threshold: u8, share: &Share) -> Secret {
    let point = Zeroizing::new(Vec::from(share)); // index ‖ data
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES + CHECKSUM_BYTES));
    for part in [of.as_bytes().as_slice(), &tag, &[threshold], &point] {
        bytes.extend(part);
    }
    let checksum = checksum(prefix, &bytes);
    bytes.extend(checksum);

    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + BASE_32.encode_len(bytes.len())));
    text.push_str(prefix);
    BASE_32.encode_append(&bytes, &mut text);
    let text = text.trim_end_matches('-').to_owned();
    Secret::new(text).expect("a share")
}

/// The head of the SHA-256 of all before, under the prefix.
fn checksum(prefix: &str, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = Sha256::new().chain_update(prefix).chain_update(body).finalize();
    head(&hash.into())
}

pub(crate) fn head<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut head = [0; N];
    head.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
    head
}

/// Crockford's base 32 (<https://www.crockford.com/base32.html>) in groups of eight: no I, L, O or U to confuse, both
/// cases read, spaces and dashes ignored.
static BASE_32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut base = Specification::new();
    base.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    base.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    base.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    base.ignore.push_str(" \t\r\n");
    base.wrap.width = 8;
    base.wrap.separator.push('-');
    #[expect(clippy::expect_used, reason = "a constant, used by every test here")]
    base.encoding().expect("Crockford's base 32")
});

/// A share of altered bytes with a right checksum: what an attacker, not a typist, hands in.
#[cfg(test)]
pub(crate) fn forged(prefix: &str, alter: impl FnOnce(&mut [u8]), share: &Secret) -> Secret {
    let mut bytes = BASE_32.decode(&share.expose().as_bytes()[prefix.len()..]).unwrap();
    alter(&mut bytes[..BODY_BYTES]);
    let checksum = checksum(prefix, &bytes[..BODY_BYTES]);
    bytes[BODY_BYTES..].copy_from_slice(&checksum);
    crate::vectors::secret(&format!("{prefix}{}", BASE_32.encode(&bytes)))
}
