//! Whether a history of an exclusive account is one that a lock could have: linearizability (Herlihy and Wing, 1990), by the
//! search of Wing and Gong (1993), which is quick enough for the dozen of operations on one account.

use std::collections::HashSet;
use std::time::Instant;

/// What somebody did, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Took it.
    Took,
    /// Was told that another holds it.
    Held,
    /// Gave back what the operation of this number took.
    GaveBack(usize),
    /// Tried to take it, and does not know whether it did.
    MayHaveTaken,
    /// Tried to give back what the operation of this number took, and does not know whether it did.
    MayHaveGivenBack(usize),
}

/// An operation, from when it was asked to when it was answered.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub begun: Instant,
    /// None, where nothing was answered: it may take effect at any time.
    pub ended: Option<Instant>,
    pub done: Done,
}

/// Whether there is an order of the operations that respects who was answered before whom asked, in which at most one holds
/// the account at a time, and nobody is refused one that is free.
pub fn is_a_locks(history: &[Operation]) -> bool {
    assert!(history.len() <= 64, "a longer history wants another search");
    search(history, 0, None, &mut HashSet::new())
}

/// `placed` has a bit for each operation that has its place already; `holder` is the operation that took the account.
fn search(history: &[Operation], placed: u64, holder: Option<usize>, seen: &mut HashSet<(u64, Option<usize>)>) -> bool {
    let open = |index: &usize| placed & (1 << index) == 0;
    let certain = |operation: &Operation| !matches!(operation.done, Done::MayHaveTaken | Done::MayHaveGivenBack(_));
    let left: Vec<usize> = (0..history.len()).filter(open).collect();
    if !left.iter().any(|index| certain(&history[*index])) {
        return true;
    }
    if !seen.insert((placed, holder)) {
        return false;
    }
    // Whoever asked after another was answered cannot come before it.
    let first_end = left.iter().filter_map(|index| history[*index].ended).min();
    left.into_iter().any(|index| {
        let operation = history[index];
        if first_end.is_some_and(|end| operation.begun > end) {
            return false;
        }
        let after = match (operation.done, holder) {
            (Done::Took | Done::MayHaveTaken, None) => Some(index),
            (Done::Held, Some(holder)) => Some(holder),
            (Done::GaveBack(taken) | Done::MayHaveGivenBack(taken), Some(holder)) if holder == taken => None,
            (Done::Took | Done::MayHaveTaken, Some(_))
            | (Done::Held, None)
            | (Done::GaveBack(_) | Done::MayHaveGivenBack(_), _) => return false,
        };
        search(history, placed | 1 << index, after, seen)
    })
}

mod tests {
    use std::time::Duration;

    use super::{Done, Instant, Operation, is_a_locks};

    /// Operations by the second in which they begin and end; 0 for one that has no end.
    fn history(operations: &[(u64, u64, Done)]) -> bool {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let operations: Vec<Operation> = operations
            .iter()
            .map(|(begun, ended, done)| Operation {
                begun: at(*begun),
                ended: (*ended > 0).then(|| at(*ended)),
                done: *done,
            })
            .collect();
        is_a_locks(&operations)
    }

    #[test]
    fn a_lock_is_known_from_what_is_none() {
        use Done::{GaveBack, Held, MayHaveGivenBack, MayHaveTaken, Took};
        assert!(history(&[]));
        assert!(history(&[(1, 2, Took), (3, 4, GaveBack(0)), (5, 6, Took)]));
        assert!(!history(&[(1, 2, Took), (3, 4, Took)]), "two at once");
        assert!(!history(&[(1, 4, Took), (2, 3, Took), (5, 6, GaveBack(0))]), "two at once, in whatever order");
        assert!(history(&[(1, 9, Took), (2, 3, Took), (4, 5, GaveBack(1))]), "the slow one came after");
        assert!(history(&[(1, 2, Took), (3, 4, Held), (5, 6, GaveBack(0))]));
        assert!(!history(&[(1, 2, Held), (3, 4, Took)]), "nobody held it");
        assert!(!history(&[(1, 2, Took), (3, 4, GaveBack(0)), (5, 6, Held)]), "it was free again");
        assert!(history(&[(1, 2, Took), (3, 6, GaveBack(0)), (4, 5, Held)]), "it may not have been yet");
        assert!(history(&[(1, 0, MayHaveTaken), (3, 4, Held)]), "the one without an answer has it");
        assert!(history(&[(1, 0, MayHaveTaken), (3, 4, Took)]), "or has not");
        assert!(!history(&[(1, 0, MayHaveTaken), (3, 4, Held), (5, 6, Took)]), "but not one after the other");
        assert!(history(&[(1, 2, Took), (3, 0, MayHaveGivenBack(0)), (5, 6, Took)]));
        assert!(history(&[(1, 2, Took), (3, 0, MayHaveGivenBack(0)), (5, 6, Held), (7, 8, Took)]), "late, it did");
        assert!(!history(&[(5, 6, Took), (1, 2, Took)]), "whatever order they are written in");
    }
}
