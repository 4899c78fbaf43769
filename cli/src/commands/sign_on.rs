//! Single sign-on: by the browser, which comes back to a port of this machine (RFC 8252), or by device code (RFC 8628).

use std::io::{IsTerminal as _, stderr};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;
use claviger_client::api::secret::Disclosed;
use claviger_client::api::wire::{
    DevicePoll, DeviceSignOn, LoginAnswer, SIGN_ON_TTL_SECONDS, SignOnEnrol, SignOnLink, Tokens,
};
use claviger_client::api::{Part, Secret, UserName};
use claviger_client::{Client, Exit, ProofKey};
use tokio::time::{sleep, timeout};

use super::login::second_factor;
use crate::connection::Context;
use crate::failure::Failure;
use crate::input::Input;
use crate::progress::{Progress, note};

mod landing;

use landing::Landing;

/// How a person signs on.
#[derive(Args)]
pub struct Way {
    /// Sign on by device code: shows a code and an address to open on any device, for a machine without a browser
    #[arg(long)]
    device: bool,
    /// Show the address to sign on at instead of opening it; the browser must run on this machine
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
}

/// `claviger link`.
#[derive(Args)]
pub struct Link {
    /// The identity provider
    provider: Part,
    #[command(flatten)]
    way: Way,
    /// Read the invitation from standard input
    #[arg(long)]
    stdin: bool,
}

/// What came of a sign-on.
pub struct SignedOn {
    code: Secret,
    key: ProofKey,
}

impl Way {
    /// Whether one was named, which only a sign-on has.
    pub fn is_named(&self) -> bool {
        self.device || self.no_browser
    }
}

impl Link {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let invitation = Input::from_stdin(self.stdin).secret("Invitation")?.disclose();
        let SignedOn { code, key } = sign_on(&client, &self.provider, &self.way).await?;
        let request = SignOnLink { invitation, code: code.disclose(), verifier: key.verifier.disclose() };
        let linked = client.sign_on().link(&request).await?;
        context.output.done(&format!("{} signs on by {} from now on", linked.name, self.provider))
    }
}

/// Signs on, and gives the second factor where the server asks for it.
pub async fn log_in(client: &Client, provider: &Part, way: &Way, input: Input) -> Result<Tokens, Failure> {
    let SignedOn { code, key } = sign_on(client, provider, way).await?;
    match client.sign_on().login(code, &key).await? {
        LoginAnswer::Session(tokens) => Ok(tokens),
        LoginAnswer::SecondFactor(asked) => second_factor(client, asked, false, input).await,
    }
}

/// Signs on.
pub async fn sign_on(client: &Client, provider: &Part, way: &Way) -> Result<SignedOn, Failure> {
    let key = client.sign_on().proof_key()?;
    let code = if way.device {
        by_device(client, provider, &key).await?
    } else {
        by_browser(client, provider, &key, !way.no_browser).await?
    };
    Ok(SignedOn { code, key })
}

impl SignedOn {
    /// The first login of a user.
    pub async fn enrol(
        self,
        client: &Client,
        name: &UserName,
        enrolment: Disclosed,
        confirmation: Option<Disclosed>,
    ) -> Result<Tokens, Failure> {
        let Self { code, key } = self;
        let (code, verifier) = (code.disclose(), key.verifier.disclose());
        let request = SignOnEnrol { name: name.clone(), enrolment, confirmation, code, verifier };
        Ok(client.sign_on().enrol(&request).await?)
    }
}

async fn by_browser(client: &Client, provider: &Part, key: &ProofKey, opens: bool) -> Result<Secret, Failure> {
    let state = client.sign_on().state();
    let landing = Landing::open(state).await?;
    let address = client.sign_on().begin(provider, key, landing.port()?, state)?;
    note(&format!("Sign on in the browser of this machine: {address}"));
    if opens && stderr().is_terminal() {
        open(&address);
    }
    let within = Duration::from_secs(SIGN_ON_TTL_SECONDS);
    timeout(within, landing.code()).await.map_err(|_| nobody_signed_on())?
}

/// Shows the address in the person's browser. Nothing in it is a secret; where there is no browser, the person has read it.
fn open(address: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = || Stdio::null();
    let _ = Command::new(program).arg(address).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
}

async fn by_device(client: &Client, provider: &Part, key: &ProofKey) -> Result<Secret, Failure> {
    let begun = client.sign_on().begin_device(provider, key).await?;
    let DeviceSignOn { device, user_code, verification_uri, verification_uri_complete, mut interval_seconds, .. } =
        begun;
    note(&format!("Open {verification_uri} on any device and give this code: {user_code}"));
    if let Some(complete) = verification_uri_complete {
        note(&format!("Or open {complete}"));
    }
    note("Only if you have begun this yourself, just now. A code that somebody sent you lets that person in.");
    let mut progress = Progress::new();
    let ends = tokio::time::Instant::now() + Duration::from_secs(begun.expires_in_seconds);
    while tokio::time::Instant::now() < ends {
        progress.show("waiting for you to sign on …");
        sleep(Duration::from_secs(interval_seconds)).await;
        match client.sign_on().poll_device(device.secret()).await {
            Ok(DevicePoll::Done { code }) => return Ok(code.into_secret()),
            Ok(DevicePoll::Pending { interval_seconds: next }) => interval_seconds = next,
            // A provider or a vault that is away for a moment costs a question, and not the sign-on.
            Err(error) if error.exit() == Exit::Unavailable => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(nobody_signed_on())
}

fn nobody_signed_on() -> Failure {
    Failure::Own {
        exit: Exit::NotAuthenticated,
        what: "nobody signed on in time".to_owned(),
        help: Some("run the command again, and sign on within ten minutes".to_owned()),
    }
}
