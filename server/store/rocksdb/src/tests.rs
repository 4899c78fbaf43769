//! The laws, and what only this engine can get wrong: directories, crashes, damage, a disk that takes no more.

use std::fs::{self, Permissions};
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claviger_store::Expected;
use claviger_store::conformance::{Factory, run_all};
use rocksdb::statistics::Ticker;
use tempfile::TempDir;

use super::*;

struct InDirectories(Mutex<Vec<TempDir>>);

#[async_trait]
impl Factory for InDirectories {
    async fn fresh(&self) -> Arc<dyn Store> {
        let directory = private();
        let store = RocksStore::open(directory.path()).unwrap();
        self.0.lock().push(directory);
        Arc::new(store)
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        let directory = self.0.lock().last().unwrap().path().to_owned();
        Arc::new(RocksStore::open(directory).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_keeps_every_law() {
    let broken = run_all(&InDirectories(Mutex::default())).await;
    assert_eq!(broken, []);
}

/// A temporary directory of mode 0700, whatever the umask.
fn private() -> TempDir {
    tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn key(name: &str) -> StoreKey {
    StoreKey::from_stored(name.as_bytes())
}

fn put(name: &str, revision: u64, value: &[u8]) -> Batch {
    Batch { put: vec![(key(name), Row { revision, value: Bytes::copy_from_slice(value) })], ..Batch::default() }
}

async fn revision(store: &RocksStore, name: &str) -> Option<u64> {
    store.get(&key(name)).await.unwrap().map(|row| row.revision)
}

#[test]
fn anvil_file_modes_a_directory_that_others_may_enter_is_refused() {
    let parent = private();
    let path = parent.path().join("data");
    for mode in [0o750, 0o705, 0o755, 0o770, 0o701] {
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = RocksStore::open(&path).err().unwrap();
        assert!(matches!(error, OpenError::TooOpen { .. }), "{mode:o}: {error}");
        assert!(error.to_string().contains(&format!("chmod 700 {}", path.display())), "{error}");
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "nothing is written into it");
        fs::remove_dir(&path).unwrap();
    }
}

#[test]
fn anvil_file_modes_a_new_directory_is_the_servers_alone() {
    let parent = private();
    let path = parent.path().join("a/data");
    drop(RocksStore::open(&path).unwrap());
    for made in [path.as_path(), path.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(RocksStore::open(&file), Err(OpenError::NotADirectory(_))));
}

#[test]
fn a_directory_is_opened_once() {
    let directory = private();
    let first = RocksStore::open(directory.path()).unwrap();
    let error = RocksStore::open(directory.path()).err().unwrap();
    assert!(matches!(&error, OpenError::InUse(path) if path == directory.path()), "{error}");
    drop(first);
    assert!(RocksStore::open(directory.path()).is_ok());
}

#[test]
fn a_directory_in_use_by_another_process_is_refused() {
    let directory = private();
    let mut holder = child("holds_the_directory_until_its_input_ends", directory.path(), "");
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let _output = wait_for_line(&mut holder, "open");
    let error = RocksStore::open(directory.path()).err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
}

/// Each commit is one flush of RocksDB's log, counted by RocksDB itself.
#[tokio::test]
async fn every_commit_is_flushed_before_it_is_acknowledged() {
    let directory = private();
    let mut counted = options();
    counted.enable_statistics();
    let db = DB::open(&counted, directory.path()).unwrap();
    let (db, commits) = (RwLock::new(Some(Arc::new(db))), Mutex::new(Health::Sound));
    let store = RocksStore {
        directory: directory.path().to_owned(),
        settings: Settings::default(),
        db,
        commits,
        recent: Recent::new(),
        views: Views::default(),
    };
    for n in 1..=5 {
        store.commit(put("a", n, b"v")).await.unwrap();
        assert_eq!(counted.get_ticker_count(Ticker::WalFileSynced), n);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_an_abort() {
    let directory = private();
    let mut aborted = child("commits_and_aborts", directory.path(), "");
    let status = aborted.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "it was no clean end");
    let store = RocksStore::open(directory.path()).unwrap();
    for n in 1..=ABORTED_AFTER {
        assert_eq!(revision(&store, &format!("row {n}")).await, Some(n));
    }
}

/// A record cut off at the end was never acknowledged; a damaged one before it was.
#[tokio::test]
async fn a_torn_end_of_the_log_is_forgiven_and_damage_in_it_is_not() {
    let directory = private();
    let store = RocksStore::open(directory.path()).unwrap();
    for n in 1..=3 {
        store.commit(put(&format!("row {n}"), n, &[7; 100])).await.unwrap();
    }
    // A checkpoint would flush; the files as they are now are what a crash leaves.
    let crashed = |name: &str| {
        let to = directory.path().join(name);
        fs::create_dir(&to).unwrap();
        fs::set_permissions(&to, Permissions::from_mode(0o700)).unwrap();
        let files = fs::read_dir(directory.path()).unwrap().map(Result::unwrap);
        for file in files.filter(|file| file.file_type().unwrap().is_file()) {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
        let log =
            fs::read_dir(&to).unwrap().map(|f| f.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "log"));
        (to, log.unwrap())
    };

    let (torn, log) = crashed("torn");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 20]).unwrap();
    let reopened = RocksStore::open(torn).unwrap();
    assert_eq!(revision(&reopened, "row 2").await, Some(2));
    assert_eq!(revision(&reopened, "row 3").await, None);

    let (damaged, log) = crashed("damaged");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert!(matches!(RocksStore::open(damaged), Err(OpenError::Engine(_))));
}

#[tokio::test]
async fn anvil_disk_full_a_commit_is_refused_before_the_disk_is_full() {
    let directory = private();
    let store = RocksStore::open(directory.path()).unwrap();
    store.commit(put("a", 1, b"v")).await.unwrap();
    drop(store);

    let full = RocksStore::open_with(directory.path(), Settings { reserve_bytes: u64::MAX }).unwrap();
    let error = full.commit(put("a", 2, b"w")).await.unwrap_err();
    assert!(matches!(&error, CommitError::Refused(why) if why.contains("make room")), "{error}");
    assert_eq!(revision(&full, "a").await, Some(1), "reads go on");
    assert_eq!(full.failure(), None, "and nothing is in doubt");
}

/// A real failed write: the child may write no file beyond a limit, and then may again.
#[tokio::test]
async fn anvil_disk_full_a_failed_write_is_unknown_then_refused_then_over() {
    let directory = private();
    // The soft limit is in blocks of 512 bytes or 1 KiB, as the shell has it; the signal must not kill.
    let mut limited = child("meets_a_limit_and_goes_on", directory.path(), "trap '' XFSZ; ulimit -S -f 600; ");
    let output = limited.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let store = RocksStore::open(directory.path()).unwrap();
    assert_eq!(revision(&store, "after").await, Some(1));
}

#[tokio::test]
async fn a_checkpoint_is_a_store_of_its_own() {
    let directory = private();
    let store = RocksStore::open(directory.path().join("data")).unwrap();
    store.commit(put("a", 1, b"v")).await.unwrap();
    let copy = directory.path().join("copy");
    store.checkpoint(&copy).unwrap();
    store.commit(put("a", 2, b"w")).await.unwrap();
    let copy = RocksStore::open(copy).unwrap();
    assert_eq!(revision(&copy, "a").await, Some(1));
    assert!(store.checkpoint(directory.path().join("copy")).is_err(), "an existing directory is not overwritten");
}

#[tokio::test]
async fn a_value_on_disk_is_its_revision_and_its_bytes() {
    let directory = private();
    let store = RocksStore::open(directory.path()).unwrap();
    store.commit(put("a", 0x0102, b"sealed")).await.unwrap();
    let stored = |name: &[u8]| store.db.read().as_ref().unwrap().get(name).unwrap().unwrap();
    assert_eq!(stored(b"a"), b"\0\0\0\0\0\0\x01\x02sealed");
    store.db.read().as_ref().unwrap().put(b"short", b"1234567").unwrap();
    assert!(store.get(&key("short")).await.is_err());
    let batch = Batch { expect: vec![(key("short"), Expected::Absent)], ..Batch::default() };
    assert!(matches!(store.commit(batch).await, Err(CommitError::Refused(_))));
}

/// Two rows of one batch are read while they are written: no read is older than what was acknowledged before it, nor than
/// a read before it, of either row.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_at_hand_is_never_older_than_the_engine() {
    const WRITES: u64 = 500;
    let directory = private();
    let store = Arc::new(RocksStore::open(directory.path()).unwrap());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let read = |store: Arc<RocksStore>, acknowledged: Arc<AtomicU64>| async move {
        let mut last = 0;
        while last < WRITES {
            for name in ["a", "b"] {
                let floor = last.max(acknowledged.load(Ordering::SeqCst));
                let found = revision(&store, name).await.unwrap_or(0);
                assert!(found >= floor, "{name} of revision {found} was read when {floor} was known");
                last = found;
            }
        }
    };
    let readers = (0..3).map(|_| tokio::spawn(read(store.clone(), acknowledged.clone())));
    let readers: Vec<_> = readers.collect();
    for revision in 1..=WRITES {
        let (mut both, b) = (put("b", revision, b"v"), put("a", revision, b"v"));
        both.put.extend(b.put);
        both.expect = match revision - 1 {
            0 => vec![(key("a"), Expected::Absent)],
            before => vec![(key("a"), Expected::Revision(before)), (key("b"), Expected::Revision(before))],
        };
        store.commit(both).await.unwrap();
        acknowledged.store(revision, Ordering::SeqCst);
    }
    for reader in readers {
        reader.await.unwrap();
    }
    let gone = Batch { delete: vec![key("a")], ..Batch::default() };
    store.commit(gone).await.unwrap();
    assert_eq!(revision(&store, "a").await, None);
}

const ABORTED_AFTER: u64 = 20;

/// What child processes of the tests do: each is an ignored test, run by name with a directory of its parent's.
mod children {
    use std::io::Read as _;

    use super::*;

    fn directory() -> PathBuf {
        PathBuf::from(std::env::var_os(DIRECTORY).expect("a parent's test sets it"))
    }

    #[tokio::test]
    #[ignore = "run by what_was_acknowledged_survives_an_abort"]
    async fn commits_and_aborts() {
        let store = RocksStore::open(directory()).unwrap();
        for n in 1..=ABORTED_AFTER {
            store.commit(put(&format!("row {n}"), n, &[0; 1000])).await.unwrap();
        }
        std::process::abort();
    }

    #[test]
    #[ignore = "run by a_directory_in_use_by_another_process_is_refused"]
    fn holds_the_directory_until_its_input_ends() {
        let _store = RocksStore::open(directory()).unwrap();
        println!("open");
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    #[tokio::test]
    #[ignore = "run by anvil_disk_full_a_failed_write_is_unknown_then_refused_then_over"]
    async fn meets_a_limit_and_goes_on() {
        let store = RocksStore::open(directory()).unwrap();
        let mut acknowledged = 0;
        let failed = loop {
            let name = format!("row {}", acknowledged + 1);
            match store.commit(put(&name, acknowledged + 1, &[0; 10_000])).await {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(failed, CommitError::OutcomeUnknown(_)), "{failed}");
        assert!(acknowledged > 1);
        assert!(store.failure().is_some());
        let (first, view) = (Range { limit: 1, ..Range::everything() }, store.view().await.unwrap());
        assert_eq!(view.scan(&first).await.unwrap().len(), 1, "it can be read all the while");

        // While the disk takes nothing, nothing is taken, and what is there stays readable.
        write_limit(Some(0));
        let refused = store.commit(put("meanwhile", 1, b"")).await.unwrap_err();
        assert!(matches!(refused, CommitError::Refused(_)), "{refused}");
        assert_eq!(revision(&store, "row 1").await, Some(1));

        write_limit(None);
        store.commit(put("after", 1, b"")).await.unwrap();
        assert_eq!(store.failure(), None);
        assert!(view.scan(&first).await.is_err(), "a view of the files as they were has ended, and held nothing up");
        assert_eq!(store.view().await.unwrap().scan(&first).await.unwrap().len(), 1);
        for n in 1..=acknowledged {
            assert_eq!(revision(&store, &format!("row {n}")).await, Some(n), "acknowledged is kept");
        }
        assert_eq!(revision(&store, "meanwhile").await, None, "refused was not applied");
    }

    fn write_limit(bytes: Option<u64>) {
        let maximum = rustix::process::getrlimit(rustix::process::Resource::Fsize).maximum;
        let limit = rustix::process::Rlimit { current: bytes.or(maximum), maximum };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, limit).unwrap();
    }
}

const DIRECTORY: &str = "CLAVIGER_TEST_DIRECTORY";

/// This test binary again, running one of [`children`], after a line of shell.
fn child(name: &str, directory: &Path, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{shell}exec \"$0\" \"$@\"")).arg(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", &format!("tests::children::{name}")]);
    command.env(DIRECTORY, directory);
    command
}

/// Reads the child's output up to this line. The rest of it stays open: a child that cannot write fails.
fn wait_for_line(child: &mut std::process::Child, line: &str) -> impl Sized + use<> {
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|read| read.unwrap().ends_with(line)), "the child never says {line}");
    lines
}
