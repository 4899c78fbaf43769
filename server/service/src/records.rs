//! What the vault stores, one record a table. A field that is added later has a `#[serde(default)]`.

use claviger_api::wire::{AccountKind, AccountSettings, LookFailure, MeasuredGrace, RotationPolicy, SystemSpec};
use claviger_api::{AccountId, CustomerId, Login, Part, PrincipalId, SystemId, Timestamp};
use claviger_core::account::AccountState;
use claviger_core::break_glass::BreakGlass;
use claviger_core::checkout::Checkout;
use claviger_core::discovery::Tried;
use claviger_core::emergency::{Emergency, Line, UnderWay};
use claviger_core::follow_up::FollowUp;
use claviger_core::policy::{Grant, Limits, Reveals};
use claviger_core::rotation::Rotation;
use claviger_core::upkeep::Watch;
use claviger_store::{Record, Table};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

use crate::audit::archive::ArchiveRecord;
pub use crate::kit::record::{HandOverRecord, HandOverStep, KitOpenedRecord, KitRecord, KitStep};

mod people;

pub use people::{
    CeremonyAsker, CeremonyRecord, CeremonyState, ChallengeRecord, FactorResetRecord, FactorsRecord,
    FormerPrincipalRecord, IdentityProviderRecord, InvitationRecord, IssuerRecord, LoginCounter, PasskeyRecord,
    PendingTotpRecord, PrincipalRecord, ProgramRecord, ReEnrolmentRecord, ReviewClose, ReviewDecision,
    ReviewLineRecord, ReviewRecord, SealedText, SessionRecord, SignOnRecord, TokenRecord, TotpRecord, WorkloadRecord,
};

/// A customer.
#[derive(Clone, Serialize, Deserialize)]
pub struct CustomerRecord {
    /// Its id.
    pub id: CustomerId,
    /// The first part of its paths.
    pub slug: Part,
    /// Its name for people.
    pub display_name: String,
    /// What it wants of everybody who works there.
    #[serde(default)]
    pub limits: Limits,
    /// The emergency rotation under way.
    #[serde(default)]
    pub emergency: Option<UnderWay>,
    /// When the secrets of its accounts are replaced and tried by themselves.
    #[serde(default)]
    pub rotation_policy: RotationPolicy,
    /// Where its clocks are, by the IANA database.
    #[serde(default)]
    pub time_zone: Option<String>,
    /// That it is locked, or is being locked.
    #[serde(default)]
    pub lock: Option<LockRecord>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A customer that was offboarded.
#[derive(Clone, Serialize, Deserialize)]
pub struct OffboardingRecord {
    /// What it was called.
    pub slug: Part,
    /// When its key was destroyed.
    pub destroyed_at: Timestamp,
    /// Who had it done.
    pub by: PrincipalId,
    /// How many rows were removed.
    pub rows: u64,
    /// What was handed over.
    #[serde(default)]
    pub hand_over: Option<HandOverRecord>,
    /// The signed note that says so.
    pub receipt: String,
}

/// Who has a customer offboarded, and how far that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffboardRecord {
    /// Who.
    pub by: PrincipalId,
    /// Since when; its timer's time.
    pub since: Timestamp,
    /// What is handed over before the key goes.
    #[serde(default)]
    pub hand_over: HandOverStep,
    /// When the key was destroyed.
    #[serde(default)]
    pub destroyed_at: Option<Timestamp>,
    /// How many rows are removed.
    #[serde(default)]
    pub rows: u64,
}

/// That a customer is locked, or is being locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// When somebody asked for it.
    pub since: Timestamp,
    /// Who.
    pub by: PrincipalId,
    /// Whether it does not wait for rotations.
    pub at_once: bool,
    /// How many accounts it waits for.
    pub waits_for: u64,
    /// When it looks again; its timer's time.
    pub look_at: Timestamp,
    /// Since when it is locked.
    pub locked_at: Option<Timestamp>,
    /// That it is being offboarded.
    #[serde(default)]
    pub offboard: Option<OffboardRecord>,
}

/// A system.
#[derive(Clone, Serialize, Deserialize)]
pub struct SystemRecord {
    /// Its id.
    pub id: SystemId,
    /// The second part of its paths.
    pub name: Part,
    /// Its kind and address.
    pub spec: SystemSpec,
    /// The account that may change the others.
    pub management_account: Option<Part>,
    /// The public key of the authority of its certificates, if it has one.
    #[serde(default)]
    pub certificate_authority: Option<[u8; 32]>,
    /// For how long it was last seen to honour an old secret.
    #[serde(default)]
    pub measured_grace: Option<MeasuredGrace>,
    /// When the secrets of its accounts are replaced and tried by themselves.
    #[serde(default)]
    pub rotation_policy: RotationPolicy,
    /// When its logins were last looked at.
    #[serde(default)]
    pub last_look: Option<Tried>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Certificates that still have time, though their checkout has ended.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct RevokedCertificatesRecord {
    /// The serial number of the first.
    pub first_serial: u64,
    /// And of the last.
    pub last_serial: u64,
    /// By then all have ended.
    pub valid_before: Timestamp,
}

/// An account, as people describe it.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Its id.
    pub id: AccountId,
    /// Its system.
    pub system: SystemId,
    /// The third part of its path.
    pub name: Part,
    /// Standing, ephemeral or certificate.
    pub kind: AccountKind,
    /// Its login name on the system, or what an ephemeral login begins with.
    pub login: Login,
    /// The roles an ephemeral login becomes a member of.
    pub member_of: Vec<Login>,
    /// What can be set at any time.
    pub settings: AccountSettings,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Which id a name stands for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct NameRecord {
    /// The id.
    pub id: Uuid,
}

/// A grant as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantRecord(pub Grant);

/// The reveals of the last hour under a grant that limits them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RevealsRecord(pub Reveals);

/// An account's changing state.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateRecord(pub AccountState);

/// A checkout as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckoutRecord(pub Checkout);

/// A broken glass as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BreakGlassRecord(pub BreakGlass);

/// That a secret may open an account; the row's id is the secret's fingerprint and the account.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct FingerprintRecord {
    /// The account's customer.
    pub customer: CustomerId,
    /// Since when.
    pub since: Timestamp,
}

/// An emergency rotation as it is stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmergencyRecord(pub Emergency);

/// One of its lines.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmergencyLineRecord(pub Line);

/// A rotation as it is stored, with the due time of the timer that carries it on.
#[derive(Clone, Serialize, Deserialize)]
pub struct RotationRecord {
    /// The rotation.
    pub rotation: Rotation,
    /// Its timer, while it is not over.
    pub timer: Option<Timestamp>,
}

/// What is known of an account's secret from trying it, and whether somebody was told that it is overdue.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct WatchRecord {
    /// What trying it told.
    #[serde(default)]
    pub watch: Option<Watch>,
    /// The due time that was missed and told of.
    #[serde(default)]
    pub overdue: Option<Timestamp>,
}

/// What logins a system has, as far as the vault has looked, and who answers for those outside of it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct DiscoveryRecord {
    /// When it was last looked at, whatever came of it.
    #[serde(default)]
    pub tried_at: Option<Timestamp>,
    /// Why that failed.
    #[serde(default)]
    pub failure: Option<LookFailure>,
    /// The last look that did not.
    #[serde(default)]
    pub look: Option<LookRecord>,
    /// Logins that somebody answers for.
    #[serde(default)]
    pub known: Vec<KnownLoginRecord>,
    /// Logins with power of which an event has told, each by its name as the system sees it, and with which power.
    #[serde(default)]
    pub told: BTreeMap<String, Vec<String>>,
}

/// What a look at a system's logins brought.
#[derive(Clone, Serialize, Deserialize)]
pub struct LookRecord {
    /// When.
    pub at: Timestamp,
    /// The logins.
    pub logins: Vec<LoginRecord>,
    /// Whether the system has more.
    pub cut: bool,
    /// What could not be seen.
    pub unseen: Vec<String>,
}

/// A login that a system has.
#[derive(Clone, Serialize, Deserialize)]
pub struct LoginRecord {
    /// Its name, exactly.
    pub name: String,
    /// Other names that mean it.
    pub also: Vec<String>,
    /// Whether it may log in.
    pub may_log_in: bool,
    /// What power it has.
    pub privileges: Vec<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// When it last logged in.
    pub last_login_at: Option<Timestamp>,
    /// Whether the vault made it for a checkout that was not over then.
    pub of_checkout: bool,
}

/// Who answers for a login.
#[derive(Clone, Serialize, Deserialize)]
pub struct KnownLoginRecord {
    /// The login's name as the system sees it.
    pub login: String,
    /// Why it stays outside of the vault.
    pub reason: String,
    /// Who said so.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
    /// The power that it had then.
    pub privileges: Vec<String>,
}
/// Who depends on an account's secret, and how far they are with it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FollowUpRecord(pub FollowUp);

/// How far a stream has been received in a log.
#[derive(Clone, Serialize, Deserialize)]
pub struct StreamCursorRecord {
    /// The first entry that is not known to be received.
    pub next: u64,
    /// Where the stream leads, in words.
    pub to: String,
}

/// A timer; its row's key says all.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct TimerRecord {}

/// The request that an Idempotency-Key belongs to. Never a response.
#[derive(Clone, Serialize, Deserialize)]
pub struct IdempotencyRecord {
    /// A keyed hash of the request.
    pub request: [u8; 32],
    /// What it made or changed.
    pub resource: Uuid,
    /// When.
    pub created_at: Timestamp,
}

/// A backup of the vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRecord {
    /// When somebody asked for it, or it began by itself.
    pub asked_at: Timestamp,
    /// How far it is.
    pub state: BackupStep,
}

/// How far a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupStep {
    /// Somebody asked for it.
    Asked,
    /// It is whole and on its disk.
    Taken {
        /// The moment of which it tells.
        moment: Timestamp,
        /// The name of its file.
        file: String,
        /// Rows in it.
        rows: u64,
        /// Bytes of the file.
        bytes: u64,
        /// SHA-256 of the file, in hex.
        sha256: String,
        /// The file that it goes upon, where it is an increment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        upon: Option<String>,
    },
    /// It could not be taken.
    Failed {
        /// Why.
        trouble: String,
    },
}

macro_rules! tables {
    ($($record:ty: $table:ident;)*) => {$(
        impl Record for $record {
            const TABLE: Table = Table::$table;
        }
    )*};
}

tables! {
    CustomerRecord: Customers;
    SystemRecord: Systems;
    AccountRecord: Accounts;
    NameRecord: Names;
    PrincipalRecord: Principals;
    FormerPrincipalRecord: FormerPrincipals;
    ReviewRecord: Reviews;
    ReviewLineRecord: ReviewLines;
    TokenRecord: Tokens;
    SessionRecord: Sessions;
    IssuerRecord: Issuers;
    IdentityProviderRecord: IdentityProviders;
    LoginCounter: LoginCounters;
    FactorsRecord: Factors;
    GrantRecord: Grants;
    RevealsRecord: RevealTimes;
    StateRecord: AccountStates;
    CheckoutRecord: Checkouts;
    RevokedCertificatesRecord: RevokedCertificates;
    BreakGlassRecord: BreakGlasses;
    StreamCursorRecord: StreamCursors;
    BackupRecord: Backups;
    OffboardingRecord: Offboardings;
    ArchiveRecord: LogArchives;
    KitRecord: Kits;
    RotationRecord: Rotations;
    EmergencyRecord: Emergencies;
    FingerprintRecord: Fingerprints;
    EmergencyLineRecord: EmergencyLines;
    WatchRecord: Watches;
    DiscoveryRecord: Discoveries;
    FollowUpRecord: FollowUps;
    TimerRecord: Timers;
    IdempotencyRecord: Idempotency;
}
