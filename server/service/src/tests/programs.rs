//! How programs log in, and what their sessions are bound to.

use std::sync::Arc;

use claviger_api::Scope;
use claviger_api::audit::kind::EventKind;
use claviger_api::audit::record::FieldName;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    CertificatePin, ChangeServiceAccount, GrantKind, NewCustomer, NewGrant, NewServiceAccount, Role, Thumbprint, Tokens,
};
use claviger_core::policy::Resource;
use claviger_store::{Range, Table};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::world::{Refused as _, World, may, new_grant, part, seconds};
use crate::event::StoredLeaf;
use crate::identity::login;
use crate::{ClientCertificate, Once, Origin, Paging, Result};

/// The origin of a request from this address.
fn from(address: &str) -> Origin {
    Origin::of(Some(address.parse().unwrap()))
}

/// The origin of a request over a connection with this certificate.
fn with(certificate: &Arc<ClientCertificate>) -> Origin {
    Origin { certificate: Some(certificate.clone()), ..from("10.0.0.5") }
}

/// A certificate of a CA of its own. Whether the CA is one that may is TLS's to find out, before any of this.
fn certificate(common_name: &str, names: Vec<SanType>) -> Arc<ClientCertificate> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = Issuer::new(ca, KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.subject_alt_names = names;
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 1, 1), rcgen::date_time_ymd(2026, 11, 25));
    let made = params.signed_by(&KeyPair::generate().unwrap(), &ca).unwrap();
    Arc::new(ClientCertificate::from_der(made.der()).unwrap())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

impl World {
    /// A service account with these ways to log in, and its token.
    async fn program(&self, new: NewServiceAccount) -> Option<claviger_api::Secret> {
        let (open, root) = (self.open(), self.root().await);
        let permit = may(&open, &root, Resource::Operator);
        let added = open.add_service_account(&new, &Once::none(), &root, permit).await.unwrap();
        added.token.map(super::world::wire_secret)
    }

    async fn by_certificate(&self, name: &str, origin: &Origin) -> Result<Tokens> {
        self.open().login_by_certificate(&part(name), origin).await
    }

    /// Of the newest event in the operator log: its kind and cause.
    async fn last_event(&self) -> (EventKind, Option<String>) {
        let open = self.open();
        let leaves = open.all::<StoredLeaf>(&Range::scope(Table::LogLeaves, Scope::Operator)).await.unwrap();
        let last = &leaves.last().unwrap().value;
        let kind = last.value(FieldName::Kind).unwrap().parse().unwrap();
        (kind, last.value(FieldName::Cause).map(str::to_owned))
    }

    fn events(&self) -> usize {
        let rows = self.store.snapshot();
        rows.rows().filter(|(key, _)| key.as_bytes().first() == Some(&Table::LogLeaves.tag())).count()
    }
}

fn pinned(name: &str, pins: Vec<CertificatePin>) -> NewServiceAccount {
    NewServiceAccount { certificates: pins, ..NewServiceAccount::without_login(part(name)) }
}

fn bound(network: &str) -> NewServiceAccount {
    NewServiceAccount { networks: vec![network.parse().unwrap()], ..NewServiceAccount::with_token(part("cron"), 3600) }
}

#[tokio::test]
async fn a_token_bound_to_a_network_opens_nothing_from_elsewhere_and_is_answered_like_a_wrong_one() {
    let world = World::new().await;
    let token = world.program(bound("10.0.0.0/8")).await.unwrap();
    let open = world.open();
    assert!(open.login_by_token(&token, &from("10.0.0.5")).await.is_ok());
    assert!(open.login_by_token(&token, &from("::ffff:10.200.0.5")).await.is_ok());
    let wrong = claviger_crypto::Token::generate(claviger_crypto::TokenKind::ServiceAccount, open.random());
    let wrong = open.login_by_token(&wrong, &from("192.0.2.1")).await.err().unwrap();
    for elsewhere in [from("192.0.2.1"), from("::1"), Origin::default()] {
        let refused = open.login_by_token(&token, &elsewhere).await.err().unwrap();
        assert_eq!(refused.problem, ProblemType::InvalidCredentials);
        assert_eq!((&refused.detail, refused.errors.len()), (&wrong.detail, wrong.errors.len()));
        assert_eq!(world.last_event().await, (EventKind::LoginFailed, Some("network".to_owned())));
    }
    world.check().await;
}

#[tokio::test]
async fn a_session_is_refused_from_outside_its_networks_and_its_owner_is_told_once() {
    let world = World::new().await;
    let token = world.program(bound("10.0.0.0/8")).await.unwrap();
    let tokens = world.open().login_by_token(&token, &from("10.0.0.5")).await.unwrap();
    assert!(world.caller_from(&tokens, &from("10.1.2.3")).await.is_ok());
    let before = world.events();
    for _ in 0..3 {
        assert_eq!(world.caller_from(&tokens, &from("192.0.2.1")).await.problem(), ProblemType::SessionEnded);
    }
    assert_eq!(world.events(), before + 1);
    assert_eq!(world.last_event().await, (EventKind::SessionRefused, Some("network".to_owned())));
    assert!(world.caller_from(&tokens, &from("10.1.2.3")).await.is_ok(), "the program itself goes on");
    world.check().await;
}

#[tokio::test]
async fn another_network_holds_at_once_and_ends_what_was_open() {
    let world = World::new().await;
    let token = world.program(bound("10.0.0.0/8")).await.unwrap();
    let (open, root) = (world.open(), world.root().await);
    let tokens = open.login_by_token(&token, &from("10.0.0.5")).await.unwrap();
    let networks = Some(vec!["192.0.2.0/24".parse().unwrap()]);
    let change = ChangeServiceAccount { networks, ..ChangeServiceAccount::default() };
    let permit = may(&open, &root, Resource::Operator);
    let changed = open.change_service_account(&part("cron"), &change, &root, permit).await.unwrap();
    assert_eq!(changed.logins.unwrap().networks.len(), 1);
    assert_eq!(world.caller_from(&tokens, &from("10.0.0.5")).await.problem(), ProblemType::SessionEnded);
    assert_eq!(open.login_by_token(&token, &from("10.0.0.5")).await.problem(), ProblemType::InvalidCredentials);
    assert!(open.login_by_token(&token, &from("192.0.2.9")).await.is_ok());
}

#[tokio::test]
async fn anvil_cert_binding_a_certificate_is_matched_by_thumbprint_or_exact_name_alone() {
    let world = World::new().await;
    let own = certificate("whoever", vec![]);
    world.program(pinned("by-thumbprint", vec![CertificatePin::Thumbprint(own.thumbprint)])).await;
    world.program(pinned("by-dns", vec![CertificatePin::of_name("backup.acme.example").unwrap()])).await;
    world.program(pinned("by-uri", vec![CertificatePin::of_name("spiffe://acme.example/backup").unwrap()])).await;

    let right = [
        ("by-thumbprint", own),
        ("by-dns", certificate("x", vec![dns("other.example"), dns("backup.acme.example")])),
        ("by-uri", certificate("x", vec![uri("spiffe://acme.example/backup")])),
    ];
    for (name, certificate) in &right {
        assert!(world.by_certificate(name, &with(certificate)).await.is_ok(), "{name}");
        assert_eq!(world.by_certificate(name, &from("10.0.0.5")).await.problem(), ProblemType::InvalidCredentials);
    }
    let lookalikes = [
        certificate("backup.acme.example", vec![]),
        certificate("spiffe://acme.example/backup", vec![]),
        certificate("by-dns", vec![dns("by-dns")]),
        certificate("x", vec![dns("backup.acme.example.evil.example")]),
        certificate("x", vec![dns("a.backup.acme.example")]),
        certificate("x", vec![dns("*.acme.example")]),
        certificate("x", vec![dns("Backup.acme.example")]),
        certificate("x", vec![dns("backup.acme.example.")]),
        certificate("x", vec![uri("spiffe://acme.example/backup/")]),
        certificate("x", vec![uri("spiffe://acme.example/back")]),
        certificate("x", vec![uri("SPIFFE://acme.example/backup")]),
        certificate("x", vec![uri("backup.acme.example")]),
        certificate("x", vec![dns("spiffe://acme.example/backup")]),
        certificate("x", vec![SanType::Rfc822Name("backup.acme.example".try_into().unwrap())]),
    ];
    for lookalike in &lookalikes {
        for name in ["by-thumbprint", "by-dns", "by-uri", "bot", "tess", "nobody"] {
            let refused = world.by_certificate(name, &with(lookalike)).await;
            assert_eq!(refused.problem(), ProblemType::InvalidCredentials, "{name}: {lookalike:?}");
        }
    }
    world.check().await;
}

#[tokio::test]
async fn anvil_cert_binding_a_token_is_good_with_its_certificate_alone() {
    let world = World::new().await;
    let (own, other) = (certificate("x", vec![dns("b.example")]), certificate("x", vec![dns("b.example")]));
    world.program(pinned("robot", vec![CertificatePin::of_name("b.example").unwrap()])).await;
    let tokens = world.by_certificate("robot", &with(&own)).await.unwrap();
    assert!(claims(&tokens).contains(&format!(r#""cnf":{{"x5t#S256":"{}"}}"#, own.thumbprint)));
    assert!(world.caller_from(&tokens, &with(&own)).await.is_ok());
    let before = world.events();
    // The other would open a session of its own: it has the name too.
    for moved in [with(&other), from("10.0.0.5"), Origin::default()] {
        assert_eq!(world.caller_from(&tokens, &moved).await.problem(), ProblemType::SessionEnded);
    }
    assert_eq!(world.events(), before + 1);
    assert_eq!(world.last_event().await, (EventKind::SessionRefused, Some("certificate".to_owned())));
}

#[tokio::test]
async fn anvil_cert_binding_nothing_outlives_the_certificate_or_its_pin() {
    let world = World::new().await;
    let own = certificate("x", vec![dns("b.example")]);
    world.program(pinned("robot", vec![CertificatePin::of_name("b.example").unwrap()])).await;
    let (open, root) = (world.open(), world.root().await);
    let tokens = world.by_certificate("robot", &with(&own)).await.unwrap();
    let change = ChangeServiceAccount {
        certificates: Some(vec![CertificatePin::Thumbprint(Thumbprint([7; 32]))]),
        ..ChangeServiceAccount::default()
    };
    let permit = may(&open, &root, Resource::Operator);
    open.change_service_account(&part("robot"), &change, &root, permit).await.unwrap();
    assert_eq!(world.caller_from(&tokens, &with(&own)).await.problem(), ProblemType::SessionEnded);
    assert_eq!(world.by_certificate("robot", &with(&own)).await.problem(), ProblemType::InvalidCredentials);

    let back = ChangeServiceAccount {
        certificates: Some(vec![CertificatePin::Thumbprint(own.thumbprint)]),
        ..ChangeServiceAccount::default()
    };
    let permit = may(&open, &root, Resource::Operator);
    open.change_service_account(&part("robot"), &back, &root, permit).await.unwrap();
    // To a minute before its end: the connection may be older than that.
    world.clock.advance(own.not_after.duration_since(world.now()) - seconds(60));
    let tokens = world.by_certificate("robot", &with(&own)).await.unwrap();
    assert_eq!(tokens.expires_in_seconds, 60);
    world.clock.advance(seconds(60));
    assert_eq!(world.caller_from(&tokens, &with(&own)).await.problem(), ProblemType::SessionEnded);
    assert_eq!(world.by_certificate("robot", &with(&own)).await.problem(), ProblemType::InvalidCredentials);
    assert_eq!(world.last_event().await, (EventKind::LoginFailed, Some("certificate_expired".to_owned())));
}

#[tokio::test]
async fn a_program_without_a_way_in_is_not_made_and_no_login_of_one_runs_argon2id() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    let permit = may(&open, &root, Resource::Operator);
    let refused = open.add_service_account(&pinned("robot", vec![]), &Once::none(), &root, permit).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue);

    let own = certificate("x", vec![]);
    let new = NewServiceAccount {
        token_ttl_seconds: Some(3600),
        ..pinned("robot", vec![CertificatePin::Thumbprint(own.thumbprint)])
    };
    let token = world.program(new).await.unwrap();
    let before = login::runs();
    open.login_by_token(&token, &with(&own)).await.unwrap();
    open.login_by_certificate(&part("robot"), &with(&own)).await.unwrap();
    assert_eq!(login::runs(), before);
}

/// What the access token says, as JSON.
fn claims(tokens: &Tokens) -> String {
    use base64::Engine as _;
    let token = tokens.access_token.secret().expose();
    let body = token.split('.').nth(1).unwrap();
    String::from_utf8(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

/// Of the grants that a program may have: which make it span customers.
#[tokio::test]
async fn a_program_spans_customers_only_where_that_is_said_and_is_then_listed() {
    let world = World::new().await;
    let (open, root) = (world.open(), world.root().await);
    for slug in ["umbra", "third"] {
        let new = NewCustomer { slug: part(slug), display_name: slug.to_owned() };
        open.add_customer(&new, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    }
    let at = |scope: &str| new_grant("bot", Role::Automation, scope.parse().unwrap());
    let said = |scope: &str| NewGrant { spans_customers: true, ..at(scope) };
    let make = async |grant: NewGrant| open.make_grant(&grant, &Once::none(), &root).await;
    let spanning = async |spanning| {
        let permit = may(&open, &root, Resource::Operator);
        let paging = Paging::new(None, None).unwrap();
        let found = open.service_accounts_by_reach(spanning, &paging, permit).await.unwrap().items;
        found.into_iter().map(|account| account.name.to_string()).collect::<Vec<_>>()
    };

    // `bot` acts at acme. More of acme is no other customer, and to hand on is nothing to act by.
    make(at("acme/db1")).await.unwrap();
    make(NewGrant { kind: GrantKind::MayGrant, ..at("umbra") }).await.unwrap();
    for wider in ["umbra", "*"] {
        assert_eq!(make(at(wider)).await.problem(), ProblemType::InvalidValue, "{wider}");
    }
    assert_eq!((spanning(true).await, spanning(false).await), (vec![], vec!["bot".to_owned()]));
    // A person works for many customers: that is what technicians do.
    make(new_grant("tess", Role::Technician, "umbra".parse().unwrap())).await.unwrap();

    let wide = make(said("umbra")).await.unwrap();
    assert_eq!(world.last_event().await, (EventKind::GrantMade, Some("spans_customers".to_owned())));
    assert_eq!((spanning(true).await, spanning(false).await), (vec!["bot".to_owned()], vec![]));
    assert_eq!(make(at("third")).await.problem(), ProblemType::InvalidValue, "said once is not said for ever");
    open.revoke_grant(wide.id, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!(spanning(true).await, Vec::<String>::new());

    // A grant that has ended counts no more.
    make(NewGrant { ttl_seconds: 60, ..said("umbra") }).await.unwrap();
    world.clock.advance(seconds(60));
    assert_eq!(spanning(true).await, Vec::<String>::new());
    make(at("acme")).await.unwrap();
}

/// Neither of two grants that are made at once would see the other.
#[tokio::test]
async fn two_grants_at_once_do_not_make_a_program_span_customers() {
    let (world, store) = World::interrupted().await;
    let (open, root) = (world.open(), world.root().await);
    let umbra = NewCustomer { slug: part("umbra"), display_name: "Umbra".to_owned() };
    open.add_customer(&umbra, &Once::none(), &root, may(&open, &root, Resource::Operator)).await.unwrap();
    world.program(NewServiceAccount::with_token(part("cron"), 3600)).await;
    let at = |scope: &str| new_grant("cron", Role::Automation, scope.parse().unwrap());
    let (meanwhile, first) = ((open.clone(), root.clone()), at("acme"));
    store.after(Table::Grants, async move {
        meanwhile.0.make_grant(&first, &Once::none(), &meanwhile.1).await.unwrap();
    });
    let second = open.make_grant(&at("umbra"), &Once::none(), &root).await;
    assert!(store.has_interrupted());
    assert_eq!(second.problem(), ProblemType::InvalidValue);
}
