//! The rotation that everybody writes first: generate, send, and store what the system took. It is here to be found out.

use claviger_api::Secret;
use claviger_connectors::{Connector, Credential, SetOutcome};
use claviger_tests::postgres::random_text;

use crate::line::Line;

/// A try, and another one should it fail.
const TRIES: usize = 2;

/// Rotates, and gives what it has stored.
pub async fn rotate(connector: &dyn Connector, line: &Line) -> String {
    let mut stored = line.first_secret.clone();
    for _ in 0..TRIES {
        if rotated(connector, line, &mut stored).await {
            break;
        }
    }
    stored
}

async fn rotated(connector: &dyn Connector, line: &Line, stored: &mut String) -> bool {
    let secret = |text: &str| Secret::new(text.to_owned()).unwrap();
    let (spec, old, new) = (line.spec(), secret(stored), random_text());
    let by = Credential { login: &line.login, secret: &old };
    if connector.set(&spec, &by, &line.login, &secret(&new)).await != SetOutcome::Applied {
        return false;
    }
    stored.clone_from(&new);
    connector.probe(&spec, &line.login, &secret(&new)).await;
    connector.probe(&spec, &line.login, &old).await;
    true
}
