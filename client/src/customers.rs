//! `/v1/customers`: the businesses the MSP serves.

use std::time::Duration;

use claviger_api::wire::{
    Customer, CustomerChange, CustomerLimits, ImportRequest, Imported, LockCustomer, LockState, NewCustomer,
    OffboardCustomer, Offboarding, PageQuery, WithReason,
};
use claviger_api::{CustomerId, Part, ProblemType};

use crate::poll::{Waited, poll};
use crate::{Client, Export, List, Result};

/// The businesses the MSP serves.
pub struct Customers<'a>(&'a Client);

impl Client {
    /// The businesses the MSP serves.
    pub fn customers(&self) -> Customers<'_> {
        Customers(self)
    }
}

impl Customers<'_> {
    /// Adds a customer, with keys and a log of its own.
    pub async fn add(&self, new: &NewCustomer) -> Result<Customer> {
        self.0.post("/v1/customers", new).await
    }

    /// All that the caller may see.
    pub fn list(&self) -> List<'_, Customer> {
        List::new(self.0, "/v1/customers", PageQuery::default())
    }

    /// One customer.
    pub async fn show(&self, customer: &Part) -> Result<Customer> {
        self.0.get(path(customer)).await
    }

    /// Changes a customer; what is absent stays.
    pub async fn set(&self, customer: &Part, change: &CustomerChange) -> Result<Customer> {
        self.0.patch(path(customer), change).await
    }

    /// Sets what the customer wants of everybody who works there, in place of what it wanted before. For the customer's own
    /// administrator.
    pub async fn limit(&self, customer: &Part, limits: &CustomerLimits) -> Result<Customer> {
        self.0.post(format!("{}/actions/limit", path(customer)), limits).await
    }

    /// Ends what is checked out at a customer, rotates it, and drops the customer's key from the server's memory. It is locked when
    /// [`Customers::show`] says so.
    pub async fn lock(&self, customer: &Part, lock: &LockCustomer) -> Result<Customer> {
        self.0.post(format!("{}/actions/lock", path(customer)), lock).await
    }

    /// Waits, for at most this long, until a customer is locked.
    pub async fn wait_for_lock(&self, customer: &Part, at_most: Duration) -> Result<Customer> {
        let over = |now: &Customer| now.lock.is_none_or(|lock| lock.state == LockState::Locked);
        match poll(at_most, async || self.show(customer).await, over).await? {
            Waited::Done(customer) | Waited::TimeOver(customer) => Ok(customer),
        }
    }

    /// Takes a locked customer's key into the server's memory again.
    pub async fn unlock(&self, customer: &Part, reason: &str) -> Result<Customer> {
        let why = WithReason { reason: reason.to_owned() };
        self.0.post(format!("{}/actions/unlock", path(customer)), &why).await
    }

    /// Has a locked customer's key destroyed, and all that it opened removed. Nobody gets it back.
    pub async fn offboard(&self, customer: &Part, offboard: &OffboardCustomer) -> Result<Customer> {
        self.0.post(format!("{}/actions/offboard", path(customer)), offboard).await
    }

    /// Customers that were offboarded, the last first.
    pub fn offboardings(&self) -> List<'_, Offboarding> {
        List::new(self.0, "/v1/offboardings", PageQuery::default())
    }

    /// A customer that was offboarded, by its id, with its signed receipt.
    pub async fn offboarding(&self, customer: CustomerId) -> Result<Offboarding> {
        self.0.get(format!("/v1/offboardings/{customer}")).await
    }

    /// What was handed over to a customer that was offboarded, encrypted as it is; read it piece by piece.
    pub async fn hand_over(&self, customer: CustomerId) -> Result<Export> {
        let response = self.0.open(format!("/v1/offboardings/{customer}/hand-over"), &()).await?;
        Ok(Export::new(self.0.clone(), response))
    }

    /// Waits, for at most this long, until a customer is offboarded; none, where it is not by then.
    pub async fn wait_for_offboarding(&self, customer: CustomerId, at_most: Duration) -> Result<Option<Offboarding>> {
        let look = async || match self.offboarding(customer).await {
            Ok(done) => Ok(Some(done)),
            Err(error) if error.problem_type() == Some(ProblemType::NotFound) => Ok(None),
            Err(error) => Err(error),
        };
        match poll(at_most, look, Option::is_some).await? {
            Waited::Done(done) | Waited::TimeOver(done) => Ok(done),
        }
    }

    /// Removes a customer that has no systems any more.
    pub async fn remove(&self, customer: &Part) -> Result<()> {
        self.0.delete(path(customer)).await
    }

    /// Adds many standing accounts with their present secrets: all of them, or none.
    pub async fn import(&self, customer: &Part, request: &ImportRequest) -> Result<Imported> {
        self.0.post(format!("{}/imports", path(customer)), request).await
    }
}

fn path(customer: &Part) -> String {
    format!("/v1/customers/{customer}")
}
