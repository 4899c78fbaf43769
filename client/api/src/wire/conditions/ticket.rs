//! The form of a ticket.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::text_form;

/// The most characters of a pattern.
const PATTERN_MAX: usize = 200;
/// The most bytes that a pattern may need when it is made ready.
const SIZE_MAX: usize = 64 * 1024;

/// A regular expression that a whole ticket must match, e.g. `(INC|CHG)-[0-9]{4,8}`. It is matched in linear time: the
/// grammar of the `regex` crate has no back-references and no look-around.
#[derive(Clone)]
pub struct TicketPattern {
    text: String,
    whole: Arc<Regex>,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a ticket pattern is a regular expression of 1 to 200 characters without back-references or look-around, e.g. \
     (INC|CHG)-[0-9]+; a whole ticket must match it"
)]
pub struct BadTicketPattern;

impl TicketPattern {
    /// Whether the whole ticket is of this form.
    pub fn matches(&self, ticket: &str) -> bool {
        self.whole.is_match(ticket)
    }
}

impl FromStr for TicketPattern {
    type Err = BadTicketPattern;

    fn from_str(text: &str) -> Result<Self, BadTicketPattern> {
        let length = text.chars().count();
        if !(1..=PATTERN_MAX).contains(&length) || text.chars().any(char::is_control) {
            return Err(BadTicketPattern);
        }
        // Alone first, since what closes the group itself would not be anchored. What comments the group's end away
        // (verbose mode) leaves it open, and is refused.
        let ready = |text: &str| RegexBuilder::new(text).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).build();
        ready(text).map_err(|_| BadTicketPattern)?;
        let whole = ready(&format!(r"\A(?:{text})\z")).map_err(|_| BadTicketPattern)?;
        Ok(Self { text: text.to_owned(), whole: Arc::new(whole) })
    }
}

/// Two patterns are the same when their texts are.
impl PartialEq for TicketPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TicketPattern {}

impl fmt::Display for TicketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TicketPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

text_form!(TicketPattern, r"^[^\x00-\x1F\x7F]+$", PATTERN_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TicketPattern {
        text.parse().unwrap()
    }

    #[test]
    fn the_whole_ticket_matches_or_none_of_it_does() {
        let inc = pattern("INC-[0-9]+|CHG-[0-9]+");
        assert!(inc.matches("INC-7") && inc.matches("CHG-1234"));
        for ticket in ["", "INC-", "INC-7 ", "x INC-7", "INC-7\nCHG-1", "xCHG-1", "INC-7x"] {
            assert!(!inc.matches(ticket), "{ticket:?}");
        }
        let lines = pattern("(?m)^INC-7$");
        assert!(lines.matches("INC-7") && !lines.matches("INC-7\nx"));
    }

    /// The anchors stay, whatever a pattern switches on within its own group.
    #[test]
    fn a_pattern_cannot_shed_its_anchors() {
        for text in ["(?x)INC-7 # ends here", "(?x)INC-7 #", "INC-7)|(x", "(?:INC-7"] {
            if let Ok(pattern) = text.parse::<TicketPattern>() {
                assert!(!pattern.matches("INC-7 and anything"), "{text}");
                assert!(pattern.matches("INC-7"), "{text}");
            }
        }
        assert!("INC-7)|(x".parse::<TicketPattern>().is_err());
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        let long = "x".repeat(PATTERN_MAX + 1);
        for text in ["", "(", "[", "a{1000}{1000}", r"(a)\1", "(?=a)", "a\nb", &long] {
            assert!(text.parse::<TicketPattern>().is_err(), "{text}");
        }
        assert!("x".repeat(PATTERN_MAX).parse::<TicketPattern>().is_ok());
    }

    /// One that goes back on its steps would take 2⁵⁰⁰ of them.
    #[test]
    fn matching_takes_linear_time() {
        assert!(!pattern("(a+)+b").matches(&"a".repeat(500)));
    }
}
