//! A described call with its values in it. Each is encoded by where it stands: a value never ends its own part.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use claviger_api::wire::{HttpAuthentication, HttpMethod};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use zeroize::Zeroizing;

use super::description::{Ask, Body, Json};
use super::template::{Slot, Template, Unfit, Values};

/// Who asks: what `authentication` says of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) login: Slot,
    pub(super) secret: Slot,
}

impl Asker {
    /// The login that is tried.
    pub(super) const ITSELF: Self = Self { login: Slot::Login, secret: Slot::Secret };
    /// Whoever changes it: the management account, or the login itself.
    pub(super) const MANAGER: Self = Self { login: Slot::Manager, secret: Slot::ManagerSecret };
}

/// The request.
pub(super) fn request(
    ask: &Ask,
    authority: &str,
    asker: Asker,
    values: &Values<'_>,
) -> Result<Request<Full<Bytes>>, Unfit> {
    let mut request = Request::builder()
        .method(method(ask.method))
        .uri(&*target(ask, values)?)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("claviger-server/", env!("CARGO_PKG_VERSION")));
    if !ask.headers.iter().any(|(name, _)| name == ACCEPT) {
        request = request.header(ACCEPT, "application/json");
    }
    for (name, text) in &ask.headers {
        request = request.header(name, header(text, values)?);
    }
    if let Some(authentication) = ask.authentication {
        request = request.header(AUTHORIZATION, authorization(authentication, asker, values)?);
    }
    let body = match &ask.body {
        None => Bytes::new(),
        Some(Body::Form(fields)) => {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            form(fields, values)?
        }
        Some(Body::Json(json)) => {
            request = request.header(CONTENT_TYPE, "application/json");
            json_text(json, values)?
        }
    };
    // Its parts were checked one by one.
    request.body(Full::new(body)).map_err(|_| Unfit { slot: Slot::Login, why: "it makes no request" })
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}

/// Path and query.
fn target(ask: &Ask, values: &Values<'_>) -> Result<String, Unfit> {
    let mut target = String::new();
    for text in &ask.segments {
        target.push('/');
        target.push_str(&segment(text, values)?);
    }
    let mut separator = '?';
    for (name, text) in &ask.query {
        let value = text.fill(values, |_, _| Ok(()))?;
        target.push(separator);
        target.push_str(&percent_encoded(name));
        target.push('=');
        target.push_str(&percent_encoded(&value));
        separator = '&';
    }
    Ok(target)
}

/// A segment is one whole name: servers and what stands before them decode `%2F` and `%2E` at different times, so that a
/// slash or two dots in a name may lead elsewhere, however they are encoded.
fn segment(text: &Template, values: &Values<'_>) -> Result<String, Unfit> {
    let filled = text.fill(values, |slot, value| {
        if value.contains(['/', '\\']) {
            return Err(Unfit {
                slot,
                why: "no slash stands in a part of a path; describe it in the query or the body",
            });
        }
        Ok(())
    })?;
    if let (Some(slot), "" | "." | "..") = (text.slots().next(), filled.as_str()) {
        return Err(Unfit {
            slot,
            why: "as a part of a path it leads elsewhere; describe it in the query or the body",
        });
    }
    Ok(percent_encoded(&filled))
}

/// All but what is never read as anything else (RFC 3986 §2.3).
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// A header's value has no encoding, so it holds printable ASCII only, and no space at an end of a value, which servers
/// take away.
fn header(text: &Template, values: &Values<'_>) -> Result<HeaderValue, Unfit> {
    let filled = text.fill(values, in_header)?;
    sensitive(&filled, text.slots().next().unwrap_or(Slot::Login))
}

fn in_header(slot: Slot, value: &str) -> Result<(), Unfit> {
    let printable = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if printable && !value.starts_with(' ') && !value.ends_with(' ') {
        return Ok(());
    }
    Err(Unfit { slot, why: "a header holds printable ASCII only, and no space at its ends" })
}

fn sensitive(text: &str, slot: Slot) -> Result<HeaderValue, Unfit> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| Unfit { slot, why: "a header holds printable ASCII only, and no space at its ends" })?;
    value.set_sensitive(true);
    Ok(value)
}

fn authorization(by: HttpAuthentication, asker: Asker, values: &Values<'_>) -> Result<HeaderValue, Unfit> {
    let secret = values.text(asker.secret)?;
    match by {
        HttpAuthentication::Bearer => {
            in_header(asker.secret, &secret)?;
            sensitive(&Zeroizing::new(format!("Bearer {secret}")), asker.secret)
        }
        HttpAuthentication::Basic => {
            let login = values.text(asker.login)?;
            if login.contains(':') {
                return Err(Unfit { slot: asker.login, why: "the first colon ends a login (RFC 7617)" });
            }
            if secret.chars().any(char::is_control) {
                return Err(Unfit { slot: asker.secret, why: "it holds control characters (RFC 7617)" });
            }
            let pair = Zeroizing::new(format!("{login}:{secret}"));
            let text = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
            sensitive(&text, asker.secret)
        }
    }
}

fn form(fields: &[(String, Template)], values: &Values<'_>) -> Result<Bytes, Unfit> {
    let mut filled = Vec::new();
    for (name, text) in fields {
        filled.push((name, text.fill(values, |_, _| Ok(()))?));
    }
    // Three for each byte at most, and two signs a field.
    let most = filled.iter().map(|(name, text)| 3 * (name.len() + text.len()) + 2).sum();
    let mut pairs = form_urlencoded::Serializer::new(String::with_capacity(most));
    for (name, text) in &filled {
        pairs.append_pair(name, text);
    }
    Ok(wiped(pairs.finish().into_bytes()))
}

fn json_text(json: &Json, values: &Values<'_>) -> Result<Bytes, Unfit> {
    json.check(values)?;
    let mut text = Vec::with_capacity(JSON_ROOM);
    // Each placeholder is known by now, and nothing else can fail.
    let written = serde_json::to_writer(&mut text, &Filled { json, values });
    written.map_err(|_| Unfit { slot: Slot::Login, why: "it makes no JSON" })?;
    Ok(wiped(text))
}

/// Room for a usual body, so that it does not grow and leave copies behind.
const JSON_ROOM: usize = 16 * 1024;

/// A body that is wiped when it has been sent.
fn wiped(bytes: Vec<u8>) -> Bytes {
    Bytes::from_owner(Zeroizing::new(bytes))
}

impl Json {
    /// Whether every placeholder in it is known.
    fn check(&self, values: &Values<'_>) -> Result<(), Unfit> {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => Ok(()),
            Self::Text(text) if text.only() == Some(Slot::Groups) => Ok(()),
            Self::Text(text) => text.fill(values, |_, _| Ok(())).map(drop),
            Self::Array(items) => items.iter().try_for_each(|item| item.check(values)),
            Self::Object(fields) => fields.iter().try_for_each(|(_, value)| value.check(values)),
        }
    }
}

/// JSON with its values, written by a serializer that escapes each text.
struct Filled<'a> {
    json: &'a Json,
    values: &'a Values<'a>,
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let values = self.values;
        match self.json {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(it) => serializer.serialize_bool(*it),
            Json::Number(number) => number.serialize(serializer),
            Json::Text(text) if text.only() == Some(Slot::Groups) => {
                serializer.collect_seq(values.groups.iter().map(claviger_api::Login::as_str))
            }
            Json::Text(text) if text.only() == Some(Slot::ValidUntilUnix) => match values.valid_until {
                Some(at) => serializer.serialize_i64(at.as_second()),
                None => Err(S::Error::custom("no end")),
            },
            Json::Text(text) => {
                let text = text.fill(values, |_, _| Ok(())).map_err(|unfit| S::Error::custom(unfit.words()))?;
                serializer.serialize_str(&text)
            }
            Json::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|json| list.serialize_element(&Filled { json, values }))?;
                list.end()
            }
            Json::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, json)| map.serialize_entry(name, &Filled { json, values }))?;
                map.end()
            }
        }
    }
}
