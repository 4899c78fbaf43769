//! `claviger whoami` and `status`.

use claviger_client::Error;
use claviger_client::api::ProblemType::{Forbidden, NotInitialised, Sealed};

use super::break_glass::nag;
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

/// What operators see, and beside it, for everybody, what of break-glass is open or not reviewed; without a login, or while sealed, what everybody may see.
pub async fn status(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    let error = match client.sys().status().await {
        Ok(status) => {
            context.output.one(&status)?;
            nag(&client).await;
            return Ok(());
        }
        Err(error) => error,
    };
    let nobody = matches!(error, Error::NotLoggedIn);
    if nobody || matches!(error.problem_type(), Some(Sealed | NotInitialised)) {
        context.output.one(&client.sys().seal_status().await?)?;
    }
    if error.problem_type() == Some(Forbidden) {
        nag(&client).await;
    }
    if nobody { Ok(()) } else { Err(error.into()) }
}
