//! `/v1/reviews`: who reaches a customer, confirmed or cut line by line.

use claviger_api::wire::{NewReview, PageQuery, Review, ReviewLine, ReviewQuery, WithReason};
use claviger_api::{GrantId, Part, ReviewId};

use crate::{Client, List, Result};

/// Access reviews.
pub struct Reviews<'a>(&'a Client);

impl Client {
    /// Access reviews.
    pub fn reviews(&self) -> Reviews<'_> {
        Reviews(self)
    }
}

impl Reviews<'_> {
    /// Starts a review of whoever reaches a customer; one is open at a time.
    pub async fn start(&self, customer: &Part, new: &NewReview) -> Result<Review> {
        self.0.post(format!("/v1/customers/{customer}/reviews"), new).await
    }

    /// Reviews: the open ones that the caller may see, unless the query says otherwise.
    pub fn list(&self, query: ReviewQuery) -> List<'_, Review, ReviewQuery> {
        List::new(self.0, "/v1/reviews", query)
    }

    /// One review.
    pub async fn show(&self, customer: &Part, id: ReviewId) -> Result<Review> {
        self.0.get(path(customer, id)).await
    }

    /// Its lines.
    pub fn lines(&self, customer: &Part, id: ReviewId) -> List<'_, ReviewLine> {
        List::new(self.0, format!("{}/lines", path(customer, id)), PageQuery::default())
    }

    /// A grant is right, and stays.
    pub async fn confirm(&self, customer: &Part, id: ReviewId, grant: GrantId) -> Result<ReviewLine> {
        self.0.act(format!("{}/lines/{grant}/confirm", path(customer, id))).await
    }

    /// A grant goes at once.
    pub async fn cut(&self, customer: &Part, id: ReviewId, grant: GrantId, reason: &WithReason) -> Result<ReviewLine> {
        self.0.post(format!("{}/lines/{grant}/cut", path(customer, id)), reason).await
    }

    /// Closes a review of which every line is decided.
    pub async fn close(&self, customer: &Part, id: ReviewId) -> Result<Review> {
        self.0.act(format!("{}/close", path(customer, id))).await
    }
}

fn path(customer: &Part, id: ReviewId) -> String {
    format!("/v1/customers/{customer}/reviews/{id}")
}
