//! The statements, and what stands in them: names quoted exactly, secrets as verifiers, times as the server reads them.

use claviger_api::{Login, Secret, Timestamp};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use zeroize::Zeroizing;

use crate::{NewLogin, SetOutcome};

/// The longest name of a role. PostgreSQL cuts a longer one off without a word, and so would touch another role
/// (`NAMEDATALEN` - 1, <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>).
pub(super) const NAME_MAX: usize = 63;

/// The comment on every role that the vault made: only such roles are extended and removed.
pub(super) const MARK: &str = "claviger: ephemeral login";

/// Whether a role of this name exists, and its comment.
pub(super) const COMMENT_OF_ROLE: &str = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";

/// Tells every other session of a role to end; one row each.
pub(super) const END_SESSIONS: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()";

/// Whether the asking role may act for another, as giving away its objects needs.
pub(super) const MAY_ACT_FOR: &str = "SELECT pg_has_role($1::name, 'USAGE')";

/// The other databases in which a role owns something or holds a privilege.
pub(super) const OTHER_DATABASES: &str = "SELECT DISTINCT d.datname::text FROM pg_shdepend s \
     JOIN pg_database d ON d.oid = s.dbid JOIN pg_roles r ON r.oid = s.refobjid \
     WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = $1 AND d.datname <> current_database()";

/// A role's name, quoted for a statement.
pub(super) struct Role(String);

impl Role {
    /// The quoted name, unless no role can have it. `Login` has no control characters, so no NUL either.
    pub(super) fn new(login: &Login) -> Result<Self, SetOutcome> {
        if login.as_str().len() > NAME_MAX {
            let detail = format!("PostgreSQL has no role names over {NAME_MAX} bytes");
            return Err(SetOutcome::Refused { detail, by_policy: false });
        }
        Ok(Self(escape_identifier(login.as_str())))
    }
}

/// A quoted SCRAM-SHA-256 verifier (RFC 5803 as PostgreSQL writes it): what the server stores and may log. The secret
/// itself cannot be had from it but by guessing.
pub(super) struct Verifier(Zeroizing<String>);

impl Verifier {
    /// A fresh one, with a random salt. A secret of which nothing is left in SCRAM's eyes (RFC 4013 maps some
    /// invisible characters to nothing) is refused: it would be the empty password.
    pub(super) fn new(secret: &Secret) -> Result<Self, SetOutcome> {
        let prepared = stringprep::saslprep(secret.expose());
        if prepared.is_ok_and(|text| text.trim().is_empty()) {
            let detail = "to PostgreSQL this secret is a blank one".to_owned();
            return Err(SetOutcome::Refused { detail, by_policy: true });
        }
        Ok(Self(Zeroizing::new(escape_literal(&scram_sha_256(secret.expose().as_bytes())))))
    }
}

/// What every session that changes something begins with. A statement that the vault no longer waits for must not
/// take effect later, so the server gives it up first, and on a lock sooner still, which is then a definite no; "yes"
/// must mean "on disk"; and names mean the system's own objects whatever the role's search path says (CVE-2018-1058).
pub(super) fn prepare_session(statement_ms: u128) -> String {
    let lock_ms = statement_ms / 2;
    format!(
        "SET search_path = pg_catalog; SET statement_timeout = {statement_ms}; SET lock_timeout = {lock_ms}; \
         SET idle_in_transaction_session_timeout = {statement_ms}; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
}

pub(super) fn set_password(role: &Role, verifier: &Verifier) -> Zeroizing<String> {
    Zeroizing::new(format!("ALTER ROLE {} PASSWORD {}", role.0, verifier.0.as_str()))
}

/// One simple query is one transaction: the role is never there without its end, its groups and its mark.
pub(super) fn create_role(new: &NewLogin<'_>) -> Result<Zeroizing<String>, SetOutcome> {
    let (role, groups) = (Role::new(new.login)?, groups(new.member_of)?);
    let in_role = if groups.is_empty() { String::new() } else { format!(" IN ROLE {groups}") };
    let state = login_state(new)?;
    let comment = escape_literal(MARK);
    Ok(Zeroizing::new(format!(
        "CREATE ROLE {0} {1}{in_role}; COMMENT ON ROLE {0} IS {comment}",
        role.0,
        state.as_str()
    )))
}

/// Brings a role that the vault made earlier to the state that [`create_role`] makes.
pub(super) fn renew_role(new: &NewLogin<'_>) -> Result<Zeroizing<String>, SetOutcome> {
    let (role, groups) = (Role::new(new.login)?, groups(new.member_of)?);
    let grant = if groups.is_empty() { String::new() } else { format!("; GRANT {groups} TO {}", role.0) };
    let state = login_state(new)?;
    Ok(Zeroizing::new(format!("ALTER ROLE {} {}{grant}", role.0, state.as_str())))
}

pub(super) fn set_end(role: &Role, valid_until: Timestamp) -> String {
    format!("ALTER ROLE {} VALID UNTIL {}", role.0, end(valid_until))
}

pub(super) fn bar(role: &Role) -> String {
    format!("ALTER ROLE {} NOLOGIN PASSWORD NULL", role.0)
}

pub(super) fn join(role: &Role, by: &Role) -> String {
    format!("GRANT {} TO {}", role.0, by.0)
}

/// First everything gets its new owner, so that what `DROP OWNED` then finds are privileges alone.
pub(super) fn give_away(role: &Role, to: &Role) -> String {
    format!("REASSIGN OWNED BY {0} TO {1}; DROP OWNED BY {0}", role.0, to.0)
}

pub(super) fn drop_role(role: &Role) -> String {
    format!("DROP ROLE IF EXISTS {}", role.0)
}

fn login_state(new: &NewLogin<'_>) -> Result<Zeroizing<String>, SetOutcome> {
    let verifier = Verifier::new(new.secret)?;
    let text = format!("LOGIN PASSWORD {} VALID UNTIL {}", verifier.0.as_str(), end(new.valid_until));
    Ok(Zeroizing::new(text))
}

fn groups(member_of: &[Login]) -> Result<String, SetOutcome> {
    let names: Result<Vec<_>, _> = member_of.iter().map(|login| Role::new(login).map(|role| role.0)).collect();
    Ok(names?.join(", "))
}

/// Whole microseconds, downwards: PostgreSQL would round, and an end may not move past itself.
fn end(at: Timestamp) -> String {
    let micros = at.as_microsecond() - i64::from(at.as_nanosecond() < i128::from(at.as_microsecond()) * 1000);
    let floor = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MIN);
    escape_literal(&floor.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(text: &str) -> Login {
        text.parse().unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned()).unwrap()
    }

    #[test]
    fn anvil_sql_names_are_quoted_and_never_cut() {
        let quoted = |text: &str| Role::new(&login(text)).map(|role| role.0);
        assert_eq!(quoted("\"; DROP ROLE x; --").unwrap(), "\"\"\"; DROP ROLE x; --\"");
        assert_eq!(quoted("a\"b").unwrap(), "\"a\"\"b\"");
        assert_eq!(quoted("$$").unwrap(), "\"$$\"");
        assert_eq!(quoted("back\\slash'").unwrap(), "\"back\\slash'\"");
        assert!(quoted(&"x".repeat(63)).is_ok());
        assert!(quoted(&"x".repeat(64)).is_err());
        assert!(quoted(&"ä".repeat(32)).is_err(), "64 bytes in 32 characters");
    }

    #[test]
    fn a_verifier_holds_a_fresh_salt_enough_iterations_and_no_secret() {
        let (one, two) = (Verifier::new(&secret("hunter2'$$")).unwrap(), Verifier::new(&secret("hunter2'$$")).unwrap());
        assert_ne!(one.0, two.0, "the salt is random");
        for verifier in [one, two] {
            let text = verifier.0.trim_matches('\'');
            let iterations = text.strip_prefix("SCRAM-SHA-256$").unwrap().split(':').next().unwrap();
            assert!(iterations.parse::<u32>().unwrap() >= 4096, "RFC 7677 §4");
            assert!(!text.contains("hunter2") && !text.contains(['\'', '\\', '"']));
        }
    }

    #[test]
    fn anvil_null_bind_a_secret_that_scram_sees_as_blank_is_refused() {
        for invisible in ["\u{ad}", "\u{200b}", "\u{ad}\u{feff}", "\u{a0}\u{ad}"] {
            let refused = Secret::new(invisible.to_owned()).map(|secret| Verifier::new(&secret).err());
            assert!(matches!(refused, Err(_) | Ok(Some(SetOutcome::Refused { by_policy: true, .. }))), "{invisible:?}");
        }
        assert!(Verifier::new(&secret("\u{ad}a")).is_ok());
    }

    #[test]
    fn an_end_is_written_in_utc_and_never_later_than_it_is() {
        let at = |text: &str| end(text.parse().unwrap());
        assert_eq!(at("2026-11-23T10:00:00.000000999Z"), "'2026-11-23T10:00:00Z'");
        assert_eq!(at("2026-11-23T10:00:00.1234567Z"), "'2026-11-23T10:00:00.123456Z'");
        assert_eq!(at("1969-12-31T23:59:59.9999999Z"), "'1969-12-31T23:59:59.999999Z'");
    }
}
