//! A checkout that a program holds.

use claviger_api::wire::{Checkout, Extend, Revealed};

use crate::{Client, Result};

/// A checkout that is checked in when the program is done with it.
///
/// Call [`checkin`](Self::checkin) and look at its outcome. A `Held` that is dropped instead, on an early return or a
/// panic, is checked in by a task on the current Tokio runtime, as well as that can be done: if the process ends first,
/// the checkout ends by its expiry.
///
/// ```no_run
/// # async fn example(client: claviger_client::Client, new: claviger_client::NewCheckout)
/// # -> Result<(), claviger_client::Error> {
/// let held = client.checkouts().hold(&new).await?;
/// let revealed = held.reveal().await?;
/// // ... use revealed.login and revealed.secret.into_secret() ...
/// let ended = held.checkin().await?;
/// println!("the old secret is proven dead: {:?}", ended.revocation);
/// # Ok(()) }
/// ```
pub struct Held {
    pub(crate) checkout: Checkout,
    /// Taken by the check-in.
    client: Option<Client>,
}

impl Held {
    pub(crate) fn new(client: Client, checkout: Checkout) -> Self {
        Self { checkout, client: Some(client) }
    }

    /// The checkout as it was last seen.
    pub fn checkout(&self) -> &Checkout {
        &self.checkout
    }

    /// The secret. Each reveal is an audit event, a repeated one too.
    pub async fn reveal(&self) -> Result<Revealed> {
        self.client()?.checkouts().reveal(self.checkout.id).await
    }

    /// Makes the use `ttl_seconds` long, counted from its start.
    pub async fn extend(&mut self, ttl_seconds: u64) -> Result<&Checkout> {
        self.checkout = self.client()?.checkouts().extend(self.checkout.id, &Extend { ttl_seconds }).await?;
        Ok(&self.checkout)
    }

    /// Ends the use. The answer says what becomes of the credential.
    pub async fn checkin(mut self) -> Result<Checkout> {
        let ended = self.client()?.checkouts().checkin(self.checkout.id).await;
        // Retries are over: another attempt at drop would fail in the same way.
        self.client = None;
        ended
    }

    fn client(&self) -> Result<&Client> {
        self.client.as_ref().ok_or_else(|| crate::Error::usage("the checkout was checked in"))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let id = self.checkout.id;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Nobody is left to hear of a failure; the expiry ends what this cannot.
            runtime.spawn(async move { client.checkouts().checkin(id).await.map(drop) });
        }
    }
}
