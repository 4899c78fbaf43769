//! Who can sign on, and what the session may do.

use claviger_api::wire::{
    ChangeIdentityProvider, LoginAnswer, MfaRequest, NewCustomer, NewUser, PrincipalState, SecondFactor,
};
use claviger_client::{Client, Credentials};
use claviger_tests::inventory::part;
use claviger_tests::oidc::Person;

use crate::house::{House, as_person, code_of, is_session, refusal_of, refused, sign_on};

#[tokio::test]
async fn who_has_a_second_factor_links_by_invitation_and_is_asked_for_it_at_each_sign_on() {
    let house = House::start().await;
    let kim = house.adds_technician("kim", "sub-kim").await;
    let LoginAnswer::SecondFactor(asked) = house.log_in(as_person("sub-kim")).await.unwrap() else {
        panic!("nobody gets in without a second factor")
    };
    let code = kim.app.code(asked.server_time).await.disclose();
    let request = MfaRequest { challenge: asked.challenge, second_factor: SecondFactor::Totp(code) };
    let tokens = house.nobody().auth().mfa(&request).await.unwrap();
    assert!(!tokens.may_only_enrol);
    let shown = house.vault.administrator().users().show(&kim.name).await.unwrap();
    assert_eq!((shown.sign_ons.len(), shown.sign_ons[0].subject.as_str()), (1, "sub-kim"));
}

#[tokio::test]
async fn an_invitation_is_for_one_user_one_provider_and_one_use() {
    let house = House::start().await;
    house.adds("other", |_| {}).await;
    let (administrator, address) = (house.vault.administrator(), house.vault.address());
    let kim = house.vault.people.administrator.adds_user(address, "kim", None).await;
    let sam = house.vault.people.administrator.adds_user(address, "sam", None).await;
    let redeem = async |user: &claviger_tests::people::Person, invitation: &claviger_api::Secret| {
        let (code, key) = house.signed_on(as_person("sub-kim")).await;
        let request = claviger_api::wire::SignOnLink {
            invitation: invitation.duplicate().disclose(),
            code: code.disclose(),
            verifier: key.verifier.disclose(),
        };
        user.client(address).sign_on().link(&request).await
    };
    let invite = async |provider: &str| {
        let invited = administrator.users().invite_sign_on(&kim.name, &part(provider)).await.unwrap();
        invited.invitation.into_secret()
    };
    let (older, other) = (invite("entra").await, invite("other").await);
    for invitation in [&older, &other] {
        assert_eq!(refused(redeem(&kim, invitation).await).0, "invalid-credentials");
    }
    let good = invite("entra").await;
    assert_eq!(refused(redeem(&sam, &good).await).0, "invalid-credentials", "another's");
    redeem(&kim, &good).await.unwrap();
    assert_eq!(refused(redeem(&kim, &good).await).0, "invalid-credentials", "used up");
    // One subject is one user.
    assert_eq!(refused(house.links(&sam, "sub-kim").await).0, "in-use");
}

#[tokio::test]
async fn an_administrator_links_only_who_was_never_enrolled_and_so_becomes_nobody_else() {
    let house = House::start().await;
    house.adds_linked("new", "sub-new").await;
    let answer = house.log_in(as_person("sub-new")).await.unwrap();
    assert!(answer.session().unwrap().may_only_enrol, "a sign-on alone is one factor");
    let users = house.vault.administrator();
    assert_eq!(users.users().show(&part("new")).await.unwrap().state, PrincipalState::Active);

    let refused_link = users.users().link(&part("tina"), &sign_on("entra", "sub-evil")).await;
    assert_eq!(refused(refused_link).0, "in-use");
    // What was taken away by two stays so.
    users.users().re_enrol(&part("new")).await.unwrap();
    let again = users.users().link(&part("new"), &sign_on("entra", "sub-evil")).await;
    assert_eq!(refused(again).0, "in-use");
    assert_eq!(refused(house.log_in(as_person("sub-new")).await).0, "sign-on-not-linked");
}

#[tokio::test]
async fn a_first_login_by_a_sign_on_needs_no_password() {
    let house = House::start().await;
    let users = house.vault.administrator();
    let added = users.users().add(&NewUser { name: part("new"), customer: None }).await.unwrap();
    house.enrols("new", added.enrolment.secret().duplicate(), "sub-new").await.unwrap();
    let again = house.enrols("new", added.enrolment.into_secret(), "sub-other").await;
    assert_eq!(refused(again).0, "invalid-credentials");
    assert!(is_session(&house.log_in(as_person("sub-new")).await.unwrap()));
    // Suspended and let in again, it is still who it was.
    users.users().suspend(&part("new")).await.unwrap();
    assert_eq!(users.users().resume(&part("new")).await.unwrap().state, PrincipalState::Active);
    assert!(is_session(&house.log_in(as_person("sub-new")).await.unwrap()));
}

#[tokio::test]
async fn a_second_factor_of_the_provider_counts_only_where_it_is_trusted() {
    let house = House::start_with(|new| new.trusts_mfa = true).await;
    house.adds_technician("kim", "sub-kim").await;
    let with = |amr| Person { login: "sub-kim", amr, ..Person::default() };
    assert!(!is_session(&house.log_in(with("pwd")).await.unwrap()), "one factor");
    let tokens = house.log_in(with("pwd otp")).await.unwrap().session().expect("two factors");
    assert!(!tokens.may_only_enrol);
    let access = tokens.access_token.into_secret();
    let refresh = tokens.refresh_token.unwrap().into_secret();
    let client = Client::builder().address(house.vault.address()).credentials(Credentials::Session { access, refresh });
    assert!(client.build().unwrap().auth().me().await.unwrap().second_factor_at.is_some());

    let change = ChangeIdentityProvider { trusts_mfa: Some(false), ..ChangeIdentityProvider::default() };
    house.vault.administrator().identity_providers().change(&part("entra"), &change).await.unwrap();
    assert!(!is_session(&house.log_in(with("pwd otp")).await.unwrap()));
}

#[tokio::test]
async fn one_whose_factor_is_the_providers_is_not_enrolled_anew_by_one_administrator() {
    let house = House::start_with(|new| new.trusts_mfa = true).await;
    house.adds_linked("new", "sub-new").await;
    let two = Person { login: "sub-new", amr: "mfa", ..Person::default() };
    assert!(!house.log_in(two).await.unwrap().session().unwrap().may_only_enrol);
    let users = house.vault.administrator();
    users.users().unlink(&part("new"), &part("entra")).await.unwrap();
    assert!(users.users().re_enrol(&part("new")).await.unwrap().needs_confirmation);
}

#[tokio::test]
async fn what_the_record_demands_must_have_been_checked() {
    let house = House::start_with(|new| {
        new.acr = vec!["gold".to_owned()];
        new.amr = vec!["hwk".to_owned()];
    })
    .await;
    house.adds_linked("new", "sub-new").await;
    for (amr, acr, right) in [("hwk pin", "gold", true), ("hwk pin", "silver", false), ("pwd", "gold", false)] {
        let begun = house.begin();
        let page = house.browser().sign_on(&begun.address, Person { login: "sub-new", amr, acr, deny: "" }).await;
        if right {
            code_of(&page, &begun.state);
        } else {
            let (code, detail) = refusal_of(&page);
            assert!(code == "sign-on-failed" && detail.contains("did not check you as the vault demands"), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_disabled_ends_what_it_has_opened_and_opens_nothing() {
    let house = House::start().await;
    let kim = house.adds_technician("kim", "sub-kim").await;
    let client = kim.client(house.vault.address());
    client.auth().me().await.unwrap();
    let providers = house.vault.administrator();
    let change = |enabled| ChangeIdentityProvider { enabled: Some(enabled), ..ChangeIdentityProvider::default() };
    let (code, key) = house.signed_on(as_person("sub-kim")).await;
    providers.identity_providers().change(&part("entra"), &change(false)).await.unwrap();
    assert_eq!(refused(client.auth().me().await).0, "session-ended");
    assert_eq!(refused(house.nobody().sign_on().login(code, &key).await).0, "sign-on-failed");
    assert!(house.browser().open(&house.begin().address).await.text.contains("disabled"));
    assert_eq!(refused(providers.identity_providers().remove(&part("entra")).await).0, "in-use");
    providers.identity_providers().change(&part("entra"), &change(true)).await.unwrap();
    assert!(!is_session(&house.log_in(as_person("sub-kim")).await.unwrap()));
    providers.users().unlink(&kim.name, &part("entra")).await.unwrap();
    assert_eq!(refused(house.log_in(as_person("sub-kim")).await).0, "sign-on-not-linked");
    providers.identity_providers().remove(&part("entra")).await.unwrap();
}

#[tokio::test]
async fn anvil_oidc_binding_a_customers_provider_signs_in_that_customers_users_alone() {
    let house = House::start().await;
    let administrator = house.vault.administrator();
    for slug in ["acme", "umbra"] {
        let new = NewCustomer { slug: part(slug), display_name: slug.to_owned() };
        administrator.customers().add(&new).await.unwrap();
    }
    house.adds("acme-id", |new| new.customer = Some(part("acme"))).await;
    for (user, customer) in [("msp", None), ("acme-user", Some("acme")), ("umbra-user", Some("umbra"))] {
        administrator.users().add(&NewUser { name: part(user), customer: customer.map(part) }).await.unwrap();
    }
    for (user, provider, may) in [
        ("msp", "acme-id", false),
        ("umbra-user", "acme-id", false),
        ("umbra-user", "entra", false),
        ("acme-user", "entra", false),
        ("acme-user", "acme-id", true),
    ] {
        let linked = administrator.users().link(&part(user), &sign_on(provider, "sub")).await;
        assert_eq!(linked.is_ok(), may, "{user} by {provider}");
        let invited = administrator.users().invite_sign_on(&part(user), &part(provider)).await;
        assert_eq!(invited.is_ok(), may, "{user} by {provider}");
    }
    // The same subject at the MSP's provider is nobody's.
    assert_eq!(refused(house.log_in(as_person("sub")).await).0, "sign-on-not-linked");
    let begun = house.begin_at("acme-id");
    let page = house.browser().sign_on(&begun.address, as_person("sub")).await;
    let answer = house.nobody().sign_on().login(code_of(&page, &begun.state), &begun.key).await.unwrap();
    assert!(is_session(&answer));
    assert_eq!(refused(administrator.customers().remove(&part("acme")).await).0, "in-use");
}

#[tokio::test]
async fn anvil_oidc_binding_a_suspended_user_is_refused_like_one_who_is_not_linked() {
    let house = House::start().await;
    let kim = house.adds_technician("kim", "sub-kim").await;
    house.vault.administrator().users().suspend(&kim.name).await.unwrap();
    let suspended = refused(house.log_in(as_person("sub-kim")).await);
    let unknown = refused(house.log_in(as_person("sub-foo")).await);
    assert_eq!(suspended, (unknown.0, unknown.1.replace("sub-foo", "sub-kim")));
    house.vault.administrator().users().remove(&kim.name).await.unwrap();
    assert_eq!(refused(house.log_in(as_person("sub-kim")).await), suspended);
}
