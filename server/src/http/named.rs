//! What a path names at the operator: a principal by `{name}`, an issuer by `{issuer}`, an identity provider by
//! `{provider}`, a grant by `{grant}`, a second
//! factor by `{factor}`.

use claviger_api::{
    BackupId, CustomerId, EmergencyId, FactorId, GrantId, KitId, Part, ProblemType, ReviewId, UserName,
};
use claviger_service::Result;

use super::call::Call;
use super::describe::Description;
use super::endpoint::Argument;

/// The name in `{name}`.
pub struct Named(pub UserName);

/// The name in `{issuer}`.
pub struct Trusted(pub Part);

/// The name in `{provider}`.
pub struct ProviderNamed(pub Part);

/// The id in `{grant}`.
pub struct Numbered(pub GrantId);

/// The id in `{review}`.
pub struct Reviewed(pub ReviewId);

/// The id in `{emergency}`.
pub struct EmergencyNumbered(pub EmergencyId);

/// The id in `{kit}`.
pub struct KitNumbered(pub KitId);

impl Argument for KitNumbered {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("kit").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

/// The ids in `{review}` and `{grant}`.
pub struct Line {
    /// The review.
    pub review: ReviewId,
    /// The grant that the line is about.
    pub grant: GrantId,
}

/// The id in `{factor}`.
pub struct FactorNamed(pub FactorId);

impl Argument for Reviewed {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("review").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for EmergencyNumbered {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("emergency").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for Line {
    async fn take(call: &mut Call) -> Result<Self> {
        Ok(Self { review: call.number("review")?, grant: call.number("grant")? })
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

/// The customer of `{former}`, by its id: it was offboarded.
pub struct FormerCustomer(pub CustomerId);

impl Argument for FormerCustomer {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("former").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

/// The customer of `{keyed}`, for whoever keeps the keys.
pub struct Keyed(pub Part);

impl Argument for Keyed {
    async fn take(call: &mut Call) -> Result<Self> {
        call.name("keyed").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

/// The backup of `{backup}`.
pub struct BackupNumbered(pub BackupId);

impl Argument for BackupNumbered {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("backup").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for FactorNamed {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("factor").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for Named {
    async fn take(call: &mut Call) -> Result<Self> {
        call.name("name").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for Trusted {
    async fn take(call: &mut Call) -> Result<Self> {
        call.name("issuer").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for ProviderNamed {
    async fn take(call: &mut Call) -> Result<Self> {
        call.name("provider").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}

impl Argument for Numbered {
    async fn take(call: &mut Call) -> Result<Self> {
        call.number("grant").map(Self)
    }

    fn describe(description: &mut Description) {
        description.fails(&[ProblemType::NotFound]);
    }
}
