use super::super::record::FieldView;
use super::*;

const CO: FieldName = FieldName::Checkout;
const RO: FieldName = FieldName::Rotation;

fn entry(kind: EventKind, fields: &[(FieldName, &str)]) -> Entry {
    let all = [(FieldName::Time, "2026-01-01T00:00:00Z"), (FieldName::Kind, kind.text())];
    let view =
        |(name, value): &(FieldName, &str)| (*name, FieldView::Open { value: (*value).to_owned(), salt: [7; 32] });
    Entry::from_views(all.iter().chain(fields).map(view).collect()).unwrap()
}

/// One checkout with two reveals, its rotation, and the proofs.
fn whole() -> Vec<Entry> {
    use EventKind as K;
    vec![
        entry(K::CheckoutActivated, &[(CO, "co_1")]),
        entry(K::CheckoutRevealed, &[(CO, "co_1"), (FieldName::RevealNumber, "1")]),
        entry(K::CheckoutRevealed, &[(CO, "co_1"), (FieldName::RevealNumber, "2")]),
        entry(K::CheckoutEnded, &[(CO, "co_1"), (FieldName::Reveals, "2"), (FieldName::Outcome, "pending")]),
        entry(K::RotationStarted, &[(RO, "ro_1"), (CO, "co_1")]),
        entry(K::RotationSent, &[(RO, "ro_1")]),
        entry(K::RotationPromoted, &[(RO, "ro_1"), (FieldName::Outcome, "proving_old")]),
        entry(K::RotationOldRefused, &[(RO, "ro_1")]),
        entry(K::CheckoutRevocationProven, &[(RO, "ro_1"), (CO, "co_1")]),
    ]
}

fn add_up<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Completeness {
    let mut ledger = Ledger::default();
    for (index, entry) in (0..).zip(entries) {
        ledger.add(index, entry);
    }
    ledger.close()
}

fn wrongs(entries: &[Entry]) -> Vec<(u64, Wrong)> {
    add_up(entries).faults.into_iter().map(|fault| (fault.index, fault.what)).collect()
}

#[test]
fn a_whole_life_adds_up() {
    let sum = add_up(&whole());
    assert_eq!((sum.checkouts, sum.reveals, sum.rotations), (1, 2, 1));
    assert_eq!((sum.faults, sum.open), (vec![], vec![]));
}

#[test]
fn what_is_under_way_is_listed_and_is_no_fault() {
    let entries = whole();
    let open = |count: usize| {
        let sum = add_up(entries.iter().take(count));
        assert_eq!(sum.faults, [], "of the first {count}");
        sum.open.into_iter().map(|open| (open.about, open.awaits)).collect::<Vec<_>>()
    };
    let one = |about: &str, awaits| (about.to_owned(), awaits);
    assert_eq!(open(3), [one("co_1", Awaits::End)]);
    assert_eq!(open(4), [one("co_1", Awaits::Revocation)]);
    assert_eq!(open(7), [one("co_1", Awaits::Revocation), one("ro_1", Awaits::Settlement)]);
    assert_eq!(open(8), [one("co_1", Awaits::Revocation)]);
}

/// Each entry left out in its turn: the log that is left is signed and whole, and still does not add up.
#[test]
fn an_event_that_was_never_logged_is_missed() {
    let entries = whole();
    let without = |left_out: usize| {
        let rest: Vec<Entry> =
            entries.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, entry)| entry.clone()).collect();
        add_up(&rest)
    };
    let first = |left_out| without(left_out).faults.into_iter().next().map(|fault| (fault.index, fault.what));
    assert_eq!(first(0), Some((0, Wrong::NoBeginning)));
    assert_eq!(first(1), Some((1, Wrong::Reveal { expected: 1, found: 2 })));
    assert_eq!(first(2), Some((2, Wrong::Count { counted: 2, told: 1 })), "the last reveal too");
    assert_eq!(without(3).open.first().map(|open| open.awaits), Some(Awaits::End));
    assert_eq!(first(4), Some((4, Wrong::NoBeginning)));
    assert_eq!(without(7).open.first().map(|open| open.awaits), Some(Awaits::Settlement));
    assert_eq!(without(8).open.first().map(|open| open.awaits), Some(Awaits::Revocation));
}

#[test]
fn nothing_goes_on_after_its_end() {
    let mut entries = whole();
    entries.push(entry(EventKind::CheckoutRevealed, &[(CO, "co_1"), (FieldName::RevealNumber, "3")]));
    entries.push(entry(EventKind::CheckoutEnded, &[(CO, "co_1")]));
    entries.push(entry(EventKind::RotationSent, &[(RO, "ro_1")]));
    assert_eq!(wrongs(&entries), [(9, Wrong::AfterEnd(3)), (10, Wrong::AfterEnd(3)), (11, Wrong::AfterEnd(7))]);
}

#[test]
fn a_reveal_without_its_number_or_twice_is_a_fault() {
    let mut entries = whole();
    entries.insert(3, entries[2].clone());
    assert_eq!(wrongs(&entries), [(3, Wrong::Reveal { expected: 3, found: 2 })]);
    let entries = [whole().swap_remove(0), entry(EventKind::CheckoutRevealed, &[(CO, "co_1")])];
    assert_eq!(wrongs(&entries), [(1, Wrong::NoNumber)]);
}

#[test]
fn a_first_secret_has_no_old_one_to_be_refused() {
    use EventKind as K;
    let entries = [
        entry(K::RotationStarted, &[(RO, "ro_1")]),
        entry(K::RotationPromoted, &[(RO, "ro_1"), (FieldName::Outcome, "done")]),
    ];
    assert_eq!(add_up(&entries).open, []);
}
