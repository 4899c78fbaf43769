//! A backup becomes a vault again, which acts on nothing before somebody has looked.

use std::sync::Arc;

use claviger_api::audit::kind::EventKind;
use claviger_api::problem::ProblemType;
use claviger_api::wire::{ComparedAs, ComparedCounts, RestoreStatus, Resume};
use claviger_api::{Scope, Secret};
use claviger_core::policy::{Resource, SysRestore};
use claviger_crypto::recipients::Writing;
use claviger_store::memory::{CommitFault, FaultPlan};
use claviger_store::{FillError, MemoryStore, Row, RowId, Store, StoreKey, Table, open_or_create};

use super::backup::Case;
use super::world::{FIRST_SECRET, Refused as _, World, may, of, seconds};
use crate::Once;
use crate::backup::file::{Head, Writer};
use crate::error::Result;
use crate::restore::{Proof, Proven, RestoreError, check, compare, restore};

impl Case {
    /// Takes a backup now, and returns its file.
    pub async fn backed_up(&self) -> Vec<u8> {
        self.world.clock.advance(seconds(1));
        self.ask(&Once::none()).await;
        assert!(self.work().await);
        self.file(self.names().last().unwrap())
    }

    /// A world whose vault was restored from this file, and unsealed.
    pub async fn restored(&self, file: &[u8]) -> World {
        self.restored_of(&[file]).await
    }

    /// The same from a backup and the increments upon it.
    pub async fn restored_of(&self, files: &[&[u8]]) -> World {
        let store = MemoryStore::new();
        let held: Arc<dyn Store> = Arc::new(store.clone());
        let whole = check(files.iter().copied(), &self.identity).unwrap();
        restore(files.iter().copied(), &self.identity, &whole, &held, self.world.now()).await.unwrap();
        open_or_create(&store).await.unwrap();
        let world = self.world.beside(store);
        world.unseal().await;
        world
    }

    /// Proves a backup with the first of the shares.
    pub async fn proven(&self, file: &[u8]) -> Proven {
        self.proven_of(&[file]).await
    }

    /// The same of a backup and the increments upon it.
    pub async fn proven_of(&self, files: &[&[u8]]) -> Proven {
        let mut proof = Proof::begin(files.iter().copied(), &self.identity).await.unwrap();
        let keyring = proof.give(self.world.shares.first().unwrap()).await.unwrap().unwrap();
        proof.hold(files.iter().copied(), &self.identity, &keyring).unwrap()
    }

    /// A backup of these rows.
    fn written(&self, head: &Head, rows: &[(StoreKey, Row)]) -> Vec<u8> {
        let mut writer = Writer::begin(Writing::begin(&self.recipients, Vec::new()).unwrap(), head).unwrap();
        for (key, row) in rows {
            writer.row(key, row).unwrap();
        }
        writer.finish().unwrap().1.finish().unwrap()
    }
}

impl World {
    async fn ask_to_compare(&self) -> Result<RestoreStatus> {
        let (open, root) = (self.open(), self.root().await);
        open.ask_to_compare(&root, may(&open, &root, Resource::Operator)).await
    }

    async fn restored(&self) -> RestoreStatus {
        let (open, root) = (self.open(), self.root().await);
        open.restored(may(&open, &root, Resource::Operator)).await.unwrap()
    }

    pub async fn resume(&self, uncompared: bool) -> Result<RestoreStatus> {
        let (open, root) = (self.open(), self.root().await);
        let resume = Resume { reason: "the disk is new".to_owned(), uncompared };
        open.resume(&resume, &root, may(&open, &root, Resource::Operator)).await
    }
}

#[tokio::test]
async fn a_restored_vault_is_paused_until_it_was_compared_and_then_does_first_what_fell_due() {
    let case = Case::new(10).await;
    let tess = case.world.tess().await;
    let held = case.world.check_out(&tess, &of("shared"), &Once::none()).await.unwrap();
    case.world.reveal(&tess, held.id).await.unwrap();
    let file = case.backed_up().await;
    case.world.rotate(&tess, "app").await.unwrap();
    case.world.step().await;
    let newer = case.world.system.password("app");

    let world = case.restored(&file).await;
    assert_eq!(world.told(Scope::Operator, EventKind::VaultRestored).await.len(), 1);
    world.vault.close();
    world.unseal().await;
    assert_eq!(world.told(Scope::Operator, EventKind::VaultRestored).await.len(), 1, "it is told once");

    // Nothing is done by itself, and nothing that acts on a system by request; what is held is held, and ends on time.
    world.clock.advance(seconds(7200));
    assert!(world.open().due().await.unwrap().is_empty());
    let calls = |world: &World| {
        let machine = world.system.machine();
        (machine.probes, machine.sets)
    };
    let before = calls(&world);
    world.step().await;
    let tess = world.tess().await;
    assert_eq!(world.rotate(&tess, "app").await.problem(), ProblemType::Paused);
    assert_eq!(world.check_out(&tess, &of("temp"), &Once::none()).await.problem(), ProblemType::Paused);
    assert_eq!(world.reveal(&tess, held.id).await.problem(), ProblemType::CheckoutEnded);
    let other = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    assert_eq!(world.reveal(&tess, other.id).await.unwrap().secret.secret().expose(), FIRST_SECRET);
    assert_eq!(calls(&world), before, "no system was touched");

    // What is refused was changed after the backup, and is named.
    assert_eq!(world.resume(false).await.problem(), ProblemType::Paused);
    assert!(world.restored().await.restored.unwrap().compared.is_none());
    world.ask_to_compare().await.unwrap();
    assert!(world.open().comparison_is_due());
    compare(&world.vault).await.unwrap();
    assert!(!world.open().comparison_is_due());
    let compared = world.restored().await.restored.unwrap().compared.unwrap();
    let counts = ComparedCounts { accounts: 3, accepted: 2, refused: 1, ..ComparedCounts::default() };
    assert_eq!((compared.counts, compared.finished_at), (counts, Some(world.now())));
    let [differing] = compared.differing.as_slice() else { panic!("{compared:?}") };
    assert_eq!((differing.account.to_string().as_str(), differing.outcome), ("acme/db1/app", ComparedAs::Refused));
    let told = world.told(Scope::Operator, EventKind::VaultCompared).await;
    assert!(told.len() == 1 && told[0].fields["detail"].contains("2 as stored, 1 refused"), "{told:?}");

    // A crash forgets nothing of that. Then it acts: what is overdue ends, and its secret is rotated.
    world.vault.close();
    world.unseal().await;
    assert!(world.resume(false).await.unwrap().restored.is_none());
    assert_eq!(world.resume(false).await.problem(), ProblemType::NotPaused);
    assert_eq!(world.ask_to_compare().await.problem(), ProblemType::NotPaused);
    world.step().await;
    assert_ne!(world.system.password("shared").unwrap(), "of all");
    assert_eq!(world.told(Scope::Operator, EventKind::VaultResumed).await.len(), 1);

    // The management account finds its way back to the account that was lost.
    world.check_in(&tess, other.id).await.unwrap();
    world.pass(seconds(3600)).await;
    assert_ne!(world.system.password("app"), newer, "it was set again");
    let again = world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    let shown = world.reveal(&tess, again.id).await.unwrap();
    assert!(world.system.opens("app", shown.secret.secret().expose()));
    world.check().await;
}

#[tokio::test]
async fn whoever_is_sure_resumes_without_comparing_and_a_restart_of_a_paused_vault_goes_on_comparing() {
    let case = Case::new(10).await;
    let world = case.restored(&case.backed_up().await).await;
    world.ask_to_compare().await.unwrap();
    world.vault.close();
    world.unseal().await;
    assert!(world.open().comparison_is_due(), "it was asked for, and is not over");
    world.system.machine().unreachable = true;
    compare(&world.vault).await.unwrap();
    let counts = world.restored().await.restored.unwrap().compared.unwrap().counts;
    assert_eq!((counts.accounts, counts.accepted, counts.not_reached), (3, 0, 3));
    world.system.machine().unreachable = false;
    world.ask_to_compare().await.unwrap();
    world.clock.advance(seconds(1));
    assert_eq!(world.resume(false).await.problem(), ProblemType::Paused, "a new comparison is awaited");
    world.resume(true).await.unwrap();
    let told = world.told(Scope::Operator, EventKind::VaultResumed).await;
    assert_eq!(told[0].fields["detail"], "not compared");
}

#[tokio::test]
async fn a_proof_opens_every_row_and_finds_what_was_altered_left_out_or_put_back() {
    let case = Case::new(10).await;
    let tess = case.world.tess().await;
    let held = case.world.check_out(&tess, &of("app"), &Once::none()).await.unwrap();
    case.world.check_in(&tess, held.id).await.unwrap();
    let early = case.backed_up().await;
    case.world.rotate(&tess, "app").await.unwrap();
    case.world.step().await;
    let file = case.backed_up().await;
    let (about, rows) = case.read(case.names().last().unwrap());
    let (_, before) = case.read(&case.names()[0]);
    assert_ne!(early, file);
    let proven = case.proven(&file).await;
    assert_eq!((proven.faults.clone(), proven.more_faults), (vec![], 0));
    assert_eq!((proven.rows, proven.customers), (rows.len() as u64, 1));
    assert!(proven.logs == 2 && proven.entries > 20, "{proven:?}");

    let of_table = |table: Table| {
        rows.iter().position(|(key, _)| RowId::from_key(key).is_ok_and(|id| id.table() == table)).unwrap()
    };
    let found = async |rows: &[(StoreKey, Row)]| case.proven(&case.written(&about, rows)).await.faults.join("\n");
    let mut altered = rows.clone();
    let at = of_table(Table::Secrets);
    let mut bytes = altered[at].1.value.to_vec();
    bytes[20] ^= 1;
    altered[at].1.value = bytes.into();
    let acme = case.world.acme().await.to_string();
    let said = found(&altered).await;
    assert!(said.contains(&acme) && said.contains("Secrets"), "{said}");

    let mut less = rows.clone();
    less.remove(of_table(Table::Checkouts));
    let said = found(&less).await;
    assert!(said.contains("rows_differ") && said.contains(&acme), "{said}");

    let mut old = rows.clone();
    let older = |(key, row): &(StoreKey, Row)| before.iter().any(|(k, r)| k == key && r.revision < row.revision);
    let states = |row: &(StoreKey, Row)| RowId::from_key(&row.0).is_ok_and(|id| id.table() == Table::AccountStates);
    let at = old.iter().position(|row| states(row) && older(row)).unwrap();
    let (_, row) = before.iter().find(|(key, _)| *key == old[at].0).unwrap();
    old[at].1 = row.clone();
    assert!(found(&old).await.contains("rows_differ"), "an older row opens as well as ever");

    let mut forgetful = rows;
    let leaves: Vec<usize> = (0..forgetful.len())
        .filter(|n| RowId::from_key(&forgetful[*n].0).is_ok_and(|id| id.table() == Table::LogLeaves))
        .collect();
    forgetful.remove(leaves[5]);
    assert!(found(&forgetful).await.contains("entries"), "a log without an entry is not whole");
}

#[tokio::test]
async fn only_what_opened_the_vault_then_opens_its_backup() {
    let case = Case::new(10).await;
    let file = case.backed_up().await;
    let mut proof = Proof::begin([file.as_slice()], &case.identity).await.unwrap();
    let wrong = proof.give(&Secret::new("CLVG-no-share".to_owned()).unwrap()).await.err().unwrap();
    assert!(matches!(&wrong, RestoreError::Keys(error) if error.problem == ProblemType::WrongShare), "{wrong}");
    assert_eq!((proof.status().threshold, proof.status().provided), (1, 0));
    assert!(proof.give(case.world.shares.first().unwrap()).await.unwrap().is_some());

    let head = case.read(&case.names()[0]).0;
    let nobodys = Proof::begin([case.written(&head, &[]).as_slice()], &case.identity).await;
    assert!(nobodys.err().unwrap().to_string().contains("not initialised"));
}

#[tokio::test]
async fn nothing_is_restored_over_a_store_or_from_half_a_file_and_a_crash_is_gone_over_again() {
    let case = Case::new(10).await;
    let file = case.backed_up().await;
    let whole = check([file.as_slice()], &case.identity).unwrap();
    let onto = async |store: &MemoryStore, file: &[u8]| {
        let store: Arc<dyn Store> = Arc::new(store.clone());
        restore([file], &case.identity, &whole, &store, case.world.now()).await
    };
    let before = case.world.store.snapshot();
    let refused = onto(&case.world.store, &file).await;
    assert!(matches!(refused, Err(RestoreError::Fill(FillError::NotEmpty))));
    assert_eq!(case.world.store.snapshot(), before);
    assert!(check([&file[..file.len() - 1]], &case.identity).is_err());

    for n in 1.. {
        let store = MemoryStore::new();
        store.set_faults(FaultPlan::nth_commit(n, CommitFault::UnknownNotApplied));
        let first = onto(&store, &file).await;
        store.set_faults(FaultPlan::none());
        if first.is_ok() {
            assert!(n > 2);
            break;
        }
        assert!(n == 1 || open_or_create(&store).await.is_err(), "what is half filled is no store");
        onto(&store, &file).await.unwrap();
        let world = case.world.beside(store);
        world.unseal().await;
        world.check().await;
    }
    let other = case.backed_up().await;
    assert!(matches!(onto(&MemoryStore::new(), &other).await, Err(RestoreError::Changed)));
}

#[tokio::test]
async fn only_an_administrator_at_the_keyboard_resumes() {
    let case = Case::new(10).await;
    let world = case.restored(&case.backed_up().await).await;
    for caller in [world.tess().await, world.bot().await] {
        assert_eq!(
            world.open().permit::<SysRestore>(&caller, &Resource::Operator).await.problem(),
            ProblemType::Forbidden
        );
    }
}
