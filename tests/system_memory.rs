//! What the system is told about the memory of sessions: it is kept out of core dumps, a real one
//! of a real process here, and locked where a program wants it.
#![cfg(target_os = "linux")]

use sessile::{BuildError, Session, SessionBuilder, SessionCache};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, abort};
use std::sync::atomic::{AtomicU8, Ordering};
use testkit::id;

/// Set for the process that is dumped.
const ENDS: &str = "SESSILE_TEST_ENDS_IN_A_DUMP";

const LENGTH: usize = 200;

type Bytes = [AtomicU8; LENGTH];

/// Writes a text where it stays: by way of the stack it would leave copies.
fn write(bytes: &Bytes, seed: u8) {
    for (n, byte) in bytes.iter().enumerate() {
        byte.store(black_box(seed).wrapping_mul(n as u8).wrapping_add(seed), Ordering::Relaxed);
    }
}

fn text(seed: u8) -> Vec<u8> {
    (0..LENGTH).map(|n| seed.wrapping_mul(n as u8).wrapping_add(seed)).collect()
}

fn empty() -> Bytes {
    std::array::from_fn(|_| AtomicU8::new(0))
}

/// What is written to sessions, and to memory of the program's.
const SESSION: u8 = 37;
const HEAP: u8 = 91;

fn end_in_a_dump() -> ! {
    let cache = SessionCache::new(1000).unwrap();
    for n in 0..1000 {
        let session = Session::new(id(n), empty());
        write(&session, SESSION);
        assert!(cache.add(session).is_ok_and(|added| added.changed()));
    }
    let heap = Box::new(empty());
    write(&heap, HEAP);
    black_box((&cache, &heap));
    abort()
}

/// Where the kernel writes dumps, if it does so by itself.
fn dump_in(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.max_by_key(|path| path.metadata().map_or(0, |metadata| metadata.len()))
}

fn occurs(dump: &[u8], seed: u8) -> usize {
    let text = text(seed);
    dump.windows(LENGTH).filter(|window| *window == text).count()
}

#[test]
fn a_core_dump_has_no_session() {
    if std::env::var_os(ENDS).is_some() {
        end_in_a_dump();
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dump");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    let this = std::env::current_exe().unwrap();
    let status = Command::new("sh")
        .args(["-c", "ulimit -c unlimited && exec \"$0\" a_core_dump_has_no_session"])
        .arg(&this)
        .current_dir(&directory)
        .env(ENDS, "1")
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
    let Some(dump) = dump_in(&directory) else {
        println!("skipped: this system writes no dumps into the working directory");
        return;
    };
    let bytes = std::fs::read(&dump).unwrap();
    assert_eq!(occurs(&bytes, HEAP), 1, "the dump is complete");
    assert_eq!(occurs(&bytes, SESSION), 0, "sessions are in the dump");
    std::fs::remove_file(dump).unwrap();
}

fn address_of(session: &Session<Bytes>) -> usize {
    std::ptr::from_ref(Session::payload(session)).addr()
}

/// What the kernel says of the pages of a session.
fn flags_of(session: &Session<Bytes>) -> String {
    flags_at(address_of(session)).expect("the session is in a mapping")
}

fn flags_at(address: usize) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_in = false;
    for line in maps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        if let Some((Some(start), Some(end))) = range.map(|(a, b)| (number(a), number(b))) {
            is_in = (start..end).contains(&address);
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_in) {
            return Some(flags.to_owned());
        }
    }
    None
}

fn has(flags: &str, flag: &str) -> bool {
    flags.split(' ').any(|one| one == flag)
}

/// Also where the kernel writes no dumps.
#[test]
fn the_pages_of_a_session_are_marked() {
    let flags = flags_of(&Session::new(id(1), empty()));
    assert!(has(&flags, "dd"), "{flags}");
}

/// The memory is the global allocator's again, which has other uses for it.
#[test]
fn what_was_given_back_is_dumped_again() {
    // Of a size that nothing else here has.
    type Other = [AtomicU8; 900];
    let session = Session::new(id(1), std::array::from_fn::<_, 900, _>(|_| AtomicU8::new(0)));
    let address = std::ptr::from_ref(Session::payload(&session)).addr();
    assert!(has(&flags_at(address).unwrap(), "dd"));
    // Behind it, so that the allocator does not unmap it.
    let behind: Vec<_> = (0..30).map(|n| black_box(vec![n; 60_000])).collect();
    drop(session);
    drop(SessionCache::<Other>::new(1).unwrap());
    assert!(flags_at(address).is_none_or(|flags| !has(&flags, "dd")), "still left out");
    drop(behind);
}

/// Set for a process of its own: what is locked stays so.
const LOCKS: &str = "SESSILE_TEST_LOCKS_ITS_MEMORY";

/// Runs a test of this binary in a process that may lock so much memory, without the rights of a
/// privileged user.
fn run_with_limit(kibibytes: u32, test: &str) -> std::process::Output {
    let script = format!(
        "ulimit -l {kibibytes} && if [ $(id -u) = 0 ]; then \
         exec setpriv --reuid 65534 --clear-groups --inh-caps=-all \"$0\" {test} --nocapture; \
         else exec \"$0\" {test} --nocapture; fi"
    );
    let this = std::env::current_exe().unwrap();
    Command::new("sh").args(["-c", &script]).arg(this).env(LOCKS, "1").output().unwrap()
}

#[test]
fn memory_is_locked_or_the_cache_is_not_built() {
    if std::env::var_os(LOCKS).is_some() {
        let before = Session::new(id(1), empty());
        let built = SessionCache::<Bytes>::builder().lock_memory(true).build();
        if let Err(error) = built {
            assert_eq!(error, BuildError::MemoryLock);
            println!("is refused");
            return;
        }
        let fitting =
            (2..1_000_000).map_while(|n| SessionBuilder::new(id(n)).try_build(empty()).ok());
        let sessions: Vec<_> = fitting.collect();
        for session in [&before, &sessions[0], &sessions[sessions.len() - 1]] {
            assert!(has(&flags_of(session), "lo"), "locked");
        }
        println!("has locked {} sessions", sessions.len());
        return;
    }
    let test = "memory_is_locked_or_the_cache_is_not_built";
    let said = |output: std::process::Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let refused = said(run_with_limit(16, test));
    if refused.is_empty() {
        println!("skipped: setpriv(1) is missing, or the binary is another user's");
        return;
    }
    assert!(refused.contains("is refused"), "{refused}");
    let locked = said(run_with_limit(4096, test));
    let count =
        locked.split("has locked ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    // 320 bytes each, in 4 MiB.
    assert!(count.is_some_and(|count: usize| (12_000..=13_107).contains(&count)), "{locked}");
}
