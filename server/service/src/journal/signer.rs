//! Signs what a group has added to its logs while the group is stored: a flush leaves the processor idle for longer than a
//! signature takes. Nobody is given one before the group is durable; of a group that is not, it is dropped.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, mpsc};

use claviger_api::Scope;

use super::grown::{Grown, Signed};

/// Signs a log as a group has left it; nothing, where it has no key.
pub type Sign = Arc<dyn Fn(Scope, &Grown) -> Option<Signed> + Send + Sync>;

/// The way to the signer, a thread of its own. It ends when this is dropped.
pub(super) struct Signer(mpsc::Sender<Arc<BTreeMap<Scope, Grown>>>);

impl Signer {
    /// Starts it.
    pub fn start(sign: Sign) -> io::Result<Self> {
        let (sender, waiting) = mpsc::channel::<Arc<BTreeMap<Scope, Grown>>>();
        let run = move || {
            for logs in waiting {
                for (scope, grown) in logs.iter().filter(|(_, grown)| grown.is_shown()) {
                    grown.signed(|| sign(*scope, grown));
                }
            }
        };
        std::thread::Builder::new().name("signer".to_owned()).spawn(run)?;
        Ok(Self(sender))
    }

    /// Has the logs signed that somebody will be shown. Whoever is shown one first signs it where the signer has not.
    pub fn sign(&self, logs: &Arc<BTreeMap<Scope, Grown>>) {
        if logs.values().any(Grown::is_shown) {
            // Where the signer is gone, they are signed when they are asked for.
            drop(self.0.send(logs.clone()));
        }
    }
}
