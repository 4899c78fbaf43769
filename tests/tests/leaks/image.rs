//! A core image of the server's process, all of its memory, as `gcore` takes it: after a seal no key is in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use claviger_api::Secret;
use claviger_tests::inventory::{add_customer, add_postgres, add_role, wanted};
use claviger_tests::poll::until;
use claviger_tests::postgres::{Postgres, random_text};
use claviger_tests::vault::Vault;

/// Crockford's base 32, in which shares are written.
const BASE_32: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How long the end of a connection may take.
const SOON: std::time::Duration = std::time::Duration::from_mins(1);
/// Where the data of a share lies, in a share of one: the seal key itself (docs/formats.md).
const DATA: std::ops::Range<usize> = 22..54;

/// All memory of the process, also what it has asked to leave out of core dumps.
fn image(pid: u32, folder: &Path) -> Vec<u8> {
    let file = folder.join("image");
    let taken = Command::new("gdb")
        .args(["--batch", "--nx", "-ex", "set use-coredump-filter off", "-ex", "set dump-excluded-mappings on"])
        .args(["-p", &pid.to_string(), "-ex"])
        .arg(format!("gcore {}", file.display()))
        .output()
        .unwrap();
    let image = fs::read(&file).unwrap_or_else(|_| panic!("no image: {}", String::from_utf8_lossy(&taken.stderr)));
    fs::remove_file(file).unwrap();
    image
}

/// How many are connected to this address.
fn connections(address: &str) -> usize {
    let port = address.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let listed = fs::read_to_string("/proc/net/tcp").unwrap();
    let open =
        |line: &&str| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
    listed.lines().filter(open).filter(|line| line.split_whitespace().nth(3) == Some("01")).count()
}

fn holds(image: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(image, what).is_some()
}

/// The seal key: a share of one is a plain copy of it.
fn seal_key(share: &Secret) -> Vec<u8> {
    let text = share.expose().trim_start_matches("cvk1-").bytes().filter(|byte| *byte != b'-');
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for symbol in text {
        let value = BASE_32.iter().position(|known| *known == symbol).unwrap();
        bits = (bits << 5) | u32::try_from(value).unwrap();
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).unwrap());
        }
    }
    bytes[DATA].to_vec()
}

#[tokio::test]
async fn anvil_memory_after_a_seal_an_image_holds_no_key() {
    let postgres = Postgres::start().await;
    let vault = Vault::start().await;
    let administrator = vault.administrator();
    add_customer(&administrator, "acme").await;
    add_postgres(&administrator, "acme", "db01", &postgres).await;
    let account = add_role(&administrator, &postgres, "acme/db01/admin").await;
    // What was written into the store, and never shown, and what was shown.
    let stored = random_text();
    let spec =
        claviger_api::wire::NewAccount::standing("kept".parse().unwrap(), Some(Secret::new(stored.clone()).unwrap()));
    let (customer, system) = ("acme".parse().unwrap(), "db01".parse().unwrap());
    administrator.accounts().add(&customer, &system, &spec).await.unwrap();
    let technician = vault.technician();
    let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    let shown = technician.checkouts().reveal(held.id).await.unwrap().secret.into_secret();

    let folder = tempfile::tempdir().unwrap();
    let key = seal_key(&vault.people.share);
    let open = image(vault.pid(), folder.path());
    assert!(holds(&open, b"vault.test"), "the image is one of the server");
    assert!(holds(&open, &key), "while it is unsealed the seal key is in its memory: this test can find it");

    administrator.sys().seal().await.unwrap();
    // What a connection has read or written lies in its buffers as long as it is there.
    drop((administrator, technician));
    until("the connections end", SOON, async || (connections(vault.address()) == 0).then_some(())).await;
    let sealed = image(vault.pid(), folder.path());
    assert!(holds(&sealed, b"vault.test"));
    assert!(!holds(&sealed, &key), "the seal key");
    let share = vault.people.share.expose().as_bytes();
    let found = [holds(&sealed, share), holds(&sealed, stored.as_bytes()), holds(&sealed, shown.expose().as_bytes())];
    assert_eq!(found, [false; 3], "the share as it was given, a secret that came in, a secret that went out");
}
