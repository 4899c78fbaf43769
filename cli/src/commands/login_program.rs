//! `claviger login` of a service account: by token, client certificate or an issuer's token. Its session lasts 15 minutes.

use std::path::PathBuf;

use clap::Args;
use claviger_client::api::UserName;
use claviger_client::api::wire::LoginRequest;
use claviger_client::{Error, KeptSession, SessionKeeper as _};

use crate::connection::{Context, jwt};
use crate::failure::Failure;
use crate::input::Input;
use crate::session::IdentityFiles;

/// How a service account logs in.
#[derive(Args)]
#[command(next_help_heading = "As a service account, for 15 minutes")]
pub struct ProgramLogin {
    /// Read the token of a service account (cvs_…) from standard input
    #[arg(long, conflicts_with_all = ["name", "enrolment", "stdin", "certificate"])]
    token_stdin: bool,
    /// Show this client certificate (PEM) as the service account NAME
    #[arg(long, value_name = "FILE", requires_all = ["name", "key"], conflicts_with_all = ["enrolment", "stdin"])]
    certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Show the token (JWT) in this file as the service account NAME
    #[arg(long, value_name = "FILE", requires = "name", conflicts_with_all = ["enrolment", "stdin", "certificate", "token_stdin"])]
    jwt_file: Option<PathBuf>,
}

impl ProgramLogin {
    /// Whether a service account logs in.
    pub fn is_asked_for(&self) -> bool {
        self.token_stdin || self.certificate.is_some() || self.jwt_file.is_some()
    }

    /// Logs in and keeps the session.
    pub async fn run(self, name: Option<UserName>, context: &Context) -> Result<(), Failure> {
        let (client, request, identity) =
            if let (Some(name), Some(certificate), Some(key)) = (name.clone(), self.certificate, self.key) {
                let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
                let identity = IdentityFiles { certificate: absolute(certificate), key: absolute(key) };
                (context.with_identity(&identity)?, LoginRequest::Certificate { name }, Some(identity))
            } else if let Some(path) = self.jwt_file {
                let name = name.ok_or_else(|| Failure::usage("who logs in?", "claviger login NAME --jwt-file FILE"))?;
                let advice = "it holds a token (JWT) and nothing else";
                let jwt = jwt(&path)
                    .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display()), advice))?;
                (context.anonymous()?, LoginRequest::Jwt { name, jwt: jwt.disclose() }, None)
            } else {
                let token = Input::Stdin.secret("Token")?.disclose();
                (context.anonymous()?, LoginRequest::Token { token }, None)
            };
        let answer = client.auth().login(&request).await?;
        let tokens = answer.session().ok_or_else(|| Failure::failed("a program was asked for a second factor"))?;
        let mut file = context.session()?;
        if let Some(identity) = identity {
            file = file.with_identity(identity);
        }
        let session = KeptSession { access: tokens.access_token.into_secret(), refresh: None };
        file.open().and_then(|mut open| open.store(&session)).map_err(Error::Session)?;
        context.output.done(&format!("logged in to {} as a service account", client.address()))
    }
}
