//! Witnesses: programs of others that follow a log, each its customer's or the operator's, and cosign what continues what they
//! have seen (C2SP tlog-witness). They are asked once a minute, whether the log has grown or not, so that they notice silence;
//! and, like anchors, before the vault opens: one that has seen more, or another past, speaks against the store.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use claviger_api::audit::hash::Hash;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::merkle::consistency_proof;
use claviger_api::audit::note::Checkpoint;
use claviger_api::audit::record::FieldName;
use claviger_api::audit::witness::{AddCheckpoint, CosignerKey};
use claviger_api::{Part, Scope};
use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use tokio::time::timeout;

use crate::error::{Error, Result};
use crate::open::Open;
use crate::vault::Vault;

/// The longest that a witness is waited for.
const WITHIN: Duration = Duration::from_secs(5);
/// Who asks.
const ACTOR: &str = "system/witnesses";

/// A witness, as the vault reaches it.
#[async_trait::async_trait]
pub trait Witness: Send + Sync {
    /// Whose cosignatures are its own.
    fn key(&self) -> &CosignerKey;

    /// The customer whose log it follows; the operator's log where there is none.
    fn customer(&self) -> Option<&Part>;

    /// Sends it a request, and brings its answer.
    ///
    /// # Errors
    ///
    /// It cannot be reached.
    async fn add(&self, request: &AddCheckpoint) -> io::Result<WitnessAnswer>;
}

/// What a witness answered.
pub struct WitnessAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// What came of asking one.
enum Said {
    /// Its line below the checkpoint.
    Cosigned(String),
    /// What it has seen is not what is here.
    Contradicts(String),
    /// Nothing: it cannot be reached, or does not follow this log.
    Nothing(String),
}

/// What each witness has cosigned last, and whether it was told that it contradicts.
#[derive(Default)]
pub(crate) struct Asked(BTreeMap<usize, (u64, bool)>);

/// A checkpoint that a witness is asked to cosign.
struct Question {
    scope: Scope,
    checkpoint: Checkpoint,
    note: String,
}

impl Vault {
    /// Has each witness cosign its log's newest checkpoint. No key is held while one is waited for.
    pub(crate) async fn ask_witnesses(&self, asked: &mut Asked) -> Result<()> {
        let mut cosigned: BTreeMap<Scope, (String, String)> = BTreeMap::new();
        for (number, witness) in self.ground().witnesses.iter().enumerate() {
            let Some(question) = self.open()?.question(witness.as_ref()).await? else { continue };
            let Question { scope, checkpoint, note } = question;
            if checkpoint.size == 0 {
                continue;
            }
            let (from, told) = asked.0.get(&number).copied().unwrap_or_default();
            let size = checkpoint.size;
            let proof = |old| async move { self.open()?.witness_proof(scope, old, size).await }.boxed();
            match ask_one(witness.as_ref(), from, size, &note, proof).await? {
                Said::Cosigned(line) => {
                    asked.0.insert(number, (checkpoint.size, false));
                    let (_, lines) = cosigned.entry(scope).or_insert_with(|| (note, String::new()));
                    lines.push_str(&line);
                }
                Said::Contradicts(what) => {
                    tracing::error!(witness = witness.key().name(), what, "a witness speaks against this store");
                    asked.0.insert(number, (from, true));
                    if !told {
                        let open = self.open()?;
                        let event = open.automatic(Scope::Operator, EventKind::LogContradicted, ACTOR);
                        let event = event.with(FieldName::Log, checkpoint.origin).with(FieldName::Detail, what);
                        open.commit(open.change(event)).await?;
                    }
                }
                Said::Nothing(why) => {
                    tracing::warn!(witness = witness.key().name(), why, "a witness does not cosign");
                }
            }
        }
        let notes = cosigned.into_iter().map(|(scope, (note, lines))| (scope, note + &lines));
        self.open()?.cosigned.lock().extend(notes);
        Ok(())
    }
}

impl Open {
    /// What a witness that can be reached says against this store.
    pub(crate) async fn contradicted_by_witnesses(&self) -> Result<Option<String>> {
        let said = self.ground().witnesses.iter().map(async |witness| -> Result<Option<String>> {
            let Some(Question { scope, checkpoint, note }) = self.question(witness.as_ref()).await? else {
                return Ok(None);
            };
            let size = checkpoint.size;
            let proof = |old| self.witness_proof(scope, old, size).boxed();
            Ok(match ask_one(witness.as_ref(), 0, size, &note, proof).await? {
                Said::Contradicts(what) => Some(what),
                Said::Cosigned(line) => {
                    self.cosigned.lock().insert(scope, note + &line);
                    None
                }
                Said::Nothing(why) => {
                    tracing::warn!(witness = witness.key().name(), why, "a witness says nothing of this store");
                    None
                }
            })
        });
        let said: Result<Vec<Option<String>>> = join_all(said).await.into_iter().collect();
        Ok(said?.into_iter().flatten().next())
    }

    async fn question(&self, witness: &dyn Witness) -> Result<Option<Question>> {
        let Some(scope) = self.scope_of(witness.customer()).await? else { return Ok(None) };
        let checkpoint = self.checkpoint_of(scope, &self.head(scope).await?);
        let note = self.signed(&checkpoint);
        Ok(Some(Question { scope, checkpoint, note }))
    }

    async fn witness_proof(&self, scope: Scope, old: u64, size: u64) -> Result<Vec<Hash>> {
        consistency_proof(&self.leaves(scope, size).await?, old, size).map_err(Error::internal)
    }

    /// The log of a customer that is here and open, or the operator's.
    async fn scope_of(&self, customer: Option<&Part>) -> Result<Option<Scope>> {
        let Some(slug) = customer else { return Ok(Some(Scope::Operator)) };
        match self.customer_named(slug).await {
            Ok(id) => Ok(Some(Scope::Customer(id))),
            Err(_) => Ok(None),
        }
    }
}

/// Asks one witness about a log of this size, of which it has seen `from`; `proof` proves the one from the other.
async fn ask_one<'a>(
    witness: &dyn Witness,
    from: u64,
    size: u64,
    note: &str,
    proof: impl Fn(u64) -> BoxFuture<'a, Result<Vec<Hash>>>,
) -> Result<Said> {
    let mut old = from;
    // It is asked again where it says from which size on it wants the proof.
    for _ in 0..2 {
        let request = AddCheckpoint { old, proof: proof(old).await?, checkpoint: note.to_owned() };
        let answer = match timeout(WITHIN, witness.add(&request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Ok(Said::Nothing(error.to_string())),
            Err(_) => return Ok(Said::Nothing("it does not answer".to_owned())),
        };
        let seen = answer.body.strip_suffix('\n').and_then(|size| size.parse::<u64>().ok());
        match (answer.status, seen) {
            (200, _) => return Ok(cosigned(witness.key(), note, answer.body)),
            (409, Some(seen)) if seen > size => {
                let what =
                    format!("The witness {} has seen {seen} entries, and here are {size}.", witness.key().name());
                return Ok(Said::Contradicts(what));
            }
            (409, Some(seen)) if seen != old => old = seen,
            (409 | 422, _) => {
                let name = witness.key().name();
                return Ok(Said::Contradicts(format!("The witness {name} has seen another past of this log.")));
            }
            (status, _) => return Ok(Said::Nothing(format!("it answers with status {status}"))),
        }
    }
    Ok(Said::Nothing("it does not stay with a size".to_owned()))
}

/// A line is only what this witness has signed of this checkpoint.
fn cosigned(key: &CosignerKey, note: &str, lines: String) -> Said {
    match key.cosigned(&format!("{note}{lines}")) {
        Ok(Some(_)) => Said::Cosigned(lines),
        Ok(None) => Said::Nothing("its cosignature is by another key than the configured one".to_owned()),
        Err(error) => Said::Nothing(error.to_string()),
    }
}
