//! A chain of resumptions ends, also where each link is young.

use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind::{Full, Resumed};
use rustls::version::TLS13;
use sessile::{Clock, Context, ManualClock, Secret, SessionCache};
use sessile_rustls::ServerStore;
use sha2::{Digest, Sha256};

use super::tier::{Answer, cache_with_tier};
use crate::support::{BOTH, Pair, Site, shake};

const HOUR: u64 = 60 * 60;

/// A cache of sessions that live for two hours.
fn cache(clock: &Arc<ManualClock>) -> Arc<SessionCache<Secret>> {
    let builder = SessionCache::builder().capacity(100).clock(Arc::clone(clock));
    Arc::new(builder.timeout(Duration::from_secs(2 * HOUR)).build().unwrap())
}

/// The seconds between the full handshakes of a client that comes back every `step` seconds.
fn lives(store: &ServerStore, clock: &ManualClock, step: u64, visits: u64) -> Vec<u64> {
    let site = Site::new(&["localhost"]);
    let server = Arc::new(site.server(&TLS13, store.for_context(Context::digest(["chain"]))));
    let client = Arc::new(site.client());
    let full: Vec<u64> = (0..visits)
        .filter(|_| {
            clock.advance(step);
            shake(&client, &server) == Full
        })
        .map(|visit| visit * step)
        .collect();
    full.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn a_chain_of_resumptions_ends_after_max_age() {
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let store = ServerStore::from_cache(cache(&clock)).max_age(Duration::from_secs(30));
    let lives = lives(&store, &clock, 1, 300);
    // The first is what was left of the window.
    assert!(lives.len() >= 9 && lives[0] <= 30, "{lives:?}");
    assert_eq!(lives[1..9], [30; 8], "{lives:?}");
}

#[test]
fn a_chain_of_resumptions_ends_once_a_day_by_default() {
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let lives = lives(&ServerStore::from_cache(cache(&clock)), &clock, HOUR, 24 * 4);
    assert_eq!(lives[1..3], [24 * HOUR; 2], "{lives:?}");
}

#[test]
fn a_second_tier_does_not_prolong_a_chain() {
    for answer in [Answer::Handle, Answer::Bytes] {
        // What the tier rebuilds is judged by the time at which rustls made it.
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let clock = Arc::new(ManualClock::new(now));
        let store = ServerStore::from_cache(cache_with_tier(answer, Arc::clone(&clock)));
        let store = store.max_age(Duration::from_secs(300));
        let site = Site::new(&["localhost"]);
        let server = Arc::new(site.server(&TLS13, store.for_context(Context::digest(["tier"]))));
        let client = Arc::new(site.client());
        assert_eq!(shake(&client, &server), Full);
        // Two windows on: the first session may be of the one after the clock's.
        clock.advance(600);
        assert_eq!(shake(&client, &server), Full, "{answer:?}");
        assert_eq!(shake(&client, &server), Resumed, "{answer:?}");
    }
}

#[test]
fn no_session_outlives_the_second_in_which_its_window_ends() {
    for version in BOTH {
        let clock = Arc::new(ManualClock::new(1_800_000_000));
        let store = ServerStore::from_cache(cache(&clock)).max_age(Duration::ZERO);
        let site = Site::new(&["localhost"]);
        let server = Arc::new(site.server(version, store.for_context(Context::NONE)));
        let client = Arc::new(site.client());
        assert_eq!(shake(&client, &server), Full);
        assert_eq!(shake(&client, &server), Resumed, "the shortest age is one second");
        clock.advance(1);
        assert_eq!(shake(&client, &server), Full);
    }
}

/// A client resumes in the last second of a window and ends the handshake in the first of the next.
#[test]
fn a_handshake_across_the_end_of_a_window_makes_no_session() {
    let clock = Arc::new(ManualClock::new(1_800_000_000));
    let store = ServerStore::from_cache(cache(&clock)).max_age(Duration::from_secs(HOUR));
    let site = Site::new(&["localhost"]);
    let server = Arc::new(site.server(&TLS13, store.for_context(Context::NONE)));
    let client = Arc::new(site.client());
    assert_eq!(shake(&client, &server), Full);
    let session = store.cache().snapshot().pop().unwrap();
    clock.set(session.expires_at().unwrap());

    let mut across = Pair::new("localhost", &client, &server);
    across.begin();
    clock.advance(9);
    assert_eq!(across.finish(), Ok(Resumed));
    assert_eq!(
        shake(&client, &server),
        Full,
        "and without a ticket, since it may be one of before"
    );
    clock.advance(2);
    assert_eq!(shake(&client, &server), Full);
    assert_eq!(shake(&client, &server), Resumed);
}

/// Two configurations of one context with windows that do not end together: a client that always
/// visits the one whose window ends later would be carried across the ends of both.
#[test]
fn a_chain_through_handles_of_different_ages_ends() {
    const LENGTHS: [u64; 2] = [30, 49];
    let (clock, context) = (Arc::new(ManualClock::new(1_800_000_000)), Context::digest(["chain"]));
    let store = ServerStore::from_cache(cache(&clock));
    let site = Site::new(&["localhost"]);
    let servers = LENGTHS.map(|seconds| {
        let store = store.clone().max_age(Duration::from_secs(seconds));
        Arc::new(site.server(&TLS13, store.for_context(context)))
    });
    let digest = Sha256::digest(context.as_bytes());
    let phase = u64::from_be_bytes(digest[..8].try_into().unwrap());
    let remaining = |length: u64| {
        let elapsed = (u128::from(clock.now().as_secs()) + u128::from(phase)) % u128::from(length);
        length - elapsed as u64
    };
    let client = Arc::new(site.client());
    let full: Vec<u64> = (0..400)
        .filter(|_| {
            clock.advance(1);
            let visited = usize::from(remaining(LENGTHS[1]) > remaining(LENGTHS[0]));
            shake(&client, &servers[visited]) == Full
        })
        .collect();
    assert!(full.windows(2).all(|pair| pair[1] - pair[0] <= 49) && full.len() >= 8, "{full:?}");
}
