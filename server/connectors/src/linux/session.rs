//! One connection to one host, and what its answers mean.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use claviger_api::Secret;
use claviger_api::wire::{HostKey, ProbeResult, SshKey, SystemSpec, fingerprint_text};
use russh::client::{self, AuthResult, Config, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::ssh_key::{Certificate, PrivateKey};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelMsg, MethodKind};
use tokio::time::sleep;

use super::command::{Command, Rights};
use super::name::UserName;
use super::watched::{Progress, Watched};
use crate::connector::CertifiedKey;
use crate::failure::{Failure, is_unreadable, plain_words};
use crate::{Dial, SetOutcome};

/// The parts of a Linux system's specification.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    host: &'a str,
    port: u16,
    host_keys: &'a [HostKey],
}

impl<'a> Target<'a> {
    /// Of a system of this kind; the registry gives this connector no other.
    pub(super) fn of(system: &'a SystemSpec) -> Result<Self, Failure> {
        match system {
            SystemSpec::Linux { host, port, host_keys, .. } => Ok(Self { host, port: *port, host_keys }),
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => Err(Failure::another_kind()),
        }
    }
}

/// A connection to a host that has proven who it is. It ends when dropped.
pub(super) struct Session<'a> {
    handle: Handle<Host>,
    /// By whose right changes are made.
    rights: Rights,
    /// What is never shown of the host's words.
    hidden: Vec<&'a Secret>,
}

impl<'a> Session<'a> {
    /// Connects, and makes sure that it is the host that was meant.
    pub(super) async fn open(dial: &dyn Dial, target: &Target<'_>) -> Result<Self, Failure> {
        let stream = dial.dial(target.host, target.port).await;
        let stream = stream.map_err(|error| Failure::unreachable(error.to_string()))?;
        let (stream, progress) = Watched::new(stream);
        let stranger = Arc::default();
        let host = Host { keys: target.host_keys.to_vec(), stranger: Arc::clone(&stranger) };
        match client::connect_stream(Arc::new(config(target.host_keys)), stream, host).await {
            Ok(handle) => Ok(Self { handle, rights: Rights::Sudo, hidden: Vec::new() }),
            Err(error) => {
                let shown = stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(shown.unwrap_or_else(|| before_login(&error, &progress)))
            }
        }
    }

    /// Keeps a secret out of what is told of the host's words.
    pub(super) fn hide(&mut self, secret: &'a Secret) {
        self.hidden.push(secret);
    }

    /// Logs in with a password, or with a private key in OpenSSH's form. A login by which nothing was asked for proves
    /// nothing.
    pub(super) async fn log_in(&mut self, name: &UserName<'_>, secret: &'a Secret) -> Result<(), Failure> {
        self.hide(secret);
        if is_private_key(secret) {
            return self.log_in_with_key(name, secret).await;
        }
        let methods = match self.handle.authenticate_none(name.as_str()).await.map_err(|error| during_login(&error))? {
            AuthResult::Success => return Err(Failure::unknown("the host asked for nothing, so nothing is known")),
            AuthResult::Failure { remaining_methods, .. } => remaining_methods,
        };
        // russh wipes its copy when it is done.
        let answer = if methods.contains(&MethodKind::Password) {
            let answer = self.handle.authenticate_password(name.as_str(), secret.expose()).await;
            answer.map_err(|error| during_login(&error))?
        } else if methods.contains(&MethodKind::KeyboardInteractive) {
            self.answer_prompt(name, secret).await?
        } else {
            return Err(Failure::unknown("the host takes no passwords of this user, so nothing is known of this one"));
        };
        judged(&answer)
    }

    async fn log_in_with_key(&mut self, name: &UserName<'_>, secret: &Secret) -> Result<(), Failure> {
        let unreadable =
            |_| Failure::unknown("the private key cannot be read: OpenSSH's own form is, without a passphrase");
        let key = PrivateKey::from_openssh(secret.expose()).map_err(unreadable)?;
        // Which the key does not look at unless it is one of RSA.
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), Some(HashAlg::Sha512));
        let answer = self.handle.authenticate_publickey(name.as_str(), key).await;
        judged(&answer.map_err(|error| during_login(&error))?)
    }

    /// Logs in with a key and its certificate.
    pub(super) async fn log_in_with_certificate(
        &mut self,
        name: &UserName<'_>,
        key: &CertifiedKey<'_>,
    ) -> Result<(), Failure> {
        let unreadable = |_| Failure::unknown("the vault's own key or certificate cannot be read");
        let private = PrivateKey::from_openssh(key.private_key.expose()).map_err(unreadable)?;
        let certificate = Certificate::from_openssh(key.certificate).map_err(unreadable)?;
        let answer = self.handle.authenticate_openssh_cert(name.as_str(), Arc::new(private), certificate).await;
        judged(&answer.map_err(|error| during_login(&error))?)
    }

    /// PAM's way of asking for a password: one prompt that is not echoed.
    async fn answer_prompt(&mut self, name: &UserName<'_>, secret: &Secret) -> Result<AuthResult, Failure> {
        let asked = self.handle.authenticate_keyboard_interactive_start(name.as_str(), None::<String>).await;
        let asked = asked.map_err(|error| during_login(&error))?;
        let KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } = asked else {
            return Err(Failure::unknown("the host asked for nothing that a password answers"));
        };
        if !matches!(prompts.as_slice(), [prompt] if !prompt.echo) {
            return Err(Failure::unknown("the host asks for something else than a password"));
        }
        let mut answers = vec![secret.expose().to_owned()];
        // PAM ends with a request that asks for nothing.
        for _ in 0..PROMPTS_MAX {
            let answer = self.handle.authenticate_keyboard_interactive_respond(answers).await;
            match answer.map_err(|error| during_login(&error))? {
                KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } if prompts.is_empty() => {
                    answers = Vec::new();
                }
                KeyboardInteractiveAuthResponse::InfoRequest { .. } => {
                    return Err(accepted("the host asks for more than the password"));
                }
            }
        }
        Err(Failure::unknown("the host does not stop asking"))
    }
}

/// Running commands, once logged in.
impl Session<'_> {
    /// Finds out by whose right this session can change anything. Changes nothing. A host that answers with anything but
    /// a number runs something else than what it is told.
    pub(super) async fn find_rights(&mut self) -> Result<(), Failure> {
        let command = Command::new("/usr/bin/id -u");
        let answer = match self.exec(&command, Rights::Own).await {
            Ok(answer) => answer,
            Err(NoAnswer::NotRun(detail)) => return Err(accepted(&format!("logged in, but {detail}"))),
            Err(NoAnswer::Lost(detail)) => return Err(Failure::unreachable(detail)),
        };
        let id = answer.out.lines().last().and_then(|line| line.trim().parse::<u32>().ok());
        let Some(id) = id.filter(|_| answer.status == 0) else {
            return Err(accepted(&format!("logged in, but the host runs no commands: {}", answer.said)));
        };
        self.rights = if id == 0 { Rights::Own } else { Rights::Sudo };
        Ok(())
    }

    /// Whether the user who is logged in may do everything by their own right.
    pub(super) fn is_root(&self) -> bool {
        self.rights == Rights::Own
    }

    /// Runs a command as the user who is logged in.
    pub(super) async fn run(&mut self, command: &Command) -> Result<Answer, SetOutcome> {
        self.run_patiently(command, Rights::Own).await
    }

    /// Runs a command as root.
    pub(super) async fn run_as_root(&mut self, command: &Command) -> Result<Answer, SetOutcome> {
        self.run_patiently(command, self.rights).await
    }

    /// Somebody else may be at the host's files of users: its tools then say so, and have done nothing.
    async fn run_patiently(&mut self, command: &Command, by: Rights) -> Result<Answer, SetOutcome> {
        let mut tries = 1;
        loop {
            let answer = self.exec(command, by).await.map_err(NoAnswer::outcome)?;
            if answer.status == 0 || !answer.is_busy() || tries >= BUSY_TRIES {
                return Ok(answer);
            }
            tries += 1;
            sleep(BUSY_PAUSE).await;
        }
    }

    async fn exec(&mut self, command: &Command, by: Rights) -> Result<Answer, NoAnswer> {
        let not_run = |error| NoAnswer::NotRun(format!("{} was not begun: {error}", command.program()));
        let mut channel = self.handle.channel_open_session().await.map_err(not_run)?;
        // The tools' messages are read; a host that does not take the wish answers in its own language.
        let _wish = channel.set_env(false, "LC_ALL", "C").await;
        let lost = |what: &str| NoAnswer::Lost(format!("no answer from {}: {what}", command.program()));
        channel.exec(true, command.line(by)).await.map_err(|_| lost("the connection broke"))?;
        let (mut status, mut out, mut said) = (None, Vec::new(), Vec::new());
        while let Some(message) = channel.wait().await {
            #[expect(clippy::wildcard_enum_match_arm, reason = "russh's own, and open: what else a host may say")]
            match message {
                ChannelMsg::Success => {
                    // A command that reads nothing may have ended already.
                    let _sent = channel.data_bytes(command.input()).await;
                    let _sent = channel.eof().await;
                }
                ChannelMsg::Failure => {
                    let refused = format!("the host refused to run {}", command.program());
                    return Err(NoAnswer::NotRun(refused));
                }
                ChannelMsg::Data { data } => {
                    keep(&mut out, &data);
                    keep(&mut said, &data);
                }
                ChannelMsg::ExtendedData { data, .. } => keep(&mut said, &data),
                ChannelMsg::ExitStatus { exit_status } => status = Some(exit_status),
                ChannelMsg::ExitSignal { .. } => return Err(lost("it was killed")),
                _ => {}
            }
        }
        let status = status.ok_or_else(|| lost("the connection broke"))?;
        let words = String::from_utf8_lossy(&said).into_owned();
        let cut = said.len() >= OUTPUT_MAX;
        let said = self.hidden.iter().fold(words, |words, secret| plain_words(&words, secret));
        Ok(Answer { cut, status, out: String::from_utf8_lossy(&out).into_owned(), said })
    }
}

/// What a command said, and how it ended.
pub(super) struct Answer {
    /// Whether more was said than is kept.
    pub(super) cut: bool,
    /// 0 is success.
    pub(super) status: u32,
    /// Its standard output.
    pub(super) out: String,
    /// All that it said, to be shown: without any secret.
    pub(super) said: String,
}

impl Answer {
    /// Another program holds the files of users (shadow's words, and PAM's).
    fn is_busy(&self) -> bool {
        ["cannot lock", "try again later", "lock busy"].iter().any(|words| self.said.contains(words))
    }
}

/// Why a command has no answer.
enum NoAnswer {
    /// It was never begun.
    NotRun(String),
    /// It may be done or not.
    Lost(String),
}

impl NoAnswer {
    fn outcome(self) -> SetOutcome {
        match self {
            Self::NotRun(detail) => SetOutcome::Refused { detail, by_policy: false },
            Self::Lost(detail) => SetOutcome::Unknown(detail),
        }
    }
}

/// A command's definite no.
pub(super) fn refused(command: &Command, answer: &Answer) -> SetOutcome {
    let detail = format!("{} said no ({}): {}", command.program(), answer.status, answer.said);
    SetOutcome::Refused { detail, by_policy: false }
}

/// Whether a secret is a private key, by its first line.
pub fn is_private_key(secret: &Secret) -> bool {
    secret.expose().trim_start().starts_with("-----BEGIN ")
}

fn keep(kept: &mut Vec<u8>, data: &Bytes) {
    kept.extend_from_slice(data.get(..OUTPUT_MAX.saturating_sub(kept.len()).min(data.len())).unwrap_or_default());
}

/// What is kept of a command's output.
const OUTPUT_MAX: usize = 512 * 1024;
/// So often a command is tried while another program holds the host's files of users, this long apart.
const BUSY_TRIES: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// The secret was right, and something else is in the way.
fn accepted(detail: &str) -> Failure {
    Failure { result: ProbeResult::Accepted, detail: detail.to_owned() }
}

/// Requests of PAM that ask for nothing, after the password.
const PROMPTS_MAX: usize = 3;

/// What a host answered to a login.
fn judged(answer: &AuthResult) -> Result<(), Failure> {
    match answer {
        AuthResult::Success => Ok(()),
        AuthResult::Failure { partial_success: true, .. } => Err(accepted("the host took it, and asks for more")),
        AuthResult::Failure { partial_success: false, .. } => {
            Err(Failure { result: ProbeResult::Refused, detail: "the host did not let it in".to_owned() })
        }
    }
}

/// What went wrong before anybody tried to log in.
fn before_login(error: &russh::Error, progress: &Progress) -> Failure {
    if let russh::Error::IO(error) = error
        && is_unreadable(error)
    {
        return Failure::unknown(error.to_string());
    }
    if matches!(error, russh::Error::NoCommonAlgo { .. }) {
        return Failure::unreachable(format!("the host and the vault have no algorithm in common: {error}"));
    }
    if is_broken(error) || !progress.spoke() {
        Failure::unreachable(format!("the connection broke: {error}"))
    } else {
        Failure::unknown(format!("the host's answer cannot be read: {error}"))
    }
}

/// A connection that breaks during a login says nothing about the secret.
fn during_login(error: &russh::Error) -> Failure {
    if is_broken(error) {
        Failure::unreachable("the host closed the connection during the login")
    } else {
        Failure::unknown(format!("the host's answer cannot be read: {error}"))
    }
}

fn is_broken(error: &russh::Error) -> bool {
    matches!(
        error,
        russh::Error::IO(_)
            | russh::Error::HUP
            | russh::Error::Disconnect
            | russh::Error::ConnectionTimeout
            | russh::Error::SendError
            | russh::Error::RecvError
    )
}

/// What is offered: host keys as pinned first, so that a host with several shows the one that is known; no SHA-1.
fn config(pinned: &[HostKey]) -> Config {
    let mut config = Config::default();
    let known = |algorithm: &Algorithm| {
        pinned.iter().any(|key| matches!(key, HostKey::Key(key) if key.algorithm() == plain_name(algorithm)))
    };
    let (first, then): (Vec<_>, Vec<_>) = HOST_KEY_ALGORITHMS.into_iter().partition(known);
    config.preferred.key = Cow::Owned(first.into_iter().chain(then).collect());
    config
}

const HOST_KEY_ALGORITHMS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// What a key of this algorithm is called, however it signs.
fn plain_name(algorithm: &Algorithm) -> &str {
    if matches!(algorithm, Algorithm::Rsa { .. }) { "ssh-rsa" } else { algorithm.as_str() }
}

/// The host's side of a session: its key is checked, and nothing else that it asks for is granted.
struct Host {
    keys: Vec<HostKey>,
    /// Who showed another key.
    stranger: Arc<Mutex<Option<Failure>>>,
}

impl client::Handler for Host {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let (known, what) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => match key.to_openssh().ok().map(|text| text.parse()) {
                Some(Ok(key)) => {
                    let key: SshKey = key;
                    let shown = format!("{} {}", key.algorithm(), fingerprint_text(&key.fingerprint()));
                    (self.keys.iter().any(|pinned| pinned.is(&key)), shown)
                }
                Some(Err(_)) | None => (false, "a key of an unknown kind".to_owned()),
            },
            PublicKeyOrCertificate::Certificate(_) => (false, "a certificate".to_owned()),
        };
        if !known {
            let detail = format!("the host showed {what}, which is none of this system's host keys");
            let failure = Failure::host_mismatch(detail);
            *self.stranger.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        }
        Ok(known)
    }
}
