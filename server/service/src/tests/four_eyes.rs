//! Requests, approvals, denials: who may decide, when, and what comes of it.

use claviger_api::CheckoutId;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{
    self, ApprovalRule, CheckoutState, Conditions, EndCause, GrantScope, NewCheckout, NewGrant, OnConflict,
    RevocationState, Role, WaitsFor,
};
use claviger_core::checkout::{CLAIM_WINDOW, DECIDE_WITHIN, START_GRACE};
use claviger_core::policy::{CheckoutApprove, Resource};
use jiff::SignedDuration;

use super::world::{FIRST_SECRET, Refused as _, World, key, may, new_grant, of, part, seconds};
use crate::error::Result;
use crate::{Caller, Once, Paging};

const RULE: ApprovalRule = ApprovalRule { count: 1, by_customer: false, reuse: false };

/// The usual world, with `nina`, whose check-outs need approvals by this rule, `ann` and `ben`, who approve everywhere,
/// and `cora`, an approver of acme's own.
async fn world(rule: ApprovalRule) -> World {
    let world = World::new().await;
    let acme = || GrantScope::Customer(part("acme"));
    for name in ["nina", "ann", "ben"] {
        world.enrolled(name).await;
    }
    world.enrolled_of("cora", Some("acme")).await;
    let conditions = Conditions { approvals: Some(rule), ..Conditions::default() };
    let new = NewGrant { conditions, ..new_grant("nina", Role::Technician, acme()) };
    world.open().make_grant(&new, &Once::none(), &world.root().await).await.unwrap();
    for name in ["ann", "ben"] {
        world.grant(name, Role::Approver, GrantScope::Operator).await.unwrap();
    }
    world.grant("cora", Role::Approver, acme()).await.unwrap();
    world
}

impl World {
    async fn acting(&self, name: &str) -> Caller {
        self.open().acting(name).await
    }

    async fn asked(&self, new: &NewCheckout) -> wire::Checkout {
        let asked = self.check_out(&self.acting("nina").await, new, &Once::none()).await.unwrap();
        assert_eq!((asked.state, asked.waits_for), (CheckoutState::Requested, Some(WaitsFor::Approval)));
        asked
    }

    async fn approve(&self, by: &str, id: CheckoutId) -> Result<wire::Checkout> {
        let by = self.acting(by).await;
        let (found, permit) = self.found::<CheckoutApprove>(&by, id).await?;
        self.open().approve(&found, "it is planned", &Once::none(), &by, permit).await
    }

    async fn deny(&self, by: &str, id: CheckoutId) -> Result<wire::Checkout> {
        let by = self.acting(by).await;
        let (found, permit) = self.found::<CheckoutApprove>(&by, id).await?;
        self.open().deny(&found, "not today", &Once::none(), &by, permit).await
    }

    async fn awaiting(&self, by: &str) -> Vec<CheckoutId> {
        let (open, by) = (self.open(), self.acting(by).await);
        let page = open.awaiting(&Paging::new(None, None).unwrap(), &by).await.unwrap();
        page.items.iter().map(|checkout| checkout.id).collect()
    }
}

#[tokio::test]
async fn a_request_waits_for_another_and_is_claimed_after_the_yes() {
    let world = world(RULE).await;
    let nina = world.acting("nina").await;
    let asked = world.asked(&of("app")).await;
    assert_eq!(asked.decide_until, Some(world.now() + DECIDE_WITHIN));
    assert_eq!(world.reveal(&nina, asked.id).await.problem(), ProblemType::ApprovalNeeded);
    world.check().await;
    // The account is nobody's until then.
    let tess = world.tess().await;
    let other = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.check_in(&tess, other.id).await.unwrap();

    assert_eq!(world.awaiting("ann").await, [asked.id]);
    let yes = world.approve("ann", asked.id).await.unwrap();
    assert_eq!((yes.state, yes.claim_until), (CheckoutState::Approved, Some(world.now() + CLAIM_WINDOW)));
    let given = yes.approvals.unwrap().given;
    assert_eq!((given[0].by.as_str(), given[0].comment.as_str()), ("ann", "it is planned"));
    assert!(world.awaiting("ann").await.is_empty() && world.awaiting("ben").await.is_empty());
    world.check().await;
    world.clock.advance(seconds(60));
    let revealed = world.reveal(&nina, asked.id).await.unwrap();
    assert_eq!(revealed.secret.secret().expose(), FIRST_SECRET);
    assert_eq!(revealed.checkout.expires_at, Some(world.now() + seconds(3600)));
    world.check().await;
    world.check_in(&nina, asked.id).await.unwrap();
    world.step().await;
    assert_eq!(world.view(asked.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

#[tokio::test]
async fn nobody_decides_on_their_own_and_no_program_decides_at_all() {
    let world = world(RULE).await;
    world.grant("nina", Role::Approver, GrantScope::Operator).await.unwrap();
    world.grant("bot", Role::Approver, GrantScope::Customer(part("acme"))).await.unwrap();
    let asked = world.asked(&of("app")).await;
    for name in ["nina", "bot"] {
        assert_eq!(world.approve(name, asked.id).await.problem(), ProblemType::Forbidden, "{name}");
        assert_eq!(world.deny(name, asked.id).await.problem(), ProblemType::Forbidden, "{name}");
        assert!(world.awaiting(name).await.is_empty());
    }
    assert_eq!(world.approve("tess", asked.id).await.problem(), ProblemType::Forbidden, "no approver");
    assert_eq!(world.view(asked.id).await.waits_for, Some(WaitsFor::Approval));
    world.check().await;
}

#[tokio::test]
async fn two_people_and_the_customers_own_where_the_rule_says_so() {
    let world = world(ApprovalRule { count: 2, by_customer: true, reuse: false }).await;
    let asked = world.asked(&of("app")).await;
    world.approve("ann", asked.id).await.unwrap();
    assert_eq!(world.approve("ann", asked.id).await.problem(), ProblemType::NothingToDecide, "one person is one yes");
    assert!(world.awaiting("ann").await.is_empty(), "it waits for others now");
    let two = world.approve("ben", asked.id).await.unwrap();
    assert_eq!(two.waits_for, Some(WaitsFor::Approval), "neither is acme's own");
    world.check().await;
    let three = world.approve("cora", asked.id).await.unwrap();
    assert_eq!((three.state, three.waits_for), (CheckoutState::Approved, None));
    world.check().await;
}

#[tokio::test]
async fn a_no_ends_a_request_and_what_was_approved() {
    let world = world(RULE).await;
    let nina = world.acting("nina").await;
    let asked = world.asked(&of("app")).await;
    let ended = world.deny("ann", asked.id).await.unwrap();
    assert_eq!(ended.end_cause, Some(EndCause::Denied));
    assert_eq!(world.approve("ben", asked.id).await.problem(), ProblemType::CheckoutEnded);
    world.check().await;

    let asked = world.asked(&of("app")).await;
    world.approve("ann", asked.id).await.unwrap();
    world.reveal(&nina, asked.id).await.unwrap();
    assert_eq!(world.approve("ben", asked.id).await.problem(), ProblemType::NothingToDecide);
    let ended = world.deny("ben", asked.id).await.unwrap();
    assert_eq!((ended.end_cause, ended.revocation.unwrap().state), (Some(EndCause::Denied), RevocationState::Pending));
    assert_eq!(world.reveal(&nina, asked.id).await.problem(), ProblemType::CheckoutEnded);
    world.step().await;
    assert!(!world.system.opens("app", FIRST_SECRET), "what was seen is dead");
    world.check().await;

    // What needed no approval is not an approver's to end.
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert_eq!(world.deny("ann", held.id).await.problem(), ProblemType::NothingToDecide);
    world.check().await;
}

#[tokio::test]
async fn a_request_can_be_withdrawn_and_lapses_when_nobody_decides() {
    let world = world(RULE).await;
    let nina = world.acting("nina").await;
    let asked = world.asked(&of("app")).await;
    let withdrawn = world.check_in(&nina, asked.id).await.unwrap();
    assert_eq!(withdrawn.end_cause, Some(EndCause::Cancelled));
    world.check().await;
    let asked = world.asked(&of("app")).await;
    world.clock.advance(DECIDE_WITHIN);
    assert_eq!(world.approve("ann", asked.id).await.problem(), ProblemType::CheckoutEnded, "no worker ran");
    assert!(world.awaiting("ann").await.is_empty());
    world.step().await;
    assert_eq!(world.view(asked.id).await.end_cause, Some(EndCause::Lapsed));
    world.check().await;
}

/// The yes of whoever was suspended, or lost the grant, does not count at the claim; another's stands in.
#[tokio::test]
async fn an_approval_counts_while_its_approver_keeps_the_right() {
    let world = world(RULE).await;
    let (open, nina, root) = (world.open(), world.acting("nina").await, world.root().await);
    let grant = world.grant("ben", Role::Approver, GrantScope::Customer(part("acme"))).await.unwrap();
    let asked = world.asked(&of("app")).await;
    world.approve("ann", asked.id).await.unwrap();
    let suspended = |yes| {
        let (open, root) = (open.clone(), root.clone());
        async move {
            let permit = may(&open, &root, Resource::Operator);
            open.suspend(&part("ann"), wire::PrincipalKind::User, yes, &root, permit).await.unwrap();
        }
    };
    suspended(true).await;
    assert_eq!(world.reveal(&nina, asked.id).await.problem(), ProblemType::ApprovalNeeded);
    assert_eq!(world.view(asked.id).await.state, CheckoutState::Approved, "it keeps its window");
    world.approve("ben", asked.id).await.unwrap();
    world.reveal(&nina, asked.id).await.unwrap();
    world.check_in(&nina, asked.id).await.unwrap();
    world.step().await;
    suspended(false).await;

    // A grant that was taken away.
    let asked = world.asked(&of("app")).await;
    world.approve("ben", asked.id).await.unwrap();
    let (name, paging) = (part("ben"), Paging::new(None, None).unwrap());
    let all = open.grants(Some(&name), &paging, may(&open, &root, Resource::Operator)).await.unwrap();
    for grant in all.items.into_iter().filter(|other| other.id != grant.id) {
        open.revoke_grant(grant.id, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    }
    assert!(world.reveal(&nina, asked.id).await.is_ok(), "the other grant still gives the right");
    world.check_in(&nina, asked.id).await.unwrap();
    world.step().await;
    let asked = world.asked(&of("app")).await;
    world.approve("ben", asked.id).await.unwrap();
    open.revoke_grant(grant.id, &root, may(&open, &root, Resource::Operator)).await.unwrap();
    assert_eq!(world.reveal(&nina, asked.id).await.problem(), ProblemType::ApprovalNeeded);
    world.check().await;
}

#[tokio::test]
async fn a_start_is_asked_for_now_and_had_then() {
    let world = world(RULE).await;
    let nina = world.acting("nina").await;
    let start = world.now() + seconds(7200);
    let asked = world.asked(&NewCheckout { not_before: Some(start), ..of("app") }).await;
    let yes = world.approve("ann", asked.id).await.unwrap();
    assert_eq!((yes.waits_for, yes.not_before), (Some(WaitsFor::Start), Some(start)));
    assert_eq!(world.reveal(&nina, asked.id).await.problem(), ProblemType::CheckoutNotReady);
    world.check().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(3500));
    world.check_in(&tess, held.id).await.unwrap();
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(3700));
    world.step().await;
    assert_eq!(world.view(asked.id).await.waits_for, None, "tess's had ended by its time: {held:?}");
    world.check().await;
    assert!(world.reveal(&nina, asked.id).await.is_ok());
    world.check_in(&nina, asked.id).await.unwrap();
    world.step().await;

    // Held at its start, it waits for its turn, and its claim window begins only then.
    let start = world.now() + seconds(600);
    let asked = world.asked(&NewCheckout { not_before: Some(start), ..of("app") }).await;
    world.approve("ann", asked.id).await.unwrap();
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    world.clock.advance(seconds(600));
    world.step().await;
    assert_eq!(world.view(asked.id).await.waits_for, Some(WaitsFor::Turn));
    world.check().await;
    world.clock.advance(seconds(1800));
    world.check_in(&tess, held.id).await.unwrap();
    assert_eq!(world.view(asked.id).await.claim_until, Some(world.now() + CLAIM_WINDOW));
    world.check().await;
    world.check_in(&nina, asked.id).await.unwrap();

    // A start that nobody noticed in time is none.
    let start = world.now() + seconds(600);
    let asked = world.asked(&NewCheckout { not_before: Some(start), ..of("app") }).await;
    world.approve("ann", asked.id).await.unwrap();
    world.clock.advance(seconds(600) + START_GRACE);
    world.step().await;
    assert_eq!(world.view(asked.id).await.end_cause, Some(EndCause::Lapsed));
    world.check().await;
}

#[tokio::test]
async fn an_approval_is_for_what_was_asked_and_no_longer() {
    let world = world(RULE).await;
    let nina = world.acting("nina").await;
    let asked = world.asked(&of("app")).await;
    world.approve("ann", asked.id).await.unwrap();
    world.reveal(&nina, asked.id).await.unwrap();
    assert_eq!(world.extend(&nina, asked.id, 3601).await.problem(), ProblemType::ApprovalNeeded);
    assert!(world.extend(&nina, asked.id, 1800).await.is_ok());
    world.check().await;
    // Nor does a take-over go past the rule.
    world.check_in(&nina, asked.id).await.unwrap();
    world.step().await;
    let tess = world.tess().await;
    let held = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert_eq!(world.take_over(&nina, held.id).await.problem(), ProblemType::ApprovalNeeded);
    assert_eq!(world.view(held.id).await.state, CheckoutState::Active);
    world.check().await;
}

#[tokio::test]
async fn what_was_approved_and_given_back_early_is_had_again_where_the_rule_allows_it() {
    for reuse in [true, false] {
        let world = world(ApprovalRule { reuse, ..RULE }).await;
        let nina = world.acting("nina").await;
        let asked = world.asked(&of("app")).await;
        world.approve("ann", asked.id).await.unwrap();
        world.reveal(&nina, asked.id).await.unwrap();
        let end = world.view(asked.id).await.expires_at.unwrap();
        world.clock.advance(seconds(600));
        world.check_in(&nina, asked.id).await.unwrap();
        world.step().await;
        let again = NewCheckout { ttl_seconds: Some(1800), on_conflict: OnConflict::Reuse, ..of("app") };
        let longer = NewCheckout { ttl_seconds: Some(3600), ..again.clone() };
        let other = NewCheckout { reason: "curiosity".to_owned(), ..again.clone() };
        for changed in [longer, other] {
            let asked = world.check_out(&nina, &changed, &Once::none()).await.unwrap();
            assert_eq!(asked.waits_for, Some(WaitsFor::Approval), "a changed request needs a new approval");
            world.check_in(&nina, asked.id).await.unwrap();
        }
        let had = world.check_out(&nina, &again, &Once::none()).await.unwrap();
        world.check().await;
        if !reuse {
            assert_eq!(had.waits_for, Some(WaitsFor::Approval));
            continue;
        }
        assert_eq!(had.state, CheckoutState::Active);
        assert!(had.expires_at.unwrap() <= end);
        world.check_in(&nina, had.id).await.unwrap();
        // Nor does it count when its approver has lost the right.
        let (open, root) = (world.open(), world.root().await);
        let permit = may(&open, &root, Resource::Operator);
        open.suspend(&part("ann"), wire::PrincipalKind::User, true, &root, permit).await.unwrap();
        let had = world.check_out(&nina, &again, &Once::none()).await.unwrap();
        assert_eq!(had.waits_for, Some(WaitsFor::Approval));
        world.check().await;
    }
}

#[tokio::test]
async fn a_login_for_one_checkout_is_not_even_prepared_before_the_yes() {
    let world = world(RULE).await;
    let nina = world.acting("nina").await;
    let denied = world.asked(&of("temp")).await;
    let ended = world.deny("ann", denied.id).await.unwrap();
    assert_eq!(ended.revocation.unwrap().state, RevocationState::NotNeeded);
    let asked = world.asked(&of("temp")).await;
    world.check().await;
    world.approve("ann", asked.id).await.unwrap();
    world.check().await;
    let revealed = world.reveal(&nina, asked.id).await.unwrap();
    assert!(world.system.opens(revealed.login.as_str(), revealed.secret.secret().expose()));
    world.check_in(&nina, asked.id).await.unwrap();
    world.step().await;
    assert_eq!(world.view(asked.id).await.revocation.unwrap().state, RevocationState::Proven);
    world.check().await;
}

#[tokio::test]
async fn a_decision_happens_once() {
    let world = world(ApprovalRule { count: 2, ..RULE }).await;
    let asked = world.asked(&of("app")).await;
    let ann = world.acting("ann").await;
    for _ in 0..2 {
        let (found, permit) = world.found::<CheckoutApprove>(&ann, asked.id).await.unwrap();
        let yes = world.open().approve(&found, "yes", &key("once"), &ann, permit).await.unwrap();
        assert_eq!(yes.approvals.unwrap().given.len(), 1);
    }
    for _ in 0..2 {
        let (found, permit) = world.found::<CheckoutApprove>(&ann, asked.id).await.unwrap();
        let no = world.open().deny(&found, "no", &key("then"), &ann, permit).await.unwrap();
        assert_eq!(no.end_cause, Some(EndCause::Denied));
    }
    world.check().await;
}

#[tokio::test]
async fn requests_can_be_read_a_page_at_a_time() {
    let world = world(RULE).await;
    let (open, ann) = (world.open(), world.acting("ann").await);
    let mut asked = Vec::new();
    for account in ["app", "shared", "temp"] {
        asked.push(world.asked(&of(account)).await.id);
        world.clock.advance(SignedDuration::from_secs(1));
    }
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let paging = Paging::new(Some(1), cursor.as_deref()).unwrap();
        let page = open.awaiting(&paging, &ann).await.unwrap();
        seen.extend(page.items.iter().map(|checkout| checkout.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, asked, "the most urgent first");
}
