//! Tokens that programs and browsers hold: a prefix that names the kind (and that secret scanners can look for), 256
//! random bits, and a checksum that tells a mistyped token from an unknown one before any look-up.
//!
//! The store keeps their SHA-256 only. A plain hash is right here, and Argon2id would be a waste: nobody can guess 256
//! random bits, so there is nothing to slow down, and a token is checked with every request.

use claviger_api::Secret;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::random::Random;

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A service account's standing credential.
    ServiceAccount,
    /// Renews a session.
    Refresh,
    /// Lets one person enrol, once.
    Enrolment,
    /// A right password that waits for its second factor.
    Challenge,
    /// Lets one user be linked to an identity provider, once.
    Invitation,
}

impl TokenKind {
    /// The prefix: shipped once, never used for anything else.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::ServiceAccount => "cvs_",
            Self::Refresh => "cvr_",
            Self::Enrolment => "cve_",
            Self::Challenge => "cvc_",
            Self::Invitation => "cvl_",
        }
    }
}

/// Why a text is no token of the kind that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// The prefix is another's, or none.
    #[error("not a token of this kind: it begins with {prefix}")]
    OtherKind {
        /// The prefix that was expected.
        prefix: &'static str,
    },
    /// The length, a character or the checksum is wrong.
    #[error("the token is incomplete or mistyped; copy it again, whole")]
    Mistyped,
}

/// The SHA-256 of a token's text: what is stored, and looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash that was stored as these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }
}

/// Tokens are made and read here; in between they are [`Secret`]s.
#[derive(Debug)]
pub enum Token {}

impl Token {
    /// A new token of this kind. Its hash is what [`Token::parse`] makes of it.
    #[expect(clippy::expect_used, reason = "a token is neither blank nor too long")]
    pub fn generate(kind: TokenKind, random: &dyn Random) -> Secret {
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_CHARS));
        text.push_str(kind.prefix());
        while text.len() < kind.prefix().len() + RANDOM_CHARS {
            text.extend(draw(random));
        }
        let checksum = checksum(&text);
        text.extend(checksum);
        Secret::new(std::mem::take(&mut *text)).expect("a token")
    }

    /// Checks kind and checksum, and gives what to look up. Nothing else of the text is worth looking at.
    pub fn parse(kind: TokenKind, token: &Secret) -> Result<TokenHash, BadToken> {
        let text = token.expose();
        let prefix = kind.prefix();
        let tail = text.strip_prefix(prefix).ok_or(BadToken::OtherKind { prefix })?;
        if text.len() != TOKEN_CHARS || !tail.bytes().all(|byte| ALPHABET.contains(&byte)) {
            return Err(BadToken::Mistyped);
        }
        let (body, given) = text.split_at(TOKEN_CHARS - CHECKSUM_CHARS);
        if given.chars().ne(checksum(body)) {
            return Err(BadToken::Mistyped);
        }
        Ok(TokenHash(Sha256::digest(text).into()))
    }
}

/// Base 62: a double click selects the whole token, and no quoting, URL or header needs an escape for it.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 43 characters of 62 are 256 bits: 62⁴³ > 2²⁵⁶.
const RANDOM_CHARS: usize = 43;
/// 6 characters of 62 hold 32 bits.
const CHECKSUM_CHARS: usize = 6;
/// Prefix, random part, checksum.
pub const TOKEN_CHARS: usize = 4 + RANDOM_CHARS + CHECKSUM_CHARS;

/// One character, each equally likely; `None` where the draw would favour some.
fn draw(random: &dyn Random) -> Option<char> {
    let mut byte = Zeroizing::new([0]);
    random.fill(&mut *byte);
    let [byte] = *byte;
    ALPHABET.get(usize::from(byte & 63)).map(|char| char::from(*char))
}

/// The first 32 bits of the SHA-256 of all before, in base 62.
fn checksum(body: &str) -> [char; CHECKSUM_CHARS] {
    let hash: [u8; 32] = Sha256::digest(body).into();
    let mut number = hash.first_chunk().map_or(0, |head| u32::from_be_bytes(*head));
    let mut chars = ['0'; CHECKSUM_CHARS];
    for char in chars.iter_mut().rev() {
        let digit = ALPHABET.get((number % 62) as usize);
        *char = digit.map_or('0', |digit| char::from(*digit));
        number /= 62;
    }
    chars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::vectors::{Counting, documented, documented_text, secret};

    const KINDS: [TokenKind; 5] = [
        TokenKind::ServiceAccount,
        TokenKind::Refresh,
        TokenKind::Enrolment,
        TokenKind::Challenge,
        TokenKind::Invitation,
    ];

    #[test]
    fn a_token_reads_back_as_its_kind_and_as_no_other() {
        let random = Seeded::new(1);
        for made in KINDS {
            let token = Token::generate(made, &random);
            for read in KINDS {
                assert_eq!(Token::parse(read, &token).is_ok(), made == read);
            }
        }
        let another = Token::generate(TokenKind::Refresh, &random);
        let token = Token::generate(TokenKind::Refresh, &random);
        assert_ne!(Token::parse(TokenKind::Refresh, &token), Token::parse(TokenKind::Refresh, &another));
    }

    #[test]
    fn every_single_slip_of_the_finger_is_caught() {
        let token = Token::generate(TokenKind::ServiceAccount, &Seeded::new(2));
        for at in 4..TOKEN_CHARS {
            for typed in ALPHABET.iter().chain(b" -_.") {
                let mut text = token.expose().as_bytes().to_vec();
                if text[at] == *typed {
                    continue;
                }
                text[at] = *typed;
                let text = secret(std::str::from_utf8(&text).unwrap());
                assert_eq!(Token::parse(TokenKind::ServiceAccount, &text), Err(BadToken::Mistyped), "at {at}");
            }
        }
        let text = token.expose();
        for wrong in [&text[1..], &text[..text.len() - 1], &format!("{text}0"), &format!("{text} "), "cvs_", "cvs_é"] {
            assert!(Token::parse(TokenKind::ServiceAccount, &secret(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_character_is_equally_likely() {
        let random = Seeded::new(3);
        let mut seen = [0_u32; 62];
        for _ in 0..2_000 {
            for char in Token::generate(TokenKind::Refresh, &random).expose()[4..4 + RANDOM_CHARS].bytes() {
                seen[ALPHABET.iter().position(|c| *c == char).unwrap()] += 1;
            }
        }
        let expected = f64::from(2_000_u32 * 43) / 62.0;
        let chi_squared: f64 = seen.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
        assert!(chi_squared < 110.0, "61 degrees of freedom: {chi_squared}");
    }

    #[test]
    fn the_format_is_frozen() {
        let token = Token::generate(TokenKind::ServiceAccount, &Counting::new());
        documented_text("service account's token", token.expose());
        documented("its stored hash", &Token::parse(TokenKind::ServiceAccount, &token).unwrap().to_bytes());
    }
}
