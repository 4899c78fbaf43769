//! A domain as its specification describes it, and the entries that names stand for in it.

use std::time::Duration;

use claviger_api::wire::{SystemSpec, TlsMode};
use claviger_api::{Login, Secret, Timestamp};
use ldap3_proto::proto::{LdapFilter, LdapModify, LdapModifyType, LdapSearchResultEntry, LdapSearchScope};
use zeroize::Zeroizing;

use super::name::{Name, is_same};
use crate::directory::{Address, Dn, Session, anything, part, refused, search, values};
use crate::failure::Failure;
use crate::{Lockout, SetOutcome};

/// From 1601, where Windows begins to count, to 1970, in seconds.
const SECONDS_BEFORE_UNIX: i64 = 11_644_473_600;
/// Windows counts 100 nanoseconds.
const TICKS_A_SECOND: i64 = 10_000_000;

/// The parts of a domain's specification.
#[derive(Clone, Copy)]
pub(super) struct Domain<'a> {
    pub(super) address: Address<'a>,
    pub(super) servers: &'a [String],
    pub(super) name: &'a str,
    pub(super) unit: Option<&'a str>,
}

impl<'a> Domain<'a> {
    pub(super) fn of(system: &'a SystemSpec) -> Result<Self, Failure> {
        match system {
            SystemSpec::ActiveDirectory {
                host,
                port,
                tls,
                start_tls,
                ca_certificate,
                domain,
                servers,
                organizational_unit,
                lockout_threshold: _,
                grace_seconds: _,
                change_twice: _,
            } => Ok(Self {
                address: Address {
                    host,
                    port: *port,
                    // It takes passwords over TLS only.
                    tls: if *tls == TlsMode::Prefer { TlsMode::Require } else { *tls },
                    start_tls: *start_tls,
                    ca_certificate: ca_certificate.as_deref(),
                },
                servers,
                name: domain,
                unit: organizational_unit.as_deref(),
            }),
            SystemSpec::Postgresql { .. }
            | SystemSpec::Mysql { .. }
            | SystemSpec::Ldap { .. }
            | SystemSpec::Linux { .. }
            | SystemSpec::Http { .. }
            | SystemSpec::Manual { .. } => Err(Failure::another_kind()),
        }
    }
}

/// The entry of the domain itself, as its server names it to everybody (RFC 4512 §5.1).
pub(super) async fn root(session: &mut Session<'_>) -> Result<String, SetOutcome> {
    let named = text(session, "", "defaultNamingContext").await;
    named.ok_or_else(|| refused("the server names no domain of its own: it is no domain controller".to_owned()))
}

/// The one entry of this name, if there is one. A directory finds more alike than is meant; that is left alone.
pub(super) async fn find(
    session: &mut Session<'_>,
    root: &str,
    name: Name<'_>,
) -> Result<Option<LdapSearchResultEntry>, SetOutcome> {
    let attributes = ["sAMAccountName", "userPrincipalName", "description"];
    let looked = match (name, name.filter()) {
        (Name::Entry(dn), _) => search(dn, LdapSearchScope::Base, anything(), &attributes),
        (Name::Account(_) | Name::Principal(_), Some(filter)) => {
            search(root, LdapSearchScope::Subtree, filter, &attributes)
        }
        (Name::Account(_) | Name::Principal(_), None) => return Ok(None),
    };
    let mut found = session.search(looked).await?.unwrap_or_default();
    if let Some((attribute, meant)) = name.attribute() {
        found.retain(|entry| values(entry, attribute).any(|value| is_same(value, meant)));
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        _ => Err(refused("the domain has several accounts of this name".to_owned())),
    }
}

/// The entry of a group: by its name, of which the domain must have one, or after `dn:`.
pub(super) async fn group(session: &mut Session<'_>, root: &str, group: &Login) -> Result<Dn, SetOutcome> {
    let equals = |attribute: &str, value: &str| LdapFilter::Equality(attribute.to_owned(), value.to_owned());
    let looked = if let Some(dn) = group.as_str().strip_prefix("dn:") {
        search(dn, LdapSearchScope::Base, equals("objectClass", "group"), &["cn"])
    } else {
        let named = ["cn", "sAMAccountName"].map(|attribute| equals(attribute, group.as_str()));
        let filter = LdapFilter::And(vec![equals("objectClass", "group"), LdapFilter::Or(named.into())]);
        search(root, LdapSearchScope::Subtree, filter, &["cn", "sAMAccountName"])
    };
    let mut found = session.search(looked).await?.unwrap_or_default();
    if !group.as_str().starts_with("dn:") {
        let named = |entry: &LdapSearchResultEntry| {
            ["cn", "sAMAccountName"].iter().any(|it| values(entry, it).any(|value| is_same(value, group.as_str())))
        };
        found.retain(named);
    }
    match (found.pop(), found.is_empty()) {
        (Some(entry), true) => Ok(Dn(entry.dn)),
        (Some(_), false) => Err(refused(format!("the domain has several groups {group}"))),
        (None, _) => Err(refused(format!("the domain has no group {group}"))),
    }
}

/// Whether an account may not change its password yet, whatever the new one is: the domain's answer to that is the same as
/// to a bad one ([MS-SAMR] §3.1.1.7.2).
pub(super) async fn is_too_young(session: &mut Session<'_>, root: &str, entry: &Dn) -> bool {
    let wanted = number(session, root, "minPwdAge").await.map(i64::saturating_abs);
    let changed = number(session, &entry.0, "pwdLastSet").await;
    let now = clock(session).await;
    match (wanted, changed, now) {
        (Some(wanted), Some(changed), Some(now)) => wanted > 0 && now < changed.saturating_add(wanted),
        (_, _, _) => false,
    }
}

/// What the domain says of an account's failed logins: by the policy of its own, where it has one, else by the domain's.
pub(super) async fn lockout(session: &mut Session<'_>, root: &str, entry: &Dn) -> Option<Lockout> {
    let of_its_own = text(session, &entry.0, "msDS-ResultantPSO").await;
    let (policy, threshold, window) = match &of_its_own {
        Some(policy) => (policy.as_str(), "msDS-LockoutThreshold", "msDS-LockoutObservationWindow"),
        None => (root, "lockoutThreshold", "lockOutObservationWindow"),
    };
    let threshold = u32::try_from(number(session, policy, threshold).await?).ok()?;
    let window = number(session, policy, window).await?.saturating_abs();
    let failed = number(session, &entry.0, "badPwdCount").await.unwrap_or_default();
    let last = number(session, &entry.0, "badPasswordTime").await.unwrap_or_default();
    let counts = clock(session).await? <= last.saturating_add(window);
    Some(Lockout {
        threshold: Some(threshold).filter(|threshold| *threshold > 0),
        window: Duration::from_secs(u64::try_from(window / TICKS_A_SECOND).ok()?),
        failed: if counts { u32::try_from(failed).ok()? } else { 0 },
    })
}

/// An attribute that is one number.
async fn number(session: &mut Session<'_>, entry: &str, attribute: &str) -> Option<i64> {
    text(session, entry, attribute).await?.parse().ok()
}

/// The server's clock, as Windows counts.
async fn clock(session: &mut Session<'_>) -> Option<i64> {
    let said = text(session, "", "currentTime").await?;
    let part = |from: usize, to: usize| said.get(from..to);
    let (date, time) = ([part(0, 4)?, part(4, 6)?, part(6, 8)?], [part(8, 10)?, part(10, 12)?, part(12, 14)?]);
    format!("{}T{}Z", date.join("-"), time.join(":")).parse().ok().map(ticks)
}

async fn text(session: &mut Session<'_>, entry: &str, attribute: &str) -> Option<String> {
    let found = session.search(search(entry, LdapSearchScope::Base, anything(), &[attribute])).await.ok()??;
    let value = values(found.first()?, attribute).next()?.to_vec();
    String::from_utf8(value).ok()
}

/// A part of a change that gives `unicodePwd` a value: the password between quotes, in UTF-16 ([MS-ADTS] §3.1.1.3.1.5).
pub(super) fn password(operation: LdapModifyType, secret: &Secret) -> LdapModify {
    let quoted = Zeroizing::new(format!("\"{}\"", secret.expose()));
    let bytes = Zeroizing::new(quoted.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    part(operation, "unicodePwd", Some(&bytes))
}

/// A time that Windows has counted; none where it is beyond all calendars.
pub(super) fn time(ticks: i64) -> Option<Timestamp> {
    Timestamp::from_second(ticks / TICKS_A_SECOND - SECONDS_BEFORE_UNIX).ok()
}

/// A time as Windows counts it.
pub(super) fn ticks(at: Timestamp) -> i64 {
    at.as_second().saturating_add(SECONDS_BEFORE_UNIX).saturating_mul(TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_from_1601() {
        assert_eq!(ticks("1601-01-01T00:00:00Z".parse().unwrap()), 0);
        assert_eq!(ticks("2026-11-28T12:00:00Z".parse().unwrap()), 134_403_408_000_000_000);
        assert_eq!(time(134_403_408_000_000_000), Some("2026-11-28T12:00:00Z".parse().unwrap()));
        assert_eq!(time(i64::MAX), None, "never");
    }

    #[test]
    fn a_password_is_quoted_whatever_is_in_it() {
        let secret = Secret::new("a\"ä💣".to_owned()).unwrap();
        let part = password(LdapModifyType::Replace, &secret);
        let hex = "2200 6100 2200 e400 3dd8a3dc 2200".replace(' ', "");
        assert_eq!(hex::encode(part.modification.vals.concat()), hex);
    }
}
