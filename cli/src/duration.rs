//! Durations as people write them: `30m`, `1h30m`, `45s`, `90d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time in whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(u64);

/// The units, largest first, and their seconds.
const UNITS: [(char, u64); 4] = [('d', 24 * 60 * 60), ('h', 60 * 60), ('m', 60), ('s', 1)];
/// The longest duration: as long as no grant lasts, so that sums cannot overflow.
const MAX: u64 = 10_000 * 24 * 60 * 60;

/// What is wrong with a duration.
#[derive(Debug, PartialEq, Eq)]
pub enum BadDuration {
    NoUnit,
    Unreadable,
    Order,
    Zero,
    TooLong,
}

impl Seconds {
    pub const fn get(self) -> u64 {
        self.0
    }

    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl FromStr for Seconds {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let mut rest = text;
        let mut total = 0_u64;
        let mut units = UNITS.iter();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(BadDuration::NoUnit)?;
            let (number, tail) = rest.split_at(digits);
            let mut tail = tail.chars();
            let unit = tail.next().ok_or(BadDuration::NoUnit)?;
            if number.is_empty() || !UNITS.iter().any(|(known, _)| *known == unit) {
                return Err(BadDuration::Unreadable);
            }
            // Each unit once, larger ones first.
            let (_, seconds) = units.find(|(known, _)| *known == unit).ok_or(BadDuration::Order)?;
            let number: u64 = number.parse().map_err(|_| BadDuration::TooLong)?;
            total =
                number.checked_mul(*seconds).and_then(|part| total.checked_add(part)).ok_or(BadDuration::TooLong)?;
            rest = tail.as_str();
        }
        match total {
            0 if text.is_empty() => Err(BadDuration::Unreadable),
            0 => Err(BadDuration::Zero),
            1..=MAX => Ok(Self(total)),
            _ => Err(BadDuration::TooLong),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{}{unit}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

impl fmt::Display for BadDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUnit => "a unit is missing: write 30m, 1h30m, 45s or 90d",
            Self::Unreadable => "not a duration: write 30m, 1h30m, 45s or 90d",
            Self::Order => "each unit once, larger ones first: write 1h30m",
            Self::Zero => "a duration is at least 1s",
            Self::TooLong => "a duration is at most 10000d",
        })
    }
}

impl std::error::Error for BadDuration {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("45s", 45), ("30m", 1800), ("1h30m", 5400), ("90d", 7_776_000), ("1d2h3m4s", 93_784)] {
            assert_eq!(text.parse(), Ok(Seconds(seconds)), "{text}");
        }
        for (text, why) in [
            ("30", BadDuration::NoUnit),
            ("1h30", BadDuration::NoUnit),
            ("", BadDuration::Unreadable),
            ("m", BadDuration::Unreadable),
            ("1.5h", BadDuration::Unreadable),
            ("-1m", BadDuration::Unreadable),
            ("1 h", BadDuration::Unreadable),
            ("30min", BadDuration::Unreadable),
            ("30m1h", BadDuration::Order),
            ("1m1m", BadDuration::Order),
            ("0s", BadDuration::Zero),
            ("10001d", BadDuration::TooLong),
            ("99999999999999999999s", BadDuration::TooLong),
            ("213503982334602d", BadDuration::TooLong),
        ] {
            assert_eq!(text.parse::<Seconds>(), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_reads_back_as_itself(seconds in 1..=MAX) {
            prop_assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,12}") {
            let _ = text.parse::<Seconds>();
        }
    }
}
