//! Where key bytes live: 32-byte slots in pages of their own, which are never swapped out (`mlock`), never in a core
//! dump (`MADV_DONTDUMP`) and not there after a fork (`MADV_DONTFORK`). A slot is wiped when dropped, then reused.
//!
//! The pages come in slabs of 8192 slots, so that thousands of customers' keys fit into the 8 MiB of locked memory
//! that systemd allows by default. The only unsafe code of the vault is here.
#![expect(unsafe_code, reason = "locking pages and hardening the process are system calls; each has its SAFETY note")]

use std::alloc::{Layout, handle_alloc_error};
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroize;

/// Bytes in a slot: one key.
const SLOT_BYTES: usize = 32;
/// Bytes in a slab: a multiple of every page size in use (4, 16 and 64 KiB), and a 32nd part of the usual limit.
const SLAB_BYTES: usize = 256 * 1024;

/// What kept the process from being hardened. The vault does not start then.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// `prctl(PR_SET_DUMPABLE, 0)` failed.
    #[error("cannot make the process undumpable: {0}")]
    Dumpable(#[source] io::Error),
    /// `setrlimit(RLIMIT_CORE, 0)` failed.
    #[error("cannot turn core dumps off: {0}")]
    CoreDumps(#[source] io::Error),
    /// The pages for keys cannot be locked.
    #[error(
        "cannot lock memory for keys: {0}. Raise the limit of locked memory to 8 MiB: `LimitMEMLOCK=8M` in the \
         systemd unit, `--ulimit memlock=8388608` for a container, or `ulimit -l 8192` in a shell"
    )]
    LockedMemory(#[source] io::Error),
}

/// Makes the process keep its memory to itself: no core dumps, not traceable by others of its user, files it makes
/// readable by its user only (umask 077), and a first slab of locked pages for keys. To be called first in `main`.
pub fn harden_process() -> Result<(), HardenError> {
    // SAFETY: takes integers only.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } != 0 {
        return Err(HardenError::Dumpable(io::Error::last_os_error()));
    }
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: reads the struct above.
    if unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } != 0 {
        return Err(HardenError::CoreDumps(io::Error::last_os_error()));
    }
    // SAFETY: takes an integer and cannot fail.
    unsafe { libc::umask(0o077) };

    pool(|pool| if pool.free.is_empty() { pool.grow() } else { Ok(()) }).map_err(HardenError::LockedMemory)?;
    if locked() { Ok(()) } else { Err(HardenError::LockedMemory(io::ErrorKind::OutOfMemory.into())) }
}

/// Whether every page that holds keys is locked. [`harden_process`] refuses to start otherwise; it can become false
/// later, when more keys are held than the limit of locked memory has room for: show it in the status.
pub fn locked() -> bool {
    pool(|pool| pool.locked)
}

/// A place for one key in locked pages.
pub(crate) struct Slot(NonNull<[u8; SLOT_BYTES]>);

// SAFETY: a slot is the only owner of its 32 bytes, which stay mapped as long as the process lives.
unsafe impl Send for Slot {}
// SAFETY: as above; a shared slot is only read.
unsafe impl Sync for Slot {}

impl Slot {
    /// A slot of zeros.
    pub(crate) fn new() -> Self {
        pool(Pool::take)
    }

    pub(crate) fn bytes(&self) -> &[u8; SLOT_BYTES] {
        // SAFETY: mapped, aligned, initialised (with zeros), and borrowed as `self` is.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; SLOT_BYTES] {
        // SAFETY: as above, and ours alone.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.bytes_mut().as_mut_slice().zeroize();
        let wiped = Self(self.0);
        pool(|pool| pool.free.push(wiped));
    }
}

/// The slots that hold no key. Slabs are never given back.
struct Pool {
    free: Vec<Slot>,
    slots: usize,
    locked: bool,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), slots: 0, locked: true });

fn pool<T>(work: impl FnOnce(&mut Pool) -> T) -> T {
    work(&mut POOL.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Pool {
    fn take(&mut self) -> Slot {
        loop {
            if let Some(slot) = self.free.pop() {
                return slot;
            }
            // A slab that cannot be locked still serves; `locked` tells.
            let _told_by_locked = self.grow();
        }
    }

    /// One more slab. An error says that it is not locked.
    fn grow(&mut self) -> io::Result<()> {
        let (slab, protection) = map_slab();
        let slots = SLAB_BYTES / SLOT_BYTES;
        self.slots += slots;
        self.free.reserve(self.slots); // so that giving a slot back never allocates
        for n in 0..slots {
            // SAFETY: the slab is SLAB_BYTES long, and each slot of it is handed out once.
            self.free.push(Slot(unsafe { slab.add(n) }));
        }
        self.locked &= protection.is_ok();
        protection
    }
}

/// Maps a slab of zeros. The result says whether it is locked, undumpable and unforkable.
fn map_slab() -> (NonNull<[u8; SLOT_BYTES]>, io::Result<()>) {
    // SAFETY: a new private mapping, at an address of the kernel's choice.
    let address = unsafe {
        libc::mmap(
            null_mut(),
            SLAB_BYTES,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    let slab = NonNull::new(address).filter(|_| address != libc::MAP_FAILED);
    let Some(slab) = slab else { handle_alloc_error(Layout::new::<[u8; SLAB_BYTES]>()) };

    // SAFETY: all three concern the mapping made above, and nothing else.
    let protected = unsafe {
        libc::mlock(address, SLAB_BYTES) == 0
            && libc::madvise(address, SLAB_BYTES, libc::MADV_DONTDUMP) == 0
            && libc::madvise(address, SLAB_BYTES, libc::MADV_DONTFORK) == 0
    };
    (slab.cast(), if protected { Ok(()) } else { Err(io::Error::last_os_error()) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::hint::black_box;
    use std::os::unix::fs::FileExt as _;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use claviger_api::Scope;

    use super::*;
    use crate::random::{OsRandom, Random as _};
    use crate::vectors::secret;
    use crate::{Aad, Key, PassphraseSeal, SealKey, SigningKey, envelope, frame, shares, stack, wrap};

    #[test]
    fn a_slot_is_wiped_when_dropped_and_used_again() {
        let mut slots = (0..3).map(|_| Slot::new()).collect::<Vec<_>>();
        for slot in &mut slots {
            slot.bytes_mut().fill(0xa5);
        }
        let places = slots.iter().map(|slot| slot.0).collect::<Vec<_>>();
        drop(slots);
        for place in places {
            // SAFETY: slabs are never unmapped. (Under `cargo test` another thread may hold the slot: then it is not 0xa5.)
            assert_ne!(unsafe { place.read() }, [0xa5; 32]);
        }
        assert_eq!(Slot::new().bytes(), &[0; 32]);
    }

    #[test]
    fn thousands_of_keys_fit_and_each_has_a_place_of_its_own() {
        let slots = (0..20_000_u32)
            .map(|n| {
                let mut slot = Slot::new();
                slot.bytes_mut()[..4].copy_from_slice(&n.to_be_bytes());
                slot
            })
            .collect::<Vec<_>>();
        assert!(slots.iter().zip(0_u32..).all(|(slot, n)| slot.bytes()[..4] == n.to_be_bytes()));
        assert!(locked(), "20000 keys are 640 KB");
    }

    #[test]
    fn anvil_memory_key_pages_are_locked_undumpable_and_lost_in_a_fork() {
        let slot = Slot::new();
        let flags = vm_flags(slot.0.addr().get());
        for (flag, meaning) in [("lo", "locked"), ("dd", "not dumped"), ("dc", "not copied by fork")] {
            assert!(flags.split_whitespace().any(|f| f == flag), "{flag} ({meaning}) is not in {flags}");
        }
    }

    /// The kernel's flags of the mapping at this address, from `/proc/self/smaps` (proc(5)).
    fn vm_flags(address: usize) -> String {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in smaps.lines() {
            if let Some((start, end)) = range(line) {
                inside = (start..end).contains(&address);
            } else if inside && let Some(flags) = line.strip_prefix("VmFlags:") {
                return flags.to_owned();
            }
        }
        panic!("the slot is not mapped");
    }

    fn range(line: &str) -> Option<(usize, usize)> {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
    }

    #[test]
    fn anvil_memory_a_hardened_process_dumps_no_core_and_keeps_its_files_to_itself() {
        in_a_process_of_its_own("anvil_memory_a_hardened_process_dumps_no_core_and_keeps_its_files_to_itself", || {
            harden_process().unwrap();
            harden_process().unwrap();
            assert!(locked());
            // SAFETY: takes and gives integers.
            assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
            let limits = fs::read_to_string("/proc/self/limits").unwrap();
            let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert_eq!(core.split_whitespace().collect::<Vec<_>>()[4..6], ["0", "0"]);
            let status = fs::read_to_string("/proc/self/status").unwrap();
            assert!(status.contains("Umask:\t0077"));
        });
    }

    #[test]
    fn without_locked_memory_hardening_fails_and_names_the_remedy() {
        in_a_process_of_its_own("without_locked_memory_hardening_fails_and_names_the_remedy", || {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            // SAFETY: reads the struct above; then takes integers. Root may lock without limit, so root is given up.
            unsafe {
                assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none), 0);
                assert!(libc::geteuid() != 0 || libc::setresuid(65534, 65534, 65534) == 0);
            }
            for _ in 0..2 {
                let error = harden_process().unwrap_err();
                assert!(matches!(error, HardenError::LockedMemory(_)));
                assert!(error.to_string().contains("LimitMEMLOCK"), "{error}");
            }
            drop(Key::generate(&OsRandom));
            assert!(!locked(), "the status tells");
        });
    }

    /// Runs one test again in a child, so that what it does to its process stays there.
    fn in_a_process_of_its_own(name: &str, work: impl FnOnce()) {
        const MARK: &str = "CLAVIGER_TEST_CHILD";
        if std::env::var_os(MARK).is_some() {
            return work();
        }
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("memory::tests::{name}"), "--nocapture"])
            .env(MARK, "1")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
    }

    /// Works with a key in every way there is, each on a thread of its own that then idles as a server's workers do; drops
    /// the keys, and looks for them in all writable memory of the process: heap, slots, and what the stacks were left with.
    #[test]
    fn anvil_memory_after_a_seal_no_image_of_the_process_holds_a_key() {
        in_a_process_of_its_own("anvil_memory_after_a_seal_no_image_of_the_process_holds_a_key", || {
            let key = Key::generate(&OsRandom);
            assert!(Needle::of(&key).found() >= 1, "while unsealed the key is in its slot: the search works");
            drop(key);

            let (send, needles) = mpsc::channel();
            let (sealed, end) = (AtomicUsize::new(0), AtomicBool::new(false));
            thread::scope(|scope| {
                for (name, work) in USES {
                    let (send, sealed, end) = (send.clone(), &sealed, &end);
                    scope.spawn(move || {
                        let root = SealKey::generate(&OsRandom);
                        send.send((name, Needle::of(root.key()))).unwrap();
                        work(&root);
                        drop(root);
                        sealed.fetch_add(1, SeqCst);
                        // Nothing deep from here on: it would overwrite what is looked for.
                        while !end.load(SeqCst) {
                            thread::park_timeout(Duration::from_millis(10));
                        }
                    });
                }
                while sealed.load(SeqCst) < USES.len() {
                    thread::park_timeout(Duration::from_millis(1));
                }
                let left = needles.try_iter().filter(|(_, needle)| needle.found() > 0).map(|(name, _)| name);
                let left = left.collect::<Vec<_>>();
                end.store(true, SeqCst);
                assert_eq!(left, [""; 0], "after these uses the key is still in memory");
            });
        });
    }

    type Use = (&'static str, fn(&SealKey));

    const PLACE: Aad<'_> = Aad { scope: Scope::Operator, table: 1, record: b"record", version: 1 };

    const USES: [Use; 9] = [
        ("seal and open a record", |root| {
            let sealed = envelope::seal(root, &PLACE, b"hunter2", &OsRandom);
            assert_eq!(envelope::open(root, &PLACE, &sealed).unwrap().as_slice(), b"hunter2");
        }),
        ("be wrapped and unwrapped", |root| {
            let outer = SealKey::generate(&OsRandom);
            let wrapped = wrap::wrap(&outer, &PLACE, root.key(), &OsRandom);
            assert!(wrap::unwrap(&outer, &PLACE, &wrapped).is_ok());
        }),
        ("index a name", |root| assert_ne!(frame::mac(root.key(), &[b"acme"]), [0; 32])),
        ("check value", |root| assert_ne!(root.check_value(), [0; 32])),
        ("split and combine", |root| {
            let vault = uuid::Uuid::nil();
            let dealt = shares::split(root, vault, 3, 2, &OsRandom).unwrap();
            let mut gathering = shares::Gathering::new(vault, root.check_value());
            for share in &dealt {
                gathering.add(share).unwrap();
            }
            assert!(gathering.combine().is_ok());
        }),
        ("seal under a passphrase", |root| {
            let passphrase = secret("correct horse battery staple");
            assert!(PassphraseSeal::new(root, &passphrase, &OsRandom).open(&passphrase).is_ok());
        }),
        ("a copy deep in a wiped stack", |root| stack::wiped(|| leave_a_copy(10, root))),
        ("sign", |root| {
            let signing = SigningKey::from_seed(Key::filled(|bytes| *bytes = *root.key().bytes()));
            drop(signing.pkcs8_der());
            assert_ne!(signing.sign(b"checkpoint"), [0; 64]);
        }),
        ("sign, and stay expanded until it is dropped", |root| {
            let signing = SigningKey::from_seed(Key::filled(|bytes| *bytes = *root.key().bytes())).expanded();
            assert_ne!(signing.sign(b"checkpoint"), [0; 64]);
        }),
    ];

    /// What a move of a cipher's state does, deep enough that nothing shallow overwrites it.
    #[inline(never)]
    fn leave_a_copy(depth: usize, root: &SealKey) {
        if depth > 0 {
            leave_a_copy(depth - 1, root);
        } else {
            black_box([*root.key().bytes(); 8]);
        }
        black_box(depth);
    }

    /// A key to look for, itself kept unrecognisable. Half a key counts: so much is enough to worry.
    struct Needle([u8; 16], [u8; 16]);

    impl Needle {
        fn of(key: &Key) -> Self {
            let mut mask = [0; 16];
            OsRandom.fill(&mut mask);
            let mut masked = mask;
            masked.iter_mut().zip(key.bytes()).for_each(|(masked, byte)| *masked ^= byte);
            Self(masked, mask)
        }

        fn found(&self) -> usize {
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            let memory = fs::File::open("/proc/self/mem").unwrap();
            let writable =
                maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")));
            writable.filter_map(range).map(|(start, end)| self.found_in(&memory, start, end)).sum()
        }

        fn found_in(&self, memory: &fs::File, start: usize, end: usize) -> usize {
            let mut page = [0; 4096 + 15];
            let mut found = 0;
            for at in (start..end).step_by(4096) {
                let length = page.len().min(end - at);
                let read = memory.read_exact_at(&mut page[..length], at as u64);
                if read.is_ok() && page[..length] != [0; 4096 + 15][..length] {
                    found += page[..length].windows(16).filter(|window| self.is(window)).count();
                }
            }
            // What was read is a copy of what is looked for.
            page.as_mut_slice().zeroize();
            found
        }

        fn is(&self, window: &[u8]) -> bool {
            // As it is, or as HMAC pads it (RFC 2104).
            let pad = window[0] ^ self.0[0] ^ self.1[0];
            [0, 0x36, 0x5c].contains(&pad)
                && window
                    .iter()
                    .zip(self.0.iter().zip(&self.1))
                    .all(|(byte, (masked, mask))| byte ^ pad == masked ^ mask)
        }
    }
}
