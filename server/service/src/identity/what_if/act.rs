//! Which decision an event tells of.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::wire::EndCause;
use claviger_api::{PrincipalId, Scope};
use claviger_core::policy::Action;

use crate::event::{StoredLeaf, snake_case};

/// What somebody did, or was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    /// Who.
    pub actor: PrincipalId,
    /// The verb.
    pub action: Action,
    /// At what.
    pub about: About,
    /// Whether it was refused.
    pub refused: bool,
}

/// What an act was about, as its event names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The customer whose log it is in, or the MSP's own house.
    House,
    /// The system that is named.
    System,
    /// The account that is named.
    Account,
    /// The account of the checkout that is named: there was no checkout before the decision.
    AccountOfCheckout,
    /// The checkout that is named.
    Checkout,
    /// The home of the principal that is named.
    HomeOfPrincipal,
}

impl Act {
    /// The decision that stands behind an event; none behind what the vault did by itself, nor behind what needs no grant,
    /// such as a login, a check-in or one's own factors.
    pub fn of(leaf: &StoredLeaf, log: Scope) -> Option<Self> {
        let actor = leaf.value(FieldName::Actor)?.parse().ok()?;
        let kind: EventKind = leaf.value(FieldName::Kind)?.parse().ok()?;
        if kind == EventKind::AccessDenied {
            return Some(Self {
                actor,
                action: Action::named(leaf.value(FieldName::Action)?)?,
                about: About::named_by(leaf),
                refused: true,
            });
        }
        let (action, about) = allowed(kind, leaf, log)?;
        let to_oneself = leaf.value(FieldName::Principal) == leaf.value(FieldName::Actor);
        // A user's own enrolment, link or re-enrolment is nobody's management.
        (action != Action::PrincipalManage || !to_oneself).then_some(Self { actor, action, about, refused: false })
    }
}

impl About {
    /// The narrowest thing that is named.
    fn named_by(leaf: &StoredLeaf) -> Self {
        let names = |name| leaf.value(name).is_some();
        if names(FieldName::Checkout) {
            Self::Checkout
        } else if names(FieldName::Account) {
            Self::Account
        } else if names(FieldName::System) {
            Self::System
        } else {
            Self::House
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a line a kind, to be read as one")]
fn allowed(kind: EventKind, leaf: &StoredLeaf, log: Scope) -> Option<(Action, About)> {
    use {About as B, Action as A, EventKind as K};
    match kind {
        K::CheckoutRequested | K::CheckoutApproved | K::CheckoutActivated | K::CheckoutScheduled => {
            Some((A::CheckoutCreate, B::AccountOfCheckout))
        }
        K::CheckoutRevealed | K::CheckoutCertificateSigned => Some((A::CheckoutReveal, B::Checkout)),
        K::CheckoutExtended => Some((A::CheckoutExtend, B::Checkout)),
        K::CheckoutApprovalGiven | K::CheckoutDenied => Some((A::CheckoutApprove, B::Checkout)),
        K::CheckoutEnded => ended(leaf.value(FieldName::Cause)?).map(|action| (action, B::Checkout)),
        K::RotationStarted => Some((A::AccountRotate, B::Account)),
        K::RotationCancelled => Some((A::RotationCancel, B::Account)),
        K::RotationShown | K::RotationRefusedByHand => Some((A::RotationPerform, B::Account)),
        K::AccountImported => Some((A::AccountCreate, B::House)),
        K::AccountAdded | K::SystemDiscovered | K::SystemDiscoveryFailed => Some((A::AccountCreate, B::System)),
        K::AccountChanged | K::AccountDependentsSet | K::DependentSkipped | K::DependentHurried => {
            Some((A::AccountUpdate, B::Account))
        }
        K::AccountRemoved => Some((A::AccountRemove, B::Account)),
        K::AccountSecretSet => Some((A::AccountSetSecret, B::Account)),
        K::AccountVerified => Some((A::AccountVerify, B::Account)),
        K::SystemAdded => Some((A::SystemCreate, B::House)),
        K::SystemChanged | K::SystemLoginKnown | K::SystemLoginUnknown => Some((A::SystemUpdate, B::System)),
        K::SystemRemoved => Some((A::SystemRemove, B::System)),
        // Told in the customer's own log, too, and decided once.
        K::CustomerAdded => (log == Scope::Operator).then_some((A::CustomerCreate, B::House)),
        K::CustomerChanged => Some((A::CustomerUpdate, B::House)),
        K::CustomerLocking => (log == Scope::Operator).then_some((A::CustomerLock, B::House)),
        K::CustomerUnlocked => (log == Scope::Operator).then_some((A::CustomerUnlock, B::House)),
        K::CustomerKeyRotating => (log == Scope::Operator).then_some((A::SysRekey, B::House)),
        K::CustomerOffboarding => Some((A::CustomerOffboard, B::House)),
        // Told in both logs, and decided once.
        K::KitAsked => (log != Scope::Operator).then_some((A::KitCreate, B::House)),
        K::KitDownloaded => (log != Scope::Operator).then_some((A::KitView, B::House)),
        K::CustomerLimited => Some((A::CustomerLimit, B::House)),
        K::ReviewStarted | K::ReviewLineConfirmed | K::ReviewLineCut | K::ReviewClosed => {
            Some((A::GrantRevoke, B::House))
        }
        K::LogExported => Some((A::AuditExport, B::House)),
        K::VaultSealed => Some((A::SysSeal, B::House)),
        K::BackupAsked => Some((A::SysBackup, B::House)),
        K::VaultRekeyBegun | K::VaultRekeyCancelled | K::VaultRootRotated => Some((A::SysRekey, B::House)),
        K::VaultCompareBegun | K::VaultResumed | K::AccountSecretRecovered => Some((A::SysRestore, B::House)),
        K::UserAdded
        | K::UserSuspended
        | K::UserResumed
        | K::UserRemoved
        | K::UserReEnrolled
        | K::UserReEnrolmentAsked
        | K::UserSignOnLinked
        | K::UserSignOnUnlinked
        | K::UserSignOnInvited => Some((A::PrincipalManage, B::HomeOfPrincipal)),
        K::ServiceAccountAdded
        | K::ServiceAccountTokenReplaced
        | K::ServiceAccountSuspended
        | K::ServiceAccountResumed
        | K::ServiceAccountRemoved
        | K::ServiceAccountChanged
        | K::IssuerAdded
        | K::IssuerChanged
        | K::IssuerRemoved
        | K::IdentityProviderAdded
        | K::IdentityProviderChanged
        | K::IdentityProviderRemoved => Some((A::PrincipalManage, B::House)),
        K::GrantMade
        // A decision of its own, by `may_grant`s, which are not put to the test here.
        | K::GrantRenewed
        // Everywhere, or by a review of one customer; by the user's own place, or by an administrator: the event does not
        // tell which.
        | K::GrantRevoked
        | K::UserReEnrolmentCancelled
        // Of emergency access: decided where its event says in words alone, or by what ended with it.
        | K::BreakGlassAsked
        | K::BreakGlassAgreed
        | K::BreakGlassOpened
        | K::BreakGlassUnresolvedRevealed
        | K::BreakGlassClosed
        | K::BreakGlassEnded
        | K::BreakGlassReviewOverdue
        | K::BreakGlassReviewed
        // Two verbs at once, over the whole customer.
        | K::EmergencyStarted
        | K::EmergencyThawed
        | K::KitOpened
        // The whole customer is gone, and its log with it.
        | K::CustomerRemoved
        // No grant is asked for.
        | K::VaultInitialised
        | K::VaultUnsealed
        | K::UserEnrolled
        | K::LoginSucceeded
        | K::LoginFailed
        | K::LoginLockedOut
        | K::SessionRefreshed
        | K::SessionEnded
        | K::SessionRefused
        | K::SessionSteppedUp
        | K::LoginPasswordAccepted
        | K::LoginSignedOn
        | K::FactorAdded
        | K::FactorRemoved
        | K::FactorOffered
        | K::FactorRecoveryCodesMade
        | K::FactorPasskeyAsked
        | K::FactorPasskeyAnswered
        | K::FactorPasskeyRefused
        | K::FactorCloneSuspected
        | K::UserPasswordChanged
        // By the vault itself, whoever set it off.
        | K::CheckoutRevocationProven
        | K::CheckoutOldStillAccepted
        | K::CheckoutRevocationTold
        | K::RotationAsked
        | K::RotationReminded
        // By whoever performs it, or by whoever may tell any secret of the account.
        | K::RotationConfirmed
        | K::CheckoutCertificateTried
        | K::CheckoutQueued
        | K::EphemeralCreated
        | K::EphemeralRemoved
        | K::RotationCandidateStored
        | K::RotationSent
        | K::RotationOutcome
        | K::RotationVerified
        | K::RotationPromoted
        | K::RotationOldRefused
        | K::RotationOldStillAccepted
        | K::RotationUnresolved
        | K::RotationTrying
        | K::RotationFinished
        | K::LogCheckpoint
        | K::LogRead
        | K::StoreFreshnessChecked
        | K::StoreFreshnessBroken
        | K::BackupTaken
        | K::KitMade
        | K::KitFailed
        | K::VaultRestored
        | K::VaultCompared
        | K::CustomerLockWaits
        | K::CustomerLocked
        | K::CustomerHandedOver
        | K::CustomerKeyDestroyed
        | K::CustomerRowsRemoved
        | K::CustomerOffboarded
        | K::CustomerKeySwitched
        | K::CustomerKeyRotated
        | K::BackupFailed
        | K::PrincipalCheckoutsEnded
        | K::VaultLookedAfter
        | K::StorePurged
        | K::EmergencyCheckoutsEnded
        | K::EmergencyProgressed
        | K::EmergencyFinished
        | K::AccountOverdue
        | K::AccountDrifted
        | K::SystemHeartbeatBegun
        | K::SystemHeartbeatDone
        | K::SystemLoginFound
        | K::DependentUpdated
        | K::DependentFailed
        | K::VaultRollbackAccepted
        | K::LogStreamBegun
        | K::LogContradicted
        | K::LogArchived
        | K::VaultRekeyed
        | K::PrincipalErased
        // Told by its own verb, above.
        | K::AccessDenied => None,
    }
}

/// By which verb somebody ended a checkout. Giving back needs no grant, and a no has an event of its own.
fn ended(cause: &str) -> Option<Action> {
    if cause == snake_case(&EndCause::Revoked) {
        Some(Action::CheckoutRevoke)
    } else if cause == snake_case(&EndCause::TakenOver) {
        Some(Action::CheckoutTakeOver)
    } else {
        None
    }
}
