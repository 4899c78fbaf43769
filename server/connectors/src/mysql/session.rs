//! One login on one server, and what its answers mean.

use claviger_api::wire::{ProbeResult, SystemSpec, TlsMode};
use claviger_api::{Login, Secret};
use mysql_common::auth::plugins::{AuthProc, ChallengeResponsePlugin as _};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, ErrPacket, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::{MyDeserialize, MySerialize};
use zeroize::Zeroizing;

use super::account::Account;
use super::sql::{self, Asking};
use super::wire::{RECEIVED_MAX, Wire, nonsense};
use crate::failure::{Failure, plain_words};
use crate::{Dial, SetOutcome, tls};

/// The oldest server with several ways to log in to one account and with locked accounts.
const OLDEST_VERSION: (u16, u16) = (10, 4);
/// A server may change its mind so often about how an account logs in: an account may have several ways.
const SWITCHES_MAX: usize = 8;
/// `utf8mb4_general_ci`.
const UTF8MB4: u8 = 45;
/// `ER_CANNOT_USER`.
const OPERATION_FAILED: u16 = 1396;
const COM_QUIT: u8 = 1;
const COM_QUERY: u8 = 3;

/// The parts of a MariaDB system's specification.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    host: &'a str,
    port: u16,
    tls: TlsMode,
    ca_certificate: Option<&'a str>,
    /// Where events live that end logins.
    pub(super) events: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub(super) fn of(system: &'a SystemSpec) -> Result<Self, Failure> {
        match system {
            SystemSpec::Mysql { host, port, tls, ca_certificate, lockout_threshold: _, event_database } => Ok(Self {
                host,
                port: *port,
                tls: *tls,
                ca_certificate: ca_certificate.as_deref(),
                events: event_database.as_deref(),
            }),
            SystemSpec::Postgresql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::ActiveDirectory { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => Err(Failure::another_kind()),
        }
    }
}

/// An open session. Its connection ends with it.
pub(super) struct Session<'a> {
    wire: Wire,
    secret: &'a Secret,
    plugin: AuthPlugin<'static>,
    expired: bool,
}

/// A row of a result, as text.
type Row = Vec<Option<String>>;

/// Why a statement has no answer, or not the one that was wanted.
pub(super) enum Trouble {
    /// The server said no.
    Said { code: u16, words: String },
    /// It said nothing, or nothing that can be read.
    Broken(Failure),
}

impl<'a> Session<'a> {
    /// Logs in, and makes sure that it was this account that the secret opened.
    pub(super) async fn open(
        dial: &dyn Dial,
        target: &Target<'_>,
        login: &Login,
        secret: &'a Secret,
    ) -> Result<Self, Failure> {
        // MariaDB would change the name and try another account's secret.
        let account = Account::of(login)
            .map_err(|refused| Failure { result: ProbeResult::Refused, detail: super::detail(refused) })?;
        let stream = dial.dial(target.host, target.port).await;
        let stream = stream.map_err(|error| Failure::unreachable(error.to_string()))?;
        let mut wire = Wire::new(stream);
        let greeting = Greeting::read(&wire.read().await?)?;
        let (wire, capabilities) = secure(wire, &greeting, target).await?;
        let (wire, plugin) = log_in(wire, &greeting, capabilities, &account, secret).await?;
        let mut session = Self { wire, secret, plugin, expired: false };
        session.check_account(&account).await?;
        Ok(session)
    }

    /// Whether the account must change its password before it may do anything else.
    pub(super) fn expired(&self) -> bool {
        self.expired
    }

    /// By which plugin the secret was proven.
    pub(super) fn plugin(&self) -> &AuthPlugin<'static> {
        &self.plugin
    }

    /// Says goodbye, so that the server's log does not tell of an aborted connection.
    pub(super) async fn close(mut self) {
        let _ = self.wire.command(COM_QUIT, &[]).await;
    }

    /// Runs one statement that has no result.
    pub(super) async fn run(&mut self, statement: &str) -> Result<(), SetOutcome> {
        match self.query(statement).await {
            Ok(_) => Ok(()),
            Err(Trouble::Said { code: OPERATION_FAILED, words }) => Err(self.reason(words).await),
            Err(trouble) => Err(trouble.outcome()),
        }
    }

    /// "Operation ALTER USER failed" says nothing: why stands beside it.
    async fn reason(&mut self, words: String) -> SetOutcome {
        let beside = self.query("SHOW WARNINGS").await.unwrap_or_default();
        let reasons = beside.into_iter().filter_map(|row| match row.as_slice() {
            [_, Some(code), Some(message)] => Some((code.parse().ok()?, plain_words(message, self.secret))),
            _ => None,
        });
        let (code, words) = match reasons.into_iter().find(|(code, _)| *code != OPERATION_FAILED) {
            Some((code, reason)) => (code, format!("{words}: {reason} ({code})")),
            None => (OPERATION_FAILED, words),
        };
        Trouble::Said { code, words }.outcome()
    }

    /// All rows of a query.
    pub(super) async fn table(&mut self, query: &str) -> Result<Vec<Row>, SetOutcome> {
        self.query(query).await.map_err(Trouble::outcome)
    }

    /// The first column of a query.
    pub(super) async fn ask(&mut self, query: &str) -> Result<Vec<String>, SetOutcome> {
        let rows = self.query(query).await.map_err(Trouble::outcome)?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// The server picks an account by user name and address, and takes the most exact host part: `x@10.1.2.3` before
    /// `x@%`. Where it picked another one, or lets everybody in (`skip-grant-tables`), nothing is known of this one.
    async fn check_account(&mut self, account: &Account) -> Result<(), Failure> {
        const MUST_SET_PASSWORD: u16 = 1820;
        let rows = match self.query(sql::WHO).await {
            Ok(rows) => rows,
            Err(Trouble::Said { code: MUST_SET_PASSWORD, .. }) => {
                self.expired = true;
                return Ok(());
            }
            Err(Trouble::Said { words, .. }) => return Err(Failure { result: ProbeResult::Accepted, detail: words }),
            Err(Trouble::Broken(failure)) => return Err(failure),
        };
        let picked = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()).unwrap_or_default();
        if picked == account.to_string() {
            return Ok(());
        }
        Err(Failure::unknown(format!(
            "from here the server takes this login for the account {picked}, so nothing is known of {account}"
        )))
    }

    /// One statement and its whole answer.
    pub(super) async fn query(&mut self, statement: &str) -> Result<Vec<Row>, Trouble> {
        self.wire.command(COM_QUERY, statement.as_bytes()).await?;
        let head = self.read().await?;
        let mut body = ParseBuf(&head);
        match head.first() {
            Some(0) => return Ok(Vec::new()),
            // It asks for a file of the vault's machine.
            None | Some(0xfb) => return Err(nonsense().into()),
            Some(_) => {}
        }
        let columns = body.checked_eat_lenenc_int().ok_or_else(nonsense)?;
        for _ in 0..columns {
            self.read().await?;
        }
        if !is_end(&self.read().await?) {
            return Err(nonsense().into());
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.read().await?;
            if is_end(&packet) {
                return Ok(rows);
            }
            rows.push(row(&packet, columns).ok_or_else(nonsense)?);
        }
    }

    /// The next packet; an error is what the server said.
    async fn read(&mut self) -> Result<Vec<u8>, Trouble> {
        let packet = self.wire.read().await?;
        match said(&packet, self.secret)? {
            Some((code, words)) => Err(Trouble::Said { code, words }),
            None => Ok(packet),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure)
    }
}

impl Trouble {
    /// An error answer to a statement is a definite no, but for those that may come while the statement is at work.
    pub(super) fn outcome(self) -> SetOutcome {
        match self {
            Self::Said { code, words } if leaves_doubt(code) => SetOutcome::Unknown(words),
            Self::Said { code, words } => SetOutcome::Refused { by_policy: is_policy(code), detail: words },
            Self::Broken(failure) => SetOutcome::Unknown(format!("no answer: {}", failure.detail)),
        }
    }
}

/// What a server says of itself before anything else.
struct Greeting {
    capabilities: CapabilityFlags,
    version: (u16, u16, u16),
    nonce: Vec<u8>,
}

impl Greeting {
    fn read(packet: &[u8]) -> Result<Self, Failure> {
        // The text of an error is not shown: nobody knows yet who wrote it.
        if let [0xff, low, high, ..] = packet {
            let code = u16::from_le_bytes([*low, *high]);
            return Err(Failure::unreachable(format!("the server takes no connection from here: error {code}")));
        }
        // mysql_common reckons with this length as if it had seven bits.
        let version_end = packet.iter().position(|byte| *byte == 0).ok_or_else(nonsense)?;
        if packet.get(version_end + 21).is_none_or(|length| *length > 127) {
            return Err(nonsense());
        }
        let greeting: HandshakePacket<'_> = parse(packet, ())?;
        let wanted = CapabilityFlags::CLIENT_PROTOCOL_41
            | CapabilityFlags::CLIENT_SECURE_CONNECTION
            | CapabilityFlags::CLIENT_PLUGIN_AUTH;
        if greeting.protocol_version() != 10 || !greeting.capabilities().contains(wanted) {
            return Err(nonsense());
        }
        let version = greeting.maria_db_server_version_parsed().ok_or_else(nonsense)?;
        if (version.0, version.1) < OLDEST_VERSION {
            let (major, minor) = OLDEST_VERSION;
            return Err(Failure::unknown(format!("MariaDB {major}.{minor} or newer is needed")));
        }
        Ok(Self { capabilities: greeting.capabilities(), version, nonce: greeting.nonce() })
    }
}

/// Encrypts the connection as the mode says. Nothing that a server says in clear weakens a mode that verifies it.
async fn secure(mut wire: Wire, greeting: &Greeting, target: &Target<'_>) -> Result<(Wire, CapabilityFlags), Failure> {
    let mut capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        // An account whose password has expired may log in and change it.
        | CapabilityFlags::CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS;
    if target.tls == TlsMode::Disable {
        return Ok((wire, capabilities));
    }
    let config = tls::client_config(target.tls, target.ca_certificate)?;
    if !greeting.capabilities.contains(CapabilityFlags::CLIENT_SSL) {
        tls::without(target.tls)?;
        return Ok((wire, capabilities));
    }
    capabilities.insert(CapabilityFlags::CLIENT_SSL);
    wire.write(&bytes_of(&SslRequest::new(capabilities, packet_max(), UTF8MB4))).await?;
    let wire = wire.over(|stream| tls::handshake(stream, config, target.host)).await?;
    Ok((wire, capabilities))
}

/// Proves that the secret is known, by whatever plugin the account has. The password itself is never sent, whatever
/// the server asks for.
async fn log_in(
    mut wire: Wire,
    greeting: &Greeting,
    capabilities: CapabilityFlags,
    account: &Account,
    secret: &Secret,
) -> Result<(Wire, AuthPlugin<'static>), Failure> {
    let mut plugin = AuthPlugin::MysqlNativePassword;
    let proof = prove(&plugin, &greeting.nonce, secret)?;
    let response = HandshakeResponse::new(
        Some(proof.as_slice()),
        greeting.version,
        Some(account.user.as_bytes()),
        None::<&[u8]>,
        Some(plugin.borrow()),
        capabilities,
        None,
        packet_max(),
    );
    wire.write(&bytes_of(&response)).await?;
    for _ in 0..SWITCHES_MAX {
        let packet = wire.read().await?;
        if let Some((code, words)) = said(&packet, secret)? {
            return Err(login_failure(code, words));
        }
        match packet.first() {
            Some(0) => return Ok((wire, plugin)),
            Some(0xfe) if packet.len() > 1 => {
                let switch: AuthSwitchRequest<'_> = parse(&packet, ())?;
                plugin = switch.auth_plugin().into_owned();
                // ed25519 has a nonce of 32 bytes, which the server ends with a zero where it feels like it.
                let proof = prove(&plugin, switch.plugin_data(), secret)?;
                wire.write(&proof).await?;
            }
            Some(_) | None => return Err(nonsense()),
        }
    }
    Err(nonsense())
}

fn prove(plugin: &AuthPlugin<'_>, nonce: &[u8], secret: &Secret) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut procedure = match plugin {
        AuthPlugin::MysqlNativePassword | AuthPlugin::Ed25519 => AuthProc::init(plugin).map_err(|_| nonsense())?,
        AuthPlugin::MysqlOldPassword
        | AuthPlugin::MysqlClearPassword
        | AuthPlugin::Sha256Password
        | AuthPlugin::CachingSha2Password
        | AuthPlugin::Parsec
        | AuthPlugin::Other(_) => {
            let name = String::from_utf8_lossy(plugin.as_bytes());
            let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            return Err(Failure::unknown(format!(
                "the server wants the login by {name}, which the vault does not speak; nothing was sent"
            )));
        }
    };
    let response = procedure.run(Asking { secret }, nonce).map_err(|_| nonsense())?;
    Ok(Zeroizing::new(response.data().unwrap_or_default().to_vec()))
}

/// What a login that failed tells about the secret (`errmsg-utf8.txt` in the server's source).
fn login_failure(code: u16, detail: String) -> Failure {
    let result = match code {
        // Wrong, absent, or without a password.
        1045 | 1698 => ProbeResult::Refused,
        // Locked, after the secret was found right; and blocked after too many wrong ones, right or not.
        4150 | 4151 => ProbeResult::LockedOut,
        // Right, and something else is in the way: too many sessions of this account, its limit for the hour, expired.
        1203 | 1226 | 1862 => ProbeResult::Accepted,
        // Full, this address blocked or not let in, shutting down, a line that breaks.
        1040 | 1053 | 1129 | 1130 | 1135 | 1158..=1161 | 1927 => ProbeResult::Unreachable,
        _ => ProbeResult::Unknown,
    };
    Failure { result, detail }
}

/// Errors that say nothing of whether a change was made: shutting down, a broken line, interrupted, killed, out of
/// time, or a storage engine that failed at its work. Changes of accounts are no transactions in MariaDB.
fn leaves_doubt(code: u16) -> bool {
    matches!(code, 1021 | 1026 | 1028 | 1030 | 1053 | 1152 | 1158..=1161 | 1180 | 1317 | 1927 | 1969)
}

/// How password checking plugins say that they do not like a password.
fn is_policy(code: u16) -> bool {
    code == 1819
}

/// An error packet's code, and its words without the secret.
fn said(packet: &[u8], secret: &Secret) -> Result<Option<(u16, String)>, Failure> {
    if packet.first() != Some(&0xff) {
        return Ok(None);
    }
    match parse::<ErrPacket<'_>>(packet, CapabilityFlags::CLIENT_PROTOCOL_41)? {
        ErrPacket::Error(error) => {
            let code = error.error_code();
            Ok(Some((code, format!("{} ({code})", plain_words(&error.message_str(), secret)))))
        }
        ErrPacket::Progress(_) => Err(nonsense()),
    }
}

fn is_end(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

fn row(packet: &[u8], columns: u64) -> Option<Row> {
    const NULL: u8 = 0xfb;
    let (mut rest, mut cells) = (ParseBuf(packet), Vec::new());
    for _ in 0..columns {
        if rest.0.first() == Some(&NULL) {
            rest.checked_eat(1)?;
            cells.push(None);
        } else {
            cells.push(Some(String::from_utf8(rest.checked_eat_lenenc_str()?.to_vec()).ok()?));
        }
    }
    rest.is_empty().then_some(cells)
}

fn parse<'a, T: MyDeserialize<'a>>(packet: &'a [u8], context: T::Ctx) -> Result<T, Failure> {
    ParseBuf(packet).parse(context).map_err(|_| nonsense())
}

fn bytes_of(packet: &impl MySerialize) -> Zeroizing<Vec<u8>> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    Zeroizing::new(bytes)
}

fn packet_max() -> u32 {
    u32::try_from(RECEIVED_MAX).unwrap_or(u32::MAX)
}

/// Prepares a session for changes; until that is done, nothing was asked for.
pub(super) async fn open_for_changes<'a>(
    dial: &dyn Dial,
    target: &Target<'_>,
    login: &Login,
    secret: &'a Secret,
    statement: std::time::Duration,
) -> Result<Session<'a>, Failure> {
    let mut session = Session::open(dial, target, login, secret).await?;
    match session.run(&sql::prepare_session(statement)).await {
        Ok(()) => Ok(session),
        Err(outcome) => Err(Failure { result: ProbeResult::Accepted, detail: super::detail(outcome) }),
    }
}
