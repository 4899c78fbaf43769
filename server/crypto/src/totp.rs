//! Codes of authenticator apps: TOTP ([RFC 6238](https://www.rfc-editor.org/rfc/rfc6238)).
//!
//! `code(step) = Truncate(HMAC-SHA-1(secret, step)) mod 10⁶`, `step = ⌊seconds since 1970 / 30⌋`: what every app knows.
//! SHA-1's weakness is collisions, and there are none to be had here (RFC 4226, appendix B.2).

use claviger_api::{Secret, Timestamp};
use totp_rs::{Algorithm, Builder, Totp};
use zeroize::Zeroizing;

use crate::random::Random;

/// The digits of a code.
pub const DIGITS: usize = 6;
/// How long a code is shown.
pub const STEP_SECONDS: u64 = 30;
/// Steps before and after the present one whose codes are taken: clocks differ, and typing takes a while (RFC 6238
/// section 5.2 recommends one).
pub const SKEW_STEPS: u64 = 1;
/// 160 bits, as RFC 4226 section 4 recommends.
pub const SECRET_BYTES: usize = 20;

/// The bytes are no secret of ours: the record is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a TOTP secret of another length")]
pub struct BadSecret;

/// A new secret.
pub fn generate(random: &dyn Random) -> Zeroizing<Vec<u8>> {
    let mut secret = Zeroizing::new(vec![0; SECRET_BYTES]);
    random.fill(&mut secret);
    secret
}

/// The step of a time.
pub fn step(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or(0) / STEP_SECONDS
}

/// The code of a step.
pub fn code(secret: &[u8], step: u64) -> Result<String, BadSecret> {
    Ok(totp(secret)?.generate(step.saturating_mul(STEP_SECONDS)).to_string())
}

/// The step whose code this is: of those around `now`, the first after `used`, the newest step that was taken before.
/// A code is exactly six digits; whatever else there is about it makes it no code.
pub fn accepted_step(
    secret: &[u8],
    code: &Secret,
    now: Timestamp,
    used: Option<u64>,
) -> Result<Option<u64>, BadSecret> {
    let totp = totp(secret)?;
    let text = code.expose();
    if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let now = step(now);
    let around = now.saturating_sub(SKEW_STEPS)..=now.saturating_add(SKEW_STEPS);
    let unused = around.filter(|step| used.is_none_or(|used| *step > used));
    // One step at a time, by the library's comparison, which takes no longer for a code that is nearly right.
    let is_of = |step: &u64| totp.check(text, step.saturating_mul(STEP_SECONDS)).is_some();
    Ok(unused.into_iter().find(is_of))
}

/// The secret as people type it.
pub fn as_base32(secret: &[u8]) -> Result<String, BadSecret> {
    Ok(totp(secret)?.secret().to_base32())
}

/// The secret of what people type.
pub fn from_base32(text: &Secret) -> Result<Zeroizing<Vec<u8>>, BadSecret> {
    let secret = totp_rs::Secret::try_from_base32(text.expose()).map_err(|_| BadSecret)?;
    let secret = Zeroizing::new(secret.as_ref().to_vec());
    if secret.len() == SECRET_BYTES { Ok(secret) } else { Err(BadSecret) }
}

/// `otpauth://totp/ISSUER:ACCOUNT?secret=…&issuer=ISSUER`, as apps read it from a QR code. A colon in the issuer
/// becomes a space: it would end the issuer.
pub fn uri(secret: &[u8], issuer: &str, account: &str) -> Result<String, BadSecret> {
    let issuer = issuer.replace(':', " ");
    let named = builder(secret).with_issuer(Some(issuer)).with_account_name(account.to_owned());
    named.build().and_then(|totp| totp.to_url()).map_err(|_| BadSecret)
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(0)
        .with_step_duration(STEP_SECONDS)
        .with_secret(secret.to_vec())
}

fn totp(secret: &[u8]) -> Result<Totp, BadSecret> {
    builder(secret).build().map_err(|_| BadSecret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seeded;
    use crate::vectors::secret as typed;

    /// RFC 6238, appendix B, SHA-1; the last six of its eight digits.
    const KNOWN: &[u8] = b"12345678901234567890";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn codes_are_those_of_the_standard() {
        for (second, expected) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(KNOWN, step(at(second))).unwrap(), expected, "{second}");
        }
    }

    #[test]
    fn a_code_is_good_a_step_before_and_after_its_own() {
        let now = 1_111_111_109;
        let own = step(at(now));
        for (by, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let shown = typed(&code(KNOWN, own.saturating_add_signed(by)).unwrap());
            assert_eq!(accepted_step(KNOWN, &shown, at(now), None).unwrap().is_some(), good, "{by}");
        }
        assert_eq!(accepted_step(&[1; SECRET_BYTES], &typed("081804"), at(now), None), Ok(None), "another's");
        assert_eq!(accepted_step(&[], &typed("081804"), at(now), None), Err(BadSecret), "no secret is no secret");
    }

    #[test]
    fn anvil_totp_reuse_a_step_is_taken_once_and_none_before_it() {
        let now = 1_111_111_109;
        let own = step(at(now));
        let shown = |by| typed(&code(KNOWN, own.saturating_add_signed(by)).unwrap());
        assert_eq!(accepted_step(KNOWN, &shown(0), at(now), Some(own)), Ok(None));
        assert_eq!(
            accepted_step(KNOWN, &shown(-1), at(now), Some(own)),
            Ok(None),
            "an older one, seen over a shoulder"
        );
        assert_eq!(accepted_step(KNOWN, &shown(1), at(now), Some(own)), Ok(Some(own + 1)));
        assert_eq!(accepted_step(KNOWN, &shown(0), at(now), Some(own - 1)), Ok(Some(own)));
    }

    #[test]
    fn anvil_totp_reuse_a_code_is_six_digits_and_nothing_else() {
        let now = at(1_111_111_109);
        assert!(accepted_step(KNOWN, &typed("081804"), now, None).unwrap().is_some());
        for other in [
            " 081804",
            "081804 ",
            "081 804",
            "081804\n",
            "\u{feff}081804",
            "+81804",
            "81804",
            "0081804",
            "０８１８０４",
            "08180٤",
            "081804\u{200b}",
            "0x1F8C",
            "81804.0",
        ] {
            assert_eq!(accepted_step(KNOWN, &typed(other), now, None), Ok(None), "{other:?}");
        }
    }

    #[test]
    fn an_app_reads_the_uri() {
        let secret = generate(&Seeded::new(1));
        let text = uri(&secret, "vault: Müller & Co", "anna").unwrap();
        let base32 = as_base32(&secret).unwrap();
        assert_eq!(base32.len(), 32);
        assert_eq!(from_base32(&typed(&base32)).as_ref(), Ok(&secret));
        assert!(from_base32(&typed("MZXW6")).is_err());
        let issuer = "vault%20%20M%C3%BCller%20%26%20Co";
        assert_eq!(text, format!("otpauth://totp/{issuer}:anna?secret={base32}&issuer={issuer}"));
        assert_ne!(secret, generate(&Seeded::new(2)));
    }
}
