//! Accounts of a real Windows domain (Samba), by the command line.

#![expect(clippy::indexing_slicing, reason = "answers as JSON")]

use claviger_api::wire::{Checkout, RevocationState};
use claviger_tests::cli::Cli;
use claviger_tests::inventory::{add_customer, available, checkout_until, wanted};
use claviger_tests::poll::until;
use claviger_tests::postgres::random_text;
use claviger_tests::samba::{ADMINISTRATOR, DOMAIN, PEOPLE, Samba, UNIT};
use claviger_tests::vault::Vault;

use super::SOON;

/// A standing and an ephemeral account: lent to OpenLDAP's own client, checked in, and of no use afterwards; though the
/// domain goes on taking an old password for an hour, which is told, and ended by a second change where that is wanted.
#[tokio::test]
async fn accounts_of_a_domain_are_lent_and_closed_again() {
    let (samba, vault) = (Samba::start_with_grace(60).await, Vault::start().await);
    add_customer(&vault.administrator(), "acme").await;
    let first = random_text();
    samba.add_user("app", &first, &[]);
    samba.add_group("operators");
    let ada = vault.people.administrator.terminal(vault.address()).await;
    set_up(&ada, &samba, &first).await;

    let tina = vault.people.technician.terminal(vault.address()).await;
    let lend = async |account: &str| {
        // The tool wants the password in a file or on a terminal, never in an argument; its name comes from the domain.
        let shell = "umask 077; d=$(mktemp); printf %s \"$LDAP_PASSWORD\" > \"$d\"; \
                     ldapsearch -x -LLL -o ldif-wrap=no -D \"$LDAPBINDDN\" -y \"$d\" -b '' -s base defaultNamingContext; \
                     rm \"$d\"; printf 'as %s\\n' \"$LDAPBINDDN\"";
        let words = ["exec", account, "--for", "30m", "--reason", "a test", "--", "sh", "-c", shell];
        let done = tina.run(&words).await;
        assert_eq!(done.code, 0, "{done:?}");
        assert!(done.stdout.contains("defaultNamingContext: DC=corp,DC=example"), "{done:?}");
        done.stdout.lines().find_map(|line| line.strip_prefix("as ").map(str::to_owned)).unwrap()
    };

    // Within the grace the old password still opens the account: told, no failure, and the account is free again.
    let app = "acme/corp/app".parse().unwrap();
    assert_eq!(lend("acme/corp/app").await, format!("{DOMAIN}\\app"));
    available(&vault.technician(), &app, SOON).await;
    assert!(samba.can_login(&format!("{DOMAIN}\\app"), &first), "the domain honours it");
    let technician = vault.technician();
    let held = technician.checkouts().create(&wanted(&app, 600)).await.unwrap();
    let seen = technician.checkouts().reveal(held.id).await.unwrap();
    let ended = technician.checkouts().checkin(held.id).await.unwrap();
    let state = |checkout: &Checkout| checkout.revocation.as_ref().unwrap().state;
    let said = |wanted| move |checkout: &Checkout| state(checkout) == wanted;
    checkout_until(&technician, &ended, "is told", SOON, said(RevocationState::StillAccepted)).await;
    available(&technician, &app, SOON).await;
    assert!(!samba.can_login(&format!("{DOMAIN}\\app"), &first), "only the last old one");

    // A second change ends it, and the vault does that by itself where it is told to.
    let done = ada.run(&["system", "set", "acme/corp", "--change-twice"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let held = technician.checkouts().create(&wanted(&app, 600)).await.unwrap();
    let next = technician.checkouts().reveal(held.id).await.unwrap();
    let ended = technician.checkouts().checkin(held.id).await.unwrap();
    let proof = checkout_until(&technician, &ended, "is proven", SOON, said(RevocationState::Proven)).await;
    assert!(proof.revocation.unwrap().revocation_lag_milliseconds.unwrap() < 60_000, "seconds, not an hour");
    for old in [&seen, &next] {
        assert!(!samba.can_login(&format!("{DOMAIN}\\app"), old.secret.secret().expose()));
    }
    available(&technician, &app, SOON).await;

    let name = lend("acme/corp/dba").await;
    let login = name.strip_prefix("CORP\\").unwrap().to_owned();
    assert!(login.starts_with("dba_"), "{login}");
    until("the account is removed", SOON, async || {
        samba.find(&format!("(sAMAccountName={login})"), &["cn"]).is_empty().then_some(())
    })
    .await;
}

async fn set_up(ada: &Cli, samba: &Samba, first: &str) {
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), samba.ca_certificate()).unwrap();
    let (ca, host) = (ca.path().to_str().unwrap(), samba.host());
    let run = async |words: &[&str], input: &str| {
        let done = ada.run_with(words, input).await;
        assert_eq!(done.code, 0, "{words:?}: {done:?}");
        done
    };
    let add = ["system", "add", "acme/corp", "--kind", "active-directory", "--host", &host, "--domain", DOMAIN];
    let more = ["--system-ca", ca, "--organizational-unit", UNIT];
    let system = run(&[&add[..], &more].concat(), "").await.json();
    let spec = &system["spec"];
    assert_eq!((&spec["kind"], &spec["tls"]), (&"active_directory".into(), &"verify-full".into()));
    assert_eq!((&spec["port"], &spec["grace_seconds"]), (&636.into(), &3600.into()), "an hour, unless it is said");
    let password = samba.administrator_secret();
    run(&["account", "add", "acme/corp/manager", "--login", ADMINISTRATOR, "--stdin"], password.expose()).await;
    run(&["system", "set", "acme/corp", "--management-account", "manager"], "").await;
    run(&["account", "add", "acme/corp/app", "--login", "app", "--rotate-by", "management", "--stdin"], first).await;
    let group = format!("dn:CN=operators,{PEOPLE}");
    let dba = ["account", "add", "acme/corp/dba", "--kind", "ephemeral", "--login", "dba", "--member-of", &group];
    run(&dba, "").await;
    let table = run(&["system", "list", "--customer", "acme", "--output", "table"], "").await;
    assert!(table.stdout.contains("active_directory") && table.stdout.contains("/CORP"), "{}", table.stdout);
}
