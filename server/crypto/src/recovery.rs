//! Recovery codes: what a person writes down for the day on which the authenticator app is lost.
//!
//! 16 letters of Crockford's base 32 in groups of four, 80 random bits: `7K3M-9QXA-0F2T-HV5C`. Upper and lower case,
//! spaces and dashes do not matter; `O` is read as `0`, `I` and `L` as `1`.

use claviger_api::Secret;
use zeroize::Zeroizing;

use crate::random::Random;

/// Crockford's base 32: no `I`, `L`, `O`, `U`.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// 5 bits each.
const LETTERS: usize = 16;
const GROUP: usize = 4;

/// A new code, as it is written down.
#[expect(clippy::expect_used, reason = "a code is neither blank nor too long")]
pub fn generate(random: &dyn Random) -> Secret {
    let mut bytes = Zeroizing::new([0; LETTERS]);
    random.fill(&mut *bytes);
    let mut text = String::with_capacity(LETTERS + LETTERS / GROUP);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(ALPHABET.get(usize::from(byte & 31)).map_or('0', |letter| char::from(*letter)));
    }
    Secret::new(text).expect("a recovery code")
}

/// The one form of what somebody typed, for its keyed hash; `None` of what is no code.
pub fn canonical(typed: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let mut letters = Zeroizing::new(Vec::with_capacity(LETTERS));
    for byte in typed.expose().bytes() {
        let letter = match byte.to_ascii_uppercase() {
            b' ' | b'-' => continue,
            b'O' => b'0',
            b'I' | b'L' => b'1',
            letter => letter,
        };
        if !ALPHABET.contains(&letter) || letters.len() == LETTERS {
            return None;
        }
        letters.push(letter);
    }
    (letters.len() == LETTERS).then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::vectors::secret;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let random = Seeded::new(1);
        let code = generate(&random);
        let text = code.expose();
        assert_eq!((text.len(), text.matches('-').count()), (19, 3), "{text}");
        let one = canonical(&code).unwrap();
        for typed in [text.to_lowercase(), text.replace('-', ""), format!(" {} ", text.replace('-', " - "))] {
            assert_eq!(canonical(&secret(&typed)), Some(one.clone()), "{typed}");
        }
        assert_eq!(canonical(&secret("oil0-0000-0000-0000")).unwrap().as_slice(), b"0110000000000000");
        assert_ne!(canonical(&generate(&random)), Some(one));
    }

    #[test]
    fn what_is_no_code_is_none() {
        for typed in
            ["123456", "0000-0000-0000-000", "0000-0000-0000-00000", "000U-0000-0000-0000", "000é0000000000000"]
        {
            assert_eq!(canonical(&secret(typed)), None, "{typed}");
        }
    }
}
