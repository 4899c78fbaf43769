use std::convert::Infallible;

use super::super::note::sign_note;
use super::super::sample::{Kept, Log, ORIGIN, TestKey, reveal};
use super::*;
use crate::audit::inclusion_proof;

const SIZE: u64 = 1000;

fn check(lines: &[String], key: Option<&VerifierKey>) -> Result<Report, VerifyError> {
    verify_export(lines.iter().cloned().map(Ok::<_, Infallible>), key)
}

fn check_since(lines: &[String], log: &Log, kept: &Checkpoint) -> Result<Report, VerifyError> {
    let lines = lines.iter().cloned().map(Ok::<_, Infallible>);
    verify_export_since(lines, Some(&log.key.verifier()), Some(kept))
}

/// The line of this entry in a file of the whole log: behind the first line and the blocks so far.
fn line_of(index: u64) -> usize {
    usize::try_from(1 + (index / 256 + 1) + index).unwrap()
}

/// Where an edit that its own numbers betray is tried too: the hidden one is tried everywhere.
fn open_edit(index: u64) -> bool {
    index.is_multiple_of(29) || (254..258).contains(&index) || index + 2 >= SIZE
}

fn renumbered(line: &str, from: u64, to: u64) -> String {
    let changed = line.replacen(&format!("{{\"index\":{from},"), &format!("{{\"index\":{to},"), 1);
    assert_ne!(changed, line);
    changed
}

struct Bench {
    log: Log,
    lines: Vec<String>,
    key: VerifierKey,
    from: u64,
}

impl Bench {
    fn new() -> Self {
        Self::from(0)
    }

    fn from(from: u64) -> Self {
        let log = Log::of(SIZE);
        let (lines, key) = (log.export(from, SIZE), log.key.verifier());
        Self { log, lines, key, from }
    }

    /// The log from each of its blocks on, for edits of every entry: those before the block need not be read each time.
    fn blocks() -> Vec<Self> {
        (0..SIZE).step_by(256).map(Self::from).collect()
    }

    /// The file that begins with this entry's block.
    fn of(blocks: &[Self], index: u64) -> &Self {
        blocks.iter().rfind(|bench| bench.from <= index).unwrap()
    }

    fn line_of(&self, index: u64) -> usize {
        line_of(index) - usize::try_from(self.from + self.from / 256).unwrap()
    }

    /// The failure of the file after an edit.
    fn edited(&self, edit: impl FnOnce(&mut Vec<String>)) -> VerifyError {
        let mut lines = self.lines.clone();
        edit(&mut lines);
        assert_ne!(lines, self.lines, "the edit did nothing");
        check(&lines, Some(&self.key)).expect_err("a changed file passed")
    }

    fn first_bad(&self, edit: impl FnOnce(&mut Vec<String>)) -> Option<u64> {
        self.edited(edit).first_bad_entry()
    }
}

#[test]
fn a_whole_log_passes_and_is_described() {
    let bench = Bench::new();
    let report = check(&bench.lines, Some(&bench.key)).unwrap();
    assert_eq!((report.from, report.entries, report.is_whole()), (0, SIZE, true));
    assert_eq!(report.origin, ORIGIN);
    assert_eq!(report.first_time.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(report.last_time.unwrap().to_string(), "2026-01-01T00:16:39Z");
    assert_eq!(report.withheld, [(FieldName::Reason, SIZE / 2)].into());
    assert_eq!(report.withheld_count(), SIZE / 2);
    assert_eq!((report.checkpoint_size, report.checkpoint_root), (SIZE, bench.log.checkpoint().root));
    assert_eq!((&report.key, report.key_trust), (&bench.key, KeyTrust::Given));
    assert_eq!(report.warnings(), Vec::<String>::new());
}

#[test]
fn every_range_passes_and_says_that_it_is_one() {
    let log = Log::of(600);
    for (from, to) in [(0, 0), (0, 1), (0, 599), (1, 600), (255, 256), (255, 257), (256, 512), (599, 600), (600, 600)] {
        let report = check(&log.export(from, to), Some(&log.key.verifier())).unwrap();
        assert_eq!((report.from, report.entries, report.is_whole()), (from, to - from, false));
        assert_eq!(report.warnings().len(), 1, "{:?}", report.warnings());
    }
    let empty = Log::of(0);
    assert!(check(&empty.export(0, 0), Some(&empty.key.verifier())).unwrap().is_whole());
}

/// The key in the file is no proof of whose file it is.
#[test]
fn a_forger_with_a_key_of_their_own_is_refused_by_the_callers_key_and_told_of_without() {
    let bench = Bench::new();
    let mut forged = Log::of(SIZE);
    forged.key = TestKey::new(ORIGIN, 66);
    let lines = forged.export(0, SIZE);
    assert_eq!(check(&lines, Some(&bench.key)), Err(VerifyError::Checkpoint(NoteError::UnknownKey)));
    let report = check(&lines, None).unwrap();
    assert_eq!(report.key_trust, KeyTrust::FoundInFile);
    assert!(report.warnings()[0].contains("only found in the file"), "{:?}", report.warnings());
}

#[test]
fn each_entry_changed_is_named() {
    let blocks = Bench::blocks();
    for index in 0..SIZE {
        let bench = Bench::of(&blocks, index);
        let bad = bench.edited(|lines| {
            let line = &mut lines[bench.line_of(index)];
            *line = line.replacen("\"checkout.revealed\"", "\"checkout.extended\"", 1);
        });
        assert_eq!(bad, VerifyError::Entry { index });
    }
}

#[test]
fn every_kind_of_change_to_an_entry_is_named() {
    let bench = Bench::new();
    let edits: [fn(&str) -> String; 9] = [
        |line| line.replacen("{\"index\":", "{\"index\":1", 1),
        |line| line.replacen("\"reveal_number\":", "\"version\":", 1),
        |line| line.replacen("\"salt\":\"0", "\"salt\":\"f", 1).replacen("\"salt\":\"1", "\"salt\":\"e", 1),
        |line| line.replacen("\"commitment\":\"", "\"commitment\":\"00", 1),
        |line| {
            line.replacen("\"fields\":{", &format!("\"fields\":{{\"ticket\":{{\"commitment\":\"{EMPTY_ROOT}\"}},"), 1)
        },
        |line| {
            let (start, rest) = line.split_once("\"kind\":").unwrap();
            format!("{start}{}", rest.split_once("},").unwrap().1)
        },
        // The real value stays for the verifier; the false one is there for a careless reader.
        |line| {
            line.replacen("\"kind\":", &format!("\"kind\":{{\"value\":\"x\",\"salt\":\"{EMPTY_ROOT}\"}},\"kind\":"), 1)
        },
        |line| line.replacen("\"index\"", "\"note\":\"approved\",\"index\"", 1),
        |line| line[..line.len() - 1].to_owned(),
    ];
    for edit in edits {
        for index in [0, 17, 18, 255, 256, 299] {
            let before = bench.lines[line_of(index)].clone();
            if edit(&before) != before {
                assert_eq!(bench.first_bad(|lines| lines[line_of(index)] = edit(&before)), Some(index), "{before}");
            }
        }
    }
}

#[test]
fn each_entry_dropped_is_named() {
    let blocks = Bench::blocks();
    for index in 0..SIZE {
        let bench = Bench::of(&blocks, index);
        if open_edit(index) {
            let plain = bench.first_bad(|lines| drop(lines.remove(bench.line_of(index))));
            assert_eq!(plain, Some(index));
        }
        // The later ones renumbered to hide it; the last one is then missing from its place.
        let hidden = bench.first_bad(|lines| {
            for later in index + 1..SIZE {
                let line = renumbered(&lines[bench.line_of(later)], later, later - 1);
                lines[bench.line_of(later - 1)] = line;
            }
            lines.remove(bench.line_of(SIZE - 1));
        });
        assert_eq!(hidden, Some(index));
    }
}

#[test]
fn each_pair_of_neighbours_swapped_is_named() {
    let blocks = Bench::blocks();
    for index in 0..SIZE - 1 {
        let bench = Bench::of(&blocks, index);
        let (a, b) = (bench.line_of(index), bench.line_of(index + 1));
        if open_edit(index) {
            assert_eq!(bench.first_bad(|lines| lines.swap(a, b)), Some(index));
        }
        let hidden = bench.first_bad(|lines| {
            let one = renumbered(&lines[a], index, index + 1);
            lines[a] = renumbered(&lines[b], index + 1, index);
            lines[b] = one;
        });
        assert_eq!(hidden, Some(index));
    }
}

#[test]
fn each_entry_inserted_is_named() {
    let blocks = Bench::blocks();
    for index in 0..=SIZE {
        let bench = Bench::of(&blocks, index);
        let line =
            |number| format!("{{\"index\":{number},\"fields\":{}}}", serde_json::to_string(&reveal(7, "no")).unwrap());
        if index < SIZE {
            let plain = bench.first_bad(|lines| lines.insert(bench.line_of(index), line(index)));
            assert_eq!(plain, Some(index));
        } else {
            let after = bench.edited(|lines| lines.insert(lines.len() - 1, line(index)));
            assert!(matches!(after, VerifyError::Line { expected: Expected::Footer, .. }), "{after}");
        }
    }
}

#[test]
fn the_tail_cut_anywhere_is_named() {
    let blocks = Bench::blocks();
    for index in 0..SIZE {
        let bench = Bench::of(&blocks, index);
        assert_eq!(bench.first_bad(|lines| lines.truncate(bench.line_of(index))), Some(index));
    }
    let bench = Bench::new();
    let no_end = bench.edited(|lines| lines.truncate(lines.len() - 1));
    assert_eq!(no_end, VerifyError::CutShort { expected: Expected::Footer });
    // With the first and last line made to fit, the file is a true range: it passes, and says that it is one.
    let mut range = bench.lines.clone();
    range[0] = range[0].replacen("\"to\":1000", "\"to\":200", 1);
    range.drain(line_of(200)..range.len() - 1);
    *range.last_mut().unwrap() = "{\"count\":200}".into();
    let report = check(&range, Some(&bench.key)).unwrap();
    assert!(!report.is_whole());
    assert!(report.warnings()[0].contains("200 of the log's 1000 entries"), "{:?}", report.warnings());
}

/// The editor changes an entry and everything in the file that speaks against it, short of the signature.
#[test]
fn an_edit_that_makes_the_rest_of_the_file_fit_is_found_where_the_signature_speaks_against_it() {
    let bench = Bench::new();
    for index in [0, 100, 255, 256, 299] {
        let mut log = Log::of(SIZE);
        log.entries[usize::try_from(index).unwrap()] = reveal(index, "another reason");
        let forged = log.export(0, SIZE);
        // Only the entry: it is named.
        let entry = bench.edited(|lines| lines[line_of(index)].clone_from(&forged[line_of(index)]));
        assert_eq!(entry, VerifyError::Entry { index });
        // The entry and its block's hashes: the block is named, for none of its hashes is signed for any more.
        let first = index / 256 * 256;
        let block = bench.edited(|lines| {
            lines[line_of(index)].clone_from(&forged[line_of(index)]);
            lines[line_of(first) - 1].clone_from(&forged[line_of(first) - 1]);
        });
        assert_eq!(block, VerifyError::Block { first, last: (first + 255).min(SIZE - 1) });
        // Everything but the first line: no block leads to the signed root any more.
        let all = bench.edited(|lines| lines[1..].clone_from_slice(&forged[1..]));
        assert_eq!(all.first_bad_entry(), Some(0));
        // The first line too, signed by nobody.
        let unsigned = log.checkpoint().to_body() + bench.log.checkpoint().sign(&log.key).split_once("\n\n").unwrap().1;
        let header = bench.edited(|lines| {
            lines.clone_from_slice(&forged);
            lines[0] =
                lines[0].replace("\"checkpoint\":\"", &format!("\"checkpoint\":\"{}", unsigned.replace('\n', "\\n")));
        });
        assert!(matches!(header, VerifyError::Checkpoint(_)), "{header}");
    }
}

/// The receipt of an entry, given when the log had so many.
fn receipt_at(log: &Log, index: u64, size: usize) -> Receipt {
    let leaves = &log.leaves()[..size];
    let proof = inclusion_proof(&Kept::of(leaves), index, size as u64).unwrap();
    let leaf = leaves[usize::try_from(index).unwrap()];
    Receipt { index, leaf, proof, checkpoint: log.checkpoint_at(size).sign(&log.key) }
}

/// The log's own key signs another history: whoever was shown something can tell, wherever the history was changed before.
#[test]
fn a_history_that_was_written_anew_is_told_by_receipts() {
    let log = Log::of(SIZE);
    let mut fork = Log::of(SIZE);
    fork.entries[40] = reveal(40, "never happened");
    let (whole, forked) = (log.export(0, SIZE), fork.export(0, SIZE));
    let check = |lines: &[String], receipts: &[Receipt]| {
        let mut seen = 0;
        let lines = lines.iter().cloned().map(Ok::<_, Infallible>);
        let against = Against { kept: &[], receipts };
        verify_export_with(lines, Some(&log.key.verifier()), &against, |_, _| seen += 1).map(|_| seen)
    };
    let receipts: Vec<Receipt> =
        [(0, 1), (39, 40), (40, 41), (40, 300), (41, 300), (999, 1000)].map(|(i, n)| receipt_at(&log, i, n)).into();
    assert_eq!(check(&whole, &receipts), Ok(SIZE));
    for receipt in &receipts {
        let told = check(&forked, std::slice::from_ref(receipt));
        let size = receipt.verify(&log.key.verifier()).unwrap().size;
        let expected = match (receipt.index, size) {
            (_, size) if size <= 40 => Ok(SIZE),
            (40, _) => Err(VerifyError::NotTheReceipts { index: 40 }),
            (_, kept) => Err(VerifyError::Forked { kept }),
        };
        assert_eq!(told, expected, "{receipt}");
    }
    let short = check(&log.export(0, 41), &receipts);
    assert!(matches!(short, Err(VerifyError::NotCovered { .. })), "{short:?}");
    let mut another = receipts[0].clone();
    another.checkpoint = log.checkpoint_at(1).sign(&TestKey::new(ORIGIN, 8));
    assert!(matches!(check(&whole, &[another]), Err(VerifyError::Receipt { index: 0, .. })));
}

/// The log's own key signs another history: only a checkpoint that was kept can tell.
#[test]
fn a_forked_or_rolled_back_history_is_told_by_a_kept_checkpoint() {
    let log = Log::of(SIZE);
    let mut fork = Log::of(SIZE);
    fork.entries[40] = reveal(40, "never happened");
    let forked = fork.export(0, SIZE);
    assert!(check(&forked, Some(&log.key.verifier())).is_ok(), "a file cannot speak against its signer");
    for size in [1, 40, 41, 200, 256, 999, 1000] {
        let kept = log.checkpoint_at(size);
        assert!(check_since(&log.export(0, SIZE), &log, &kept).is_ok());
        let told = check_since(&forked, &log, &kept);
        let expected = if size > 40 { Err(VerifyError::Forked { kept: size as u64 }) } else { Ok(()) };
        assert_eq!(told.map(|_| ()), expected, "kept at {size}");
    }
    let short = Log::of(200);
    let rolled_back = check_since(&short.export(0, 200), &log, &log.checkpoint());
    assert_eq!(rolled_back, Err(VerifyError::RolledBack { kept: 1000, size: 200 }));
    let range = check_since(&log.export(1, SIZE), &log, &log.checkpoint_at(5));
    assert_eq!(range, Err(VerifyError::NotCovered { kept: 5 }));
    let other = Checkpoint { origin: "other".into(), ..log.checkpoint() };
    assert!(matches!(check_since(&log.export(0, SIZE), &log, &other), Err(VerifyError::OtherLog { .. })));
}

#[test]
fn each_line_that_is_not_an_entry_is_guarded_too() {
    let bench = Bench::new();
    // Block hashes and proofs, each one changed.
    for line in [line_of(0) - 1, line_of(256) - 1] {
        let first = if line == 1 { 0 } else { 256 };
        let hashes: Vec<usize> = bench.lines[line].match_indices("\",\"").map(|(at, _)| at).collect();
        for at in hashes {
            let changed = bench.first_bad(|lines| {
                let digit = if lines[line].as_bytes()[at - 1] == b'0' { "1" } else { "0" };
                lines[line].replace_range(at - 1..at, digit);
            });
            assert_eq!(changed, Some(first));
        }
        assert_eq!(bench.first_bad(|lines| drop(lines.remove(line))), Some(first));
    }
    let numbered = bench.first_bad(|lines| lines[1] = lines[1].replacen("{\"block\":0", "{\"block\":1", 1));
    assert_eq!(numbered, Some(0));
    let blocks_swapped = bench.first_bad(|lines| lines.swap(line_of(0) - 1, line_of(256) - 1));
    assert_eq!(blocks_swapped, Some(0));
    let count = bench.edited(|lines| *lines.last_mut().unwrap() = "{\"count\":299}".into());
    assert_eq!(count, VerifyError::Count { found: 299, entries: SIZE });
    let trailing = bench.edited(|lines| lines.push("{\"count\":1000}".into()));
    assert_eq!(trailing, VerifyError::Trailing { line: 1007 });
}

#[test]
fn the_first_line_is_held_against_the_checkpoint() {
    let bench = Bench::new();
    let header = |from: &str, to: &str| bench.edited(|lines| lines[0] = lines[0].replacen(from, to, 1));
    assert_eq!(header("\"version\":1", "\"version\":2"), VerifyError::Version { found: 2 });
    assert!(matches!(header("audit-export", "audit"), VerifyError::Line { expected: Expected::Header, .. }));
    assert!(matches!(header("\"from\"", "\"note\":1,\"from\""), VerifyError::Line { expected: Expected::Header, .. }));
    for (from, to) in [("\"to\":1000", "\"to\":1001"), ("\"from\":0", "\"from\":1001")] {
        assert!(matches!(header(from, to), VerifyError::Contradiction(_)), "{to}");
    }
    assert!(matches!(header("\"origin\":\"vault", "\"origin\":\"other"), VerifyError::Contradiction(_)));
    assert!(matches!(header("\\n1000\\n", "\\n999\\n"), VerifyError::Checkpoint(_)));
    assert_eq!(bench.edited(Vec::clear), VerifyError::CutShort { expected: Expected::Header });
    let huge = bench.edited(|lines| lines[0] = format!("{}{}", lines[0], " ".repeat(LINE_MAX)));
    assert!(matches!(huge, VerifyError::Line { expected: Expected::Header, .. }));

    // An empty log that claims a root, signed; and a note that is no checkpoint.
    let log = Log::of(0);
    let lines = log.export(0, 0);
    for (note, contradiction) in [
        (Checkpoint { root: node(), ..log.checkpoint() }.sign(&log.key), true),
        (sign_note(&format!("{ORIGIN}\n"), &log.key), false),
    ] {
        let mut header: Header = serde_json::from_str(&lines[0]).unwrap();
        header.checkpoint = note;
        let found = check(&[serde_json::to_string(&header).unwrap(), lines[1].clone()], Some(&log.key.verifier()));
        assert_eq!(matches!(found, Err(VerifyError::Contradiction(_))), contradiction, "{found:?}");
        assert!(found.is_err());
    }
}

/// With a wrong number of leaf hashes, hashes of another row must not pass for leaf hashes.
#[test]
fn inner_nodes_do_not_pass_for_leaves() {
    let log = Log::of(256);
    let mut lines = log.export(0, 256);
    let source = Kept::of(&log.leaves());
    let row: Vec<Hash> = (0..128).map(|i| super::super::HashSource::complete(&source, 1, i).unwrap()).collect();
    assert_eq!(root_of(&row), log.checkpoint().root, "the same root, from half as many hashes");
    lines[1] = serde_json::to_string(&BlockLine { block: 0, leaves: row, proof: vec![] }).unwrap();
    assert_eq!(check(&lines, Some(&log.key.verifier())), Err(VerifyError::Block { first: 0, last: 255 }));
}

#[test]
fn fields_that_tell_of_no_person_are_not_withheld_in_silence() {
    let log = Log::of(1);
    let mut lines = log.export(0, 1);
    let entry = log.entries[0].clone().withholding(|name| name == FieldName::Kind);
    lines[2] = serde_json::to_string(&EntryLine { index: 0, fields: entry }).unwrap();
    let report = check(&lines, Some(&log.key.verifier())).unwrap();
    assert_eq!(report.warnings(), ["fields that tell of no person are withheld: kind"]);
}

#[test]
fn a_file_that_cannot_be_read_says_where() {
    let bench = Bench::new();
    let lines = bench.lines.iter().take(5).cloned().map(Ok).chain([Err("the disk is gone")]);
    let read = verify_export(lines, Some(&bench.key));
    assert_eq!(read, Err(VerifyError::Read { line: 6, problem: "the disk is gone".into() }));
}

fn node() -> Hash {
    Hash([1; 32])
}
