use signed_note::{Note, StandardSigner, StandardVerifier, VerifierList};

use super::super::hash::leaf_hash;
use super::super::sample::{ORIGIN, TestKey};
use super::*;

/// Frozen, with the key of the seed of 32 sevens. Ed25519 is deterministic; both were computed apart from this code.
const VKEY: &str = "vault.test/audit/operator+7c1d7131+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
const NOTE: &str = "vault.test/audit/operator\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n\n— vault.test/audit/operator fB1xMa9mWW/Jpq8w1tEq5lJ9zhiE2Ucmw1I0lU9RcY1O02WI2fwSlcWSGUO0GFd4DctEaNeUZ3Zyh7wG8+ODwGla+AI=\n";

fn key() -> TestKey {
    TestKey::new("vault.test/audit/operator", 7)
}

fn checkpoint() -> Checkpoint {
    Checkpoint { origin: key().name, size: 1, root: leaf_hash(b"") }
}

#[test]
fn the_vectors() {
    assert_eq!(key().verifier().to_string(), VKEY);
    assert_eq!(checkpoint().sign(&key()), NOTE);
    assert_eq!(checkpoint().to_body(), "vault.test/audit/operator\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n");
}

#[test]
fn a_signed_checkpoint_opens_with_its_key_only() {
    let note = checkpoint().sign(&key());
    assert_eq!(Checkpoint::open(&note, &[key().verifier()]), Ok(checkpoint()));
    let other = TestKey::new("vault.test/audit/operator", 8).verifier();
    assert_eq!(Checkpoint::open(&note, std::slice::from_ref(&other)), Err(NoteError::UnknownKey));
    assert_eq!(Checkpoint::open(&note, &[]), Err(NoteError::UnknownKey));
    assert_eq!(Checkpoint::open(&note, &[other, key().verifier()]), Ok(checkpoint()));
}

#[test]
fn no_changed_note_opens() {
    let note = checkpoint().sign(&key());
    let known = [key().verifier()];
    for (at, _) in note.char_indices() {
        let mut bytes = note.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(Checkpoint::open(&changed, &known).is_err(), "byte {at}");
        }
        assert!(Checkpoint::open(&note[..at], &known).is_err(), "cut at {at}");
    }
    let larger = note.replacen("\n1\n", "\n2\n", 1);
    assert_eq!(Checkpoint::open(&larger, &known), Err(NoteError::BadSignature(key().name)));
}

#[test]
fn a_key_is_good_for_the_log_that_it_is_named_after() {
    let note = Checkpoint { origin: ORIGIN.into(), ..checkpoint() }.sign(&key());
    assert!(open_note(&note, &[key().verifier()]).is_ok());
    assert_eq!(Checkpoint::open(&note, &[key().verifier()]), Err(NoteError::UnknownKey));
}

#[test]
fn other_signatures_are_ignored_and_a_wrong_one_by_a_known_key_is_not() {
    let note = checkpoint().sign(&key());
    let witness = TestKey::new("witness.test", 9);
    let cosignature = sign_note(&checkpoint().to_body(), &witness).split_once("\n\n").unwrap().1.to_owned();
    let cosigned = note.clone() + &cosignature;
    let both = [witness.verifier(), key().verifier()];
    assert_eq!(Checkpoint::open(&cosigned, &both[1..]), Ok(checkpoint()));
    assert_eq!(open_note(&cosigned, &both).unwrap().signed_by, [&both[1], &both[0]]);
    assert_eq!(open_note(&(note.clone() + &cosignature.repeat(15)), &both).unwrap().signed_by.len(), 2);
    let forged = note.clone() + sign_note("another\n", &witness).split_once("\n\n").unwrap().1;
    assert_eq!(open_note(&forged, &both), Err(NoteError::BadSignature("witness.test".into())));
    assert!(open_note(&forged, &both[1..]).is_ok(), "an unknown key's signature is nobody's business");
    assert_eq!(open_note(&(note.clone() + &cosignature.repeat(100)), &both), Err(NoteError::Malformed));
    assert_eq!(open_note(&(note + "rubbish\n"), &both), Err(NoteError::Malformed));
}

#[test]
fn what_is_not_a_note_or_checkpoint_is_refused() {
    let known = [key().verifier()];
    for bad in ["", "\n", "\n\n", "a\n\n", "a\n\n\n", "a\n\n— b\n", "a\n\n— b AAAAAA\n", "a\r\n\n— b AAAAAAA=\n"]
    {
        assert_eq!(open_note(bad, &known), Err(NoteError::Malformed), "{bad:?}");
    }
    assert_eq!(open_note(&sign_note("no newline", &key()), &known), Err(NoteError::Malformed));
    let root = "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=";
    for bad in [
        String::new(),
        format!("\n1\n{root}\n"),
        format!("o\n01\n{root}\n"),
        format!("o\n+1\n{root}\n"),
        format!("o\n18446744073709551616\n{root}\n"),
        format!("o\n1\n{root}"),
        format!("o\n1\n{root}\n\n"),
        "o\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhev\n".to_owned(),
        "o\n1\n".to_owned(),
    ] {
        assert_eq!(Checkpoint::from_body(&bad), Err(NoteError::NotACheckpoint), "{bad:?}");
    }
    let extended = format!("{}something new\n", checkpoint().to_body());
    assert_eq!(Checkpoint::from_body(&extended), Ok(checkpoint()));
}

#[test]
fn a_verifier_key_has_one_text() {
    let key = key().verifier();
    let text = key.to_string();
    assert_eq!(text.parse(), Ok(key.clone()));
    assert_eq!(serde_json::from_str::<VerifierKey>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
    let (start, end) = text.split_at(text.len() - 44);
    for bad in [
        String::new(),
        "a+b".to_owned(),
        text.to_uppercase(),
        format!("x{text}"),
        format!("{start}{}", end.replacen('A', "B", 1)),
        format!("{start}{}", &end[4..]),
        format!("{text}\n"),
        text.replacen("operator", "opera tor", 1),
        text.replacen('+', "+0", 1),
    ] {
        assert_eq!(bad.parse::<VerifierKey>(), Err(NoteError::BadKey), "{bad:?}");
    }
    for bad in ["", "a b", "a+b", "a\nb", "a\u{2003}b", "a\u{0}b"] {
        assert_eq!(VerifierKey::new(bad, [0; 32]), Err(NoteError::BadKey), "{bad:?}");
    }
}

#[test]
fn each_log_has_an_origin() {
    assert_eq!(origin("vault.test/audit", Scope::Operator), "vault.test/audit/operator");
    let customer = "cu_0197a3c2e1f07b1a8c3d4e5f60718293".parse().unwrap();
    assert_eq!(origin("vault.test/audit", Scope::Customer(customer)), ORIGIN);
}

/// The judge: signed_note and tlog_tiles read what we sign, and we read what they sign.
#[test]
fn an_implementation_that_is_not_ours_agrees() {
    let note = checkpoint().sign(&key());
    let trusted = StandardVerifier::new(&key().verifier().to_string()).unwrap();
    let known = VerifierList::new(vec![Box::new(trusted)]);
    let judged = Note::from_bytes(note.as_bytes()).unwrap();
    let (accepted, ignored) = judged.verify(&known).unwrap();
    assert_eq!((accepted.len(), ignored.len()), (1, 0));
    let parsed = tlog_tiles::Checkpoint::from_bytes(judged.text()).unwrap();
    assert_eq!((parsed.origin(), parsed.size(), parsed.hash().0), (&*key().name, 1, checkpoint().root.0));

    let id = hex::encode(key().verifier().key_id());
    let seed = STANDARD.encode([vec![ED25519_TYPE], vec![7; 32]].concat());
    let their_key = StandardSigner::new(&format!("PRIVATE+KEY+{}+{id}+{seed}", key().name)).unwrap();
    let body = tlog_tiles::Checkpoint::new(&key().name, 1, tlog_tiles::Hash(checkpoint().root.0), "").unwrap();
    let mut their_note = Note::new(&body.to_bytes(), &[]).unwrap();
    their_note.add_sigs(&[&their_key]).unwrap();
    let their_note = String::from_utf8(their_note.to_bytes()).unwrap();
    assert_eq!(their_note, note, "Ed25519 is deterministic");
    assert_eq!(Checkpoint::open(&their_note, &[key().verifier()]), Ok(checkpoint()));
}
