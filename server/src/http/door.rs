//! The doors. Each handler's first argument is one of them: [`Session`] lets the authenticated in, [`AnySession`] those
//! too who have no second factor yet and may do nothing but enrol one, [`Guest`] anybody who has budget left. There is
//! no other way in.

use std::cell::Cell;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::http::header::AUTHORIZATION;
use actix_web::web;
use claviger_api::ProblemType;
use claviger_core::policy::{Act, Permit, Resource};
use claviger_service::{Caller, Error, Open, Origin, Result};

use super::budget::Purpose;
use super::call::{Call, Site};
use super::describe::Description;
use super::endpoint::{Argument, Door};

/// An authenticated caller and the open vault.
#[derive(Clone)]
pub struct Session(Rc<Within>);

/// What is behind the door.
pub struct Within {
    /// The vault.
    pub open: Arc<Open>,
    /// Who asks.
    pub caller: Caller,
    site: web::Data<Site>,
    /// Whether the customer that it is about was charged: each request once, however much it decides.
    charged: Cell<bool>,
}

impl Deref for Session {
    type Target = Within;

    fn deref(&self) -> &Within {
        &self.0
    }
}

impl Within {
    /// The decision whether the caller may do this there. Whoever may is charged to the customer.
    pub async fn permit<A: Act>(&self, resource: &Resource) -> Result<Permit<A>> {
        let permit = self.open.permit(&self.caller, resource).await?;
        if let Some(customer) = resource.customer()
            && !self.charged.replace(true)
        {
            self.site.budgets.charge_customer(customer)?;
        }
        Ok(permit)
    }

    /// Whether the caller may see it, for the rows of a list.
    pub fn may<A: Act>(&self, resource: &Resource) -> bool {
        self.open.may_see::<A>(&self.caller, resource)
    }
}

/// The same, also of a user who has no second factor yet: for what leads to one, and out.
pub struct AnySession(pub Session);

impl Door for Session {}
impl Door for AnySession {}

impl Argument for Session {
    async fn take(call: &mut Call) -> Result<Self> {
        let AnySession(session) = AnySession::take(call).await?;
        session.caller.must_have_second_factor()?;
        Ok(session)
    }

    fn describe(description: &mut Description) {
        AnySession::describe(description);
        description.fails(&[ProblemType::SecondFactorNeeded]);
    }
}

impl Deref for AnySession {
    type Target = Within;

    fn deref(&self) -> &Within {
        &self.0
    }
}

impl Argument for AnySession {
    async fn take(call: &mut Call) -> Result<Self> {
        let open = call.site.vault.open()?;
        let refused = || Error::new(ProblemType::NotAuthenticated, "");
        let header = call.header(AUTHORIZATION).map_err(|_| refused())?.ok_or_else(refused)?;
        let token = bearer(header).ok_or_else(refused)?;
        let caller = open.authenticate(token, &call.origin(), call.id()).await?;
        if let Some(source) = caller.source {
            call.site.budgets.know(source);
        }
        call.site.budgets.charge_principal(caller.id)?;
        let (site, charged) = (call.site.clone(), Cell::new(false));
        let session = Session(Rc::new(Within { open, caller, site, charged }));
        call.session = Some(session.clone());
        Ok(Self(session))
    }

    fn describe(description: &mut Description) {
        use ProblemType::{NotAuthenticated, Sealed, SessionEnded, TooManyRequests};
        description.needs_bearer();
        description.fails(&[NotAuthenticated, SessionEnded, Sealed, TooManyRequests]);
    }
}

/// The token of `Bearer TOKEN` (RFC 6750); the scheme is written in any case (RFC 9110).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start())
}

/// Anybody, charged to a budget.
pub struct Guest<P> {
    /// Where the request came from.
    pub origin: Origin,
    charged: PhantomData<fn() -> P>,
}

/// Which budget a guest is charged to, as a type.
pub trait Charge {
    /// The budget.
    const PURPOSE: Purpose;
}

/// Charged for reading what is public.
pub enum Probe {}
/// Charged for logging in.
pub enum Login {}
/// Charged for initialising or unsealing.
pub enum Unseal {}

impl Charge for Probe {
    const PURPOSE: Purpose = Purpose::Probe;
}
impl Charge for Login {
    const PURPOSE: Purpose = Purpose::Login;
}
impl Charge for Unseal {
    const PURPOSE: Purpose = Purpose::Unseal;
}

impl<P: Charge> Door for Guest<P> {}

impl<P: Charge> Argument for Guest<P> {
    async fn take(call: &mut Call) -> Result<Self> {
        let origin = call.origin();
        let source = origin.source;
        // Whoever has no address (a test without a socket) is one source.
        call.site.budgets.charge(P::PURPOSE, source.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)))?;
        Ok(Self { origin, charged: PhantomData })
    }

    fn describe(description: &mut Description) {
        description.is_charged_to(P::PURPOSE);
        description.fails(&[ProblemType::TooManyRequests]);
    }
}
