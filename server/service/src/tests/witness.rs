//! Witnesses, who may keep the vault waiting.

use std::future::pending;
use std::io;
use std::sync::Arc;

use claviger_api::Part;
use claviger_api::audit::witness::{AddCheckpoint, CosignerKey};
use tokio::sync::Notify;

use super::world::World;
use crate::audit::witness::{Asked, Witness, WitnessAnswer};
use crate::{Ground, Vault};

/// A witness that takes what it is sent, and says nothing.
struct Silent {
    key: CosignerKey,
    asked: Notify,
}

#[async_trait::async_trait]
impl Witness for Silent {
    fn key(&self) -> &CosignerKey {
        &self.key
    }

    fn customer(&self) -> Option<&Part> {
        None
    }

    async fn add(&self, _: &AddCheckpoint) -> io::Result<WitnessAnswer> {
        self.asked.notify_one();
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_sealed_while_a_witness_is_waited_for_keeps_no_key() {
    let mut world = World::new().await;
    let key = CosignerKey::new("witness.example/w", [7; 32]).unwrap();
    let silent = Arc::new(Silent { key, asked: Notify::new() });
    let witnesses: Vec<Arc<dyn Witness>> = vec![silent.clone()];
    world.vault = Vault::new(Ground { witnesses, ..world.vault.ground().clone() }).into();
    world.unseal().await;
    silent.asked.notified().await;

    let vault = world.vault.clone();
    let asking = tokio::spawn(async move { vault.ask_witnesses(&mut Asked::default()).await });
    silent.asked.notified().await;
    let open = Arc::downgrade(&world.open());
    world.vault.close();
    assert!(open.upgrade().is_none(), "something still holds the keys");
    assert!(asking.await.unwrap().is_err(), "it is sealed by now");
}
