//! A real browser: headless Chromium by its own driver, with authenticators that the browser itself plays (WebDriver's
//! extension for Web Authentication, <https://www.w3.org/TR/webauthn-3/#sctn-automation>).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test without its browser cannot go on")]

use std::process::Stdio;
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A start on a busy machine.
const SOON: Duration = Duration::from_mins(1);
/// How often the driver is started before it is given up.
const DRIVER_STARTS_MOST: u32 = 5;
/// Debian's packages.
const DRIVER: &str = "/usr/bin/chromedriver";
const CHROMIUM: &str = "/usr/bin/chromium";

/// A browser with a profile of its own. It ends with the test.
pub struct Browser {
    client: Client,
    _driver: Child,
    _profile: TempDir,
}

/// An authenticator in a browser, by its id there.
pub struct Authenticator(String);

impl Browser {
    /// Starts one.
    pub async fn start() -> Self {
        assert!(std::path::Path::new(DRIVER).exists(), "{DRIVER} is not there: run `scripts/setup test`");
        let (driver, port) = driver().await;
        let profile = TempDir::with_prefix("claviger-chromium-").unwrap();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&profile))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the browser starts");
        Self { client, _driver: driver, _profile: profile }
    }

    /// Opens an address. One that differs from the present page's behind its `#` alone is loaded anew, too.
    pub async fn open(&self, url: &str) {
        self.client.goto("about:blank").await.unwrap();
        self.client.goto(url).await.unwrap();
    }

    /// Waits until something is to be seen, and reads it.
    pub async fn read(&self, css: &str) -> String {
        let found = self.client.wait().at_most(SOON).for_element(Locator::Css(css)).await;
        let element = found.unwrap_or_else(|error| panic!("{css}: {error}"));
        crate::poll::until(css, SOON, async || {
            let text = element.text().await.unwrap();
            (!text.is_empty()).then_some(text)
        })
        .await
    }

    /// Waits until something says this.
    pub async fn waits_for(&self, css: &str, words: &str) {
        let element = self.client.wait().at_most(SOON).for_element(Locator::Css(css)).await.unwrap();
        let says = async || element.text().await.unwrap().contains(words).then_some(());
        crate::poll::until(words, SOON, says).await;
    }

    /// Waits until something is to be seen, and clicks it.
    pub async fn click(&self, css: &str) {
        self.read(css).await;
        self.client.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    /// Types into a field.
    pub async fn write(&self, css: &str, text: &str) {
        let found = self.client.wait().at_most(SOON).for_element(Locator::Css(css)).await.unwrap();
        found.send_keys(text).await.unwrap();
    }

    /// Whether something is to be seen.
    pub async fn shows(&self, css: &str) -> bool {
        self.client.find(Locator::Css(css)).await.unwrap().is_displayed().await.unwrap()
    }

    /// Runs the body of an async function in the page, and gives what it returns. It can use `bytes` and `text`, which
    /// read and write base 64 (URL), and `argument`.
    pub async fn run(&self, body: &str, argument: Value) -> Value {
        let script = format!(
            "const [argument, done] = arguments; {HELPERS}\
             (async () => {{ {body} }})().then((value) => done({{ value }}), (error) => done({{ error: `${{error}}` }}));"
        );
        self.client.execute_async(&script, vec![argument]).await.unwrap()
    }

    /// What a page says to `navigator.credentials.get` for these options, as the vault's own page sends it. `Err` where the
    /// browser refuses.
    pub async fn assertion(&self, public_key: &Value) -> Result<Value, String> {
        let done = self.run(ASSERTION, public_key.clone()).await;
        match done.get("value") {
            Some(value) => Ok(value.clone()),
            None => Err(done.get("error").map(ToString::to_string).unwrap_or_default()),
        }
    }

    /// Plugs an authenticator in. It is part of the machine, as a fingerprint reader is, and says yes to everything.
    pub async fn plug_in(&self) -> Authenticator {
        let body = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
            "isUserVerified": true, "isUserConsenting": true,
        });
        let id = self.web_authn(Method::POST, "authenticator", Some(body)).await.unwrap();
        Authenticator(id.as_str().unwrap().to_owned())
    }

    /// Unplugs it, with all that it holds.
    pub async fn unplug(&self, authenticator: Authenticator) {
        self.web_authn(Method::DELETE, &format!("authenticator/{}", authenticator.0), None).await.unwrap();
    }

    /// Whether it recognises its user from now on.
    pub async fn recognises(&self, authenticator: &Authenticator, user: bool) {
        let at = format!("authenticator/{}/uv", authenticator.0);
        self.web_authn(Method::POST, &at, Some(json!({ "isUserVerified": user }))).await.unwrap();
    }

    /// The keys that it holds, whole: what nobody can take out of a real one.
    pub async fn keys(&self, authenticator: &Authenticator) -> Vec<Value> {
        let at = format!("authenticator/{}/credentials", authenticator.0);
        self.web_authn(Method::GET, &at, None).await.unwrap().as_array().unwrap().clone()
    }

    /// Puts a key in.
    pub async fn put(&self, authenticator: &Authenticator, key: Value) {
        let at = format!("authenticator/{}/credential", authenticator.0);
        self.web_authn(Method::POST, &at, Some(key)).await.unwrap();
    }

    /// Ends the browser. One that is only dropped ends too, a moment later.
    pub async fn close(self) {
        self.client.clone().close().await.unwrap();
    }

    async fn web_authn(&self, method: Method, at: &str, body: Option<Value>) -> Result<Value, CmdError> {
        self.client.issue_cmd(WebAuthn { method, at: at.to_owned(), body }).await
    }
}

/// `/session/{id}/webauthn/…`.
#[derive(Debug)]
struct WebAuthn {
    method: Method,
    at: String,
    body: Option<Value>,
}

impl WebDriverCompatibleCommand for WebAuthn {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, <Url as std::str::FromStr>::Err> {
        base.join(&format!("session/{}/webauthn/{}", session.unwrap_or_default(), self.at))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (self.method.clone(), self.body.as_ref().map(ToString::to_string))
    }
}

/// The driver, and the port that it has found. It takes one that is free to IPv4 and gives up where another has the same
/// to IPv6: then it is started again.
async fn driver() -> (Child, String) {
    for _ in 0..DRIVER_STARTS_MOST {
        // The driver ends with the test's process; the browser, which it talks to through a pipe, ends with the driver.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", DRIVER, "--port=0"]).kill_on_drop(true);
        let mut driver = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
        let port = tokio::time::timeout(SOON, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, port)) = line.split_once("successfully on port ") {
                    return Some(port.trim_end_matches('.').to_owned());
                }
            }
            None
        });
        if let Some(port) = port.await.expect("the driver of the browser starts in time") {
            return (driver, port);
        }
    }
    panic!("the driver of the browser does not start");
}

fn capabilities(profile: &TempDir) -> Capabilities {
    let profile = format!("--user-data-dir={}", profile.path().display());
    let arguments = [
        "--headless",
        "--no-sandbox", // the tests may run as root, where the sandbox does not start
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--remote-debugging-pipe",
        &profile,
    ];
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": CHROMIUM, "args": arguments },
        "webauthn:virtualAuthenticators": true,
        "timeouts": { "script": 60_000 },
    });
    let Value::Object(capabilities) = capabilities else { unreachable!("it is an object") };
    capabilities
}

const HELPERS: &str = "
    const bytes = (text) => Uint8Array.from(
        atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
    const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
        .replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
";

const ASSERTION: &str = "
    const allowCredentials = argument.allowCredentials.map((known) => ({ ...known, id: bytes(known.id) }));
    const publicKey = { ...argument, challenge: bytes(argument.challenge), allowCredentials };
    const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
    return { id, rawId: text(rawId), type, response: {
        authenticatorData: text(response.authenticatorData),
        clientDataJSON: text(response.clientDataJSON),
        signature: text(response.signature),
        userHandle: response.userHandle ? text(response.userHandle) : null,
    } };
";
