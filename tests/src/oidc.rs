//! A certified OpenID provider in a process of its own, and a browser that signs on at it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its provider cannot go on")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Certificate, Method, StatusCode, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::pki::Ca;

/// The secret of the vault's client, with what forms and headers must encode.
pub const CLIENT_SECRET: &str = "s3cret/+%&=: x";
/// Nobody listens here: a browser that is led to it has landed.
pub const LANDING_PORT: u16 = 1024;
/// How long it may take to start.
const SOON: Duration = Duration::from_secs(30);
/// How often the provider is started before it is given up.
const STARTS_MOST: u32 = 3;
/// The most steps from one page to the next.
const STEPS_MAX: usize = 20;

/// A provider that runs until it is dropped.
pub struct Provider {
    /// The CA of its certificate, in PEM.
    pub ca: String,
    /// Its address, and the claim `iss` of its tokens.
    pub url: String,
    /// It ends with this.
    _process: Child,
}

impl Provider {
    /// A new one, whose client `vault` (with [`CLIENT_SECRET`]) and public client `public` send browsers back here.
    pub async fn start(redirect_uri: &str) -> Self {
        let ca = Ca::new("the provider's CA");
        let own = ca.server();
        let client = |id: &str, (name, value): (&str, &str)| {
            json!({
                "client_id": id, name: value, "redirect_uris": [redirect_uri], "response_types": ["code"],
                "scope": "openid email",
                "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
            })
        };
        let secret = client("vault", ("client_secret", CLIENT_SECRET));
        let public = client("public", ("token_endpoint_auth_method", "none"));
        let config = json!({ "key": own.key, "certificate": own.certificate, "clients": [secret, public] });
        let (url, process) = started(&config.to_string()).await;
        Self { ca: ca.pem, url, _process: process }
    }
}

/// Its address, once it listens. Node.js stands still at its start now and then: then it is started again.
async fn started(config: &str) -> (String, Child) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc/provider.mjs");
    for _ in 0..STARTS_MOST {
        let mut command = Command::new("node");
        command.arg(&script).arg(modules()).arg(config);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut process = command.spawn().expect("node is installed: run `scripts/setup test`");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        if let Ok(url) = tokio::time::timeout(SOON, lines.next_line()).await {
            return (url.unwrap().expect("the provider says where it listens"), process);
        }
    }
    panic!("the provider does not start");
}

/// `scripts/setup test` installs them.
fn modules() -> std::path::PathBuf {
    let test = std::env::current_exe().unwrap();
    let modules = test.ancestors().nth(3).unwrap().join("oidc");
    assert!(modules.join("node_modules").exists(), "{} is not there: run `scripts/setup test`", modules.display());
    modules
}

/// A browser with its cookies.
pub struct Browser {
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<(String, String), String>>,
}

/// What a browser shows.
pub struct Page {
    /// Its address.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its text.
    pub text: String,
}

/// What a person gives at the provider.
#[derive(Clone, Copy, Default)]
pub struct Person<'a> {
    /// Who.
    pub login: &'a str,
    /// How that is checked, with blanks between.
    pub amr: &'a str,
    /// How well.
    pub acr: &'a str,
    /// Says no instead, when not empty.
    pub deny: &'a str,
}

impl Browser {
    /// A new one, which trusts this CA.
    pub fn new(ca: &str) -> Self {
        let ca = Certificate::from_pem(ca.as_bytes()).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).timeout(SOON);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, cookies: Mutex::default() }
    }

    /// Opens an address and follows where it leads, to a page or to where it has landed.
    pub async fn open(&self, url: &str) -> Page {
        self.go(Method::GET, url.parse().unwrap(), &[]).await
    }

    /// Opens the address, and is whoever the provider asks for.
    pub async fn sign_on(&self, url: &str, person: Person<'_>) -> Page {
        let page = self.open(url).await;
        if !page.text.contains("name=\"login\"") {
            return page;
        }
        let given = [("login", person.login), ("amr", person.amr), ("acr", person.acr), ("deny", person.deny)];
        self.submit(&page, &given).await
    }

    /// Fills in a page's form and sends it.
    pub async fn submit(&self, page: &Page, given: &[(&str, &str)]) -> Page {
        let form = between(&page.text, "<form", "</form>").unwrap_or_else(|| panic!("no form: {}", page.text));
        let action = page.url.join(attribute(form, "action").unwrap_or_default()).unwrap();
        let mut fields: Vec<(String, String)> = Vec::new();
        for input in form.split("<input").skip(1) {
            let input = input.split('>').next().unwrap();
            let Some(name) = attribute(input, "name") else { continue };
            let own = given.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
            fields.push((name.to_owned(), own.or(attribute(input, "value").map(str::to_owned)).unwrap_or_default()));
        }
        self.go(Method::POST, action, &fields).await
    }

    /// One step: status, where it leads, and the text.
    pub async fn step(
        &self,
        method: Method,
        url: &Url,
        form: &[(String, String)],
    ) -> (StatusCode, Option<Url>, String) {
        let origin = url.origin().ascii_serialization();
        let mut request = self.http.request(method.clone(), url.clone()).header(COOKIE, self.cookies_of(&origin));
        if method == Method::POST {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        for cookie in response.headers().get_all(SET_COOKIE) {
            self.take(&origin, cookie.to_str().unwrap());
        }
        let next = response.headers().get(LOCATION).map(|to| url.join(to.to_str().unwrap()).unwrap());
        (response.status(), next, response.text().await.unwrap())
    }

    /// The cookies that it sends there.
    pub fn cookies_of(&self, origin: &str) -> String {
        let cookies = self.cookies.lock().unwrap();
        let own = cookies.iter().filter(|((of, _), _)| of == origin);
        own.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    async fn go(&self, mut method: Method, mut url: Url, form: &[(String, String)]) -> Page {
        for _ in 0..STEPS_MAX {
            if url.port() == Some(LANDING_PORT) {
                return Page { url, status: StatusCode::OK, text: String::new() };
            }
            let (status, next, text) = self.step(method, &url, form).await;
            match next {
                Some(next) if status.is_redirection() => url = next,
                _ => return Page { url, status, text },
            }
            method = Method::GET;
        }
        panic!("{url} leads on and on");
    }

    fn take(&self, origin: &str, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').unwrap();
        let key = (origin.to_owned(), name.to_owned());
        let gone = value.is_empty() || attributes.to_lowercase().contains("max-age=0;") || attributes.contains("1970");
        let mut cookies = self.cookies.lock().unwrap();
        if gone {
            cookies.remove(&key);
        } else {
            cookies.insert(key, value.to_owned());
        }
    }
}

impl Page {
    /// A parameter of its address.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
    }

    /// A field of its text, which is JSON.
    pub fn field(&self, name: &str) -> String {
        let text: Value = serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: {}", self.url, self.text));
        match text.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => panic!("no {name}: {}", self.text),
        }
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    text.split_once(from)?.1.split_once(to).map(|(inner, _)| inner)
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    between(tag, &format!(" {name}=\""), "\"")
}
