use super::super::sample::{Kept, Log, TestKey};
use super::*;
use crate::audit::consistency_proof;

const NAME: &str = "witness.acme.example/w1";

fn witness() -> (TestKey, CosignerKey) {
    let key = TestKey::new(NAME, 9);
    let public = CosignerKey::new(NAME, key.public_key()).unwrap();
    (key, public)
}

fn request(log: &Log, old: u64, size: usize) -> AddCheckpoint {
    let proof = consistency_proof(&Kept::of(&log.leaves()), old, size as u64).unwrap();
    AddCheckpoint { old, proof, checkpoint: log.checkpoint_at(size).sign(&log.key) }
}

fn judged(log: &Log, request: &AddCheckpoint, known: Option<usize>) -> Result<u64, Refusal> {
    let known = known.map(|size| log.checkpoint_at(size));
    judge(request, &[log.key.verifier()], |_| known).map(|found| found.size)
}

#[test]
fn a_log_that_grows_is_cosigned_from_any_size_to_any() {
    let log = Log::of(20);
    for size in 1..=20 {
        assert_eq!(judged(&log, &request(&log, 0, size), None), Ok(size as u64));
        for old in 1..=size {
            let asked = request(&log, old as u64, size);
            assert_eq!(asked.to_string().parse(), Ok(asked.clone()));
            assert_eq!(judged(&log, &asked, Some(old)), Ok(size as u64), "{old} to {size}");
        }
    }
}

#[test]
fn what_a_witness_refuses_has_the_status_of_the_protocol() {
    let (log, mut fork) = (Log::of(20), Log::of(20));
    fork.entries[3] = super::super::sample::reveal(3, "never happened");
    let asked = request(&log, 10, 20);
    let refused = |request: &AddCheckpoint, known| judged(&log, request, known).unwrap_err();
    assert_eq!(refused(&asked, Some(12)), Refusal::Stale(12));
    assert_eq!(refused(&asked, None), Refusal::Stale(0));
    assert_eq!(refused(&AddCheckpoint { old: 21, ..asked.clone() }, Some(10)), Refusal::Backwards);
    let forked = request(&fork, 10, 20);
    assert!(matches!(refused(&forked, Some(10)), Refusal::Inconsistent { from: 10, .. }), "another past");
    assert_eq!(refused(&forked, Some(20)), Refusal::Forked(20), "two of a size, whatever the sender thinks");
    assert!(matches!(
        refused(&AddCheckpoint { proof: vec![], ..asked.clone() }, Some(10)),
        Refusal::Inconsistent { .. }
    ));
    let first = AddCheckpoint { old: 0, ..asked.clone() };
    assert!(matches!(refused(&first, None), Refusal::Inconsistent { from: 0, .. }), "a proof from nothing is none");
    let by_another = log.checkpoint().sign(&TestKey::new(&log.key.name, 8));
    assert_eq!(refused(&AddCheckpoint { checkpoint: by_another, ..asked.clone() }, Some(10)), Refusal::Unsigned);
    let followed = [TestKey::new("vault.test/other", 7).verifier()];
    assert_eq!(judge(&asked, &followed, |_| None), Err(Refusal::UnknownLog));
    for (text, status) in [("old 1\n", 400), ("old 01\n\nx\n", 400), ("new 1\n\nx\n", 400), ("old 1\nx\n\ny\n", 400)] {
        assert_eq!(text.parse::<AddCheckpoint>().unwrap_err().status(), status);
    }
    let statuses =
        [Refusal::UnknownLog, Refusal::Unsigned, Refusal::Stale(1), Refusal::Forked(1)].map(|why| why.status());
    assert_eq!(statuses, [404, 403, 409, 409]);
}

#[test]
fn a_cosignature_is_found_beside_others_and_a_wrong_one_is_told() {
    let (log, (key, public)) = (Log::of(5), witness());
    let at = "2026-11-28T12:00:00Z".parse().unwrap();
    let plain = log.checkpoint().sign(&log.key);
    let note = format!("{plain}{}", cosign(&log.checkpoint(), at, &key));
    assert_eq!(public.cosigned(&note), Ok(Some(at)));
    assert_eq!(public.cosigned(&plain), Ok(None));
    assert_eq!(Checkpoint::open(&note, &[log.key.verifier()]), Ok(log.checkpoint()), "the log's own signature stays");
    let of_another = format!("{plain}{}", cosign(&log.checkpoint_at(4), at, &key));
    assert!(matches!(public.cosigned(&of_another), Err(NoteError::BadSignature(_))));
    let other = CosignerKey::new(NAME, TestKey::new(NAME, 3).public_key()).unwrap();
    assert_eq!(other.cosigned(&note), Ok(None), "another key of the same name");
    assert_eq!(public.to_string().parse(), Ok(public.clone()));
    assert!(log.key.verifier().to_string().parse::<CosignerKey>().is_err(), "a log's key is no witness's");
    assert!(public.to_string().parse::<VerifierKey>().is_err(), "nor the other way round");
}

/// As C2SP writes it down, byte for byte: made with the specification in hand, and not with this code.
#[test]
fn a_cosignature_signs_what_the_specification_says() {
    let (log, (key, public)) = (Log::of(1), witness());
    let at = Timestamp::from_second(1_679_315_147).unwrap();
    let line = cosign(&log.checkpoint(), at, &key);
    let encoded = line.strip_prefix(&format!("— {NAME} ")).unwrap().trim_end();
    let bytes = STANDARD.decode(encoded).unwrap();
    assert_eq!(bytes.len(), 4 + 8 + 64);
    let id = Sha256::digest([NAME.as_bytes(), b"\n\x04", &key.public_key()].concat());
    assert_eq!(bytes[..4], id[..4]);
    assert_eq!(bytes[4..12], 1_679_315_147_u64.to_be_bytes());
    let signed = format!("cosignature/v1\ntime 1679315147\n{}", log.checkpoint().to_body());
    UnparsedPublicKey::new(&ED25519, public.public_key).verify(signed.as_bytes(), &bytes[12..]).unwrap();
}
