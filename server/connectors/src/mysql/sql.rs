//! The statements, and what stands in them: names quoted exactly, secrets as hashes made on this side, times in UTC.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use claviger_api::{Login, Secret, Timestamp};
use mysql_common::auth::plugins::{ChallengeResponsePlugin as _, Context};
use mysql_common::packets::AuthPlugin;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::account::Account;
use crate::SetOutcome;

/// What every login that the vault makes carries, so that nothing else is extended or removed: MariaDB has no comment
/// for an account, but several ways to log in, and this is one more that nobody can go. As the hash of
/// `mysql_native_password` it is opened by a 20-byte text with this SHA-1, and nobody has one: it is the SHA-1 of
/// `claviger: ephemeral login`, which has 25. It comes and goes with the account in one statement.
pub(super) const MARK: &str = "*B694AAB8B9C657F18521A6CAF7249E66D6AF8D38";

/// So much of a hash names an event: names have at most 64 characters.
const EVENT_NAME_CHARS: usize = 32;

/// Whom the session is logged in as: the account, not the login that was asked for.
pub(super) const WHO: &str = "SELECT CURRENT_USER()";
/// Asks for the right to see other people's sessions: without it MariaDB shows none and says nothing.
pub(super) const MAY_SEE_SESSIONS: &str = "SELECT COUNT(*) FROM information_schema.INNODB_CMP";
/// Whether events happen.
pub(super) const EVENTS_HAPPEN: &str = "SELECT @@GLOBAL.event_scheduler = 'ON'";

/// A text in a statement. The session's mode takes a backslash for itself ([`prepare_session`]), and what comes from
/// a [`Login`] has no control characters.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What every session that changes something begins with: quoting has one meaning, times are in UTC, and a statement
/// that the vault no longer waits for is given up by the server, sooner still where it waits for a lock.
pub(super) fn prepare_session(statement: std::time::Duration) -> String {
    let seconds = statement.as_secs_f64();
    let lock_seconds = (statement.as_secs() / 2).max(1);
    format!(
        "SET NAMES utf8mb4, SESSION sql_mode = 'NO_BACKSLASH_ESCAPES', time_zone = '+00:00', \
         max_statement_time = {seconds}, lock_wait_timeout = {lock_seconds}"
    )
}

/// How an account logs in, as `SHOW CREATE USER` tells.
pub(super) fn describe(account: &Account, itself: bool) -> String {
    let whose = if itself { "CURRENT_USER()".to_owned() } else { account.quoted() };
    format!("SHOW CREATE USER {whose}")
}

/// The hash that a plugin stores. The secret itself cannot be had from it but by guessing.
pub(super) fn hash(plugin: &AuthPlugin<'_>, secret: &Secret) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(plugin.init().ok()?.password_hash(Asking { secret })?);
    match plugin {
        AuthPlugin::MysqlNativePassword => Some(Zeroizing::new(format!("*{}", hex::encode_upper(&*bytes)))),
        AuthPlugin::Ed25519 => Some(Zeroizing::new(STANDARD_NO_PAD.encode(&*bytes))),
        AuthPlugin::MysqlOldPassword
        | AuthPlugin::MysqlClearPassword
        | AuthPlugin::Sha256Password
        | AuthPlugin::CachingSha2Password
        | AuthPlugin::Parsec
        | AuthPlugin::Other(_) => None,
    }
}

/// What a plugin asks of its client.
pub(super) struct Asking<'a> {
    pub(super) secret: &'a Secret,
}

impl Context for Asking<'_> {
    fn pass(&self) -> &[u8] {
        self.secret.expose().as_bytes()
    }

    fn is_ipc_transport(&self) -> bool {
        false
    }

    // Both only matter to plugins that send the password itself, and those are not spoken.
    fn is_tls_transport(&self) -> bool {
        false
    }

    fn scramble(&self) -> &[u8] {
        &[]
    }

    fn server_key_pem(&self) -> Option<&[u8]> {
        None
    }
}

/// The account's own change: what every account may do, also one whose password has expired.
pub(super) fn set_own_password(hash: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("SET PASSWORD = {}", quoted(hash)))
}

/// Leaves locks, limits and what TLS it asks for as they are.
pub(super) fn set_methods(account: &Account, methods: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("ALTER USER {} IDENTIFIED {methods}", account.quoted()))
}

/// Locked, until its roles and its end are there: `create` is `CREATE USER` or, for one that the vault made, `ALTER USER`.
pub(super) fn make_locked(verb: &str, account: &Account, hash: &str) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "{verb} {} IDENTIFIED VIA mysql_native_password USING {} OR mysql_native_password USING '{MARK}' \
         ACCOUNT LOCK PASSWORD EXPIRE NEVER",
        account.quoted(),
        quoted(hash)
    ))
}

pub(super) fn lock(account: &Account) -> String {
    format!("ALTER USER {} ACCOUNT LOCK", account.quoted())
}

pub(super) fn unlock(account: &Account) -> String {
    format!("ALTER USER {} ACCOUNT UNLOCK", account.quoted())
}

pub(super) fn grant(role: &str, account: &Account) -> String {
    format!("GRANT {role} TO {}", account.quoted())
}

pub(super) fn set_default_role(role: &str, account: &Account) -> String {
    format!("SET DEFAULT ROLE {role} FOR {}", account.quoted())
}

pub(super) fn drop_user(account: &Account) -> String {
    format!("DROP USER {}", account.quoted())
}

/// Whether a time is still to come, by the server's clock. One within the next second is not: an event made for it
/// could come too late to happen.
pub(super) fn is_to_come(at: Timestamp) -> String {
    format!("SELECT TIMESTAMP {} > UTC_TIMESTAMP(6) + INTERVAL 1 SECOND", quoted(&utc(at)))
}

/// Bars the account at its end. It removes itself then.
pub(super) fn create_event(database: &str, account: &Account, at: Timestamp) -> String {
    format!(
        "CREATE OR REPLACE EVENT {} ON SCHEDULE AT {} ON COMPLETION NOT PRESERVE \
         COMMENT 'claviger: ends an ephemeral login' DO {}",
        event(database, account),
        quoted(&utc(at)),
        lock(account)
    )
}

pub(super) fn drop_event(database: &str, account: &Account) -> String {
    format!("DROP EVENT IF EXISTS {}", event(database, account))
}

fn event(database: &str, account: &Account) -> String {
    let name = hex::encode(Sha256::digest(account.to_string()));
    let name = name.get(..EVENT_NAME_CHARS).unwrap_or_default();
    format!("`{}`.`claviger_end_{name}`", database.replace('`', "``"))
}

/// Sessions of an account, the asking one not among them. MariaDB tells a session's user and address, not its account:
/// where the host part is a pattern, those are found whose address it admits.
pub(super) fn sessions(account: &Account) -> String {
    let of_user = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE BINARY USER = {} AND ID <> CONNECTION_ID()",
        quoted(&account.user)
    );
    if account.host == "%" || account.host.contains('/') {
        return of_user;
    }
    format!("{of_user} AND REGEXP_REPLACE(HOST, ':[0-9]+$', '') LIKE {}", quoted(&account.host))
}

pub(super) fn end_session(id: &str) -> Option<String> {
    id.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("KILL CONNECTION {id}"))
}

/// Whole microseconds, downwards: an end may not move past itself.
fn utc(at: Timestamp) -> String {
    let micros = at.as_microsecond() - i64::from(at.as_nanosecond() < i128::from(at.as_microsecond()) * 1000);
    let floor = Timestamp::from_microsecond(micros.max(0)).unwrap_or(Timestamp::UNIX_EPOCH);
    floor.to_string().replace('T', " ").replace('Z', "")
}

/// One way to log in.
#[derive(Debug, PartialEq, Eq)]
struct Method {
    plugin: String,
    text: Option<String>,
}

/// The ways in which an account logs in, any of which will do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Methods(Vec<Method>);

impl Methods {
    /// Reads the statement that `SHOW CREATE USER` shows
    /// (<https://mariadb.com/kb/en/create-user/#authentication-options>).
    pub(super) fn parse(statement: &str) -> Option<Self> {
        let mut words = tokens(statement)?.into_iter().skip_while(|word| !word.is("IDENTIFIED")).peekable();
        let Some(_identified) = words.next() else {
            return Some(Self(vec![Method { plugin: NATIVE.to_owned(), text: None }]));
        };
        if words.next_if(|word| word.is("BY")).is_some() {
            words.next_if(|word| word.is("PASSWORD"))?;
            return Some(Self(vec![Method { plugin: NATIVE.to_owned(), text: Some(words.next()?.text()?) }]));
        }
        words.next_if(|word| word.is("VIA"))?;
        let mut methods = Vec::new();
        loop {
            let plugin = words.next()?.name()?;
            let has_text = words.next_if(|word| word.is("USING") || word.is("AS")).is_some();
            let text = if has_text { Some(words.next()?.text()?) } else { None };
            methods.push(Method { plugin, text });
            if words.next_if(|word| word.is("OR")).is_none() {
                return Some(Self(methods));
            }
        }
    }

    /// Whether the vault made the account.
    pub(super) fn marked(&self) -> bool {
        self.0.iter().any(|method| method.text.as_deref() == Some(MARK))
    }

    /// The only way in, where there is one and it is a password.
    pub(super) fn only_password(&self) -> Option<AuthPlugin<'_>> {
        match self.0.as_slice() {
            [method] => method.password(),
            _ => None,
        }
    }

    /// All ways in, with this secret for each that takes a password: the old one is then good for none.
    pub(super) fn with_secret(&self, secret: &Secret) -> Result<Zeroizing<String>, SetOutcome> {
        if !self.0.iter().any(|method| method.password().is_some()) {
            let ways: Vec<_> = self.0.iter().map(|method| method.plugin.as_str()).collect();
            let ways = ways.join(" or ");
            let detail = format!("the account logs in by {ways}, and so has no password that the vault could set");
            return Err(SetOutcome::Refused { detail, by_policy: false });
        }
        let mut ways = Zeroizing::new(String::new());
        for method in &self.0 {
            let hash = method.password().and_then(|plugin| hash(&plugin, secret));
            let text = hash.as_deref().map(String::as_str).or(method.text.as_deref());
            let joint = if ways.is_empty() { "VIA " } else { " OR " };
            ways.push_str(joint);
            ways.push_str(&method.plugin);
            if let Some(text) = text {
                ways.push_str(" USING ");
                ways.push_str(&Zeroizing::new(quoted(text)));
            }
        }
        Ok(ways)
    }
}

const NATIVE: &str = "mysql_native_password";
const ED25519: &str = "ed25519";

impl Method {
    /// The plugin, where it takes a password whose hash the vault can make.
    fn password(&self) -> Option<AuthPlugin<'static>> {
        match self.plugin.as_str() {
            _ if self.text.as_deref() == Some(MARK) => None,
            NATIVE => Some(AuthPlugin::MysqlNativePassword),
            ED25519 => Some(AuthPlugin::Ed25519),
            _ => None,
        }
    }
}

/// A word, or what stood between quotes.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Name(String),
    Text(String),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(it) if it == word)
    }

    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Word(_) | Self::Name(_) => None,
        }
    }

    /// A plugin's name; nothing else is written into a statement without quotes.
    fn name(self) -> Option<String> {
        let (Self::Word(name) | Self::Name(name)) = self else { return None };
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain.then_some(name)
    }
}

fn tokens(statement: &str) -> Option<Vec<Token>> {
    let (mut found, mut rest) = (Vec::new(), statement);
    loop {
        rest = rest.trim_start_matches([' ', '@']);
        let Some(first) = rest.chars().next() else { return Some(found) };
        if first == '`' || first == '\'' {
            let (text, after) = unquoted(rest, first)?;
            found.push(if first == '`' { Token::Name(text) } else { Token::Text(text) });
            rest = after;
        } else {
            let end = rest.find([' ', '@', '`', '\'']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            found.push(Token::Word(word.to_owned()));
            rest = after;
        }
    }
}

/// What stands between quotes, which are doubled inside; and what follows.
fn unquoted(text: &str, quote: char) -> Option<(String, &str)> {
    let (mut inside, mut rest) = (String::new(), text.strip_prefix(quote)?);
    loop {
        let end = rest.find(quote)?;
        let (part, after) = rest.split_at(end);
        inside.push_str(part);
        rest = after.strip_prefix(quote)?;
        match rest.strip_prefix(quote) {
            Some(after) => {
                inside.push(quote);
                rest = after;
            }
            None => return Some((inside, rest)),
        }
    }
}

/// The hash of a new ephemeral login: the plugin that every client speaks.
pub(super) fn ephemeral_hash(secret: &Secret) -> Result<Zeroizing<String>, SetOutcome> {
    hash(&AuthPlugin::MysqlNativePassword, secret)
        .ok_or_else(|| SetOutcome::Refused { detail: "the secret has no hash".to_owned(), by_policy: false })
}

/// All of an account's roles, each checked and quoted.
pub(super) fn roles(member_of: &[Login]) -> Result<Vec<String>, SetOutcome> {
    member_of.iter().map(super::account::role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned()).unwrap()
    }

    fn methods(statement: &str) -> Vec<(String, Option<String>)> {
        Methods::parse(statement).unwrap().0.into_iter().map(|method| (method.plugin, method.text)).collect()
    }

    #[test]
    fn hashes_are_those_that_mariadb_makes() {
        let of = |plugin| hash(&plugin, &secret("pw")).unwrap().to_string();
        assert_eq!(of(AuthPlugin::MysqlNativePassword), "*D821809F681A40A6E379B50D0463EFAE20BDD122");
        assert_eq!(of(AuthPlugin::Ed25519), "vRq+ROSzhW4MwhdoPvlkL1fHkT0w6ZDDbTpVQwSNQ90");
        assert!(hash(&AuthPlugin::MysqlClearPassword, &secret("pw")).is_none());
    }

    #[test]
    fn each_way_to_log_in_is_read() {
        let way = |plugin: &str, text: &str| (plugin.to_owned(), (!text.is_empty()).then(|| text.to_owned()));
        for (statement, ways) in [
            ("CREATE USER `a`@`%`", vec![way(NATIVE, "")]),
            ("CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL", vec![way(NATIVE, "*AB")]),
            ("CREATE USER `a`@`%` IDENTIFIED VIA unix_socket ACCOUNT LOCK", vec![way("unix_socket", "")]),
            (
                "CREATE USER `IDENTIFIED VIA x`@`%` IDENTIFIED VIA ed25519 USING 'k' OR pam USING 'it''s' OR unix_socket",
                vec![way(ED25519, "k"), way("pam", "it's"), way("unix_socket", "")],
            ),
        ] {
            assert_eq!(methods(statement), ways, "{statement}");
        }
        for broken in
            ["CREATE USER `a", "CREATE USER `a`@`%` IDENTIFIED VIA", "CREATE USER `a`@`%` IDENTIFIED VIA a-b USING 'x'"]
        {
            assert_eq!(Methods::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_secret_is_set_for_each_password_and_the_rest_stays() {
        let set = |statement| Methods::parse(statement).unwrap().with_secret(&secret("pw")).map(|it| it.to_string());
        let (native, ed) = ("*D821809F681A40A6E379B50D0463EFAE20BDD122", "vRq+ROSzhW4MwhdoPvlkL1fHkT0w6ZDDbTpVQwSNQ90");
        assert_eq!(
            set(
                "CREATE USER `r`@`localhost` IDENTIFIED VIA ed25519 USING 'x' OR mysql_native_password USING 'invalid' \
                 OR unix_socket USING 'o''s'"
            )
            .unwrap(),
            format!("VIA ed25519 USING '{ed}' OR mysql_native_password USING '{native}' OR unix_socket USING 'o''s'")
        );
        let marked = format!("CREATE USER `e`@`%` IDENTIFIED VIA {NATIVE} USING '*A' OR {NATIVE} USING '{MARK}'");
        assert_eq!(set(&marked).unwrap(), format!("VIA {NATIVE} USING '{native}' OR {NATIVE} USING '{MARK}'"));
        assert!(set("CREATE USER `s`@`%` IDENTIFIED VIA pam USING 'mariadb'").is_err());
    }

    #[test]
    fn anvil_sql_names_cannot_leave_their_quotes() {
        assert_eq!(quoted("o'neill\\'; DROP"), "'o''neill\\''; DROP'");
        assert_eq!(end_session("12").unwrap(), "KILL CONNECTION 12");
        assert_eq!(end_session("1 OR 1"), None);
        let it = Account { user: "x".to_owned(), host: "%".to_owned() };
        assert!(event("a`b", &it).starts_with("`a``b`.`claviger_end_"));
    }

    #[test]
    fn an_end_is_written_in_utc_and_never_later_than_it_is() {
        let at = |text: &str| utc(text.parse().unwrap());
        assert_eq!(at("2026-11-23T10:00:00.000000999Z"), "2026-11-23 10:00:00");
        assert_eq!(at("2026-11-23T12:00:00.1234567+02:00"), "2026-11-23 10:00:00.123456");
        assert_eq!(at("1969-12-31T23:59:59Z"), "1970-01-01 00:00:00");
    }
}
