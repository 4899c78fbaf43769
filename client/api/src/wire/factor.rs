//! `/v1/auth/mfa`, `/v1/auth/totp`, `/v1/auth/passkeys`, `/v1/auth/factors` and their kin: the second factors of a user.

use serde::{Deserialize, Serialize};

use crate::secret::Disclosed;
use crate::{FactorId, Timestamp, UserName};

/// How long a proven second factor is fresh: sensitive verbs want one no older than this.
pub const FRESH_FACTOR_SECONDS: u64 = 5 * 60;
/// How long a right password waits for the second factor.
pub const CHALLENGE_TTL_SECONDS: u64 = 5 * 60;
/// How long a TOTP secret waits for the first code of the app that took it.
pub const PENDING_TOTP_TTL_SECONDS: u64 = 15 * 60;
/// How many recovery codes there are at a time; each is good once.
pub const RECOVERY_CODES: usize = 10;
/// The most second factors of one user, recovery codes apart.
pub const FACTORS_MAX: usize = 5;
/// The most characters of a factor's label.
pub const LABEL_MAX: usize = 60;

/// The kinds of second factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// Codes of an authenticator app (RFC 6238).
    Totp,
    /// One of the codes that were shown once, for when the app is lost.
    RecoveryCode,
    /// A passkey (WebAuthn), shown in a browser.
    Passkey,
}

/// A second factor, as it is proven: exactly one of them.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SecondFactor {
    /// The six digits that the authenticator app shows. Each is good once.
    Totp(Disclosed),
    /// A recovery code, good once.
    RecoveryCode(Disclosed),
    /// The eight digits that the browser shows once a passkey was shown there, good once, for the login or the session
    /// that asked for it: `POST /v1/auth/passkeys/login`, `POST /v1/auth/passkeys/step-up`.
    Passkey(Disclosed),
}

/// Name and password are right; what is missing is a second factor.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Challenge {
    /// `cvc_…`: good for one session.
    pub challenge: Disclosed,
    /// Its life from now.
    pub challenge_expires_in_seconds: u64,
    /// What can be proven.
    pub factors: Vec<FactorKind>,
    /// The vault's time, by which codes are good: an app whose clock is off by a minute shows wrong ones.
    pub server_time: Timestamp,
}

/// `POST /v1/auth/mfa`: the second factor opens the session.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MfaRequest {
    /// What the login answered, `cvc_…`.
    pub challenge: Disclosed,
    /// The proof.
    pub second_factor: SecondFactor,
}

/// `POST /v1/auth/step-up`: from now on the session's second factor is fresh.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SteppedUp {
    /// When it was proven.
    pub second_factor_at: Timestamp,
    /// How long it is fresh.
    pub fresh_for_seconds: u64,
}

/// `POST /v1/auth/totp`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTotp {
    /// What the owner calls it, e.g. `phone`.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 60))]
    pub label: String,
}

/// A TOTP secret on its way into an authenticator app. It counts once a code of it was confirmed.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PendingTotp {
    /// The factor that it becomes.
    pub factor: FactorId,
    /// The secret in base 32, to be typed. Shown once.
    pub secret: Disclosed,
    /// The same as `otpauth://…`, for a QR code.
    pub uri: Disclosed,
    /// How long it waits for its first code.
    pub expires_in_seconds: u64,
    /// The vault's time, by which codes are good.
    pub server_time: Timestamp,
}

/// `POST /v1/auth/totp/confirm`: the first code of a new secret.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmTotp {
    /// The six digits that the app shows now.
    pub code: Disclosed,
}

/// How long a ceremony in a browser, and the code that ends it, may take.
pub const CEREMONY_TTL_SECONDS: u64 = 5 * 60;

/// `POST /v1/auth/passkeys`: a new passkey is to be made in a browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPasskey {
    /// What the owner calls it, e.g. `laptop`.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 60))]
    pub label: String,
}

/// `POST /v1/auth/passkeys/login`: a login's second factor is to be shown in a browser.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LoginByPasskey {
    /// What the login answered, `cvc_…`.
    pub challenge: Disclosed,
}

/// What is to be done in a browser. The code that the browser shows at the end is good where this was asked for, and
/// nowhere else; what is in the address alone opens nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyCeremony {
    /// The page to open. What stands after the `#` stays in the browser.
    pub url: String,
    /// Three digits that the page shows too.
    pub mark: String,
    /// Its life from now.
    pub expires_in_seconds: u64,
}

/// `POST /v1/auth/passkeys/ceremony`, by the page: what is it about?
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyWanted {
    /// What stands after the `#` of the page's address.
    pub ceremony: Disclosed,
}

/// What a ceremony is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CeremonyPurpose {
    /// A new passkey of the user.
    Enrol,
    /// A login.
    Login,
    /// A fresh second factor in a session that there is.
    StepUp,
}

/// What the page shows, and asks the authenticator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CeremonyShown {
    /// What it is for.
    pub purpose: CeremonyPurpose,
    /// Whose passkey it is.
    pub user: UserName,
    /// What the vault calls itself.
    pub vault: String,
    /// The three digits that the command line shows.
    pub mark: String,
    /// The address from which it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_from: Option<String>,
    /// Whether the browser's own address is another.
    pub asked_from_elsewhere: bool,
    /// Its life from now.
    pub expires_in_seconds: u64,
    /// What `navigator.credentials` takes, with bytes in base 64 (URL).
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub options: serde_json::Value,
}

/// `POST /v1/auth/passkeys/answer`, by the page: what the authenticator said.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonyAnswer {
    /// What stands after the `#` of the page's address.
    pub ceremony: Disclosed,
    /// The `PublicKeyCredential`, with bytes in base 64 (URL).
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub credential: serde_json::Value,
}

/// The code that takes the answer back to where it was asked for.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasskeyCode {
    /// Eight digits, shown once.
    pub code: Disclosed,
}

/// `POST /v1/auth/passkeys/confirm`: the code that the browser shows; from now on the passkey counts.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfirmPasskey {
    /// Eight digits.
    pub code: Disclosed,
}

/// A second factor that counts. The session is a full one from now on.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfirmedFactor {
    /// The factor.
    pub factor: Factor,
    /// With the first factor: the recovery codes, shown once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery_codes: Vec<Disclosed>,
}

/// A second factor, as its owner sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Factor {
    /// Its id.
    pub id: FactorId,
    /// Its kind.
    pub kind: FactorKind,
    /// What its owner calls it.
    pub label: String,
    /// When it was confirmed.
    pub created_at: Timestamp,
    /// When it was last used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
}

/// `GET /v1/auth/factors`: the caller's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Factors {
    /// The factors.
    pub factors: Vec<Factor>,
    /// How many recovery codes were not used yet.
    pub recovery_codes_left: usize,
    /// The vault's time, by which codes are good.
    pub server_time: Timestamp,
}

/// `POST /v1/auth/recovery-codes`: new ones; those before are good for nothing.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryCodes {
    /// Each is good once. Shown once.
    pub recovery_codes: Vec<Disclosed>,
}

/// That a user is to be enrolled anew, and waits for another administrator's yes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReEnrolment {
    /// Who asked for it.
    pub asked_by: UserName,
    /// When.
    pub asked_at: Timestamp,
    /// After this it can no longer be confirmed.
    pub expires_at: Timestamp,
}

/// That others took a user's password and second factors away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FactorReset {
    /// When.
    pub at: Timestamp,
    /// Who asked for it.
    pub asked_by: UserName,
    /// Who confirmed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_by: Option<UserName>,
}
