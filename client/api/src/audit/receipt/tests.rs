use super::super::sample::{Kept, Log, TestKey, leaves};
use super::*;
use crate::audit::inclusion_proof;

fn receipt(log: &Log, index: u64) -> Receipt {
    let hashes = log.leaves();
    let size = hashes.len() as u64;
    let proof = inclusion_proof(&Kept::of(&hashes), index, size).unwrap();
    let leaf = hashes[usize::try_from(index).unwrap()];
    Receipt { index, leaf, proof, checkpoint: log.checkpoint().sign(&log.key) }
}

#[test]
fn a_receipt_reads_back_and_proves_its_entry() {
    let log = Log::of(13);
    for index in 0..13 {
        let receipt = receipt(&log, index);
        assert_eq!(receipt.to_string().parse(), Ok(receipt.clone()));
        assert_eq!(receipt.verify(&log.key.verifier()), Ok(log.checkpoint()));
    }
}

/// The form of C2SP tlog-proof, byte for byte.
#[test]
fn a_receipt_is_a_tlog_proof() {
    insta::assert_snapshot!(receipt(&Log::of(3), 1));
}

#[test]
fn each_thing_changed_in_it_is_refused() {
    let log = Log::of(13);
    let (key, whole) = (log.key.verifier(), receipt(&log, 5));
    let other = leaves(1)[0];
    let mut changed = vec![
        Receipt { index: 4, ..whole.clone() },
        Receipt { index: 13, ..whole.clone() },
        Receipt { leaf: other, ..whole.clone() },
        Receipt { proof: whole.proof[1..].to_vec(), ..whole.clone() },
        Receipt { checkpoint: log.checkpoint_at(12).sign(&log.key), ..whole.clone() },
        Receipt { checkpoint: log.checkpoint().sign(&TestKey::new("vault.test/other", 7)), ..whole.clone() },
        Receipt { checkpoint: log.checkpoint().sign(&TestKey::new(&log.key.name, 8)), ..whole.clone() },
    ];
    for at in 0..whole.proof.len() {
        let mut proof = whole.proof.clone();
        proof[at] = other;
        changed.push(Receipt { proof, ..whole.clone() });
    }
    for changed in changed {
        assert!(changed.verify(&key).is_err(), "{changed}");
    }
}

#[test]
fn a_text_that_is_no_receipt_says_what_is_wrong() {
    let text = receipt(&Log::of(3), 1).to_string();
    let wrong = |from: &str, to: &str| text.replacen(from, to, 1).parse::<Receipt>().unwrap_err().to_string();
    assert!(wrong("@v1", "@v2").contains("first line"));
    assert!(wrong("index 1", "index 01").contains("index"));
    assert!(wrong("index 1", "index +1").contains("index"));
    assert!(wrong("extra ", "extra A").contains("leaf"));
    assert!(wrong("\n\n", "\n").contains("the proof"), "what is below is taken for it");
    assert!("".parse::<Receipt>().unwrap_err().to_string().contains("empty line"));
    let long = text.replacen("\n\n", &format!("\n{}\n", "A".repeat(44) + "\n").repeat(70), 1);
    assert!(long.parse::<Receipt>().is_err());
}
