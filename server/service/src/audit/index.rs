//! An index of each log, so that a search reads what it looks for and not the whole log.
//!
//! A *page* says of a set of 256 children which of them have a mark. On level 0 the children are the entries of a block; on
//! level 1 they are the blocks of a segment of 65,536 entries, and the page is cut by the first byte of the marks into 256
//! parts, so that a search reads one part a segment. Pages never change. They are written behind the log (`index/build.rs`)
//! and not by its commits: what has no page yet is read entry by entry, and so is what a lost page spoke of.
//!
//! ```text
//! page   1 ‖ first ms be8 ‖ last ms be8 ‖ Σ (term be4 ‖ children - 1 ‖ child …)          ascending by term, then child
//! term   the first four bytes of SHA-256(tag ‖ len be4 ‖ name ‖ value)
//! ```
//! Two marks may have the same term: what a page names is looked at before it is believed.

use std::collections::{BTreeMap, BTreeSet};

use claviger_api::audit::record::{Entry, FieldName, FieldView};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(super) mod build;

/// The last child of a page. In tests pages are narrow, so that small logs have segments.
const LAST_CHILD: u8 = if cfg!(test) { 7 } else { u8::MAX };
/// The children of a page.
pub(super) const WIDTH: u64 = LAST_CHILD as u64 + 1;
/// The form of a page. Another form gets another number.
const FORM: u8 = 1;
/// What a page begins with: its form, and the first and last time of what it speaks of.
const HEAD: usize = 1 + 8 + 8;

/// Something by which an entry is found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// A field has this value, in lower case.
    Field(FieldName, String),
    /// Its kind begins so: `checkout.`.
    Kinds(String),
    /// A word of it, in lower case.
    Word(String),
}

/// What stands for a mark in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term([u8; 4]);

impl Mark {
    pub fn field(name: FieldName, value: &str) -> Self {
        Self::Field(name, value.to_lowercase())
    }

    pub fn term(&self) -> Term {
        let (tag, name, value) = match self {
            Self::Field(name, value) => (b'f', name.text(), value),
            Self::Kinds(start) => (b'k', "", start),
            Self::Word(word) => (b'w', "", word),
        };
        let mut hash = Sha256::new();
        hash.update([tag]);
        hash.update(u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
        hash.update(name);
        hash.update(value);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        Term([a, b, c, d])
    }
}

impl Term {
    /// Which part of a segment's page speaks of it.
    pub const fn part(self) -> u8 {
        let [part, ..] = self.0;
        part
    }
}

/// By what an entry is found, as far as it is open.
pub(super) fn marks_of(entry: &Entry) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    for (name, view) in entry.views() {
        let FieldView::Open { value, .. } = view else { continue };
        if !is_looked_for(*name) {
            continue;
        }
        if let (FieldName::Kind, Some((thing, _))) = (name, value.split_once('.')) {
            marks.insert(Mark::Kinds(format!("{thing}.")));
        }
        marks.extend(words(value).map(Mark::Word));
        marks.insert(Mark::field(*name, value));
    }
    marks
}

/// Whether somebody looks for an entry by the value of this field, rather than by when or how often.
const fn is_looked_for(name: FieldName) -> bool {
    !matches!(
        name,
        FieldName::Time
            | FieldName::ExpiresAt
            | FieldName::NotBefore
            | FieldName::LagMilliseconds
            | FieldName::LogSize
            | FieldName::LogRoot
            | FieldName::RevealNumber
            | FieldName::Reveals
            | FieldName::Version
            | FieldName::Approvals
    )
}

/// The words of a text, in lower case: `INC-4711` is one, and so are `inc` and `4711`; an id is one.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|c: char| !c.is_alphanumeric() && !is_joint(c));
    runs.map(|run| run.trim_matches(is_joint)).filter(|run| !run.is_empty()).flat_map(|run| {
        let whole = run.to_lowercase();
        let parts: Vec<String> = if Uuid::parse_str(&whole).is_ok() || !whole.contains(is_joint) {
            Vec::new()
        } else {
            whole.split(is_joint).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        std::iter::once(whole).chain(parts)
    })
}

/// The words that a search for a text asks for: each as it was written, joints and all.
pub(super) fn words_asked(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !is_joint(c))
        .map(|run| run.trim_matches(is_joint).to_lowercase())
        .filter(|run| !run.is_empty())
}

const fn is_joint(c: char) -> bool {
    matches!(c, '-' | '_' | '.')
}

/// A set of a page's children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Children([u64; 4]);

impl Children {
    pub const NONE: Self = Self([0; 4]);
    pub const ALL: Self = Self([u64::MAX; 4]);

    pub fn insert(&mut self, child: u8) {
        if let Some(word) = self.0.get_mut(usize::from(child / 64)) {
            *word |= 1 << (child % 64);
        }
    }

    pub fn or(self, other: Self) -> Self {
        self.with(other, |a, b| a | b)
    }

    pub fn and(self, other: Self) -> Self {
        self.with(other, |a, b| a & b)
    }

    fn with(mut self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own = join(*own, other));
        self
    }

    /// The last of them up to and including this one.
    pub fn last_up_to(self, child: u8) -> Option<u8> {
        (0..=child).rev().find(|child| self.0.get(usize::from(child / 64)).is_some_and(|w| w >> (child % 64) & 1 == 1))
    }
}

/// A page in the making.
#[derive(Debug, Default)]
pub(super) struct NewPage {
    terms: BTreeMap<Term, BTreeSet<u8>>,
    span: Option<(i64, i64)>,
}

impl NewPage {
    pub fn add(&mut self, term: Term, child: u8) {
        self.terms.entry(term).or_default().insert(child);
    }

    /// It speaks of what happened then, in milliseconds since 1970.
    pub fn spans(&mut self, first: i64, last: i64) {
        let (from, to) = self.span.unwrap_or((first, last));
        self.span = Some((from.min(first), to.max(last)));
    }

    pub fn bytes(&self) -> Vec<u8> {
        let (first, last) = self.span.unwrap_or((i64::MIN, i64::MAX));
        let mut bytes = vec![FORM];
        bytes.extend(first.to_be_bytes());
        bytes.extend(last.to_be_bytes());
        for (term, children) in &self.terms {
            bytes.extend(term.0);
            bytes.push(u8::try_from(children.len().saturating_sub(1)).unwrap_or(u8::MAX));
            bytes.extend(children);
        }
        bytes
    }
}

/// A page as it is stored.
pub(super) struct Page<'a> {
    /// The first and last time of what it speaks of, in milliseconds since 1970.
    pub span: (i64, i64),
    rest: &'a [u8],
}

impl<'a> Page<'a> {
    /// Reads one; nothing where it is of another form.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
        let (form, times) = head.split_first()?;
        let (first, last) = times.split_first_chunk::<8>()?;
        let span = (i64::from_be_bytes(*first), i64::from_be_bytes(last.try_into().ok()?));
        (*form == FORM).then_some(Self { span, rest })
    }

    /// Each term, with its children.
    pub fn terms(&self) -> impl Iterator<Item = (Term, &'a [u8])> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let (term, after) = rest.split_first_chunk::<4>()?;
            let (more, after) = after.split_first()?;
            let (children, after) = after.split_at_checked(usize::from(*more) + 1)?;
            rest = after;
            Some((Term(*term), children))
        })
    }

    /// The children that have a mark of this term.
    pub fn children(&self, term: Term) -> Children {
        let mut found = Children::NONE;
        for (_, children) in self.terms().filter(|(other, _)| *other == term) {
            for child in children {
                found.insert(*child);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
