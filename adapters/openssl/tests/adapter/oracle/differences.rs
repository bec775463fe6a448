//! What is meant to be different: each shown on both sides.

use foreign_types::ForeignTypeRef;
use openssl::ssl::SslSession;
use sessile::{Added, Policy, Rejection};

use super::libssl::Libssl;
use super::object::{self, Key, Living};
use super::ours::Ours;
use super::subject::Subject;

/// A cache of each kind, with room for ten, and objects 0 to 11 of one key each, which expire one
/// after another.
fn both() -> (Libssl, Ours) {
    let (mut libssl, mut ours) = (Libssl::new(), Ours::new(Policy::SoonestExpiry));
    libssl.set_size(10);
    ours.store.set_cache_size(10).unwrap();
    for serial in 0..12 {
        let key = Key { version: 0x0303, id: u8::try_from(serial).unwrap() };
        let timeout = 1_000 + 100 * i64::try_from(serial).unwrap();
        libssl.make(serial, key, 0, timeout);
        ours.make(serial, key, 0, timeout);
    }
    (libssl, ours)
}

fn another(key: Key) -> SslSession {
    object::make(key, 99, 0, 1_000, &Living::default())
}

const KEY_0: Key = Key { version: 0x0303, id: 0 };

#[test]
fn a_size_is_held_exactly() {
    let (mut libssl, mut ours) = both();
    for serial in 0..10 {
        assert_eq!((libssl.add(serial), ours.add(serial)), (1, 1));
    }
    assert_eq!(libssl.counters(), [9, 1], "libssl holds one less than it may");
    assert_eq!(ours.counters(), [10, 0]);
}

#[test]
fn shrinking_evicts_at_once() {
    let (mut libssl, mut ours) = both();
    for serial in 0..9 {
        libssl.add(serial);
        ours.add(serial);
    }
    libssl.set_size(5);
    ours.store.set_cache_size(4).unwrap();
    assert_eq!(
        (libssl.number(), ours.store.stats().number),
        (9, 4),
        "libssl waits for the next add"
    );
    libssl.add(9);
    ours.add(9);
    assert_eq!((libssl.number(), ours.store.stats().number), (4, 4));
}

#[test]
fn a_session_without_id_is_refused() {
    let (mut libssl, ours) = both();
    object::clear_id(libssl.object(0));
    object::clear_id(ours.object(0));
    assert_eq!((libssl.add(0), libssl.remove(0)), (1, 0), "libssl stores it and cannot remove it");
    assert_eq!(libssl.number(), 1);
    let added = ours.store.add_session(ours.object(0));
    assert!(matches!(added, Err(Rejection::NotResumable)));
}

#[test]
fn an_expired_session_is_refused() {
    let (mut libssl, mut ours) = both();
    libssl.make(20, KEY_0, 500, 400);
    ours.make(20, KEY_0, 500, 400);
    assert_eq!(libssl.add(20), 1);
    assert!(matches!(ours.store.add_session(ours.object(20)), Err(Rejection::Expired)));
}

#[test]
fn a_session_that_must_not_be_resumed_is_refused() {
    let (mut libssl, ours) = both();
    let (theirs, own) = (libssl.object(0).clone(), ours.object(0).clone());
    // libssl marks what it is asked to remove.
    let mut marker = Libssl::new();
    marker.remove_foreign(&theirs);
    marker.remove_foreign(&own);
    assert!(!object::is_resumable(&theirs) && !object::is_resumable(&own));
    assert_eq!(libssl.add(0), 1);
    assert!(matches!(ours.store.add_session(&own), Err(Rejection::NotResumable)));
}

#[test]
fn a_replacement_is_told() {
    let (mut libssl, mut ours) = both();
    libssl.add(0);
    ours.add(0);
    libssl.make(20, KEY_0, 0, 1_000);
    ours.make(20, KEY_0, 0, 1_000);
    let (theirs, added) = (libssl.add(20), ours.store.add_session(ours.object(20)));
    assert_eq!((theirs, libssl.told()), (1, Vec::new()), "libssl drops the old one in silence");
    let Ok(Added::Replaced(old)) = added else { panic!("{added:?}") };
    assert_eq!(object::serial_of(&old), 0);
    assert_eq!(ours.store.stats().replaced, 1);
}

#[test]
fn a_removal_of_nothing_is_not_told() {
    let (mut libssl, mut ours) = both();
    assert_eq!((libssl.remove_and_tell(0), ours.remove(0)), (0, 0));
    assert_eq!(libssl.told(), [KEY_0], "libssl tells of what was never stored");
    assert_eq!(ours.told(), []);
}

#[test]
fn a_removal_by_id_is_told_of_what_was_stored() {
    let (mut libssl, mut ours) = both();
    libssl.add(0);
    ours.add(0);
    let (theirs, own) = (another(KEY_0), another(KEY_0));
    assert_eq!(libssl.remove_foreign(&theirs), 1);
    assert!(ours.store.remove_id_of(&own));
    assert!(!object::is_resumable(&theirs), "libssl marks the one that was passed");
    assert!(object::is_resumable(libssl.object(0)), "and not the one that was removed");
    assert!(object::is_resumable(&own) && object::is_resumable(ours.object(0)));
}

#[test]
fn a_removal_by_identity_leaves_a_newer_session() {
    let (mut libssl, mut ours) = both();
    libssl.add(0);
    ours.add(0);
    assert_eq!(libssl.remove_foreign(&another(KEY_0)), 1, "libssl removes what it was not given");
    assert!(!ours.store.remove_session(&another(KEY_0)));
    assert_eq!((libssl.number(), ours.store.stats().number), (0, 1));
}

#[test]
fn an_evicted_session_can_be_resumed_elsewhere() {
    let (mut libssl, mut ours) = both();
    libssl.set_size(1);
    ours.store.set_cache_size(1).unwrap();
    for serial in [0, 1] {
        libssl.add(serial);
        ours.add(serial);
    }
    assert_eq!((libssl.counters(), ours.counters()), ([1, 1], [1, 1]));
    assert!(!object::is_resumable(libssl.object(0)), "libssl spoils it for every other tier");
    assert!(object::is_resumable(ours.object(0)));
}

#[test]
fn the_id_context_is_part_of_the_key() {
    let (mut libssl, mut ours) = both();
    libssl.make(20, KEY_0, 0, 1_000);
    ours.make(20, KEY_0, 0, 1_000);
    object::set_id_context(libssl.object(20), b'x');
    object::set_id_context(ours.object(20), b'x');
    for serial in [0, 20] {
        assert_eq!((libssl.add(serial), ours.add(serial)), (1, 1));
    }
    assert_eq!(
        (libssl.number(), ours.store.stats().number),
        (1, 2),
        "libssl looks at the context afterwards"
    );
}

/// Before OpenSSL 3.6.2 an identical add also moved the session behind its equals.
#[test]
fn an_identical_add_reorders_nothing() {
    let (mut libssl, mut ours) = both();
    for serial in [20, 21] {
        let key = Key { version: 0x0304, id: u8::try_from(serial).unwrap() };
        libssl.make(serial, key, 0, 500);
        ours.make(serial, key, 0, 500);
        libssl.add(serial);
        ours.add(serial);
    }
    assert_eq!((libssl.add(20), ours.add(20)), (0, 0));
    libssl.set_size(3);
    ours.store.set_cache_size(2).unwrap();
    libssl.add(0);
    ours.add(0);
    let has = |object: &SslSession, ours: &Ours| {
        ours.store.sessions().iter().any(|one| object::serial_of(one) == object::serial_of(object))
    };
    assert!(!has(ours.object(20), &ours) && has(ours.object(21), &ours), "the first one goes");
    let moves = openssl::version::number() < 0x3060_0020;
    assert_eq!(object::is_resumable(libssl.object(20)), moves, "{}", openssl::version::version());
}

#[test]
fn the_end_of_a_store_is_not_told() {
    let (mut libssl, mut ours) = both();
    libssl.add(0);
    ours.add(0);
    let (theirs, own) = (libssl.log(), ours.log());
    drop((libssl, ours));
    assert_eq!(*theirs.lock().unwrap(), [KEY_0], "SSL_CTX_free flushes, and tells of it");
    assert_eq!(*own.lock().unwrap(), []);
}

impl Libssl {
    /// `SSL_CTX_remove_session` of a session that is none of the subject's.
    fn remove_foreign(&mut self, session: &SslSession) -> u64 {
        self.remove_raw(session.as_ptr())
    }

    /// `SSL_CTX_remove_session`, with what it tells of nothing.
    fn remove_and_tell(&mut self, serial: u64) -> u64 {
        self.remove_raw(self.object(serial).as_ptr())
    }
}
