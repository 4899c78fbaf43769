//! The `Idempotency-Key` header, bound to the method, path and body that it came with.

use claviger_api::ProblemType;
use claviger_service::{Once, Result};

use super::call::Call;
use super::describe::Description;
use super::endpoint::Argument;

const HEADER: &str = "idempotency-key";

impl Argument for Once {
    async fn take(call: &mut Call) -> Result<Self> {
        let Some(key) = call.header(HEADER)?.map(ToOwned::to_owned) else { return Ok(Self::none()) };
        let (method, path) = (call.request.method().clone(), call.request.path().to_owned());
        Self::new(&key, &[method.as_str().as_bytes(), path.as_bytes(), call.body().await?])
    }

    fn describe(description: &mut Description) {
        description.takes_key();
        description.fails(&[ProblemType::InvalidValue, ProblemType::IdempotencyMismatch]);
    }
}
