//! Which verbs are sensitive: a session that was left open or stolen must not be enough for them.

use claviger_api::wire::PrincipalKind;

use super::{Action, Circumstances, Condition, Conditions};

/// What a verb wants besides a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Nothing more.
    Usual,
    /// A person proves a second factor again, if not within the last five minutes. A program, which has none, needs a
    /// grant that names the verb in its `actions`.
    Sensitive,
}

impl Action {
    /// How much the verb weighs, and why.
    ///
    /// What only looks is [`Usual`](Weight::Usual), and so is what stops something: no incident waits for a code.
    pub const fn weight(self) -> Weight {
        match self {
            // Looking, and giving back.
            Self::SysStatus
            | Self::AccessView
            | Self::CustomerView
            | Self::SystemView
            | Self::AccountView
            | Self::CheckoutView
            | Self::CheckoutCheckin
            | Self::RotationView
            | Self::PrincipalView
            | Self::GrantView
            | Self::AuditRead
            // Stopping, and taking rights away.
            | Self::CheckoutRevoke
            | Self::RotationCancel
            | Self::GrantRevoke
            // A new customer, system or account touches nothing that is there; a changed account opens no other one.
            | Self::CustomerCreate
            | Self::CustomerUpdate
            | Self::SystemCreate
            | Self::SystemRemove
            | Self::AccountCreate
            | Self::AccountUpdate
            // The daily work, also of programs at night. Nothing of it shows a secret but the reveal.
            | Self::AccountSetSecret
            | Self::AccountVerify
            | Self::AccountRotate
            | Self::CheckoutCreate
            | Self::CheckoutReveal
            | Self::CheckoutExtend
            | Self::CheckoutTakeOver => Weight::Usual,
            // Everybody waits until the holders of the shares have come together again.
            Self::SysSeal
            // Gone is gone: with an account its secrets are erased.
            | Self::CustomerRemove
            | Self::AccountRemove
            // Says to which address secrets are sent.
            | Self::SystemUpdate
            // The second pair of eyes is a person's, and the person is there.
            | Self::CheckoutApprove
            // Who may come in, and by what: users and their re-enrolment, programs and their tokens, issuers.
            | Self::PrincipalManage
            // Who may do what.
            | Self::GrantMake
            // The whole history leaves the house at once.
            | Self::AuditExport => Weight::Sensitive,
        }
    }
}

impl Conditions {
    /// What a sensitive verb wants of the subject and of its grant, if it is not there.
    pub(super) fn too_light(
        &self,
        kind: PrincipalKind,
        action: Action,
        around: &Circumstances<'_>,
    ) -> Option<Condition> {
        match (action.weight(), kind) {
            (Weight::Sensitive, PrincipalKind::User) if !around.fresh_factor() => Some(Condition::SensitiveVerb),
            (Weight::Sensitive, PrincipalKind::ServiceAccount) if !self.actions.contains(&action) => {
                Some(Condition::NamedVerb)
            }
            (Weight::Sensitive | Weight::Usual, PrincipalKind::User | PrincipalKind::ServiceAccount) => None,
        }
    }
}
