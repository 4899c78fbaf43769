//! Events as people look for them, the newest first.

use std::collections::BTreeMap;

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::{Entry, FieldName, FieldView};
use claviger_api::wire::{AuditEvent, AuditQuery, SEARCH_TEXT_MAX};
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::{AuditRead, Permit};
use claviger_store::{Range, RowId, Table};

use super::index::{Children, Mark, Page as IndexPage, WIDTH, marks_of, words_asked};
use super::time_of;
use crate::error::{Error, Result};
use crate::event::StoredLeaf;
use crate::open::{Caller, Open, deciding};
use crate::page::{Page, Paging, cursor_after};

/// What an entry must be to be wanted: of each line one mark, and of the time.
pub(super) struct Search {
    lines: Vec<Vec<Mark>>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    asked: String,
}

impl Search {
    /// Reads a query.
    pub fn new(query: &AuditQuery) -> Result<Self> {
        use FieldName::{Account, Actor, ActorName, Checkout, Outcome, Principal, PrincipalName, System, Ticket};

        let mut lines = Vec::new();
        let mut asked: Vec<String> = Vec::new();
        if let Some(kind) = &query.kind {
            lines.push(vec![kind_asked(kind)?]);
            asked.push(format!("kind {kind}"));
        }
        let by = |name: &'static str, value: &Option<String>, fields: &[FieldName]| {
            value.as_deref().map(|value| {
                // Who somebody is may be personal: that is not told of.
                let told = if fields.iter().any(|field| field.is_personal()) {
                    name.to_owned()
                } else {
                    format!("{name} {value}")
                };
                (fields.iter().map(|field| Mark::field(*field, value)).collect::<Vec<_>>(), told)
            })
        };
        for (line, told) in [
            by("account", &query.account, &[Account]),
            by("system", &query.system, &[System]),
            by("checkout", &query.checkout, &[Checkout]),
            by("ticket", &query.ticket, &[Ticket]),
            by("outcome", &query.outcome, &[Outcome]),
            by("an actor", &query.actor, &[Actor, ActorName]),
            by("a principal", &query.principal, &[Actor, ActorName, Principal, PrincipalName]),
        ]
        .into_iter()
        .flatten()
        {
            lines.push(line);
            asked.push(told);
        }
        if let Some(text) = &query.text {
            let words: Vec<Mark> = words_asked(text).map(Mark::Word).collect();
            if text.len() > SEARCH_TEXT_MAX || words.is_empty() {
                return Err(Error::value("text", format!("write one word or more, at most {SEARCH_TEXT_MAX} bytes")));
            }
            lines.extend(words.into_iter().map(|word| vec![word]));
            asked.push("a text".to_owned());
        }
        Ok(Self { lines, since: query.since, until: query.until, asked: asked.join(", ") })
    }

    /// One mark of each line, in that time.
    pub fn of(lines: Vec<Vec<Mark>>, since: Option<Timestamp>, until: Option<Timestamp>, asked: &str) -> Self {
        Self { lines, since, until, asked: asked.to_owned() }
    }

    /// Whether this entry is wanted.
    pub fn wants(&self, entry: &Entry) -> bool {
        let in_time = time_of(entry).is_none_or(|time| {
            self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
        });
        let marks = marks_of(entry);
        in_time && self.lines.iter().all(|line| line.iter().any(|mark| marks.contains(mark)))
    }

    /// Whether something of what a page speaks of can be.
    fn reaches(&self, page: &IndexPage<'_>) -> bool {
        let (first, last) = page.span;
        self.since.is_none_or(|since| since.as_millisecond() <= last)
            && self.until.is_none_or(|until| first <= until.as_millisecond())
    }

    /// Whether every entry is wanted.
    fn is_idle(&self) -> bool {
        self.lines.is_empty() && self.since.is_none() && self.until.is_none()
    }
}

/// A kind, or all that begin so.
fn kind_asked(text: &str) -> Result<Mark> {
    let wrong = || {
        let help = "write a kind of event, e.g. checkout.revealed, or what kinds begin with and a dot, e.g. checkout.";
        Error::value("kind", help)
    };
    if text.ends_with('.') {
        let known = EventKind::ALL.iter().any(|kind| kind.text().starts_with(text));
        return if known { Ok(Mark::Kinds(text.to_owned())) } else { Err(wrong()) };
    }
    let kind: EventKind = text.parse().map_err(|_| wrong())?;
    Ok(Mark::field(FieldName::Kind, kind.text()))
}

impl Open {
    /// The events of a log that the query asks for, newest first. That somebody looked is an event of that log too, once for
    /// each search, and none of what it finds.
    pub async fn audit_events(
        &self,
        scope: Scope,
        query: &AuditQuery,
        paging: &Paging,
        caller: &Caller,
        _permit: Permit<AuditRead>,
    ) -> Result<Page<AuditEvent>> {
        let search = Search::new(query)?;
        let below = match paging.row_before(&Range::scope(Table::LogLeaves, scope).reversed())? {
            Some(last) => last.number().ok_or_else(|| Error::internal("an entry without its number"))?,
            None => self.tell_of_reading(scope, &search, "", caller).await?,
        };
        self.search(scope, &search, below, paging.limit()).await
    }

    /// Tells that somebody looks. The index of that event.
    pub(super) async fn tell_of_reading(
        &self,
        scope: Scope,
        search: &Search,
        how: &'static str,
        caller: &Caller,
    ) -> Result<u64> {
        let told = || {
            self.event(scope, EventKind::LogRead, caller)
                .with(FieldName::Cause, how)
                .with(FieldName::Detail, &search.asked)
        };
        Ok(deciding(|| self.commit(self.change(told()))).await?.index())
    }

    /// What is wanted of the entries before one, the newest first.
    pub(super) async fn search(
        &self,
        scope: Scope,
        search: &Search,
        below: u64,
        limit: usize,
    ) -> Result<Page<AuditEvent>> {
        let mut walk = Walk { open: self, scope, search, indexed: self.indexed_blocks(scope).await?, at: [None; 2] };
        let (mut below, mut items) = (below, Vec::new());
        while let Some(index) = walk.candidate_before(below).await? {
            below = index;
            let id = RowId::log_leaf(scope, index);
            let entry = self.entry(scope, &self.leaf(scope, index).await?).await?;
            if !search.wants(&entry) {
                continue;
            }
            items.push(event(index, &entry)?);
            if items.len() == limit {
                return Ok(Page { items, next_cursor: (index > 0).then(|| cursor_after(&id)) });
            }
        }
        Ok(Page { items, next_cursor: None })
    }

    /// An entry with its personal fields, where their keys are still there.
    pub(crate) async fn entry(&self, scope: Scope, leaf: &StoredLeaf) -> Result<Entry> {
        let mut keys = Vec::new();
        for subject in leaf.subjects() {
            if let Some(key) = self.subject_key(scope, subject).await? {
                keys.push((subject, key));
            }
        }
        leaf.entry(scope, |subject| keys.iter().find(|(other, _)| *other == subject).map(|(_, key)| key.clone()))
    }
}

/// A way down a log by its index.
struct Walk<'a> {
    open: &'a Open,
    scope: Scope,
    search: &'a Search,
    /// The blocks that have pages.
    indexed: u64,
    /// What the last page of each level names.
    at: [Option<(u64, Children)>; 2],
}

impl Walk<'_> {
    /// The newest entry before this one that may be wanted.
    async fn candidate_before(&mut self, mut below: u64) -> Result<Option<u64>> {
        if self.search.is_idle() {
            return Ok(below.checked_sub(1));
        }
        while let Some(index) = below.checked_sub(1) {
            let block = index / WIDTH;
            if block >= self.indexed {
                return Ok(Some(index));
            }
            let segment = block / WIDTH;
            if segment < self.indexed / WIDTH {
                match self.named(1, segment).await?.last_up_to(place(block)) {
                    Some(child) if child == place(block) => {}
                    Some(child) => {
                        below = (segment * WIDTH + u64::from(child) + 1) * WIDTH;
                        continue;
                    }
                    None => {
                        below = segment * WIDTH * WIDTH;
                        continue;
                    }
                }
            }
            match self.named(0, block).await?.last_up_to(place(index)) {
                Some(child) => return Ok(Some(block * WIDTH + u64::from(child))),
                None => below = block * WIDTH,
            }
        }
        Ok(None)
    }

    /// The children that a page names for the search. A page that is gone names all of them.
    async fn named(&mut self, level: u8, at: u64) -> Result<Children> {
        let known = self.at.get(usize::from(level)).copied().flatten();
        if let Some((_, children)) = known.filter(|(known, _)| *known == at) {
            return Ok(children);
        }
        let mut named = self.in_time(level, at).await?;
        for line in &self.search.lines {
            let mut any = Children::NONE;
            for mark in line {
                any = any.or(self.marked(level, at, mark).await?);
            }
            named = named.and(any);
        }
        if let Some(kept) = self.at.get_mut(usize::from(level)) {
            *kept = Some((at, named));
        }
        Ok(named)
    }

    async fn in_time(&self, level: u8, at: u64) -> Result<Children> {
        if self.search.since.is_none() && self.search.until.is_none() {
            return Ok(Children::ALL);
        }
        let reaches = |page: &IndexPage<'_>| if self.search.reaches(page) { Children::ALL } else { Children::NONE };
        self.page(level, at, 0, reaches).await
    }

    async fn marked(&self, level: u8, at: u64, mark: &Mark) -> Result<Children> {
        let term = mark.term();
        let part = if level == 0 { 0 } else { term.part() };
        self.page(level, at, part, |page| page.children(term)).await
    }

    async fn page(&self, level: u8, at: u64, part: u8, read: impl Fn(&IndexPage<'_>) -> Children) -> Result<Children> {
        let id = RowId::log_index(self.scope, level, at, part);
        let stored = self.open.sealed().read_bytes(self.open.keyring(), &id).await?;
        let page = stored.as_ref().and_then(|stored| IndexPage::read(&stored.value));
        Ok(page.map_or(Children::ALL, |page| read(&page)))
    }
}

/// The place of something among the children of its page.
fn place(at: u64) -> u8 {
    u8::try_from(at % WIDTH).unwrap_or(u8::MAX)
}

/// An entry for people.
pub(super) fn event(index: u64, entry: &Entry) -> Result<AuditEvent> {
    let gone = || Error::internal("an entry without its time or kind");
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    for (name, view) in entry.views() {
        if let FieldView::Open { value, .. } = view {
            fields.insert(name.text().to_owned(), value.clone());
        }
    }
    let mut take = |name: FieldName| fields.remove(name.text()).ok_or_else(gone);
    let time = take(FieldName::Time)?.parse().map_err(Error::internal)?;
    let kind = take(FieldName::Kind)?;
    Ok(AuditEvent { index, time, kind, fields })
}
