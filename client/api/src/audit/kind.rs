//! What can happen. Closed and append only: a word, once shipped, is never used for anything else.

use super::word::words;

words! {
    /// The kind of an audit event: the thing it happened to, a dot, and what happened.
    EventKind, UnknownEventKind: "`{0}` is not a kind of audit event that this version knows";

    VaultInitialised = "vault.initialised",
    VaultUnsealed = "vault.unsealed",
    VaultSealed = "vault.sealed",

    UserAdded = "user.added",
    UserEnrolled = "user.enrolled",
    UserSuspended = "user.suspended",
    UserResumed = "user.resumed",
    UserReEnrolled = "user.re_enrolled",
    UserRemoved = "user.removed",

    ServiceAccountAdded = "service_account.added",
    ServiceAccountTokenReplaced = "service_account.token_replaced",
    ServiceAccountSuspended = "service_account.suspended",
    ServiceAccountResumed = "service_account.resumed",
    ServiceAccountRemoved = "service_account.removed",

    LoginSucceeded = "login.succeeded",
    LoginFailed = "login.failed",
    LoginLockedOut = "login.locked_out",
    SessionRefreshed = "session.refreshed",
    SessionEnded = "session.ended",

    GrantMade = "grant.made",
    GrantRevoked = "grant.revoked",

    CustomerAdded = "customer.added",
    CustomerChanged = "customer.changed",
    CustomerRemoved = "customer.removed",
    SystemAdded = "system.added",
    SystemChanged = "system.changed",
    SystemRemoved = "system.removed",
    AccountAdded = "account.added",
    AccountChanged = "account.changed",
    AccountRemoved = "account.removed",
    AccountSecretSet = "account.secret_set",
    AccountSecretRecovered = "account.secret_recovered",
    AccountImported = "account.imported",
    AccountVerified = "account.verified",

    CheckoutRequested = "checkout.requested",
    CheckoutApproved = "checkout.approved",
    CheckoutActivated = "checkout.activated",
    CheckoutRevealed = "checkout.revealed",
    CheckoutExtended = "checkout.extended",
    CheckoutEnded = "checkout.ended",
    /// The old secret was tried after the end and refused: the revocation is proven.
    CheckoutRevocationProven = "checkout.revocation_proven",
    /// The old secret was tried after the end and still opened the account.
    CheckoutOldStillAccepted = "checkout.old_still_accepted",
    /// A person said after the end that the secret was replaced by hand; no login has proven it.
    CheckoutRevocationTold = "checkout.revocation_told",

    /// A login was made on the system for one checkout.
    EphemeralCreated = "ephemeral.created",
    /// A login made for one checkout was removed from the system.
    EphemeralRemoved = "ephemeral.removed",

    RotationStarted = "rotation.started",
    /// A new secret is durable in the vault; no system has heard of it.
    RotationCandidateStored = "rotation.candidate_stored",
    /// A candidate is about to be sent to the system.
    RotationSent = "rotation.sent",
    /// What the system said to a candidate.
    RotationOutcome = "rotation.outcome",
    RotationVerified = "rotation.verified",
    RotationPromoted = "rotation.promoted",
    RotationOldRefused = "rotation.old_refused",
    RotationOldStillAccepted = "rotation.old_still_accepted",
    RotationUnresolved = "rotation.unresolved",
    RotationFinished = "rotation.finished",
    RotationCancelled = "rotation.cancelled",
    /// A person is asked to set the candidate by hand.
    RotationAsked = "rotation.asked",
    /// What a person was asked to do is overdue; said once a day.
    RotationReminded = "rotation.reminded",
    /// Somebody was shown the candidate, to set it by hand.
    RotationShown = "rotation.shown",
    /// Somebody said that the candidate, or a secret of their own, is set. No login has proven it.
    RotationConfirmed = "rotation.confirmed",
    /// Somebody said that the system does not take the candidate.
    RotationRefusedByHand = "rotation.refused_by_hand",

    /// Somebody was refused what they asked for, at a thing that they may see; told once an hour.
    AccessDenied = "access.denied",

    /// In the operator log: the size and root of a customer's log.
    LogCheckpoint = "log.checkpoint",
    LogRead = "log.read",
    LogExported = "log.exported",

    StoreFreshnessChecked = "store.freshness_checked",
    StoreFreshnessBroken = "store.freshness_broken",

    ServiceAccountChanged = "service_account.changed",
    /// A token was used from where, or without the certificate, that its session is bound to: it may be stolen.
    SessionRefused = "session.refused",

    IssuerAdded = "issuer.added",
    IssuerChanged = "issuer.changed",
    IssuerRemoved = "issuer.removed",

    /// A grant has a new end.
    GrantRenewed = "grant.renewed",
    /// Name and password were right, and a second factor was asked for.
    LoginPasswordAccepted = "login.password_accepted",
    SessionSteppedUp = "session.stepped_up",
    FactorAdded = "factor.added",
    FactorRemoved = "factor.removed",
    /// A new secret waits in an app for its first code.
    FactorOffered = "factor.offered",
    FactorRecoveryCodesMade = "factor.recovery_codes_made",
    UserPasswordChanged = "user.password_changed",
    /// An administrator asked for a re-enrolment, which waits for another's yes.
    UserReEnrolmentAsked = "user.re_enrolment_asked",


    /// A person said yes to a request.
    CheckoutApprovalGiven = "checkout.approval_given",
    /// A person said no, to a request or to what had been approved.
    CheckoutDenied = "checkout.denied",
    /// Nothing is missing but the start that was asked for.
    CheckoutScheduled = "checkout.scheduled",
    /// What waited for approvals or its start waits for its turn now.
    CheckoutQueued = "checkout.queued",

    /// The customer's own administrator set what it wants of everybody.
    CustomerLimited = "customer.limited",
    /// What a suspended or removed principal held, asked for or waited for has ended, all of it.
    PrincipalCheckoutsEnded = "principal.checkouts_ended",
    /// The daily look: who is not used is suspended, what nobody needs is erased.
    VaultLookedAfter = "vault.looked_after",
    /// Rows that nobody needs any more were erased, after their retention; never of a log.
    StorePurged = "store.purged",

    /// In the customer's log: a list of the grants that reach it is to be confirmed or cut line by line.
    ReviewStarted = "review.started",
    ReviewLineConfirmed = "review.line_confirmed",
    ReviewLineCut = "review.line_cut",
    /// With the counts of what was decided, and what was not.
    ReviewClosed = "review.closed",
    IdentityProviderAdded = "identity_provider.added",
    IdentityProviderChanged = "identity_provider.changed",
    IdentityProviderRemoved = "identity_provider.removed",
    /// A user can sign on by an identity provider from now on.
    UserSignOnLinked = "user.sign_on_linked",
    UserSignOnUnlinked = "user.sign_on_unlinked",
    UserSignOnInvited = "user.sign_on_invited",
    /// An identity provider said who it is, and a second factor was asked for.
    LoginSignedOn = "login.signed_on",
    /// A login or a session asked for a passkey: a browser is to show it.
    FactorPasskeyAsked = "factor.passkey_asked",
    /// A browser has shown or made a passkey; the code that it shows is to be given where it was asked for.
    FactorPasskeyAnswered = "factor.passkey_answered",
    /// What a browser answered was not taken.
    FactorPasskeyRefused = "factor.passkey_refused",
    /// An authenticator's counter went back: there may be a copy of it. Nobody was let in.
    FactorCloneSuspected = "factor.clone_suspected",
    /// A re-enrolment that waited for another administrator's yes was called off.
    UserReEnrolmentCancelled = "user.re_enrolment_cancelled",

    /// In the customer's log and the operator's, as every kind of break-glass: somebody asked for emergency access.
    BreakGlassAsked = "break_glass.asked",
    /// Another agreed.
    BreakGlassAgreed = "break_glass.agreed",
    /// As many agreed as it needs: emergency access is there, until the time that the event names.
    BreakGlassOpened = "break_glass.opened",
    /// The stored versions of an account whose rotation is not settled were shown.
    BreakGlassUnresolvedRevealed = "break_glass.unresolved_revealed",
    /// It is over, by somebody or by its end; or nobody agreed in time.
    BreakGlassClosed = "break_glass.closed",
    /// All that was checked out under it has ended, and it waits for its review.
    BreakGlassEnded = "break_glass.ended",
    /// Nobody has reviewed it in time.
    BreakGlassReviewOverdue = "break_glass.review_overdue",
    /// Somebody who had no part in it looked at what was done, and said what came of it.
    BreakGlassReviewed = "break_glass.reviewed",

    /// A login is about to be tried on a system that locks accounts: the attempt is counted first.
    RotationTrying = "rotation.trying",
    /// In the customer's log and the operator's: every secret of the customer is being replaced, and check-outs are frozen.
    EmergencyStarted = "emergency.started",
    /// Every running check-out has ended.
    EmergencyCheckoutsEnded = "emergency.checkouts_ended",
    /// How far it is, where it has to wait for a system.
    EmergencyProgressed = "emergency.progressed",
    /// Somebody let check-outs go on before it was done.
    EmergencyThawed = "emergency.thawed",
    /// In both logs: each account is rotated, passed over or known to be unresolved; check-outs go on.
    EmergencyFinished = "emergency.finished",
    /// A holder's key was signed; the certificate left only after this.
    CheckoutCertificateSigned = "checkout.certificate_signed",
    /// After the end the vault tried a certificate of its own that says the same, and it was not refused yet.
    CheckoutCertificateTried = "checkout.certificate_tried",
    /// An account should have been rotated a day ago, and was not.
    AccountOverdue = "account.overdue",
    /// The system refuses the stored secret, and no rotation is under way: it was changed by hand.
    AccountDrifted = "account.drifted",
    /// The stored secrets of a system are about to be tried.
    SystemHeartbeatBegun = "system.heartbeat_begun",
    /// They were tried.
    SystemHeartbeatDone = "system.heartbeat_done",
    /// The logins that a system has were listed, with how many of each sort.
    SystemDiscovered = "system.discovered",
    /// They could not be listed.
    SystemDiscoveryFailed = "system.discovery_failed",
    /// A login with power over its system is outside of the vault, and nobody answers for it; or it has got more power.
    SystemLoginFound = "system.login_found",
    /// Somebody answers for a login outside of the vault.
    SystemLoginKnown = "system.login_known",
    /// Nobody answers for it any more.
    SystemLoginUnknown = "system.login_unknown",
    /// Who depends on an account's secret was set.
    AccountDependentsSet = "account.dependents_set",
    /// A dependent is up to date.
    DependentUpdated = "dependent.updated",
    /// A dependent could not be brought up to date; it is tried again.
    DependentFailed = "dependent.failed",
    /// A person passed a dependent over.
    DependentSkipped = "dependent.skipped",
    /// A person wants those who are behind tried at once, or all brought up to date anew.
    DependentHurried = "dependent.hurried",
    /// A store that is older than an anchor was opened, and somebody said why.
    VaultRollbackAccepted = "vault.rollback_accepted",
    /// A stream begins to tell somebody elsewhere of this log, or leads elsewhere from now on.
    LogStreamBegun = "log.stream_begun",
    /// A witness has seen more of a log than is here, or another past.
    LogContradicted = "log.contradicted",
    /// In the operator log and each log concerned: the personal fields of somebody who was removed cannot be read any more.
    PrincipalErased = "principal.erased",
    /// Somebody asked for a backup.
    BackupAsked = "backup.asked",
    /// A backup is whole and on its disk.
    BackupTaken = "backup.taken",
    /// A backup could not be taken; it is tried again.
    BackupFailed = "backup.failed",
    /// The oldest entries of this log were moved from the store into an archive.
    LogArchived = "log.archived",
    /// Somebody began to change what opens the vault; new shares were shown.
    VaultRekeyBegun = "vault.rekey_begun",
    /// From now on the vault is opened by what was shown then, and has another root key.
    VaultRekeyed = "vault.rekeyed",
    /// What opens the vault stays as it was.
    VaultRekeyCancelled = "vault.rekey_cancelled",
    /// The vault has another root key; what opens it is the same.
    VaultRootRotated = "vault.root_rotated",
    /// The vault was restored from a backup, and is paused.
    VaultRestored = "vault.restored",
    /// Somebody has every stored secret tried, to see what happened since the backup.
    VaultCompareBegun = "vault.compare_begun",
    /// Every stored secret was tried that could be.
    VaultCompared = "vault.compared",
    /// A restored vault acts again.
    VaultResumed = "vault.resumed",
    /// In both logs: a customer is being locked; what is checked out ends, and is rotated.
    CustomerLocking = "customer.locking",
    /// A lock waits for rotations, or logins that are being removed.
    CustomerLockWaits = "customer.lock_waits",
    /// In both logs: the customer is locked, and its key is not in memory.
    CustomerLocked = "customer.locked",
    /// In both logs: the customer is not locked any more.
    CustomerUnlocked = "customer.unlocked",
    /// Somebody has a locked customer offboarded: its key is destroyed, and all that it opens is removed.
    CustomerOffboarding = "customer.offboarding",
    /// A customer's key is destroyed: nothing of it can be read any more.
    CustomerKeyDestroyed = "customer.key_destroyed",
    /// Rows of a customer whose key is destroyed were removed.
    CustomerRowsRemoved = "customer.rows_removed",
    /// Nothing of the customer is left but the hashes of its log.
    CustomerOffboarded = "customer.offboarded",
    /// In both logs: somebody has a customer's key replaced.
    CustomerKeyRotating = "customer.key_rotating",
    /// In both logs: what is written for a customer is under its new key from now on.
    CustomerKeySwitched = "customer.key_switched",
    /// In both logs: all of a customer is under its new key, and the old one is destroyed.
    CustomerKeyRotated = "customer.key_rotated",
    /// In both logs, as every kind about kits: somebody asked for an emergency kit of the customer, or it was time for one.
    KitAsked = "kit.asked",
    /// A kit is whole and on its disk.
    KitMade = "kit.made",
    /// A kit could not be made; it is tried again.
    KitFailed = "kit.failed",
    /// Somebody got the encrypted file of a kit.
    KitDownloaded = "kit.downloaded",
    /// Somebody said that a kit was opened: all that is in it is being replaced.
    KitOpened = "kit.opened",
    /// What opens the systems of a customer that is being offboarded is written for the customer's own recipients.
    CustomerHandedOver = "customer.handed_over",
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_text_of_its_own_and_reads_back() {
        let texts: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.text()).collect();
        assert_eq!(texts.len(), EventKind::ALL.len());
        for kind in EventKind::ALL {
            assert_eq!(kind.text().parse(), Ok(*kind));
            let (subject, verb) = kind.text().split_once('.').expect("subject.verb");
            let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(word(subject) && word(verb), "{kind}");
        }
        assert!("checkout.Revealed".parse::<EventKind>().is_err());
    }

    /// Frozen: a word may be added at the end, none may change or go.
    #[test]
    fn the_shipped_kinds_stay() {
        insta::assert_snapshot!(EventKind::ALL.iter().map(|kind| kind.text()).collect::<Vec<_>>().join("\n"));
    }
}
