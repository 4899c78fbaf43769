//! What a kind of event means to somebody who knows nothing of vaults: the one table from which every format takes its
//! classes. It is exhaustive: a new kind does not compile before it has a line here.

use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;

use super::told::Told;

/// What sort of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Act {
    /// Somebody came in, or tried to.
    LogOn,
    /// A session ended.
    LogOff,
    /// Another step of proving who one is.
    Prove,
    /// An account: made.
    AccountCreate,
    /// Let in again, or for the first time.
    AccountEnable,
    /// It has another secret.
    AccountPasswordChange,
    /// It is enrolled anew.
    AccountPasswordReset,
    /// Suspended.
    AccountDisable,
    /// Gone.
    AccountDelete,
    /// It has one more second factor.
    FactorEnable,
    /// It has one less.
    FactorDisable,
    /// Something else about an account.
    AccountOther,
    /// Somebody was given a right.
    Assign,
    /// Somebody lost one.
    Revoke,
    /// Something else about a right: asked for, waited for, decided.
    AccessOther,
    /// A thing was made.
    Create,
    /// A thing was read, a secret included.
    Read,
    /// A thing was changed.
    Update,
    /// A thing was removed.
    Delete,
    /// Somebody was refused something.
    Denied,
    /// Something else.
    Other,
}

/// How much somebody should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Weight {
    /// The day's work.
    Routine,
    /// What reviews are about: secrets seen, rights given.
    Notable,
    /// Something failed, was refused, or is late.
    Warning,
    /// Somebody should look now.
    Alarm,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Well.
    Success,
    /// Not.
    Failure,
}

/// What an event means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What sort of thing happened.
    pub act: Act,
    /// How much somebody should care.
    pub weight: Weight,
    /// How it ended.
    pub outcome: Outcome,
}

/// How the kind, and the field `outcome` where the kind goes by it, say that it ended.
#[derive(Clone, Copy)]
enum Ends {
    Well,
    Badly,
    /// By what a system answered.
    AsAnswered,
}

/// What a system may answer that is no yes.
const NO: &[&str] = &["failed", "refused", "locked_out", "unreachable", "host_mismatch", "unknown", "sent_unknown"];

/// What an entry means.
pub fn of(told: &Told) -> Meaning {
    let (act, weight, ends) = of_kind(told.kind);
    let answered_no = told.value(FieldName::Outcome).is_some_and(|outcome| NO.contains(&outcome));
    match ends {
        Ends::Badly => Meaning { act, weight, outcome: Outcome::Failure },
        Ends::AsAnswered if answered_no => {
            Meaning { act, weight: weight.max(Weight::Warning), outcome: Outcome::Failure }
        }
        Ends::Well | Ends::AsAnswered => Meaning { act, weight, outcome: Outcome::Success },
    }
}

#[rustfmt::skip]
#[expect(clippy::match_same_arms, clippy::too_many_lines, reason = "a line a kind, to be read as one")]
const fn of_kind(kind: EventKind) -> (Act, Weight, Ends) {
    use Act as A;
    use Ends::{AsAnswered, Badly, Well};
    use EventKind as K;
    use Weight::{Alarm, Notable, Routine, Warning};
    match kind {
        K::VaultInitialised             => (A::Create, Notable, Well),
        K::VaultUnsealed                => (A::Update, Notable, Well),
        K::VaultSealed                  => (A::Update, Notable, Well),
        K::VaultLookedAfter             => (A::Other, Routine, Well),
        K::VaultRollbackAccepted        => (A::Update, Alarm, Well),

        K::UserAdded                    => (A::AccountCreate, Notable, Well),
        K::UserEnrolled                 => (A::AccountEnable, Routine, Well),
        K::UserSuspended                => (A::AccountDisable, Notable, Well),
        K::UserResumed                  => (A::AccountEnable, Notable, Well),
        K::UserReEnrolmentAsked         => (A::AccountOther, Notable, Well),
        K::UserReEnrolmentCancelled     => (A::AccountOther, Notable, Well),
        K::UserReEnrolled               => (A::AccountPasswordReset, Notable, Well),
        K::UserRemoved                  => (A::AccountDelete, Notable, Well),
        K::PrincipalErased              => (A::AccountOther, Notable, Well),
        K::UserPasswordChanged          => (A::AccountPasswordChange, Notable, Well),
        K::UserSignOnLinked             => (A::AccountOther, Notable, Well),
        K::UserSignOnUnlinked           => (A::AccountOther, Notable, Well),
        K::UserSignOnInvited            => (A::AccountOther, Notable, Well),
        K::ServiceAccountAdded          => (A::AccountCreate, Notable, Well),
        K::ServiceAccountChanged        => (A::AccountOther, Notable, Well),
        K::ServiceAccountTokenReplaced  => (A::AccountPasswordReset, Notable, Well),
        K::ServiceAccountSuspended      => (A::AccountDisable, Notable, Well),
        K::ServiceAccountResumed        => (A::AccountEnable, Notable, Well),
        K::ServiceAccountRemoved        => (A::AccountDelete, Notable, Well),

        K::LoginSucceeded               => (A::LogOn, Routine, Well),
        K::LoginSignedOn                => (A::LogOn, Routine, Well),
        K::LoginPasswordAccepted        => (A::Prove, Routine, Well),
        K::LoginFailed                  => (A::LogOn, Warning, Badly),
        K::LoginLockedOut               => (A::LogOn, Warning, Badly),
        K::SessionRefreshed             => (A::Prove, Routine, Well),
        K::SessionSteppedUp             => (A::Prove, Routine, Well),
        K::SessionRefused               => (A::Prove, Warning, Badly),
        K::SessionEnded                 => (A::LogOff, Routine, Well),
        K::FactorOffered                => (A::AccountOther, Routine, Well),
        K::FactorAdded                  => (A::FactorEnable, Notable, Well),
        K::FactorRemoved                => (A::FactorDisable, Notable, Well),
        K::FactorRecoveryCodesMade      => (A::AccountOther, Notable, Well),
        K::FactorPasskeyAsked           => (A::AccountOther, Routine, Well),
        K::FactorPasskeyAnswered        => (A::Prove, Routine, Well),
        K::FactorPasskeyRefused         => (A::Prove, Warning, Badly),
        K::FactorCloneSuspected         => (A::Prove, Alarm, Badly),

        K::GrantMade                    => (A::Assign, Notable, Well),
        K::GrantRenewed                 => (A::Assign, Notable, Well),
        K::GrantRevoked                 => (A::Revoke, Notable, Well),
        K::ReviewStarted                => (A::Create, Routine, Well),
        K::ReviewLineConfirmed          => (A::AccessOther, Routine, Well),
        K::ReviewLineCut                => (A::Revoke, Notable, Well),
        K::ReviewClosed                 => (A::Update, Routine, Well),
        K::AccessDenied                 => (A::Denied, Warning, Badly),

        K::IssuerAdded                  => (A::Create, Notable, Well),
        K::IssuerChanged                => (A::Update, Notable, Well),
        K::IssuerRemoved                => (A::Delete, Notable, Well),
        K::IdentityProviderAdded        => (A::Create, Notable, Well),
        K::IdentityProviderChanged      => (A::Update, Notable, Well),
        K::IdentityProviderRemoved      => (A::Delete, Notable, Well),

        K::CustomerAdded                => (A::Create, Notable, Well),
        K::CustomerChanged              => (A::Update, Routine, Well),
        K::CustomerLimited              => (A::Update, Notable, Well),
        K::CustomerLocking | K::CustomerLocked | K::CustomerUnlocked => (A::Update, Alarm, Well),
        K::CustomerOffboarding | K::CustomerKeyDestroyed | K::CustomerOffboarded => (A::Delete, Alarm, Well),
        K::CustomerHandedOver           => (A::Create, Alarm, Well),
        K::CustomerKeyRotating | K::CustomerKeySwitched | K::CustomerKeyRotated => (A::Update, Notable, Well),
        K::CustomerRowsRemoved          => (A::Delete, Routine, Well),
        K::CustomerLockWaits            => (A::Other, Notable, Well),
        K::CustomerRemoved              => (A::Delete, Notable, Well),
        K::SystemAdded                  => (A::Create, Routine, Well),
        K::SystemChanged                => (A::Update, Routine, Well),
        K::SystemRemoved                => (A::Delete, Notable, Well),
        K::SystemHeartbeatBegun         => (A::Other, Routine, Well),
        K::SystemHeartbeatDone          => (A::Other, Routine, Well),
        K::SystemDiscovered             => (A::Read, Routine, Well),
        K::SystemDiscoveryFailed        => (A::Read, Warning, Badly),
        K::SystemLoginFound             => (A::Other, Warning, Well),
        K::SystemLoginKnown             => (A::Update, Notable, Well),
        K::SystemLoginUnknown           => (A::Update, Notable, Well),
        K::AccountAdded                 => (A::Create, Routine, Well),
        K::AccountImported              => (A::Create, Routine, Well),
        K::AccountChanged               => (A::Update, Routine, Well),
        K::AccountRemoved               => (A::Delete, Notable, Well),
        K::AccountSecretSet             => (A::Update, Notable, Well),
        K::AccountSecretRecovered       => (A::Update, Notable, Well),
        K::AccountVerified              => (A::Other, Routine, AsAnswered),
        K::AccountOverdue               => (A::Other, Warning, Badly),
        K::AccountDrifted               => (A::Other, Warning, Badly),
        K::AccountDependentsSet         => (A::Update, Routine, Well),
        K::DependentUpdated             => (A::Update, Routine, Well),
        K::DependentFailed              => (A::Update, Warning, Badly),
        K::DependentSkipped             => (A::Update, Notable, Well),
        K::DependentHurried             => (A::Update, Routine, Well),

        K::CheckoutRequested            => (A::AccessOther, Routine, Well),
        K::CheckoutScheduled            => (A::AccessOther, Routine, Well),
        K::CheckoutQueued               => (A::AccessOther, Routine, Well),
        K::CheckoutApprovalGiven        => (A::AccessOther, Routine, Well),
        K::CheckoutApproved             => (A::AccessOther, Routine, Well),
        K::CheckoutDenied               => (A::AccessOther, Notable, Badly),
        K::CheckoutActivated            => (A::Assign, Routine, Well),
        K::CheckoutRevealed             => (A::Read, Notable, Well),
        K::CheckoutCertificateSigned    => (A::Read, Notable, Well),
        K::CheckoutExtended             => (A::Assign, Routine, Well),
        K::CheckoutEnded                => (A::Revoke, Routine, Well),
        K::CheckoutRevocationProven     => (A::AccessOther, Routine, Well),
        K::CheckoutRevocationTold       => (A::AccessOther, Routine, Well),
        K::CheckoutOldStillAccepted     => (A::AccessOther, Alarm, Badly),
        K::CheckoutCertificateTried     => (A::AccessOther, Routine, Well),
        K::PrincipalCheckoutsEnded      => (A::Revoke, Notable, Well),
        K::EphemeralCreated             => (A::AccountCreate, Routine, Well),
        K::EphemeralRemoved             => (A::AccountDelete, Routine, AsAnswered),

        K::RotationStarted              => (A::AccountOther, Routine, Well),
        K::RotationCandidateStored      => (A::AccountOther, Routine, Well),
        K::RotationSent                 => (A::AccountOther, Routine, Well),
        K::RotationTrying               => (A::AccountOther, Routine, Well),
        K::RotationOutcome              => (A::AccountOther, Routine, AsAnswered),
        K::RotationVerified             => (A::AccountOther, Routine, AsAnswered),
        K::RotationPromoted             => (A::AccountPasswordChange, Routine, Well),
        K::RotationOldRefused           => (A::AccountOther, Routine, Well),
        K::RotationOldStillAccepted     => (A::AccountOther, Warning, Badly),
        K::RotationUnresolved           => (A::AccountOther, Warning, Badly),
        K::RotationFinished             => (A::AccountOther, Routine, Well),
        K::RotationCancelled            => (A::AccountOther, Notable, Well),
        K::RotationAsked                => (A::AccountOther, Routine, Well),
        K::RotationReminded             => (A::AccountOther, Warning, Well),
        K::RotationShown                => (A::Read, Notable, Well),
        K::RotationConfirmed            => (A::AccountPasswordChange, Notable, Well),
        K::RotationRefusedByHand        => (A::AccountOther, Warning, Badly),

        K::BreakGlassAsked              => (A::AccessOther, Warning, Well),
        K::BreakGlassAgreed             => (A::AccessOther, Warning, Well),
        K::BreakGlassOpened             => (A::Assign, Alarm, Well),
        K::BreakGlassUnresolvedRevealed => (A::Read, Alarm, Well),
        K::BreakGlassClosed             => (A::Revoke, Notable, Well),
        K::BreakGlassEnded              => (A::Revoke, Notable, Well),
        K::BreakGlassReviewOverdue      => (A::AccessOther, Warning, Badly),
        K::BreakGlassReviewed           => (A::AccessOther, Notable, Well),
        K::EmergencyStarted             => (A::Other, Alarm, Well),
        K::EmergencyCheckoutsEnded      => (A::Revoke, Notable, Well),
        K::EmergencyProgressed          => (A::Other, Routine, Well),
        K::EmergencyThawed              => (A::Other, Notable, Well),
        K::EmergencyFinished            => (A::Other, Notable, Well),

        K::LogCheckpoint                => (A::Other, Routine, Well),
        K::LogRead                      => (A::Read, Routine, Well),
        K::LogExported                  => (A::Read, Notable, Well),
        K::LogStreamBegun               => (A::Create, Notable, Well),
        K::LogContradicted              => (A::Other, Alarm, Badly),
        K::LogArchived                  => (A::Other, Notable, Well),
        K::VaultRekeyBegun | K::VaultRekeyed | K::VaultRekeyCancelled | K::VaultRootRotated => (A::Update, Alarm, Well),
        K::VaultRestored | K::VaultResumed => (A::Other, Alarm, Well),
        K::VaultCompareBegun | K::VaultCompared => (A::Other, Notable, Well),
        K::StorePurged                  => (A::Delete, Routine, Well),
        K::StoreFreshnessChecked        => (A::Other, Routine, Well),
        K::StoreFreshnessBroken         => (A::Other, Alarm, Badly),
        K::BackupAsked                  => (A::Other, Routine, Well),
        K::BackupTaken                  => (A::Create, Notable, Well),
        K::BackupFailed                 => (A::Create, Alarm, Badly),
        K::KitAsked                     => (A::Other, Routine, Well),
        K::KitMade                      => (A::Create, Notable, Well),
        K::KitFailed                    => (A::Create, Alarm, Badly),
        K::KitDownloaded                => (A::Read, Notable, Well),
        K::KitOpened                    => (A::Other, Alarm, Well),
    }
}
