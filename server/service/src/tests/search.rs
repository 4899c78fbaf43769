//! The log as people look for things in it: by an index, which finds what reading all of it would find.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{AuditEvent, AuditQuery, NewCheckout};
use claviger_api::{Scope, Timestamp};
use claviger_core::policy::Resource;
use claviger_store::memory::FaultPlan;
use claviger_store::{Batch, RowId};

use super::world::{Refused as _, World, may, of, seconds};
use crate::{Once, Paging};

impl World {
    async fn search(&self, query: &AuditQuery) -> Vec<AuditEvent> {
        let (open, root, acme) = (self.open(), self.root().await, self.acme().await);
        let (mut cursor, mut found) = (None::<String>, Vec::new());
        loop {
            let paging = Paging::new(Some(3), cursor.as_deref()).unwrap();
            let permit = may(&open, &root, Resource::Customer(acme));
            let page = open.audit_events(Scope::Customer(acme), query, &paging, &root, permit).await.unwrap();
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return found;
            }
        }
    }

    async fn size_of_acme(&self) -> u64 {
        self.open().head(Scope::Customer(self.acme().await)).await.unwrap().frontier.size()
    }

    async fn index(&self) -> u64 {
        let open = self.open();
        while open.index_a_block().await.unwrap() {}
        open.indexed_blocks(Scope::Customer(self.acme().await)).await.unwrap()
    }
}

/// A log of three segments: the tickets are rare, the people are not.
async fn long() -> (World, Timestamp, String) {
    let world = World::new().await;
    let (tess, mut middle, mut one) = (world.tess().await, None, String::new());
    for round in 0..45 {
        let ticket = (round % 20 == 3).then(|| format!("INC-{round}"));
        let reason = format!("round {round} for {}", if round == 7 { "Müller" } else { "everybody" });
        let new = NewCheckout { ticket, reason, ..of("app") };
        let held = world.check_out(&tess, &new, &Once::none()).await.unwrap();
        world.reveal(&tess, held.id).await.unwrap();
        world.check_in(&tess, held.id).await.unwrap();
        world.clock.advance(seconds(60));
        world.step().await;
        if round == 22 {
            (middle, one) = (Some(world.now()), held.id.to_string());
        }
    }
    (world, middle.unwrap(), one)
}

#[tokio::test]
async fn an_index_finds_what_reading_the_whole_log_finds() {
    let (world, middle, one) = long().await;
    let base = AuditQuery::default();
    let queries = [
        AuditQuery { kind: Some("checkout.revealed".to_owned()), ..base.clone() },
        AuditQuery { kind: Some("rotation.".to_owned()), ..base.clone() },
        AuditQuery { ticket: Some("inc-23".to_owned()), ..base.clone() },
        AuditQuery { checkout: Some(one.clone()), ..base.clone() },
        AuditQuery { actor: Some("tess".to_owned()), since: Some(middle), ..base.clone() },
        AuditQuery { actor: Some("system/rotation".to_owned()), until: Some(middle), ..base.clone() },
        AuditQuery { principal: Some("tess".to_owned()), kind: Some("checkout.ended".to_owned()), ..base.clone() },
        AuditQuery {
            system: Some("db1".to_owned()),
            account: Some("acme/db1/app".to_owned()),
            outcome: Some("pending".to_owned()),
            ..base.clone()
        },
        AuditQuery { text: Some("müller round".to_owned()), ..base.clone() },
        AuditQuery { text: Some("INC-43".to_owned()), ..base.clone() },
        AuditQuery { text: Some("nowhere".to_owned()), ..base.clone() },
        AuditQuery { since: Some(middle), until: Some(middle + seconds(120)), ..base.clone() },
    ];
    let mut by_reading = Vec::new();
    for query in &queries {
        by_reading.push(world.search(query).await);
    }
    let blocks = world.index().await;
    assert!(blocks > 3 * 8, "{blocks} blocks are more than three segments of 8");
    for (query, read) in queries.iter().zip(&by_reading) {
        let found = world.search(query).await;
        // Another search is told of by now.
        let found: Vec<&AuditEvent> = found.iter().filter(|event| event.kind != EventKind::LogRead.text()).collect();
        let read: Vec<&AuditEvent> = read.iter().filter(|event| event.kind != EventKind::LogRead.text()).collect();
        assert_eq!(indexes(&found), indexes(&read), "{query:?}");
        assert_eq!(found.is_empty(), query.text == Some("nowhere".to_owned()), "{query:?}");
    }
    world.check().await;
}

fn indexes(events: &[&AuditEvent]) -> Vec<u64> {
    events.iter().map(|event| event.index).collect()
}

/// The point of it: what is rare is found by a few rows, however long the log is.
#[tokio::test]
async fn a_search_reads_what_it_finds_and_not_the_log() {
    let (world, ..) = long().await;
    world.index().await;
    let query = AuditQuery { ticket: Some("INC-3".to_owned()), ..AuditQuery::default() };
    let counted = Arc::new(AtomicU64::new(0));
    let count = counted.clone();
    world.store.set_faults(FaultPlan::none().reads_where(move |n| {
        count.store(n, Ordering::Relaxed);
        false
    }));
    let found = world.search(&query).await;
    let (reads, size) = (counted.load(Ordering::Relaxed), world.size_of_acme().await);
    assert!(!found.is_empty());
    assert!(reads < size / 3, "{reads} reads in a log of {size}");
}

#[tokio::test]
async fn a_page_that_is_lost_hides_nothing() {
    let (world, ..) = long().await;
    world.index().await;
    let (store, scope) = (world.open().sealed().store().clone(), Scope::Customer(world.acme().await));
    let query = AuditQuery { text: Some("Müller".to_owned()), ..AuditQuery::default() };
    let before = world.search(&query).await;
    let pages = (0..9).map(|block| RowId::log_index(scope, 0, block, 0).to_key());
    let parts = (0..=u8::MAX).map(|part| RowId::log_index(scope, 1, 0, part).to_key());
    store.commit(Batch { delete: pages.chain(parts).collect(), ..Batch::default() }).await.unwrap();
    assert_eq!(world.search(&query).await.len(), before.len());
    assert!(!before.is_empty());
}

#[tokio::test]
async fn who_reads_the_log_is_in_it_once_a_search() {
    let (world, ..) = long().await;
    let query =
        AuditQuery { kind: Some("checkout.".to_owned()), text: Some("Müller".to_owned()), ..AuditQuery::default() };
    let before = world.size_of_acme().await;
    let pages = world.search(&query).await.len().div_ceil(3);
    assert!(pages > 1 || before > 0);
    assert_eq!(world.size_of_acme().await, before + 1, "one event, however many pages");
    let read = AuditQuery { kind: Some("log.read".to_owned()), ..AuditQuery::default() };
    let told = world.search(&read).await;
    assert_eq!(told.len(), 1, "the search for searches does not find itself");
    let fields = &told[0].fields;
    assert_eq!(fields["actor_name"], "root");
    assert_eq!(fields["detail"], "kind checkout., a text", "what was looked for, and no words of it");
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_refused_with_what_can() {
    let world = World::new().await;
    let (open, root, acme) = (world.open(), world.root().await, world.acme().await);
    for query in [
        AuditQuery { kind: Some("checkout.Revealed".to_owned()), ..AuditQuery::default() },
        AuditQuery { kind: Some("check.".to_owned()), ..AuditQuery::default() },
        AuditQuery { text: Some(" .- ".to_owned()), ..AuditQuery::default() },
        AuditQuery { text: Some("x".repeat(257)), ..AuditQuery::default() },
    ] {
        let permit = may(&open, &root, Resource::Customer(acme));
        let paging = Paging::new(None, None).unwrap();
        let refused = open.audit_events(Scope::Customer(acme), &query, &paging, &root, permit).await;
        assert_eq!(refused.problem(), ProblemType::InvalidValue, "{query:?}");
    }
    let elsewhere = Paging::new(None, Some(&hex::encode(RowId::log_leaf(Scope::Operator, 3).to_key().as_bytes())));
    let permit = may(&open, &root, Resource::Customer(acme));
    let refused =
        open.audit_events(Scope::Customer(acme), &AuditQuery::default(), &elsewhere.unwrap(), &root, permit).await;
    assert_eq!(refused.problem(), ProblemType::InvalidValue, "a cursor of another log");
}
