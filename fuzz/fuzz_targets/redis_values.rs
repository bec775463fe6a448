//! What a tier or a file may hold: whatever it is, no session comes of it that was not sealed for
//! its place.
//!
//! The first byte chooses: bytes as they are, as a value and as a snapshot; a real value and a
//! real snapshot with changes; or bytes that were sealed, to reach what lies behind the cipher.
#![forbid(unsafe_code)]
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile::{ManualClock, Secret, Session, SessionCache, SessionId, Timestamp};
use sessile_redis::{KeyRing, SealingKey, restore, snapshot};
use std::time::Duration;

const NAME: &[u8] = b"name";
const NOW: u64 = 1000;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    let ring = KeyRing::new(SealingKey::from([1; 32]));
    match choice % 3 {
        0 => {
            assert!(open(&ring, bytes).is_none(), "forged");
            assert_eq!(restored(&ring, bytes), 0, "forged");
        }
        1 => change(&ring, bytes),
        _ => {
            let sealed = ring.seal_anything(NAME, bytes);
            if let Some(session) = open(&ring, &sealed) {
                assert!(session.expires_at().is_none_or(|end| end >= Timestamp::from(NOW)));
                assert!(session.created_at().is_some_and(|date| date <= Timestamp::from(NOW)));
            }
        }
    }
});

fn cache() -> SessionCache<Secret> {
    SessionCache::builder().capacity(14).clock(ManualClock::new(NOW)).build().expect("a cache")
}

fn open(ring: &KeyRing, sealed: &[u8]) -> Option<Session<Secret>> {
    ring.open_session(NAME, sealed, NOW.into(), Duration::from_secs(2)).ok()
}

fn restored(ring: &KeyRing, mut bytes: &[u8]) -> u64 {
    restore(&cache(), ring, &mut bytes).map_or(0, |restored| restored.restored)
}

/// Changes a value and a snapshot of one session by pairs of a place and a byte.
fn change(ring: &KeyRing, changes: &[u8]) {
    let cache = cache();
    let id = SessionId::from([1; 32]);
    cache.add(Session::new(id, Secret::from(vec![7; 50]))).expect("room");
    let session = cache.peek(&id).expect("stored");
    let sealed = ring.seal_session(NAME, &session).expect("random numbers");
    let mut file = Vec::new();
    snapshot(&cache, ring, &mut file).expect("a vector takes all");

    let changed = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for pair in changes.chunks_exact(2) {
            let place = usize::from(pair[0]) % bytes.len();
            bytes[place] = pair[1];
        }
        bytes
    };
    let (value, other) = (changed(&sealed), changed(&file));
    assert!(value == sealed || open(ring, &value).is_none(), "forged");
    // The frame of the session ends before the last one.
    let end = file.len() - 4 - 54;
    assert_eq!(restored(ring, &other), u64::from(other[..end] == file[..end]), "forged");
}
