//! A vault that a real HSM has sealed: SoftHSM, through PKCS#11.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on says so")]

#[path = "hsm/copies.rs"]
mod copies;
#[path = "hsm/nodes.rs"]
mod nodes;
#[path = "hsm/rekey.rs"]
mod rekey;

use std::time::Duration;

use claviger_api::wire::{HsmState, InitRequest, SealKind, SealState, SealStatus};
use claviger_api::{ProblemType, Secret};
use claviger_tests::cli::Cli;
use claviger_tests::people::{ADMINISTRATOR, Person, nobody};
use claviger_tests::poll::until;
use claviger_tests::raw::Raw;
use claviger_tests::server::{Launch, Server};
use claviger_tests::softhsm::SoftHsm;

/// Longer than a vault takes to open by itself on a busy machine.
const SOON: Duration = Duration::from_mins(1);
const PIN: &str = "pin-of-the-token-2468";

/// A vault that its HSM has sealed, with 2 of 3 recovery shares, and its administrator.
struct Sealed {
    server: Server,
    soft: SoftHsm,
    launch: Launch,
    recovery: Vec<Secret>,
    ada: Person,
}

fn launch_on(soft: &SoftHsm, more: &str) -> Launch {
    Launch { audit: format!("{}{more}", soft.section("")), environment: soft.environment(), ..Launch::default() }
}

impl Sealed {
    async fn start() -> Self {
        Self::start_with("").await
    }

    /// With these sections in its configuration, too.
    async fn start_with(more: &str) -> Self {
        let soft = SoftHsm::new(PIN);
        let launch = launch_on(&soft, more);
        let server = Server::start(&launch).await;
        let (recovery, ada) = initialise(&server).await;
        Self { server, soft, launch, recovery, ada }
    }

    async fn restart(&mut self) {
        self.server.stop().await;
        self.server.start_again(&self.launch).await;
    }

    fn two_shares(&self) -> String {
        format!("{}\n{}\n", self.recovery[2].expose(), self.recovery[0].expose())
    }

    fn says_no_secret(&self) {
        let log = self.server.log();
        assert!(!log.contains(PIN) && self.recovery.iter().all(|share| !log.contains(share.expose())));
    }
}

/// Has the HSM seal it, waits until that has opened it, and lets its administrator in.
async fn initialise(server: &Server) -> (Vec<Secret>, Person) {
    let administrator = ADMINISTRATOR.parse().unwrap();
    let request = InitRequest::Pkcs11 { shares: 3, threshold: 2, administrator };
    let made = nobody(server.address()).sys().init(&request).await.unwrap();
    opens(server).await;
    let ada = Person::enrol(server.address(), ADMINISTRATOR.parse().unwrap(), made.enrolment.into_secret()).await;
    (made.shares.into_iter().map(claviger_api::secret::Disclosed::into_secret).collect(), ada)
}

async fn status(server: &Server) -> SealStatus {
    nobody(server.address()).sys().seal_status().await.unwrap()
}

/// It opens by itself.
async fn opens(server: &Server) {
    until("the vault opens by itself", SOON, async || (status(server).await.seal == SealState::Unsealed).then_some(()))
        .await;
}

/// It is sealed, and this is why.
async fn stays_sealed(server: &Server, why: HsmState) {
    until("the HSM is asked", SOON, async || {
        let status = status(server).await;
        assert_eq!((status.seal, status.kind), (SealState::Sealed, Some(SealKind::Pkcs11)), "{status:?}");
        (status.hsm?.state == why).then_some(())
    })
    .await;
}

async fn audit(ada: &Person, server: &Server, kind: &str) -> Vec<String> {
    let terminal = ada.terminal(server.address()).await;
    let told = terminal.run(&["audit", "log", "--operator", "--kind", kind, "--output", "json"]).await;
    let told = told.json();
    told.as_array().unwrap().iter().map(|event| event["fields"]["detail"].as_str().unwrap_or("").to_owned()).collect()
}

#[tokio::test]
async fn it_is_sealed_by_the_hsm_and_opens_by_itself_after_each_start() {
    let mut vault = Sealed::start().await;
    vault.restart().await;
    opens(&vault.server).await;
    let shown = Cli::at(vault.server.address()).run(&["operator", "seal-status", "--output", "json"]).await;
    let hsm = &shown.json()["hsm"];
    assert_eq!((shown.json()["kind"].as_str(), hsm["state"].as_str()), (Some("pkcs11"), Some("answers")), "{shown:?}");
    assert_eq!(audit(&vault.ada, &vault.server, "vault.unsealed").await, ["by its HSM"; 2]);

    // Killed, too: nothing is left behind on the token.
    vault.server.kill().await;
    vault.server.start_again(&vault.launch).await;
    opens(&vault.server).await;
    vault.says_no_secret();
}

#[tokio::test]
async fn where_the_hsm_is_gone_it_says_why_and_recovery_shares_open_it() {
    let mut vault = Sealed::start().await;
    vault.soft.take_away();
    vault.restart().await;
    stays_sealed(&vault.server, HsmState::Unreachable).await;
    let health = Raw::nobody(vault.server.address()).get("/v1/sys/health").await;
    assert_eq!(health.problem_type(), ProblemType::Sealed);
    assert!(health.text().contains("the HSM does not answer"), "{}", health.text());
    assert!(vault.server.log().contains("is not there: connect it"), "{}", vault.server.log());
    let nobody = Cli::at(vault.server.address());
    let shown = nobody.run(&["operator", "seal-status"]).await;
    assert!(shown.code == 0 && shown.stderr.contains("give recovery shares"), "{shown:?}");
    let half = nobody.run_with(&["operator", "unseal", "--stdin"], vault.recovery[1].expose()).await;
    assert!(half.code == 8 && half.stderr.contains("1 of 2 shares"), "{half:?}");
    let opened = nobody.run_with(&["operator", "unseal", "--stdin"], vault.recovery[0].expose()).await;
    assert_eq!(opened.code, 0, "{opened:?}");
    assert_eq!(audit(&vault.ada, &vault.server, "vault.unsealed").await[0], "by recovery shares");

    // And by itself, without a restart, as soon as it is back.
    vault.restart().await;
    stays_sealed(&vault.server, HsmState::Unreachable).await;
    vault.soft.put_back();
    opens(&vault.server).await;
    vault.says_no_secret();
}

#[tokio::test]
async fn another_token_a_wrong_pin_and_no_module_each_leave_it_sealed_and_say_why() {
    let mut vault = Sealed::start().await;
    vault.server.stop().await;
    vault.soft.add_token("other", PIN);
    let launched =
        |from: &str, to: &str| Launch { audit: vault.launch.audit.replace(from, to), ..vault.launch.clone() };
    let other = launched("token = 'vault'", "token = 'other'");
    let unloaded = launched("libsofthsm2.so", "libnothing.so");
    vault.server.start_again(&other).await;
    stays_sealed(&vault.server, HsmState::NoKey).await;
    vault.server.stop().await;
    vault.server.start_again(&unloaded).await;
    stays_sealed(&vault.server, HsmState::Unreachable).await;
    vault.server.stop().await;
    vault.server.start_again(&Launch::default()).await;
    stays_sealed(&vault.server, HsmState::NotConfigured).await;
    vault.server.stop().await;

    vault.soft.set_pin("pin-of-another-token");
    vault.server.start_again(&vault.launch).await;
    stays_sealed(&vault.server, HsmState::PinRefused).await;
    assert!(!status(&vault.server).await.hsm.unwrap().opens_by_itself);
    // The right one alone does not make it ask again: a restart does.
    vault.soft.set_pin(PIN);
    tokio::time::sleep(Duration::from_secs(6)).await;
    stays_sealed(&vault.server, HsmState::PinRefused).await;
    let log = vault.server.log();
    assert_eq!(log.matches("refuses the PIN").count(), 1, "{log}");
    assert!(!log.contains("pin-of-another-token"));
    vault.restart().await;
    opens(&vault.server).await;
    vault.says_no_secret();
}

#[tokio::test]
async fn what_an_operator_has_sealed_stays_sealed_until_it_is_started_again() {
    let mut vault = Sealed::start().await;
    let terminal = vault.ada.terminal(vault.server.address()).await;
    let sealed = terminal.run(&["operator", "seal"]).await;
    assert_eq!(sealed.code, 0, "{sealed:?}");
    tokio::time::sleep(Duration::from_secs(6)).await;
    let shown = terminal.run(&["operator", "seal-status"]).await;
    assert!(shown.stderr.contains("an operator has sealed it"), "{shown:?}");
    stays_sealed(&vault.server, HsmState::Answers).await;
    vault.restart().await;
    opens(&vault.server).await;
}

/// What is wrong is refused before it matters: without asking the token.
#[tokio::test]
async fn its_configuration_is_checked() {
    let soft = SoftHsm::new(PIN);
    let server = Server::nowhere(&launch_on(&soft, "")).await;
    let file = server.config_file();
    let file = file.to_str().unwrap();
    let (code, said) = Server::tool(&["check-config", file], "").await;
    assert!(code == 0 && said.contains("is right"), "{said}");
    std::fs::set_permissions(soft.pin_file(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = Server::tool(&["check-config", file], "").await;
    assert!(code == 1 && said.contains("chmod go="), "{said}");
    let text = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, text.replace("pin_file = ", "pin = ")).unwrap();
    let (code, said) = Server::tool(&["check-config", file], "").await;
    assert!(code == 1 && said.matches("unknown field").count() == 1, "told once: {said}");
}

/// A server without an HSM says so before anything is changed.
#[tokio::test]
async fn a_server_that_names_no_hsm_seals_by_none() {
    let server = Server::start(&Launch::default()).await;
    let administrator = ADMINISTRATOR.parse().unwrap();
    let request = InitRequest::Pkcs11 { shares: 1, threshold: 1, administrator };
    let refused = nobody(server.address()).sys().init(&request).await.err().unwrap();
    assert_eq!(refused.problem_type(), Some(ProblemType::InvalidValue), "{refused}");
    let errors = &refused.problem().unwrap().errors;
    assert!(errors[0].message.contains("[seal.pkcs11]"), "{errors:?}");
    assert_eq!(status(&server).await.seal, SealState::NotInitialised);
}
