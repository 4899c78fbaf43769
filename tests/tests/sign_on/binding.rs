//! A sign-on is one person's, in one browser, at one provider, for one program, once.

use std::time::Duration;

use claviger_api::wire::NewUser;
use claviger_tests::inventory::part;
use claviger_tests::issuer::Issuer;
use claviger_tests::oidc::{Browser, Page, Person};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use crate::house::{Begun, House, as_person, code_of, refusal_of, refused, sign_on};

/// Signs on at the provider, up to but without the step back to the vault.
async fn until_callback(house: &House, browser: &Browser, begun: &Begun, person: Person<'_>) -> Url {
    let mut next: Url = begun.address.parse().unwrap();
    let mut form: Vec<(String, String)> = Vec::new();
    for _ in 0..20 {
        let method = if form.is_empty() { Method::GET } else { Method::POST };
        let (_, to, text) = browser.step(method, &next, &form).await;
        form.clear();
        match to {
            Some(to) if to.as_str().starts_with(&format!("{}/v1/auth/oidc/callback", house.vault.address())) => {
                return to;
            }
            Some(to) => next = to,
            None => {
                assert!(text.contains("name=\"login\""), "{text}");
                for (name, value) in [("login", person.login), ("amr", person.amr)] {
                    form.push((name.to_owned(), value.to_owned()));
                }
            }
        }
    }
    panic!("no callback")
}

fn with(url: &Url, name: &str, value: Option<&str>) -> String {
    let mut changed = url.clone();
    let others: Vec<(String, String)> =
        url.query_pairs().filter(|(own, _)| own != name).map(|(a, b)| (a.into_owned(), b.into_owned())).collect();
    changed.query_pairs_mut().clear().extend_pairs(others).extend_pairs(value.map(|value| (name, value)));
    changed.into()
}

/// Refused to this browser itself: nobody is led anywhere.
fn is_refused_here(page: &Page) {
    assert_eq!(page.field("type"), "urn:claviger:problem:sign-on-failed", "{}", page.text);
    assert!(page.field("detail").contains("not begun in this browser"), "{}", page.text);
}

#[tokio::test]
async fn anvil_oidc_binding_nobody_is_linked_by_a_name_or_an_unverified_e_mail_address() {
    let house = House::start().await;
    // The provider says of `tina` that she is tina@vault.example, and so does everybody else's of themselves.
    for login in ["tina", "ada", "tina@vault.example", "TINA"] {
        let (code, detail) = refused(house.log_in(as_person(login)).await);
        assert_eq!(code, "sign-on-not-linked");
        assert!(detail.contains(&format!("subject {login} of")), "{detail}");
    }
    house.adds_linked("new", "sub-new").await;
    for login in ["SUB-NEW", "sub-new/", "new", "sub-ne", "sub-new2"] {
        assert_eq!(refused(house.log_in(as_person(login)).await).0, "sign-on-not-linked", "{login}");
    }
}

#[tokio::test]
async fn anvil_oidc_binding_a_sign_on_begun_in_one_browser_does_not_end_in_another() {
    let house = House::start().await;
    let (mine, theirs) = (house.browser(), house.browser());
    let begun = house.begin();
    let callback = until_callback(&house, &mine, &begun, as_person("sub-mine")).await;
    is_refused_here(&theirs.open(callback.as_str()).await);
    // Also where that browser has begun one of its own.
    until_callback(&house, &theirs, &house.begin(), as_person("sub-theirs")).await;
    is_refused_here(&theirs.open(callback.as_str()).await);
    for wrong in [None, Some(""), Some("x")] {
        is_refused_here(&mine.open(&with(&callback, "state", wrong)).await);
    }
    let cookie = mine.cookies_of(house.vault.address());
    assert!(cookie.starts_with("__Host-claviger-sign-on="), "{cookie}");
    code_of(&mine.open(callback.as_str()).await, &begun.state);
    assert_eq!(mine.cookies_of(house.vault.address()), "", "used up");
}

#[tokio::test]
async fn the_cookie_is_for_this_host_alone_and_out_of_every_scripts_reach() {
    let house = House::start().await;
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = http.get(house.begin().address).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    for wanted in ["__Host-", "; Path=/;", "; Secure;", "; HttpOnly;", "; SameSite=Lax", "; Max-Age=600;"] {
        assert!(cookie.contains(wanted), "{cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
    let location = answer.headers()["location"].to_str().unwrap();
    for wanted in ["response_type=code", "code_challenge_method=S256", "&state=", "&nonce=", "&scope=openid+email"] {
        assert!(location.contains(wanted), "{location}");
    }
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
}

#[tokio::test]
async fn anvil_oidc_binding_each_code_is_good_once_and_for_whoever_began() {
    let house = House::start().await;
    house.adds_linked("new", "sub-new").await;
    let browser = house.browser();
    let begun = house.begin();
    let callback = until_callback(&house, &browser, &begun, as_person("sub-new")).await;
    let cookie = browser.cookies_of(house.vault.address());
    let code = code_of(&browser.open(callback.as_str()).await, &begun.state);
    // The same answer of the provider's again, by who has kept the cookie.
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let again = http.get(callback.clone()).header("cookie", cookie).send().await.unwrap();
    assert_eq!(again.status(), 401);

    let other = house.begin();
    let login = async |code: &claviger_api::Secret, begun: &Begun| {
        house.nobody().sign_on().login(code.duplicate(), &begun.key).await
    };
    assert_eq!(refused(login(&code, &other).await).0, "sign-on-failed", "another's verifier");
    login(&code, &begun).await.unwrap();
    assert_eq!(refused(login(&code, &begun).await).0, "sign-on-failed", "a second time");
}

#[tokio::test]
async fn anvil_oidc_binding_a_code_of_another_sign_on_fails_at_the_providers_pkce() {
    let house = House::start().await;
    let (mine, theirs) = (house.browser(), house.browser());
    let stolen = until_callback(&house, &theirs, &house.begin(), as_person("sub-theirs")).await;
    let stolen = stolen.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let begun = house.begin();
    let callback = until_callback(&house, &mine, &begun, as_person("sub-mine")).await;
    let (code, detail) = refusal_of(&mine.open(&with(&callback, "code", Some(&stolen))).await);
    assert_eq!(code, "sign-on-failed");
    assert!(detail.contains("invalid_grant"), "{detail}");
}

#[tokio::test]
async fn anvil_oidc_binding_an_answer_of_another_provider_is_refused() {
    let house = House::start().await;
    for iss in [None, Some("https://evil.example"), Some(""), Some(&*format!("{}/", house.provider.url))] {
        let browser = house.browser();
        let callback = until_callback(&house, &browser, &house.begin(), as_person("sub")).await;
        let (code, detail) = refusal_of(&browser.open(&with(&callback, "iss", iss)).await);
        assert_eq!(code, "sign-on-failed");
        assert!(detail.contains("Another identity provider answered"), "{iss:?}: {detail}");
    }
}

#[tokio::test]
async fn who_says_no_at_the_provider_is_told_and_so_is_whoever_waits() {
    let house = House::start().await;
    let page = house.browser().sign_on(&house.begin().address, Person { deny: "1", ..Person::default() }).await;
    let (code, detail) = refusal_of(&page);
    assert!(code == "sign-on-failed" && detail.contains("did not let you in"), "{detail}");
}

#[tokio::test]
async fn a_sign_on_from_before_a_restart_is_refused_cleanly() {
    let mut house = House::start().await;
    let browser = house.browser();
    let callback = until_callback(&house, &browser, &house.begin(), as_person("sub")).await;
    let cookie = browser.cookies_of(house.vault.address());
    house.vault.stop().await;
    house.vault.restart().await;
    let query = callback.query().unwrap();
    let address = format!("{}/v1/auth/oidc/callback?{query}", house.vault.address());
    let answer = reqwest::Client::new().get(address).header("cookie", cookie).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(answer.text().await.unwrap().contains("the vault was restarted meanwhile"));
}

#[tokio::test]
async fn a_provider_that_is_away_is_told_as_that_and_a_password_still_works() {
    let House { vault, provider } = House::start().await;
    drop(provider);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let provider = claviger_tests::oidc::Provider::start("http://127.0.0.1:1/v1/auth/oidc/callback").await;
    let house = House { vault, provider };
    let page = house.browser().open(&house.begin().address).await;
    assert_eq!(page.field("status"), "503");
    let detail = page.field("detail");
    assert!(detail.contains("entra cannot be asked now") && detail.contains("your password"), "{detail}");
    assert!(house.vault.log().contains("the identity provider entra cannot be asked"), "the operator is told why");
    house.vault.people.technician.log_in(house.vault.address()).await;
}

#[tokio::test]
async fn a_client_without_a_secret_signs_on_too() {
    let house = House::start().await;
    house.adds("public", |new| (new.client_id, new.client_secret) = ("public".to_owned(), None)).await;
    let begun = house.begin_at("public");
    code_of(&house.browser().sign_on(&begun.address, as_person("sub")).await, &begun.state);
    house.adds("wrong", |new| new.client_secret = None).await;
    let (code, detail) = refusal_of(&house.browser().sign_on(&house.begin_at("wrong").address, as_person("sub")).await);
    assert!(code == "sign-on-failed" && detail.contains("client id or secret"), "{detail}");
}

/// What a provider says of a nonce.
type Lie<'a> = Box<dyn Fn(&str) -> Value + 'a>;

/// A provider that lies: it gives what the test says, signed as the test says.
struct Liar {
    house: House,
    issuer: Issuer,
}

impl Liar {
    async fn start() -> Self {
        let house = House::start().await;
        let issuer = Issuer::start().await;
        let (ca, url) = (issuer.ca.clone(), issuer.url.clone());
        house
            .adds("liar", |new| {
                new.ca_certificate = Some(ca);
                new.issuer = url.parse().unwrap();
            })
            .await;
        let users = house.vault.administrator();
        users.users().add(&NewUser { name: part("new"), customer: None }).await.unwrap();
        users.users().link(&part("new"), &sign_on("liar", "sub-new")).await.unwrap();
        Self { house, issuer }
    }

    /// Begins, and comes back with what the provider says of this nonce.
    async fn says(&self, token: impl FnOnce(&str) -> Value) -> (Begun, Page) {
        let (begun, browser) = (self.house.begin_at("liar"), self.house.browser());
        let (_, location, text) = browser.step(Method::GET, &begun.address.parse().unwrap(), &[]).await;
        let location = location.unwrap_or_else(|| panic!("{text}"));
        let asked = |name: &str| location.query_pairs().find(|(own, _)| own == name).unwrap().1.into_owned();
        self.issuer.gives(token(&asked("nonce")));
        let callback = format!("{}/v1/auth/oidc/callback", self.house.vault.address());
        let page = browser.open(&format!("{callback}?code=x&state={}", asked("state"))).await;
        (begun, page)
    }

    fn claims(&self, nonce: &str) -> Value {
        let now = claviger_service::Clock::now(&claviger_service::SystemClock::default());
        let mut claims = self.issuer.claims("vault", "sub-new", now.as_second());
        claims.as_object_mut().unwrap().insert("nonce".to_owned(), json!(nonce));
        claims
    }
}

#[tokio::test]
async fn anvil_oidc_binding_tokens_of_another_nonce_key_or_algorithm_are_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let liar = Liar::start().await;
    let (begun, page) = liar.says(|nonce| json!({ "id_token": liar.issuer.token(&liar.claims(nonce)) })).await;
    let code = code_of(&page, &begun.state);
    liar.house.nobody().sign_on().login(code, &begun.key).await.unwrap();
    // The vault has a secret here, and this provider takes it in the form alone.
    let form = liar.issuer.was_asked_by();
    for wanted in
        ["grant_type=authorization_code&code=x&", "&code_verifier=", "&client_id=vault&client_secret=s3cret%2F%2B"]
    {
        assert!(form.contains(wanted), "{form}");
    }

    let issuer = &liar.issuer;
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed_by_hmac = |claims: &Value| {
        let key = issuer.jwks()["keys"][0].to_string();
        let header = jsonwebtoken::Header { kid: Some("1".to_owned()), ..jsonwebtoken::Header::default() };
        jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(key.as_bytes())).unwrap()
    };
    let lies: [(&str, Lie<'_>); 9] = [
        ("another nonce", Box::new(|_| json!({ "id_token": issuer.token(&liar.claims("other")) }))),
        (
            "no nonce",
            Box::new(|_| {
                let mut claims = liar.claims("");
                claims.as_object_mut().unwrap().remove("nonce");
                json!({ "id_token": issuer.token(&claims) })
            }),
        ),
        (
            "another client",
            Box::new(|nonce| {
                let mut claims = liar.claims(nonce);
                claims["aud"] = json!(["vault", "other"]);
                json!({ "id_token": issuer.token(&claims) })
            }),
        ),
        (
            "another issuer",
            Box::new(|nonce| {
                let mut claims = liar.claims(nonce);
                claims["iss"] = json!(liar.house.provider.url);
                json!({ "id_token": issuer.token(&claims) })
            }),
        ),
        (
            "alg none",
            Box::new(|nonce| {
                let claims = liar.claims(nonce);
                json!({ "id_token": format!("{}.{}.", text(&json!({ "alg": "none", "kid": "1" })), text(&claims)) })
            }),
        ),
        ("HMAC by the public key", Box::new(|nonce| json!({ "id_token": signed_by_hmac(&liar.claims(nonce)) }))),
        (
            "a signature of other claims",
            Box::new(|nonce| {
                let (good, mut claims) = (issuer.token(&liar.claims(nonce)), liar.claims(nonce));
                claims["sub"] = json!("sub-other");
                let parts: Vec<&str> = good.split('.').collect();
                json!({ "id_token": format!("{}.{}.{}", parts[0], text(&claims), parts[2]) })
            }),
        ),
        ("no ID token", Box::new(|_| json!({ "access_token": "x" }))),
        ("no JSON Web Token", Box::new(|_| json!({ "id_token": "x" }))),
    ];
    for (what, token) in lies {
        let (_, page) = liar.says(token).await;
        assert_eq!(refusal_of(&page).0, "sign-on-failed", "{what}");
    }
}

#[tokio::test]
async fn a_providers_clock_that_is_wrong_is_told_as_that() {
    let liar = Liar::start().await;
    let (_, page) = liar
        .says(|nonce| {
            let mut claims = liar.claims(nonce);
            for name in ["iat", "nbf", "exp"] {
                claims[name] = json!(claims[name].as_i64().unwrap() + 1000);
            }
            json!({ "id_token": liar.issuer.token(&claims) })
        })
        .await;
    let (_, detail) = refusal_of(&page);
    assert!(detail.contains("The clock of the identity provider liar is") && detail.contains("ahead of"), "{detail}");
}
