use super::super::merkle::root_at;
use super::super::note::origin;
use super::super::sample::{Kept, Log, ORIGIN, reveal};
use super::*;

#[test]
fn a_block_stands_before_its_first_entry_and_where_the_export_begins() {
    let log = Log::of(600);
    let begins = |lines: &[String]| -> Vec<String> {
        lines.iter().filter(|line| line.starts_with("{\"block\"")).map(|line| line[..10].to_owned()).collect()
    };
    let whole = log.export(0, 600);
    assert_eq!(whole.len(), 1 + 3 + 600 + 1);
    assert_eq!(begins(&whole), ["{\"block\":0", "{\"block\":1", "{\"block\":2"]);
    assert!(whole[1].starts_with("{\"block\":0") && whole[258].starts_with("{\"block\":1"));
    assert_eq!(begins(&log.export(255, 257)), ["{\"block\":0", "{\"block\":1"]);
    assert_eq!(log.export(300, 300).len(), 2);
}

#[test]
fn the_writer_refuses_what_would_not_verify() {
    let log = Log::of(3);
    let (note, key) = (log.checkpoint().sign(&log.key), log.key.verifier());
    let source = Kept::of(&log.leaves());
    let begin = |from, to| ExportWriter::begin(&note, &key, from, to).map(|(writer, _)| writer);
    assert_eq!(begin(0, 4).err(), Some(ExportError::Range { from: 0, to: 4, size: 3 }));
    assert_eq!(begin(2, 1).err(), Some(ExportError::Range { from: 2, to: 1, size: 3 }));
    let other = super::super::sample::TestKey::new(&origin("other", crate::Scope::Operator), 1).verifier();
    assert!(matches!(ExportWriter::begin(&note, &other, 0, 3), Err(ExportError::Checkpoint(_))));

    let mut writer = begin(0, 2).unwrap();
    assert_eq!(writer.entry(&reveal(0, "another"), &source), Err(ExportError::NotLogged { index: 0 }));
    writer.entry(&log.entries[0], &source).unwrap();
    assert_eq!(writer.entry(&log.entries[2], &source), Err(ExportError::NotLogged { index: 1 }));
    writer.entry(&log.entries[1], &source).unwrap();
    assert_eq!(writer.entry(&log.entries[2], &source), Err(ExportError::Count { next: 3, to: 2 }));
    assert_eq!(writer.end().as_deref(), Ok("{\"count\":2}\n"));
    assert_eq!(begin(0, 2).unwrap().end(), Err(ExportError::Count { next: 0, to: 2 }));

    let mut gone = Kept::of(&log.leaves());
    gone.forget(0, 2);
    let missing = ProofError::Missing { level: 0, index: 2 };
    assert_eq!(begin(0, 3).unwrap().entry(&log.entries[0], &gone), Err(ExportError::Proof(missing)));
}

/// Frozen: the file of a log of two entries.
#[test]
fn the_file_of_version_1() {
    let log = Log::of(2);
    assert_eq!(root_at(&Kept::of(&log.leaves()), 2), Ok(log.checkpoint().root));
    assert_eq!(log.checkpoint().origin, ORIGIN);
    insta::assert_snapshot!(log.export(0, 2).join("\n"));
}
