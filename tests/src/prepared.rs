//! Data folders that a database's own program makes, once on this machine: making one takes a second of a processor,
//! copying it a tenth, and some eighty tests each want one of their own.

#![expect(clippy::unwrap_used, reason = "a test whose system does not start cannot go on")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use tempfile::TempDir;

/// Copies into `data`, which is not there yet, what `prepare` once made with this program; owners and modes too. Another
/// version of the program is another file, and prepares anew.
pub(crate) fn copy(name: &str, program: &Path, data: &Path, prepare: impl FnOnce()) {
    let kept = folder().join(format!("{name}-{}", changed_at(program)));
    fs::create_dir_all(folder()).unwrap();
    // One test prepares it, and whoever comes meanwhile waits. The lock ends with the file.
    let lock = File::create(kept.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if kept.exists() {
        drop(lock);
        return copy_folder(&kept, data);
    }
    prepare();
    // What is there is whole: it comes into being by its name.
    let making = TempDir::new_in(folder()).unwrap().keep();
    copy_folder(data, &making.join("data"));
    fs::rename(making.join("data"), kept).unwrap();
    fs::remove_dir(making).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--archive").arg(from).arg(to).output().unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

/// In the target directory, where nobody else writes.
fn folder() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("tmp/prepared")
}

fn changed_at(program: &Path) -> u64 {
    let changed = fs::metadata(program).unwrap().modified().unwrap();
    changed.duration_since(UNIX_EPOCH).unwrap().as_secs()
}
