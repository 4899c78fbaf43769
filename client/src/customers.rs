//! `/v1/customers`: the businesses the MSP serves.

use claviger_api::Part;
use claviger_api::wire::{Customer, CustomerChange, CustomerLimits, ImportRequest, Imported, NewCustomer, PageQuery};

use crate::{Client, List, Result};

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
