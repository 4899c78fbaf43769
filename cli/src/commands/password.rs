//! `claviger password`: one's own.

use clap::Args;
use claviger_client::api::wire::ChangePassword;

use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;

#[derive(Args)]
pub struct Password {
    /// Read the old and the new password from standard input, one a line
    #[arg(long)]
    stdin: bool,
}

impl Password {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let input = Input::from_stdin(self.stdin);
        let old_password = input.secret("Password as it is")?.disclose();
        let new_password = input.new_secret("New password, at least 12 characters")?.disclose();
        context.client()?.auth().change_password(&ChangePassword { old_password, new_password }).await?;
        context.output.done("the password is changed; every other session has ended")
    }
}
