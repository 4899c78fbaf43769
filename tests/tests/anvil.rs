//! `docs/anvil.md` maps each failure that broke systems like this one to the tests named after it. The page is made from
//! the sources, so that it cannot claim a test that is not there.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources fails")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows, in their groups, and what each test must show. A test belongs to the longest row that its name begins with.
const ROWS: &[(&str, &[(&str, &str)])] = &[
    (
        "Authentication",
        &[
            ("login_timing", "unknown, locked and disabled users cost the same and are answered alike"),
            ("lockout_canonical", "one name has one counter, however it is written"),
            ("lockout_durable", "a failure is stored before it is answered, and survives a crash"),
            ("totp_reuse", "a one-time code is exact, and good once"),
            ("budget_default", "every unauthenticated route has a budget"),
            ("forwarded_for", "the header counts only from listed proxies"),
            ("jwt_mutants", "five hundred mutants of a good token are refused"),
            ("oidc_binding", "a login is linked by issuer and subject alone, and bound to its browser"),
            ("cert_binding", "a certificate is matched by thumbprint or exact name under a pinned CA"),
            ("mfa_fail_open", "a second factor that cannot be checked is a refusal"),
            ("fresh_auth", "sensitive acts want a recent second factor"),
            ("null_bind", "blank and NUL secrets are refused before any network"),
        ],
    ),
    (
        "Authorization and customers",
        &[
            ("cross_customer", "another customer's id is answered like one that does not exist"),
            ("canary_matrix", "role by action by customer, against a reference"),
            ("one_source", "one place in a request names the customer"),
            ("privilege_closure", "no sequence of grants gives more than the closure"),
            ("deny_everywhere", "lists, counts and exports show only what a read may show"),
            ("path_forms", "odd forms of a path are refused before routing"),
            ("lease_edges", "nothing is possible at or after the end"),
            ("stale_expiry", "a late expiry touches its own checkout only"),
            ("revoke_now", "what is revoked is refused at once, and after a restart"),
            ("unauth_writes", "nobody changes anything without a session, but for init and unseal"),
            ("ssh_principals", "certificates for nobody or everybody are refused"),
        ],
    ),
    (
        "Leaks",
        &[
            ("canary_sweep", "a secret through every field is found nowhere afterwards"),
            ("data_at_rest", "the store's files hold no secret and no name"),
            ("memory", "keys are locked, undumpable, and gone after a seal"),
            ("child_process", "no secret in an argument"),
            ("file_modes", "what others may read is refused"),
        ],
    ),
    (
        "Injection and load",
        &[
            ("sql_names", "hostile names have exactly their effect, or are refused"),
            ("ldap_escape", "names and filters of a directory are different types"),
            ("shell", "no hostile name or secret reaches a shell: secrets go to standard input"),
            ("ssrf", "the address that was checked is the address that is reached"),
            ("json_bombs", "deep, wide, huge and slow bodies cost their sender"),
            ("hostile_system", "a system that lies or hangs costs its own budget"),
            ("shamir", "too few shares say nothing; wrong ones are refused"),
            ("tamper", "what was moved, swapped, deleted or put back is found"),
            ("disk_full", "a clear refusal, nothing lost, recovery without a restart"),
        ],
    ),
    (
        "Rotation",
        &[
            ("lost_ack", "changed and the reply lost: the live password is kept and found"),
            ("cancel_erases", "cancelling erases nothing"),
            ("unreachable_is_not_wrong", "no connection says nothing of a password"),
            ("endless_refusal", "what a policy refuses is not tried for ever"),
            ("verify_lag", "a system that lags has not failed"),
            ("lockout_spent", "the vault locks nobody out"),
            ("lock_without_end", "there is no seat without its timer"),
            ("partial_set", "of several accounts changed, none is forgotten"),
            ("restart_rotates", "a restart neither forgets nor repeats"),
            ("failover_stops", "after a failover rotation goes on"),
            ("late_writer", "a writer that wakes late loses no password"),
            ("stale_copy", "an older copy of the store is noticed"),
        ],
    ),
];

/// The page, from the sources below the repository's root.
fn page(root: &Path) -> String {
    let mut tests: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
    let mut strays = Vec::new();
    for file in sources(root) {
        let text = fs::read_to_string(&file).unwrap();
        for name in text.split("fn anvil_").skip(1) {
            let name: String = name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let place = file.strip_prefix(root).unwrap().display().to_string();
            match row_of(&name) {
                Some(row) => tests.entry(row).or_default().push((place, format!("anvil_{name}"))),
                None => strays.push(format!("anvil_{name} in {place}")),
            }
        }
    }
    assert!(strays.is_empty(), "tests of no row: {strays:?}");
    let mut page = String::from(
        "# The anvil\n\nFailures that broke vaults, password managers and access brokers, and the tests named after them. \
         Made from the\nsources by `make docs`; a row without a test says so.\n",
    );
    for (group, rows) in ROWS {
        write!(page, "\n## {group}\n\n| row | ours must show | tests |\n| --- | --- | --- |\n").unwrap();
        for (row, shows) in *rows {
            let mut found = tests.remove(row).unwrap_or_default();
            found.sort();
            let lines: Vec<String> = found.iter().map(|(place, name)| format!("`{name}` in {place}")).collect();
            let cell = if lines.is_empty() { "not yet".to_owned() } else { lines.join("<br>") };
            writeln!(page, "| {row} | {shows} | {cell} |").unwrap();
        }
    }
    page
}

fn row_of(test: &str) -> Option<&'static str> {
    let rows = ROWS.iter().flat_map(|(_, rows)| rows.iter().map(|(row, _)| *row));
    rows.filter(|row| test == *row || test.strip_prefix(row).is_some_and(|rest| rest.starts_with('_')))
        .max_by_key(|row| row.len())
}

fn sources(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["client", "cli", "server", "tests"].map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("tests/tests/anvil.rs")
            {
                files.push(path);
            }
        }
    }
    files
}

/// `make docs` writes the page; this keeps it in step.
#[test]
fn the_anvil_page_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let path = root.join("docs/anvil.md");
    let page = page(root);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), page, "run 'make docs'");
}
