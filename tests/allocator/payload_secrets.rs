//! Secrets: wiped before their memory is given back, whatever way the session left, and never
//! shown.
//!
//! The allocator of this test looks into every block that is given back.

use sessile::{Added, Secret, Session, SessionCache};
use std::hint::black_box;
use std::time::Duration;
use testkit::allocator::{self, GivenBack};
use testkit::{START, clocked, id, reclaim, store};

/// What a secret consists of here; no other byte string of the test has eight of it in a row.
const MARK: u8 = 0xB7;

/// A length that nothing else has, and for which the slab has no block: each secret is in pages of
/// its own, which its end gives back.
const LENGTH: usize = 5 * 4096;

/// The blocks with a mark, and those of the length of a secret, that `f` gives back.
fn given_back<R>(f: impl FnOnce() -> R) -> (usize, usize) {
    let GivenBack { unwiped, of_length } = allocator::given_back(&[MARK; 8], LENGTH, f);
    (unwiped, of_length)
}

static MARKS: [u8; LENGTH] = [MARK; LENGTH];

fn bytes() -> Vec<u8> {
    let bytes = black_box(vec![MARK; LENGTH]);
    assert_eq!(bytes.len(), bytes.capacity());
    bytes
}

fn secret(n: u64) -> Session<Secret> {
    Session::new(id(n), Secret::from(&MARKS[..]))
}

#[test]
fn the_watch_sees_what_is_not_wiped() {
    assert_eq!(given_back(|| black_box(bytes())), (1, 1));
    assert_eq!(given_back(|| black_box(vec![0u8; LENGTH])), (0, 1));
}

#[test]
fn a_secret_is_wiped_when_it_is_dropped() {
    // The vector, too.
    assert_eq!(given_back(|| black_box(Secret::from(bytes()))), (0, 2));
    let original = Secret::from(bytes());
    assert_eq!(given_back(|| black_box(original.clone())), (0, 1));
    assert_eq!(given_back(|| black_box(Secret::from(&original[..]))), (0, 1));
    assert_eq!((&original[..], original.len()), (&[MARK; LENGTH][..], LENGTH));
}

#[test]
fn a_vector_with_room_to_spare_leaves_no_copy() {
    for spare in [1, 23, 5000] {
        let mut roomy = Vec::with_capacity(LENGTH + spare);
        roomy.extend_from_slice(&[MARK; LENGTH]);
        roomy.resize(LENGTH + spare, MARK);
        roomy.truncate(LENGTH);
        let (leaks, freed) = given_back(|| black_box(Secret::from(black_box(roomy))));
        assert_eq!((leaks, freed), (0, 1), "{spare} to spare");
    }
    assert_eq!(given_back(|| Secret::from(Vec::new())), (0, 0));
}

#[test]
fn a_secret_is_wiped_whatever_way_its_session_left() {
    let (builder, clock) = clocked(3);
    let cache = builder.build().unwrap();
    let freed_by = |what: &str, count: usize, f: &dyn Fn()| {
        let (leaks, freed) = given_back(|| {
            f();
            reclaim(&cache);
        });
        assert_eq!((leaks, freed), (0, count), "{what}");
    };
    (0..3).for_each(|n| store(&cache, secret(n)));
    freed_by("evicted", 1, &|| store(&cache, secret(3)));
    freed_by("replaced", 1, &|| assert!(matches!(cache.add(secret(3)), Ok(Added::Replaced(_)))));
    freed_by("taken", 1, &|| assert!(cache.take(&id(3)).is_some()));
    freed_by("removed", 1, &|| assert!(cache.remove_id(&id(2))));
    freed_by("refused", 1, &|| {
        let dead = Session::<Secret>::builder(id(9)).resumable(false).build_bytes(&MARKS);
        assert!(!cache.add(dead).is_ok_and(|added| added.changed()));
    });
    clock.set(START + 7201);
    freed_by("expired", 1, &|| assert!(cache.get(&id(1)).is_none()));
    (0..3).for_each(|n| store(&cache, secret(n)));
    freed_by("shrunk", 2, &|| cache.set_capacity(1).unwrap());
    freed_by("flushed", 1, &|| assert_eq!(cache.clear(), 1));
    store(&cache, secret(5));
    assert_eq!(given_back(|| cache), (0, 1), "dropped with the cache");
}

#[test]
fn a_handle_keeps_the_secret_and_its_drop_wipes_it() {
    let cache = SessionCache::new(3).unwrap();
    store(&cache, secret(1));
    let handle = cache.get(&id(1)).unwrap();
    let (leaks, freed) = given_back(|| {
        cache.clear();
        reclaim(&cache);
    });
    assert_eq!((leaks, freed), (0, 0));
    assert_eq!(&handle[..], [MARK; LENGTH]);
    assert_eq!(given_back(|| handle), (0, 1));
}

#[test]
fn an_idle_cache_keeps_few_secrets_and_a_busy_one_none_of_old() {
    let cache = SessionCache::new(10).unwrap();
    let (leaks, freed) = given_back(|| (0..5000).for_each(|n| store(&cache, secret(n))));
    let waiting = cache.stats().garbage.sessions as usize;
    assert_eq!((leaks, freed), (0, 5000 - 10 - waiting));
    assert!(waiting <= 1000, "{waiting} secrets wait without a collect");
    let (leaks, freed) = given_back(|| cache.collect());
    assert_eq!((leaks, freed), (0, waiting));
}

#[test]
fn nothing_shows_a_secret() {
    let session = secret(1);
    let cache = SessionCache::new(3).unwrap();
    store(&cache, session.clone());
    let (payload, replaced) = (Secret::from(&[MARK; 5][..]), cache.add(secret(1)));
    let byte = [format!("{MARK}"), format!("{MARK:x}"), format!("{MARK:X}")];
    for shown in [
        format!("{payload:?}"),
        format!("{session:?}"),
        format!("{replaced:?}"),
        format!("{cache:?}"),
    ] {
        assert!(!byte.iter().any(|byte| shown.matches(byte.as_str()).count() > 1), "{shown}");
    }
    assert!(format!("{payload:?}").contains('5'));
    assert_eq!(session.timeout(), Some(Duration::from_secs(7200)));
}
