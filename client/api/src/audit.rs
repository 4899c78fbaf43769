//! The audit record: what one entry is, the Merkle tree that makes a log of them, and how anybody checks both.
//!
//! From the inside out:
//!
//! - [`record`]: an entry is a hash over commitments, one a field, so that a field can be withheld or erased and every
//!   proof stays valid. [`kind`] lists what can happen.
//! - [`hash`] and [`merkle`]: entries are leaves of an RFC 6962 tree; inclusion and consistency proofs.
//! - [`tile`] and [`note`]: how the tree is published (C2SP tlog-tiles) and signed (C2SP signed-note, tlog-checkpoint).
//! - [`receipt`]: the proof of one entry, for whoever was shown a secret (C2SP tlog-proof).
//! - [`witness`]: what somebody else says of having seen the log (C2SP tlog-cosignature, tlog-witness).
//! - [`export`] and [`verify`]: a log as a file, and the verifier that needs nothing but that file and a key.
//!   [`complete`] adds up what such a file tells of. [`archive`] is the same file with its entries sealed.
//!
//! Everything here is a format that outlives the program that wrote it: `docs/formats.md` has it in words, with
//! vectors. Salts and signatures come from the caller.

pub mod archive;
pub mod complete;
pub mod export;
pub mod hash;
pub mod kind;
pub mod merkle;
pub mod note;
pub mod receipt;
pub mod record;
pub mod tile;
pub mod verify;
pub mod witness;

mod word;

#[cfg(test)]
mod sample;

pub use archive::{ArchiveReport, ArchiveWriter, verify_archive};
pub use export::{ExportError, ExportWriter};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use kind::EventKind;
pub use merkle::{
    Frontier, HashSource, ProofError, consistency_proof, inclusion_proof, root_at, verify_consistency, verify_inclusion,
};
pub use note::{Checkpoint, NoteError, Signer, VerifierKey, open_note, sign_note};
pub use receipt::{BadReceipt, Receipt};
pub use record::{BadEntry, Commitments, Entry, FieldName, FieldView, commitment, entry, new_commitment};
pub use tile::{BundleId, TileId};
pub use verify::{Against, KeyTrust, Report, VerifyError, verify_export, verify_export_with};
pub use witness::{AddCheckpoint, CosignerKey, cosign};
