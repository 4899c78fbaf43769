//! The calls of an HTTP API by which its logins are tried and changed, described by whoever adds the system.
//!
//! Texts hold placeholders in braces, e.g. `/users/{login}/password`; `{{` and `}}` are braces. What a placeholder stands
//! for is encoded by where it stands, so that it never ends its own part. Which ones there are, and where each may stand,
//! is in `docs/connectors.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most pairs in a query, headers, or fields of a form.
pub const HTTP_PAIRS_MAX: usize = 32;
/// The most answers that a call tells apart.
pub const HTTP_ANSWERS_MAX: usize = 32;
/// The longest text of a description.
pub const HTTP_TEXT_MAX: usize = 1024;
/// The most values in a JSON body.
pub const HTTP_BODY_VALUES_MAX: usize = 256;
/// How deep a JSON body may go.
pub const HTTP_BODY_DEPTH_MAX: usize = 16;

/// How logins are tried and changed. Whoever is to create logins also says how to find and how to remove them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpCalls {
    /// Tries a login: `{login}`, `{secret}`. It is made before each change too, by whoever asks for it.
    pub verify: HttpCall,
    /// Tries the management account, where that is done otherwise: `{manager}`, `{manager_secret}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_manager: Option<HttpCall>,
    /// Gives a login a new secret: `{login}`, `{new_secret}`; and the old one, `{secret}`, where a login changes itself only.
    pub set: HttpCall,
    /// Looks for a login, and tells those that `create` made from those of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub find: Option<HttpCall>,
    /// Creates a login: `{login}`, `{new_secret}`, `{mark}`, `{groups}`, `{valid_until}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<HttpCall>,
    /// Moves the end of a login that `create` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extend: Option<HttpCall>,
    /// Removes a login that `create` made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<HttpCall>,
    /// Ends the open sessions of a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_sessions: Option<HttpCall>,
}

/// One request, and what its answers mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpCall {
    /// Its method.
    pub method: HttpMethod,
    /// Its path, from `/` on, as it reads before any encoding. No secret may stand in it.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub path: String,
    /// Its query. No secret may stand in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// More headers, e.g. `"x-api-key": "{manager_secret}"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The header `Authorization` of whoever asks: of the login that is tried, or of the account that changes another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<HttpAuthentication>,
    /// Its body; none when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<HttpBody>,
    /// What answers mean, the first that fits. What fits none is unknown.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 32))]
    pub answers: Vec<HttpAnswer>,
    /// Where an answer holds words for people, as a JSON pointer (RFC 6901). They go to the record, without the secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// Where the answer to a login that was taken holds the token of a session, as a JSON pointer: `{session}` in the
    /// calls after it. For `verify` and `verify_manager`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// A method of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Reads.
    Get,
    /// Whatever the API makes of it.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
}

/// How whoever asks says who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HttpAuthentication {
    /// Login and secret (RFC 7617).
    Basic,
    /// The secret as a token (RFC 6750).
    Bearer,
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// JSON: placeholders stand in its texts. A text that is `{groups}` and nothing else becomes a list of texts, and
    /// `{valid_until_unix}` a number.
    Json(Value),
    /// The fields of an `application/x-www-form-urlencoded` form.
    Form(BTreeMap<String, String>),
}

/// Answers, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpAnswer {
    /// Its status is one of these.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 32))]
    pub status: Vec<u16>,
    /// And its body is JSON that has something here: a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// And what it has there is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// What it means.
    pub means: HttpMeaning,
}

/// What an answer means. Each call has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HttpMeaning {
    /// `verify`: the secret opens the login.
    Accepted,
    /// `verify`: the secret is right, and has to be changed first.
    MustChange,
    /// `verify`: the login is locked, whatever the secret.
    LockedOut,
    /// Changes: it is done, and durable.
    Applied,
    /// `verify`: a wrong secret, or no such login. Changes: no, and nothing was done.
    Refused,
    /// Changes: the new secret is what it does not take; another may do.
    RefusedByPolicy,
    /// Nothing was done or looked at: ask again later.
    Unavailable,
    /// `find`: there is no such login.
    Absent,
    /// `find`: the login bears the mark that `create` gave it.
    Ours,
    /// `find`: somebody else made it.
    Others,
}
