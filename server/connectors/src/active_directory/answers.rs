//! What Active Directory means by its answers. It says why a bind failed in a code of Windows' own (`… AcceptSecurityContext
//! error, data 52e, …`), and why a change was refused in another (`0000052D: …`).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the protocol's own list, of which most answers are none to a bind"
)]

use claviger_api::wire::ProbeResult;
use ldap3_proto::proto::LdapResultCode as Code;

use crate::directory::{Answer, Reading};

/// What its answers mean.
pub(super) const READING: Reading = Reading { bind: told_by_bind, by_policy: is_about_the_secret, explain };

/// ERROR_PASSWORD_RESTRICTION: length, complexity, history, or the least age.
const PASSWORD_RESTRICTION: &str = "0000052D";

/// Why a bind failed (winerror.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    NoSuchUser,
    WrongPassword,
    NotAtThisHour,
    NotFromThisWorkstation,
    NotInThisWay,
    PasswordExpired,
    PasswordMustChange,
    Disabled,
    Expired,
    LockedOut,
    Other,
}

impl Failed {
    fn of(message: &str) -> Option<Self> {
        let (_, data) = message.split_once("AcceptSecurityContext error, data ")?;
        let code = data.split(',').next().and_then(|hex| u32::from_str_radix(hex.trim(), 16).ok())?;
        Some(match code {
            0x525 => Self::NoSuchUser,
            0x52e => Self::WrongPassword,
            0x530 => Self::NotAtThisHour,
            0x531 => Self::NotFromThisWorkstation,
            0x532 => Self::PasswordExpired,
            0x533 => Self::Disabled,
            0x569 => Self::NotInThisWay,
            0x701 => Self::Expired,
            0x773 => Self::PasswordMustChange,
            0x775 => Self::LockedOut,
            _ => Self::Other,
        })
    }

    /// It looks at the password first, and says the rest only of a right one. An account that lets nobody in now, whatever
    /// the password, is locked.
    fn result(self) -> ProbeResult {
        match self {
            Self::NoSuchUser | Self::WrongPassword => ProbeResult::Refused,
            Self::NotAtThisHour
            | Self::NotFromThisWorkstation
            | Self::NotInThisWay
            | Self::PasswordExpired
            | Self::PasswordMustChange => ProbeResult::Accepted,
            Self::Disabled | Self::Expired | Self::LockedOut => ProbeResult::LockedOut,
            Self::Other => ProbeResult::Unknown,
        }
    }

    fn words(self) -> Option<&'static str> {
        match self {
            Self::NoSuchUser => Some("there is no such account"),
            Self::WrongPassword => Some("wrong password"),
            Self::NotAtThisHour => Some("the password is right, but not at this hour"),
            Self::NotFromThisWorkstation => Some("the password is right, but not from this machine"),
            Self::NotInThisWay => Some("the password is right, but this account may not log in in this way"),
            Self::PasswordExpired => Some("the password is right, but has expired"),
            Self::PasswordMustChange => Some("the password is right, but must be changed"),
            Self::Disabled => Some("the account is disabled"),
            Self::Expired => Some("the account has expired"),
            Self::LockedOut => Some("the account is locked"),
            Self::Other => None,
        }
    }
}

fn told_by_bind(answer: &Answer) -> ProbeResult {
    match &answer.result.code {
        Code::InvalidCredentials => Failed::of(&answer.result.message).map_or(ProbeResult::Refused, Failed::result),
        Code::NoSuchObject | Code::InvalidDNSyntax | Code::InappropriateAuthentication => ProbeResult::Refused,
        Code::Busy | Code::Unavailable => ProbeResult::Unreachable,
        _ => ProbeResult::Unknown,
    }
}

/// A change of one's own is a constraint violation, a reset is one that the directory is unwilling to perform.
fn is_about_the_secret(answer: &Answer) -> bool {
    let refused = matches!(answer.result.code, Code::ConstraintViolation | Code::UnwillingToPerform);
    refused && answer.result.message.contains(PASSWORD_RESTRICTION)
}

fn explain(answer: &Answer) -> Option<&'static str> {
    if is_about_the_secret(answer) {
        return Some("too short, too simple, used before, or changed too lately");
    }
    (answer.result.code == Code::InvalidCredentials)
        .then(|| Failed::of(&answer.result.message).and_then(Failed::words))
        .flatten()
}

#[cfg(test)]
mod tests {
    use ldap3_proto::proto::LdapResult;

    use super::*;

    fn answer(code: Code, message: &str) -> Answer {
        let result = LdapResult { code, matcheddn: String::new(), message: message.to_owned(), referral: Vec::new() };
        Answer { result, policy: None }
    }

    #[test]
    fn each_code_of_a_failed_bind_is_told_apart() {
        use ProbeResult::{Accepted, LockedOut, Refused, Unknown};
        for (data, expected) in [
            ("525", Refused),
            ("52e", Refused),
            ("530", Accepted),
            ("531", Accepted),
            ("532", Accepted),
            ("533", LockedOut),
            ("569", Accepted),
            ("701", LockedOut),
            ("773", Accepted),
            ("775", LockedOut),
            ("7ff", Unknown),
        ] {
            let said =
                format!("80090308: LdapErr: DSID-0C090453, comment: AcceptSecurityContext error, data {data}, v3839\0");
            assert_eq!(told_by_bind(&answer(Code::InvalidCredentials, &said)), expected, "{data}");
        }
        assert_eq!(told_by_bind(&answer(Code::InvalidCredentials, "no")), Refused);
        assert_eq!(told_by_bind(&answer(Code::StrongerAuthRequired, "data 52e")), Unknown);
    }

    #[test]
    fn a_change_is_refused_for_the_secrets_sake_only_where_the_code_says_so() {
        let said = "0000052D: SvcErr: DSID-031A12D2, problem 5003 (WILL_NOT_PERFORM), data 0\n\0";
        assert!(is_about_the_secret(&answer(Code::UnwillingToPerform, said)));
        assert!(is_about_the_secret(&answer(Code::ConstraintViolation, "0000052D: AtrErr: …")));
        assert!(!is_about_the_secret(&answer(Code::UnwillingToPerform, "0000001F: SvcErr: …")), "not encrypted");
        assert!(!is_about_the_secret(&answer(Code::ConstraintViolation, "00000056: AtrErr: …")), "not the old one");
        assert!(!is_about_the_secret(&answer(Code::InsufficentAccessRights, said)));
    }
}
