//! The signed report of an emergency rotation, and its offline verifier.
//!
//! ```text
//! report   header line ‖ a line an account ‖ seal line                 JSON Lines, each line ends in a newline
//! seal     {"note": note, "verifier_key": vkey}
//! note     "claviger emergency report 1\n" vault "/" customer "\n" emergency "\n" hex(SHA-256(all lines before)) "\n", signed
//! ```
//! The note is signed by the key of the customer's log, under that log's name: whoever knows the log's verifier key knows
//! this one. Its first line is no origin of any log, so that it never passes for a checkpoint.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::audit::note::{NoteError, Signer, VerifierKey, open_note, sign_note};
use crate::wire::{EmergencyCounts, EmergencyLine, EmergencyState};
use crate::{EmergencyId, Part, Timestamp, UserName};

/// The format of the report; another one gets another number.
pub const REPORT_FORMAT: u32 = 1;
/// The most bytes that the verifier reads of a report.
pub const REPORT_MAX: usize = 256 * 1024 * 1024;

const LABEL: &str = "claviger emergency report 1";

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportHeader {
    /// [`REPORT_FORMAT`].
    pub emergency_report: u32,
    /// The emergency rotation.
    pub id: EmergencyId,
    /// The customer.
    pub customer: Part,
    /// How far it was.
    pub state: EmergencyState,
    /// Who started it.
    pub started_by: UserName,
    /// When.
    pub started_at: Timestamp,
    /// When it was done.
    pub finished_at: Option<Timestamp>,
    /// When this was written.
    pub reported_at: Timestamp,
    /// How many accounts were how far.
    pub counts: EmergencyCounts,
}

/// The last line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    note: String,
    verifier_key: VerifierKey,
}

/// A report that was verified.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedReport {
    /// What it says of all.
    #[serde(flatten)]
    pub header: ReportHeader,
    /// The key that signed it.
    pub verifier_key: VerifierKey,
    /// Whether that key was known before; else the report only proves that it was not changed since somebody signed it.
    pub key_was_given: bool,
    /// What it says of each account.
    #[serde(skip)]
    pub lines: Vec<EmergencyLine>,
}

/// Why a report is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReport {
    /// Not a report.
    #[error("not a report of an emergency rotation: line {0} cannot be read")]
    Malformed(usize),
    /// A newer format.
    #[error("a report of format {0}, which this version does not know")]
    Format(u32),
    /// Longer than any report is.
    #[error("longer than any report is")]
    TooLong,
    /// Signed by another key.
    #[error("signed by another key than the one given")]
    OtherKey,
    /// What was signed is another report, or this one was changed since.
    #[error("the lines are not those that were signed")]
    Changed,
    /// The numbers do not agree with the lines.
    #[error("the counts are not those of the lines")]
    Counts,
    /// The signature.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Writes and signs a report, line by line. The signer is named like the customer's log.
pub fn sign_report(
    header: &ReportHeader,
    lines: &[EmergencyLine],
    signer: &dyn Signer,
) -> Result<Vec<String>, BadReport> {
    let key = VerifierKey::new(signer.name(), signer.public_key())?;
    let mut report = vec![written(header, 1)?];
    for (number, line) in lines.iter().enumerate() {
        report.push(written(line, number + 2)?);
    }
    let note = sign_note(&body(signer.name(), header.id, report.iter().map(String::as_str)), signer);
    report.push(written(&Seal { note, verifier_key: key }, lines.len() + 2)?);
    Ok(report)
}

/// Verifies a report offline. Without a key it is verified by the one that it brings, which says less.
pub fn verify_report(text: &str, key: Option<&VerifierKey>) -> Result<VerifiedReport, BadReport> {
    if text.len() > REPORT_MAX {
        return Err(BadReport::TooLong);
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let [first, middle @ .., last] = lines.as_slice() else { return Err(BadReport::Malformed(1)) };
    let header: ReportHeader = read(first, 1)?;
    if header.emergency_report != REPORT_FORMAT {
        return Err(BadReport::Format(header.emergency_report));
    }
    let seal: Seal = read(last, lines.len())?;
    if key.is_some_and(|key| *key != seal.verifier_key) {
        return Err(BadReport::OtherKey);
    }
    let known = [seal.verifier_key.clone()];
    let note = open_note(&seal.note, &known)?;
    let signed = std::iter::once(*first).chain(middle.iter().copied());
    if note.body != body(seal.verifier_key.name(), header.id, signed) {
        return Err(BadReport::Changed);
    }
    let mut counts = EmergencyCounts::default();
    let mut accounts = Vec::with_capacity(middle.len());
    for (number, line) in middle.iter().enumerate() {
        let line: EmergencyLine = read(line, number + 2)?;
        counts.add(line.result);
        accounts.push(line);
    }
    if counts != header.counts {
        return Err(BadReport::Counts);
    }
    Ok(VerifiedReport { header, verifier_key: seal.verifier_key, key_was_given: key.is_some(), lines: accounts })
}

fn body<'a>(origin: &str, id: EmergencyId, lines: impl Iterator<Item = &'a str>) -> String {
    let hash = lines.fold(Sha256::new(), Sha256::chain_update);
    format!("{LABEL}\n{origin}\n{id}\n{}\n", hex::encode(hash.finalize()))
}

fn written(line: &impl Serialize, number: usize) -> Result<String, BadReport> {
    serde_json::to_string(line).map(|text| text + "\n").map_err(|_| BadReport::Malformed(number))
}

fn read<'t, T: Deserialize<'t>>(line: &'t str, number: usize) -> Result<T, BadReport> {
    serde_json::from_str(line).map_err(|_| BadReport::Malformed(number))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use uuid::Uuid;

    use super::*;
    use crate::wire::EmergencyResult;

    struct Key(Ed25519KeyPair);

    impl Signer for Key {
        fn name(&self) -> &'static str {
            "vault.example/cu_0197a3c2e1f07b1a8c3d4e5f60718293"
        }

        fn public_key(&self) -> [u8; 32] {
            self.0.public_key().as_ref().try_into().unwrap()
        }

        fn sign(&self, message: &[u8]) -> [u8; 64] {
            self.0.sign(message).as_ref().try_into().unwrap()
        }
    }

    fn key(seed: u8) -> Key {
        Key(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn verifier(key: &Key) -> VerifierKey {
        VerifierKey::new(key.name(), key.public_key()).unwrap()
    }

    fn line(account: &str, result: EmergencyResult) -> EmergencyLine {
        EmergencyLine {
            account: account.parse().unwrap(),
            tier: None,
            result,
            verified: result == EmergencyResult::Rotated,
            old_refused: result == EmergencyResult::Rotated,
            rotation: None,
            why: None,
        }
    }

    fn report(key: &Key) -> Vec<String> {
        let lines = [line("acme/db/a", EmergencyResult::Rotated), line("acme/db/b", EmergencyResult::Unresolved)];
        let mut counts = EmergencyCounts::default();
        for line in &lines {
            counts.add(line.result);
        }
        let header = ReportHeader {
            emergency_report: REPORT_FORMAT,
            id: EmergencyId::from_uuid(Uuid::from_u128(1)),
            customer: "acme".parse().unwrap(),
            state: EmergencyState::Done,
            started_by: "root".parse().unwrap(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Some(Timestamp::UNIX_EPOCH),
            reported_at: Timestamp::UNIX_EPOCH,
            counts,
        };
        sign_report(&header, &lines, key).unwrap()
    }

    #[test]
    fn a_report_is_verified_without_the_vault() {
        let key = key(1);
        let verified = verify_report(&report(&key).concat(), Some(&verifier(&key))).unwrap();
        assert_eq!((verified.header.counts.rotated, verified.header.counts.unresolved), (1, 1));
        assert_eq!((verified.lines.len(), verified.key_was_given), (2, true));
        assert!(!verify_report(&report(&key).concat(), None).unwrap().key_was_given);
    }

    /// Nothing of it can be changed, left out, added or put in another order.
    #[test]
    fn a_report_that_was_changed_is_refused() {
        let (key, other) = (key(1), key(2));
        let good = report(&key);
        let known = Some(verifier(&key));
        let mut changed: Vec<Vec<String>> = Vec::new();
        for at in 0..good.len() {
            changed.push(good.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| line.clone()).collect());
            let mut twice = good.clone();
            twice.insert(at, good[at].clone());
            changed.push(twice);
        }
        let mut swapped = good.clone();
        swapped.swap(1, 2);
        changed.push(swapped);
        for (old, new) in
            [("unresolved", "rotated"), ("acme/db/a", "acme/db/c"), ("\"old_refused\":true", "\"old_refused\":false")]
        {
            changed.push(good.iter().map(|line| line.replacen(old, new, 1)).collect());
        }
        // Its head is this report's, its seal another's.
        let mut mixed = report(&other);
        mixed[3].clone_from(&good[3]);
        mixed[1] = mixed[1].replace("rotated", "skipped");
        changed.push(mixed);
        for report in changed {
            assert!(verify_report(&report.concat(), known.as_ref()).is_err(), "{report:?}");
        }
        assert_eq!(verify_report(&report(&other).concat(), known.as_ref()).unwrap_err(), BadReport::OtherKey);
        assert!(verify_report(&good.concat()[..good.concat().len() - 3], known.as_ref()).is_err());
        assert!(verify_report("", None).is_err());
    }
}
