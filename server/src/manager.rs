//! What the service manager is told (sd_notify(3)): that the server is ready, what it does, and that it is alive. Without one, nothing.

use std::sync::Arc;
use std::time::Duration;

use claviger_service::Vault;
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout};

/// How often the state is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A store that says nothing for so long does not answer. One that refuses does: another process would be refused, too, and sealed.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The server listens.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The server ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// The server reads again what it can, and goes on.
pub fn reloading(reload: impl FnOnce()) {
    let now = NotifyState::monotonic_usec_now().ok();
    tell(&[NotifyState::Reloading].into_iter().chain(now).collect::<Vec<_>>());
    reload();
    ready();
}

/// Says whether the vault serves, whenever that changes, and sends pulses where they are wanted, half as long after each other
/// as the manager waits at most.
pub async fn run(vault: Arc<Vault>, mut stopped: watch::Receiver<bool>) {
    let every = sd_notify::watchdog_enabled().map(|most| most / 2);
    let mut looks = interval(every.map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY)));
    let mut told = None;
    let mut pulsed = Instant::now();
    let mut turns = vault.turns();
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            _ = stopped.changed() => return,
        }
        let status = if vault.open().is_ok() { "serving" } else { "sealed" };
        if told.replace(status) != Some(status) {
            tell(&[NotifyState::Status(status)]);
        }
        if every.is_some_and(|every| pulsed.elapsed() + LOOK_EVERY >= every)
            && is_alive(&vault, &mut turns, ANSWER_WITHIN).await
        {
            tell(&[NotifyState::Watchdog]);
            pulsed = Instant::now();
        }
    }
}

/// Whether the workers have gone on since, and the store answers, if only by a refusal.
async fn is_alive(vault: &Vault, before: &mut u64, within: Duration) -> bool {
    let turns = vault.turns();
    if turns == *before {
        return false;
    }
    let answers = timeout(within, vault.health()).await.is_ok();
    if answers {
        *before = turns;
    }
    answers
}

/// A manager that cannot be told goes without.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use claviger_service::workers;
    use claviger_store::{Batch, CommitError, MemoryStore, Range, ReadError, Row, Store, StoreKey, View};

    use super::*;
    use crate::Config;

    /// A store that hangs, refuses, or does as it should.
    #[derive(Clone, Copy)]
    enum Does {
        Hangs,
        Refuses,
        Well,
    }

    struct Disk(Does, MemoryStore);

    impl Disk {
        async fn answer(&self) -> Result<(), ReadError> {
            match self.0 {
                Does::Hangs => std::future::pending().await,
                Does::Refuses => Err(ReadError("full".to_owned())),
                Does::Well => Ok(()),
            }
        }
    }

    #[async_trait]
    impl Store for Disk {
        async fn get(&self, key: &StoreKey) -> Result<Option<Row>, ReadError> {
            self.answer().await?;
            self.1.get(key).await
        }

        async fn scan(&self, range: &Range) -> Result<Vec<(StoreKey, Row)>, ReadError> {
            self.answer().await?;
            self.1.scan(range).await
        }

        async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
            self.1.commit(batch).await
        }

        async fn view(&self) -> Result<Box<dyn View>, ReadError> {
            self.1.view().await
        }
    }

    fn vault(does: Does) -> Arc<Vault> {
        let config = "name = 'vault.test'\nlisten = '127.0.0.1:0'\ndata_directory = '/nonexistent'\n";
        let store = Arc::new(Disk(does, MemoryStore::new()));
        Arc::new(Vault::new(crate::ground(&Config::parse(config).unwrap(), store).unwrap()))
    }

    #[tokio::test]
    async fn alive_is_whose_workers_go_on_and_whose_store_answers() {
        for (does, alive) in [(Does::Well, true), (Does::Refuses, true), (Does::Hangs, false)] {
            let vault = vault(does);
            let within = Duration::from_millis(200);
            let mut turns = vault.turns();
            assert!(!is_alive(&vault, &mut turns, within).await, "nobody works yet");
            let (stop, stopped) = watch::channel(false);
            let working = tokio::spawn(workers::run(vault.clone(), stopped));
            while vault.turns() == turns {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(is_alive(&vault, &mut turns, within).await, alive);
            stop.send(true).unwrap();
            working.await.unwrap();
            let mut turns = vault.turns();
            assert!(!is_alive(&vault, &mut turns, within).await, "nobody works any more");
        }
    }
}
