use super::super::sample::{Kept, Log};
use super::*;

fn archive(log: &Log, from: u64, to: u64) -> Vec<String> {
    let (source, key) = (Kept::of(&log.leaves()), log.key.verifier());
    let (mut writer, mut text) =
        ArchiveWriter::begin(&log.checkpoint().sign(&log.key), &key, from, to).expect("a whole range");
    for first in (from..to).step_by(usize::from(TILE_WIDTH)) {
        let sealed: Vec<String> = (first..first + 256).map(|index| format!("c2VhbGVk{index}")).collect();
        let block = writer.block(&sealed, &source).unwrap();
        assert_eq!(sealed_entries(&block, first).unwrap(), sealed);
        assert!(sealed_entries(&block, first + 256).is_none(), "of another place");
        text += &block;
    }
    text += &writer.end().unwrap();
    text.lines().map(str::to_owned).collect()
}

fn verify(lines: &[String], log: &Log) -> Result<ArchiveReport, VerifyError> {
    verify_archive(lines.iter().cloned().map(Ok::<_, String>), Some(&log.key.verifier()))
}

#[test]
fn an_archive_shows_that_it_has_the_signed_hashes() {
    let log = Log::of(900);
    let report = verify(&archive(&log, 256, 768), &log).unwrap();
    assert_eq!((report.from, report.entries, report.checkpoint_size), (256, 512, 900));
    assert_eq!(report.key_trust, KeyTrust::Given);
}

#[test]
fn an_archive_is_of_whole_blocks_that_were_signed() {
    let log = Log::of(600);
    let (note, key) = (log.checkpoint().sign(&log.key), log.key.verifier());
    for (from, to) in [(0, 0), (0, 600), (1, 256), (256, 768), (512, 256)] {
        let refused = ArchiveWriter::begin(&note, &key, from, to).err();
        assert_eq!(refused, Some(ExportError::Range { from, to, size: 600 }), "{from} to {to}");
    }
    let (writer, _) = ArchiveWriter::begin(&note, &key, 0, 256).unwrap();
    assert_eq!(writer.end(), Err(ExportError::Count { next: 0, to: 256 }));
}

#[test]
fn a_changed_or_cut_archive_is_refused_at_its_first_bad_place() {
    let log = Log::of(600);
    let whole = archive(&log, 0, 512);
    let changed = |change: fn(&mut Vec<String>)| {
        let mut lines = whole.clone();
        change(&mut lines);
        verify(&lines, &log).unwrap_err()
    };
    assert_eq!(changed(|lines| drop(lines.remove(5))), VerifyError::Missing { index: 3, found: 4 });
    assert_eq!(changed(|lines| lines.swap(2, 3)), VerifyError::Missing { index: 0, found: 1 });
    assert!(matches!(changed(|lines| lines.truncate(300)), VerifyError::CutShort { expected: Expected::Entry(_) }));
    assert!(matches!(changed(|lines| drop(lines.pop())), VerifyError::CutShort { expected: Expected::Footer }));
    let other_hash = |lines: &mut Vec<String>| {
        let hash = "0".repeat(64);
        lines[258] = format!("{}{hash}{}", &lines[258][..22], &lines[258][86..]);
    };
    assert_eq!(changed(other_hash), VerifyError::Block { first: 256, last: 511 });
    assert!(matches!(verify(&log.export(0, 256), &log), Err(VerifyError::Line { .. })), "an export is no archive");
}

/// Frozen, but for the hashes that other files have too.
#[test]
fn the_first_lines_of_version_1() {
    let log = Log::of(300);
    let lines = archive(&log, 0, 256);
    assert!(
        lines[0].starts_with("{\"format\":\"claviger-audit-archive\",\"version\":1,\"origin\":\"vault.test/audit/")
    );
    assert!(lines[1].starts_with("{\"block\":0,\"leaves\":[\""));
    assert_eq!(lines[2], "{\"index\":0,\"sealed\":\"c2VhbGVk0\"}");
    assert_eq!(lines.last().unwrap(), "{\"count\":256}");
}
