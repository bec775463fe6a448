//! Sealed values and snapshots: what is changed is refused, and nothing panics.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sessile::{
    Capacity, Context, ManualClock, Protocol, Secret, Session, SessionCache, SessionId, Source,
};
use sessile_redis::{
    KeyRing, Payload, Restored, SealingKey, TierError, restore, restore_from_file, snapshot,
    snapshot_to_file,
};

fn ring(byte: u8) -> KeyRing {
    KeyRing::new(SealingKey::from([byte; 32]))
}

fn id(number: u64) -> SessionId {
    SessionId::new(&[&number.to_be_bytes()[..], &[1; 24]].concat()).unwrap()
}

fn cache_at(now: u64) -> SessionCache<Secret> {
    SessionCache::builder()
        .capacity(Capacity::Unbounded)
        .clock(ManualClock::new(now))
        .build()
        .unwrap()
}

/// Sessions that live until 1100 and 1010 by turns.
fn filled(sessions: u64) -> SessionCache<Secret> {
    let cache = cache_at(1000);
    for number in 0..sessions {
        let seconds = if number % 2 == 0 { 100 } else { 10 };
        let builder = Session::<Secret>::builder(id(number)).protocol(Protocol::TLS1_3);
        let builder = builder.timeout(Duration::from_secs(seconds));
        cache.add(builder.build(Secret::from(vec![number as u8; 200]))).unwrap();
    }
    cache
}

fn written(cache: &SessionCache<Secret>) -> Vec<u8> {
    let mut file = Vec::new();
    snapshot(cache, &ring(1), &mut file).unwrap();
    file
}

fn read_back(file: &[u8], now: u64, key: u8) -> Result<Restored, TierError> {
    restore(&cache_at(now), &ring(key), &mut &*file)
}

#[test]
fn what_has_not_expired_comes_back() {
    let file = written(&filled(100));
    let cache = cache_at(1050);
    let restored = restore(&cache, &ring(1), &mut &*file).unwrap();
    assert!(restored.is_complete);
    assert_eq!((restored.restored, restored.expired, restored.refused), (50, 50, 0));
    let view = cache.view(Context::NONE).protocol(Protocol::TLS1_3);
    let (session, source) = view.take_if(&id(4), |_| true).unwrap();
    assert_eq!((session.to_vec(), source), (vec![4; 200], Source::Tier));
    assert_eq!(session.expires_at().unwrap().as_secs(), 1100);
    assert!(view.take(&id(5)).is_none());
}

#[test]
fn what_is_not_resumable_any_more_does_not_come_back() {
    let cache = filled(10);
    for session in cache.iter().filter(|session| session[0] < 4) {
        session.set_not_resumable();
        assert!(ring(1).seal_session(b"name", &session).is_err());
    }
    assert_eq!(read_back(&written(&cache), 1000, 1).unwrap().restored, 6);
}

#[test]
fn dates_and_keys_are_checked() {
    let file = written(&filled(10));
    assert_eq!(read_back(&file, 999, 1).unwrap().restored, 10, "a second of difference");
    assert_eq!(read_back(&file, 900, 1).unwrap().refused, 10, "of the future");
    let strange = read_back(&file, 1000, 2).unwrap();
    assert_eq!((strange.restored, strange.refused, strange.is_complete), (0, 11, false));
    assert!(matches!(read_back(b"", 1000, 1), Err(TierError::NotASnapshot)));
    assert!(matches!(read_back(&[0; 100], 1000, 1), Err(TierError::NotASnapshot)));
}

#[test]
fn a_revoked_context_stays_empty() {
    let file = written(&filled(10));
    let cache = cache_at(1000);
    cache.revoke(Context::NONE);
    let restored = restore(&cache, &ring(1), &mut &*file).unwrap();
    assert_eq!((restored.rejected, cache.len()), (10, 0));
}

#[test]
fn a_cut_file_gives_what_is_before_the_cut() {
    let file = written(&filled(20));
    let frame = (file.len() - 24 - 4 - 54) / 20;
    for length in (24..file.len()).step_by(7) {
        let restored = read_back(&file[..length], 1000, 1).unwrap();
        let whole = ((length - 24) / frame).min(20) as u64;
        let refused = restored.refused;
        assert_eq!((restored.restored, refused, restored.is_complete), (whole, 0, false));
    }
    assert!(read_back(&file, 1000, 1).unwrap().is_complete);
}

#[test]
fn frames_cannot_be_moved_or_left_out() {
    let (file, other) = (written(&filled(4)), written(&filled(4)));
    let frame = (file.len() - 24 - 4 - 54) / 4;
    let part = |file: &[u8], number: usize| file[24 + number * frame..][..frame].to_vec();
    let head = &file[..24];
    let end = &file[24 + 4 * frame..];
    let all = |parts: &[Vec<u8>]| [head, &parts.concat(), end].concat();
    let moved = all(&[part(&file, 1), part(&file, 0), part(&file, 2), part(&file, 3)]);
    assert_eq!(read_back(&moved, 1000, 1).unwrap().refused, 2);
    let missing = all(&[part(&file, 0), part(&file, 1), part(&file, 2)]);
    assert!(!read_back(&missing, 1000, 1).unwrap().is_complete);
    let strange = all(&[part(&other, 0), part(&file, 1), part(&file, 2), part(&file, 3)]);
    let restored = read_back(&strange, 1000, 1).unwrap();
    assert_eq!((restored.restored, restored.refused, restored.is_complete), (3, 1, true));
}

#[test]
fn no_bytes_make_it_panic_or_forge_a_session() {
    restore_changed_files(10_000);
}

/// Minutes: `cargo test -p sessile-redis --test snapshots -- --ignored`.
#[test]
#[ignore = "minutes"]
fn no_bytes_of_a_million_files_make_it_panic_or_forge_a_session() {
    restore_changed_files(1_000_000);
}

/// What comes back of a changed file was in it.
fn restore_changed_files(number: u64) {
    let file = written(&filled(6));
    let mut random = StdRng::seed_from_u64(number);
    let mut restored = 0;
    for _ in 0..number {
        let mut changed = file.clone();
        for _ in 0..random.random_range(1..5) {
            let place = random.random_range(0..changed.len());
            match random.random_range(0..4) {
                0 => changed[place] ^= 1 << random.random_range(0..8),
                1 => changed.truncate(place.max(1)),
                2 => changed.insert(place, random.random()),
                _ => _ = changed.remove(place),
            }
            if changed.is_empty() {
                break;
            }
        }
        let cache = cache_at(1000);
        if let Ok(counts) = restore(&cache, &ring(1), &mut &*changed) {
            restored += counts.restored;
            assert!(counts.restored + counts.refused + counts.rejected <= 8);
        }
        for session in cache.iter() {
            let number = u64::from_be_bytes(session.id().as_bytes()[..8].try_into().unwrap());
            assert!(number < 6 && **session == [number as u8; 200], "forged");
        }
    }
    println!("{number} changed files: {restored} sessions of the original restored");
    assert!(restored > number / 10, "{restored}");
}

#[test]
fn no_change_of_a_sealed_session_is_accepted() {
    let cache = filled(1);
    let session = cache.iter().next().unwrap();
    let sealed = ring(1).seal_session(b"name", &session).unwrap();
    let open = |sealed: &[u8]| {
        ring(1).open_session::<Secret>(b"name", sealed, 1000.into(), Duration::ZERO)
    };
    assert!(open(&sealed).is_ok());
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..100_000 {
        let mut changed = sealed.clone();
        match random.random_range(0..4) {
            0 => changed.truncate(random.random_range(0..sealed.len())),
            1 => changed.insert(random.random_range(0..sealed.len()), random.random()),
            2 => changed.rotate_left(random.random_range(1..sealed.len())),
            _ => {
                for _ in 0..random.random_range(1..4) {
                    let place = random.random_range(0..changed.len());
                    changed[place] = random.random();
                }
            }
        }
        assert!(changed == sealed || open(&changed).is_err(), "accepted");
    }
}

#[test]
fn a_file_is_replaced_as_a_whole_and_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    assert_eq!(snapshot_to_file(&filled(3), &ring(1), &path).unwrap(), 3);
    assert_eq!(snapshot_to_file(&filled(5), &ring(1), &path).unwrap(), 5);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(restore_from_file(&cache_at(1000), &ring(1), &path).unwrap().restored, 5);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }
    assert!(snapshot_to_file(&filled(5), &ring(1), folder.path().join("no/folder")).is_err());
    assert_eq!(restore_from_file(&cache_at(1000), &ring(1), &path).unwrap().restored, 5);
}

/// Names the folder in the process that is killed.
const FOLDER: &str = "SESSILE_TEST_SNAPSHOT_FOLDER";

/// Set for a process that stops in the middle of its first snapshot.
const STOPS: &str = "SESSILE_TEST_SNAPSHOT_STOPS";

/// A payload whose writer stops when so many have been written.
struct Stopping(Arc<AtomicU64>);

impl Payload for Stopping {
    fn encode(&self) -> Option<Secret> {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 0 {
            println!("begun");
            loop {
                std::thread::park();
            }
        }
        Some(Secret::from(vec![1; 200]))
    }

    fn decode(_: &[u8]) -> Option<Self> {
        None
    }
}

/// Not a test of its own: writes snapshots until it is killed.
#[test]
fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let path = std::path::Path::new(&folder).join("sessions");
    if std::env::var_os(STOPS).is_some() {
        let (cache, left) = (SessionCache::new(1000).unwrap(), Arc::new(AtomicU64::new(500)));
        for number in 0..1000 {
            cache.add(Session::new(id(number), Stopping(Arc::clone(&left)))).unwrap();
        }
        snapshot_to_file(&cache, &ring(1), &path).unwrap();
    }
    let cache = filled(20_000);
    println!("begun");
    loop {
        snapshot_to_file(&cache, &ring(1), &path).unwrap();
        println!("written");
    }
}

#[test]
fn a_process_that_is_killed_while_it_writes_leaves_the_last_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let mut random = StdRng::seed_from_u64(1);
    snapshot_to_file(&filled(10), &ring(1), &path).unwrap();
    for stops in [false, false, false, false, true] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "writes_until_it_is_killed", "--nocapture"]);
        command.env(FOLDER, folder.path()).stdout(Stdio::piped());
        if stops {
            command.env(STOPS, "1");
        }
        let mut child = command.spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut seen = Vec::new();
        while !seen.windows(5).any(|part| part == b"begun") {
            let mut buffer = [0; 64];
            let length = output.read(&mut buffer).unwrap();
            assert!(length > 0, "it ended by itself");
            seen.extend_from_slice(&buffer[..length]);
        }
        let pause = if stops { 0 } else { random.random_range(0..1500) };
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        let restored = restore_from_file(&cache_at(1000), &ring(1), &path).unwrap();
        assert!(restored.is_complete);
        assert!([10, 20_000].contains(&restored.restored), "{restored:?}");
        let mut left = Vec::new();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name != "sessions") {
                left.push(fs::metadata(&path).unwrap().len());
                fs::remove_file(path).unwrap();
            }
        }
        let is_part = |left: &[u64]| matches!(left, [length] if *length > 0);
        assert!(!stops || is_part(&left), "killed while it wrote: {left:?}");
    }
}
