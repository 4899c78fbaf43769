//! `claviger audit verify`: an exported log, held against all that was kept apart from it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use clap::Args;
use claviger_client::Exit;
use claviger_client::api::audit::export::LINE_MAX;
use claviger_client::api::audit::{
    Against, Checkpoint, CosignerKey, Entry, EventKind, FieldName, KeyTrust, NoteError, Receipt, VerifierKey, archive,
    verify_archive, verify_export_with,
};

use crate::connection::Context;
use crate::failure::Failure;
use crate::progress::note;
use crate::receipts::{self, Kept};

#[derive(Args)]
pub struct Verify {
    /// The exported file, or an archive from beside the vault's store
    file: PathBuf,
    /// The log's verifier key as you know it from elsewhere (claviger audit checkpoint, kept from before)
    #[arg(long, value_name = "VKEY")]
    key: Option<VerifierKey>,
    /// Receipts that people keep (claviger audit receipts says where): the log has to hold what each one was shown
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    /// A checkpoint that was kept from before, e.g. by a witness, as a signed note: the log has to continue it
    #[arg(long, value_name = "FILE")]
    kept: Option<PathBuf>,
    /// The key of a witness, who has to have cosigned the kept checkpoint
    #[arg(long, value_name = "VKEY", requires = "kept", value_parser = cosigner)]
    witness: Option<CosignerKey>,
}

fn cosigner(text: &str) -> Result<CosignerKey, NoteError> {
    text.parse()
}

impl Verify {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let header = header(&self.file);
        if header.as_ref().is_some_and(|header| header.format == archive::FORMAT) {
            return self.archive(context);
        }
        let kept = self.kept_checkpoint(header.as_ref())?;
        let receipts = Receipts::of_log(header.as_ref(), self.receipts.as_deref())?;
        let checkpoints: Vec<&Checkpoint> = kept.iter().collect();
        let against = Against { kept: &checkpoints, receipts: &receipts.proofs };
        let mut strange = None;
        let seen = |index, entry: &Entry| strange = strange.take().or_else(|| receipts.contradicted(index, entry));
        let report = verify_export_with(lines(self.open()?), self.key.as_ref(), &against, seen);
        let again = "keep the file as it is, and export the log again; if that fails too, the record was changed";
        let report = report.map_err(|error| not_verified(error, again))?;
        for warning in report.warnings() {
            note(&format!("warning: {warning}"));
        }
        if let Some(what) = strange {
            let help =
                "what somebody was shown is told otherwise in the log; keep both files, and ask who runs the vault";
            return Err(not_verified(what, help));
        }
        context.output.one(&report)?;
        if let Some(kept) = &kept {
            note(&format!("it continues the checkpoint of {} entries that was kept", kept.size));
        }
        if self.receipts.is_some() {
            let (held, others) = (receipts.proofs.len(), receipts.of_others);
            note(&format!("{held} receipts are in the log as they say; {others} are of other logs"));
        }
        let Some(fault) = report.completeness.iter().flat_map(|sum| &sum.faults).next() else { return Ok(()) };
        let help = "the file is what was logged, and the log leaves something out; ask who runs the vault";
        Err(Failure::Own {
            exit: Exit::Failed,
            what: format!("NOT COMPLETE: {} at entry {}: {}", fault.about, fault.index, fault.what),
            help: Some(help.to_owned()),
        })
    }

    /// What lies beside the vault's store: its hashes can be checked, its entries are sealed.
    fn archive(&self, context: &Context) -> Result<(), Failure> {
        if self.receipts.is_some() || self.kept.is_some() {
            let help = "export the log: what an archive says, the vault alone can read";
            return Err(Failure::usage(
                "an archive is not held against receipts or a kept checkpoint".to_owned(),
                help,
            ));
        }
        let report = verify_archive(lines(self.open()?), self.key.as_ref());
        let report = report.map_err(|error| not_verified(error, "put a copy that is whole in its place"))?;
        if report.key_trust == KeyTrust::FoundInFile {
            note(&format!(
                "warning: the key was only found in the file; compare it with the one you know: {}",
                report.key
            ));
        }
        note(
            "its hashes are those that were signed; its entries are sealed, and held against them when the vault reads them",
        );
        context.output.one(&report)
    }

    fn open(&self) -> Result<BufReader<File>, Failure> {
        let file = File::open(&self.file).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", self.file.display()), "name an exported log")
        })?;
        Ok(BufReader::new(file))
    }

    /// The checkpoint that was kept, signed by the log and, if one is named, by the witness.
    fn kept_checkpoint(&self, header: Option<&Header>) -> Result<Option<Checkpoint>, Failure> {
        let Some(path) = &self.kept else { return Ok(None) };
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", path.display()), "name a file with a signed note")
        })?;
        let bad = |error: NoteError| not_verified(format_args!("{}: {error}", path.display()), "is it of this log?");
        let key = self.key.clone().or_else(|| header.map(|header| header.verifier_key.clone()));
        let key = key.ok_or_else(|| bad(NoteError::UnknownKey))?;
        let checkpoint = Checkpoint::open(&text, std::slice::from_ref(&key)).map_err(bad)?;
        if let Some(witness) = &self.witness {
            let at = witness.cosigned(&text).map_err(bad)?.ok_or_else(|| bad(NoteError::UnknownKey))?;
            note(&format!("{} has seen it at {at}", witness.name()));
        }
        Ok(Some(checkpoint))
    }
}

fn not_verified(what: impl std::fmt::Display, help: &str) -> Failure {
    Failure::Own { exit: Exit::Failed, what: format!("NOT VERIFIED: {what}"), help: Some(help.to_owned()) }
}

/// What the first line of an export says of its log. It is believed no further than to find what is of this log.
#[derive(serde::Deserialize)]
struct Header {
    format: String,
    origin: String,
    verifier_key: VerifierKey,
}

fn header(file: &Path) -> Option<Header> {
    let first = lines(BufReader::new(File::open(file).ok()?)).next()?.ok()?;
    serde_json::from_str(&first).ok()
}

/// The receipts that are of one log.
#[derive(Default)]
struct Receipts {
    proofs: Vec<Receipt>,
    of: Vec<(u64, Kept)>,
    of_others: usize,
}

impl Receipts {
    fn of_log(log: Option<&Header>, file: Option<&Path>) -> Result<Self, Failure> {
        let mut found = Self::default();
        let Some(file) = file else { return Ok(found) };
        for kept in receipts::read(file)? {
            match kept.receipt() {
                Some(receipt) if log.is_some_and(|log| kept.origin().as_deref() == Some(&log.origin)) => {
                    found.of.push((receipt.index, kept));
                    found.proofs.push(receipt);
                }
                Some(_) | None => found.of_others += 1,
            }
        }
        Ok(found)
    }

    /// What an entry should say by a receipt, and does not.
    fn contradicted(&self, index: u64, entry: &Entry) -> Option<String> {
        let of_it = |kept: &&(u64, Kept)| kept.0 == index;
        let (_, kept) = self.of.iter().filter(of_it).find(|(_, kept)| {
            let is = |name, wanted: &str| entry.value(name) == Some(wanted);
            let checkout = kept.checkout.as_ref().is_none_or(|id| is(FieldName::Checkout, &id.to_string()));
            !checkout || !is(FieldName::Account, &kept.account.to_string()) || !shows(entry)
        })?;
        Some(format!("entry {index} does not say that a secret of {} was shown", kept.account))
    }
}

/// Whether an entry says that something was shown to somebody.
fn shows(entry: &Entry) -> bool {
    use EventKind::{BreakGlassUnresolvedRevealed, CheckoutCertificateSigned, CheckoutRevealed, RotationShown};
    let kind = entry.value(FieldName::Kind).and_then(|kind| kind.parse().ok());
    let shown = [BreakGlassUnresolvedRevealed, CheckoutCertificateSigned, CheckoutRevealed, RotationShown];
    kind.is_some_and(|kind: EventKind| shown.contains(&kind))
}

/// The lines of a file. A longer one than an export has is cut, and the verifier refuses it by its length.
fn lines(mut file: impl BufRead) -> impl Iterator<Item = io::Result<String>> {
    std::iter::from_fn(move || {
        let mut line = String::new();
        match file.by_ref().take(LINE_MAX as u64 + 2).read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Some(Err(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use claviger_client::api::audit::FieldView;

    use super::*;

    fn entry(kind: EventKind, account: &str, checkout: &str) -> Entry {
        let open = |name, value: &str| (name, FieldView::Open { value: value.to_owned(), salt: [7; 32] });
        let fields = [
            open(FieldName::Kind, kind.text()),
            open(FieldName::Time, "2026-11-28T12:00:00Z"),
            open(FieldName::Account, account),
            open(FieldName::Checkout, checkout),
        ];
        Entry::from_views(fields.into()).unwrap()
    }

    /// A server could give the receipt of something else: it proves that the log has *that*.
    #[test]
    fn a_receipt_of_something_else_is_found_by_what_the_entry_says() {
        let (id, other) = ("co_0197a3c2e1f07b1a8c3d4e5f60718293", "co_0197a3c2e1f07b1a8c3d4e5f60718294");
        let kept: Kept = serde_json::from_value(serde_json::json!({
            "received_at": "2026-11-28T12:00:00Z", "account": "acme/db/app", "checkout": id, "proof": "",
        }))
        .unwrap();
        let receipts = Receipts { of: vec![(4, kept)], ..Receipts::default() };
        let said =
            |index, kind, account, checkout| receipts.contradicted(index, &entry(kind, account, checkout)).is_some();
        assert!(!said(4, EventKind::CheckoutRevealed, "acme/db/app", id));
        assert!(!said(4, EventKind::CheckoutCertificateSigned, "acme/db/app", id));
        assert!(!said(5, EventKind::CheckoutExtended, "acme/db/other", other), "there is no receipt of that entry");
        assert!(said(4, EventKind::CheckoutExtended, "acme/db/app", id), "nothing was shown");
        assert!(said(4, EventKind::CheckoutRevealed, "acme/db/other", id), "another account");
        assert!(said(4, EventKind::CheckoutRevealed, "acme/db/app", other), "another checkout");
    }
}
