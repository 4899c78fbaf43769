//! What is fetched from others and kept for a while: the keys of issuers, the descriptions of identity providers.

use std::sync::Arc;

use claviger_api::Timestamp;
use jiff::SignedDuration;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::error::{Error, Result};

/// What was fetched is trusted for so long: whoever takes a key away at the issuer waits no longer for it here.
const LIVE: SignedDuration = SignedDuration::from_mins(10);
/// Each is asked at most so often, whoever wants what it does not have.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// How many are kept.
const KEPT_MOST: usize = 1000;

/// What was fetched, by whose it is.
pub(super) struct Fetched<T>(Cache<Uuid, Arc<Mutex<Kept<T>>>>);

/// What is known of one. Behind a lock, so that one question serves all who wait.
struct Kept<T> {
    /// The revision of the record that it is of.
    revision: u64,
    value: Option<(T, Timestamp)>,
    asked_at: Option<Timestamp>,
}

impl<T: Clone> Fetched<T> {
    pub fn new() -> Self {
        Self(Cache::new(KEPT_MOST))
    }

    /// What is kept of this record, fetched anew when it is old or does not serve; not more often than may be. Fails with
    /// why it cannot be had.
    pub async fn of(
        &self,
        (id, revision): (Uuid, u64),
        now: Timestamp,
        serves: impl Fn(&T) -> bool,
        fetch: impl Future<Output = std::result::Result<T, String>>,
    ) -> Result<std::result::Result<T, String>> {
        let kept = self.0.get_or_insert_with(&id, || Ok::<_, Error>(Arc::new(Mutex::new(Kept::of(revision)))))?;
        let mut kept = kept.lock().await;
        if kept.revision != revision {
            *kept = Kept::of(revision);
        }
        let good = |fetched: &Timestamp| now.duration_since(*fetched) < LIVE;
        let value = kept.value.as_ref().filter(|(_, fetched)| good(fetched)).map(|(value, _)| value.clone());
        let asked_lately = kept.asked_at.is_some_and(|asked| now.duration_since(asked) < ASK_EVERY);
        match value {
            Some(value) if serves(&value) || asked_lately => return Ok(Ok(value)),
            None if asked_lately => return Ok(Err("it was asked a moment ago, in vain".to_owned())),
            Some(_) | None => {}
        }
        kept.asked_at = Some(now);
        match fetch.await {
            Ok(fetched) => {
                kept.value = Some((fetched.clone(), now));
                Ok(Ok(fetched))
            }
            // A token of a key that may not exist does not take away those that are good.
            Err(why) => Ok(value.ok_or(why)),
        }
    }
}

impl<T> Kept<T> {
    fn of(revision: u64) -> Self {
        Self { revision, value: None, asked_at: None }
    }
}
