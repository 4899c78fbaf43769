//! Which verbs are sensitive: a session that was left open or stolen must not be enough for them.

use claviger_api::wire::{AccountSettings, PrincipalKind, Reach, Tier};

use super::{Action, Circumstances, Condition, Conditions};

/// What the account is that a verb is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mark {
    /// Like most.
    Usual,
    /// Set as sensitive.
    Sensitive,
    /// Controls identities, or everything; sensitive, too.
    TierZero,
}

impl From<&AccountSettings> for Mark {
    fn from(settings: &AccountSettings) -> Self {
        match settings.tier {
            Some(Tier::Zero) => Self::TierZero,
            Some(Tier::One | Tier::Two) | None if settings.sensitive => Self::Sensitive,
            Some(Tier::One | Tier::Two) | None => Self::Usual,
        }
    }
}

/// What a verb wants besides a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Weight {
    /// Nothing more.
    Usual,
    /// On a sensitive account it is like a sensitive verb, but that a program needs a grant that reaches the account.
    OfSensitive,
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
            | Self::SysScrub
            | Self::SysBackup
            | Self::KitCreate
            | Self::KitView
            | Self::AccessView
            | Self::CustomerView
            | Self::SystemView
            | Self::AccountView
            | Self::CheckoutView
            | Self::CheckoutCheckin
            | Self::RotationView
            | Self::PrincipalView
            | Self::GrantView
            | Self::BreakGlassView
            | Self::AuditRead
            // Stopping, and taking rights away.
            | Self::CheckoutRevoke
            | Self::BreakGlassClose
            | Self::RotationCancel
            | Self::GrantRevoke
            // A new customer, system or account touches nothing that is there.
            | Self::CustomerCreate
            | Self::CustomerUpdate
            | Self::SystemCreate
            | Self::SystemRemove
            | Self::AccountCreate
            // The daily work, also of programs at night; nothing of it shows a secret.
            | Self::AccountSetSecret
            | Self::AccountVerify
            | Self::AccountRotate
            | Self::CheckoutCreate
            | Self::CheckoutExtend
            | Self::CheckoutTakeOver
            | Self::CustomerLock => Weight::Usual,
            // Show the secret; takes the mark off.
            Self::CheckoutReveal | Self::RotationPerform | Self::AccountUpdate => Weight::OfSensitive,
            // Everybody waits until the holders of the shares have come together again.
            Self::SysSeal
            // Says what opens the vault from now on.
            | Self::SysRekey
            // Acts on every system by what may be old.
            | Self::SysRestore
            // Gone is gone: with an account its secrets are erased.
            | Self::CustomerRemove
            // What was shut away is within reach again.
            | Self::CustomerUnlock
            // Gone for good, with every copy.
            | Self::CustomerOffboard
            | Self::AccountRemove
            // Says to which address secrets are sent.
            | Self::SystemUpdate
            // The second pair of eyes is a person's, and the person is there.
            | Self::CheckoutApprove
            // Who may come in, and by what: users and their re-enrolment, programs and their tokens, issuers.
            | Self::PrincipalManage
            // Who may do what.
            | Self::GrantMake
            // What the customer wants of everybody.
            | Self::CustomerLimit
            // Two people open it, and both are there; so is whoever looks at it afterwards.
            | Self::BreakGlassOpen
            | Self::BreakGlassAgree
            | Self::BreakGlassReview
            // Shows several secrets at once.
            | Self::AccountRevealUnresolved
            // The whole history leaves the house at once.
            | Self::AuditExport => Weight::Sensitive,
        }
    }
}

impl Action {
    /// Whether it is on the way to a secret: what is not reached is not checked out either.
    const fn leads_to_secret(self) -> bool {
        matches!(
            self,
            Self::CheckoutCreate
                | Self::CheckoutTakeOver
                | Self::CheckoutReveal
                | Self::CheckoutExtend
                | Self::RotationPerform
                | Self::AccountRevealUnresolved
                | Self::BreakGlassOpen
        )
    }

    /// Whether the decision depends on what the account is.
    pub const fn asks_for_mark(self) -> bool {
        self.leads_to_secret() || matches!(self.weight(), Weight::OfSensitive)
    }
}

impl Conditions {
    /// What a sensitive verb, or one on a sensitive account, wants of the subject and of its grant, if it is not there.
    pub(super) fn too_light(
        &self,
        kind: PrincipalKind,
        action: Action,
        around: &Circumstances<'_>,
    ) -> Option<Condition> {
        let sensitive = match action.weight() {
            Weight::Usual => false,
            Weight::OfSensitive => around.mark >= Mark::Sensitive,
            Weight::Sensitive => true,
        };
        match kind {
            PrincipalKind::User if sensitive && !around.fresh_factor() => Some(Condition::SensitiveVerb),
            PrincipalKind::ServiceAccount
                if action.weight() == Weight::Sensitive && !self.actions.contains(&action) =>
            {
                Some(Condition::NamedVerb)
            }
            PrincipalKind::User | PrincipalKind::ServiceAccount => None,
        }
    }

    /// Whether a grant under these conditions, which is for a wider place than the account, reaches it.
    pub(super) fn reach_it(&self, kind: PrincipalKind, action: Action, around: &Circumstances<'_>) -> bool {
        let opens = action.leads_to_secret();
        let needed = match (around.mark, kind) {
            (Mark::TierZero, PrincipalKind::User) if opens => Some(Reach::TierZero),
            (Mark::TierZero, PrincipalKind::ServiceAccount) if opens || action.weight() == Weight::OfSensitive => {
                Some(Reach::TierZero)
            }
            (Mark::Sensitive, PrincipalKind::ServiceAccount) if opens || action.weight() == Weight::OfSensitive => {
                Some(Reach::Sensitive)
            }
            (Mark::Usual | Mark::Sensitive | Mark::TierZero, PrincipalKind::User | PrincipalKind::ServiceAccount) => {
                None
            }
        };
        self.reaches >= needed
    }
}
