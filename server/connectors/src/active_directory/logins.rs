//! The accounts of a domain, and what power each has: by the groups that rule it, whatever they are called in the domain's
//! language, however many groups are between, and by what marks it as one that did. Every account may read this.

use std::collections::BTreeMap;

use ldap3_proto::proto::{LdapFilter, LdapMatchingRuleAssertion, LdapSearchResultEntry, LdapSearchScope};

use super::domain::{self, root};
use crate::SetOutcome;
use crate::directory::{MARK, Session, anything, refused, search, values};
use crate::logins::{FoundLogin, LOGINS_MAX, Logins};

/// The groups of each domain that rule it, by the end of their identifiers ([MS-DTYP] §2.4.2.4): Domain Admins, Schema
/// Admins, Enterprise Admins, Group Policy Creator Owners.
const OF_THE_DOMAIN: [u32; 4] = [512, 518, 519, 520];
/// Those of the controllers: Administrators, Account, Server, Print and Backup Operators.
const OF_THE_CONTROLLERS: [u32; 5] = [544, 548, 549, 550, 551];
/// Membership through groups within groups (LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] §3.1.1.3.4.4.3).
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";
/// What is read of each account.
const READ: [&str; 6] =
    ["sAMAccountName", "userPrincipalName", "userAccountControl", "accountExpires", "lastLogonTimestamp", "adminCount"];
/// Entries a page.
const PAGE: i64 = 500;

/// `userAccountControl` ([MS-ADTS] §2.2.16).
const DISABLED: u32 = 0x2;
const PASSWORD_NOT_REQUIRED: u32 = 0x20;
const TRUSTED_FOR_DELEGATION: u32 = 0x8_0000;

/// An account as it is put together.
type Found = BTreeMap<String, FoundLogin>;

/// All accounts of people and services; machines are none.
pub(super) async fn all(session: &mut Session<'_>) -> Result<Logins, SetOutcome> {
    let root = root(session).await?;
    let mut found = Found::new();
    for (group, number) in ruling_groups(session, &root).await? {
        let mut who = vec![LdapFilter::Extensible(LdapMatchingRuleAssertion {
            matching_rule: Some(IN_CHAIN.to_owned()),
            type_: Some("memberOf".to_owned()),
            match_value: group.dn.clone(),
            dn_attributes: false,
        })];
        who.extend(number.map(|number| equals("primaryGroupID", &number.to_string())));
        let reason = format!("member of {}", text(&group, "cn").unwrap_or_default());
        gather(session, &root, LdapFilter::Or(who), &mut found, Some(&reason)).await?;
    }
    gather(session, &root, equals("adminCount", "1"), &mut found, Some("adminCount=1")).await?;
    let cut = gather(session, &root, anything(), &mut found, None).await?;
    mark(session, &root, &mut found).await?;
    Ok(Logins::of(found.into_values().collect(), cut, Vec::new()))
}

/// The groups that rule the domain, as far as it has them: that of a forest's root domain alone are missing elsewhere. With
/// the number by which an account may have one for its primary group, which is not told as membership.
async fn ruling_groups(
    session: &mut Session<'_>,
    root: &str,
) -> Result<Vec<(LdapSearchResultEntry, Option<u32>)>, SetOutcome> {
    let found = session.search(search(root, LdapSearchScope::Base, anything(), &["objectSid"])).await?;
    let domain = found.unwrap_or_default().first().and_then(|entry| identifier(values(entry, "objectSid").next()?));
    let domain = domain.ok_or_else(|| refused("the domain does not tell its identifier (objectSid)".to_owned()))?;
    let of_domain = OF_THE_DOMAIN.map(|number| (format!("{domain}-{number}"), Some(number)));
    let of_controllers = OF_THE_CONTROLLERS.map(|number| (format!("S-1-5-32-{number}"), None));
    let mut groups = Vec::new();
    for (sid, number) in of_domain.into_iter().chain(of_controllers) {
        let looked = search(root, LdapSearchScope::Subtree, equals("objectSid", &sid), &["cn"]);
        let group = session.search(looked).await?.unwrap_or_default().pop();
        groups.extend(group.map(|group| (group, number)));
    }
    Ok(groups)
}

/// Adds the accounts that a filter finds, with the reason for which they were looked for; says whether there are more than
/// there is room for.
async fn gather(
    session: &mut Session<'_>,
    root: &str,
    which: LdapFilter,
    found: &mut Found,
    reason: Option<&str>,
) -> Result<bool, SetOutcome> {
    let filter = LdapFilter::And(vec![of_people(), which]);
    let mut cookie = Vec::new();
    loop {
        let looked = search(root, LdapSearchScope::Subtree, filter.clone(), &READ);
        let (entries, next) = session.page(looked, PAGE, cookie).await?;
        for entry in entries {
            let login = found.entry(entry.dn.clone()).or_insert_with(|| account(&entry));
            login.privileges.extend(reason.map(str::to_owned));
        }
        if next.is_empty() || found.len() > LOGINS_MAX {
            return Ok(!next.is_empty());
        }
        cookie = next;
    }
}

/// What the vault made bears its mark.
async fn mark(session: &mut Session<'_>, root: &str, found: &mut Found) -> Result<(), SetOutcome> {
    let filter = LdapFilter::And(vec![of_people(), equals("description", MARK)]);
    let (entries, _) = session.page(search(root, LdapSearchScope::Subtree, filter, &["cn"]), PAGE, Vec::new()).await?;
    for entry in entries {
        if let Some(login) = found.get_mut(&entry.dn) {
            login.marked = true;
        }
    }
    Ok(())
}

fn account(entry: &LdapSearchResultEntry) -> FoundLogin {
    let number = |attribute| text(entry, attribute).and_then(|text| text.parse::<i64>().ok());
    let flags = number("userAccountControl").and_then(|flags| u32::try_from(flags).ok()).unwrap_or(DISABLED);
    let has = |flag: u32| flags & flag != 0;
    // 0 and the greatest number are no end.
    let ends = number("accountExpires").filter(|ticks| *ticks > 0).and_then(domain::time);
    let mut notes = Vec::new();
    notes.extend(ends.map(|at| format!("expires {}", at.strftime("%Y-%m-%d"))));
    notes.extend(has(PASSWORD_NOT_REQUIRED).then(|| "needs no password".to_owned()));
    FoundLogin {
        name: text(entry, "sAMAccountName").unwrap_or_default(),
        also: text(entry, "userPrincipalName").into_iter().chain([format!("dn:{}", entry.dn)]).collect(),
        may_log_in: !has(DISABLED),
        privileges: has(TRUSTED_FOR_DELEGATION).then(|| "trusted for delegation".to_owned()).into_iter().collect(),
        notes,
        last_login_at: number("lastLogonTimestamp").filter(|ticks| *ticks > 0).and_then(domain::time),
        marked: false,
    }
}

fn of_people() -> LdapFilter {
    LdapFilter::And(vec![equals("objectCategory", "person"), equals("objectClass", "user")])
}

fn equals(attribute: &str, value: &str) -> LdapFilter {
    LdapFilter::Equality(attribute.to_owned(), value.to_owned())
}

fn text(entry: &LdapSearchResultEntry, attribute: &str) -> Option<String> {
    values(entry, attribute).next().map(|value| String::from_utf8_lossy(value).into_owned())
}

/// A security identifier as text ([MS-DTYP] §2.4.2.1): a revision, an authority of six bytes, and numbers, least byte first.
fn identifier(bytes: &[u8]) -> Option<String> {
    let (head, numbers) = bytes.split_at_checked(8)?;
    let authority = head.get(2..)?.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let mut text = format!("S-{}-{authority}", head.first()?);
    for number in numbers.chunks_exact(4) {
        let number = u32::from_le_bytes(number.try_into().ok()?);
        text = format!("{text}-{number}");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_written_as_windows_writes_it() {
        let bytes = hex::decode("010500000000000515000000dcf4dc3b833d2b46828ba62800020000").unwrap();
        assert_eq!(identifier(&bytes).unwrap(), "S-1-5-21-1004336348-1177238915-682003330-512");
        assert_eq!(identifier(&[1, 2]), None);
    }
}
