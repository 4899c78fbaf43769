//! `claviger whoami` and `status`.

use claviger_client::Error;
use claviger_client::api::ProblemType::{NotInitialised, Sealed};

use crate::cli::Format;
use crate::connection::Context;
use crate::failure::Failure;
use crate::output::print;

pub async fn whoami(context: &Context) -> Result<(), Failure> {
    let mut me = context.client()?.auth().me().await?;
    if context.output.format == Format::Json {
        return context.output.one(&me);
    }
    let grants = std::mem::take(&mut me.grants);
    context.output.one(&me)?;
    print("\n")?;
    context.output.many(&grants)
}

/// What operators see; without a login, or while sealed, what everybody may see.
pub async fn status(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let error = match client.sys().status().await {
        Ok(status) => return context.output.one(&status),
        Err(error) => error,
    };
    let nobody = matches!(error, Error::NotLoggedIn);
    if nobody || matches!(error.problem_type(), Some(Sealed | NotInitialised)) {
        context.output.one(&client.sys().seal_status().await?)?;
    }
    if nobody { Ok(()) } else { Err(error.into()) }
}
