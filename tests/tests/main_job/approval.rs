//! Four eyes on a real system: asked for on the command line, decided over HTTP, used, given back, and dead.

use claviger_api::wire::{
    ApprovalRule, CheckoutQuery, CheckoutState, Conditions, EndCause, GrantKind, NewGrant, NewServiceAccount, NewUser,
    RevocationState, Role, WaitsFor, WithComment,
};
use claviger_api::{CheckoutId, Secret};
use claviger_client::{Client, Exit};
use claviger_tests::cli::{Cli, Done};
use claviger_tests::inventory::{add_role, checkout_until, part};
use claviger_tests::people::{GRANT_SECONDS, Person};
use serde_json::Value;

use super::{House, SOON};

#[tokio::test]
async fn what_another_must_approve_is_asked_for_decided_and_used() {
    let house = House::start().await;
    let account = add_role(&house.vault.administrator(), &house.postgres, "acme/db01/admin").await;
    let robot = Cli::at(house.vault.address()).with("CLAVIGER_TOKEN", requester(&house).await.expose());
    let cora = customers_own(&house).await;
    let take = ["checkout", "acme/db01/admin", "--reason", "patch day", "--ticket", "T-7", "--for", "10m"];

    // Asked for and not had: exit code 7, and the request stays.
    let asked = robot.run(&take).await;
    assert_eq!(asked.code, Exit::ApprovalNeeded as i32, "{asked:?}");
    let waiting = cora.checkouts().awaiting_approval().all().await.unwrap();
    let [first] = waiting.as_slice() else { panic!("{waiting:?}") };
    assert_eq!((first.reason.as_str(), first.ticket.as_deref()), ("patch day", Some("T-7")));
    assert_eq!((first.waits_for, first.principal.as_str()), (Some(WaitsFor::Approval), "robot"));
    let id = first.id.to_string();
    let early = robot.run(&["reveal", &id, "--show"]).await;
    assert_eq!(early.code, Exit::ApprovalNeeded as i32, "{early:?}");
    let own = robot.run(&["approve", &id, "--comment", "me"]).await;
    assert_eq!(own.code, Exit::Forbidden as i32, "{own:?}");

    // No.
    let ended = cora.checkouts().deny(first.id, &comment("not on a Friday")).await.unwrap();
    assert_eq!(ended.end_cause, Some(EndCause::Denied));
    assert_eq!(robot.run(&["reveal", &id, "--show"]).await.code, Exit::Conflict as i32);

    // Asked again, and waited for: the command goes on by itself when the yes is there.
    let waits = [&take[..], &["--wait", "2m", "--show", "--output", "json"]].concat();
    let (done, second) = tokio::join!(robot.run(&waits), says_yes(&cora));
    let revealed = json(&done);
    assert_eq!(revealed["checkout"]["id"], second.to_string());
    assert_eq!(revealed["checkout"]["approvals"]["given"][0]["by"], "cora");
    let secret = revealed["secret"].as_str().unwrap();
    assert!(house.postgres.can_login("admin", secret).await);
    let in_use = robot.run(&["checkin", &second.to_string()]).await;
    assert_eq!(json(&in_use)["end_cause"], "checked_in");
    let held = cora.checkouts().show(second).await.unwrap();
    let proven = checkout_until(&cora, &held, "is proven", SOON, |c| {
        c.revocation.as_ref().is_some_and(|revocation| revocation.state == RevocationState::Proven)
    });
    proven.await;
    assert!(!house.postgres.can_login("admin", secret).await, "what was seen is dead");

    // An approver reads requests, and no secret, and nothing elsewhere.
    let query = CheckoutQuery { customer: "acme".to_owned(), ..CheckoutQuery::default() };
    assert_eq!(cora.checkouts().list(query).all().await.unwrap().len(), 2);
    let new = claviger_tests::inventory::wanted(&account, 600);
    assert!(cora.checkouts().create(&new).await.is_err());
    assert!(cora.checkouts().reveal(second).await.is_err());
}

/// A program whose check-outs need the yes of acme's own people.
async fn requester(house: &House) -> Secret {
    let administrator = house.vault.administrator();
    let new = NewServiceAccount::with_token(part("robot"), GRANT_SECONDS);
    let token = administrator.service_accounts().add(&new).await.unwrap().token.unwrap().into_secret();
    let grant = NewGrant {
        principal: part("robot"),
        kind: GrantKind::MayUse,
        role: Role::Automation,
        scope: "acme".parse().unwrap(),
        ttl_seconds: GRANT_SECONDS,
        max_checkout_seconds: None,
        spans_customers: false,
        conditions: Conditions {
            approvals: Some(ApprovalRule { count: 1, by_customer: true, reuse: false }),
            ..Conditions::default()
        },
    };
    administrator.grants().add(&grant).await.unwrap();
    token
}

/// An approver of acme's own.
async fn customers_own(house: &House) -> Client {
    let new = NewUser { name: part("cora"), customer: Some(part("acme")) };
    let added = house.vault.administrator().users().add(&new).await.unwrap();
    house.vault.people.administrator.grants(house.vault.address(), &new.name, Role::Approver, "acme").await;
    Person::enrol(house.vault.address(), new.name, added.enrolment.into_secret()).await.client(house.vault.address())
}

/// Waits for a request, and approves it.
async fn says_yes(approver: &Client) -> CheckoutId {
    let asked = claviger_tests::poll::until("there is a request", SOON, async || {
        approver.checkouts().awaiting_approval().all().await.unwrap().into_iter().next()
    });
    let id = asked.await.id;
    let yes = approver.checkouts().approve(id, &comment("as planned")).await.unwrap();
    assert_eq!(yes.state, CheckoutState::Approved);
    id
}

fn comment(comment: &str) -> WithComment {
    WithComment { comment: comment.to_owned() }
}

fn json(done: &Done) -> Value {
    assert_eq!(done.code, 0, "{done:?}");
    serde_json::from_str(&done.stdout).unwrap()
}
