//! `/v1/checkouts`: the time-bound right of one principal to one account.

use std::time::Duration;

use claviger_api::CheckoutId;
use claviger_api::wire::{
    Checkout, CheckoutQuery, CheckoutState, Extend, NewCheckout, OnConflict, PageQuery, Revealed, SignKey, Signed,
    WithComment, WithReason,
};

use crate::poll::{Waited, poll};
use crate::{Client, Error, Held, List, Result};

/// Time-bound rights.
pub struct Checkouts<'a>(&'a Client);

impl Client {
    /// Time-bound rights.
    pub fn checkouts(&self) -> Checkouts<'_> {
        Checkouts(self)
    }
}

impl Checkouts<'_> {
    /// Checks an account out, or queues for it: the answer's state says which.
    pub async fn create(&self, new: &NewCheckout) -> Result<Checkout> {
        self.0.post("/v1/checkouts", new).await
    }

    /// Checks an account out and keeps it until [`Held::checkin`]. A checkout that is not usable at once is withdrawn.
    pub async fn hold(&self, new: &NewCheckout) -> Result<Held> {
        self.hold_within(new, Duration::ZERO).await
    }

    /// As [`hold`](Self::hold), waiting in order for at most this long. The caller's `on_conflict` is replaced by
    /// `wait` unless the time is zero.
    pub async fn hold_within(&self, new: &NewCheckout, at_most: Duration) -> Result<Held> {
        let mut new = new.clone();
        if !at_most.is_zero() {
            new.on_conflict = OnConflict::Wait;
        }
        let mut held = Held::new(self.0.clone(), self.create(&new).await?);
        held.checkout = self.wait_for_turn(held.checkout.clone(), at_most, |_| {}).await?;
        Ok(held)
    }

    /// Waits until a checkout may be used, for at most this long, and fails with [`Error::WaitEnded`] after it. The
    /// checkout keeps its place: withdraw it with [`checkin`](Self::checkin). `seen` is called at each look.
    pub async fn wait_for_turn(
        &self,
        checkout: Checkout,
        at_most: Duration,
        mut seen: impl FnMut(&Checkout),
    ) -> Result<Checkout> {
        let id = checkout.id;
        let mut known = Some(checkout);
        let look = async || match known.take() {
            Some(checkout) => Ok(checkout),
            None => self.show(id).await,
        };
        let no_more_waiting = |checkout: &Checkout| {
            seen(checkout);
            checkout.state != CheckoutState::Requested
        };
        match poll(at_most, look, no_more_waiting).await? {
            Waited::Done(checkout) => Ok(checkout),
            Waited::TimeOver(checkout) => {
                let Checkout { waiting_behind: behind, waits_for, .. } = checkout;
                Err(Error::WaitEnded { after: at_most, behind, waits_for })
            }
        }
    }

    /// The checkouts of one customer.
    pub fn list(&self, query: CheckoutQuery) -> List<'_, Checkout, CheckoutQuery> {
        List::new(self.0, "/v1/checkouts", query)
    }

    /// One checkout.
    pub async fn show(&self, id: CheckoutId) -> Result<Checkout> {
        self.0.get(path(id)).await
    }

    /// The secret. Each reveal is an audit event, a repeated one too.
    pub async fn reveal(&self, id: CheckoutId) -> Result<Revealed> {
        self.0.act(format!("{}/reveal", path(id))).await
    }

    /// Has a public key signed: a certificate that is good until the checkout's end. Each one is an audit event.
    pub async fn sign(&self, id: CheckoutId, request: &SignKey) -> Result<Signed> {
        self.0.post(format!("{}/sign", path(id)), request).await
    }

    /// Makes the use longer, within what the grant allows.
    pub async fn extend(&self, id: CheckoutId, request: &Extend) -> Result<Checkout> {
        self.0.post(format!("{}/extend", path(id)), request).await
    }

    /// Ends the use, or withdraws what was not used yet.
    pub async fn checkin(&self, id: CheckoutId) -> Result<Checkout> {
        self.0.act(format!("{}/checkin", path(id))).await
    }

    /// Ends another's checkout.
    pub async fn revoke(&self, id: CheckoutId, request: &WithReason) -> Result<Checkout> {
        self.0.post(format!("{}/revoke", path(id)), request).await
    }

    /// Says yes to another's request.
    pub async fn approve(&self, id: CheckoutId, request: &WithComment) -> Result<Checkout> {
        self.0.post(format!("{}/approve", path(id)), request).await
    }

    /// Says no to another's request, or takes back what was approved.
    pub async fn deny(&self, id: CheckoutId, request: &WithComment) -> Result<Checkout> {
        self.0.post(format!("{}/deny", path(id)), request).await
    }

    /// What waits for the caller's yes, at every customer.
    pub fn awaiting_approval(&self) -> List<'_, Checkout> {
        List::new(self.0, "/v1/approvals", PageQuery::default())
    }

    /// Ends another's checkout and takes the account: the answer is the caller's own new checkout.
    pub async fn take_over(&self, id: CheckoutId, request: &WithReason) -> Result<Checkout> {
        self.0.post(format!("{}/take-over", path(id)), request).await
    }
}

fn path(id: CheckoutId) -> String {
    format!("/v1/checkouts/{id}")
}
