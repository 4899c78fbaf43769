//! What directories have in common that speak LDAP, whoever made them: a session, and the requests that change entries.

use ldap3_proto::proto::{
    LdapDerefAliases, LdapFilter, LdapModify, LdapModifyRequest, LdapModifyType, LdapOp, LdapPartialAttribute,
    LdapSearchRequest, LdapSearchResultEntry, LdapSearchScope,
};

use crate::SetOutcome;

mod session;

pub(crate) use session::{Address, Answer, PolicyError, Reading, Session};

/// What every entry that the vault makes says of itself: only such entries are extended and removed.
pub(crate) const MARK: &str = "claviger: ephemeral login";
/// The most entries that a search may find.
const FOUND_MAX: i32 = 1000;

/// A distinguished name: of another type than what a filter compares with, which is a value of the protocol and never
/// text (`LdapFilter`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dn(pub(crate) String);

/// Who made an entry, as its description tells.
pub(crate) enum Maker {
    /// There is no such entry.
    Nobody,
    /// This connector.
    Vault,
    /// Somebody else: it is not ours to extend or remove.
    Another,
}

impl Maker {
    /// Whether the vault made an entry that is there.
    pub(crate) fn of(entry: &LdapSearchResultEntry) -> Self {
        let marked = values(entry, "description").any(|value| value == MARK.as_bytes());
        if marked { Self::Vault } else { Self::Another }
    }
}

/// The values of an entry's attribute; names of attributes know no case.
pub(crate) fn values<'a>(entry: &'a LdapSearchResultEntry, attribute: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = entry.attributes.iter().filter(move |it| it.atype.eq_ignore_ascii_case(attribute));
    named.flat_map(|attribute| &attribute.vals).map(Vec::as_slice)
}

/// Gives an attribute this value alone, or none.
pub(crate) fn replace(entry: &Dn, attribute: &str, value: Option<&str>) -> LdapOp {
    modify(entry, vec![part(LdapModifyType::Replace, attribute, value.map(str::as_bytes))])
}

/// Changes one entry, all of it or nothing.
pub(crate) fn modify(entry: &Dn, changes: Vec<LdapModify>) -> LdapOp {
    LdapOp::ModifyRequest(LdapModifyRequest { dn: entry.0.clone(), changes })
}

/// One part of such a change.
pub(crate) fn part(operation: LdapModifyType, attribute: &str, value: Option<&[u8]>) -> LdapModify {
    let vals = value.map(<[u8]>::to_vec).into_iter().collect();
    LdapModify { operation, modification: LdapPartialAttribute { atype: attribute.to_owned(), vals } }
}

/// Looks for entries.
pub(crate) fn search(base: &str, scope: LdapSearchScope, filter: LdapFilter, attributes: &[&str]) -> LdapSearchRequest {
    LdapSearchRequest {
        base: base.to_owned(),
        scope,
        aliases: LdapDerefAliases::Never,
        sizelimit: FOUND_MAX,
        timelimit: 0,
        typesonly: false,
        filter,
        attrs: attributes.iter().map(|attribute| (*attribute).to_owned()).collect(),
    }
}

/// Everything is an object of some class.
pub(crate) fn anything() -> LdapFilter {
    LdapFilter::Present("objectClass".to_owned())
}

/// A definite no that is not about the secret.
pub(crate) fn refused(detail: String) -> SetOutcome {
    SetOutcome::Refused { detail, by_policy: false }
}

/// The entry is somebody else's.
pub(crate) fn not_ours(entry: &str) -> SetOutcome {
    refused(format!("the vault did not make the entry {entry} (it lacks the description '{MARK}') and leaves it alone"))
}

/// What could not be undone is there in part.
pub(crate) fn in_doubt(outcome: SetOutcome) -> SetOutcome {
    match outcome {
        SetOutcome::Applied => SetOutcome::Unknown("an entry without a password may remain".to_owned()),
        SetOutcome::NotSent { detail, .. } | SetOutcome::Refused { detail, .. } | SetOutcome::Unknown(detail) => {
            SetOutcome::Unknown(format!("an entry without a password remains: {detail}"))
        }
    }
}
