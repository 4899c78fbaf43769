//! A description read into what cannot be wrong; and all that is wrong with one, each with its place.

use std::collections::BTreeMap;

use claviger_api::wire::{
    HTTP_ANSWERS_MAX, HTTP_BODY_DEPTH_MAX, HTTP_BODY_VALUES_MAX, HTTP_PAIRS_MAX, HttpAnswer, HttpAuthentication,
    HttpBody, HttpCall, HttpCalls, HttpMeaning, HttpMethod,
};
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Number, Value};

use super::answer::{Changed, Found, Means, Pointer, Reading, Rule, Tried};
use super::template::{Slot, Template};

/// What is wrong in a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: below `calls`, e.g. `set.answers[1].means`.
    pub at: String,
    /// What is expected there.
    pub expected: String,
}

/// Everything that is wrong with a description; nothing, where it can be used.
pub fn faults(calls: &HttpCalls) -> Vec<Fault> {
    Description::of(calls).err().unwrap_or_default()
}

/// The calls, read.
pub(super) struct Description {
    pub(super) verify: Call<Tried>,
    pub(super) verify_manager: Option<Call<Tried>>,
    pub(super) set: Call<Changed>,
    pub(super) making: Option<Making>,
    pub(super) end_sessions: Option<Call<Changed>>,
}

/// How logins come and go.
pub(super) struct Making {
    pub(super) find: Call<Found>,
    pub(super) create: Call<Changed>,
    pub(super) extend: Option<Call<Changed>>,
    pub(super) remove: Call<Changed>,
}

/// One call: what is asked, and how its answers are read.
pub(super) struct Call<M> {
    pub(super) ask: Ask,
    pub(super) reading: Reading<M>,
    pub(super) session: Option<Pointer>,
}

/// What is asked.
pub(super) struct Ask {
    pub(super) method: HttpMethod,
    pub(super) segments: Vec<Template>,
    pub(super) query: Vec<(String, Template)>,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) authentication: Option<HttpAuthentication>,
    pub(super) body: Option<Body>,
}

/// A body.
pub(super) enum Body {
    Json(Json),
    Form(Vec<(String, Template)>),
}

/// A value of JSON with texts in it.
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(Template),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Description {
    pub(super) fn of(calls: &HttpCalls) -> Result<Self, Vec<Fault>> {
        use Slot::{
            Groups, Login, Manager, ManagerSecret, Mark, NewSecret, Secret, Session, ValidUntil, ValidUntilUnix,
        };
        let mut reader = Reader::default();
        let verify = reader.call("verify", &calls.verify, &[Login, Secret], &[&[Secret]]);
        let manager = (&[Manager, ManagerSecret], &[&[ManagerSecret][..]]);
        let verify_manager =
            calls.verify_manager.as_ref().and_then(|call| reader.call("verify_manager", call, manager.0, manager.1));
        // Whoever asks is known in every call after the one that tries them.
        let opened =
            [&Some(calls.verify.clone()), &calls.verify_manager].into_iter().flatten().any(|c| c.session.is_some());
        let asker: &[Slot] = if opened { &[Manager, ManagerSecret, Session] } else { &[Manager, ManagerSecret] };
        let with = |slots: &[Slot]| [asker, slots].concat();
        let set = reader.call("set", &calls.set, &with(&[Login, Secret, NewSecret]), &[&[NewSecret]]);
        let mut about = |at, call: &Option<HttpCall>, slots: &[Slot], needs: &[&[Slot]]| {
            call.as_ref().and_then(|call| reader.call(at, call, &with(slots), needs))
        };
        let made = [Login, NewSecret, Mark, Groups, ValidUntil, ValidUntilUnix];
        let create: Option<Call<Changed>> = about("create", &calls.create, &made, &[&[Login], &[NewSecret], &[Mark]]);
        let ends = [&[Login][..], &[ValidUntil, ValidUntilUnix]];
        let extend = about("extend", &calls.extend, &[Login, ValidUntil, ValidUntilUnix], &ends);
        let remove = about("remove", &calls.remove, &[Login], &[&[Login]]);
        let end_sessions = about("end_sessions", &calls.end_sessions, &[Login], &[&[Login]]);
        let find = calls.find.as_ref().and_then(|call| reader.call("find", call, &with(&[Login]), &[&[Login]]));
        reader.together(calls, create.as_ref().is_some_and(|create| create.ask.ends()));
        let making = match (find, create, remove) {
            (Some(find), Some(create), Some(remove)) => Some(Making { find, create, extend, remove }),
            (_, _, _) => None,
        };
        match (verify, set) {
            (Some(verify), Some(set)) if reader.faults.is_empty() => {
                Ok(Self { verify, verify_manager, set, making, end_sessions })
            }
            (_, _) => Err(reader.faults),
        }
    }

    /// Whether logins that are made here end by themselves.
    pub(super) fn ends_logins(&self) -> bool {
        self.making.as_ref().is_some_and(|making| making.create.ask.ends())
    }
}

impl Ask {
    /// Every text of it.
    pub(super) fn templates(&self) -> Vec<&Template> {
        let mut all: Vec<&Template> = self.segments.iter().collect();
        all.extend(self.query.iter().map(|(_, text)| text));
        all.extend(self.headers.iter().map(|(_, text)| text));
        match &self.body {
            None => {}
            Some(Body::Form(fields)) => all.extend(fields.iter().map(|(_, text)| text)),
            Some(Body::Json(json)) => json.templates(&mut all),
        }
        all
    }

    /// Whether a placeholder stands somewhere in it.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.templates().into_iter().any(|text| text.slots().any(|it| it == slot))
    }

    fn ends(&self) -> bool {
        self.has(Slot::ValidUntil) || self.has(Slot::ValidUntilUnix)
    }
}

impl Json {
    fn templates<'a>(&'a self, all: &mut Vec<&'a Template>) {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => {}
            Self::Text(text) => all.push(text),
            Self::Array(items) => items.iter().for_each(|item| item.templates(all)),
            Self::Object(fields) => fields.iter().for_each(|(_, value)| value.templates(all)),
        }
    }
}

/// Reads on after a fault, so that all of them are told at once.
#[derive(Default)]
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn fault(&mut self, at: impl Into<String>, expected: impl Into<String>) {
        self.faults.push(Fault { at: at.into(), expected: expected.into() });
    }

    /// A call in which these placeholders may stand, and one of each of those must.
    fn call<M: Means>(&mut self, at: &str, call: &HttpCall, may: &[Slot], needs: &[&[Slot]]) -> Option<Call<M>> {
        let before = self.faults.len();
        let headers = self.headers(at, call);
        let ask = Ask {
            method: call.method,
            segments: self.path(&format!("{at}.path"), &call.path),
            query: self.pairs(&format!("{at}.query"), &call.query),
            headers,
            authentication: call.authentication,
            body: self.body(&format!("{at}.body"), call),
        };
        self.allowed(at, &ask, may);
        if self.faults.len() == before {
            self.needed(at, &ask, needs);
        }
        let reading = self.reading(at, call);
        let session = call.session.as_ref().and_then(|text| {
            if !M::OPENS {
                self.fault(format!("{at}.session"), "nothing: only verify and verify_manager open a session");
            }
            self.pointer(&format!("{at}.session"), text)
        });
        (self.faults.len() == before).then_some(Call { ask, reading, session })
    }

    fn template(&mut self, at: &str, text: &str) -> Template {
        Template::parse(text).unwrap_or_else(|expected| {
            self.fault(at, expected);
            Template(Vec::new())
        })
    }

    /// Segments, each a text of its own. The address is what is logged on the way: no secret stands in it.
    fn path(&mut self, at: &str, path: &str) -> Vec<Template> {
        let Some(path) = path.strip_prefix('/') else {
            self.fault(at, "a path from / on, e.g. /api/users/{login}");
            return Vec::new();
        };
        let last = path.split('/').count() - 1;
        let mut segments = Vec::new();
        for (number, text) in path.split('/').enumerate() {
            let segment = self.template(at, text);
            if text.is_empty() && number != last {
                self.fault(at, "no empty segment: two slashes have no one meaning");
            }
            if text == "." || text == ".." {
                self.fault(at, "no segment . or .., which leads elsewhere");
            }
            if segment.literals().any(|literal| literal.contains(['?', '#', '%', '\\']) || has_control(literal)) {
                self.fault(at, "segments as they read before any encoding; a query stands in `query`");
            }
            self.in_address(at, &segment);
            segments.push(segment);
        }
        segments
    }

    /// No secret, no list.
    fn in_address(&mut self, at: &str, text: &Template) {
        if let Some(slot) = text.slots().find(|slot| slot.is_secret()) {
            let expected =
                format!("no {{{}}}: addresses are logged on their way; put it in a header or the body", slot.name());
            self.fault(at, expected);
        }
    }

    fn pairs(&mut self, at: &str, pairs: &BTreeMap<String, String>) -> Vec<(String, Template)> {
        self.few(at, pairs.len());
        let mut read = Vec::new();
        for (name, text) in pairs {
            let at = format!("{at}.{name}");
            let text = self.template(&at, text);
            self.in_address(&at, &text);
            read.push((name.clone(), text));
        }
        read
    }

    fn few(&mut self, at: &str, count: usize) {
        if count > HTTP_PAIRS_MAX {
            self.fault(at, format!("at most {HTTP_PAIRS_MAX}"));
        }
    }

    fn headers(&mut self, at: &str, call: &HttpCall) -> Vec<(HeaderName, Template)> {
        self.few(&format!("{at}.headers"), call.headers.len());
        let mut read: Vec<(HeaderName, Template)> = Vec::new();
        for (name, text) in &call.headers {
            let at = format!("{at}.headers.{name}");
            let text = self.template(&at, text);
            if text.literals().any(|literal| HeaderValue::from_str(literal).is_err()) {
                self.fault(&at, "printable ASCII, in one line");
            }
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) if OURS.contains(&name.as_str()) => {
                    self.fault(&at, "another header: this one is the vault's own");
                }
                Ok(name) if name == "authorization" && call.authentication.is_some() => {
                    self.fault(&at, "either this header or `authentication`");
                }
                Ok(name) if read.iter().any(|(there, _)| *there == name) => self.fault(&at, "each header once"),
                Ok(name) => read.push((name, text)),
                Err(_) => self.fault(&at, "the name of a header, e.g. x-api-key"),
            }
        }
        read
    }

    fn body(&mut self, at: &str, call: &HttpCall) -> Option<Body> {
        let body = call.body.as_ref()?;
        if call.method == HttpMethod::Get {
            self.fault(at, "nothing: a GET has no body");
        }
        match body {
            HttpBody::Form(fields) => {
                let at = format!("{at}.form");
                self.few(&at, fields.len());
                let read =
                    |(name, text): (&String, &String)| (name.clone(), self.template(&format!("{at}.{name}"), text));
                Some(Body::Form(fields.iter().map(read).collect()))
            }
            HttpBody::Json(value) => {
                let at = format!("{at}.json");
                if is_too_big(value, 0, &mut HTTP_BODY_VALUES_MAX.clone()) {
                    self.fault(at, format!("at most {HTTP_BODY_VALUES_MAX} values, {HTTP_BODY_DEPTH_MAX} deep"));
                    return None;
                }
                Some(Body::Json(self.json(&at, value)))
            }
        }
    }

    /// Placeholders stand in its texts; where, is told as a JSON pointer.
    fn json(&mut self, at: &str, value: &Value) -> Json {
        match value {
            Value::Null => Json::Null,
            Value::Bool(it) => Json::Bool(*it),
            Value::Number(number) => Json::Number(number.clone()),
            Value::String(text) => Json::Text(self.template(at, text)),
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                Json::Array(numbered.map(|(number, item)| self.json(&format!("{at}/{number}"), item)).collect())
            }
            Value::Object(fields) => {
                let mut read = Vec::new();
                for (name, value) in fields {
                    let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                    if name.contains(['{', '}']) {
                        self.fault(&at, "a name without braces: placeholders stand in values only");
                    }
                    read.push((name.clone(), self.json(&at, value)));
                }
                Json::Object(read)
            }
        }
    }

    /// Each placeholder stands where it is known, and where it can be said.
    fn allowed(&mut self, at: &str, ask: &Ask, may: &[Slot]) {
        for slot in ask.templates().into_iter().flat_map(Template::slots) {
            if !may.contains(&slot) {
                self.fault(at, format!("no {{{}}}: it is not known in this call", slot.name()));
            }
        }
        let mut in_json = Vec::new();
        if let Some(Body::Json(json)) = &ask.body {
            json.templates(&mut in_json);
        }
        let lists = in_json.into_iter().filter(|text| text.only() == Some(Slot::Groups)).count();
        if lists != ask.templates().into_iter().flat_map(Template::slots).filter(|slot| *slot == Slot::Groups).count() {
            self.fault(at, "{groups} as a whole text of a JSON body: it is a list");
        }
    }

    fn reading<M: Means>(&mut self, at: &str, call: &HttpCall) -> Reading<M> {
        if !(1..=HTTP_ANSWERS_MAX).contains(&call.answers.len()) {
            self.fault(format!("{at}.answers"), format!("1 to {HTTP_ANSWERS_MAX}"));
        }
        let mut rules = Vec::new();
        for (number, answer) in call.answers.iter().take(HTTP_ANSWERS_MAX).enumerate() {
            rules.extend(self.rule::<M>(&format!("{at}.answers[{number}]"), answer));
        }
        for needed in M::NEEDED {
            if !call.answers.iter().any(|answer| answer.means == *needed) {
                self.fault(format!("{at}.answers"), format!("one that means {}", word(*needed)));
            }
        }
        let words = call.words.as_ref().and_then(|text| self.pointer(&format!("{at}.words"), text));
        Reading { rules, words }
    }

    fn rule<M: Means>(&mut self, at: &str, answer: &HttpAnswer) -> Option<Rule<M>> {
        let statuses = &answer.status;
        let known = |status: &u16| (200..=599).contains(status);
        if !(1..=HTTP_ANSWERS_MAX).contains(&statuses.len()) || !statuses.iter().all(known) {
            self.fault(format!("{at}.status"), "1 to 32 statuses from 200 to 599");
        }
        if answer.equals.is_some() && answer.pointer.is_none() {
            self.fault(format!("{at}.equals"), "a `pointer` beside it: where this value is");
        }
        let pointer = answer.pointer.as_ref().and_then(|text| self.pointer(&format!("{at}.pointer"), text));
        let means = M::of(answer.means);
        if means.is_none() {
            let all: Vec<&str> = M::ALL.iter().map(|meaning| word(*meaning)).collect();
            self.fault(format!("{at}.means"), format!("one of {}", all.join(", ")));
        }
        Some(Rule { statuses: statuses.clone(), body: pointer.map(|it| (it, answer.equals.clone())), means: means? })
    }

    fn pointer(&mut self, at: &str, text: &str) -> Option<Pointer> {
        let pointer = Pointer::parse(text);
        if pointer.is_none() {
            self.fault(at, "a JSON pointer (RFC 6901), e.g. /result/status");
        }
        pointer
    }

    /// Each call says what it is about. Whoever is tried may be said by `authentication` instead.
    fn needed(&mut self, at: &str, ask: &Ask, needs: &[&[Slot]]) {
        for any in needs {
            let told = ask.authentication.is_some()
                && any.iter().all(|slot| matches!(slot, Slot::Secret | Slot::ManagerSecret));
            if !told && !any.iter().any(|slot| ask.has(*slot)) {
                let names: Vec<String> = any.iter().map(|slot| format!("{{{}}}", slot.name())).collect();
                self.fault(at, format!("{} somewhere in it", names.join(" or ")));
            }
        }
    }

    /// What calls need of each other.
    fn together(&mut self, calls: &HttpCalls, create_ends: bool) {
        let making = [("find", &calls.find), ("create", &calls.create), ("remove", &calls.remove)];
        if making.iter().any(|(_, call)| call.is_some()) {
            for (name, _) in making.iter().filter(|(_, call)| call.is_none()) {
                self.fault(*name, "a call: whoever creates logins finds and removes them too");
            }
        }
        if create_ends && calls.extend.is_none() {
            self.fault("extend", "a call: `create` tells an end, and a checkout may be extended");
        }
        if calls.extend.is_some() && calls.create.is_none() {
            self.fault("extend", "nothing: there is no `create`");
        }
    }
}

/// Headers that frame a message, or that the vault sets itself.
const OURS: [&str; 12] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Whether a body goes beyond what it may hold. What was read has an end, so this has one too.
fn is_too_big(value: &Value, depth: usize, left: &mut usize) -> bool {
    if depth > HTTP_BODY_DEPTH_MAX || *left == 0 {
        return true;
    }
    *left -= 1;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        Value::Array(items) => items.iter().any(|item| is_too_big(item, depth + 1, left)),
        Value::Object(fields) => fields.values().any(|value| is_too_big(value, depth + 1, left)),
    }
}

/// A meaning as a description writes it.
fn word(meaning: HttpMeaning) -> &'static str {
    match meaning {
        HttpMeaning::Accepted => "accepted",
        HttpMeaning::MustChange => "must_change",
        HttpMeaning::LockedOut => "locked_out",
        HttpMeaning::Applied => "applied",
        HttpMeaning::Refused => "refused",
        HttpMeaning::RefusedByPolicy => "refused_by_policy",
        HttpMeaning::Unavailable => "unavailable",
        HttpMeaning::Absent => "absent",
        HttpMeaning::Ours => "ours",
        HttpMeaning::Others => "others",
    }
}
