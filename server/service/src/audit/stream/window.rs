//! What is on its way: the positions of one stream between what was sent and what was surely received.
//!
//! ```text
//! log    0 ─────────── cursor ─────────── answered ─────────── sent ─────────── size
//!                      stored, durable    the other side has   on this way,     not sent yet
//!                                         taken it             which may break
//! ```
//! What is sent is answered when its way was ended in order, and counts as received when after that the next way has stood
//! for the settling time: whoever takes an entry may still lose it out of its memory. When a way breaks, all that is past
//! the cursor is on its way no more, and is sent again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use claviger_api::Scope;

/// The most entries that are sent on one way before it is ended.
const WAY_MOST: u64 = 10_000;

/// The positions of a stream in its logs.
#[derive(Debug)]
pub struct Window {
    settle: Duration,
    logs: BTreeMap<Scope, Log>,
    /// When the first entry was sent on this way, and how many were.
    first_sent: Option<Instant>,
    on_this_way: u64,
    /// What was answered and may still be lost, with when it was answered.
    answered: VecDeque<(Instant, Vec<(Scope, u64)>)>,
}

#[derive(Debug, Clone, Copy)]
struct Log {
    cursor: u64,
    next: u64,
}

impl Window {
    /// Nothing is on its way.
    pub fn new(settle: Duration) -> Self {
        let (logs, answered) = (BTreeMap::new(), VecDeque::new());
        Self { settle, logs, first_sent: None, on_this_way: 0, answered }
    }

    /// One more log, of which everything before `cursor` was received.
    pub fn begin(&mut self, log: Scope, cursor: u64) {
        self.logs.entry(log).or_insert(Log { cursor, next: cursor });
    }

    /// Whether the log is one of these.
    pub fn has(&self, log: Scope) -> bool {
        self.logs.contains_key(&log)
    }

    /// Its logs: which, up to where everything was received, and what is to be sent next.
    pub fn logs(&self) -> impl Iterator<Item = (Scope, u64, u64)> + '_ {
        self.logs.iter().map(|(scope, log)| (*scope, log.cursor, log.next))
    }

    /// The entries of a log before this one were sent.
    pub fn sent(&mut self, log: Scope, next: u64, now: Instant) {
        if let Some(log) = self.logs.get_mut(&log) {
            self.on_this_way += next.saturating_sub(log.next);
            log.next = next;
            self.first_sent.get_or_insert(now);
        }
    }

    /// Whether it is time to end the way, to hear whether what was sent on it has arrived.
    pub fn is_to_end(&self, now: Instant) -> bool {
        self.on_this_way >= WAY_MOST || self.first_sent.is_some_and(|first| now >= first + self.settle)
    }

    /// The way was ended, and the other side has taken all that was sent.
    pub fn ended(&mut self, now: Instant) {
        let sent = self.logs.iter().map(|(scope, log)| (*scope, log.next)).collect();
        self.answered.push_back((now, sent));
        (self.first_sent, self.on_this_way) = (None, 0);
    }

    /// What counts as received by now: which entry of which log is the next that does not.
    pub fn received(&mut self, now: Instant) -> Vec<(Scope, u64)> {
        let mut received = Vec::new();
        while let Some((_, sent)) = self.answered.pop_front_if(|(answered, _)| now >= *answered + self.settle) {
            received = sent;
        }
        received.retain(|(scope, next)| self.logs.get(scope).is_some_and(|log| log.cursor < *next));
        received
    }

    /// A cursor is stored.
    pub fn stored(&mut self, log: Scope, cursor: u64) {
        if let Some(log) = self.logs.get_mut(&log) {
            log.cursor = cursor;
        }
    }

    /// When there is something to do though no entry comes.
    pub fn deadline(&self) -> Option<Instant> {
        let end = self.first_sent.map(|first| first + self.settle);
        let received = self.answered.front().map(|(answered, _)| *answered + self.settle);
        end.into_iter().chain(received).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Scope = Scope::Operator;
    const SETTLE: Duration = Duration::from_secs(5);

    fn begun() -> (Window, Instant) {
        let mut window = Window::new(SETTLE);
        window.begin(LOG, 7);
        (window, Instant::now())
    }

    #[test]
    fn the_cursor_does_not_move_before_the_way_was_ended_and_the_next_has_stood() {
        let (mut window, start) = begun();
        window.sent(LOG, 20, start);
        assert!(!window.is_to_end(start));
        assert_eq!(window.deadline(), Some(start + SETTLE));
        assert!(window.received(start + 100 * SETTLE).is_empty(), "sent, and never answered");
        assert!(window.is_to_end(start + SETTLE));
        let answered = start + SETTLE;
        window.ended(answered);
        window.sent(LOG, 30, answered);
        assert!(window.received(answered + SETTLE / 2).is_empty(), "answered, and still in somebody's memory");
        assert_eq!(window.received(answered + SETTLE), [(LOG, 20)], "and not what is on the next way");
        window.stored(LOG, 20);
        assert_eq!(window.logs().collect::<Vec<_>>(), [(LOG, 20, 30)]);
        assert!(window.received(answered + 9 * SETTLE).is_empty());
    }

    #[test]
    fn a_way_is_ended_when_it_is_full_however_young() {
        let (mut window, start) = begun();
        window.sent(LOG, 7 + WAY_MOST - 1, start);
        assert!(!window.is_to_end(start));
        window.sent(LOG, 7 + WAY_MOST, start);
        assert!(window.is_to_end(start));
    }

    #[test]
    fn where_nothing_settles_the_cursor_follows_the_end() {
        let mut window = Window::new(Duration::ZERO);
        let now = Instant::now();
        window.begin(LOG, 0);
        window.sent(LOG, 3, now);
        assert!(window.is_to_end(now));
        assert!(window.received(now).is_empty());
        window.ended(now);
        assert_eq!(window.received(now), [(LOG, 3)]);
        assert_eq!(window.deadline(), None);
    }
}
