use claviger_api::audit::record::FieldName;
use proptest::prelude::*;

use super::*;

fn found(text: &str) -> Vec<String> {
    words(text).collect()
}

#[test]
fn a_text_is_found_by_its_words_and_by_what_they_are_joined_of() {
    assert_eq!(
        found("acme/db-prod1 for INC-4711."),
        ["acme", "db-prod1", "db", "prod1", "for", "inc-4711", "inc", "4711"]
    );
    assert_eq!(found("ann@msp.example"), ["ann", "msp.example", "msp", "example"]);
    assert_eq!(found("0191D3A0-0000-7000-8000-000000000001"), ["0191d3a0-0000-7000-8000-000000000001"]);
    assert_eq!(found("Müller's  -- \u{202e}x\n"), ["müller", "s", "x"]);
    assert_eq!(found(" .- "), [""; 0]);
}

#[test]
fn what_is_asked_for_with_its_joints_is_one_word() {
    assert_eq!(words_asked("INC-4711, Müller").collect::<Vec<_>>(), ["inc-4711", "müller"]);
}

/// Frozen: what a page holds is found by it for ever.
#[test]
fn a_page_is_written_as_the_formats_say() {
    let mut page = NewPage::default();
    page.spans(5, 7);
    page.spans(6, 9);
    page.add(Mark::field(FieldName::Ticket, "INC-1").term(), 3);
    page.add(Mark::field(FieldName::Ticket, "inc-1").term(), 1);
    page.add(Mark::Word("inc".to_owned()).term(), 255);
    page.add(Mark::Kinds("checkout.".to_owned()).term(), 0);
    let terms = "4e8402a7010103 8d045ec100 00 f57c9a0400ff".replace(' ', "");
    assert_eq!(hex::encode(page.bytes()), format!("01{:016x}{:016x}{terms}", 5, 9));
}

proptest! {
    /// A page says of each term its own children and no others.
    #[test]
    fn a_page_reads_back(pairs in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..40), span in (any::<i64>(), any::<i64>())) {
        let term = |n: u16| Mark::Word(n.to_string()).term();
        let mut page = NewPage::default();
        page.spans(span.0, span.1);
        for (n, child) in &pairs {
            page.add(term(*n), *child);
        }
        let bytes = page.bytes();
        let page = Page::read(&bytes).unwrap();
        prop_assert_eq!(page.span, span);
        for (n, _) in &pairs {
            let mut own = Children::NONE;
            for (_, child) in pairs.iter().filter(|(other, _)| term(*other) == term(*n)) {
                own.insert(*child);
            }
            prop_assert_eq!(page.children(term(*n)), own);
        }
        prop_assert_eq!(page.children(Mark::Word("none".to_owned()).term()), Children::NONE);
    }

    #[test]
    fn bytes_that_are_no_page_break_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Some(page) = Page::read(&bytes) {
            prop_assert!(page.terms().count() <= bytes.len());
        }
    }

    #[test]
    fn the_last_child_up_to_one_is_found(children in proptest::collection::btree_set(any::<u8>(), 0..20), to in any::<u8>()) {
        let mut set = Children::NONE;
        for child in &children {
            set.insert(*child);
        }
        prop_assert_eq!(set.last_up_to(to), children.range(..=to).next_back().copied());
    }
}
