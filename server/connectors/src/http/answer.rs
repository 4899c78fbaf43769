//! What an answer means: the first rule that it fits. What fits none is unknown, and never taken for yes or no.

use claviger_api::wire::{HttpMeaning, ProbeResult};
use serde_json::Value;

use crate::SetOutcome;
use crate::failure::Failure;

/// The meanings that one kind of call knows.
pub(super) trait Means: Copy {
    /// All of them.
    const ALL: &'static [HttpMeaning];
    /// Those without which the call is of no use.
    const NEEDED: &'static [HttpMeaning];
    /// Whether such a call opens a session.
    const OPENS: bool = false;

    /// One as a description writes it; nothing, where this kind of call does not know it.
    fn of(meaning: HttpMeaning) -> Option<Self>;
}

/// What a login attempt told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    Accepted,
    MustChange,
    Refused,
    LockedOut,
    Unavailable,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    Applied,
    Refused,
    RefusedByPolicy,
    Unavailable,
}

/// Who made a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Absent,
    Ours,
    Others,
    Unavailable,
}

impl Means for Tried {
    const ALL: &'static [HttpMeaning] = &[
        HttpMeaning::Accepted,
        HttpMeaning::MustChange,
        HttpMeaning::Refused,
        HttpMeaning::LockedOut,
        HttpMeaning::Unavailable,
    ];
    const NEEDED: &'static [HttpMeaning] = &[HttpMeaning::Accepted, HttpMeaning::Refused];
    const OPENS: bool = true;

    fn of(meaning: HttpMeaning) -> Option<Self> {
        match meaning {
            HttpMeaning::Accepted => Some(Self::Accepted),
            HttpMeaning::MustChange => Some(Self::MustChange),
            HttpMeaning::Refused => Some(Self::Refused),
            HttpMeaning::LockedOut => Some(Self::LockedOut),
            HttpMeaning::Unavailable => Some(Self::Unavailable),
            HttpMeaning::Applied
            | HttpMeaning::RefusedByPolicy
            | HttpMeaning::Absent
            | HttpMeaning::Ours
            | HttpMeaning::Others => None,
        }
    }
}

impl Means for Changed {
    const ALL: &'static [HttpMeaning] =
        &[HttpMeaning::Applied, HttpMeaning::Refused, HttpMeaning::RefusedByPolicy, HttpMeaning::Unavailable];
    const NEEDED: &'static [HttpMeaning] = &[HttpMeaning::Applied];

    fn of(meaning: HttpMeaning) -> Option<Self> {
        match meaning {
            HttpMeaning::Applied => Some(Self::Applied),
            HttpMeaning::Refused => Some(Self::Refused),
            HttpMeaning::RefusedByPolicy => Some(Self::RefusedByPolicy),
            HttpMeaning::Unavailable => Some(Self::Unavailable),
            HttpMeaning::Accepted
            | HttpMeaning::MustChange
            | HttpMeaning::LockedOut
            | HttpMeaning::Absent
            | HttpMeaning::Ours
            | HttpMeaning::Others => None,
        }
    }
}

impl Means for Found {
    const ALL: &'static [HttpMeaning] =
        &[HttpMeaning::Absent, HttpMeaning::Ours, HttpMeaning::Others, HttpMeaning::Unavailable];
    const NEEDED: &'static [HttpMeaning] = &[HttpMeaning::Absent, HttpMeaning::Ours, HttpMeaning::Others];

    fn of(meaning: HttpMeaning) -> Option<Self> {
        match meaning {
            HttpMeaning::Absent => Some(Self::Absent),
            HttpMeaning::Ours => Some(Self::Ours),
            HttpMeaning::Others => Some(Self::Others),
            HttpMeaning::Unavailable => Some(Self::Unavailable),
            HttpMeaning::Accepted
            | HttpMeaning::MustChange
            | HttpMeaning::LockedOut
            | HttpMeaning::Applied
            | HttpMeaning::Refused
            | HttpMeaning::RefusedByPolicy => None,
        }
    }
}

/// How answers to a call are read.
pub(super) struct Reading<M> {
    pub(super) rules: Vec<Rule<M>>,
    pub(super) words: Option<Pointer>,
}

/// Answers, and what they mean.
pub(super) struct Rule<M> {
    pub(super) statuses: Vec<u16>,
    /// Where the body has something, and what.
    pub(super) body: Option<(Pointer, Option<Value>)>,
    pub(super) means: M,
}

impl<M: Means> Reading<M> {
    /// Whether any rule knows this status: the body of another says nothing.
    pub(super) fn knows(&self, status: u16) -> bool {
        self.rules.iter().any(|rule| rule.statuses.contains(&status))
    }

    /// The meaning of an answer.
    pub(super) fn meaning(&self, status: u16, body: Option<&Value>) -> Option<M> {
        let fits = |rule: &&Rule<M>| {
            rule.statuses.contains(&status)
                && match &rule.body {
                    None => true,
                    Some((pointer, None)) => pointer.of(body).is_some(),
                    Some((pointer, Some(value))) => pointer.of(body) == Some(value),
                }
        };
        self.rules.iter().find(fits).map(|rule| rule.means)
    }
}

/// Where something is in JSON (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer(String);

impl Pointer {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let escaped = text.replace("~0", "").replace("~1", "");
        let well_formed = (text.is_empty() || text.starts_with('/')) && !escaped.contains('~');
        (well_formed && text.len() <= claviger_api::wire::HTTP_TEXT_MAX).then(|| Self(text.to_owned()))
    }

    /// What is there.
    pub(super) fn of<'a>(&self, body: Option<&'a Value>) -> Option<&'a Value> {
        body?.pointer(&self.0)
    }

    /// The text that is there.
    pub(super) fn text_of<'a>(&self, body: Option<&'a Value>) -> Option<&'a str> {
        self.of(body)?.as_str()
    }
}

impl Tried {
    /// What a login attempt told, or why there is no session.
    pub(super) fn outcome(self, detail: String) -> Result<&'static str, Failure> {
        let result = match self {
            Self::Accepted => return Ok("logged in"),
            Self::MustChange => return Ok("logged in; its secret has to be changed"),
            Self::Refused => ProbeResult::Refused,
            Self::LockedOut => ProbeResult::LockedOut,
            Self::Unavailable => ProbeResult::Unreachable,
        };
        Err(Failure { result, detail })
    }
}

impl Changed {
    /// What is known after the change.
    pub(super) fn outcome(self, detail: String) -> Result<(), SetOutcome> {
        match self {
            Self::Applied => Ok(()),
            Self::Refused => Err(SetOutcome::Refused { detail, by_policy: false }),
            Self::RefusedByPolicy => Err(SetOutcome::Refused { detail, by_policy: true }),
            Self::Unavailable => Err(SetOutcome::NotSent { result: ProbeResult::Unreachable, detail }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_rule_that_fits_is_the_meaning() {
        let rule = |status, pointer: Option<&str>, equals: Option<Value>, means| Rule {
            statuses: vec![status],
            body: pointer.map(|text| (Pointer::parse(text).unwrap(), equals)),
            means,
        };
        let rules = vec![
            rule(200, Some("/error/code"), Some(json!(7)), Tried::LockedOut),
            rule(200, Some("/error"), None, Tried::Refused),
            rule(200, Some("/ok"), Some(json!(true)), Tried::Accepted),
            rule(401, None, None, Tried::Refused),
        ];
        let reading = Reading { rules, words: None };
        let means = |status, body: Value| reading.meaning(status, Some(&body));
        assert_eq!(means(200, json!({"error": {"code": 7}})), Some(Tried::LockedOut));
        assert_eq!(
            means(200, json!({"error": {"code": "7"}, "ok": true})),
            Some(Tried::Refused),
            "a text is no number"
        );
        assert_eq!(means(200, json!({"ok": true})), Some(Tried::Accepted));
        assert_eq!(means(200, json!({"ok": "true"})), None);
        assert_eq!(reading.meaning(200, None), None, "no JSON, no meaning");
        assert_eq!(reading.meaning(401, None), Some(Tried::Refused));
        assert_eq!(means(302, json!({"ok": true})), None, "a redirect is nothing that was described");
        assert!(reading.knows(401) && !reading.knows(500));
    }

    #[test]
    fn pointers_are_those_of_the_standard() {
        for good in ["", "/", "/a/0/b", "/a~1b/~0"] {
            assert!(Pointer::parse(good).is_some(), "{good}");
        }
        for bad in ["a", "a/b", "/~", "/~2", "$.a", "#/a"] {
            assert!(Pointer::parse(bad).is_none(), "{bad}");
        }
    }
}
