//! Of people and programs: who they are, by what they log in, and what they are logged in to.

use claviger_api::wire::{
    BrowserAddress, CertificatePin, HttpsUrl, IssuerKeys, Network, PrincipalKind, PrincipalState, ReviewCounts,
    ReviewVerdict, Thumbprint,
};
use claviger_api::{
    CustomerId, FactorId, IssuerId, Part, PrincipalId, ProviderId, ReviewId, Secret, SessionId, Timestamp, UserName,
};
use claviger_core::policy::Grant;
use claviger_crypto::passkey::{Authentication, Passkey, Registration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use zeroize::Zeroizing;

use crate::base64_bytes;

/// A user or a service account. No `Debug`: it holds hashes.
#[derive(Clone, Serialize, Deserialize)]
pub struct PrincipalRecord {
    /// Its id.
    pub id: PrincipalId,
    /// A person or a program.
    pub kind: PrincipalKind,
    /// Its name.
    pub name: UserName,
    /// The customer whose own user this is.
    pub customer: Option<CustomerId>,
    /// Where it is in its life.
    pub state: PrincipalState,
    /// The password's Argon2id hash (PHC string).
    pub password: Option<String>,
    /// The hash of the token that is good now: an enrolment for a user, the token of a service account.
    pub token: Option<[u8; 32]>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last logged in, to about five minutes.
    pub last_login_at: Option<Timestamp>,
    /// Sessions of another generation have ended.
    #[serde(default)]
    pub generation: u64,
    /// How a program may log in; of a user, nothing.
    #[serde(default)]
    pub program: ProgramRecord,
    /// Whether a user has confirmed a second factor: then there is a row of factors, or nobody gets in.
    #[serde(default)]
    pub has_factors: bool,
    /// The hash of the second code that an enrolment wants, where another administrator had to confirm it.
    #[serde(default)]
    pub confirmation: Option<[u8; 32]>,
    /// A re-enrolment that was asked for and waits for another administrator's yes.
    #[serde(default)]
    pub re_enrolment: Option<ReEnrolmentRecord>,
    /// When others last took password and second factors away.
    #[serde(default)]
    pub factors_reset: Option<FactorResetRecord>,
    /// By what a user can sign on. Each has a row of names that leads here.
    #[serde(default)]
    pub sign_ons: Vec<SignOnRecord>,
    /// An invitation to link another, which waits for the user.
    #[serde(default)]
    pub invitation: Option<InvitationRecord>,
    /// Whether a second factor that an identity provider checked has opened a session: from then on a user has as much to
    /// lose as one with a second factor in the vault.
    #[serde(default)]
    pub vouched: bool,
}

/// Whom an identity provider takes a user for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignOnRecord {
    /// The identity provider; it stands for its issuer, which cannot change.
    pub provider: ProviderId,
    /// The claim `sub`, exactly.
    pub subject: String,
    /// When they were linked.
    pub linked_at: Timestamp,
}

/// An invitation that waits for its user.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct InvitationRecord {
    /// The hash of its code.
    pub hash: [u8; 32],
    /// By which identity provider.
    pub provider: ProviderId,
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
}

/// An identity provider. No `Debug`: it holds a secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct IdentityProviderRecord {
    /// Its id.
    pub id: ProviderId,
    /// What the vault calls it.
    pub name: Part,
    /// The customer whose own it is.
    pub customer: Option<CustomerId>,
    /// Whether it may sign people in.
    pub enabled: bool,
    /// The claim `iss` of its tokens.
    pub issuer: HttpsUrl,
    /// What it calls this vault.
    pub client_id: String,
    /// How the vault proves that it is this client.
    pub client_secret: Option<SealedText>,
    /// The vault as browsers reach it.
    pub address: BrowserAddress,
    /// Scopes besides `openid`.
    pub scopes: Vec<String>,
    /// One of these must be the claim `acr`.
    pub acr: Vec<String>,
    /// All of these must be in the claim `amr`.
    pub amr: Vec<String>,
    /// Whether its second factor counts as the vault's.
    pub trusts_mfa: bool,
    /// Whether people may sign on by device code.
    pub device_code: bool,
    /// The CA of its certificate.
    pub ca_certificate: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A secret of the vault's own, as a record holds it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedText(#[serde(with = "base64_bytes")] Zeroizing<Vec<u8>>);

impl SealedText {
    /// Takes in a secret.
    pub fn of(secret: &Secret) -> Self {
        Self(Zeroizing::new(secret.expose().as_bytes().to_vec()))
    }

    /// The secret, for the system that is to see it.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What history still says of a principal that was removed.
#[derive(Clone, Serialize, Deserialize)]
pub struct FormerPrincipalRecord {
    /// A person or a program.
    pub kind: PrincipalKind,
    /// Its name; another may bear it since.
    pub name: UserName,
    /// When it was removed.
    pub removed_at: Timestamp,
}

/// A review of who reaches a customer.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReviewRecord {
    /// Its id.
    pub id: ReviewId,
    /// The customer.
    pub customer: CustomerId,
    /// Who started it.
    pub started_by: PrincipalId,
    /// When.
    pub started_at: Timestamp,
    /// It closes by itself then.
    pub ends_at: Timestamp,
    /// Its close.
    pub closed: Option<ReviewClose>,
}

/// The close of a review.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct ReviewClose {
    /// When.
    pub at: Timestamp,
    /// By whom; nobody, where its time was over.
    pub by: Option<PrincipalId>,
    /// What was decided.
    pub counts: ReviewCounts,
}

/// A line of a review.
#[derive(Clone, Serialize, Deserialize)]
pub struct ReviewLineRecord {
    /// The grant as it was when the review was started.
    pub grant: Grant,
    /// Whether its principal is a person or a program.
    pub kind: PrincipalKind,
    /// What was decided.
    pub decision: Option<ReviewDecision>,
}

/// What was decided about a line.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct ReviewDecision {
    /// What.
    pub verdict: ReviewVerdict,
    /// By whom.
    pub by: PrincipalId,
    /// When.
    pub at: Timestamp,
}

/// How a program may log in, and from where it may act.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// When its token ends; not known of one that was issued before this was kept.
    #[serde(default)]
    pub token_expires_at: Option<Timestamp>,
    /// From where it may act; from everywhere when empty.
    #[serde(default)]
    pub networks: Vec<Network>,
    /// The client certificates that it may log in with.
    #[serde(default)]
    pub certificates: Vec<CertificatePin>,
    /// The tokens of issuers that it may log in with.
    #[serde(default)]
    pub workloads: Vec<WorkloadRecord>,
}

/// Whose tokens let a program in.
#[derive(Clone, Serialize, Deserialize)]
pub struct WorkloadRecord {
    /// The issuer.
    pub issuer: IssuerId,
    /// The subject that they have.
    pub subject: Option<String>,
    /// The claims that they have.
    pub claims: BTreeMap<String, String>,
}

/// An issuer of tokens that is trusted.
#[derive(Clone, Serialize, Deserialize)]
pub struct IssuerRecord {
    /// Its id.
    pub id: IssuerId,
    /// What the vault calls it.
    pub name: Part,
    /// The claim `iss` of its tokens.
    pub issuer: String,
    /// The claim `aud` of its tokens.
    pub audience: String,
    /// Where its keys come from.
    pub keys: IssuerKeys,
    /// When it was added.
    pub created_at: Timestamp,
}

/// A re-enrolment that waits for another administrator's yes. Until then it changes nothing.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct ReEnrolmentRecord {
    /// Who asked.
    pub asked_by: PrincipalId,
    /// When.
    pub asked_at: Timestamp,
    /// The hash of the code that the asker was shown.
    pub enrolment: [u8; 32],
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
}

/// Who took a user's password and second factors away.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct FactorResetRecord {
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub asked_by: PrincipalId,
    /// Who confirmed.
    pub confirmed_by: Option<PrincipalId>,
}

impl PrincipalRecord {
    /// Every session that it has, or is about to get by what was read before, is good for nothing.
    #[must_use]
    pub fn without_sessions(mut self) -> Self {
        self.generation += 1;
        self
    }
}

/// A user's second factors. No `Debug`: it holds what codes are made of.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct FactorsRecord {
    /// Authenticator apps.
    #[serde(default)]
    pub totp: Vec<TotpRecord>,
    /// A secret that waits for the first code of the app that took it.
    #[serde(default)]
    pub pending: Option<PendingTotpRecord>,
    /// Keyed hashes of the recovery codes that were not used yet.
    #[serde(default)]
    pub recovery: Vec<[u8; 32]>,
    /// Right passwords that wait for their second factor, the newest last.
    #[serde(default)]
    pub challenges: Vec<ChallengeRecord>,
    /// Passkeys.
    #[serde(default)]
    pub passkeys: Vec<PasskeyRecord>,
    /// What waits for a browser, or for the code that a browser has shown, the newest last.
    #[serde(default)]
    pub ceremonies: Vec<CeremonyRecord>,
}

/// An authenticator app.
#[derive(Clone, Serialize, Deserialize)]
pub struct TotpRecord {
    /// Its id.
    pub id: FactorId,
    /// What its owner calls it.
    pub label: String,
    /// What its codes are made of.
    #[serde(with = "base64_bytes")]
    pub secret: Zeroizing<Vec<u8>>,
    /// When it was confirmed.
    pub created_at: Timestamp,
    /// When a code of it was last taken.
    pub last_used_at: Option<Timestamp>,
    /// The newest step whose code was taken: neither that code nor an older one is ever taken again.
    pub last_step: u64,
}

/// A secret that waits for its first code.
#[derive(Clone, Serialize, Deserialize)]
pub struct PendingTotpRecord {
    /// The factor that it becomes.
    pub id: FactorId,
    /// What its owner calls it.
    pub label: String,
    /// What its codes are made of.
    #[serde(with = "base64_bytes")]
    pub secret: Zeroizing<Vec<u8>>,
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
}

/// A right password that waits for its second factor.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct ChallengeRecord {
    /// The hash of the token.
    pub hash: [u8; 32],
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
    /// Its user's generation when the password was given.
    pub generation: u64,
}

/// A passkey.
#[derive(Clone, Serialize, Deserialize)]
pub struct PasskeyRecord {
    /// Its id.
    pub id: FactorId,
    /// What its owner calls it.
    pub label: String,
    /// The host name that it was made for: it is good there and nowhere else.
    pub site: String,
    /// Its public key, and what the authenticator said of itself.
    pub passkey: Passkey,
    /// The newest counter that was taken; 0 of an authenticator that does not count.
    pub counter: u32,
    /// When it was confirmed.
    pub created_at: Timestamp,
    /// When it was last shown.
    pub last_used_at: Option<Timestamp>,
}

/// What a browser is asked to do for whoever sits at a command line.
#[derive(Clone, Serialize, Deserialize)]
pub struct CeremonyRecord {
    /// The hash of what names it in the address of the page.
    pub hash: [u8; 32],
    /// Who asked, and where the code that the browser shows is good: there and nowhere else.
    pub asker: CeremonyAsker,
    /// From where it was asked for.
    pub source: Option<IpAddr>,
    /// Shown by the command line and by the page.
    pub mark: u16,
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
    /// Its user's generation when it was asked for.
    pub generation: u64,
    /// How far it is.
    pub state: CeremonyState,
}

/// Who asked for a ceremony.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CeremonyAsker {
    /// A login whose password was right, by the hash of its challenge.
    Login([u8; 32]),
    /// A session.
    Session(SessionId),
}

/// How far a ceremony is.
#[derive(Clone, Serialize, Deserialize)]
pub enum CeremonyState {
    /// A new passkey is asked for.
    Registering {
        /// What its owner will call it.
        label: String,
        /// What a browser is asked.
        asked: Registration,
    },
    /// A browser has made it; it counts once the code was given.
    Registered {
        /// What its owner calls it.
        label: String,
        /// The passkey.
        passkey: Passkey,
        /// A keyed hash of the code that the browser shows.
        code: [u8; 32],
    },
    /// A passkey is to be shown.
    Proving {
        /// What a browser is asked.
        asked: Authentication,
    },
    /// It was shown.
    Proven {
        /// A keyed hash of the code that the browser shows.
        code: [u8; 32],
    },
}

/// What a token's hash stands for.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Whose it is.
    pub principal: PrincipalId,
    /// The session that it refreshes, if it does.
    pub session: Option<SessionId>,
    /// After this it is good for nothing.
    pub expires_at: Timestamp,
}

/// What a login opened.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends if it is not refreshed.
    pub expires_at: Timestamp,
    /// The hash of the refresh token that is good now.
    pub refresh: Option<[u8; 32]>,
    /// The hash of the one before: who shows it has stolen it, or was stolen from.
    pub refresh_before: Option<[u8; 32]>,
    /// Its principal's generation when it was opened.
    #[serde(default)]
    pub generation: u64,
    /// When a second factor was last proven in it. A user's session without may do nothing but enrol one.
    #[serde(default)]
    pub second_factor_at: Option<Timestamp>,
    /// The client certificate without which it is good for nothing (RFC 8705).
    #[serde(default)]
    pub certificate: Option<Thumbprint>,
}

/// The failed logins of one name.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct LoginCounter {
    /// Failures since the last success.
    pub failures: u32,
    /// No login is even tried before this.
    pub locked_until: Option<Timestamp>,
    /// When the last failure was.
    #[serde(default)]
    pub last_failure_at: Option<Timestamp>,
    /// When the user last came in, where this counts the failures of one place only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came_in_at: Option<Timestamp>,
}
