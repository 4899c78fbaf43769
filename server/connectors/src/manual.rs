//! What no program reaches: a router in a cupboard, a portal. Nothing is tried and nothing is changed here; a person does
//! it (`core/src/rotation/person.rs`).

use std::time::Duration;

use async_trait::async_trait;
use claviger_api::wire::{ProbeResult, SystemSpec};
use claviger_api::{Login, Secret, Timestamp};

use crate::{Connector, Credential, NewLogin, Probe, SetOutcome, Traits};

/// The connector.
pub struct Manual;

const NOBODY: &str = "no program reaches this system: a person has to look";

#[async_trait]
impl Connector for Manual {
    fn kind(&self) -> &'static str {
        "manual"
    }

    fn traits(&self, _system: &SystemSpec) -> Traits {
        Traits {
            grace: Duration::ZERO,
            changes_twice: false,
            propagation: Duration::ZERO,
            lockout_threshold: None,
            ends_sessions: false,
            makes_logins: false,
            ends_logins: false,
            deadline: Duration::ZERO,
        }
    }

    async fn probe(&self, _system: &SystemSpec, _login: &Login, _secret: &Secret) -> Probe {
        Probe { result: ProbeResult::Unknown, detail: NOBODY.to_owned() }
    }

    async fn set(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login, _: &Secret) -> SetOutcome {
        nothing()
    }

    async fn create_login(&self, _: &SystemSpec, _: &Credential<'_>, _: &NewLogin<'_>) -> SetOutcome {
        nothing()
    }

    async fn extend_login(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login, _: Timestamp) -> SetOutcome {
        nothing()
    }

    async fn remove_login(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login) -> SetOutcome {
        nothing()
    }

    async fn end_sessions(&self, _: &SystemSpec, _: &Credential<'_>, _: &Login) -> SetOutcome {
        nothing()
    }
}

fn nothing() -> SetOutcome {
    SetOutcome::NotSent { result: ProbeResult::Unknown, detail: NOBODY.to_owned() }
}
