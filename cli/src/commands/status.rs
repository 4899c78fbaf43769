//! `claviger whoami` and `status`.

use claviger_client::Error;

use crate::connection::Context;
use crate::failure::Failure;

pub async fn whoami(context: &Context) -> Result<(), Failure> {
    context.output.one(&context.client()?.auth().me().await?)
}

/// What operators see; without a login, or while sealed, what everybody may see.
pub async fn status(context: &Context) -> Result<(), Failure> {
    let client = context.client()?;
    match client.sys().status().await {
        Ok(status) => context.output.one(&status),
        Err(Error::NotLoggedIn) => context.output.one(&client.sys().seal_status().await?),
        Err(error) => Err(error.into()),
    }
}
