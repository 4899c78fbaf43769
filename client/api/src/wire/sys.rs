//! `/v1/sys`: the life of the vault itself.

use serde::{Deserialize, Serialize};

use crate::secret::{Disclosed, Secret};
use crate::{Part, PrincipalId, RekeyId, Timestamp};

/// The least and most shares of a Shamir seal.
pub const SHARES_MAX: u8 = 16;

/// Whether the root key is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SealState {
    /// `init` was never run.
    NotInitialised,
    /// The root key is not in memory.
    Sealed,
    /// The vault serves.
    Unsealed,
}

/// What opens the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SealKind {
    /// Shamir shares, k of n.
    Shamir,
    /// A passphrase through Argon2id.
    Passphrase,
    /// An HSM, by PKCS#11; or Shamir shares, where it is gone.
    Pkcs11,
}

/// `GET /v1/sys/health`: for load balancers and monitors; needs no login.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Whether the vault serves.
    pub seal: SealState,
    /// Whether a durable write succeeded just now; false while sealed.
    pub writable: bool,
    /// The server's version.
    pub version: String,
}

/// `POST /v1/sys/init`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "seal", rename_all = "snake_case", deny_unknown_fields)]
pub enum InitRequest {
    /// `shares` Shamir shares, any `threshold` of which open the vault.
    Shamir {
        /// How many shares to make, 1 to 16.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        shares: u8,
        /// How many of them open the vault, 1 to `shares`; 1 only where `shares` is 1.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        threshold: u8,
        /// The name of the first administrator.
        administrator: crate::UserName,
    },
    /// One passphrase, for a single-server installation.
    Passphrase {
        /// At least 16 characters.
        passphrase: Disclosed,
        /// The name of the first administrator.
        administrator: crate::UserName,
    },
    /// The HSM of the server's configuration, which opens the vault at each start; and recovery shares, any `threshold` of which
    /// open it too.
    Pkcs11 {
        /// How many recovery shares to make, 1 to 16.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        shares: u8,
        /// How many of them open the vault, 1 to `shares`; 1 only where `shares` is 1.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        threshold: u8,
        /// The name of the first administrator.
        administrator: crate::UserName,
    },
}

/// What `init` shows once and never again.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InitResponse {
    /// The Shamir shares, for an HSM those for recovery; empty for a passphrase.
    pub shares: Vec<Disclosed>,
    /// The single-use enrolment of the first administrator.
    pub enrolment: Disclosed,
    /// The first administrator's name.
    pub administrator: crate::UserName,
}

/// `POST /v1/sys/unseal`.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UnsealRequest {
    /// One share, or the passphrase.
    pub key: Disclosed,
    /// Why a store that is older than an anchor shall be taken, with the last share; it is in the operator's audit log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 500))]
    pub accept_rollback: Option<String>,
}

/// `POST /v1/sys/rekey`: what shall open the vault.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "seal", rename_all = "snake_case", deny_unknown_fields)]
pub enum NewSeal {
    /// `shares` Shamir shares, any `threshold` of which open the vault.
    Shamir {
        /// How many shares to make, 1 to 16.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        shares: u8,
        /// How many of them open the vault, 1 to `shares`; 1 only where `shares` is 1.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        threshold: u8,
    },
    /// One passphrase, for a single-server installation.
    Passphrase {
        /// At least 16 characters.
        passphrase: Disclosed,
    },
    /// The HSM of the server's configuration, which opens the vault at each start; and recovery shares, any `threshold` of which
    /// open it too.
    Pkcs11 {
        /// How many recovery shares to make, 1 to 16.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        shares: u8,
        /// How many of them open the vault, 1 to `shares`; 1 only where `shares` is 1.
        #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 16))]
        threshold: u8,
        /// Whether the HSM makes another key for it. Otherwise it takes the one that has the configured label, and makes one where
        /// none has.
        #[serde(default)]
        new_key: bool,
    },
}

/// What the beginning of a rekey shows, once and never again.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BegunRekey {
    /// The new shares; empty for a passphrase. They open nothing before the rekey is done.
    pub shares: Vec<Disclosed>,
    /// What is to be given now.
    pub rekey: Rekey,
}

/// `POST /v1/sys/rekey/keys`: one key, of what opens the vault now or of what shall.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RekeyKey {
    /// Which rekey.
    pub rekey: RekeyId,
    /// One share, or a passphrase.
    pub key: Disclosed,
}

/// A change of what opens the vault: it is done when enough of the old keys were given, and enough of the new ones were given
/// back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rekey {
    /// Its id.
    pub id: RekeyId,
    /// Whether it is done.
    pub done: bool,
    /// Who began it.
    pub begun_by: PrincipalId,
    /// When it is forgotten unless it is done.
    pub expires_at: Timestamp,
    /// Of what opens the vault now, or did.
    pub old: KeysGiven,
    /// Of what shall open it, or does.
    pub new: KeysGiven,
}

/// `GET /v1/sys/rekey`: whether a rekey is under way, or was done since the vault was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RekeyStatus {
    /// The last one; absent where there was none, or it was cancelled or forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekey: Option<Rekey>,
}

/// How many keys of a seal were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeysGiven {
    /// Its kind.
    pub kind: SealKind,
    /// So many are needed.
    pub needed: u8,
    /// So many different ones were given.
    pub given: u8,
}

/// How far an unseal is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SealStatus {
    /// Whether the vault serves.
    pub seal: SealState,
    /// What opens it; absent before `init`.
    pub kind: Option<SealKind>,
    /// Shares needed.
    pub threshold: u8,
    /// Different shares given so far; they are forgotten at the restart.
    pub provided: u8,
    /// The HSM, where one has sealed the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hsm: Option<HsmStatus>,
}

/// The HSM of a vault that is sealed by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HsmStatus {
    /// What is known of it. The server's log says more.
    pub state: HsmState,
    /// When it was last asked; absent where it was not since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Whether a sealed vault opens by itself as soon as the HSM opens it: not where an operator has sealed it, nor after the PIN
    /// was refused, until the server is started again.
    pub opens_by_itself: bool,
}

impl HsmStatus {
    /// Whether it would not open the vault.
    pub const fn is_failing(&self) -> bool {
        !matches!(self.state, HsmState::Asking | HsmState::Answers)
    }

    /// Why it has not opened a sealed vault, and what to do, in words.
    pub fn in_words(&self) -> &'static str {
        // Nothing is wrong with it.
        if !self.is_failing() && !self.opens_by_itself {
            return "an operator has sealed it, and the HSM is not asked: start the server again, or give recovery shares";
        }
        self.state.in_words()
    }
}

/// What is known of an HSM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HsmState {
    /// The server's configuration names none.
    NotConfigured,
    /// It has not answered yet, since the start.
    Asking,
    /// It opens the vault.
    Answers,
    /// It, its token or its module is not there, or does not answer. It is asked again.
    Unreachable,
    /// It refuses the PIN, and is not asked again before the server is started again: it may lock.
    PinRefused,
    /// It does not have the key that has sealed.
    NoKey,
    /// It does not open what was sealed, or its key is not fit to seal.
    Refused,
    /// It opens the seal, and the vault does not open for another reason, e.g. that its store is older than an anchor.
    NotOpened,
}

impl HsmState {
    /// What that is, and what to do, in words.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::NotConfigured => {
                "this server's configuration names no HSM: set [seal.pkcs11] and start it again, or give recovery shares"
            }
            Self::Asking => "the HSM has not answered yet",
            Self::Answers => "the HSM opens the vault",
            Self::Unreachable => "the HSM does not answer: see the server's log, or give recovery shares",
            Self::PinRefused => {
                "the HSM refuses the PIN, and is not asked again: set the right one and start the server again, or give recovery shares"
            }
            Self::NoKey => {
                "the HSM does not have the key that has sealed the vault: see the server's log, or give recovery shares"
            }
            Self::Refused => "the HSM does not open what was sealed: see the server's log, or give recovery shares",
            Self::NotOpened => "the HSM opens the seal, and the vault does not open: see the server's log",
        }
    }
}

/// `GET /v1/sys/status`: for operators.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// Whether the vault serves, and what opens it.
    pub seal: SealStatus,
    /// The server's version.
    pub version: String,
    /// The store's format version.
    pub store_format: u32,
    /// Only one disk holds the newest secrets: a lost disk loses the rotations since the last backup.
    pub single_copy: bool,
    /// How the escrow stream does; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<EscrowStatus>,
    /// Customers.
    pub customers: u64,
    /// Those of them that are locked: nothing of them is counted below.
    #[serde(default)]
    pub locked_customers: u64,
    /// Customers whose key is being replaced.
    #[serde(default)]
    pub key_rotations: u64,
    /// Customers whose last emergency kit could not be made.
    #[serde(default)]
    pub failing_kits: u64,
    /// Rotations whose account cannot be offered until they are settled.
    pub unresolved_rotations: u64,
    /// Reviews of who reaches a customer that are not closed.
    #[serde(default)]
    pub open_reviews: u64,
    /// Broken glasses that are open, or are being asked for.
    #[serde(default)]
    pub open_break_glass: u64,
    /// Broken glasses that are closed and not reviewed.
    #[serde(default)]
    pub unreviewed_break_glass: u64,
    /// Those of them that should have been.
    #[serde(default)]
    pub overdue_break_glass: u64,
    /// Of which moment the last check of the whole store tells; absent before the first after an unseal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_checked_at: Option<Timestamp>,
    /// What it found that is not as it should be: `claviger operator scrub --last`.
    #[serde(default)]
    pub store_faults: u64,
    /// Of which moment the last backup tells; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_backup_at: Option<Timestamp>,
    /// Why the last try to take one failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_trouble: Option<String>,
    /// While the vault is paused: the moment of the backup that it was restored from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<Timestamp>,
    /// Streams of the audit log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamStatus>,
}

/// How the escrow stream does: where each secret is written too, before it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EscrowStatus {
    /// When it was last written to, since the server started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Timestamp>,
    /// Why it takes nothing: until it does, no secret is stored or rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How a stream of the audit log does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamStatus {
    /// What the configuration calls it.
    pub name: Part,
    /// Where it leads.
    pub to: String,
    /// Whether it delivers.
    pub state: StreamState,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Entries of all its logs that are not known to be received. Some always are: those of the last seconds.
    pub behind: u64,
    /// When the oldest of them happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_since: Option<Timestamp>,
}

/// Whether a stream delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// It does.
    Delivering,
    /// It does not, or not all of its logs, and is tried again.
    Broken,
}

/// A secret that was shown to nobody yet, e.g. an enrolment code.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Issued {
    /// Shown once.
    pub secret: Disclosed,
}

impl Issued {
    /// Wraps a secret for its one answer.
    pub fn new(secret: Secret) -> Self {
        Self { secret: secret.disclose() }
    }
}
