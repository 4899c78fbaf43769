//! A core image of the server's process, all of its memory, as `gcore` takes it: after a seal no key is in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use claviger_api::Secret;
use claviger_tests::inventory::{add_customer, add_postgres, add_role, wanted};
use claviger_tests::postgres::Postgres;
use claviger_tests::vault::Vault;

/// Crockford's base 32, in which shares are written.
const BASE_32: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
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
    let technician = vault.technician();
    let held = technician.checkouts().create(&wanted(&account, 600)).await.unwrap();
    technician.checkouts().reveal(held.id).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let key = seal_key(&vault.people.share);
    let open = image(vault.pid(), folder.path());
    assert!(holds(&open, b"vault.test"), "the image is one of the server");
    assert!(holds(&open, &key), "while it is unsealed the seal key is in its memory: this test can find it");

    administrator.sys().seal().await.unwrap();
    let sealed = image(vault.pid(), folder.path());
    assert!(holds(&sealed, b"vault.test"));
    assert!(!holds(&sealed, &key), "the seal key");
}
