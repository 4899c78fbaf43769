//! One login to one directory, one request at a time.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the protocol's own lists, of which most answers are none to these requests"
)]

use bytes::BytesMut;
use claviger_api::Secret;
use claviger_api::wire::{ProbeResult, TlsMode};
use ldap3_proto::LdapCodec;
use ldap3_proto::control::LdapControl;
use ldap3_proto::proto::{
    LdapBindCred, LdapBindRequest, LdapExtendedRequest, LdapMsg, LdapOp, LdapResult, LdapResultCode as Code,
    LdapSearchRequest, LdapSearchResultEntry,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::codec::{Decoder as _, Encoder as _};

use crate::failure::{Failure, plain_words};
use crate::{Dial, SetOutcome, Stream, tls};

/// The most bytes a directory may send on one connection: several times what all its logins need.
const RECEIVED_MAX: usize = 4 * 1024 * 1024;
/// The longest single answer.
const MESSAGE_MAX: usize = 256 * 1024;
/// Every message is a sequence (RFC 4511 §4.1.1).
const SEQUENCE: u8 = 0x30;
/// StartTLS (RFC 4511 §4.14).
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// What a directory says of its password policy (draft-behera-ldap-password-policy-10 §6.2).
const PASSWORD_POLICY: &[u8] = b"1.3.6.1.4.1.42.2.27.8.5.1";

/// Where a directory is, and how to know it.
#[derive(Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) tls: TlsMode,
    pub(crate) start_tls: bool,
    pub(crate) ca_certificate: Option<&'a str>,
}

/// What a kind of directory means by its answers.
pub(crate) struct Reading {
    /// What a failed bind tells of the secret.
    pub(crate) bind: fn(&Answer) -> ProbeResult,
    /// Whether a refused change is about the secret itself, so that another one may do.
    pub(crate) by_policy: fn(&Answer) -> bool,
    /// What it adds in a code of its own, in words.
    pub(crate) explain: fn(&Answer) -> Option<&'static str>,
}

/// An open session. Its connection ends with it.
pub(crate) struct Session<'a> {
    stream: Box<dyn Stream>,
    codec: LdapCodec,
    inbox: BytesMut,
    received: usize,
    message: i32,
    secret: Option<&'a Secret>,
    reading: &'static Reading,
}

/// What the directory said to a request.
pub(crate) struct Answer {
    pub(crate) result: LdapResult,
    /// What its password policy adds.
    pub(crate) policy: Option<PolicyError>,
}

/// draft-behera-ldap-password-policy-10 §6.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyError {
    PasswordExpired,
    AccountLocked,
    ChangeAfterReset,
    /// It says that this password, or a change now, is not allowed, whatever the password.
    ChangeNotAllowed,
    /// The password itself is what it does not like: too short, too weak, used before.
    BadPassword,
}

impl PolicyError {
    fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::PasswordExpired),
            1 => Some(Self::AccountLocked),
            2 => Some(Self::ChangeAfterReset),
            3 | 4 | 7 => Some(Self::ChangeNotAllowed),
            5 | 6 | 8 => Some(Self::BadPassword),
            _ => None,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::PasswordExpired => "the password has expired",
            Self::AccountLocked => "the account is locked",
            Self::ChangeAfterReset => "the password must be changed",
            Self::ChangeNotAllowed => "the password may not be changed now: it is too young, or others change it",
            Self::BadPassword => "too short, too weak, or used before",
        }
    }
}

impl<'a> Session<'a> {
    /// Connects and binds under this name, in a form that the directory knows.
    pub(crate) async fn open(
        dial: &dyn Dial,
        address: &Address<'_>,
        name: &str,
        secret: &'a Secret,
        reading: &'static Reading,
    ) -> Result<Self, Failure> {
        let stream = dial.dial(address.host, address.port).await;
        let stream = stream.map_err(|error| Failure::unreachable(error.to_string()))?;
        let mut session = Self {
            stream: secure(stream, address, reading).await?,
            codec: LdapCodec::new(Some(MESSAGE_MAX), None),
            inbox: BytesMut::new(),
            received: 0,
            message: 0,
            secret: Some(secret),
            reading,
        };
        session.bind(name, secret).await?;
        Ok(session)
    }

    /// A simple bind. A [`Secret`] is never empty, so it is never the anonymous one (RFC 4513 §5.1.2).
    async fn bind(&mut self, name: &str, secret: &Secret) -> Result<(), Failure> {
        let cred = LdapBindCred::Simple(secret.expose().to_owned());
        let bind = LdapOp::BindRequest(LdapBindRequest { version: 3, dn: name.to_owned(), cred });
        let answer = self.ask(bind).await?;
        if answer.result.code == Code::Success {
            return Ok(());
        }
        Err(Failure { result: (self.reading.bind)(&answer), detail: self.words(&answer) })
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        let _ = self.send(LdapOp::UnbindRequest).await;
    }

    /// A request that changes something.
    pub(crate) async fn change(&mut self, op: LdapOp) -> Result<(), SetOutcome> {
        self.change_unless(op, &[]).await
    }

    /// The same, where some answers mean that it is so already. An error is a definite no, but for those that may come
    /// while it is at work.
    pub(crate) async fn change_unless(&mut self, op: LdapOp, so_already: &[Code]) -> Result<(), SetOutcome> {
        let answer =
            self.ask(op).await.map_err(|failure| SetOutcome::Unknown(format!("no answer: {}", failure.detail)))?;
        let detail = self.words(&answer);
        match answer.result.code {
            Code::Success => Ok(()),
            ref code if so_already.contains(code) => Ok(()),
            Code::OperationsError
            | Code::TimeLimitExceeded
            | Code::AdminLimitExceeded
            | Code::Busy
            | Code::Unavailable
            | Code::Other
            | Code::Canceled => Err(SetOutcome::Unknown(detail)),
            _ => Err(SetOutcome::Refused { detail, by_policy: (self.reading.by_policy)(&answer) }),
        }
    }

    /// All entries that a search finds; nothing where its base is not there.
    pub(crate) async fn search(
        &mut self,
        search: LdapSearchRequest,
    ) -> Result<Option<Vec<LdapSearchResultEntry>>, SetOutcome> {
        let unknown = |failure: Failure| SetOutcome::Unknown(format!("no answer: {}", failure.detail));
        self.send(LdapOp::SearchRequest(search)).await.map_err(unknown)?;
        let mut entries = Vec::new();
        loop {
            let (message, policy) = self.read().await.map_err(unknown)?;
            match message.op {
                LdapOp::SearchResultEntry(entry) => entries.push(entry),
                LdapOp::SearchResultReference(_) => {}
                LdapOp::SearchResultDone(result) => {
                    let answer = Answer { result, policy };
                    return match answer.result.code {
                        Code::Success => Ok(Some(entries)),
                        Code::NoSuchObject => Ok(None),
                        _ => Err(SetOutcome::Refused { detail: self.words(&answer), by_policy: false }),
                    };
                }
                _ => return Err(unknown(nonsense())),
            }
        }
    }

    /// So many of the entries that a search finds, and where the next of them begin (RFC 2696); nothing where there are no
    /// more.
    pub(crate) async fn page(
        &mut self,
        search: LdapSearchRequest,
        size: i64,
        from: Vec<u8>,
    ) -> Result<(Vec<LdapSearchResultEntry>, Vec<u8>), SetOutcome> {
        let unknown = |failure: Failure| SetOutcome::Unknown(format!("no answer: {}", failure.detail));
        let paged = LdapControl::SimplePagedResults { size, cookie: from };
        self.send_with(LdapOp::SearchRequest(search), vec![paged]).await.map_err(unknown)?;
        let mut entries = Vec::new();
        loop {
            let (message, policy) = self.read().await.map_err(unknown)?;
            match message.op {
                LdapOp::SearchResultEntry(entry) => entries.push(entry),
                LdapOp::SearchResultReference(_) => {}
                LdapOp::SearchResultDone(result) if result.code == Code::Success => {
                    let next = message.ctrl.into_iter().find_map(|control| match control {
                        LdapControl::SimplePagedResults { cookie, .. } => Some(cookie),
                        _ => None,
                    });
                    return Ok((entries, next.unwrap_or_default()));
                }
                LdapOp::SearchResultDone(result) => {
                    let detail = self.words(&Answer { result, policy });
                    return Err(SetOutcome::Refused { detail, by_policy: false });
                }
                _ => return Err(unknown(nonsense())),
            }
        }
    }

    /// One request and its one answer.
    async fn ask(&mut self, op: LdapOp) -> Result<Answer, Failure> {
        self.send(op).await?;
        let (message, policy) = self.read().await?;
        match message.op {
            LdapOp::BindResponse(response) => Ok(Answer { result: response.res, policy }),
            LdapOp::ExtendedResponse(response) => Ok(Answer { result: response.res, policy }),
            LdapOp::ModifyResponse(result) | LdapOp::AddResponse(result) | LdapOp::DelResponse(result) => {
                Ok(Answer { result, policy })
            }
            _ => Err(nonsense()),
        }
    }

    async fn send(&mut self, op: LdapOp) -> Result<(), Failure> {
        // Only a request that changes or proves a password is asked about the policy.
        let asks = matches!(op, LdapOp::BindRequest(_) | LdapOp::ExtendedRequest(_));
        let ctrl = if asks { vec![LdapControl::PasswordPolicyRequest { criticality: false }] } else { Vec::new() };
        self.send_with(op, ctrl).await
    }

    async fn send_with(&mut self, op: LdapOp, ctrl: Vec<LdapControl>) -> Result<(), Failure> {
        self.message += 1;
        let mut bytes = BytesMut::new();
        let message = LdapMsg { msgid: self.message, op, ctrl };
        self.codec.encode(message, &mut bytes).map_err(|_| Failure::unknown("a request that cannot be written"))?;
        let sent = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Failure::io(&error))
    }

    /// The next message for the request that was sent last.
    async fn read(&mut self) -> Result<(LdapMsg, Option<PolicyError>), Failure> {
        loop {
            if self.inbox.first().is_some_and(|first| *first != SEQUENCE) {
                return Err(nonsense());
            }
            let before = self.inbox.clone();
            if let Some(message) = self.codec.decode(&mut self.inbox).map_err(|_| nonsense())? {
                let raw = before.get(..before.len() - self.inbox.len()).unwrap_or_default();
                return match message.msgid {
                    // Notice of disconnection (RFC 4511 §4.4.1).
                    0 => Err(Failure::unreachable("the directory ended the connection")),
                    number if number == self.message => Ok((message, policy_error(raw))),
                    _ => Err(nonsense()),
                };
            }
            let more = self.stream.read_buf(&mut self.inbox).await.map_err(|error| Failure::io(&error))?;
            if more == 0 {
                return Err(Failure::unreachable("the directory closed the connection"));
            }
            self.received = self.received.saturating_add(more);
            if self.received > RECEIVED_MAX {
                return Err(Failure::unknown(format!("the directory sent more than {RECEIVED_MAX} bytes")));
            }
        }
    }

    /// What it said, in words, without the secret.
    fn words(&self, answer: &Answer) -> String {
        let LdapResult { code, message, .. } = &answer.result;
        let added = (self.reading.explain)(answer).map(|words| format!(": {words}")).unwrap_or_default();
        let said = format!("{message}{added} ({code:?})");
        match self.secret {
            Some(secret) => plain_words(&said, secret),
            None => said,
        }
    }
}

/// Encrypts the connection as the system says. A bind sends the password itself, so it goes out in clear only where an
/// administrator chose `disable`.
async fn secure(
    stream: Box<dyn Stream>,
    address: &Address<'_>,
    reading: &'static Reading,
) -> Result<Box<dyn Stream>, Failure> {
    if address.tls == TlsMode::Disable {
        return Ok(stream);
    }
    let config = tls::client_config(address.tls, address.ca_certificate)?;
    if !address.start_tls {
        return tls::handshake(stream, config, address.host).await;
    }
    let mut plain = Session {
        stream,
        codec: LdapCodec::new(Some(MESSAGE_MAX), None),
        inbox: BytesMut::new(),
        received: 0,
        message: 0,
        secret: None,
        reading,
    };
    let ask = LdapExtendedRequest { name: START_TLS.to_owned(), value: None };
    let answer = plain.ask(LdapOp::ExtendedRequest(ask)).await?;
    if answer.result.code != Code::Success {
        let mode = if address.tls == TlsMode::Prefer { TlsMode::Require } else { address.tls };
        tls::without(mode)?;
    }
    // Nothing may be slipped in before the encryption.
    if !plain.inbox.is_empty() {
        return Err(nonsense());
    }
    tls::handshake(plain.stream, config, address.host).await
}

fn nonsense() -> Failure {
    Failure::unknown("what answers is not an LDAP directory")
}

/// ldap3_proto knows the control as one of requests, and drops what a response carries in it.
fn policy_error(message: &[u8]) -> Option<PolicyError> {
    const OCTETS: u8 = 0x04;
    const ERROR: u8 = 0x81;
    let at = message.windows(PASSWORD_POLICY.len()).rposition(|window| window == PASSWORD_POLICY)?;
    let (tag, value, _) = element(message.get(at + PASSWORD_POLICY.len()..)?)?;
    let (sequence, mut rest, _) = element(value)?;
    if tag != OCTETS || sequence != SEQUENCE {
        return None;
    }
    while let Some((tag, inner, after)) = element(rest) {
        if let (ERROR, [code]) = (tag, inner) {
            return PolicyError::of(*code);
        }
        rest = after;
    }
    None
}

/// A tag, what it holds, and what follows; only of short ones.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let length = usize::from(*length);
    if length > 127 {
        return None;
    }
    let (inner, after) = rest.split_at_checked(length)?;
    Some((*tag, inner, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_policy_adds_is_found_in_the_message() {
        let message = |value: &[u8]| {
            let length = u8::try_from(value.len()).unwrap();
            [
                b"\x30\x30\x02\x01\x01\x61\x07\x0a\x01\x31\x04\0\x04\0\xa0\x21\x30\x1f\x04\x19",
                PASSWORD_POLICY,
                &[4, length],
                value,
            ]
            .concat()
        };
        assert_eq!(policy_error(&message(&[0x30, 3, 0x81, 1, 1])), Some(PolicyError::AccountLocked));
        assert_eq!(policy_error(&message(&[0x30, 3, 0x81, 1, 8])), Some(PolicyError::BadPassword));
        let warned = [0x30, 8, 0xa0, 3, 0x80, 1, 5, 0x81, 1, 7];
        assert_eq!(policy_error(&message(&warned)), Some(PolicyError::ChangeNotAllowed));
        for nothing in [&[0x30, 0][..], &[0x30, 3, 0x81, 1, 99], &[0x30, 9, 0x81], &[], &[0x31, 3, 0x81, 1, 1]] {
            assert_eq!(policy_error(&message(nothing)), None, "{nothing:?}");
        }
        assert_eq!(policy_error(b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x31\x04\0\x04\0"), None);
    }
}
