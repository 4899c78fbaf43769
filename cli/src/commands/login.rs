//! `claviger login` and `logout`.

use std::io::{BufRead as _, IsTerminal as _, Write as _, stderr, stdin};

use clap::Args;
use claviger_client::api::secret::Disclosed;
use claviger_client::api::wire::{
    Challenge, EnrolRequest, FactorKind, LoginAnswer, LoginByPasskey, LoginRequest, MfaRequest, SecondFactor, Tokens,
};
use claviger_client::api::{Part, ProblemType, UserName};
use claviger_client::{Client, Error, Given, KeptSession, SessionKeeper as _};

use super::login_program::ProgramLogin;
use crate::commands::{mfa, sign_on};
use crate::connection::Context;
use crate::factor;
use crate::failure::Failure;
use crate::input::Input;
use crate::passkey;
use crate::progress::note;

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the command line")]
pub struct Login {
    /// Your name in the vault; asked for when absent
    name: Option<UserName>,
    /// For the first login: asks for the enrolment code you were given, and for the password you choose
    #[arg(long)]
    enrolment: bool,
    /// Sign on by this identity provider, in the browser; with --enrolment the first time, instead of a password
    #[arg(long, value_name = "PROVIDER")]
    sso: Option<Part>,
    #[command(flatten)]
    way: sign_on::Way,
    /// With --enrolment: there are two codes, since another administrator had to confirm
    #[arg(long, requires = "enrolment")]
    confirmation: bool,
    /// Show a passkey, in a browser, as the second factor
    #[arg(long, conflicts_with = "enrolment")]
    passkey: bool,
    /// Read from standard input, one a line: the password (not with --sso) and the second factor; with --enrolment, the enrolment code,
    /// with --confirmation the second one, and the new password
    #[arg(long)]
    stdin: bool,
    #[command(flatten)]
    program: ProgramLogin,
}

impl Login {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.program.is_asked_for() {
            return self.program.run(self.name, context).await;
        }
        let client = context.anonymous()?;
        let input = Input::from_stdin(self.stdin);
        if self.sso.is_none() && self.way.is_named() {
            return Err(Failure::usage("by which identity provider?", "claviger login --sso PROVIDER"));
        }
        if let (Some(provider), false) = (&self.sso, self.enrolment) {
            if self.name.is_some() {
                let help = "claviger login --sso PROVIDER";
                return Err(Failure::usage("with --sso the identity provider says who logs in", help));
            }
            let tokens = sign_on::log_in(&client, provider, &self.way, input).await?;
            return self.logged_in(context, tokens, &format!("by {provider}")).await;
        }
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ask_name()?,
        };
        let tokens = match (&self.sso, self.enrolment) {
            (Some(provider), _) => {
                let (enrolment, confirmation) = enrolment_codes(self.confirmation, input)?;
                let signed_on = sign_on::sign_on(&client, provider, &self.way).await?;
                signed_on.enrol(&client, &name, enrolment, confirmation).await?
            }
            (None, true) => enrol(&client, &name, self.confirmation, input).await?,
            (None, false) => log_in(&client, &name, self.passkey, input).await?,
        };
        self.logged_in(context, tokens, &format!("as {name}")).await
    }

    /// Keeps the session, and goes on to the second factor where there is none yet.
    async fn logged_in(&self, context: &Context, tokens: Tokens, who: &str) -> Result<(), Failure> {
        let may_only_enrol = tokens.may_only_enrol;
        keep(context, tokens)?;
        context.output.done(&format!("logged in to {} {who}", context.anonymous()?.address()))?;
        if !may_only_enrol {
            return Ok(());
        }
        note("Nothing works without a second factor: an authenticator app on your phone, for example.");
        if self.stdin || !stdin().is_terminal() {
            note("Next: claviger mfa enrol");
            return Ok(());
        }
        mfa::enrol(context, &context.client()?, DEFAULT_LABEL.to_owned()).await
    }
}

/// What the first authenticator app is called when nobody says otherwise.
const DEFAULT_LABEL: &str = "authenticator";

/// `claviger logout`: the session ends at the server, and is forgotten here whatever the server says.
pub async fn logout(context: &Context) -> Result<(), Failure> {
    let session = context.session()?;
    let ended = match context.client() {
        Ok(client) => client.auth().logout().await,
        Err(failure) => return Err(failure),
    };
    session.forget().map_err(Error::Session)?;
    match ended {
        Ok(()) | Err(Error::NotLoggedIn) => context.output.done("logged out"),
        Err(error) if error.exit() == claviger_client::Exit::NotAuthenticated => context.output.done("logged out"),
        Err(error) => Err(error.into()),
    }
}

/// The password, and then what the server asks for.
async fn log_in(client: &Client, name: &UserName, passkey: bool, input: Input) -> Result<Tokens, Failure> {
    let password = input.secret("Password")?.disclose();
    match client.auth().login(&LoginRequest::Password { name: name.clone(), password }).await? {
        LoginAnswer::Session(tokens) => Ok(tokens),
        LoginAnswer::SecondFactor(asked) => second_factor(client, asked, passkey, input).await,
    }
}

/// The second factor that the server asks for.
pub async fn second_factor(client: &Client, asked: Challenge, passkey: bool, input: Input) -> Result<Tokens, Failure> {
    // A person reads the next code and tries again, while the password still counts; a program is told.
    let mut tries = if input == Input::Terminal { TRIES } else { 1 };
    loop {
        tries -= 1;
        let second_factor = prove(client, &asked, passkey, input).await?;
        let request = MfaRequest { challenge: duplicate(&asked), second_factor };
        match client.auth().mfa(&request).await {
            Err(error) if tries > 0 && error.problem_type() == Some(ProblemType::InvalidCredentials) => {
                note(&error.to_string());
            }
            answer => return Ok(answer?),
        }
    }
}

/// What is asked for: a code, or a passkey where that was chosen or nothing else is left but recovery codes.
async fn prove(client: &Client, asked: &Challenge, passkey: bool, input: Input) -> Result<SecondFactor, Failure> {
    let may = asked.factors.contains(&FactorKind::Passkey);
    let only = may && input == Input::Terminal && !asked.factors.contains(&FactorKind::Totp);
    let given = if passkey || only { Given::Passkey } else { factor::ask(input, may)? };
    match given {
        Given::Proof(proof) => Ok(proof),
        Given::Passkey => {
            let request = LoginByPasskey { challenge: duplicate(asked) };
            let ceremony = client.auth().passkey_for_login(&request).await?;
            Ok(SecondFactor::Passkey(passkey::ceremony(&ceremony, input)?.disclose()))
        }
    }
}

fn duplicate(asked: &Challenge) -> Disclosed {
    asked.challenge.secret().duplicate().disclose()
}

/// How often a person may try the code before the password is asked for again.
const TRIES: u32 = 3;

async fn enrol(client: &Client, name: &UserName, two_codes: bool, input: Input) -> Result<Tokens, Failure> {
    let (enrolment, confirmation) = enrolment_codes(two_codes, input)?;
    let password = input.new_secret("New password, at least 12 characters")?.disclose();
    Ok(client.auth().enrol(&EnrolRequest { name: name.clone(), enrolment, confirmation, password }).await?)
}

/// The code, and the second one where another administrator had to confirm.
fn enrolment_codes(two_codes: bool, input: Input) -> Result<(Disclosed, Option<Disclosed>), Failure> {
    let enrolment = input.secret("Enrolment code")?.disclose();
    let confirmation =
        if two_codes { Some(input.secret("Second code, of whoever confirmed")?.disclose()) } else { None };
    Ok((enrolment, confirmation))
}

fn keep(context: &Context, tokens: Tokens) -> Result<(), Failure> {
    let refresh =
        tokens.refresh_token.ok_or_else(|| Failure::failed("the server gave a session that cannot be kept"))?;
    let session = KeptSession { access: tokens.access_token.into_secret(), refresh: Some(refresh.into_secret()) };
    let store = || context.session().map(|file| file.open().and_then(|mut open| open.store(&session)));
    store()?.map_err(|error| Error::Session(error).into())
}

fn ask_name() -> Result<UserName, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage("who logs in?", "claviger login NAME"));
    }
    let mut text = String::new();
    let _ = write!(stderr(), "Name: ");
    stdin().lock().read_line(&mut text).map_err(|error| Failure::failed(format!("cannot read the name: {error}")))?;
    text.trim().parse().map_err(|error| Failure::usage(format!("{error}"), "claviger login NAME"))
}
