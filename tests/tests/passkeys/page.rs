//! The page itself: what it is served with, and what it does where something is missing.

use claviger_api::wire::NewPasskey;
use claviger_tests::raw::Raw;

use super::{House, name_of};

#[tokio::test]
async fn the_page_runs_its_own_script_alone_and_is_framed_by_nobody() {
    let house = House::start().await;
    for (path, kind) in [("/passkey", "text/html"), ("/passkey.js", "text/javascript"), ("/passkey.css", "text/css")] {
        let reply = Raw::nobody(house.vault.address()).get(path).await;
        let header = |name: &str| reply.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        assert_eq!(header("content-type"), format!("{kind}; charset=utf-8"));
        assert!(header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        let fixed = [("x-frame-options", "DENY"), ("referrer-policy", "no-referrer"), ("cache-control", "no-store")];
        for (name, value) in fixed.into_iter().chain([("x-content-type-options", "nosniff")]) {
            assert_eq!(header(name), value, "{path}");
        }
    }
    house.browser.open(&format!("{}/passkey", house.site())).await;
    let tried = "
        const script = document.createElement('script');
        script.textContent = 'window.intruder = true';
        document.body.append(script);
        const elsewhere = await fetch('https://example.invalid/').then(() => 'reached', () => 'refused');
        return { intruder: window.intruder === true, elsewhere };";
    let tried = house.browser.run(tried, serde_json::Value::Null).await;
    let expected = serde_json::json!({ "intruder": false, "elsewhere": "refused" });
    assert_eq!(tried["value"], expected);
    house.browser.close().await;
}

#[tokio::test]
async fn the_page_takes_a_name_that_is_typed_and_says_when_it_is_used_up() {
    let house = House::start().await;
    let (browser, site) = (&house.browser, house.site());
    let authenticator = browser.plug_in().await;
    let technician = house.vault.technician();
    let ceremony = technician.auth().offer_passkey(&NewPasskey { label: "laptop".to_owned() }).await.unwrap();
    browser.open(&format!("{site}/passkey")).await;
    assert!(browser.shows("#by-hand").await && !browser.shows("#about").await);
    browser.write("#ceremony", &name_of(&ceremony).to_lowercase().replace('-', " ")).await;
    browser.click("#by-hand button").await;
    assert_eq!(browser.read("#mark").await, ceremony.mark);
    // Whoever is not recognised can try again: nothing was answered.
    browser.recognises(&authenticator, false).await;
    browser.click("#go").await;
    browser.waits_for("#status", "try again").await;
    browser.recognises(&authenticator, true).await;
    browser.click("#go").await;
    assert_eq!(browser.read("#code").await.len(), "1234 5678".len());
    browser.open(&ceremony.url).await;
    browser.waits_for("#status", "used up").await;
    assert!(!browser.shows("#about").await);
    house.browser.close().await;
}
