//! HTTP: the only place that knows of it. One resource, one file; one endpoint, one small handler.
//!
//! ```text
//! app.rs      every request: id, form of the path, headers, access log
//! endpoint.rs   its row of the table: door.rs ─→ on.rs (permit) ─→ query.rs, body.rs, once.rs ─→ handler ─→ answer.rs
//! describe.rs, openapi.rs    the same types, as /openapi.json
//! ```

mod answer;
pub mod app;
mod body;
pub mod budget;
pub mod call;
mod dependents;
mod describe;
mod door;
mod endpoint;
mod live;
mod named;
mod on;
mod once;
pub mod openapi;
mod path;
mod query;
mod refusal;
mod source;
mod unread;

mod access;
mod accounts;
mod audit;
mod auth;
mod break_glass;
mod checkouts;
mod customers;
mod discovery;
mod emergencies;
mod exposures;
mod factors;
mod grants;
mod identity_providers;
mod inactive;
mod issuers;
mod kits;
mod page;
mod passkeys;
mod reports;
mod reviews;
mod rotations;
mod service_accounts;
mod sign_on;
mod sys;
mod systems;
mod tasks;
mod users;

#[cfg(test)]
mod tests;

use endpoint::Endpoint;

/// The route table. What is asked for most comes first: the router goes through it in this order.
pub fn table() -> Vec<Endpoint> {
    [
        checkouts::endpoints,
        auth::endpoints,
        factors::endpoints,
        sign_on::endpoints,
        rotations::endpoints,
        tasks::endpoints,
        accounts::endpoints,
        systems::endpoints,
        discovery::endpoints,
        customers::endpoints,
        users::endpoints,
        service_accounts::endpoints,
        grants::endpoints,
        access::endpoints,
        inactive::endpoints,
        exposures::endpoints,
        dependents::endpoints,
        emergencies::endpoints,
        reviews::endpoints,
        reports::endpoints,
        break_glass::endpoints,
        issuers::endpoints,
        kits::endpoints,
        identity_providers::endpoints,
        passkeys::endpoints,
        audit::endpoints,
        sys::endpoints,
        openapi::endpoints,
        page::endpoints,
    ]
    .into_iter()
    .flat_map(|endpoints| endpoints())
    .collect()
}
