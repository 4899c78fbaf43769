//! What a request is about, found by its path, together with the permission to do `A` to it. The permission so stands
//! in a handler's signature, and is decided before a body is read.
//!
//! What does not exist and what the caller may not know of are answered alike.

use claviger_api::{BreakGlassId, CheckoutId, CustomerId, RotationId, SystemId, UserName};
use claviger_core::policy::{Act, Permit, Resource};
use claviger_service::break_glass::FoundBreakGlass;
use claviger_service::checkout::FoundCheckout;
use claviger_service::rotation::FoundRotation;
use claviger_service::{Place, Result};

use super::call::Call;
use super::describe::Description;
use super::endpoint::Argument;
use super::named::Named;

/// The MSP's own house.
pub struct OnOperator<A: Act>(pub Permit<A>);

/// The user of `{name}`: the MSP's, or a customer's own.
pub struct OnUser<A: Act> {
    /// What the user is called.
    pub name: UserName,
    /// The permission.
    pub permit: Permit<A>,
}

/// The customer of `{customer}`.
pub struct OnCustomer<A: Act> {
    /// Its id.
    pub id: CustomerId,
    /// The permission.
    pub permit: Permit<A>,
}

/// The system of `{customer}` and `{system}`.
pub struct OnSystem<A: Act> {
    /// Its customer.
    pub customer: CustomerId,
    /// Its id.
    pub id: SystemId,
    /// The permission.
    pub permit: Permit<A>,
}

/// The account of `{customer}`, `{system}` and `{account}`.
pub struct OnAccount<A: Act> {
    /// Where it is.
    pub place: Place,
    /// The permission.
    pub permit: Permit<A>,
}

/// The checkout of `{checkout}`.
pub struct OnCheckout<A: Act> {
    /// The checkout.
    pub found: FoundCheckout,
    /// The permission.
    pub permit: Permit<A>,
}

/// The rotation of `{rotation}`.
pub struct OnRotation<A: Act> {
    /// The rotation.
    pub found: FoundRotation,
    /// The permission.
    pub permit: Permit<A>,
}

/// The broken glass of `{glass}`.
pub struct OnBreakGlass<A: Act> {
    /// The glass.
    pub found: FoundBreakGlass,
    /// The permission.
    pub permit: Permit<A>,
}

impl<A: Act> Argument for OnOperator<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        call.session()?.permit(&Resource::Operator).await.map(Self)
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
    }
}

impl<A: Act> Argument for OnUser<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let Named(name) = Named::take(call).await?;
        let session = call.session()?;
        let permit = session.open.permit_for_user(&name, &session.caller).await?;
        Ok(Self { name, permit })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        Named::describe(description);
    }
}

impl<A: Act> Argument for OnCustomer<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let (session, slug) = (call.session()?, call.name("customer")?);
        let id = session.open.customer_named(&slug).await?;
        Ok(Self { id, permit: session.permit(&Resource::Customer(id)).await? })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        description.hides();
    }
}

impl<A: Act> Argument for OnSystem<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let (session, slug, name) = (call.session()?, call.name("customer")?, call.name("system")?);
        let customer = session.open.customer_named(&slug).await?;
        let id = session.open.system_named(customer, &name).await?;
        Ok(Self { customer, id, permit: session.permit(&Resource::System(customer, id)).await? })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        description.hides();
    }
}

impl<A: Act> Argument for OnAccount<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let path = claviger_api::AccountPath {
            customer: call.name("customer")?,
            system: call.name("system")?,
            account: call.name("account")?,
        };
        let session = call.session()?;
        let place = session.open.place(&path).await?;
        Ok(Self { place, permit: session.permit(&place.resource()).await? })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        description.hides();
    }
}

impl<A: Act> Argument for OnCheckout<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let id: CheckoutId = call.number("checkout")?;
        let session = call.session()?;
        let found = session.open.find_checkout(id).await?;
        let permit = session.permit(&found.resource()).await?;
        Ok(Self { found, permit })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        description.hides();
    }
}

impl<A: Act> Argument for OnRotation<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let id: RotationId = call.number("rotation")?;
        let session = call.session()?;
        let found = session.open.find_rotation(id).await?;
        let permit = session.permit(&found.resource()).await?;
        Ok(Self { found, permit })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        description.hides();
    }
}

impl<A: Act> Argument for OnBreakGlass<A> {
    async fn take(call: &mut Call) -> Result<Self> {
        let id: BreakGlassId = call.number("glass")?;
        let session = call.session()?;
        let found = session.open.find_break_glass(id).await?;
        let permit = session.permit(&found.resource()).await?;
        Ok(Self { found, permit })
    }

    fn describe(description: &mut Description) {
        description.needs(A::ACTION);
        description.hides();
    }
}
